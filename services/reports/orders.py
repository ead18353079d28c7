"""Every order's whole life, folded from its events: what all reports and exports are made from."""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

import msgspec

from schemas.base import AccountId, Event, ExecutionId, InstrumentId, OrderId, SessionId, SignalId
from schemas.executions import (
    CLOSED,
    CancelRejected,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderMarkedUnknown,
    OrderRefused,
    OrderRejected,
    OrderReplaced,
    OrderStatus,
    OrderSubmitted,
    OrderTriggered,
)
from schemas.ids import order_id_of
from schemas.orders import (
    CancelApproved,
    CancelRequested,
    Order,
    OrderApproved,
    OrderType,
    Outcome,
    Side,
    SignalDecided,
    SignalRaised,
    TimeInForce,
)
from services.distinct import Distinct

ZERO = Decimal(0)
CLOSED_MAX = 100_000
"""Closed orders remembered for what is still told of them (a late execution, a repeat); a count.
One takes some 2 KB."""


class OrderRecord(msgspec.Struct, kw_only=True):
    """One order, or a signal that never became one. What was not told is None, 0 or empty.

    Prices are in the instrument's currency, quantities in its units, times in ns since the epoch.
    """

    order_id: OrderId
    account: AccountId = AccountId("")
    session: SessionId = SessionId("")
    instrument: InstrumentId = InstrumentId("")
    signal_id: SignalId = SignalId("")
    parent_id: SignalId | None = None
    parent_quantity: Decimal | None = None
    leg: int = 0
    side: Side | None = None
    asked: Decimal = ZERO
    """What the signal asked for."""

    quantity: Decimal = ZERO
    """What the gate let pass."""

    order_type: OrderType | None = None
    time_in_force: TimeInForce | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    is_post_only: bool = False
    is_reduce_only: bool = False
    expires_at_ns: int = 0
    why: str = ""
    """The strategy's reason."""

    outcome: Outcome | None = None
    rule: str = ""
    detail: str = ""
    epoch: int = 0
    took_ns: int = 0
    bid: Decimal | None = None
    ask: Decimal | None = None
    """The market that the gate read; None where no order came of it."""

    status: OrderStatus | None = None
    """None until an order was approved."""

    reason: str = ""
    """Why it was cancelled, rejected or refused, or its fate is unknown."""

    venue_order_id: str = ""
    replaces: OrderId | None = None
    replaced_by: OrderId | None = None
    filled: Decimal = ZERO
    value: Decimal = ZERO
    """Sum of price times quantity over its executions."""

    fees: Decimal = ZERO
    fill_count: int = 0
    signal_ns: int = 0
    decided_ns: int = 0
    approved_ns: int = 0
    submitted_ns: int = 0
    accepted_ns: int = 0
    triggered_ns: int = 0
    first_fill_ns: int = 0
    last_fill_ns: int = 0
    cancel_asked_ns: int = 0
    closed_ns: int = 0
    """The end of its life; of a signal that was denied, the denial."""

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is to come."""
        return self.status in CLOSED or self.outcome is Outcome.REJECTED

    @property
    def average_price(self) -> Decimal | None:
        """Mean price of its executions; None without any."""
        return self.value / self.filled if self.filled else None

    @property
    def leaves(self) -> Decimal:
        """What may still fill."""
        return ZERO if self.is_closed else self.quantity - self.filled

    @property
    def arrival(self) -> Decimal | None:
        """Middle of the market that it was approved against; None where that was not recorded."""
        return None if self.bid is None or self.ask is None else (self.bid + self.ask) / 2


class OrderFold:
    """All orders that are open, and the last ones that closed. A repeat changes nothing."""

    def __init__(self, closed_max: int = CLOSED_MAX) -> None:
        self._open: dict[OrderId, OrderRecord] = {}
        self._closed: dict[OrderId, OrderRecord] = {}
        self._closed_max = closed_max
        self._executions = Distinct()
        self._folds: dict[type[Event], Callable[[Any], OrderRecord | None]] = {
            SignalRaised: self._raised,
            SignalDecided: self._decided,
            OrderApproved: self._approved,
            CancelRequested: self._cancel_asked,
            CancelApproved: self._cancel_asked,
            OrderSubmitted: self._submitted,
            OrderAccepted: self._accepted,
            OrderTriggered: self._triggered,
            OrderFilled: self._filled,
            OrderCanceled: self._canceled,
            OrderRejected: self._rejected,
            OrderExpired: self._expired,
            OrderRefused: self._refused,
            OrderReplaced: self._replaced,
            OrderMarkedUnknown: self._unknown,
            CancelRejected: self._known,
        }

    @property
    def hears(self) -> frozenset[type[Event]]:
        """What it has a use for."""
        return frozenset(self._folds)

    def apply(self, event: Event) -> OrderRecord | None:
        """Fold one event in; return the order it changed, or None if it changed none."""
        fold = self._folds.get(type(event))
        record = None if fold is None else fold(event)
        if record is not None and record.is_closed and record.order_id in self._open:
            record.closed_ns = record.closed_ns or event.at_ns
            del self._open[record.order_id]
            self._closed[record.order_id] = record
            if len(self._closed) > self._closed_max:
                del self._closed[next(iter(self._closed))]
        return record

    def reopen(self, orders: Iterable[OrderRecord]) -> None:
        """Take in orders that were open when another fold ended."""
        self._open.update((each.order_id, each) for each in orders)

    def open_orders(self) -> Iterator[OrderRecord]:
        """Yield what has not ended, in the order in which it was first heard of."""
        yield from self._open.values()

    def find(self, order_id: OrderId) -> OrderRecord | None:
        """Return an order that is open, or closed not long ago."""
        return self._open.get(order_id) or self._closed.get(order_id)

    def is_repeat(self, execution_id: ExecutionId) -> bool:
        """Return whether this execution was told before, and remember it."""
        return not self._executions.add(execution_id)

    def _of(self, order_id: OrderId) -> OrderRecord:
        found = self.find(order_id)
        if found is None:
            found = self._open[order_id] = OrderRecord(order_id=order_id)
        return found

    def _raised(self, event: SignalRaised) -> OrderRecord | None:
        order_id = order_id_of(event.account, event.session, event.signal_id, event.leg)
        record = self._of(order_id)
        if record.signal_ns:
            return None
        _take_terms(record, event)
        record.asked, record.why, record.signal_ns = event.quantity, event.why, event.at_ns
        return record

    def _decided(self, event: SignalDecided) -> OrderRecord | None:
        record = self._of(event.order_id)
        if record.outcome in (Outcome.APPROVED, Outcome.REDUCED):
            return None  # a repeat of the signal, denied as such: the order lives on
        record.account, record.session = event.account, event.session
        record.instrument, record.signal_id = event.instrument, event.signal_id
        record.side, record.asked = event.side, event.quantity
        record.quantity, record.outcome = event.approved_quantity, event.outcome
        record.rule, record.detail, record.epoch = event.rule, event.detail, event.epoch
        record.bid, record.ask, record.took_ns = event.bid, event.ask, event.took_ns
        record.decided_ns = event.at_ns
        if event.outcome is not Outcome.REJECTED and record.status is None:
            record.status = OrderStatus.PENDING
        return record

    def _approved(self, event: OrderApproved) -> OrderRecord | None:
        record = self._of(event.order.order_id)
        if record.approved_ns:
            return None
        self._take_order(record, event.order)
        record.approved_ns, record.epoch = event.at_ns, event.epoch
        if record.outcome in (None, Outcome.REJECTED):
            record.outcome = Outcome.APPROVED
        return self._set(record, OrderStatus.PENDING)

    def _cancel_asked(self, event: CancelRequested | CancelApproved) -> OrderRecord | None:
        record = self.find(event.order_id)
        if record is None or record.cancel_asked_ns:
            return None
        record.cancel_asked_ns = event.at_ns
        return record

    def _submitted(self, event: OrderSubmitted) -> OrderRecord:
        record = self._of(event.order_id)
        self._take_order(record, event.order)
        record.submitted_ns = record.submitted_ns or event.at_ns
        return self._set(record, OrderStatus.SUBMITTED)

    def _accepted(self, event: OrderAccepted) -> OrderRecord:
        record = self._told(event)
        record.venue_order_id = event.venue_order_id
        record.accepted_ns = record.accepted_ns or event.at_ns
        return self._set(record, OrderStatus.ACCEPTED)

    def _triggered(self, event: OrderTriggered) -> OrderRecord:
        record = self._told(event)
        record.triggered_ns = record.triggered_ns or event.at_ns
        return record

    def _filled(self, event: OrderFilled) -> OrderRecord | None:
        if self.is_repeat(event.execution_id):
            return None
        record = self._told(event)
        record.side = record.side or event.side
        record.filled += event.quantity
        record.value += event.quantity * event.price
        record.fees += event.fee
        record.fill_count += 1
        record.first_fill_ns = record.first_fill_ns or event.at_ns
        record.last_fill_ns = event.at_ns
        return self._set(record, event.status)

    def _canceled(self, event: OrderCanceled) -> OrderRecord:
        return self._end(event, OrderStatus.CANCELED, event.reason)

    def _rejected(self, event: OrderRejected) -> OrderRecord:
        return self._end(event, OrderStatus.REJECTED, event.reason)

    def _expired(self, event: OrderExpired) -> OrderRecord:
        return self._end(event, OrderStatus.EXPIRED, "")

    def _refused(self, event: OrderRefused) -> OrderRecord:
        return self._end(event, OrderStatus.REFUSED, f"{event.rule}: {event.detail}")

    def _replaced(self, event: OrderReplaced) -> OrderRecord:
        record = self._end(event, OrderStatus.REPLACED, "")
        record.replaced_by = event.by
        return record

    def _unknown(self, event: OrderMarkedUnknown) -> OrderRecord:
        return self._end(event, OrderStatus.UNKNOWN, event.reason)

    def _known(self, event: CancelRejected) -> OrderRecord:
        return self._told(event)

    def _told(self, event: Any) -> OrderRecord:
        record = self._of(event.order_id)
        record.account, record.session = event.account, event.session
        record.instrument = event.instrument
        return record

    def _end(self, event: Any, status: OrderStatus, reason: str) -> OrderRecord:
        record = self._told(event)
        record.reason = reason or record.reason
        return self._set(record, status)

    @staticmethod
    def _take_order(record: OrderRecord, order: Order) -> None:
        _take_terms(record, order)
        record.quantity = order.quantity
        record.asked = record.asked or order.quantity

    @staticmethod
    def _set(record: OrderRecord, status: OrderStatus) -> OrderRecord:
        """Note the status; an order never goes back in its life, whatever comes late."""
        before = record.status
        is_open_fate = OrderStatus.UNKNOWN in (before, status) and before not in CLOSED
        if before is None or is_open_fate or _RANK[status] > _RANK[before]:
            record.status = status
        return record


_RANK = {status: rank for rank, status in enumerate(OrderStatus)} | dict.fromkeys(CLOSED, 100)
"""How far in its life each status is."""


def _take_terms(record: OrderRecord, source: SignalRaised | Order) -> None:
    record.account, record.session = source.account, source.session
    record.instrument, record.signal_id = source.instrument, source.signal_id
    record.parent_id, record.parent_quantity = source.parent_id, source.parent_quantity
    record.leg, record.side = source.leg, source.side
    record.order_type, record.time_in_force = source.order_type, source.time_in_force
    record.limit_price, record.stop_price = source.limit_price, source.stop_price
    record.is_post_only, record.is_reduce_only = source.is_post_only, source.is_reduce_only
    record.expires_at_ns, record.replaces = source.expires_at_ns, source.replaces
