"""Facts about sessions and strategies."""

import enum
from decimal import Decimal
from typing import Any

import msgspec

from schemas.base import AccountId, Event, InstrumentId, SessionId
from schemas.executions import PositionView


class SessionState(enum.StrEnum):
    """Where a session is in its life (S-03)."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    COMPLETED = "completed"
    FAILED = "failed"


class SessionView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One session as it stands now."""

    session: SessionId
    strategy: str
    account: AccountId
    instruments: tuple[InstrumentId, ...]
    state: SessionState
    signal_count: int = 0
    started_ns: int = 0
    detail: str = ""
    fill_count: int = 0
    open_order_count: int = 0
    """Orders of this session that are on their way or open."""

    positions: tuple[PositionView, ...] = ()
    """What this session holds, as the fold of its own executions and what it took over."""


class SessionLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A session's own limits, beside those of its account and tighter; in the account's currency.

    Notional means quantity x multiplier x price x currency value.
    """

    order_notional_max: Decimal | None = None
    """Largest single order."""

    position_notional_max: Decimal | None = None
    """Largest position in one instrument either way, once every open order has filled."""

    gross_notional_max: Decimal | None = None
    """Sum over all instruments of the worst-case positions."""


class SessionCreated(Event, frozen=True, kw_only=True):
    """A session was made, with all it will ever run with: fixed for its whole life (S-02)."""

    session: SessionId
    start_id: str
    """Of the start it was made by."""

    strategy: str
    account: AccountId
    instruments: tuple[InstrumentId, ...]
    initial_capital: Decimal
    """In `share_class`; what the session's results are measured against."""

    share_class: str = "USDT"
    execution_mode: str = "AUTO"
    parameters: dict[str, Any] = {}
    """The strategy's parameters, with the overrides of the start laid over the configured ones."""

    operator: str = ""
    risk_limits: SessionLimits = SessionLimits()
    """What the start named; the gate holds them."""


class PositionsAdopted(Event, frozen=True, kw_only=True):
    """A session took over holdings that the account has and no session had accounted for.

    They were there before it, or their executions were missed while the service was away.
    """

    session: SessionId
    positions: tuple[PositionView, ...]
    """What is added to the session's own fold: signed quantity, at an average price."""

    reason: str = ""


class SessionStateChanged(Event, frozen=True, kw_only=True):
    """A session was created, started, paused, resumed, stopped, completed or failed."""

    session: SessionId
    strategy: str
    account: AccountId
    state: SessionState
    reason: str = ""
    operator: str = ""


class StrategyFailed(Event, frozen=True, kw_only=True):
    """A strategy raised; its session ended, and nothing else did."""

    session: SessionId
    strategy: str
    error: str
    where: str
    """File and line in the strategy where it happened."""
