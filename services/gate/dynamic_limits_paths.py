"""Limits by path, as `sluice.toml` names them: which there are, and how far they may be moved.

The cap of a limit is the one of `[gate.hard]`; where that says nothing, it is what the
configuration file says, so that without hard caps limits can only be tightened while running.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import msgspec

from schemas.bounds import WANTED_NUMBER, is_bounded
from schemas.errors import FieldError

if TYPE_CHECKING:  # the configuration asks here whether it keeps to its own hard caps
    from services.gate.config import GateConfig

Number = Decimal | int

_KIND_OF_ROW = {
    "default": "instrument",
    "instruments": "instrument",
    "accounts": "account",
    "portfolio": "portfolio",
}
"""Which table of `[gate.hard]` caps the rows of a table."""

_CEILINGS = ("price_collar_bps", "stale_after_ms", "period_collar_bps")
_FLOORS = (
    "message_window_ms",
    "period_ms",
    "cancel_messages_reserved",
    "duplicate_window_ms",
    "execution_window_ms",
)
"""Limits that say by their name only whether more is looser, or less."""

_REGIME = "a limit with a number; anything else is changed in the file, and needs a restart"


class Limit(NamedTuple):
    """One limit that may be changed while running."""

    tokens: tuple[str, ...]
    """Below `gate`: `("accounts", "paper", "gross_notional_max")`."""

    kind: type[Decimal] | type[int]
    is_floor: bool
    """Whether less is looser."""

    @property
    def path(self) -> str:
        """The path as people write it."""
        return path_of(self.tokens)

    @property
    def hard_path(self) -> str:
        """Where its cap is chosen."""
        return ".".join(("gate.hard", *_hard_tokens(self.tokens)))

    @property
    def is_own(self) -> bool:
        """Whether it is an instrument's own, in the place of the default."""
        return self.tokens[0] == "instruments"

    @property
    def default(self) -> "Limit":
        """The default that an instrument's own limit is in the place of."""
        assert self.is_own, "only instruments have a default"
        return self._replace(tokens=("default", *self.tokens[2:]))

    def is_looser(self, value: Number, other: Number) -> bool:
        """Return whether `value` lets more through than `other`."""
        return value < other if self.is_floor else value > other


def path_of(tokens: Iterable[str]) -> str:
    """Return the path of a limit as people write it."""
    return "gate." + ".".join(f'"{token}"' if ":" in token else token for token in tokens)


def limit_at(path: str, config: "GateConfig", instruments: Iterable[str]) -> Limit | FieldError:
    """Return the limit that `path` names, or what is wrong with it, and what may be meant."""
    tokens = _split(path)
    if not tokens or tokens[0] != "gate" or len(tokens) < 3:
        return _wrong(path, "no path of a limit", 'gate.<table>.<row>.<limit>, ids in ""')
    table, rest = tokens[1], tokens[2:]
    if table not in _KIND_OF_ROW:
        return _wrong(path, f"no table {table}", _among(table, _KIND_OF_ROW))
    if table != "default":
        rows: Iterable[str] = instruments if table == "instruments" else getattr(config, table)
        if rest[0] not in rows:
            return _wrong(path, f"no row {rest[0]}", _among(rest[0], rows))
        rest = rest[1:]
    kind = type(getattr(config.hard, _KIND_OF_ROW[table]))
    found = _leaf(kind, rest, path, _walk(config, tokens[1 : len(tokens) - len(rest)]))
    return found if isinstance(found, FieldError) else Limit(tuple(tokens[1:]), *found)


def value_of(given: Any, limit: Limit) -> Number | FieldError:
    """Return the number that was given for a limit, or what is wrong with it."""
    if limit.kind is int:
        if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
            return given
        return _wrong(limit.path, repr(given), "a whole number of 0 or more")
    wanted = 'a decimal number of 0 or more, in quotes: "1000.50"'
    if isinstance(given, bool | float) or not isinstance(given, str | int):
        return _wrong(limit.path, repr(given), wanted)
    try:
        value = Decimal(given)
    except InvalidOperation:
        return _wrong(limit.path, repr(given), wanted)
    if not value.is_finite() or value < 0:
        return _wrong(limit.path, repr(given), wanted)
    return value if is_bounded(value) else _wrong(limit.path, repr(given), WANTED_NUMBER)


def chosen_at(config: "GateConfig", limit: Limit) -> Number | None:
    """Return what a configuration says for a limit; the default row where the own one does not."""
    found: Number | None = _walk(config, limit.tokens)
    return _walk(config, limit.default.tokens) if found is None and limit.is_own else found


def is_in_use(config: "GateConfig", limit: Limit) -> bool:
    """Return whether the part of a row that a limit belongs to is there at all."""
    return limit.is_own or _walk(config, limit.tokens[:-1]) is not None


def cap_of(config: "GateConfig", limit: Limit) -> Number | None:
    """Return the furthest that a limit may be moved to; None where there is no such thing."""
    hard = _walk(config.hard, _hard_tokens(limit.tokens))
    return chosen_at(config, limit) if hard is None else hard


