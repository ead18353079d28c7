"""Run the whole system from one seed, and check that every invariant held."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from itertools import count

import msgspec

from schemas.base import NS_PER_MS, NS_PER_S, InstrumentId
from schemas.executions import BookReported
from schemas.health import SessionsReported
from schemas.market import QuoteReceived, TradeReceived
from schemas.orders import Side
from schemas.sessions import SessionState
from schemas.wire import encode
from services.breaker.core import BreakerCore
from services.executor.core import ExecutorCore
from services.executor.venues.matching import VenueCore
from services.runtime.sim import Simulation
from services.runtime.sim_faults import FaultCounts, Faults
from services.runtime.sim_world import Moment
from services.simulation.invariants import Invariants, ViolationError, require
from services.simulation.people import Operator
from services.simulation.system import POSITION_MAX, SESSIONS, Parts, processes

CHAOS = Faults(
    late_probability=0.02,
    late_ns_max=300 * NS_PER_MS,
    loss_probability=0.005,
    repeat_probability=0.02,
    cuts_per_s=0.01,
    cut_ns_max=2 * NS_PER_S,
    wire_cuts_per_s=0.03,
    pauses_per_s=0.01,
    pause_ns_max=2 * NS_PER_S,
    kills_per_s=0.01,
    crash_probability=0.001,
    down_ns_max=NS_PER_S,
    clock_offset_ns_max=20 * NS_PER_MS,
)
"""Everything at once, and often; but a publisher's events keep their order, as on the real bus."""

DISORDER = msgspec.structs.replace(CHAOS, reorder_probability=0.01)
"""The same, and not even that. A session's holdings may then be counted wrong for a while."""

HALTS_PER_S = 0.05
SECONDS = 20.0
REST_NS = 12 * NS_PER_S
"""How long the system gets to come to terms once every fault is over."""

AUDIT_EVERY_NS = 100 * NS_PER_MS
ZERO = Decimal(0)


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

    trace: str
    """Hash over everything that happened: equal for equal runs."""

    sent_count: int
    fill_count: int
    start_count: int


