"""An executor and its venue with a link between them that can be cut, and both can be killed."""

from collections import deque
from collections.abc import Callable, Sequence

from schemas.base import Event, OrderId
from schemas.control import HaltRequested
from schemas.executions import OutcomeRecorded
from schemas.ids import order_id_of
from schemas.orders import Order, SignalRaised
from schemas.restrictions import Level, RestrictionRequested
from schemas.venue import BookQueried, OrderPlaced, VenueBook, VenueLinkChanged, VenueMessage
from services.control import ControlGuard
from services.core import tell
from services.executor.config import ExecutorConfig, VenueConfig
from services.executor.core import ExecutorCore
from services.executor.venues.matching import REQUESTS, VenueCore
from tests.executor_builders import CASH, approved, executor, guard, instruments, venue


class Pair:
    """Both cores, their journals, and the order of things between them.

    Attributes:
        bus: what the executor said to the bus, in order.
        sent: ids of the orders that were written to the link, in order.
        hears_reports: whether reports of the venue come through; a cut in one direction.
    """

    def __init__(
        self,
        *,
        config: ExecutorConfig | None = None,
        venue_config: VenueConfig | None = None,
        kind: type[ExecutorCore] = ExecutorCore,
    ) -> None:
        self.kind, self.config, self.venue_config = kind, config, venue_config
        self.guard: ControlGuard = guard()
        self.executor = executor(config, self.guard, is_linked=False, kind=kind)
        self.venue = venue(venue_config)
        self.kept: list[Event] = []
        self.venue_kept: list[Event] = []
        self.bus: list[Event] = []
        self.sent: list[OrderId] = []
        self.hears_reports = True
        self.is_up = False
        self.now_ns = 1
        self._queue: deque[tuple[str, Event]] = deque()

    def link(self, *, is_up: bool) -> list[Event]:
        """Bring the link up, or cut it; return what was said on the bus."""
        self.is_up = self.hears_reports = is_up
        return self.tell(VenueLinkChanged(at_ns=self.now_ns, is_up=is_up))

    def tell(self, *events: Event) -> list[Event]:
        """Tell the executor, and let both talk until there is nothing left to say."""
        start = len(self.bus)
        self._queue.extend(("executor", event) for event in events)
        self._settle()
        return self.bus[start:]

    def market(self, *events: Event) -> list[Event]:
        """Tell the venue what the market does."""
        start = len(self.bus)
        self._queue.extend(("venue", event) for event in events)
        self._settle()
        return self.bus[start:]

    def approve(self, *orders: Order) -> list[Event]:
        """Let the gate approve orders in the epoch that is served."""
        return self.tell(*(approved(each, epoch=self.guard.epoch) for each in orders))

    def wait(self, until_ns: int) -> list[Event]:
        """Let time pass for both; the earlier deadline first."""
        start = len(self.bus)
        while True:
            deadlines = [c.wake_at_ns for c in (self.executor, self.venue) if c.wake_at_ns]
            due_ns = min(deadlines, default=until_ns + 1)
            if due_ns > until_ns:
                self.now_ns = max(self.now_ns, until_ns)
                return self.bus[start:]
            self.now_ns = max(self.now_ns, due_ns)
            self._hear_executor(tell(self.executor, None, self.now_ns), None)
            self._hear_venue(tell(self.venue, None, self.now_ns), None)
            self._settle()

    def restart_executor(self) -> None:
        """Kill it and start it again from its journal; the link is down until told otherwise."""
        self._queue.clear()
        self.is_up = False
        self.guard = guard(is_running=False)
        self.executor = executor(self.config, self.guard, is_linked=False, kind=self.kind)
        for event in self.kept:
            self.executor.restore(event)

    def restart_venue(self) -> None:
        """Kill it and start it again from its journal."""
        self.link(is_up=False)
        self.venue = VenueCore(self.venue_config or VenueConfig(), instruments(), CASH)
        for event in self.venue_kept:
            self.venue.restore(event)

    def venue_book(self) -> VenueBook:
        """Return what the venue holds now, all executions included."""
        [book] = tell(self.venue, BookQueried(at_ns=self.now_ns, request_id="test"), self.now_ns)
        assert isinstance(book, VenueBook)
        return book

    def agrees(self) -> bool:
        """Return whether positions, cash and fees are equal on both sides, to the last digit."""
        ours, theirs = self.executor.describe(self.now_ns), self.venue_book()
        held = {each.instrument: each.quantity for each in ours.positions if each.quantity}
        sides = (ours.cash, ours.fees, held), (theirs.cash, theirs.fees, theirs.positions)
        return str(sides[0]) == str(sides[1])

    def _settle(self) -> None:
        while self._queue:
            whom, event = self._queue.popleft()
            if whom == "executor":
                self._hear_executor(tell(self.executor, event, self.now_ns), event)
            else:
                self._hear_venue(tell(self.venue, event, self.now_ns), event)

    def _hear_executor(self, said: Sequence[Event], told: Event | None) -> None:
        self.kept += [e for e in (told, *said) if type(e) in self.executor.keeps and e is not None]
        for event in said:
            if isinstance(event, OrderPlaced):
                self._write(event)
            elif isinstance(event, REQUESTS):
                if self.is_up:
                    self._queue.append(("venue", event))
            elif not isinstance(event, VenueMessage):
                self.bus.append(event)

    def _write(self, event: OrderPlaced) -> None:
        why = self.executor.may_send(event.order, self.now_ns)
        if not why:
            self.sent.append(event.order.order_id)
            self._queue.append(("venue", event))
        outcome = OutcomeRecorded(
            at_ns=self.now_ns, order_id=event.order.order_id, is_sent=not why, detail=why
        )
        self._queue.append(("executor", outcome))

    def _hear_venue(self, said: Sequence[Event], told: Event | None) -> None:
        keeps = self.venue.keeps
        self.venue_kept += [e for e in (told, *said) if type(e) in keeps and e is not None]
        if self.hears_reports:
            self._queue.extend(("executor", event) for event in said)