def with_values(
    config: "GateConfig", values: Mapping[tuple[str, ...], Number | None]
) -> "GateConfig":
    """Return the configuration with some limits changed, checked as one from a file is.

    Raises:
        msgspec.ValidationError: together they are not valid.
    """
    plain: dict[str, Any] = msgspec.to_builtins(config)
    for tokens, value in values.items():
        row = plain
        for token in tokens[:-1]:
            row = row.setdefault(token, {})
        row[tokens[-1]] = str(value) if isinstance(value, Decimal) else value
    return msgspec.convert(plain, type(config))


def above_hard(config: "GateConfig") -> Iterator[str]:
    """Yield every limit of a configuration that is looser than its hard cap, with both."""
    tables: list[tuple[tuple[str, ...], msgspec.Struct]] = [(("default",), config.default)]
    for table in ("instruments", "accounts", "portfolio"):
        tables += [((table, key), row) for key, row in getattr(config, table).items()]
    for tokens, row in tables:
        for limit in _limits_in(row, tokens):
            value = _walk(config, limit.tokens)
            hard = _walk(config.hard, _hard_tokens(limit.tokens))
            if value is not None and hard is not None and limit.is_looser(value, hard):
                yield f"{limit.path.removeprefix('gate.')}: found {value}, hard cap {hard}"


def numbers_in(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    """Return the fields of a row that are limits of one number."""
    fields = msgspec.structs.fields(kind)
    return tuple(field.name for field in fields if _inner(field.type) in (Decimal, int))


def _limits_in(row: msgspec.Struct, tokens: tuple[str, ...]) -> Iterator[Limit]:
    for field in msgspec.structs.fields(type(row)):
        inner, value = _inner(field.type), getattr(row, field.name)
        if isinstance(value, msgspec.Struct):
            yield from _limits_in(value, (*tokens, field.name))
        elif _row_kind(inner) is not None:
            for key, each in value.items():
                yield from _limits_in(each, (*tokens, field.name, key))
        elif (is_floor := _is_floor(field.name)) is not None and inner in (Decimal, int):
            yield Limit((*tokens, field.name), inner, is_floor)


def _leaf(
    kind: type[msgspec.Struct], names: list[str], path: str, row: object
) -> tuple[type[Decimal] | type[int], bool] | FieldError:
    """Return type and direction of the limit that `names` lead to from a row of this kind."""
    fields = {field.name: _inner(field.type) for field in msgspec.structs.fields(kind)}
    name, *rest = names or [""]
    inner = fields.get(name)
    if inner is None:
        return _wrong(path, f"no limit {name}" if name else "no limit", _among(name, fields))
    if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
        return _leaf(inner, rest, path, getattr(row, name, None))
    below = _row_kind(inner)
    if below is not None:
        rows = getattr(row, name, {})
        key = rest[0] if rest else ""
        if key not in rows:
            return _wrong(path, f"no row {key}", _among(key, rows))
        return _leaf(below, rest[1:], path, rows[key])
    is_floor = _is_floor(name)
    if rest or is_floor is None or inner not in (Decimal, int):
        return _wrong(path, f"{name} is none", _REGIME)
    return (inner, is_floor)


def _row_kind(inner: Any) -> type[msgspec.Struct] | None:
    """Return what the rows of a table below a row are, if a field is such a table."""
    arguments = get_args(inner)
    is_table = len(arguments) == 2 and isinstance(arguments[1], type)
    return arguments[1] if is_table and issubclass(arguments[1], msgspec.Struct) else None


def _is_floor(name: str) -> bool | None:
    """Return whether less is looser; None where the name does not say what is."""
    if name.endswith("_min") or name in _FLOORS:
        return name != "samples_min" or None
    return False if name.endswith("_max") or name in _CEILINGS or name == "risk_budget" else None


def _hard_tokens(tokens: tuple[str, ...]) -> tuple[str, ...]:
    rest = tokens[1:] if tokens[0] == "default" else tokens[2:]
    return (_KIND_OF_ROW[tokens[0]], *rest)


def _walk(found: Any, tokens: Iterable[str]) -> Any:
    for token in tokens:
        if found is None:
            return None
        found = found.get(token) if isinstance(found, dict) else getattr(found, token)
    return found


def _inner(kind: Any) -> Any:
    """Return the type of a field without its None."""
    inner = [each for each in get_args(kind) if each is not NoneType]
    return inner[0] if len(inner) == 1 and NoneType in get_args(kind) else kind


def _split(path: str) -> list[str]:
    """Return the tokens of a path; a quoted one may hold dots. Empty where quotes do not match."""
    tokens: list[str] = []
    for index, part in enumerate(path.split('"')):
        tokens += [part] if index % 2 else [token for token in part.split(".") if token]
    return tokens if path.count('"') % 2 == 0 else []


def _among(name: str, known: Iterable[str]) -> str:
    names = [str(each) for each in known]
    listed = "one of " + ", ".join(names[:40]) if names else "a row: there is none"
    close = get_close_matches(name, names, n=1)
    return f"{listed}; did you mean {close[0]}?" if close else listed


def _wrong(path: str, found: str, wanted: str) -> FieldError:
    return FieldError(path=path, found=found, wanted=wanted)
