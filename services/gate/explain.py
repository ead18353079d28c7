"""The table of checks as people read it: what, by which formula, why, and with which limits now."""

from collections.abc import Collection

import msgspec

from schemas.base import InstrumentId
from services.gate.check import Check
from services.gate.config import AccountLimits, GateConfig, InstrumentLimits
from services.gate.table import CHECKS

UNCHOSEN = "not chosen: denies"


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
    assert name in InstrumentLimits.__struct_fields__, name
    own = {
        key if key in instruments else f"{key} (not configured)": getattr(row, name)
        for key, row in config.instruments.items()
        if getattr(row, name) is not None
    }
    return _listed({"default": getattr(config.default, name), **own})


def _listed(rows: dict[str, object]) -> str:
    return "; ".join(f"{whose} {_text(limit)}" for whose, limit in rows.items())


def _text(limit: object) -> str:
    if isinstance(limit, dict):
        values = " ".join(f"{currency}={value}" for currency, value in limit.items())
        return values or UNCHOSEN
    return UNCHOSEN if limit is None else str(limit)
