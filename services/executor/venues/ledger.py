"""What the paper exchange never forgets: a fold of orders received and of its own reports."""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from schemas.base import Event, InstrumentId, OrderId
from schemas.executions import CLOSED, OrderStatus
from schemas.instruments import Instrument
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
from services.executor.venues.resting import Resting, Shelf
from services.portfolio import Portfolio

ZERO = Decimal(0)


class Ledger:
    """Orders, positions, cash and executions of one account; only `apply` changes them.

    Attributes:
        orders: every order ever sent here, by our id.
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
        }
    )

    def __init__(self, instruments: Mapping[InstrumentId, Instrument], initial_cash: Decimal):
        self.orders: dict[OrderId, Resting] = {}
        self.shelves = {instrument: Shelf() for instrument in instruments}
        self.portfolio = Portfolio(instruments, initial_cash)
        self.accepted_count = 0
        self._executions: list[VenueFilled] = []
        self._settlements: list[VenueSettled] = []
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
        }

    def apply(self, event: Event) -> None:
        """Fold one kept event in; a repeat of an order's id changes nothing."""
        self._folds[type(event)](event)

    def book(self, request_id: str, since_ns: int, now_ns: int) -> VenueBook:
        """Return everything held at this instant, with the executions since `since_ns`."""
        positions = self.portfolio.positions
        start = bisect_left(self._executions, since_ns, key=lambda fill: fill.at_ns)
        settled = bisect_left(self._settlements, since_ns, key=lambda each: each.at_ns)
        return VenueBook(
            at_ns=now_ns,
            request_id=request_id,
            cash=self.portfolio.cash,
            fees=self.portfolio.fees,
            positions={key: held.quantity for key, held in positions.items() if held.quantity},
            open_orders=tuple(
                each.view() for shelf in self.shelves.values() for each in shelf.orders.values()
            ),
            executions=tuple(self._executions[start:]),
            settlements=tuple(self._settlements[settled:]),
        )

    def status(self, order_id: OrderId, now_ns: int) -> VenueOrderStatus:
        """Return what became of an id; no status when it was never seen."""
        resting = self.orders.get(order_id)
        if resting is None:
            return VenueOrderStatus(at_ns=now_ns, order_id=order_id, status=None)
        return VenueOrderStatus(
            at_ns=now_ns,
            order_id=order_id,
            status=resting.status,
            filled=resting.order.quantity - resting.leaves,
            detail=resting.detail,
        )

    def _placed(self, event: OrderPlaced) -> None:
        order_id = event.order.order_id
        if order_id not in self.orders:
            self.orders[order_id] = Resting(event.order)

    def _accepted(self, event: VenueAccepted) -> None:
        resting = self.orders[event.order_id]
        resting.status = OrderStatus.ACCEPTED
        resting.venue_order_id = event.venue_order_id
        self.accepted_count += 1
        self.shelves[resting.order.instrument].add(resting)

    def _rejected(self, event: VenueRejected) -> None:
        resting = self.orders[event.order_id]
        if resting.status is OrderStatus.PENDING:  # else a repeat was rejected, not the order
            resting.status, resting.detail = OrderStatus.REJECTED, event.reason

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
