"""Which executions a book of the executor holds already, though they are told after it.

Between two subjects of one publisher the bus keeps no order, and behind a hole what was missing may
still come. The times of one executor are compared with each other only, never with a clock of ours.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from decimal import Decimal

from schemas.base import Event, ExecutionId, InstrumentId, OrderId, SessionId
from schemas.executions import BookReported, OrderFilled, PositionView
from schemas.sessions import PositionsAdopted

ZERO = Decimal(0)
BOOKS_MAX = 8
"""Compared books that are remembered: what is told later still is settled by the next; a count."""

TELLERS_MAX = 64
"""Executors whose newest word is remembered; each start of one counts anew; a count."""


class Heard:
    """When each executor last told of an execution, by its own clock."""

    def __init__(self) -> None:
        self._newest_ns: dict[str, int] = {}

    def note(self, event: Event) -> None:
        """Take in what an executor told."""
        newest_ns = self._newest_ns
        newest_ns[event.src] = max(event.at_ns, newest_ns.get(event.src, event.at_ns))
        if len(newest_ns) > TELLERS_MAX:
            del newest_ns[next(iter(newest_ns))]

    def is_stale(self, report: BookReported) -> bool:
        """Return whether later news than this book was heard from its own teller."""
        return report.at_ns < self._newest_ns.get(report.src, report.at_ns)


class Compared:
    """A book that was compared, and what sessions took over because of it.

    Attributes:
        teller: who told it.
        instruments: those whose difference, if any, was taken over in full.
    """

    def __init__(self, report: BookReported) -> None:
        self.teller = report.src
        self.instruments: set[InstrumentId] = set()
        self._at_ns = report.at_ns
        orders = (*report.recent_orders, *report.open_orders)
        self._filled: dict[OrderId, tuple[Decimal, Decimal]] = {
            each.order.order_id: (each.order.quantity, each.filled) for each in orders
        }
        self._taken: dict[InstrumentId, dict[SessionId, PositionView]] = {}

    def holds(self, fill: OrderFilled) -> bool:
        """Return whether it was told with this execution in it.

        What another executor tells, or was told in the same instant, is known by its order: by how
        much of it had filled.
        """
        if fill.src == self.teller and fill.at_ns != self._at_ns:
            return fill.at_ns < self._at_ns
        shown = self._filled.get(fill.order_id)
        return shown is not None and shown[0] - fill.leaves <= shown[1]

    def accounts_for(self, fill: OrderFilled) -> bool:
        """Return whether sessions account for this execution because of it."""
        return fill.instrument in self.instruments and self.holds(fill)

    def took(self, adopted: Iterable[PositionsAdopted]) -> None:
        """Note what sessions took over, or gave back, of what they had missed themselves."""
        for event in adopted:
            for view in event.positions if event.is_told else ():
                by_session = self._taken.setdefault(view.instrument, {})
                had = by_session.get(event.session)
                by_session[event.session] = view if had is None else _joined(had, view)

    def given_back(
        self, fill: OrderFilled, *, is_counted: bool
    ) -> Iterator[tuple[SessionId, PositionView]]:
        """Yield who must give up what, now that an execution of the book is told.

        Its own session first, then others that took it over; what nobody did was taken with the
        opposite of it, and is its own session's. So is all of it where another session has taken
        over whatever its own holds, this as well (`is_counted` is False). What one gives up at one
        price is told at once: two of the same would be taken for one that is told again.
        """
        left, own, key = -fill.signed_quantity, fill.session, fill.instrument
        by_session = self._taken.get(key, {}) if is_counted else {}
        parts: dict[tuple[SessionId, Decimal], Decimal] = {}
        for name in sorted(by_session, key=lambda each: each != own):
            had = by_session[name]
            if had.quantity * left >= 0:
                continue
            part = min(abs(had.quantity), abs(left)).copy_sign(left)
            left -= part
            parts[name, had.average_price] = part
        if left:
            parts[own, fill.price] = left + parts.get((own, fill.price), ZERO)
        for (name, price), quantity in parts.items():
            yield name, PositionView(instrument=key, quantity=quantity, average_price=price)


class Books:
    """The books that were compared last, oldest first.

    What is told late is given back at the price it was taken over at, and that was because of the
    first of them that held it: a later one only shows it again.
    """

    def __init__(self) -> None:
        self._books: deque[Compared] = deque(maxlen=BOOKS_MAX)

    @property
    def newest(self) -> Compared | None:
        """The one that was compared last; None before the first."""
        return self._books[-1] if self._books else None

    def add(self, report: BookReported) -> Compared:
        """Return a book that is compared now, remembered as the newest."""
        self._books.append(Compared(report))
        return self._books[-1]

    def first_with(self, fill: OrderFilled) -> Compared | None:
        """Return the first that held this execution, its difference taken over; None: none did."""
        return next((each for each in self._books if each.accounts_for(fill)), None)


class Closed:
    """How much flattens have closed of what sessions hold; negative: sold.

    What was taken over because of a book counts then, and not again when it is told. After a
    restart nobody knows of an execution whether that book held it: one that sessions took over by
    its own id was not in it, any other is taken for one of those, as long as such are left.
    """

    def __init__(self) -> None:
        self._closed: dict[tuple[SessionId, InstrumentId], Decimal] = {}
        self._untold: dict[tuple[SessionId, InstrumentId], Decimal] = {}
        self._guessed: dict[ExecutionId, Decimal] = {}

    def by(self, flatten: SessionId, key: InstrumentId) -> Decimal:
        """Return what this flatten has closed."""
        return self._closed.get((flatten, key), ZERO)

    def add(self, flatten: SessionId, key: InstrumentId, quantity: Decimal) -> None:
        """Count what a flatten closed."""
        self._closed[flatten, key] = self.by(flatten, key) + quantity

    def told(self, fill: OrderFilled) -> Decimal:
        """Count what is told of a flatten; return how much of it was taken over before."""
        where, left = (fill.session, fill.instrument), fill.signed_quantity
        untold = self._untold.get(where, ZERO)
        known = min(abs(untold), abs(left)).copy_sign(left) if untold * left > 0 else ZERO
        self._untold[where] = untold - known
        self._guessed = {fill.execution_id: known}  # what it was follows it at once
        self.add(*where, left - known)
        return known

    def restore_taken(self, event: PositionsAdopted, flatten: SessionId) -> None:
        """Take in that a session took over what a flatten closed."""
        if event.execution_id is not None:
            known = self._guessed.pop(event.execution_id, ZERO)
            for view in event.positions:
                self._wait(flatten, view.instrument, known)
                self.add(flatten, view.instrument, known)
            return
        for view in event.positions:
            self._wait(flatten, view.instrument, view.quantity)

    def _wait(self, flatten: SessionId, key: InstrumentId, quantity: Decimal) -> None:
        self._untold[flatten, key] = self._untold.get((flatten, key), ZERO) + quantity


def _joined(had: PositionView, view: PositionView) -> PositionView:
    """Return both as one: what is given back later comes to what was taken, in money too."""
    quantity, price = had.quantity + view.quantity, had.average_price
    if had.quantity * view.quantity > 0:
        paid = had.quantity * had.average_price + view.quantity * view.average_price
        price = paid / quantity
    elif quantity * had.quantity <= 0:  # all of it was given back; what is left is the newer
        price = view.average_price
    return PositionView(instrument=view.instrument, quantity=quantity, average_price=price)
