"""One backtest: the cores of the live system on a recording, and what came of it."""

import hashlib
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec

from schemas.base import NS_PER_MS, NS_PER_S, AccountId, Event, InstrumentId
from schemas.control import BreakerTripped, BreakerWarned, StartRequest
from schemas.errors import FieldError
from schemas.instruments import Instrument
from schemas.market_rules import MarketRuleInvoked
from schemas.results import BacktestResult, Figures, StrategyTerms
from schemas.sessions import SessionCreated, SignalBlocked, StrategyFailed
from schemas.wire import encode
from services.backtest.data import DataTerms, needed_by, nothing_played, played, source_of
from services.backtest.lookahead import Sealed
from services.backtest.patience import LOOKS_NS, PatientFused
from services.breaker.config import BreakerConfig
from services.executor.config import ExecutorConfig, VenueConfig
from services.gate.config import GateConfig
from services.performance.core import By, Performance, Share, days_per_year
from services.performance.curve import Point
from services.performance.fold import Terms
from services.performance.lines import Trip
from services.strategy.catalogue import Catalogue, catalogue_of
from services.strategy.config import StrategyConfig
from services.strategy.versions import version_of
from services.system import FusedSystem, FusedTerms, Runtime

TICK_EVERY = 1_000
"""Events between two words on how far it is; a count."""

KEPT: tuple[type[Event], ...] = (
    BreakerTripped,
    BreakerWarned,
    MarketRuleInvoked,
    StrategyFailed,
    SignalBlocked,
)
NOTED_MAX = 1_000
"""Trips, warnings and halts kept to show, and of signals that were blocked as many; a count."""

Progress = Callable[[int, int], None]
"""Told the time (ns since the epoch) and the count of events, now and then."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that one backtest is made from; the same plan on the same files is the same run."""

    strategy: str
    data: DataTerms
    data_hash: str
    instruments: tuple[Instrument, ...]
    """Of the whole recording."""

    symbols: tuple[InstrumentId, ...]
    account: AccountId
    currency: str
    capital: Decimal
    """In `currency`: cash of the account, and capital of its session."""

    gate: GateConfig
    strategies: StrategyConfig
    executor: ExecutorConfig
    venue: VenueConfig
    breaker: BreakerConfig
    parameters: dict[str, Any] = {}
    """Laid over the configured ones, as `config_overrides` of a start."""

    share_class: str = "USDT"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    result: BacktestResult
    journal_hash: str
    """SHA-256 over the bytes of every event, fed or said, in order."""

    event_count: int
    read: dict[str, int]
    """Events of the recording, by kind: how much of it there was."""

    attribution: dict[By, dict[str, Share]]
    trips: tuple[Trip, ...]
    """The last round trips."""

    points: tuple[Point, ...]
    noted: tuple[Event, ...]
    """Breakers that tripped or warned, halts of markets, and a strategy that failed; the first."""

    noted_count: int
    blocked: tuple[SignalBlocked, ...] = ()
    """Signals that the session's own limits kept from the gate, the first; `figures.blocked` counts
    all of them."""

    failure: str = ""
    """Why the strategy ended early; empty if it did not."""

    @property
    def figures(self) -> Figures:
        """How well it did."""
        return self.result.figures


class _Witness:
    """Sees every event: feeds the performance, hashes the journal, keeps what is to be shown."""

    def __init__(self, performance: Performance) -> None:
        self.performance = performance
        self.digest = hashlib.sha256()
        self.event_count = self.noted_count = 0
        self.noted: list[Event] = []
        self.blocked: list[SignalBlocked] = []
        self.failed: StrategyFailed | None = None
        self.session: SessionCreated | None = None

    def __call__(self, event: Event) -> None:
        self.event_count += 1
        self.performance.update(event)
        self.digest.update(encode(event) + b"\n")
        if isinstance(event, KEPT):
            self._keep(event)
        elif isinstance(event, SessionCreated):
            self.session = event

    def _keep(self, event: Event) -> None:
        """Keep it, if not too many are; a strategy that is blocked at every quote hides no trip."""
        if isinstance(event, SignalBlocked):
            if len(self.blocked) < NOTED_MAX:
                self.blocked.append(event)
            return
        self.noted_count += 1
        if len(self.noted) < NOTED_MAX:
            self.noted.append(event)
        if isinstance(event, StrategyFailed):
            self.failed = event


