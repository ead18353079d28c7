"""What one session holds and has on its way: a fold of its own signals and executions."""

from collections.abc import Callable, Mapping
from decimal import Decimal

import msgspec

from schemas.base import NS_PER_S, Event, InstrumentId, OrderId, SignalId
from schemas.confirmations import SignalAwaiting
from schemas.executions import (
    BookReported,
    ExecutionEvent,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRefused,
    OrderRejected,
    OrderReplaced,
    OrderStatus,
    OrderSubmitted,
)
from schemas.ids import order_id_of
from schemas.instruments import Instrument
from schemas.orders import OrderType, Outcome, Side, SignalDecided, SignalRaised, TimeInForce
from schemas.sessions import PositionsAdopted
from schemas.settlement import PositionSettled
from services.portfolio import Portfolio

FORGET_EVERY = 64
"""Signals after which lapsed orders are looked for, so that a strategy that never asks for its open
orders does not pile them up; a count."""

RESTART_SKIP = 1_000
"""Signal numbers left out at a restart. What was journalled last may not have reached the disk when
the power went: a number that was used and is forgotten must not come again; a count."""

LAPSE_NS = NS_PER_S
"""After its expiry, and this long for news of it to arrive, an order that no venue has been heard
to have will never reach one."""

CLOSING = (OrderCanceled, OrderRejected, OrderExpired, OrderRefused, OrderReplaced)
ORDER_FACTS: frozenset[type[Event]] = frozenset(
    {
        SignalRaised,
        SignalDecided,
        OrderSubmitted,
        OrderAccepted,
        OrderFilled,
        PositionSettled,
        PositionsAdopted,
        *CLOSING,
    }
)
"""Every event that this fold is made of."""


class OpenOrder(msgspec.Struct, kw_only=True):
    """One order of a session, from its signal until it is closed."""

    order_id: OrderId
    signal_id: SignalId
    instrument: InstrumentId
    side: Side
    leaves: Decimal
    """What is still to be filled."""

    expires_at_ns: int
    """No venue is sent it from this time on, ns since the epoch."""

    at_ns: int
    """When its signal was raised, ns since the epoch."""

    is_immediate: bool
    """Whether it is to trade at once: it never rests at a venue."""

    is_sent: bool = False
    """Whether the executor, or the venue, has said that the venue has it."""

    is_awaiting: bool = False
    """Whether it waits for a person: the gate has not seen it."""


HELD_BEFORE = "held before the session began"
"""Why a session takes over what no other accounts for."""


def at_par(_currency: str) -> Decimal | None:
    """Return 1: every currency is the account's."""
    return Decimal(1)


