"""What operators changed: judged whole when it is asked for, and folded again after a restart."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from schemas.base import Event, InstrumentId
from schemas.control import ControlAnswered
from schemas.errors import FieldError
from schemas.limits import LimitChange, LimitsAsked, LimitsChanged, LimitsRequest
from services.gate.config import GateConfig
from services.gate.dynamic_limits_paths import (
    Limit,
    Number,
    cap_of,
    chosen_at,
    is_in_use,
    limit_at,
    value_of,
    with_values,
)
from services.gate.limits import Limits
from services.people import blanks

Values = dict[Limit, Number | None]
GROUPS = ("sectors", "asset_classes", "venues", "strategies")
"""Tables of an account's row with limits of groups."""

WINDOWS = ("message_window_ms", "period_ms", "duplicate_window_ms", "execution_window_ms")
"""What left a window is forgotten: a longer one would count too little until it is over once. A
restart counts all that was kept."""

FIXED = "another value in the file; then restart"


def is_movable(limit: Limit) -> bool:
    """Return whether a limit is read from where a change is put in force."""
    table, *rest = limit.tokens
    if rest[-1] in WINDOWS:
        return False
    if table == "portfolio" or (table == "accounts" and rest[1] in GROUPS):
        return True
    return len(rest) == (1 if table == "default" else 2) and rest[-1] in Limits.__slots__


