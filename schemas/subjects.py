"""Where each event lives on the bus: one table, read by whoever publishes or listens."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from schemas import (
    breakers,
    compliance,
    confirmations,
    control,
    executions,
    health,
    isolation,
    limits,
    market,
    market_rules,
    measures,
    orders,
    prerequisites,
    reconciliation,
    recording,
    repeats,
    reports,
    restrictions,
    scan,
    sessions,
    settlement,
)
from schemas.base import Event, InstrumentId
from schemas.executions import ExecutionEvent
from schemas.instruments import symbol_of, venue_of
from schemas.venue import VenueMessage

HALT = "control.halt"
"""Anything here, or one token below, halts: whatever its bytes."""

REDUCE = "control.reduce"
"""Anything here, or below, lets only orders pass that reduce exposure: whatever its bytes."""

HALTING = (HALT, REDUCE)
"""Whatever its bytes, a message on one of these or below forbids something at once."""

FLATTEN, UNLOCK, LOCK = "control.flatten", "control.unlock", "control.lock"
BREAKER = "control.breaker"
"""A person puts other levels in the place of a breaker's own."""

RECONCILE = "control.reconcile"
START, RESET, STOP = "control.start", "control.reset", "control.stop"
PAUSE, RESUME = "control.pause", "control.resume"
CONFIRM = "control.confirm"
LIMITS = "control.limits"
REPORT = "control.report"
"""A person wants a report of a day."""

QUERY_SQL = "query.sql"
"""A SELECT over the record, answered by the reports service with a `QueryAnswer`."""

RESULT, LEASE = "control.result", "control.lease"
EPOCH_RECORD = "control.record.epoch"
"""Where the arbiter stores an epoch. It is announced on `control.epoch` only once it is stored, so
that nobody ever hears of an epoch that the server refused."""

DEAD_LETTERS = "dead.letters"
QUERY = "query"
"""`query.<service>` is answered with that service's own report (`Core.describe`)."""


@lru_cache(maxsize=65_536)
def _market(instrument: InstrumentId, kind: str) -> str:
    return f"market.{venue_of(instrument)}.{symbol_of(instrument)}.{kind}"


def _scan(event: Any) -> str:
    return f"scan.{event.rule}.{venue_of(event.instrument)}.{symbol_of(event.instrument)}"


@lru_cache(maxsize=65_536)
def _by_account(family: str, instrument: InstrumentId, account: str) -> str:
    return f"{family}.{venue_of(instrument)}.{account}"


@lru_cache(maxsize=65_536)
def _signal(session: str, instrument: InstrumentId) -> str:
    return f"signal.{session}.{symbol_of(instrument)}"


def _exec(event: Any) -> str:
    return _by_account("exec", event.instrument, event.account)


def _restriction(event: Any) -> str:
    root = HALT if event.level is restrictions.Level.HALT else REDUCE
    return root if event.scope == restrictions.ALL else f"{root}.{event.scope}"


