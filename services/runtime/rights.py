"""What each bus user must be allowed, and the check at the start that the server agrees.

A refused publish or subscribe reaches nobody but an error callback: a service without a right
would be deaf or mute and look well. So each asks the server for its rights before it serves.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from nats.errors import NoRespondersError, TimeoutError

from schemas.base import Event
from schemas.breakers import BreakerLevelsChanged
from schemas.compliance import LocateGranted
from schemas.confirmations import SignalAwaiting, SignalConfirmed, SignalWithdrawn
from schemas.control import (
    AccountMarked,
    BreakerStateChanged,
    BreakerTripped,
    BreakerWarned,
    ControlAnswered,
    EpochEnded,
    EpochStarted,
    HaltAcknowledged,
    HaltConfirmed,
    HaltRequested,
    LeaseAnswered,
    LeaseAsked,
    PrepareAsked,
    Prepared,
)
from schemas.errors import BusError
from schemas.executions import BookReported, ExecutionEvent
from schemas.health import AlertRaised, DeadLettered, HealthReported
from schemas.limits import AccountHealthReported, LimitsChanged, LimitsTightened
from schemas.market import (
    BarClosed,
    BookChanged,
    FeedEnded,
    FundingPublished,
    InstrumentStatusChanged,
    LendingRatesPublished,
    LiquidityPublished,
    ProtocolBalancePublished,
    QuoteReceived,
    StakingRatePublished,
    StatesTold,
    TradeReceived,
)
from schemas.market_rules import (
    ClosingPricePublished,
    MarketWideHaltDeclared,
    PriceBandPublished,
    ShortSaleRestrictionChanged,
)
from schemas.measures import SessionValued
from schemas.orders import (
    CancelApproved,
    CancelRequested,
    OrderApproved,
    SignalDecided,
    SignalRaised,
)
from schemas.reconciliation import BookAdjusted, ReconciliationReported
from schemas.repeats import FactRepeated
from schemas.reports import ReportDelivered, ReportMade, TermsDeclared, UptimeMeasured
from schemas.restrictions import (
    FlattenReported,
    LockRequested,
    LocksChanged,
    RestrictionCleared,
    RestrictionsChanged,
)
from schemas.scan import OpportunityFound
from schemas.sessions import (
    PositionsAdopted,
    SessionCreated,
    SessionStateChanged,
    SignalBlocked,
    StrategyFailed,
)
from schemas.settlement import PositionSettled
from schemas.streams import CONTROL, STREAMS
from schemas.subjects import EPOCH_RECORD, FLATTEN, HALTING, QUERY, SUBJECTS, subjects_of
from services.control import ControlGuard
from services.runtime.fastpath import BusConnection

ASK = "$SYS.REQ.USER.INFO"
"""The server's answer to whoever asks: which user they are, and what that user may do."""

ASK_TIMEOUT_S = 2.0
_EVERYONE = (HaltRequested, HealthReported, AlertRaised, DeadLettered)
_FORBIDS = tuple(each for root in HALTING for each in (root, f"{root}.>"))
"""What anyone may say: halts and restrictions, of all and of a part."""

_SAYS: dict[str, tuple[type[Event], ...]] = {
    "feed": (
        QuoteReceived,
        TradeReceived,
        BarClosed,
        BookChanged,
        FundingPublished,
        LendingRatesPublished,
        StakingRatePublished,
        LiquidityPublished,
        ProtocolBalancePublished,
        InstrumentStatusChanged,
        PriceBandPublished,
        ClosingPricePublished,
        ShortSaleRestrictionChanged,
        MarketWideHaltDeclared,
        StatesTold,
        FeedEnded,
        OpportunityFound,
    ),
    "strategy": (
        SignalRaised,
        CancelRequested,
        SessionCreated,
        SessionStateChanged,
        PositionsAdopted,
        StrategyFailed,
        SessionValued,
        SignalAwaiting,
        SignalConfirmed,
        SignalWithdrawn,
        SignalBlocked,
        Prepared,
        ControlAnswered,
        HaltAcknowledged,
    ),
    "gate": (
        SignalDecided,
        OrderApproved,
        CancelApproved,
        Prepared,
        HaltAcknowledged,
        LeaseAsked,
        LockRequested,
        LimitsChanged,
        LimitsTightened,
        ControlAnswered,
    ),
    "executor": (
        *ExecutionEvent.__subclasses__(),
        PositionSettled,
        BookReported,
        ReconciliationReported,
        BookAdjusted,
        FactRepeated,
        SignalRaised,  # of a flatten: they pass the gate like all others
        FlattenReported,
        LockRequested,
        RestrictionCleared,
        ControlAnswered,
        AccountHealthReported,
        LocateGranted,
        Prepared,
        HaltAcknowledged,
        HaltConfirmed,
        LeaseAsked,
    ),
    "breaker": (
        PrepareAsked,
        EpochStarted,
        EpochEnded,
        LeaseAnswered,
        ControlAnswered,
        BreakerTripped,
        BreakerWarned,
        BreakerLevelsChanged,
        BreakerStateChanged,
        AccountMarked,
        HaltAcknowledged,
        LockRequested,
        LocksChanged,
        RestrictionsChanged,
    ),
    "recorder": (HaltAcknowledged, LockRequested),
    "reports": (ReportMade, ReportDelivered, TermsDeclared, UptimeMeasured, ControlAnswered),
}
"""What each service says beside what everyone may."""

