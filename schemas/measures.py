"""How sessions do, live and final, and whether they are well (S-04, R-03). Unknown is None."""

import enum
from decimal import Decimal

import msgspec

from schemas.base import Event, InstrumentId, SessionId
from schemas.results import Figures, PaperDay
from schemas.sessions import SessionBreach, SessionState


class SessionValued(Event, frozen=True, kw_only=True):
    """A session was looked at: alive, at these prices. Told every few seconds while it lasts."""

    session: SessionId
    state: SessionState
    is_trading: bool
    """Whether its signals may be raised: running, and nothing halted."""

    is_reconciled: bool = False
    """Whether the executor's newest book agrees with the venue's; False where nobody has said."""

    has_difference: bool = False
    marks: dict[InstrumentId, Decimal] = {}
    """Middle of the market of each of its instruments that has one."""


class PaperDayNoted(Event, frozen=True, kw_only=True):
    """What is known of a session's day on paper; the shell stores it."""

    day: PaperDay


class Share(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a part of the profit came from: price - slippage - fees + funding = profit."""

    price: Decimal | None = None
    slippage: Decimal | None = None
    fees: Decimal | None = None
    funding: Decimal | None = None
    """Received less paid."""

    profit: Decimal | None = None
    traded: Decimal | None = None
    """Notional of all executions."""


class RiskStatus(enum.StrEnum):
    """Whether a session is within its limits (S-04)."""

    WITHIN_LIMITS = "within_limits"
    BREACH_DETECTED = "breach_detected"
    UNKNOWN = "unknown"
    """Something it holds has no price."""


class SessionMeasure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One session as it stands: performance and risk. Amounts are in its share class."""

    session: SessionId
    strategy: str
    share_class: str
    engine_status: SessionState
    initial_capital: Decimal
    current_value: Decimal | None = None
    total_pnl: Decimal | None = None
    return_pct: Decimal | None = None
    drawdown: float | None = None
    """Fall from the high-water mark now, as a fraction of it."""

    figures: Figures
    """With maximum drawdown, Sharpe, and trades: round trips, orders, executions."""

    uptime_ns: int
    """How long it ran and could trade."""

    heartbeat_ns: int | None = None
    """When it was last looked at, ns since the epoch; None: never."""

    is_final: bool = False
    shares: dict[str, Share] = {}
    """By instrument."""

    risk: RiskStatus = RiskStatus.UNKNOWN
    breaches: tuple[SessionBreach, ...] = ()