SUBJECTS: dict[type[Event], str] = {
    market.QuoteReceived: "market.*.*.quote",
    market.TradeReceived: "market.*.*.trade",
    market.BarClosed: "market.*.*.bar",
    market.BookChanged: "market.*.*.book",
    market.FundingPublished: "market.*.*.funding",
    market.LendingRatesPublished: "market.*.*.lending",
    market.StakingRatePublished: "market.*.*.staking",
    market.LiquidityPublished: "market.*.*.liquidity",
    market.ProtocolBalancePublished: "market.*.*.balance",
    market.InstrumentStatusChanged: "market.*.*.status",
    market_rules.PriceBandPublished: "market.*.*.band",
    market_rules.ClosingPricePublished: "market.*.*.close",
    market_rules.ShortSaleRestrictionChanged: "market.*.*.short",
    market_rules.MarketWideHaltDeclared: "market.*.all.halt",
    market.StatesTold: "feed.states",
    market.FeedEnded: "feed.ended",
    scan.OpportunityFound: "scan.*.*.*",
    orders.SignalRaised: "signal.*.*",
    orders.CancelRequested: "signal.*.*",
    orders.SignalDecided: "risk.decision.*",
    orders.OrderApproved: "order.*.*",
    orders.CancelApproved: "order.*.*",
    **dict.fromkeys(ExecutionEvent.__subclasses__(), "exec.*.*"),
    settlement.PositionSettled: "exec.*.*",
    executions.BookReported: "book.*",
    reconciliation.ReconciliationReported: "book.*.reconciled",
    reconciliation.BookAdjusted: "book.*.adjusted",
    repeats.FactRepeated: "book.*.repeated",
    control.HaltRequested: HALT,
    control.HaltAcknowledged: "control.ack.*",
    control.HaltConfirmed: "control.confirmed.*",
    control.ControlAnswered: RESULT,
    control.PrepareAsked: "control.prepare",
    control.Prepared: "control.prepared.*",
    control.EpochStarted: "control.epoch",
    control.EpochEnded: "control.ended",
    control.LeaseAsked: LEASE,
    control.LeaseAnswered: "control.leased.*",
    control.BreakerTripped: "breaker.*",
    control.BreakerWarned: "breaker.*",
    control.BreakerStateChanged: "breaker.*",
    breakers.BreakerLevelsChanged: "breaker.*",
    control.AccountMarked: "risk.account.*",
    limits.LimitsChanged: "risk.limits",
    limits.LimitsTightened: "risk.tightened.*",
    limits.AccountHealthReported: "risk.health.*",
    compliance.LocateGranted: "risk.locate.*",
    restrictions.RestrictionRequested: REDUCE,
    restrictions.RestrictionAcknowledged: "control.ack.*",
    restrictions.RestrictionCleared: "control.confirmed.*",
    restrictions.FlattenReported: "control.flattened",
    restrictions.LockRequested: LOCK,
    restrictions.LocksChanged: "breaker.locks",
    restrictions.RestrictionsChanged: "breaker.restrictions",
    sessions.SessionCreated: "session.*.created",
    sessions.SessionStateChanged: "session.*.state",
    sessions.PositionsAdopted: "session.*.adopted",
    sessions.StrategyFailed: "session.*.failed",
    measures.SessionValued: "session.*.valued",
    confirmations.SignalAwaiting: "session.*.awaiting",
    confirmations.SignalConfirmed: "session.*.confirmed",
    confirmations.SignalWithdrawn: "session.*.withdrawn",
    sessions.SignalBlocked: "session.*.blocked",
    health.AlertRaised: "alert.*",
    health.HealthReported: "health.*",
    health.DeadLettered: DEAD_LETTERS,
    health.ArbiterReported: "report.breaker",
    health.GateReported: "report.gate",
    health.SessionsReported: "report.strategy",
    health.FeedReported: "report.feed",
    health.RecorderReported: "report.recorder",
    health.SupervisorReported: "report.supervisor",
    reports.ReportsReported: "report.reports",
    reports.ReportMade: "report.made.*",
    reports.ReportDelivered: "report.delivered",
    reports.TermsDeclared: "report.terms",
    reports.UptimeMeasured: "report.uptime",
}
"""Every event that travels on the bus, and the subjects it may be on (to subscribe)."""

INTERNAL: frozenset[type[Event]] = frozenset(
    {
        *VenueMessage.__subclasses__(),
        control.StartAsked,
        control.ResetAsked,
        control.SessionAsked,
        confirmations.ConfirmAsked,
        measures.PaperDayNoted,
        prerequisites.PrerequisitesWanted,
        prerequisites.PrerequisitesRead,
        control.EpochProposed,
        control.EpochRefused,
        control.EpochStored,
        control.ControlSequenceAsked,
        control.ControlRecordRead,
        control.ControlSequenceRead,
        control.HighWaterMarkSet,
        control.BookWanted,
        limits.LimitsAsked,
        limits.PricesSampled,
        compliance.MarginDeficitNoted,
        compliance.MarginDeficitEnded,
        compliance.OpeningEquityNoted,
        reconciliation.FenceRaised,
        reconciliation.ReconcileAsked,
        repeats.FactsTold,
        breakers.BreakerAsked,
        breakers.BreakerCounted,
        breakers.DayOpened,
        breakers.EquityNoted,
        breakers.LossAcknowledged,
        restrictions.FlattenAsked,
        restrictions.UnlockAsked,
        executions.BookAdopted,
        executions.IntentRecorded,
        executions.OutcomeRecorded,
        sessions.SessionMarked,
        sessions.StateRemembered,
        isolation.ProbeAsked,
        isolation.Probed,
        isolation.SessionHosted,
        isolation.SessionTold,
        isolation.SessionSpoke,
        isolation.SessionLost,
        isolation.SessionReleased,
        isolation.MemoryMeasured,
        isolation.SessionsNoted,
        isolation.PartFailed,
        health.GapSeen,
        health.LinkChanged,
        recording.AnchoringRead,
        recording.RecordingMarked,
        recording.RecordingLagged,
        recording.RecordingChanged,
        recording.RecordsMissed,
        recording.DurabilityRead,
        recording.HolesFound,
        market.MarketRead,
        market.PlaybackMarked,
        market.PlaybackReleased,
        market.PlaybackShut,
        market_rules.MarketRuleInvoked,
        market_rules.ClosingPriceNoted,
        reports.ReportAsked,
        reports.ReportWanted,
        reports.ReportWritten,
        reports.ReportsDue,
        reports.DeliveriesLooked,
        reports.StoreMarked,
        reports.ResultsWanted,
        reports.ResultsWritten,
    }
)
"""Events between a core and its own shell; never on the bus."""

