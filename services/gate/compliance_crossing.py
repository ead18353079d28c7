"""What rests of one beneficial owner, so that none of it is traded with by the same owner."""

from decimal import Decimal
from heapq import heapify, heappop, heappush

from schemas.base import InstrumentId, OrderId
from schemas.orders import Order, OrderType, Side, SignalRaised, TimeInForce

_ANY = Decimal("Infinity")
_BUY, _GTC = Side.BUY, TimeInForce.GTC
_SLACK = 64
"""Closed orders that a heap may hold beside as many again as are open."""


def key_of(order: Order | SignalRaised) -> Decimal:
    """Return how far an order goes to trade: a sell's lowest price, a buy's highest negated.

    A stop order takes any price once it is triggered, and when that is, nobody knows.
    """
    price = order.limit_price
    if price is None:
        return -_ANY
    return -price if order.side is _BUY else price


def may_rest(order: Order) -> bool:
    """Return whether an order can be at the venue when a later one arrives.

    A market order without a stop price trades or is gone, and so does one that may not wait.
    """
    is_market = order.order_type is OrderType.MARKET
    return order.time_in_force is _GTC and not is_market


class Heap:
    """The open orders of one side of one instrument; the one that goes furthest is at the top."""

    def __init__(self) -> None:
        self.open: dict[OrderId, Decimal] = {}
        self._heap: list[tuple[Decimal, OrderId]] = []

    def add(self, order: Order) -> None:
        """Take an order that may rest; once."""
        if order.order_id not in self.open:
            self.open[order.order_id] = key = key_of(order)
            heappush(self._heap, (key, order.order_id))

    def remove(self, order_id: OrderId) -> None:
        """Let an order go that will trade no more."""
        if self.open.pop(order_id, None) is None:
            return
        heap = self._heap
        while heap and heap[0][1] not in self.open:
            heappop(heap)
        if len(heap) > 2 * len(self.open) + _SLACK:
            self._heap = [(key, each) for each, key in self.open.items()]
            heapify(self._heap)

    def top(self) -> tuple[Decimal, OrderId] | None:
        """Return the key of the order that goes furthest, and its id; None without any."""
        return self._heap[0] if self._heap else None


class Resting:
    """Everything of one owner that may rest, by instrument and side."""

    def __init__(self) -> None:
        self._heaps: dict[tuple[InstrumentId, Side], Heap] = {}

    def add(self, order: Order) -> None:
        """Take an order if it may rest."""
        if may_rest(order):
            key = (order.instrument, order.side)
            heap = self._heaps.get(key)
            if heap is None:
                heap = self._heaps[key] = Heap()
            heap.add(order)

    def remove(self, order: Order) -> None:
        """Let an order go that will trade no more."""
        heap = self._heaps.get((order.instrument, order.side))
        if heap is not None:
            heap.remove(order.order_id)

    def crossed_by(self, signal: SignalRaised) -> OrderId | None:
        """Return an own resting order that the signal could trade with, or None.

        A buy and a sell meet when the buy goes as high as the sell goes low.
        """
        other = Side.SELL if signal.side is _BUY else _BUY
        heap = self._heaps.get((signal.instrument, other))
        top = None if heap is None else heap.top()
        if top is None:
            return None
        return top[1] if top[0] + key_of(signal) <= 0 else None

    def orders(self) -> dict[OrderId, Decimal]:
        """Return the keys of all that may rest, by order."""
        return {key: price for heap in self._heaps.values() for key, price in heap.open.items()}
