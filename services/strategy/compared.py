"""Which executions a book of the executor holds already, though they are told after it.

Between two subjects of one publisher the bus keeps no order, and behind a hole what was missing may
still come. The times of one executor are compared with each other only, never with a clock of ours.
"""

from collections.abc import Iterator
from decimal import Decimal

from schemas.base import Event, InstrumentId, OrderId, SessionId
from schemas.executions import BookReported, OrderFilled, PositionView
from schemas.orders import Side
from schemas.sessions import PositionsAdopted

ZERO = Decimal(0)
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

    def took(self, event: PositionsAdopted) -> None:
        """Note what a session took over of what the book shows."""
        for view in event.positions:
            by_session = self._taken.setdefault(view.instrument, {})
            had = by_session.get(event.session)
            by_session[event.session] = view if had is None else _joined(had, view)

    def given_back(
        self, fill: OrderFilled, *, is_counted: bool
    ) -> Iterator[tuple[SessionId, PositionView]]:
        """Yield who must give up what, now that an execution of the book is told.

        Its own session first, then others that took it over; what nobody did was taken with the
        opposite of it, and is its own session's. So is all of it where another session has taken
        over whatever its own holds, this as well (`is_counted` is False).
        """
        left, own, key = -signed(fill), fill.session, fill.instrument
        by_session = self._taken.get(key, {}) if is_counted else {}
        for name in sorted(by_session, key=lambda each: each != own):
            had = by_session[name]
            if had.quantity * left >= 0:
                continue
            part = min(abs(had.quantity), abs(left)).copy_sign(left)
            left -= part
            yield name, PositionView(instrument=key, quantity=part, average_price=had.average_price)
        if left:
            yield own, PositionView(instrument=key, quantity=left, average_price=fill.price)


def _joined(had: PositionView, view: PositionView) -> PositionView:
    """Return both as one: what is given back later comes to what was taken, in money too."""
    quantity, price = had.quantity + view.quantity, had.average_price
    if had.quantity * view.quantity > 0:
        paid = had.quantity * had.average_price + view.quantity * view.average_price
        price = paid / quantity
    elif quantity * had.quantity <= 0:  # all of it was given back; what is left is the newer
        price = view.average_price
    return PositionView(instrument=view.instrument, quantity=quantity, average_price=price)


def signed(fill: OrderFilled) -> Decimal:
    """Return its quantity; negative: sold."""
    return fill.quantity if fill.side is Side.BUY else -fill.quantity