_EXACT: dict[type[Event], Callable[[Any], str]] = {
    market.QuoteReceived: lambda e: _market(e.instrument, "quote"),
    market.TradeReceived: lambda e: _market(e.instrument, "trade"),
    market.BarClosed: lambda e: _market(e.instrument, "bar"),
    market.BookChanged: lambda e: _market(e.instrument, "book"),
    market.FundingPublished: lambda e: _market(e.instrument, "funding"),
    market.LendingRatesPublished: lambda e: _market(e.instrument, "lending"),
    market.StakingRatePublished: lambda e: _market(e.instrument, "staking"),
    market.LiquidityPublished: lambda e: _market(e.instrument, "liquidity"),
    market.ProtocolBalancePublished: lambda e: _market(e.instrument, "balance"),
    market.InstrumentStatusChanged: lambda e: _market(e.instrument, "status"),
    market_rules.PriceBandPublished: lambda e: _market(e.instrument, "band"),
    market_rules.ClosingPricePublished: lambda e: _market(e.instrument, "close"),
    market_rules.ShortSaleRestrictionChanged: lambda e: _market(e.instrument, "short"),
    market_rules.MarketWideHaltDeclared: lambda e: f"market.{e.market}.all.halt",
    scan.OpportunityFound: _scan,
    orders.SignalRaised: lambda e: _signal(e.session, e.instrument),
    orders.CancelRequested: lambda e: _signal(e.session, e.instrument),
    orders.SignalDecided: lambda e: f"risk.decision.{e.session}",
    orders.OrderApproved: lambda e: _by_account("order", e.order.instrument, e.order.account),
    orders.CancelApproved: lambda e: _by_account("order", e.instrument, e.account),
    **dict.fromkeys(ExecutionEvent.__subclasses__(), _exec),
    settlement.PositionSettled: lambda e: _by_account("exec", e.instrument, e.account),
    executions.BookReported: lambda e: f"book.{e.account}",
    reconciliation.ReconciliationReported: lambda e: f"book.{e.account}.reconciled",
    reconciliation.BookAdjusted: lambda e: f"book.{e.account}.adjusted",
    repeats.FactRepeated: lambda e: f"book.{e.account}.repeated",
    control.HaltAcknowledged: lambda e: f"control.ack.{e.component}",
    control.HaltConfirmed: lambda e: f"control.confirmed.{e.component}",
    control.Prepared: lambda e: f"control.prepared.{e.component}",
    control.LeaseAnswered: lambda e: f"control.leased.{e.component}",
    control.BreakerTripped: lambda e: f"breaker.{e.breaker}",
    control.BreakerWarned: lambda e: f"breaker.{e.breaker}",
    breakers.BreakerLevelsChanged: lambda e: f"breaker.{e.breaker}",
    restrictions.RestrictionRequested: _restriction,
    restrictions.RestrictionAcknowledged: lambda e: f"control.ack.{e.component}",
    restrictions.RestrictionCleared: lambda e: f"control.confirmed.{e.component}",
    control.BreakerStateChanged: lambda e: "breaker.state",
    control.AccountMarked: lambda e: f"risk.account.{e.account}",
    limits.LimitsTightened: lambda e: f"risk.tightened.{e.account}",
    limits.AccountHealthReported: lambda e: f"risk.health.{e.account}",
    compliance.LocateGranted: lambda e: f"risk.locate.{e.account}",
    sessions.SessionCreated: lambda e: f"session.{e.session}.created",
    sessions.SessionStateChanged: lambda e: f"session.{e.session}.state",
    sessions.PositionsAdopted: lambda e: f"session.{e.session}.adopted",
    sessions.StrategyFailed: lambda e: f"session.{e.session}.failed",
    reports.ReportMade: lambda e: f"report.made.{e.kind}",
    measures.SessionValued: lambda e: f"session.{e.session}.valued",
    confirmations.SignalAwaiting: lambda e: f"session.{e.session}.awaiting",
    confirmations.SignalConfirmed: lambda e: f"session.{e.session}.confirmed",
    confirmations.SignalWithdrawn: lambda e: f"session.{e.session}.withdrawn",
    sessions.SignalBlocked: lambda e: f"session.{e.session}.blocked",
    health.AlertRaised: lambda e: f"alert.{e.severity}",
    health.HealthReported: lambda e: f"health.{e.service}",
}


def subject_of(event: Event) -> str:
    """Return the subject this very event is published on."""
    kind = type(event)
    make = _EXACT.get(kind)
    return make(event) if make is not None else SUBJECTS[kind]


def subjects_of(*events: type[Event]) -> tuple[str, ...]:
    """Return the subjects to listen on for these event types, each once, in that order."""
    return tuple(dict.fromkeys(SUBJECTS[event] for event in events if event not in INTERNAL))