class LimitChanges:
    """The configuration in force: the file's, with the changes of operators laid over it.

    Attributes:
        static: the file's alone.
        config: what is in force, before anything tightens it.
        change_seq: number of the newest change.
        changed_by: operator and reason of the newest change of a limit, by path.
        left_out: kept changes that the file no longer allows, with the reason, by path.
    """

    def __init__(self, config: GateConfig, instruments: Sequence[InstrumentId]) -> None:
        self.config = self.static = config
        self.change_seq = 0
        self.changed_by: dict[str, str] = {}
        self.left_out: dict[str, str] = {}
        self._instruments = instruments

    def said_of(self, path: str) -> str:
        """Return, for people, who changed a limit and why, or why a change is left out."""
        left_out = self.left_out.get(path)
        return f"a change is left out: {left_out}" if left_out else self.changed_by.get(path, "")

    def in_force(self, limit: Limit) -> Number | None:
        """Return what a limit is before anything tightens it; None where nobody has chosen it."""
        return chosen_at(self.config, limit)

    def ask(self, event: LimitsAsked, now_ns: int) -> Sequence[Event]:
        """Answer an operator: all errors at once, and with one of them nothing is changed.

        The change comes before the answer; who calls this folds it in.
        """
        errors, values = self._judge(event.request)
        if errors:
            message = "the limits stay as they are; mend what is listed, and ask again"
            return [_answer(event, now_ns, message, tuple(errors))]
        changed = LimitsChanged(
            at_ns=now_ns,
            change_seq=self.change_seq + 1,
            operator=event.request.operator,
            reason=event.request.reason,
            request_id=event.request_id,
            changes=tuple(self._change(limit, value) for limit, value in values.items()),
        )
        said = "; ".join(f"{c.path}: {c.before or 'nothing'} -> {c.after}" for c in changed.changes)
        message = f"change {changed.change_seq} is in force: {said}"
        return [changed, _answer(event, now_ns, message, ())]

    def take(self, event: LimitsChanged) -> tuple[Limit, ...]:
        """Put a change in force; after a restart only as far as the file still allows it.

        Return the limits that are other ones now; none where the event is a repeat.
        """
        if event.change_seq <= self.change_seq:
            return ()
        self.change_seq = event.change_seq
        values: Values = {}
        for change in event.changes:
            found = self._still(change)
            if isinstance(found, str):
                self.left_out[change.path] = found
            else:
                limit, value = found
                values[limit] = value
                self.left_out.pop(change.path, None)
                self.changed_by[limit.path] = f"{event.operator}: {event.reason}"
        for error in self._too_loose(values):
            self.left_out[error.path] = f"{error.found}, wanted {error.wanted}"
        values = {k: v for k, v in values.items() if k.path not in self.left_out}
        self.config = with_values(self.config, _by_tokens(values))
        return tuple(values)

    def _judge(self, request: LimitsRequest) -> tuple[list[FieldError], Values]:
        errors = blanks(request.operator, request.reason, "asks", "why")
        if not request.changes:
            wanted = "at least one limit, by its path"
            errors.append(FieldError(path="$.changes", found="nothing", wanted=wanted))
        values: Values = {}
        for path, given in request.changes.items():
            limit = limit_at(path, self.static, self._instruments)
            if isinstance(limit, Limit) and not is_movable(limit):
                limit = FieldError(path=path, found="a limit that is fixed", wanted=FIXED)
            value = limit if isinstance(limit, FieldError) else self._given(given, limit)
            if isinstance(limit, FieldError) or isinstance(value, FieldError):
                errors += [each for each in (value,) if isinstance(each, FieldError)]
            else:
                values[limit] = value
        errors += self._too_loose(values)
        if not errors:
            errors += self._invalid(values)
        return errors, values

    def _given(self, given: object, limit: Limit) -> Number | FieldError | None:
        if given is not None:
            return value_of(given, limit)
        if limit.is_own:
            return None
        return FieldError(path=limit.path, found="null", wanted="a number: it cannot be left out")

    def _too_loose(self, values: Values) -> list[FieldError]:
        """Return what is beyond its cap once all of `values` are in force."""
        errors: list[FieldError] = []
        for limit, value in values.items():
            after = self._default_of(limit, values) if value is None else value
            cap = cap_of(self.static, limit)
            if not is_in_use(self.static, limit):
                found, wanted = "a limit that is not in use", "it chosen in the file; then restart"
            elif cap is None:
                found = f"{after}, and no cap"
                wanted = f"{limit.path} in the file, or {limit.hard_path}; then restart"
            elif after is not None and limit.is_looser(after, cap):
                found = str(after)
                side = "at least" if limit.is_floor else "at most"
                wanted = f"{side} {cap}, the cap by {limit.hard_path} or else by the file"
            else:
                continue
            errors.append(FieldError(path=limit.path, found=found, wanted=wanted))
        return errors

    def _default_of(self, limit: Limit, values: Values) -> Number | None:
        """Return what is in force for an instrument that has nothing of its own any more."""
        default = limit.default
        return values[default] if default in values else chosen_at(self.config, default)

    def _invalid(self, values: Values) -> list[FieldError]:
        try:
            with_values(self.config, _by_tokens(values))
        except msgspec.ValidationError as error:
            wanted = "limits that are valid together"
            return [FieldError(path="$.changes", found=str(error), wanted=wanted)]
        return []

    def _change(self, limit: Limit, value: Number | None) -> LimitChange:
        return LimitChange(
            path=limit.path,
            before=_text(chosen_at(self.config, limit)),
            after=_text(value),
            configured=_text(chosen_at(self.static, limit)),
        )

    def _still(self, change: LimitChange) -> tuple[Limit, Number | None] | str:
        """Return a kept change, or why it is not in force any more."""
        limit = limit_at(change.path, self.static, self._instruments)
        if isinstance(limit, FieldError):
            return f"{limit.found}, wanted {limit.wanted}"
        value: Number | None = limit.kind(change.after) if change.after else None
        configured = chosen_at(self.static, limit)
        if _text(configured) == change.configured:
            return limit, value
        if configured is None:
            return f"the file says nothing of it by now, and said {change.configured}"
        if not is_movable(limit):  # kept by an earlier version; no request could undo it now
            return f"it is fixed by now, and the file says {configured}"
        if value is None or limit.is_looser(value, configured):
            return f"{change.after} is looser than what the file says by now, {configured}"
        return limit, value


def _answer(
    event: LimitsAsked, now_ns: int, message: str, errors: tuple[FieldError, ...]
) -> ControlAnswered:
    return ControlAnswered(
        at_ns=now_ns,
        request_id=event.request_id,
        request="limits",
        is_ok=not errors,
        message=message,
        errors=errors,
    )


def _by_tokens(values: Values) -> Mapping[tuple[str, ...], Number | None]:
    return {limit.tokens: value for limit, value in values.items()}


def _text(value: Decimal | int | None) -> str:
    return "" if value is None else str(value)
