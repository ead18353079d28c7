"""Facts about the system: halts, starts, epochs, leases, breakers.

Requests that a person writes by hand (`nats req control.start '{"operator": "kim"}'`) are plain
strict Structs: no `type` needed, and one field too many refuses the whole request.
"""

import enum
from decimal import Decimal
from typing import Any

import msgspec

from schemas.base import AccountId, BootId, Event, InstrumentId, SessionId
from schemas.errors import FieldError
from schemas.restrictions import LockRequested, Restriction, RestrictionRequested


class BreakerState(enum.StrEnum):
    """Why trading is or is not possible (B-06)."""

    NORMAL = "NORMAL"
    TRIPPED = "TRIPPED"
    MANUALLY_HALTED = "MANUALLY_HALTED"
    RESETTING = "RESETTING"


class TradingState(enum.StrEnum):
    """What a component may do now."""

    HALTED = "HALTED"
    ARMED = "ARMED"
    """It has a new epoch and waits for its first lease."""

    RUNNING = "RUNNING"
    REDUCING = "REDUCING"
    LOCKED = "LOCKED"
    """Halted, and an operator must unlock it with a reason."""


class HaltRequested(Event, frozen=True, kw_only=True):
    """Somebody pulled the cord. Whatever stands on `control.halt` becomes one of these."""

    reason: str = ""
    operator: str = ""
    scope: str = "all"
    """`all`, or `<kind>.<id>`; a component that does not know the scope halts all."""

    payload_bytes: int = 0
    """Size of the message as it came; its bytes decided nothing."""


class HaltAcknowledged(Event, frozen=True, kw_only=True):
    """A component has halted: it starts no order until a new epoch."""

    component: str
    boot_id: BootId
    halts: int
    """Halts this process has heard since it started."""

    fence: int
    """Highest epoch that this component will never serve again."""


class HaltConfirmed(Event, frozen=True, kw_only=True):
    """The venue shows nothing of ours that rests and increases exposure."""

    component: str
    cancelled_count: int
    resting_count: int
    """Orders that still rest at the venue; not 0 means the list in `detail` is not yet gone."""

    detail: str = ""


class StartRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`control.start`: start a session, or (no `strategy`) trading of the sessions there are.

    Strict: an unknown field, a bad value or a missing operator starts nothing (S-01).
    """

    operator: str
    """Who asks; kept in the audit trail."""

    reason: str = ""
    strategy: str | None = None
    symbols: tuple[str, ...] = ()
    """Instrument ids, `<venue>:<symbol>`; a bare symbol is looked up."""

    initial_capital: Decimal | None = None
    share_class: str = "USDT"
    execution_mode: str = "AUTO"
    config_overrides: dict[str, Any] = {}
    risk_limits: dict[str, Any] = {}
    monitoring_enabled: bool = True
    live_account: AccountId | None = None
    """For real money: the account that is meant, in full. Refused where only paper is traded."""


class ResetRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`control.reset`: permit a start again. It starts nothing."""

    operator: str
    reason: str
    halt: int
    """Number of the newest halt, as `sluice status` shows it: proof that it was seen (I7)."""


class SessionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`control.stop`, `control.pause`, `control.resume`: one session, or all of them."""

    operator: str
    reason: str = ""
    session: SessionId | None = None


class StartAsked(Event, frozen=True, kw_only=True):
    """A decoded and authorised `control.start`, on its way to the arbiter's core."""

    start_id: str
    request: StartRequest


class ResetAsked(Event, frozen=True, kw_only=True):
    """A decoded `control.reset`, on its way to the arbiter's core."""

    request_id: str
    request: ResetRequest


class SessionAsked(Event, frozen=True, kw_only=True):
    """A decoded `control.stop|pause|resume`, on its way to the strategy core."""

    request_id: str
    action: str
    request: SessionRequest


class ControlAnswered(Event, frozen=True, kw_only=True):
    """The answer to a control request; sent to its reply subject and on `control.result`."""

    request_id: str
    request: str
    """`start`, `reset`, `unlock`, `flatten`, `stop`, `pause`, `resume`, and what else is asked."""

    is_ok: bool
    message: str
    errors: tuple[FieldError, ...] = ()
    epoch: int = 0
    session: SessionId | None = None


class PrepareAsked(Event, frozen=True, kw_only=True):
    """The arbiter asks everyone on the order path whether a start may be."""

    start_id: str
    request: StartRequest


class Prepared(Event, frozen=True, kw_only=True):
    """One component's answer. Good for this start only, and only while `halts` stands."""

    start_id: str
    component: str
    boot_id: BootId
    limits_hash: str
    """Hash of the configuration it runs with; all must agree. Empty: does not take part."""

    halts: int
    epoch_max: int
    """Highest epoch this component has ever seen."""

    is_reconciled: bool
    errors: tuple[FieldError, ...] = ()
    """Why it cannot start; empty when it can."""

    session: SessionId | None = None
    """From the strategy service: the id the new session will have."""

    restriction_count: int = 0
    """Restrictions this process has heard since it started."""

    unconfirmed: tuple[Restriction, ...] = ()
    """Those of them, since the newest epoch, of which the arbiter has not told it."""


