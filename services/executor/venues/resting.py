"""One order at the paper exchange, and its place in the queue.

The place is the outside size ahead of the order at its price. It shrinks by trades at that price
and never exceeds what is displayed there; sizes cancelled by others are taken to be behind us as
long as that is possible. `None` is a place nobody can know (a price behind the touch of a book
without depth): trades at the price then do not reach the order, only trades through it do.
"""

from decimal import Decimal

from schemas.base import OrderId
from schemas.executions import OrderStatus
from schemas.orders import Order, OrderType, Side
from schemas.venue import VenueOpenOrder, VenueReplaced
from services.executor.venues.outside import Outside

ZERO = Decimal(0)
STOPS = (OrderType.STOP, OrderType.STOP_LIMIT)


class Resting:
    """One order the exchange was sent, for good: closed ones answer queries.

    Attributes:
        limit: worst price it trades at; None trades at any.
        leaves: quantity still to be filled.
        ahead: outside size before it at its price; None is not known.
        is_stop: whether it still waits for its stop price.
    """

    __slots__ = (
        "ahead",
        "detail",
        "fill_count",
        "is_buy",
        "is_stop",
        "leaves",
        "limit",
        "order",
        "status",
        "venue_order_id",
    )

    def __init__(self, order: Order) -> None:
        self.order = order
        self.is_buy = order.side is Side.BUY
        self.limit = order.limit_price
        self.leaves = order.quantity
        self.ahead: Decimal | None = None
        self.is_stop = order.order_type in STOPS
        self.status = OrderStatus.PENDING
        self.detail = ""
        self.venue_order_id = ""
        self.fill_count = 0

    def view(self) -> VenueOpenOrder:
        """Return it as the venue's book shows it."""
        return VenueOpenOrder(
            order_id=self.order.order_id,
            venue_order_id=self.venue_order_id,
            instrument=self.order.instrument,
            side=self.order.side,
            leaves=self.leaves,
        )

    def requeue(self, outside: Outside) -> None:
        """Move up to what the newest quote displays ahead; never back."""
        assert self.limit is not None, "an order without a price has no place in a queue"
        shown = outside.ahead_of(self.order.side, self.limit)
        if shown is not None and (self.ahead is None or shown < self.ahead):
            self.ahead = shown

    def meets(self, price: Decimal, quantity: Decimal, *, is_at_touch: bool) -> Decimal:
        """Return what a trade at `price` leaves for this order, and move it up its queue.

        Args:
            price: of the trade.
            quantity: of the trade, less what our orders before this one got of it.
            is_at_touch: whether the trade is known to have hit this order's side.
        """
        assert self.limit is not None, "an order without a price never waits for a trade"
        if price != self.limit:
            is_through = price < self.limit if self.is_buy else price > self.limit
            return min(quantity, self.leaves) if is_through else ZERO
        if self.ahead is None or not is_at_touch:
            return ZERO
        passed = min(self.ahead, quantity)
        self.ahead -= passed
        return min(quantity - passed, self.leaves)

    def is_reached(self, price: Decimal) -> bool:
        """Return whether `price` triggers this stop."""
        stop = self.order.stop_price
        assert stop is not None, "a stop order was accepted without its stop price"
        return price >= stop if self.is_buy else price <= stop


def replaced(resting: Resting, by: OrderId, now_ns: int) -> VenueReplaced:
    """Return that another order stands in the place of this one, and what it had left."""
    order_id, leaves = resting.order.order_id, resting.leaves
    return VenueReplaced(at_ns=now_ns, order_id=order_id, by=by, leaves=leaves)


class Shelf:
    """Our orders in one instrument, by price and then by arrival, with what is outside.

    Attributes:
        is_busy: whether a quote means more than the newest price: something rests, or was taken.
        is_open: whether the venue trades the instrument now.
    """

    __slots__ = ("_ranked", "is_busy", "is_open", "orders", "outside")

    def __init__(self) -> None:
        self.outside = Outside()
        self.orders: dict[OrderId, Resting] = {}
        self.is_busy = False
        self.is_open = True
        self._ranked: tuple[tuple[Resting, ...], ...] | None = None

    def add(self, resting: Resting) -> None:
        """Take an accepted order in, behind all others at its price."""
        self.orders[resting.order.order_id] = resting
        self.is_busy = True
        self._ranked = None

    def drop(self, resting: Resting) -> None:
        """Take a closed order out; the next quote finds out whether anything keeps us busy."""
        self.orders.pop(resting.order.order_id, None)
        self._ranked = None

    def rank_again(self) -> None:
        """Sort anew: an order changed its kind."""
        self._ranked = None

    def ranked(self) -> tuple[tuple[Resting, ...], ...]:
        """Return our buys, our sells, best price first, and our stops in order of arrival."""
        if self._ranked is None:
            live = [each for each in self.orders.values() if not each.is_stop]
            stops = tuple(each for each in self.orders.values() if each.is_stop)
            buys = sorted((each for each in live if each.is_buy), key=_urgency)
            sells = sorted((each for each in live if not each.is_buy), key=_urgency)
            self._ranked = (tuple(buys), tuple(sells), stops)
        return self._ranked


def _urgency(resting: Resting) -> tuple[bool, Decimal]:
    """Return a key that puts orders at any price first, then the best price; sorting is stable."""
    if resting.limit is None:
        return (False, ZERO)
    return (True, -resting.limit if resting.is_buy else resting.limit)
