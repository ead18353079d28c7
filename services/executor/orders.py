"""Every order this executor was ever given and what became of it: a fold of kept events. Pure."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from schemas.base import Event, InstrumentId, OrderId
from schemas.executions import (
    CLOSED,
    LATELY_NS,
    TRADED_MAX,
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
from schemas.orders import Order, Side
from schemas.reconciliation import BookAdjusted, FenceRaised
from schemas.restrictions import FlattenAsked
from schemas.settlement import PositionSettled
from services.distinct import Distinct
from services.executor.shares import Shares
from services.portfolio import Portfolio

ZERO = Decimal(0)
AWAITING = frozenset({OrderStatus.PENDING, OrderStatus.SUBMITTED, OrderStatus.UNKNOWN})
"""Not yet answered by the venue."""


class Record:
    """One order as it stands.

    Attributes:
        epoch: of the approval.
        gate_token: fencing token of the approval.
        filled: quantity executed so far.
        venue_order_id: the venue's own; empty until it said one.
        is_announced: whether the bus was told that its fate is unknown.
        is_seen: whether the venue has ever shown that it has it.
    """

    __slots__ = (
        "at_ns",
        "detail",
        "epoch",
        "filled",
        "gate_token",
        "is_announced",
        "is_seen",
        "order",
        "status",
        "venue_order_id",
    )

    def __init__(self, order: Order, epoch: int, gate_token: int) -> None:
        self.order = order
        self.epoch = epoch
        self.gate_token = gate_token
        self.status = OrderStatus.PENDING
        self.filled = ZERO
        self.at_ns = 0
        self.detail = ""
        self.venue_order_id = ""
        self.is_announced = False
        self.is_seen = False

    @property
    def leaves(self) -> Decimal:
        """What may still be executed; nothing where more was than was ordered."""
        return max(self.order.quantity - self.filled, ZERO)

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

    Every id is used up for ever (I2). What is known of an order that closed long ago is let go of,
    but for its id.

    Attributes:
        records: orders by id: all that are open, and those that closed last.
        open: those that are not closed, oldest first.
        recent: the last that closed, newest last; for people.
        last_fill_ns: venue time of the newest execution folded, 0 before the first.
        gate_token_max: highest fencing token of a gate ever seen (I5).
        venue_ids: whose order each of the venue's own ids is, of open orders.
        shares: which session holds what of it.
    """

    keeps: frozenset[type[Event]] = frozenset(
        {
            BookAdjusted,
            FenceRaised,
            FlattenAsked,
            IntentRecorded,
            OutcomeRecorded,
            OrderRefused,
            OrderAccepted,
            OrderFilled,
            PositionSettled,
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
        closed_orders_max: int = 10_000,
    ) -> None:
        self.records: dict[OrderId, Record] = {}
        self.open: dict[OrderId, Record] = {}
        self.recent: deque[Record] = deque(maxlen=recent_orders_max)
        self._traded: deque[Record] = deque(maxlen=TRADED_MAX)  # the last that did, and closed
        self.portfolio = Portfolio(instruments, initial_cash)
        self.last_fill_ns = 0
        self.gate_token_max = 0
        self.venue_ids: dict[str, OrderId] = {}
        self.shares = Shares()
        self._closed_orders_max = closed_orders_max
        self._closed: deque[OrderId] = deque()  # of `records`, in the order of their end
        self._forgotten = Distinct()
        self._others: dict[type[Event], Callable[[Any], None]] = {  # of no order, or of a new one
            IntentRecorded: self._intended,
            BookAdjusted: self._adjusted,
            FenceRaised: self._fenced,
            FlattenAsked: self.shares.flatten,
        }
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

    @property
    def count(self) -> int:
        """How many ids are used up."""
        return len(self.records) + len(self._forgotten)

    def is_used(self, order_id: OrderId) -> bool:
        """Return whether this id is used up, however long ago."""
        return order_id in self.records or order_id in self._forgotten

    def add(self, record: Record, at_ns: int) -> None:
        """Use an id up: from here on nothing else is ever sent under it."""
        assert not self.is_used(record.order.order_id), f"{record.order.order_id} came twice"
        record.at_ns = at_ns
        self.records[record.order.order_id] = self.open[record.order.order_id] = record

    def apply(self, event: Event) -> bool:
        """Fold one kept event in; return False if it is a repeat, and changes nothing.

        Executions and settlements are known by their ids. An order that is closed stays so,
        whatever comes after.
        """
        if isinstance(event, PositionSettled):
            return self._settled(event)
        other = self._others.get(type(event))
        if other is not None:
            other(event)
            return True
        about: Any = event
        record = self.records.get(about.order_id)
        if isinstance(event, OrderFilled):
            if not self.portfolio.apply(event):
                return False
            self.shares.fill(event)
            self.last_fill_ns = max(self.last_fill_ns, event.venue_ns)
        if record is None:  # an execution that was adopted is the account's all the same
            return True
        fold = self._folds.get(type(event))
        if fold is not None:  # a trigger has none: nothing here depends on it
            record.at_ns = event.at_ns
            fold(record, event)
        return True

    def restore(self, event: Event) -> None:
        """Fold one in at a start. An intent is of unknown fate until its outcome follows."""
        self.apply(event)
        if isinstance(event, IntentRecorded):
            record = self.open.get(event.order.order_id)
            if record is not None:
                record.status = OrderStatus.UNKNOWN
                record.detail = "stopped between the intent to send it and the outcome"

    def unknown(self) -> list[Record]:
        """Return the orders of unknown fate, oldest first."""
        return [each for each in self.open.values() if each.status is OrderStatus.UNKNOWN]

    def ended(self, now_ns: int) -> list[Record]:
        """Return what a book shows as closed: what traded lately, then the last ones to close."""
        shown = {each.order.order_id for each in self.recent}
        older = [
            each
            for each in self._traded
            if each.order.order_id not in shown and now_ns - each.at_ns < LATELY_NS
        ]
        return [*older, *self.recent]

    def held(self) -> dict[InstrumentId, Decimal]:
        """Return the signed quantity of every instrument that is held, or was."""
        return {key: each.quantity for key, each in self.portfolio.positions.items()}

    def reducible(self, order: Order) -> Decimal:
        """Return how much this order may trade without any chance of a larger position.

        What is held, less what every open order of its side, sent or in line before it, may
        still take of that, orders of unknown fate included.
        """
        room = _closes(self.portfolio.quantity(order.instrument), order.side)
        return room - sum((each.leaves for each in self._ahead_of(order)), ZERO)

    def reducible_by_session(self, order: Order) -> Decimal:
        """Return the same of what its session alone holds, by its own fills and open orders."""
        owner = self.shares.owner
        session = owner(order.session)
        held = self.shares.quantity(session, order.instrument)
        ahead = (each for each in self._ahead_of(order) if owner(each.order.session) == session)
        return _closes(held, order.side) - sum((each.leaves for each in ahead), ZERO)

    def _ahead_of(self, order: Order) -> Iterator[Record]:
        """Yield the open orders of its instrument and side, sent or in line before it."""
        is_before = True
        for order_id, record in self.open.items():
            if order_id == order.order_id:
                is_before = False
                continue
            is_counted = is_before or record.status is not OrderStatus.PENDING
            other = record.order
            if is_counted and other.instrument == order.instrument and other.side is order.side:
                yield record

    def _intended(self, event: IntentRecorded) -> None:
        self.gate_token_max = max(self.gate_token_max, event.gate_token)
        if not self.is_used(event.order.order_id):
            self.add(Record(event.order, event.epoch, event.gate_token), event.at_ns)

    def _fenced(self, event: FenceRaised) -> None:
        self.gate_token_max = max(self.gate_token_max, event.gate_token)

    def _settled(self, event: PositionSettled) -> bool:
        """Settle what is held; what was closed is held by no session any more."""
        if not self.portfolio.settle(event):
            return False
        if event.closes_at is not None:
            self.shares.close(event.instrument)
        return True

    def _adjusted(self, event: BookAdjusted) -> None:
        """Take the venue's side over, as a person decided; the event itself is the trace of it."""
        self.portfolio.adjust(event.instrument, event.quantity, event.cash, event.fees)
        if event.order is not None and not self.is_used(event.order.order_id):
            record = Record(event.order, 0, 0)
            record.status, record.is_seen = OrderStatus.ACCEPTED, True
            self.add(record, event.at_ns)
        record_or_none = self.open.get(event.order_id) if event.order_id is not None else None
        if record_or_none is not None:
            record_or_none.filled = event.filled

    def _outcome(self, record: Record, event: OutcomeRecorded) -> None:
        if not event.is_sent:
            self._close(record, OrderStatus.REFUSED, event.detail)
        elif record.status in (OrderStatus.PENDING, OrderStatus.UNKNOWN):
            record.status = OrderStatus.SUBMITTED

    def _refused(self, record: Record, event: OrderRefused) -> None:
        self._close(record, OrderStatus.REFUSED, f"{event.rule}: {event.detail}")

    def _accepted(self, record: Record, event: OrderAccepted) -> None:
        record.is_seen = True
        if record.status in AWAITING:
            is_partial = bool(record.filled)
            record.status = OrderStatus.PARTIALLY_FILLED if is_partial else OrderStatus.ACCEPTED
            record.detail = ""
        if event.venue_order_id and not record.venue_order_id:
            record.venue_order_id = event.venue_order_id
            self.venue_ids.setdefault(event.venue_order_id, event.order_id)

    def _filled(self, record: Record, event: OrderFilled) -> None:
        record.is_seen = True
        if record.status in CLOSED and not record.filled:  # it crossed the end
            self._traded.append(record)
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
            self.venue_ids.pop(record.venue_order_id, None)
            self.recent.append(record)
            if record.filled:
                self._traded.append(record)
            self._closed.append(record.order.order_id)
            while len(self._closed) > self._closed_orders_max:
                oldest = self._closed.popleft()
                self._forgotten.add(oldest)
                self.records.pop(oldest, None)


def _closes(held: Decimal, side: Side) -> Decimal:
    """Return how much an order of this side may trade before what is held is closed."""
    return max(-held if side is Side.BUY else held, ZERO)