class Member(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One component that an epoch is for."""

    boot_id: BootId
    halts: int
    restriction_count: int = 0
    """As it prepared; what it has heard since then, it keeps when it arms."""


class EpochProposed(Event, frozen=True, kw_only=True):
    """The arbiter wants this epoch stored; its shell writes it with the expected sequence."""

    start: "EpochStarted"
    expected_last_seq: int
    """Last sequence of the CONTROL stream that the arbiter knew when it decided."""


class EpochRefused(Event, frozen=True, kw_only=True):
    """The server refused to store an epoch: the control stream had moved (a halt came between)."""

    epoch: int
    detail: str


class EpochStarted(Event, frozen=True, kw_only=True):
    """A new epoch, stored on the CONTROL stream. Arms the components it names, no other."""

    epoch: int
    start_id: str
    operator: str
    members: dict[str, Member]
    session: SessionId | None = None
    request: StartRequest | None = None
    gate_token: int = 0
    stream_seq: int = 0
    """Its own place on the CONTROL stream; 0 in the stored copy, which cannot know it."""

    restrictions: tuple[Restriction, ...] = ()
    """What was in force when it was stored; a component takes these over when it arms."""


class EpochEnded(Event, frozen=True, kw_only=True):
    """The arbiter leases this epoch no more: a member restarted, or a breaker service did."""

    epoch: int
    reason: str


class EpochStored(Event, frozen=True, kw_only=True):
    """The proposed epoch stands on the CONTROL stream; it may now be announced."""

    epoch: int
    stream_seq: int


class ControlSequenceAsked(Event, frozen=True, kw_only=True):
    """The arbiter wants the newest record of the CONTROL stream, read after this moment."""

    read_id: int


class ControlRecordRead(Event, frozen=True, kw_only=True):
    """One record of the CONTROL stream, told in order and once: a halt, or an epoch's start."""

    stream_seq: int
    stored_ns: int = 0
    """When the server stored it: with its place, what tells it from any other; 0: not known."""

    halt: HaltRequested | None = None
    """Its `at_ns` is when the server stored it."""

    epoch: int = 0
    """The epoch that this record starts; 0 if it is none."""

    restriction: RestrictionRequested | None = None
    """Its `at_ns` is when the server stored it."""

    locks: tuple[LockRequested, ...] = ()
    """Of one message, in order."""


class ControlSequenceRead(Event, frozen=True, kw_only=True):
    """What the newest record of the CONTROL stream was; all records up to it were told before."""

    last_seq: int
    """Sequence of the newest record; 0 while there is none."""

    read_id: int = 0
    """Of the newest question that had been asked when this read began."""

    epoch: int = 0
    """The epoch that the newest record starts; 0 if it is something else."""

    disk_free_bytes: int = -1
    """Free space where the journals are; -1 not known, and then nothing may start."""


class LeaseAsked(Event, frozen=True, kw_only=True):
    """A component asks for permission to go on. `at_ns` is its own clock when it asked."""

    component: str
    boot_id: BootId
    epoch: int
    halts: int


class LeaseAnswered(Event, frozen=True, kw_only=True):
    """Yes, until one lease after `asked_ns`; or no, with the reason."""

    component: str
    boot_id: BootId
    epoch: int
    asked_ns: int
    """`at_ns` of the question, on the asker's clock: the lease runs from there (M3)."""

    is_granted: bool
    reason: str = ""
    restrictions: tuple[Restriction, ...] = ()
    """All that the arbiter knows of; a component adds those that it has not heard."""


class Response(enum.StrEnum):
    """What a breaker does when a level of its own is passed (B-08)."""

    WARN = "warn"
    REDUCE = "reduce"
    HALT = "halt"
    FLATTEN = "flatten"


class BreakerWarned(Event, frozen=True, kw_only=True):
    """A breaker's input passed a level that only warns."""

    breaker: str
    reason: str
    value: str
    limit: str


class BreakerTripped(Event, frozen=True, kw_only=True):
    """A breaker's input passed its limit. Its response goes out with it."""

    breaker: str
    reason: str
    value: str
    limit: str
    response: Response = Response.HALT
    """What went out with it: a halt, a REDUCE of all, or a flatten of all."""


class BreakerStateChanged(Event, frozen=True, kw_only=True):
    """The arbiter's state word changed."""

    previous: BreakerState
    state: BreakerState
    reason: str
    operator: str = ""
    halt: int = 0
    """Number of the newest halt."""


class AccountMarked(Event, frozen=True, kw_only=True):
    """What an account is worth now, at the latest mid prices; about once a second."""

    account: AccountId
    equity: Decimal
    cash: Decimal
    high_water_mark: Decimal
    drawdown: Decimal
    """Fraction below the high-water mark, 0 or more."""

    unmarked: tuple[str, ...] = ()
    """Instruments held that have no price: equity is then not known, and says so here."""

    marks: dict[InstrumentId, Decimal] = {}
    """Mid price of everything held that has one: the equity can be made again from these."""


class HighWaterMarkSet(Event, frozen=True, kw_only=True):
    """The drawdown breaker's reference: a new high, or set anew by a person's reset."""

    account: AccountId
    high_water_mark: Decimal
    reason: str


class BookWanted(Event, frozen=True, kw_only=True):
    """The breaker service does not know the account's book (any more) and asks for it."""

    account: AccountId
