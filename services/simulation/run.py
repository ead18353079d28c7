"""Run the whole system from one seed, and check that every invariant held."""

import hashlib
from collections import Counter
from decimal import Decimal
from random import Random
from typing import Any

import msgspec

from schemas.base import NS_PER_MS, NS_PER_S, Event, InstrumentId
from schemas.control import BookWanted
from schemas.executions import BookReported
from schemas.health import ArbiterReported, SessionsReported
from schemas.market import QuoteReceived, TradeReceived
from schemas.sessions import SessionState
from schemas.wire import encode
from services.breaker.core import BreakerCore
from services.runtime.sim import Simulation
from services.runtime.sim_faults import FaultCounts
from services.runtime.sim_world import Moment
from services.simulation.damage import spoil_chain
from services.simulation.invariants import Invariants
from services.simulation.people import (
    FLATTENS,
    HALTS,
    RESTRICTIONS,
    Auditor,
    AuditWanted,
    Operator,
    SessionsWanted,
    StatusWanted,
)
from services.simulation.plan import Plan, plan_of
from services.simulation.sights import SightCounts
from services.simulation.stream import Stream
from services.simulation.system import (
    ACCOUNT,
    POSITION_MAX,
    SCOPES,
    SESSIONS,
    Cast,
    Parts,
    processes,
)
from services.simulation.venue_log import VenueLog
from services.simulation.violations import ViolationError, require
from services.strategy.session import ACTIVE

REST_NS = 12 * NS_PER_S
"""How long the system gets to come to terms once every fault is over."""

QUIET_NS = NS_PER_S
"""How long nothing happens on the market before the books are compared."""

ANSWER_NS = 100 * NS_PER_MS
AFTER_NS = REST_NS + QUIET_NS + ANSWER_NS
"""How long a run goes on after its faults."""

ZERO = Decimal(0)
REPORTS: frozenset[type[Event]] = frozenset({BookReported, SessionsReported, ArbiterReported})


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one seed."""

    seed: int
    seconds: float
    """Simulated seconds."""

    violation: str
    """Name and detail of the invariant that broke; empty if all held."""

    invariant: str
    """Its name; empty if all held."""

    counts: FaultCounts
    """How often each fault came about."""

    seen: SightCounts
    """What else the run went through."""

    trace: str
    """Hash over everything that happened: equal for equal runs."""

    sent_count: int
    fill_count: int
    start_count: int


class Trace:
    """A hash over everything that leaves a process, quotes and trades left out."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def __call__(self, moment: Moment) -> None:
        """Take one moment in, with every byte of it."""
        head = b"%d %s " % (moment.true_ns, moment.boot_id.encode())
        self._hash.update(head + encode(moment.event))

    def wants(self, process: str, is_said: bool, kind: type[Event]) -> bool:
        """Return whether this is to be shown to it."""
        return is_said and kind not in (QuoteReceived, TradeReceived)

    @property
    def text(self) -> str:
        """The hash so far."""
        return self._hash.hexdigest()