def run(plan: Plan, progress: Progress | None = None) -> Outcome:
    """Return what comes of a plan.

    Raises:
        UserError: SLU-110 nothing was recorded between its dates, or a file cannot be read;
            SLU-151 the start was refused, with everything that spoke against it.
    """
    # Through its own text: an event leaves out what is its default, and takes for that only the
    # very object that its class names; so the same bytes would depend on where a plan came from.
    plan = msgspec.json.decode(msgspec.json.encode(plan), type=Plan)
    known = needed_by(plan.instruments, plan.symbols)
    performance = Performance(_measure(plan, known))
    witness = _Witness(performance)
    terms = FusedTerms(
        account=plan.account,
        initial_cash=plan.capital,
        currency_values=_values(plan),
        instruments=known,
        gate=plan.gate,
        strategy=plan.strategies,
        executor=plan.executor,
        venue=plan.venue,
        breaker=msgspec.structs.replace(plan.breaker, start_approvals=1),  # nobody else is there
    )
    catalogue = catalogue_of(plan.strategies)
    system = FusedSystem(terms, catalogue=catalogue, journal=witness, runtime=_runtime(plan))
    feed = _Feed(plan, known, progress)
    system.run(Sealed(feed), _request(plan))
    if feed.first_ns is None:
        raise nothing_played(plan.data, None)
    system.fused.finish(feed.last_ns + (plan.venue.latency_ms + 1) * NS_PER_MS)
    return _outcome(plan, witness, feed, catalogue)


def _runtime(plan: Plan) -> Runtime:
    """Return what makes the runtime; samples of risk are taken on time where they are taken."""
    sampled_ns = plan.gate.sampling.every_s * NS_PER_S if plan.gate.portfolio else 0
    return partial(PatientFused, settle_ns=LOOKS_NS + sampled_ns)


class _Feed:
    """Counts what is handed out."""

    def __init__(
        self, plan: Plan, known: Mapping[InstrumentId, Instrument], progress: Progress | None
    ) -> None:
        self.first_ns: int | None = None
        self.last_ns = 0
        self.counts: dict[str, int] = {}
        self._plan, self._known, self._progress = plan, known, progress

    def __iter__(self) -> Any:
        plan, progress, counts = self._plan, self._progress, self.counts
        events = played(source_of(plan.data), plan.data, self._known)
        for count, event in enumerate(events, start=1):
            if self.first_ns is None:
                self.first_ns = event.at_ns
            self.last_ns = event.at_ns
            kind = type(event).__name__
            counts[kind] = counts.get(kind, 0) + 1
            if progress is not None and count % TICK_EVERY == 0:
                progress(event.at_ns, count)
            yield event


def _measure(plan: Plan, known: Mapping[InstrumentId, Instrument]) -> Terms:
    return Terms(
        instruments=known,
        currency_values=_values(plan),
        account=plan.account,
        periods_per_year=days_per_year(known),
    )


def _values(plan: Plan) -> dict[str, Decimal]:
    """Return what one unit of each currency is worth in the account's."""
    row = plan.gate.accounts[plan.account].currency_values
    return {plan.currency: Decimal(1), **row}


def _request(plan: Plan) -> StartRequest:
    return StartRequest(
        operator="backtest",
        strategy=plan.strategy,
        symbols=plan.symbols,
        initial_capital=plan.capital,
        share_class=plan.share_class,
        config_overrides=plan.parameters,
    )


def _outcome(plan: Plan, witness: _Witness, feed: _Feed, catalogue: Catalogue) -> Outcome:
    performance, session = witness.performance, witness.session
    assert session is not None, "a start that was not refused makes a session"
    strategy = catalogue.find(plan.strategy)
    assert not isinstance(strategy, FieldError), "its session was made"
    result = BacktestResult(
        terms=StrategyTerms(
            strategy=plan.strategy,
            strategy_version=version_of(strategy),
            parameters=session.parameters,
            instruments=plan.symbols,
            share_class=plan.share_class,
        ),
        data_hash=plan.data_hash,
        data=plan.data.paths or ("simulated",),
        from_ns=feed.first_ns or 0,
        to_ns=feed.last_ns,
        figures=performance.figures(feed.last_ns),
        seed=plan.venue.seed,
    )
    failed = witness.failed
    return Outcome(
        result=result,
        journal_hash=witness.digest.hexdigest(),
        event_count=witness.event_count,
        read=dict(sorted(feed.counts.items())),
        attribution={by: performance.attribution(by) for by in By},
        trips=tuple(performance.tally.trips),
        points=tuple(performance.curve.ended(performance.equity(), feed.last_ns).points),
        noted=tuple(witness.noted),
        noted_count=witness.noted_count,
        blocked=tuple(witness.blocked),
        failure="" if failed is None else f"{failed.error} (at {failed.where})",
    )