_SIGNED = frozenset({HealthReported, HaltAcknowledged, HaltConfirmed, Prepared, RestrictionCleared})
"""Events with their publisher's name in the subject: each may say them of itself only."""

_ASKS: dict[str, tuple[str, ...]] = {
    "feed": tuple(
        f"{QUERY}.{name}" for name in ("strategy", "gate", "executor", "venue", "breaker")
    ),
    "gate": (f"{QUERY}.executor",),
    "strategy": tuple(f"{QUERY}.{name}" for name in ("gate", "executor", "recorder")),
    "breaker": (
        EPOCH_RECORD,
        FLATTEN,
        f"{QUERY}.executor",
        f"$JS.API.STREAM.INFO.{CONTROL.name}",
        f"$JS.API.STREAM.MSG.GET.{CONTROL.name}",
    ),
    "recorder": (
        *(f"$JS.API.STREAM.CREATE.{spec.name}" for spec in STREAMS),
        "$JS.API.STREAM.INFO.*",
        "$JS.API.STREAM.MSG.GET.*",
        "$JS.API.CONSUMER.CREATE.*.*",
        "$JS.API.CONSUMER.MSG.NEXT.*.*",
        "$JS.ACK.>",
    ),
}
"""What is asked of the server's storage, and of others."""


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """Subjects, with wildcards, that one bus user says and hears."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def rights_needed(
    name: str,
    hears: Iterable[type[Event]],
    *,
    requests: Iterable[str] = (),
    guard: ControlGuard | None = None,
) -> Rights:
    """Return what the service `name` cannot work without."""
    says: tuple[type[Event], ...] = (*_SAYS.get(name, ()), *_EVERYONE)
    publish = [_own(name, event) if event in _SIGNED else SUBJECTS[event] for event in says]
    subscribe = [*subjects_of(*sorted(hears, key=lambda event: event.__name__)), *requests]
    if guard is not None:
        told = subjects_of(EpochStarted, EpochEnded, LocksChanged)
        subscribe += [*HALTING, *told, _own(name, LeaseAnswered)]
    subscribe += [f"{root}.>" for root in HALTING if root in subscribe]
    subscribe += [f"{QUERY}.{name}", f"_INBOX.{name}.>", f"$SRV.PING.{name}"]
    return Rights(
        publish=tuple(dict.fromkeys((*publish, *_FORBIDS, *_ASKS.get(name, ())))),
        subscribe=tuple(dict.fromkeys(subscribe)),
    )


def rights_missing(needed: Rights, granted: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what is needed and not `granted`, in words; `granted` is as the server tells it."""
    missing: list[str] = []
    for verb in ("publish", "subscribe"):
        rules = granted.get(verb) or {}
        allowed, denied = rules.get("allow") or (), rules.get("deny") or ()
        for subject in getattr(needed, verb):
            is_allowed = not allowed or any(covers(rule, subject) for rule in allowed)
            if not is_allowed or any(overlap(rule, subject) for rule in denied):
                missing.append(f"{verb} {subject}")
    if (granted.get("publish") or {}).get("allow") and not granted.get("responses"):
        missing.append("answer requests (allow_responses)")
    return tuple(missing)


async def check_rights(connection: BusConnection, name: str, needed: Rights) -> bool:
    """Return whether the bus is guarded at all; False where anybody may say anything.

    Raises:
        BusError: SLU-121 a right that the service needs is missing; it names each one.
    """
    try:
        answer = await connection.request(ASK, b"", timeout=ASK_TIMEOUT_S)
    except NoRespondersError:
        return False  # a server too old to say, which then refuses with its own words
    except TimeoutError as error:
        found = "; ".join(connection.refusals) or f"no answer in {ASK_TIMEOUT_S:g} s"
        raise _refused(name, found, f"publish {ASK}") from error
    told = msgspec.json.decode(answer.data)["data"]
    granted = told.get("permissions")
    if granted is None:
        return bool(told.get("user"))
    missing = rights_missing(needed, granted)
    if missing:
        raise _refused(name, "not allowed to " + "; ".join(missing), "these rights")
    return True


def covers(rule: str, subject: str) -> bool:
    """Return whether every subject that `subject` stands for is one that `rule` stands for."""
    rules, tokens = rule.split("."), subject.split(".")
    for index, token in enumerate(rules):
        if token == ">":
            return index < len(tokens)
        if index >= len(tokens) or tokens[index] == ">":
            return False
        if token not in ("*", tokens[index]):
            return False
    return len(rules) == len(tokens)


def overlap(rule: str, subject: str) -> bool:
    """Return whether some subject is one that both stand for."""
    for left, right in zip(rule.split("."), subject.split("."), strict=False):
        if ">" in (left, right):
            return True
        if left != right and "*" not in (left, right):
            return False
    return rule.count(".") == subject.count(".")


def _own(name: str, event: type[Event]) -> str:
    return SUBJECTS[event].replace("*", name)


def _refused(name: str, found: str, wanted: str) -> BusError:
    return BusError(
        "SLU-121",
        user=name,
        found=found,
        wanted=f"{wanted} for user {name} in ops/nats/server.conf, and its key in var/keys",
    )