class SessionBook:
    """The fold. What was seen before changes nothing.

    Args:
        instruments: what the session trades, by id.
        capital: its own, in the account's currency.
        worth_of: what one unit of a currency is worth in the account's; None: nobody knows.

    Attributes:
        portfolio: positions and cash, from the session's initial capital.
        orders: by id, in the order of their signals; not yet closed.
        signal_count: signals raised so far.
        number: of the newest signal; grows by one, and by more at a restart.
        taken_ns: when the session took over what was held before it, by instrument.
    """

    def __init__(
        self,
        instruments: Mapping[InstrumentId, Instrument],
        capital: Decimal,
        worth_of: Callable[[str], Decimal | None] = at_par,
    ) -> None:
        self._capital = capital
        self._worths = {key: worth_of(each.currency) for key, each in instruments.items()}
        self._is_at_par = all(each == 1 for each in self._worths.values())
        self.portfolio = Portfolio(instruments, capital)
        self.orders: dict[OrderId, OpenOrder] = {}
        self.signal_count = self.number = 0
        self.taken_ns: dict[InstrumentId, int] = {}
        self._multipliers = {key: each.multiplier for key, each in instruments.items()}

    def apply(self, event: Event) -> bool:
        """Fold one event in; return whether it is news. A repeated execution is not."""
        if isinstance(event, SignalRaised):
            self._on_signal(event)
        elif isinstance(event, SignalDecided):
            self._on_decision(event)
        elif isinstance(event, OrderFilled):
            if event.instrument not in self._multipliers or not self.portfolio.apply(event):
                return False
            self._on_fill(event)
        elif isinstance(event, PositionSettled):
            return event.instrument in self._multipliers and self.portfolio.settle(event)
        elif isinstance(event, CLOSING):
            self.orders.pop(event.order_id, None)
        elif isinstance(event, PositionsAdopted):
            self._on_takeover(event)
        elif isinstance(event, ExecutionEvent) and (order := self.orders.get(event.order_id)):
            order.is_sent = True
        return True

    def _on_takeover(self, event: PositionsAdopted) -> None:
        for view in event.positions:
            if view.instrument in self._multipliers:
                self.portfolio.adopt(view)
                if event.reason == HELD_BEFORE:
                    self.taken_ns[view.instrument] = event.at_ns

    def open_orders(self, instrument: InstrumentId, now_ns: int) -> tuple[OpenOrder, ...]:
        """Return what is on its way or open, oldest first; forget what can never be sent."""
        self._forget_lapsed(now_ns)
        return tuple(each for each in self.orders.values() if each.instrument == instrument)

    def hold(self, awaiting: SignalAwaiting) -> None:
        """Note that an order waits for a person, until when; after a restart, that there is one."""
        signal = awaiting.signal
        order_id = order_id_of(signal.account, signal.session, signal.signal_id, signal.leg)
        if order_id not in self.orders:
            self._on_signal(signal)
        order = self.orders[order_id]
        order.is_awaiting, order.expires_at_ns = True, awaiting.expires_at_ns

    def worth(self, instrument: InstrumentId) -> Decimal | None:
        """Return what one unit of its currency is worth in the account's; None: nobody knows."""
        return self._worths[instrument]

    def notional(self, instrument: InstrumentId, quantity: Decimal, price: Decimal) -> Decimal:
        """Return what a quantity comes to at a price, in the account's currency.

        Raises:
            LookupError: nobody knows what the instrument's currency is worth.
        """
        worth = self._worths[instrument]
        if worth is None:
            raise LookupError(instrument)
        return abs(quantity * price) * self._multipliers[instrument] * worth

    def equity(self, mark_of: Callable[[InstrumentId], Decimal | None]) -> Decimal | None:
        """Return what the session is worth, in the account's currency.

        None if something held has no price, or nobody knows what its currency is worth.
        """
        positions = self.portfolio.positions
        held = (key for key, each in positions.items() if each.quantity)
        marks = {key: mark for key in held if (mark := mark_of(key)) is not None}
        if self._is_at_par:
            return self.portfolio.equity(marks)
        total = self._capital
        for key, each in positions.items():
            earned = each.realized - each.fees + each.funding
            worth, mark = self._worths[key], marks.get(key)
            if worth is None or (each.quantity and mark is None):
                return None
            if mark is not None:
                earned += each.quantity * (mark - each.average_price) * self._multipliers[key]
            total += earned * worth
        return total

    def catch_up(self, report: BookReported) -> None:
        """Take what became of its orders from the executor's book: the news of it was missed."""
        views = {each.order.order_id: each for each in report.open_orders}
        ended = {each.order.order_id for each in report.recent_orders}
        for order in [*self.orders.values()]:
            view = views.get(order.order_id)
            if view is not None:
                order.is_sent = True
                order.leaves = min(order.leaves, view.order.quantity - view.filled)
            elif order.is_sent or order.order_id in ended:
                del self.orders[order.order_id]

    def drop(self, signal_id: SignalId) -> None:
        """Forget the orders of a signal that never goes to the gate."""
        for order in [*self.orders.values()]:
            if order.signal_id == signal_id:
                del self.orders[order.order_id]

    def _on_signal(self, signal: SignalRaised) -> None:
        order_id = order_id_of(signal.account, signal.session, signal.signal_id, signal.leg)
        if (order := self.orders.get(order_id)) is not None:  # it waited, and was confirmed
            order.is_awaiting, order.expires_at_ns = False, signal.expires_at_ns
            order.at_ns = signal.at_ns
            return
        self.signal_count += 1
        self.number = int(signal.signal_id.rpartition("-")[2])
        if self.signal_count % FORGET_EVERY == 0:
            self._forget_lapsed(signal.at_ns)
        self.orders[order_id] = OpenOrder(
            order_id=order_id,
            signal_id=signal.signal_id,
            instrument=signal.instrument,
            side=signal.side,
            leaves=signal.quantity,
            expires_at_ns=signal.expires_at_ns,
            at_ns=signal.at_ns,
            is_immediate=_is_immediate(signal),
        )

    def _forget_lapsed(self, now_ns: int) -> None:
        lapsed = [
            order.order_id
            for order in self.orders.values()
            if not order.is_sent and now_ns >= order.expires_at_ns + LAPSE_NS
        ]
        for order_id in lapsed:
            del self.orders[order_id]

    def _on_decision(self, decision: SignalDecided) -> None:
        order = self.orders.get(decision.order_id)
        if order is None:
            return
        if decision.outcome is Outcome.REJECTED:
            if not order.is_sent:  # a repeated signal is rejected after the first one was passed
                del self.orders[order.order_id]
        elif not order.is_sent:
            order.leaves = decision.approved_quantity

    def _on_fill(self, fill: OrderFilled) -> None:
        order = self.orders.get(fill.order_id)
        if order is None:
            return
        order.is_sent = True
        order.leaves = min(order.leaves, fill.leaves)  # it may be told after a later one
        if fill.status is OrderStatus.FILLED:
            del self.orders[order.order_id]


def _is_immediate(signal: SignalRaised) -> bool:
    return signal.order_type is OrderType.MARKET or signal.time_in_force is not TimeInForce.GTC
