"""What the paper exchange never forgets: a fold of orders received and of its own reports."""

from collections import deque
from collections.abc import Callable, Mapping, Reversible
from decimal import Decimal
from typing import Any, TypeVar

from schemas.base import Event, InstrumentId, OrderId
from schemas.executions import CLOSED, OrderStatus
from schemas.instruments import Instrument
from schemas.market import InstrumentStatusChanged, Trading
from schemas.venue import (
    OrderPlaced,
    VenueAccepted,
    VenueBook,
    VenueCanceled,
    VenueFilled,
    VenueHealth,
    VenueOrderStatus,
    VenueRejected,
    VenueReplaced,
    VenueSettled,
    VenueTriggered,
)
from services.distinct import Distinct
from services.executor.venues.resting import Resting, Shelf
from services.portfolio import Portfolio

ZERO = Decimal(0)
NOT_OPEN = (Trading.HALTED, Trading.CLOSED)
_Report = TypeVar("_Report", VenueFilled, VenueSettled)


class Ledger:
    """Orders, positions, cash and executions of one account; only `apply` changes them.

    Every id is used up for ever. What is known of an order that closed long ago is let go of, but
    for its id, and so are executions: whoever asks for older ones finds its book and this one
    unlike, and has to look.

    Attributes:
        orders: by our id: all that may still fill, and those that closed last.
        shelves: what rests, by instrument.
        accepted_count: orders accepted so far; numbers the venue's own order ids.
    """

    keeps: frozenset[type[Event]] = frozenset(
        {
            OrderPlaced,
            VenueAccepted,
            VenueRejected,
            VenueFilled,
            VenueSettled,
            VenueCanceled,
            VenueTriggered,
            VenueReplaced,
            InstrumentStatusChanged,
        }
    )

    def __init__(
        self,
        instruments: Mapping[InstrumentId, Instrument],
        initial_cash: Decimal,
        closed_orders_max: int,
        executions_max: int,
    ) -> None:
        self.orders: dict[OrderId, Resting] = {}
        self._forgotten = Distinct()
        self._closed: deque[OrderId] = deque()  # of `orders`, in the order of their end
        self._closed_orders_max = closed_orders_max
        self.shelves = {instrument: Shelf() for instrument in instruments}
        self.portfolio = Portfolio(instruments, initial_cash)
        self.accepted_count = 0
        self._executions: deque[VenueFilled] = deque(maxlen=executions_max)
        self._settlements: deque[VenueSettled] = deque(maxlen=executions_max)
        self._folds: dict[type[Event], Callable[[Any], None]] = {
            OrderPlaced: self._placed,
            VenueAccepted: self._accepted,
            VenueRejected: self._rejected,
            VenueFilled: self._filled,
            VenueSettled: self._settled,
            VenueHealth: lambda _: None,  # follows from the others
            VenueCanceled: self._canceled,
            VenueTriggered: self._triggered,
            VenueReplaced: self._replaced,
            InstrumentStatusChanged: self._halted_or_not,
        }

    def apply(self, event: Event) -> None:
        """Fold one kept event in; a repeat of an order's id changes nothing."""
        self._folds[type(event)](event)

    def _halted_or_not(self, event: InstrumentStatusChanged) -> None:
        """Note whether it is traded: a halt outlasts our restart, and a silence of the feed."""
        shelf = self.shelves.get(event.instrument)
        if shelf is not None and event.trading is not Trading.UNKNOWN:
            shelf.is_open = event.trading not in NOT_OPEN

    def book(self, request_id: str, since_ns: int, now_ns: int) -> VenueBook:
        """Return everything held at this instant, with the executions since `since_ns`."""
        positions = self.portfolio.positions
        return VenueBook(
            at_ns=now_ns,
            request_id=request_id,
            cash=self.portfolio.cash,
            fees=self.portfolio.fees,
            positions={key: held.quantity for key, held in positions.items() if held.quantity},
            open_orders=tuple(
                each.view() for shelf in self.shelves.values() for each in shelf.orders.values()
            ),
            executions=_since(self._executions, since_ns),
            settlements=_since(self._settlements, since_ns),
        )

    def status(self, order_id: OrderId, now_ns: int) -> VenueOrderStatus:
        """Return what became of an id; no status when it was never seen."""
        resting = self.orders.get(order_id)
        if resting is None:
            status = OrderStatus.UNKNOWN if order_id in self._forgotten else None
            detail = "" if status is None else "it ended too long ago to be remembered"
            return VenueOrderStatus(at_ns=now_ns, order_id=order_id, status=status, detail=detail)
        return VenueOrderStatus(
            at_ns=now_ns,
            order_id=order_id,
            status=resting.status,
            filled=resting.order.quantity - resting.leaves,
            detail=resting.detail,
        )

    def is_new(self, order_id: OrderId) -> bool:
        """Return whether an order of this id was placed, and neither accepted nor rejected."""
        resting = self.orders.get(order_id)
        return resting is not None and resting.status is OrderStatus.PENDING

    def _placed(self, event: OrderPlaced) -> None:
        order_id = event.order.order_id
        if order_id not in self.orders and order_id not in self._forgotten:
            self.orders[order_id] = Resting(event.order)

    def _accepted(self, event: VenueAccepted) -> None:
        resting = self.orders[event.order_id]
        resting.status = OrderStatus.ACCEPTED
        resting.venue_order_id = event.venue_order_id
        self.accepted_count += 1
        self.shelves[resting.order.instrument].add(resting)

    def _rejected(self, event: VenueRejected) -> None:
        if self.is_new(event.order_id):  # else a repeat was rejected, not the order
            resting = self.orders[event.order_id]
            resting.status, resting.detail = OrderStatus.REJECTED, event.reason
            self._let_go(event.order_id)

    def _filled(self, event: VenueFilled) -> None:
        if not self.portfolio.apply(event):
            return
        resting = self.orders[event.order_id]
        self._executions.append(event)
        resting.fill_count += 1
        resting.leaves = event.leaves
        if event.leaves:
            resting.status = OrderStatus.PARTIALLY_FILLED
        else:
            self._close(resting, OrderStatus.FILLED, "")

    def _settled(self, event: VenueSettled) -> None:
        if self.portfolio.settle(event):
            self._settlements.append(event)

    def _canceled(self, event: VenueCanceled) -> None:
        self._close(self.orders[event.order_id], OrderStatus.CANCELED, event.reason)

    def _replaced(self, event: VenueReplaced) -> None:
        self._close(self.orders[event.order_id], OrderStatus.REPLACED, event.by)

    def _triggered(self, event: VenueTriggered) -> None:
        resting = self.orders[event.order_id]
        resting.is_stop = False
        self.shelves[resting.order.instrument].rank_again()

    def _close(self, resting: Resting, status: OrderStatus, detail: str) -> None:
        assert resting.status not in CLOSED, f"{resting.order.order_id} was closed twice"
        resting.status, resting.detail = status, detail
        self.shelves[resting.order.instrument].drop(resting)
        self._let_go(resting.order.order_id)

    def _let_go(self, closed: OrderId) -> None:
        """Remember an order that has ended among the last ones."""
        self._closed.append(closed)
        while len(self._closed) > self._closed_orders_max:
            oldest = self._closed.popleft()
            self._forgotten.add(oldest)
            del self.orders[oldest]


def _since(reports: Reversible[_Report], since_ns: int) -> tuple[_Report, ...]:
    """Return the reports from a time on; they are in the order of time, the newest mostly asked."""
    found = deque[_Report]()
    for each in reversed(reports):
        if each.at_ns < since_ns:
            break
        found.appendleft(each)
    return tuple(found)