class System:
    """The whole system in one simulation.

    Attributes:
        simulation: runs it.
        operator: starts it again, whatever happens.
        invariants: what was checked as it ran.
        trace: what happened, as a hash.
        stream: the control stream.
    """

    def __init__(self, seed: int, plan: Plan | None = None, parts: Parts | None = None) -> None:
        self.plan = plan = plan_of(seed) if plan is None else plan
        rates = {
            HALTS: plan.halts_per_s,
            RESTRICTIONS: plan.restrictions_per_s,
            FLATTENS: plan.flattens_per_s,
        }
        self.operator = Operator(seed, SESSIONS, SCOPES, rates)
        questions = (
            BookWanted(at_ns=0, account=ACCOUNT),
            SessionsWanted(at_ns=0),
            StatusWanted(at_ns=0),
        )
        self._auditor = Auditor(REPORTS, questions)
        parts = parts or Parts()
        self.stream = Stream(parts.stream(), self._position, self._is_disk_full)
        log = VenueLog(self._venue_log, POSITION_MAX)
        self.invariants = Invariants(log, lambda: self.stream.stored, self._is_stream_down)
        self.trace = Trace()
        self._seed = seed
        self._simulation: Simulation | None = None
        cast = Cast(operator=self.operator, auditor=self._auditor, stream=self.stream)
        everybody = processes(seed, cast, plan, parts)
        observers = (self.trace, self.invariants)
        self.simulation = self._simulation = Simulation(everybody, plan.faults, seed, observers)

    def run(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ViolationError: an invariant broke.
        """
        self.simulation.run(round(seconds * NS_PER_S))

    def rest(self) -> None:
        """End every fault, let the system come to terms, and compare all books.

        Raises:
            ViolationError: books differ, or it does not trade again.
        """
        self.simulation.heal()
        self.operator.stop_halting()
        self.simulation.run(REST_NS)
        self.compare()
        stored = [record.event for record in self.stream.stored]
        spoil_chain(stored, Random(self._seed).randrange(1 << 30))

    def compare(self) -> None:
        """Ask everybody: each book must be the venue's (I11), and trading must go on.

        Where two executors have written two journals, the one that is left may find its own book
        wrong: then it is right to stay halted until a person has looked.

        Raises:
            ViolationError: a book differs, or nobody has a lease.
        """
        self.simulation.end("feed")
        self.simulation.run(QUIET_NS)
        self.operator.leave()
        self.simulation.tell("auditor", AuditWanted(at_ns=self.simulation.now_ns))
        self.simulation.run(ANSWER_NS)
        self.invariants.log.catch_up()
        answers = self._auditor.answers
        book, sessions = answers[BookReported], answers[SessionsReported]
        arbiter = answers[ArbiterReported]
        assert isinstance(book, BookReported), book
        assert isinstance(sessions, SessionsReported), sessions
        assert isinstance(arbiter, ArbiterReported), arbiter
        if self.simulation.counts.doubles and not (arbiter.is_leasing or book.is_reconciled):
            return
        self._compare_book(book)
        if not (self.plan.faults.reorder_probability or self.invariants.seen.flattens):
            self._compare_sessions(sessions)  # what a flatten closes, it closes for the account
        require(arbiter.is_leasing, "recovers", f"nobody may trade: {arbiter.detail}")

    def _compare_book(self, book: BookReported) -> None:
        log = self.invariants.log
        ours = {each.instrument: each.quantity for each in book.positions if each.quantity}
        said = f"the executor holds {ours}, the venue {log.positions()}"
        require(ours == log.positions(), "I11", said)
        known = {view.order.order_id for view in book.open_orders}
        unseen = [order_id for order_id in log.resting if order_id not in known]
        require(not unseen, "I11", f"the executor does not know of {unseen}")

    def _compare_sessions(self, report: SessionsReported) -> None:
        """Check that what a session holds alone is what the account holds.

        What an ended one left behind may be the account's still, or taken over since; where one
        that is paused trades it too, nobody may know whose share is what.
        """
        venue = self.invariants.log.positions()
        views = [view for view in report.sessions if view.state is SessionState.RUNNING]
        left = {
            position.instrument
            for view in report.sessions
            if view.state is not SessionState.RUNNING
            for position in view.positions
        }
        owners = Counter(
            instrument
            for view in report.sessions
            if view.state in ACTIVE
            for instrument in view.instruments
        )
        held: dict[InstrumentId, Decimal] = {
            p.instrument: p.quantity for view in views for p in view.positions
        }
        for instrument in (key for key, n in owners.items() if n == 1 and key not in left):
            ours, theirs = held.get(instrument, ZERO), venue.get(instrument, ZERO)
            said = f"its session holds {ours} {instrument}, the account {theirs}"
            require(ours == theirs, "I11", said)

    def _position(self) -> tuple[int, int]:
        core = None if self._simulation is None else self._simulation.core("breaker")
        return core.control_place if isinstance(core, BreakerCore) else (0, 0)

    def _is_disk_full(self) -> bool:
        return self._simulation is not None and self._simulation.is_disk_full

    def _is_stream_down(self) -> bool:
        return self._simulation is not None and not self._simulation.can_store("stream")

    def _venue_log(self, begin: int) -> list[Any]:
        return [] if self._simulation is None else self._simulation.journal_from("venue", begin)


def simulate(seed: int, plan: Plan | None = None, parts: Parts | None = None) -> Run:
    """Return what came of a seed: the system under faults, then at rest, all of it checked.

    Args:
        seed: decides everything; the same seed is the same run.
        plan: what may go wrong, and for how long; None takes the seed's own.
        parts: what the system is made of.
    """
    system = System(seed, plan, parts)
    violation, invariant = "", ""
    try:
        system.run(system.plan.seconds)
        system.rest()
    except ViolationError as error:
        violation, invariant = str(error), error.invariant
    return Run(
        seed=seed,
        seconds=system.plan.seconds + AFTER_NS / NS_PER_S,
        violation=violation,
        invariant=invariant,
        counts=system.simulation.counts,
        seen=system.invariants.seen,
        trace=system.trace.text,
        sent_count=len(system.invariants.sent),
        fill_count=system.invariants.log.fill_count,
        start_count=system.operator.start_count,
    )
