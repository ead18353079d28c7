"""What the venue's own log says: positions, resting orders, and the worst that could come of them.

Read from what the venue wrote down, never from what anybody here believes it did.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from schemas.base import Event, ExecutionId, InstrumentId, OrderId
from schemas.orders import Order, Side
from schemas.venue import (
    OrderPlaced,
    VenueAccepted,
    VenueCanceled,
    VenueExpired,
    VenueFilled,
    VenueRejected,
    VenueReplaced,
)
from services.simulation.violations import require

ZERO = Decimal(0)


class VenueLog:
    """A fold of the venue's log, checked entry by entry (I2, I8).

    Args:
        read_from: returns the log from an entry on.
        limit: most that may be held either way once all that rests has filled, by quantity.

    Attributes:
        orders: every order that arrived, by our id.
        held: signed quantity by instrument.
        resting: what is left of each order that rests.
        fill_count: distinct executions.
    """

    def __init__(self, read_from: Callable[[int], Sequence[Event]], limit: Decimal) -> None:
        self.orders: dict[OrderId, Order] = {}
        self.held: dict[InstrumentId, Decimal] = {}
        self.resting: dict[OrderId, Decimal] = {}
        self.fill_count = 0
        self.accepted: dict[OrderId, None] = {}
        self._read_from = read_from
        self._limit = limit
        self._read_count = 0
        self._executions: dict[ExecutionId, None] = {}
        self._open: dict[tuple[InstrumentId, Side], Decimal] = {}
        self._folds: dict[type[Event], Callable[[Any], None]] = {
            OrderPlaced: self._placed,
            VenueAccepted: self._accepted,
            VenueFilled: self._filled,
            VenueRejected: self._ended,
            VenueCanceled: self._ended,
            VenueExpired: self._ended,
            VenueReplaced: self._ended,
        }

    def catch_up(self) -> None:
        """Read what the venue wrote since.

        Raises:
            ViolationError: I2 or I8 is broken.
        """
        for event in self._read_from(self._read_count):
            self._read_count += 1
            fold = self._folds.get(type(event))
            if fold is not None:
                fold(event)

    def positions(self) -> dict[InstrumentId, Decimal]:
        """Return what is held, zero positions left out."""
        return {key: quantity for key, quantity in self.held.items() if quantity}

    def resting_on(self, instrument: InstrumentId, side: Side) -> Decimal:
        """Return how much rests on one side of an instrument, reduce-only orders included."""
        orders = self.orders
        return sum(
            (
                leaves
                for order_id, leaves in self.resting.items()
                if orders[order_id].instrument == instrument and orders[order_id].side is side
            ),
            ZERO,
        )

    def _placed(self, event: OrderPlaced) -> None:
        order = event.order
        require(order.order_id not in self.orders, "I2", f"{order.order_id} came to it twice")
        self.orders[order.order_id] = order

    def _accepted(self, event: VenueAccepted) -> None:
        order = self.orders[event.order_id]
        self.accepted[event.order_id] = None
        self.resting[event.order_id] = order.quantity
        self._change(order, order.quantity)
        self._check(order.instrument)

    def _filled(self, event: VenueFilled) -> None:
        is_new = event.execution_id not in self._executions
        require(is_new, "venue", f"execution {event.execution_id} was made twice")
        self._executions[event.execution_id] = None
        self.fill_count += 1
        before = self.held.get(event.instrument, ZERO)
        self.held[event.instrument] = before + event.signed_quantity
        self._leave(event.order_id, event.leaves)
        self._check(event.instrument)

    def _ended(self, event: Any) -> None:
        self._leave(event.order_id, ZERO)

    def _leave(self, order_id: OrderId, leaves: Decimal) -> None:
        before = self.resting.pop(order_id, ZERO)
        if leaves:
            self.resting[order_id] = leaves
        if before != leaves:
            self._change(self.orders[order_id], leaves - before)

    def _change(self, order: Order, by: Decimal) -> None:
        if not order.is_reduce_only:  # the venue itself holds those to the position
            key = (order.instrument, order.side)
            self._open[key] = self._open.get(key, ZERO) + by

    def _check(self, instrument: InstrumentId) -> None:
        """Require that no more could be held than is allowed, whatever of it fills (I8)."""
        held = self.held.get(instrument, ZERO)
        buys = self._open.get((instrument, Side.BUY), ZERO)
        sells = self._open.get((instrument, Side.SELL), ZERO)
        worst = max(held + buys, sells - held)
        said = f"{instrument}: {held} held, {buys} to buy and {sells} to sell"
        require(worst <= self._limit, "I8", said)
