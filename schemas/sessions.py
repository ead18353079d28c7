"""Facts about sessions and strategies."""

import enum
from decimal import Decimal
from typing import Any

import msgspec

from schemas.base import (
    AccountId,
    Event,
    ExecutionId,
    InstrumentId,
    OrderId,
    SessionId,
    SignalId,
)
from schemas.executions import PositionView
from schemas.orders import Side


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

    breaches: "tuple[SessionBreach, ...]" = ()
    """Its own limits that are reached now; of what is not known nothing is said here."""

    held: str = ""
    """Of one that runs: what forbids it to trade now, or to increase, though it does not itself."""


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

    max_positions: Decimal | None = None
    """How many instruments it may hold or enter; a whole number. This and what follows is held by
    the strategy service, and takes the place of what is configured there (S-08)."""

    max_position_size: Decimal | None = None
    """Notional of a position, open orders included."""

    max_position_size_pct: Decimal | None = None
    """The same, in percent of the session's equity."""

    max_daily_loss: Decimal | None = None
    """Loss since the day's open that pauses the session."""

    max_daily_loss_pct: Decimal | None = None
    """The same, in percent of the session's equity at the day's open."""

    max_drawdown: Decimal | None = None
    """Fall below the session's own highest equity that pauses it, as a fraction."""


HELD_BY_GATE = ("order_notional_max", "position_notional_max", "gross_notional_max")
"""Those of `SessionLimits` that the gate holds; the strategy service holds the others."""


class SessionBreach(msgspec.Struct, frozen=True, kw_only=True):
    """One limit of a session, and what it is compared with (S-04, S-08)."""

    limit_name: str
    """As the limit is configured: `max_daily_loss_pct`."""

    limit: Decimal
    current: Decimal
    """In the limit's own unit."""

    detail: str = ""
    """Of which instrument, where it is one's."""

    @property
    def over_pct(self) -> Decimal:
        """Return by how much it is over, in percent of the limit."""
        return (self.current / self.limit - 1) * 100


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
    capital_unit: Decimal = Decimal(1)
    """What one unit of the share class was worth when it was made, in the account's currency."""

    execution_mode: str = "AUTO"
    parameters: dict[str, Any] = {}
    """The strategy's parameters, with the overrides of the start laid over the configured ones."""

    strategy_version: str = ""
    """Hash of the strategy's code or formula file; empty where it could not be read."""

    operator: str = ""
    risk_limits: SessionLimits = SessionLimits()
    """What the start named; gate and strategy service hold it to them."""

    config_hash: str = ""
    """Names the configuration of the strategy service that it was made under."""

    @property
    def capital(self) -> Decimal:
        """Return the initial capital in the account's currency: what positions are sized by."""
        return self.initial_capital * self.capital_unit


class PositionsAdopted(Event, frozen=True, kw_only=True):
    """A session took over holdings that the account has and no session had accounted for.

    They were there before it, or their executions were missed while the service was away, or a
    flatten closed what the session held.
    """

    session: SessionId
    account: AccountId = AccountId("")
    """Empty in records of before it was told."""

    positions: tuple[PositionView, ...]
    """What is added to the session's own fold: signed quantity, at an average price."""

    reason: str = ""
    taken_from: SessionId | None = None
    """Whose it was before: an ended session's; or a flatten's, whose execution closed it. None:
    nobody's."""

    execution_id: ExecutionId | None = None
    """Of a flatten's execution: each is taken over once."""

    is_told: bool = False
    """Whether the executions were told, and only the strategy service had missed them."""


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


class SignalBlocked(Event, frozen=True, kw_only=True):
    """A session's own limits kept a signal from the gate; nothing was sent (S-08)."""

    session: SessionId
    account: AccountId
    strategy: str
    signal_id: SignalId
    instrument: InstrumentId
    side: Side
    quantity: Decimal
    order_id: OrderId = OrderId("")
    """That the order would have had."""

    rule: str
    """The limit that stood against it: `max_positions`, `max_concurrent_trades`, ..."""

    reason: str
    """In words, with what was found and what is allowed."""


class SessionMarked(Event, frozen=True, kw_only=True):
    """The references of a session's loss and drawdown changed; kept, so that they outlive us."""

    session: SessionId
    day_open_ns: int
    """When the day began that the loss is counted from, ns since the epoch."""

    day_equity: Decimal
    peak_equity: Decimal


class StateRemembered(Event, frozen=True, kw_only=True):
    """What a session's strategy must still know after a restart: a stop, say; kept."""

    session: SessionId
    key: str
    value: Any = None
    """As JSON has it, in place of what was kept under this key; None: nothing is any more."""
