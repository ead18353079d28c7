"""Limits that move: what operators change, what tightens by itself, and what both are read from.

What a person asks for is a strict Struct, as every request is (`schemas.control`).
"""

from decimal import Decimal
from typing import Any

import msgspec

from schemas.base import AccountId, Event, InstrumentId


class LimitsRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`control.limits`: change limits of the gate while it runs. All of it happens, or nothing."""

    operator: str
    reason: str
    changes: dict[str, Any]
    """New value by path, as `sluice.toml` names it: `gate.accounts.paper.gross_notional_max`,
    `gate.instruments."sim:ALPHA".order_quantity_max`. Null takes an instrument's own value away."""


class LimitsAsked(Event, frozen=True, kw_only=True):
    """A decoded `control.limits`, on its way to the gate's core."""

    request_id: str
    request: LimitsRequest


class LimitChange(msgspec.Struct, frozen=True, kw_only=True):
    """One limit that an operator changed. Numbers as decimal strings; empty is not chosen."""

    path: str
    before: str
    """What was in force, before anything tightened it."""

    after: str
    configured: str
    """What the configuration file said then. Where it says something else after a restart, the
    tighter of the two is in force."""


class LimitsChanged(Event, frozen=True, kw_only=True):
    """An operator changed limits; kept by the gate, so that a restart keeps them too."""

    change_seq: int
    """Counted from 1; `GateReported` shows the newest."""

    operator: str
    reason: str
    request_id: str
    changes: tuple[LimitChange, ...]


class LimitsTightened(Event, frozen=True, kw_only=True):
    """A factor that limits are multiplied with is another one than before; never above 1."""

    account: AccountId
    cause: str
    """`drawdown` or `volatility`."""

    factor: Decimal
    before: Decimal
    instrument: InstrumentId | None = None
    """Whose limits; None is all of the account's."""

    why: str = ""
    """For people: the value read, and the step it stands on."""


class AccountHealthReported(Event, frozen=True, kw_only=True):
    """What a venue says about the safety of an account there; None where it does not say."""

    account: AccountId
    venue: str
    health_factor: Decimal | None = None
    """Collateral x liquidation threshold / debt; at 1 the venue liquidates."""

    margin_ratio: Decimal | None = None
    """Equity / gross exposure of margined positions."""


class PricesSampled(Event, frozen=True, kw_only=True):
    """Mid prices that the gate took for its returns; kept, so that a restart knows the returns."""

    prices: dict[InstrumentId, Decimal]
    """Of the instruments that were quoted since the sample before."""


class LimitView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One limit as it stands now. Numbers as decimal strings."""

    name: str
    account: AccountId
    in_force: str
    """What checks compare with; `missing` where nobody has chosen it."""

    configured: str
    """By the configuration file."""

    instrument: InstrumentId | None = None
    factor: str = "1"
    """What tightened it by itself; `in_force` holds it."""

    why: str = ""
    """Who changed it, what tightened it."""

    value: str = ""
    """What counts against it now; `unknown` where it is not known, empty where it is per order."""

    distance: str = ""
    """From the value to the limit."""
