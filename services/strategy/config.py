"""What the strategy service may be told."""

import enum
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from services.strategy.confirmations import ConfirmationTerms

Positive = Annotated[int, msgspec.Meta(gt=0)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
Patience = Annotated[int, msgspec.Meta(gt=0, le=60_000)]
"""In milliseconds. Health calls a session unhealthy after 300 s: one that spins is found before."""


class ExtendedHours(enum.StrEnum):
    """Which hours beside the regular ones strategies are told of the market in (S-07)."""

    NONE = "none"
    PRE = "pre"
    POST = "post"
    BOTH = "both"


class Isolation(enum.StrEnum):
    """Which strategies run in processes of their own."""

    OWN_CODE = "own_code"
    """Those of a person's own modules; what comes with this program runs in the service."""

    ALL = "all"
    NONE = "none"


class RiskLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every session is held to where its start names nothing tighter or looser (S-08, S-11).

    Amounts are in the account's currency; a percentage is a number like 5 for 5 %.

    Raises:
        ValueError: a limit is not above 0.
    """

    max_drawdown: Decimal | None = Decimal("0.05")
    """Fall of the session's equity below its own peak that pauses it, as a fraction."""

    max_position_size: Decimal | None = Decimal(1_000_000)
    """Notional of a position, open orders included: what would go beyond is not sent."""

    max_daily_loss: Decimal | None = Decimal(10_000)
    """Loss since the day's open that pauses the session."""

    max_daily_loss_pct: Decimal | None = None
    """The same, in percent of the session's equity at the day's open."""

    max_position_size_pct: Decimal | None = None
    """Notional of a position in percent of the session's equity."""

    max_positions: Decimal | None = None
    """How many instruments a session may hold or have entries on their way in; a count."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not (value.is_finite() and value > 0):
                raise ValueError(f"{name} is {value}: wanted a number above 0, or nothing")


class Monitoring(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often sessions are looked at, in seconds (S-11)."""

    memory_s: Positive = 30
    risk_s: Positive = 10
    position_s: Positive = 5


class ExecutionLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of trade execution, by the names that S-11 gives them."""

    timeout_seconds: Positive = 7_200
    """Longest time one order may be at work, resting included; then it is cancelled."""

    max_concurrent_trades: Positive = 3
    """How many executions of one session are under way at the same time; further entries wait for
    one of them to end, exits and cancels never do."""

    memory_limit_mb: Positive = 4_096
    """Memory of the strategy service's own process; over it, the sessions in it end cleanly."""

    risk_management_enabled: bool = True
    """Whether sessions are held to `risk_limits` and to what their start names. The gate's limits
    hold in any case."""

    execution_timeout_s: Positive = 30
    """Longest time until an order is done, or rests at the venue; then it is cancelled."""

    position_size_limit: Decimal | None = Decimal(1_000_000)
    """Notional that one position of any session may come to, whatever its start names and whether
    or not its risk is managed; nothing: only the gate's limits hold."""

    risk_limits: RiskLimits = RiskLimits()
    monitoring: Monitoring = Monitoring()

    def __post_init__(self) -> None:
        most = self.position_size_limit
        if most is not None and not (most.is_finite() and most > 0):
            raise ValueError(f"position_size_limit is {most}: wanted an amount above 0, or nothing")


UNHELD = ExecutionLimits(
    risk_management_enabled=False,
    position_size_limit=None,
    max_concurrent_trades=1_000_000,
    execution_timeout_s=86_400,
    timeout_seconds=86_400,
)
"""For measurements and simulations of what stands behind: sessions are held to nothing here."""


class StrategyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which strategies there are, what they are told, and how many sessions may run."""

    classes: dict[str, str] = {}
    """Strategies of your own: the name to start them by, and `module:Class`."""

    folders: tuple[str, ...] = ()
    """Folders searched for the modules of your own strategies, before the installed ones."""

    formulas: tuple[str, ...] = ()
    """Folders of formula files (`*.toml`): each is a strategy by its file's name."""

    parameters: dict[str, dict[str, Any]] = {}
    """Parameters by strategy name. `config_overrides` of a start are laid over them, field by
    field; what neither sets has the strategy's own default."""

    signal_expiry_ms: Positive = 2_000
    """How long a signal may still become an order at the venue, in milliseconds."""

    sessions_max: Positive = 5
    """How many sessions may be running or paused at the same time; a count."""

    confirmation: ConfirmationTerms = ConfirmationTerms()
    """For sessions in SEMI_AUTO and MANUAL: how a person confirms their signals."""
    session_timeout_s: Natural = 3_600
    """How long a session may live, in seconds; then it ends as completed. 0: without end."""

    session_memory_mb_max: Positive = 1_024
    """Memory that one session may take, in megabytes; over it, it ends cleanly."""

    extended_hours: ExtendedHours = ExtendedHours.NONE
    """In which hours beside the regular ones of an instrument's calendar strategies are told."""

    execution: ExecutionLimits = ExecutionLimits()

    isolation: Isolation = Isolation.OWN_CODE
    """Which sessions run in a process of their own, where nothing they do harms another."""

    answer_ms_max: Patience = 2_000
    """How long the process of a session may take to answer; then the session has failed."""

    load_ms_max: Patience = 5_000
    """How long it may take to load its strategy and to begin."""

    check_ms_max: Positive = 1_800
    """How long loading it and checking a start may take there; the arbiter waits 2 s for all."""

    behind_max: Positive = 4_096
    """Events that may wait for such a process; quotes are conflated and do not count."""