class Staffed(Pair):
    """A pair with a control link and a gate: what the executor says on the bus is acted on.

    Attributes:
        gate: returns the order a signal becomes; None rejects it.
    """

    gate: Callable[[SignalRaised], Order | None] = staticmethod(lambda signal: order_of(signal))

    def restrict(self, scope: str, level: Level) -> list[Event]:
        """Let somebody publish a restriction: in force first, told to the core then."""
        self.guard.restrict(scope, level)
        return self.tell(RestrictionRequested(at_ns=self.now_ns, level=level, scope=scope))

    def halt(self) -> list[Event]:
        """Let somebody publish a halt."""
        self.guard.halt()
        return self.tell(HaltRequested(at_ns=self.now_ns, operator="kim"))

    def _hear_executor(self, said: Sequence[Event], told: Event | None) -> None:
        super()._hear_executor(said, told)
        for event in said:
            if isinstance(event, HaltRequested):
                self.guard.halt()
                self._queue.append(("executor", event))
            elif isinstance(event, RestrictionRequested):
                self.guard.restrict(event.scope, event.level)
                self._queue.append(("executor", event))
            elif isinstance(event, SignalRaised) and (order := self.gate(event)) is not None:
                self._queue.append(("executor", approved(order, epoch=self.guard.epoch)))


def order_of(signal: SignalRaised) -> Order:
    """Return the order that a gate without limits makes of a signal."""
    return Order(
        order_id=order_id_of(signal.account, signal.session, signal.signal_id, signal.leg),
        account=signal.account,
        session=signal.session,
        signal_id=signal.signal_id,
        instrument=signal.instrument,
        side=signal.side,
        quantity=signal.quantity,
        order_type=signal.order_type,
        time_in_force=signal.time_in_force,
        limit_price=signal.limit_price,
        is_reduce_only=signal.is_reduce_only,
        expires_at_ns=signal.expires_at_ns,
    )


def linked(config: ExecutorConfig | None = None, kind: type[ExecutorCore] = ExecutorCore) -> Pair:
    """A pair whose link is up and whose books have been compared."""
    pair = Pair(config=config, kind=kind)
    pair.link(is_up=True)
    return pair