class Trace:
    """A hash over everything that passes into or out of a process, quotes left out."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def __call__(self, moment: Moment) -> None:
        """Take one moment in."""
        if not isinstance(moment.event, QuoteReceived | TradeReceived):
            at = f"{moment.true_ns} {moment.process} {moment.boot_id} {moment.is_said} "
            self._hash.update(at.encode())
            self._hash.update(encode(moment.event))

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
    """

    def __init__(
        self,
        seed: int,
        faults: Faults = CHAOS,
        parts: Parts | None = None,
        halts_per_s: float = HALTS_PER_S,
    ) -> None:
        self._is_in_order = not faults.reorder_probability
        self.operator = Operator(seed, SESSIONS, halts_per_s)
        self.invariants = Invariants()
        self.trace = Trace()
        everybody = processes(seed, self.operator, self._position, parts or Parts())
        self._is_made = False
        self.simulation = Simulation(everybody, faults, seed, (self.trace, self.invariants))
        self._is_made = True

    @property
    def venue(self) -> VenueCore:
        """The exchange as it is now."""
        core = self.simulation.core("venue")
        assert isinstance(core, VenueCore), core
        return core

    @property
    def executor(self) -> ExecutorCore:
        """The executor as it is now."""
        core = self.simulation.core("executor")
        assert isinstance(core, ExecutorCore), core
        return core

    def run(self, seconds: float) -> None:
        """Let time pass; look at the venue's book every now and then.

        Raises:
            ViolationError: an invariant broke.
        """
        until_ns = self.simulation.now_ns + round(seconds * NS_PER_S)
        while self.simulation.now_ns < until_ns:
            self.simulation.run(min(AUDIT_EVERY_NS, until_ns - self.simulation.now_ns))
            self.audit()

    def rest(self) -> None:
        """End every fault, let the system come to terms, and compare all books.

        Raises:
            ViolationError: books differ, or it does not trade again.
        """
        self.simulation.heal()
        self.operator.stop_halting()
        self.run(REST_NS / NS_PER_S)
        self.compare()

    def audit(self) -> None:
        """Check that the venue's worst case is within the limit (I8).

        Raises:
            ViolationError: it is not.
        """
        portfolio, shelves = self.venue.ledger.portfolio, self.venue.ledger.shelves
        for instrument, shelf in shelves.items():
            held = portfolio.quantity(instrument)
            resting = shelf.orders.values()
            buys = sum((o.leaves for o in resting if o.order.side is Side.BUY), ZERO)
            sells = sum((o.leaves for o in resting if o.order.side is Side.SELL), ZERO)
            worst = max(held + buys, sells - held)
            said = f"{instrument}: {held} held, {buys} to buy and {sells} to sell"
            require(worst <= POSITION_MAX, "I8", said)

    def compare(self) -> None:
        """Check that everybody's book is the venue's (I11), and that it trades again.

        Raises:
            ViolationError: a book differs, or nobody has a lease.
        """
        now_ns = self.simulation.now_ns
        portfolio = self.venue.ledger.portfolio
        venue = {key: each.quantity for key, each in portfolio.positions.items() if each.quantity}
        report = self.executor.describe(now_ns)
        ours = {each.instrument: each.quantity for each in report.positions if each.quantity}
        require(ours == venue, "I11", f"the executor holds {ours}, the venue {venue}")
        theirs = (portfolio.cash, portfolio.fees)
        found = f"the executor's cash and fees are {report.cash} and {report.fees}, not {theirs}"
        require((report.cash, report.fees) == theirs, "I11", found)
        self._compare_orders(report)
        if self._is_in_order:
            self._compare_sessions(venue)
        arbiter = self.simulation.core("breaker").describe(now_ns)
        require(getattr(arbiter, "is_leasing", False), "recovers", f"nobody may trade: {arbiter}")

    def sessions(self) -> SessionsReported:
        """Return what the strategy service says of its sessions."""
        report = self.simulation.core("strategy").describe(self.simulation.now_ns)
        assert isinstance(report, SessionsReported), report
        return report

    def _compare_orders(self, report: BookReported) -> None:
        shelves = self.venue.ledger.shelves.values()
        resting = {order_id for shelf in shelves for order_id in shelf.orders}
        known = {view.order.order_id for view in report.open_orders}
        require(resting <= known, "I11", f"the executor does not know of {resting - known}")

    def _compare_sessions(self, venue: dict[InstrumentId, Decimal]) -> None:
        """Check that what a session holds alone is what the account holds."""
        views = [view for view in self.sessions().sessions if view.state is SessionState.RUNNING]
        owners = Counter(instrument for view in views for instrument in view.instruments)
        held = {p.instrument: p.quantity for view in views for p in view.positions}
        for instrument in (key for key, number in owners.items() if number == 1):
            ours, theirs = held.get(instrument, ZERO), venue.get(instrument, ZERO)
            said = f"its session holds {ours} {instrument}, the account {theirs}"
            require(ours == theirs, "I11", said)

    def _position(self) -> int:
        core = self.simulation.core("breaker") if self._is_made else None
        return core.control_seq if isinstance(core, BreakerCore) else 0


def simulate(
    seed: int,
    seconds: float = SECONDS,
    faults: Faults = CHAOS,
    parts: Parts | None = None,
    halts_per_s: float = HALTS_PER_S,
) -> Run:
    """Return what came of a seed: the system under faults, then at rest, all of it checked.

    Args:
        seed: decides everything; the same seed is the same run.
        seconds: how long the faults last, in simulated seconds.
        faults: what may go wrong.
        parts: what the system is made of.
        halts_per_s: how often the operator halts, on average.
    """
    system = System(seed, faults, parts, halts_per_s)
    violation, invariant = "", ""
    try:
        system.run(seconds)
        system.rest()
    except ViolationError as error:
        violation, invariant = str(error), error.invariant
    return Run(
        seed=seed,
        seconds=seconds + REST_NS / NS_PER_S,
        violation=violation,
        invariant=invariant,
        counts=system.simulation.counts,
        trace=system.trace.text,
        sent_count=len(system.invariants.sent),
        fill_count=system.venue.ledger.portfolio.fill_count,
        start_count=system.operator.start_count,
    )


def campaign(hours: float, first_seed: int = 0, faults: Faults = CHAOS) -> Iterator[Run]:
    """Yield one run after another, each of the next seed, until `hours` were simulated."""
    left_s = hours * 3_600
    for seed in count(first_seed):
        if left_s <= 0:
            return
        run = simulate(seed, faults=faults)
        left_s -= run.seconds
        yield run
