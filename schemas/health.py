"""How the services are, and what they answer when asked."""

import enum
from decimal import Decimal
from typing import Any

import msgspec

from schemas.base import BootId, Event
from schemas.confirmations import AwaitingView
from schemas.control import BreakerState, Response, TradingState
from schemas.limits import LimitView
from schemas.measures import SessionMeasure, Share
from schemas.restrictions import Lock, Restriction
from schemas.sessions import SessionView


class Severity(enum.StrEnum):
    """How soon a person must look."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class AlertRaised(Event, frozen=True, kw_only=True):
    """Something a person should know."""

    severity: Severity
    component: str
    code: str
    """From the error registry, `schemas.errors.REGISTRY`."""

    message: str
    fields: dict[str, str] = {}


class HealthReported(Event, frozen=True, kw_only=True):
    """A service is alive; each second on `health.<service>`."""

    service: str
    boot_id: BootId
    pid: int
    uptime_s: float
    is_ready: bool
    """Connected, its rights checked, its state rebuilt."""

    trading_state: TradingState | None = None
    """Of gate and executor; None for who has none."""

    epoch: int = 0
    halts: int = 0
    lease_age_ms: float | None = None
    """Since the last granted lease was asked for; None when there is none."""

    received_count: int = 0
    published_count: int = 0
    dead_letter_count: int = 0
    gap_count: int = 0
    rss_bytes: int = 0
    detail: str = ""
    lag_ms: float | None = None
    """Age of the oldest event handled since the last report; None: nothing came, or not told."""

    memory_used_share: float | None = None
    """Part of the machine's memory that is in use, 0 to 1; None where it is not told."""


class GapSeen(Event, frozen=True, kw_only=True):
    """Told to a core by its runtime: events of `publisher` on `subject` are missing."""

    subject: str
    publisher: str
    expected_seq: int
    got_seq: int


class LinkChanged(Event, frozen=True, kw_only=True):
    """Told to a core by its runtime: the bus connection was lost or came back."""

    is_up: bool
    detail: str = ""


class DeadLettered(Event, frozen=True, kw_only=True):
    """A message nobody could read, kept for a person to look at; on `dead.letters`."""

    subject: str
    reason: str
    component: str
    payload_base64: str
    """At most the first 4,096 bytes."""

    payload_bytes: int


class ArbiterReported(Event, frozen=True, kw_only=True):
    """The breaker service's answer to `query.breaker`."""

    breaker_state: BreakerState
    halts: int
    """Number of the newest halt; what a reset must name."""

    halt_reason: str = ""
    halt_operator: str = ""
    halt_at_ns: int = 0
    epoch: int = 0
    is_leasing: bool = False
    detail: str = ""
    equity: Decimal | None = None
    """None: not known (a held instrument has no price, or no account was marked yet)."""

    breakers: tuple["BreakerView", ...] = ()
    trading_state: TradingState = TradingState.HALTED
    """What all components together may do."""

    restrictions: tuple[Restriction, ...] = ()
    """In force: of parts, or REDUCE."""

    locks: tuple[Lock, ...] = ()
    """Not yet taken away; while there is one nothing can be reset or started."""

    rebases: tuple[str, ...] = ()
    """What a reset would measure anew, a breaker each, in words with numbers."""

    disk_free_bytes: int | None = None
    """Free space where the journals are, as it was last read; None: not known."""


class BreakerView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One breaker as it stands now."""

    name: str
    formula: str
    value: str
    limit: str
    is_tripped: bool = False
    detail: str = ""
    unit: str = ""
    """Of `value`, `limit` and the levels as they are configured."""

    inputs: dict[str, str] = {}
    """What the value is made from, by name, as people read it."""

    levels: tuple["LevelView", ...] = ()
    """The one that is reached first at the front."""

    distance: str = ""
    """From the value to the next level; `unknown` where the value is."""

    since_ns: int = 0
    """When it tripped, ns since the epoch; 0 while it has not."""

    on_reset: str = ""
    """What a reset after a trip does to its window, peak or base."""


class LevelView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One level of a breaker as it stands now (B-08)."""

    at: str
    response: Response
    is_reached: bool = False
    since_ns: int = 0
    """When it was passed and said so, ns since the epoch; 0 if it was not, or was reset."""


class GateReported(Event, frozen=True, kw_only=True):
    """The gate's answer to `query.gate`."""

    trading_state: TradingState
    epoch: int
    limits_hash: str
    decided_count: int
    approved_count: int
    rejected_by_rule: dict[str, int] = {}
    exposure: dict[str, str] = {}
    """Worst-case notional by instrument, as decimal strings."""

    limits: dict[str, Any] = {}

    limits_change_seq: int = 0
    """Of the newest change by an operator; 0 when everything is as configured."""

    in_force: tuple[LimitView, ...] = ()
    """Limits of accounts, and those of instruments that are changed, tightened or held."""


class SessionsReported(Event, frozen=True, kw_only=True):
    """The strategy service's answer to `query.strategy`."""

    sessions: tuple[SessionView, ...] = ()
    awaiting: tuple[AwaitingView, ...] = ()
    """Signals that wait for a person, oldest first."""

    measures: tuple[SessionMeasure, ...] = ()
    """How each session does; empty where nobody measures."""

    attribution: dict[str, dict[str, Share]] = {}
    """Profit of all sessions by `session`, `strategy`, `symbol` and `share_class`, in the account's
    currency."""


class FeedReported(Event, frozen=True, kw_only=True):
    """The feed's answer to `query.feed`."""

    source: str
    counts: dict[str, int] = {}
    rate_per_s: float = 0.0
    is_ended: bool = False
    stale: tuple[str, ...] = ()
    """Instruments without news for longer than their limit."""

    quotes: dict[str, str] = {}
    """Latest `bid/ask` by instrument."""

    top_checks_count: int = 0
    """How often the book built from updates was compared with the venue's own best bid and ask of
    the same update id."""

    top_differs_count: int = 0
    """How often they differed; anything but 0 is a fault."""

    detail: str = ""


class RecorderReported(Event, frozen=True, kw_only=True):
    """The recorder's answer to `query.recorder`."""

    is_durable: bool
    """Every stream has the durable profile; anything less is NOT DURABLE."""

    detail: str
    recorded_count: int
    lag_count: int
    """Messages stored on the bus and not yet on the recorder's own disk."""

    chain_head: str = ""
    last_recorded_ns: int = 0
    anchored_count: int = 0
    """Records up to the newest signed end that every place outside was told; 0: none yet."""

    anchoring_trouble: str = ""
    """What keeps a place outside from being told the newest; empty if nothing does."""


class ServiceView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One supervised process."""

    name: str
    state: str
    """`starting`, `running`, `backoff`, `crash-loop`, `stopped`."""

    pid: int = 0
    uptime_s: float = 0.0
    restarts: int = 0
    detail: str = ""


class SupervisorReported(Event, frozen=True, kw_only=True):
    """The supervisor's answer to `query.supervisor`."""

    services: tuple[ServiceView, ...] = ()
