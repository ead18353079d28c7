"""The limits in force as people see them: from what, tightened by what, and how far away."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from schemas.base import Event, InstrumentId
from schemas.control import ControlAnswered
from schemas.limits import LimitsChanged, LimitView
from services.gate.account import Account
from services.gate.dynamic_limits import ACCOUNT_LIMITS, INSTRUMENT_LIMITS, DynamicLimits, is_scaled
from services.gate.dynamic_limits_paths import Limit, Number, chosen_at, path_of
from services.gate.exposure import Lane, Totals
from services.gate.limits import LimitMissingError, Limits
from services.gate.portfolio_risk import AccountRisk
from services.gate.state import GateState

UNKNOWN = "unknown"
LARGEST_COUNT = 50
"""Of how many instruments the limits are shown because something is held or open in them."""


def views(state: GateState) -> tuple[LimitView, ...]:
    """Return every limit of accounts, and those of instruments that are of interest now.

    Those are the ones with the largest exposure, and those with a change or a regime of their own:
    a thousand instruments at their configured limits would hide them.
    """
    return tuple(
        view for account in state.accounts.values() for view in _of_account(state, account)
    )


def warned(state: GateState, said: Sequence[Event]) -> list[Event]:
    """Return what was said to a change of limits, and in the answer what is beyond them already.

    A limit stops what comes; it cancels and closes nothing.
    """
    changed = {
        change.path.rpartition(".")[2]
        for event in said
        if isinstance(event, LimitsChanged)
        for change in event.changes
    }
    found = [
        f"{view.name} of {view.instrument or view.account}: {view.value} of {view.in_force}"
        for view in views(state)
        if view.name in changed and view.distance.startswith("-")
    ]
    if not found:
        return [*said]
    note = (
        f"; BEYOND IT ALREADY, open orders at worst case: {', '.join(found)}. A limit cancels and"
        " closes nothing: cancel what rests, reduce or flatten"
    )
    return [_with(event, note) if isinstance(event, ControlAnswered) else event for event in said]


def _with(answer: ControlAnswered, note: str) -> ControlAnswered:
    return msgspec.structs.replace(answer, message=answer.message + note)


def _of_account(state: GateState, account: Account) -> Iterator[LimitView]:
    dynamic = state.dynamic
    lanes = account.lanes.items()
    for _, lane in list(lanes)[:1]:  # the limits of the account stand in each of its lanes
        for name in ACCOUNT_LIMITS:
            row = ("accounts", str(account.id), name)
            yield _view(dynamic, account, row, lane.limits, value=_of_all(account.totals, name))
    held = sorted((lane for _, lane in lanes if lane.worst), key=lambda lane: -lane.notional)
    largest = {lane.instrument.id: None for lane in held[:LARGEST_COUNT]}
    for key, lane in lanes:
        if key in largest or dynamic.is_moved(account.id, key):
            for name in INSTRUMENT_LIMITS:
                path = ("instruments", key, name)
                yield _view(dynamic, account, path, lane.limits, key, _held(lane, name))
    risk = state.risk.accounts.get(account.id)
    if risk is not None:
        yield from _of_risk(account, risk)


def _of_all(totals: Totals, name: str) -> Decimal | str | None:
    """Return what counts against a limit of the account; None where it is per order or time."""
    worst = {"gross_notional_max": totals.gross, "net_notional_max": max(totals.long, totals.short)}
    return UNKNOWN if totals.unpriced and name in worst else worst.get(name)


def _held(lane: Lane, name: str) -> Decimal | str | None:
    """Return what counts against a limit of one instrument; None where it is per order."""
    if name == "position_quantity_max":
        return lane.worst
    if name == "position_notional_max":
        is_priced = lane.market.price is not None and lane.unit_value is not None
        return lane.notional if is_priced or not lane.worst else UNKNOWN
    return None


def _view(
    dynamic: DynamicLimits,
    account: Account,
    tokens: tuple[str, ...],
    limits: Limits,
    instrument: InstrumentId | None = None,
    value: Decimal | str | None = None,
) -> LimitView:
    name = tokens[-1]
    try:
        in_force: Number | None = getattr(limits, name).value
    except LimitMissingError:
        in_force = None
    is_tightened = is_scaled(name)
    factor = dynamic.factor(account.id, instrument) if is_tightened else Decimal(1)
    by = dynamic.why(account.id, instrument) if is_tightened else ""
    limit = Limit(tokens, Decimal, is_floor=False)
    said = (dynamic.changes.said_of(path_of(tokens)), by)
    return LimitView(
        name=name,
        account=account.id,
        instrument=instrument,
        in_force="missing" if in_force is None else str(in_force),
        configured=_text(chosen_at(dynamic.changes.static, limit)),
        factor=str(factor),
        why="; ".join(each for each in said if each),
        value=_text(value),
        distance=_distance(in_force, value),
    )


def _of_risk(account: Account, risk: AccountRisk) -> Iterator[LimitView]:
    row = risk.row
    if row.value_at_risk is not None:
        limit, figure = risk.value_limit, risk.value_at_risk
        value = UNKNOWN if figure is None else figure + risk.added
        yield LimitView(
            name="value_at_risk",
            account=account.id,
            in_force=UNKNOWN if limit is None else limit.text,
            configured=_text(row.value_at_risk.amount_max)
            or f"{row.value_at_risk.fraction_max} of the equity",
            factor=str(risk.factor),
            why=risk.equity_unknown if limit is None else risk.value_unknown,
            value=_text(value),
            distance=_distance(None if limit is None else limit.value, value),
        )
    if row.margin_ratio_min is not None:
        why = risk.equity_unknown or risk.margin_unknown
        ratio = UNKNOWN if why or risk.equity is None else _ratio(risk.equity, risk.margined)
        yield LimitView(
            name="margin_ratio_min",
            account=account.id,
            in_force=str(row.margin_ratio_min),
            configured=str(row.margin_ratio_min),
            why=why,
            value=ratio,
        )


def _ratio(equity: Decimal, margined: Decimal) -> str:
    return f"{equity / margined:.4f}" if margined else "nothing is margined"


def _distance(limit: Number | None, value: Decimal | str | None) -> str:
    if value is None:
        return ""
    return UNKNOWN if limit is None or isinstance(value, str) else str(limit - value)


def _text(value: Number | str | None) -> str:
    return "" if value is None else str(value)
