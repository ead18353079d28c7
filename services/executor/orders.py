"""Every order this executor was ever given and what became of it: a fold of kept events. Pure."""

from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from schemas.base import Event, InstrumentId, OrderId
from schemas.executions import (
    CLOSED,
    IntentRecorded,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderMarkedUnknown,
    OrderRefused,
    OrderRejected,
    OrderReplaced,
    OrderStatus,
    OrderTriggered,
    OrderView,
    OutcomeRecorded,
)
from schemas.instruments import Instrument
from schemas.orders import Order
from services.portfolio import Portfolio

ZERO = Decimal(0)
AWAITING = frozenset({OrderStatus.PENDING, OrderStatus.SUBMITTED, OrderStatus.UNKNOWN})
"""Not yet answered by the venue."""


class Record:
    """One order as it stands.

    Attributes:
        epoch: of the approval.
        gate_token: fencing token of the approval; 0 after a restart, when nothing old may be sent.
        filled: quantity executed so far.
        is_announced: whether the bus was told that its fate is unknown.
    """

    __slots__ = (
        "at_ns",
        "detail",
        "epoch",
        "filled",
        "gate_token",
        "is_announced",
        "order",
        "status",
    )

    def __init__(self, order: Order, epoch: int, gate_token: int) -> None:
        self.order = order
        self.epoch = epoch
        self.gate_token = gate_token
        self.status = OrderStatus.PENDING
        self.filled = ZERO
        self.at_ns = 0
        self.detail = ""
        self.is_announced = False

    @property
    def leaves(self) -> Decimal:
        """What may still be executed."""
        return self.order.quantity - self.filled

    @property
    def is_unanswered(self) -> bool:
        """Whether the end of the link leaves its fate unknown, and nobody was told that yet."""
        if self.status is OrderStatus.UNKNOWN:
            return not self.is_announced
        return self.status is OrderStatus.SUBMITTED

    def view(self) -> OrderView:
        """Return it as reports show it."""
        return OrderView(
            order=self.order,
            status=self.status,
            filled=self.filled,
            at_ns=self.at_ns,
            detail=self.detail,
        )


class Orders:
    """The executor's book: orders by id, positions by distinct executions; only `apply` changes it.

    Attributes:
        records: every id ever used up (I2), closed ones included.
        open: those that are not closed, oldest first.
        recent: the last that closed, newest last.
        last_fill_ns: venue time of the newest execution folded, 0 before the first.
    """

    keeps: frozenset[type[Event]] = frozenset(
        {
            IntentRecorded,
            OutcomeRecorded,
            OrderRefused,
            OrderAccepted,
            OrderFilled,
            OrderCanceled,
            OrderRejected,
            OrderExpired,
            OrderTriggered,
            OrderReplaced,
            OrderMarkedUnknown,
        }
    )

    def __init__(
        self,
        instruments: Mapping[InstrumentId, Instrument],
        initial_cash: Decimal,
        recent_orders_max: int,
    ) -> None:
        self.records: dict[OrderId, Record] = {}
        self.open: dict[OrderId, Record] = {}
        self.recent: deque[Record] = deque(maxlen=recent_orders_max)
        self.portfolio = Portfolio(instruments, initial_cash)
        self.last_fill_ns = 0
        self._folds: dict[type[Event], Callable[[Record, Any], None]] = {
            OutcomeRecorded: self._outcome,
            OrderRefused: self._refused,
            OrderAccepted: self._accepted,
            OrderFilled: self._filled,
            OrderCanceled: self._canceled,
            OrderRejected: self._rejected,
            OrderExpired: self._expired,
            OrderReplaced: self._replaced,
            OrderMarkedUnknown: self._unknown,
        }

    def add(self, record: Record, at_ns: int) -> None:
        """Use an id up: from here on nothing else is ever sent under it."""
        assert record.order.order_id not in self.records, f"{record.order.order_id} came twice"
        record.at_ns = at_ns
        self.records[record.order.order_id] = self.open[record.order.order_id] = record

    def apply(self, event: Event) -> bool:
        """Fold one kept event in; return False, and change nothing, if it is a repeated execution.

        An order that is closed stays so, whatever comes after.
        """
        if isinstance(event, IntentRecorded):
            if event.order.order_id not in self.records:
                self.add(Record(event.order, event.epoch, 0), event.at_ns)
            return True
        about: Any = event
        record = self.records.get(about.order_id)
        if record is None:
            return True
        if isinstance(event, OrderFilled) and not self.portfolio.apply(event):
            return False
        fold = self._folds.get(type(event))
        if fold is not None:  # a trigger has none: nothing here depends on it
            record.at_ns = event.at_ns
            fold(record, event)
        return True

    def unknown(self) -> list[Record]:
        """Return the orders of unknown fate, oldest first."""
        return [each for each in self.open.values() if each.status is OrderStatus.UNKNOWN]

    def _outcome(self, record: Record, event: OutcomeRecorded) -> None:
        if not event.is_sent:
            self._close(record, OrderStatus.REFUSED, event.detail)
        elif record.status in (OrderStatus.PENDING, OrderStatus.UNKNOWN):
            record.status = OrderStatus.SUBMITTED

    def _refused(self, record: Record, event: OrderRefused) -> None:
        self._close(record, OrderStatus.REFUSED, f"{event.rule}: {event.detail}")

    def _accepted(self, record: Record, event: OrderAccepted) -> None:
        if record.status in AWAITING:
            is_partial = bool(record.filled)
            record.status = OrderStatus.PARTIALLY_FILLED if is_partial else OrderStatus.ACCEPTED
            record.detail = ""

    def _filled(self, record: Record, event: OrderFilled) -> None:
        self.last_fill_ns = max(self.last_fill_ns, event.venue_ns)
        record.filled += event.quantity
        if event.status is OrderStatus.FILLED:
            self._close(record, OrderStatus.FILLED, "")
        elif record.status not in CLOSED:
            record.status, record.detail = OrderStatus.PARTIALLY_FILLED, ""

    def _canceled(self, record: Record, event: OrderCanceled) -> None:
        self._close(record, OrderStatus.CANCELED, event.reason)

    def _rejected(self, record: Record, event: OrderRejected) -> None:
        self._close(record, OrderStatus.REJECTED, event.reason)

    def _expired(self, record: Record, event: OrderExpired) -> None:
        self._close(record, OrderStatus.EXPIRED, "")

    def _replaced(self, record: Record, event: OrderReplaced) -> None:
        self._close(record, OrderStatus.REPLACED, f"by {event.by}")

    def _unknown(self, record: Record, event: OrderMarkedUnknown) -> None:
        if record.status not in CLOSED:
            record.status, record.detail = OrderStatus.UNKNOWN, event.reason
            record.is_announced = True

    def _close(self, record: Record, status: OrderStatus, detail: str) -> None:
        if record.status not in CLOSED:
            record.status, record.detail = status, detail
            del self.open[record.order.order_id]
            self.recent.append(record)
