"""The table of checks as people read it: what, by which formula, why, and with which limits now."""

from collections.abc import Collection, Iterator
from types import NoneType
from typing import Any, get_args

import msgspec

from schemas.base import InstrumentId
from services.gate.check import Check
from services.gate.config import AccountLimits, GateConfig, InstrumentLimits
from services.gate.table import CHECKS

UNCHOSEN = "not chosen: denies"
UNUSED = "not in use"


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `sluice explain gate`."""

    name: str
    """The rule, as decisions name it."""

    reads: str
    formula: str
    unit: str
    """Of value and limit in a decision; empty for yes and no."""

    source: str
    limits: dict[str, str]
    """Each limit it reads, and what it is now, for whom."""


def explain(config: GateConfig, instruments: Collection[InstrumentId]) -> tuple[Explained, ...]:
    """Return the rows in the order in which the gate makes its checks.

    A row of limits for an instrument that is not among `instruments` is shown as such: it may be
    a mistyped id, and then the default row is in force for the right one.
    """
    return tuple(_explained(check, config, instruments) for check in CHECKS)


def is_limit(name: str) -> bool:
    """Return whether the configuration knows a limit of this name, in whatever table."""
    own = (AccountLimits, InstrumentLimits)
    return any(name in row.__struct_fields__ for row in own) or any(
        name in kind.__struct_fields__ for kind in _tables().values()
    )


def _explained(
    check: Check, config: GateConfig, instruments: Collection[InstrumentId]
) -> Explained:
    return Explained(
        name=check.name,
        reads=check.reads,
        formula=check.formula,
        unit=check.unit,
        source=check.source,
        limits={name: _in_force(name, config, instruments) for name in check.limits},
    )


def _in_force(name: str, config: GateConfig, instruments: Collection[InstrumentId]) -> str:
    if name in AccountLimits.__struct_fields__:
        rows = {str(key): getattr(row, name) for key, row in config.accounts.items()}
        return _listed(rows) or f"no account has a row of limits: {UNCHOSEN}"
    if name in InstrumentLimits.__struct_fields__:
        own = {
            key if key in instruments else f"{key} (not configured)": getattr(row, name)
            for key, row in config.instruments.items()
            if getattr(row, name) is not None
        }
        return _listed({"default": getattr(config.default, name), **own})
    return "; ".join(_of_families(name, config)) or UNUSED


def _of_families(name: str, config: GateConfig) -> Iterator[str]:
    """Yield what the tables of single families say for a limit."""
    for table, kind in _tables().items():
        if name not in kind.__struct_fields__:
            continue
        found = getattr(config, table)
        rows = found if isinstance(found, dict) else {table: found}
        for whose, row in rows.items():
            chosen = None if row is None else getattr(row, name)
            yield f"{whose} {UNUSED if chosen is None else _text(chosen)}"


def _tables() -> dict[str, type[msgspec.Struct]]:
    """Return the tables of families in the configuration, and the type of a row of each."""
    found: dict[str, type[msgspec.Struct]] = {}
    for field in msgspec.structs.fields(GateConfig):
        kinds = [kind for kind in (field.type, *get_args(field.type)) if kind is not NoneType]
        row: Any = kinds[-1]
        if isinstance(row, type) and issubclass(row, msgspec.Struct) and field.name != "hard":
            found[field.name] = row
    return found


def _listed(rows: dict[str, object]) -> str:
    return "; ".join(f"{whose} {_text(limit)}" for whose, limit in rows.items())


def _text(limit: object) -> str:
    if isinstance(limit, dict):
        values = " ".join(f"{currency}={value}" for currency, value in limit.items())
        return values or UNCHOSEN
    if isinstance(limit, msgspec.Struct):
        said = {name: getattr(limit, name) for name in limit.__struct_fields__}
        return " ".join(f"{name}={value}" for name, value in said.items() if value is not None)
    return UNCHOSEN if limit is None else str(limit)
