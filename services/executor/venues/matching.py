"""The paper exchange: our orders against the market data of the bus. Pure.

Rules, all on the side that gives us less:

- An order that crosses takes displayed size only (`outside`), level by level where depth is known,
  else the touch. The rest of a limit order rests; of a market order it is cancelled or waits, as
  configured; nothing is filled at a price nobody showed.
- A resting order fills at its own price, as maker: when a trade prints through it or at its price
  once the queue ahead is used up (never more than the trade), or when the other side is quoted at
  or through its price (never more than is displayed).
- A stop is triggered by a trade, or by the opposite quote, at or through its price.
- Our own orders never trade with each other.
- `order.expires_at_ns` is when an order is too late to arrive, not how long it may rest.
- A replacement stands for its own quantity and goes to the back of the queue; if it is refused,
  the order it names stays.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from schemas.base import NS_PER_MS, Event, ExecutionId, InstrumentId
from schemas.executions import CLOSED, Liquidity
from schemas.instruments import Instrument
from schemas.market import (
    BookChanged,
    FundingPublished,
    InstrumentStatusChanged,
    Level,
    QuoteReceived,
    TradeReceived,
    Trading,
)
from schemas.orders import Order, Side, TimeInForce
from schemas.venue import (
    BookQueried,
    CancelAllPlaced,
    CancelPlaced,
    OrderPlaced,
    OrderQueried,
    VenueAccepted,
    VenueBook,
    VenueCanceled,
    VenueCancelRejected,
    VenueFilled,
    VenueMessage,
    VenueRejected,
    VenueTriggered,
)
from services.core import NOTHING
from services.executor.config import MarketRemainder, VenueConfig
from services.executor.venues.expiry import ExpirySchedule
from services.executor.venues.funding import FundingSchedule
from services.executor.venues.ledger import Ledger
from services.executor.venues.lending import LendingBook
from services.executor.venues.market_terms import fee_rates, side_hit
from services.executor.venues.resting import Resting, Shelf, replaced
from services.executor.venues.rules import is_unlucky, reducible, refusal, would_split, would_take

ZERO = Decimal(0)
REPEATED = "the id was used before"
REQUESTS: tuple[type[VenueMessage], ...] = (
    OrderPlaced,
    CancelPlaced,
    CancelAllPlaced,
    OrderQueried,
    BookQueried,
)
"""What an executor may ask of it."""

NEWS = (FundingPublished, *LendingBook.hears)
"""What is published of an instrument beside its market."""

Reports = list[VenueMessage]


class VenueCore:
    """A simulated exchange for one account.

    Args:
        config: latency, fees, rejections.
        instruments: what it trades; market data of others is ignored.
        initial_cash: before the first execution.
    """

    hears: frozenset[type[Event]] = frozenset(
        {QuoteReceived, TradeReceived, BookChanged, InstrumentStatusChanged, *NEWS, *REQUESTS}
    )
    keeps: frozenset[type[Event]] = Ledger.keeps

    def __init__(
        self,
        config: VenueConfig,
        instruments: Mapping[InstrumentId, Instrument],
        initial_cash: Decimal,
    ) -> None:
        closed_max, executions_max = config.closed_orders_max, config.executions_max
        self.ledger = Ledger(instruments, initial_cash, closed_max, executions_max)
        self._funding = FundingSchedule(instruments, self.ledger)
        self._lending = LendingBook(instruments, self.ledger, config.liquidation_threshold)
        self._expiry = ExpirySchedule(instruments, self.ledger)
        self._config = config
        self._instruments = instruments
        self._shelves = self.ledger.shelves
        self._fee_rates = {key: fee_rates(each, config) for key, each in instruments.items()}
        self._latency_ns = config.latency_ms * NS_PER_MS
        self._under_way: deque[tuple[int, Event]] = deque()
        self._hears: dict[type[Event], Callable[[Any, int], Sequence[Event]]] = {
            TradeReceived: self._on_trade,
            BookChanged: self._on_book,
            InstrumentStatusChanged: self._on_status,
            **dict.fromkeys(NEWS, self._on_news),
            **dict.fromkeys(REQUESTS, self._on_request),
        }
        self._serves: dict[type[Event], Callable[[Any, int, Reports], None]] = {
            OrderPlaced: self._place,
            CancelPlaced: self._cancel,
            CancelAllPlaced: self._cancel_all,
            OrderQueried: self._tell_status,
            BookQueried: self._tell_book,
        }
        self.wake_at_ns: int | None = self._expiry.next_ns

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Take one market event or request in; return the reports that follow."""
        if type(event) is QuoteReceived:  # by far the most
            shelf = self._shelves.get(event.instrument)
            if shelf is None:
                return NOTHING
            shelf.outside.quote = event
            return self._on_busy_quote(shelf, now_ns) if shelf.is_busy else NOTHING
        return self._hears[type(event)](event, now_ns)

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Serve the requests that have arrived by now, after what is due by itself."""
        said: Reports = []
        dues = (self._funding.due(now_ns), self._lending.due(now_ns), self._expiry.due(now_ns))
        for report in (each for due in dues for each in due):
            self._say(said, report)
        while self._under_way and self._under_way[0][0] <= now_ns:
            self._serve(self._under_way.popleft()[1], now_ns, said)
        self._set_wake()
        return said

    def restore(self, event: Event) -> None:
        """Fold one kept event in. Orders received and never answered are served when woken."""
        self.ledger.apply(event)
        if isinstance(event, OrderPlaced):
            self._under_way.append((event.at_ns + self._latency_ns, event))
        while self._under_way and not self._is_unserved(self._under_way[0][1]):
            self._under_way.popleft()
        self._set_wake()

    def describe(self, now_ns: int) -> VenueBook:
        """Return the whole book, without executions."""
        return self.ledger.book("", now_ns + 1, now_ns)

    # requests

    def _on_request(self, event: Event, now_ns: int) -> Sequence[Event]:
        if isinstance(event, OrderPlaced):
            self.ledger.apply(event)
        if self._latency_ns:
            self._under_way.append((now_ns + self._latency_ns, event))
            self._set_wake()
            return NOTHING
        said: Reports = []
        self._serve(event, now_ns, said)
        return said

    def _serve(self, event: Event, now_ns: int, said: Reports) -> None:
        self._serves[type(event)](event, now_ns, said)

    def _place(self, event: OrderPlaced, now_ns: int, said: Reports) -> None:
        order = event.order
        order_id = order.order_id
        why = self._refusal(order, now_ns) if self._is_unserved(event) else REPEATED
        if why:
            self._say(said, VenueRejected(at_ns=now_ns, order_id=order_id, reason=why))
            return
        if order.replaces is not None:
            self._say(said, replaced(self.ledger.orders[order.replaces], order_id, now_ns))
        number = f"V{self.ledger.accepted_count + 1}"
        self._say(said, VenueAccepted(at_ns=now_ns, order_id=order_id, venue_order_id=number))
        resting, shelf = self.ledger.orders[order_id], self._shelves[order.instrument]
        if resting.is_stop:
            self._trigger_by_quote(resting, shelf, now_ns, said)
        else:
            self._execute(resting, shelf, now_ns, said)

    def _refusal(self, order: Order, now_ns: int) -> str:
        instrument = self._instruments.get(order.instrument)
        if instrument is None:
            return f"{order.instrument} is not traded here"
        if now_ns >= order.expires_at_ns:
            return f"too late: it was to arrive before {order.expires_at_ns}, and it is {now_ns}"
        if is_unlucky(order.order_id, self._config.seed, self._config.reject_rate):
            return "rejected by chance, as configured in venue.reject_rate"
        held = self.ledger.portfolio.quantity(order.instrument)
        if order.is_reduce_only and order.quantity > reducible(order, held):
            return f"reduce only: quantity {order.quantity}, and the position is {held}"
        if order.replaces is not None and (why := self._cannot_replace(order)):
            return why
        shelf = self._shelves[order.instrument]
        return self._lending.refusal(order) or refusal(order, instrument, shelf)

    def _cannot_replace(self, order: Order) -> str:
        assert order.replaces is not None, "asked only of replacements"
        stands = self._shelves[order.instrument].orders.get(order.replaces)
        if stands is None:
            return f"{order.replaces} does not rest in {order.instrument}: nothing to replace"
        return "" if stands.order.side is order.side else "it would replace an order of other side"

    def _cancel(self, event: CancelPlaced, now_ns: int, said: Reports) -> None:
        resting = self.ledger.orders.get(event.order_id)
        if resting is not None and resting.status not in CLOSED:
            self._end(resting, "as asked", now_ns, said)
            return
        detail = self.ledger.status(event.order_id, now_ns).detail or "never seen here"
        why = detail if resting is None else f"it is {resting.status}"
        said.append(VenueCancelRejected(at_ns=now_ns, order_id=event.order_id, reason=why))

    def _cancel_all(self, event: CancelAllPlaced, now_ns: int, said: Reports) -> None:
        for shelf in self._shelves.values():
            for resting in tuple(shelf.orders.values()):
                self._end(resting, "as asked: all", now_ns, said)

    def _tell_status(self, event: OrderQueried, now_ns: int, said: Reports) -> None:
        said.append(self.ledger.status(event.order_id, now_ns))

    def _tell_book(self, event: BookQueried, now_ns: int, said: Reports) -> None:
        said.append(self.ledger.book(event.request_id, event.since_ns, now_ns))

    # the market

    def _on_busy_quote(self, shelf: Shelf, now_ns: int) -> Sequence[Event]:
        """Meet new prices where something of ours rests, or was taken."""
        outside = shelf.outside
        outside.refresh()
        said: Reports = []
        if shelf.orders and shelf.is_open:
            buys, sells, stops = shelf.ranked()
            for resting in (*buys, *sells):
                self._requote(resting, shelf, now_ns, said)
            for resting in stops:
                self._trigger_by_quote(resting, shelf, now_ns, said)
        shelf.is_busy = bool(shelf.orders) or outside.has_been_taken
        return said

    def _on_trade(self, event: TradeReceived, now_ns: int) -> Sequence[Event]:
        shelf = self._shelves.get(event.instrument)
        if shelf is None or not shelf.orders or not shelf.is_open:
            return NOTHING
        said: Reports = []
        hit = side_hit(event, shelf)
        buys, sells, stops = shelf.ranked()
        for side, ours in ((Side.BUY, buys), (Side.SELL, sells)):
            left = event.quantity if event.aggressor is not side else ZERO
            for resting in ours:
                if resting.limit is None or not left:
                    continue
                got = resting.meets(event.price, left, is_at_touch=hit is side)
                if got:
                    left -= got
                    self._fill(resting, (resting.limit, got), Liquidity.MAKER, now_ns, said)
        for resting in stops:
            if resting.is_reached(event.price):
                self._trigger(resting, shelf, now_ns, said)
        return said

    def _on_book(self, event: BookChanged, now_ns: int) -> Sequence[Event]:
        shelf = self._shelves.get(event.instrument)
        if shelf is None:
            return NOTHING
        shelf.outside.change(event)
        return self._on_busy_quote(shelf, now_ns) if shelf.is_busy else NOTHING

    def _on_status(self, event: InstrumentStatusChanged, now_ns: int) -> Sequence[Event]:
        self.ledger.apply(event)
        shelf = self._shelves.get(event.instrument)
        if shelf is not None and event.trading is Trading.UNKNOWN:
            shelf.outside.lose_sight()
        return NOTHING

    def _on_news(self, event: Any, now_ns: int) -> Sequence[Event]:
        said: Reports = []
        teller = self._funding if isinstance(event, FundingPublished) else self._lending
        for report in teller.hear(event, now_ns):
            self._say(said, report)
        self._set_wake()
        return said

    def _set_wake(self) -> None:
        arrives_ns = self._under_way[0][0] if self._under_way else None
        dues_ns = (arrives_ns, self._funding.next_ns, self._lending.next_ns, self._expiry.next_ns)
        self.wake_at_ns = min((each for each in dues_ns if each is not None), default=None)

    # matching

    def _execute(self, resting: Resting, shelf: Shelf, now_ns: int, said: Reports) -> None:
        """Take what is displayed; what is left rests, waits or ends, as the order says."""
        order, outside = resting.order, shelf.outside
        if order.is_post_only and (why := would_take(order, shelf)):
            self._end(resting, why, now_ns, said)
            return
        levels = self._lending.reach(resting, outside, now_ns)
        held = self.ledger.portfolio.quantity(order.instrument)
        if why := would_split(order, resting.leaves, _size(levels), held):
            self._end(resting, why, now_ns, said)
            return
        outside.take(order.side, levels)
        for level in levels:
            if resting.status not in CLOSED:
                self._fill(resting, level, Liquidity.TAKER, now_ns, said)
        if resting.status in CLOSED:
            return
        if order.time_in_force is TimeInForce.IOC:
            self._end(resting, "immediate or cancel: no more is displayed", now_ns, said)
        elif resting.limit is not None:
            resting.ahead = outside.ahead_of(order.side, resting.limit)
        elif self._config.market_remainder is MarketRemainder.CANCEL:
            self._end(resting, "no more is displayed", now_ns, said)

    def _requote(self, resting: Resting, shelf: Shelf, now_ns: int, said: Reports) -> None:
        """Let one resting order meet a new quote: the other side came to it, or it moved up."""
        outside = shelf.outside
        if resting.limit is None:  # the rest of a market order, waiting for more
            self._execute(resting, shelf, now_ns, said)
            return
        levels = outside.reach(resting.order.side, resting.limit, resting.leaves)
        if levels:
            outside.take(resting.order.side, levels)
            level = (resting.limit, _size(levels))
            self._fill(resting, level, Liquidity.MAKER, now_ns, said)
        else:
            resting.requeue(outside)

    def _trigger_by_quote(self, resting: Resting, shelf: Shelf, now_ns: int, said: Reports) -> None:
        touch = shelf.outside.touch(Side.SELL if resting.is_buy else Side.BUY)
        if touch is not None and resting.is_reached(touch[0]):
            self._trigger(resting, shelf, now_ns, said)

    def _trigger(self, resting: Resting, shelf: Shelf, now_ns: int, said: Reports) -> None:
        self._say(said, VenueTriggered(at_ns=now_ns, order_id=resting.order.order_id))
        self._execute(resting, shelf, now_ns, said)

    def _fill(
        self, resting: Resting, level: Level, liquidity: Liquidity, now_ns: int, said: Reports
    ) -> None:
        """Execute a price and quantity; a reduce-only order no more than what is held."""
        order, (price, quantity) = resting.order, level
        if order.is_reduce_only:
            held = self.ledger.portfolio.quantity(order.instrument)
            quantity = min(quantity, reducible(order, held))
            if not quantity:
                self._end(resting, "reduce only: nothing is left to reduce", now_ns, said)
                return
        maker_rate, taker_rate = self._fee_rates[order.instrument]
        rate = maker_rate if liquidity is Liquidity.MAKER else taker_rate
        fill = VenueFilled(
            at_ns=now_ns,
            order_id=order.order_id,
            execution_id=ExecutionId(f"{order.order_id}-{resting.fill_count + 1}"),
            instrument=order.instrument,
            side=order.side,
            price=price,
            quantity=quantity,
            leaves=resting.leaves - quantity,
            fee=price * quantity * rate if rate else ZERO,
            liquidity=liquidity,
            venue_ns=now_ns,
            position=self._held_after(order, quantity),
        )
        self._say(said, fill)
        for health in self._lending.after(fill, now_ns):
            self._say(said, health)

    def _held_after(self, order: Order, quantity: Decimal) -> Decimal:
        return self.ledger.portfolio.quantity(order.instrument) + order.side.signed(quantity)

    def _end(self, resting: Resting, reason: str, now_ns: int, said: Reports) -> None:
        order_id, leaves = resting.order.order_id, resting.leaves
        canceled = VenueCanceled(at_ns=now_ns, order_id=order_id, leaves=leaves, reason=reason)
        self._say(said, canceled)

    def _say(self, said: Reports, report: VenueMessage) -> None:
        """Remember a report, by the same fold that a restart uses, and send it."""
        self.ledger.apply(report)
        said.append(report)

    def _is_unserved(self, event: Event) -> bool:
        return not isinstance(event, OrderPlaced) or self.ledger.is_new(event.order.order_id)


def _size(levels: list[Level]) -> Decimal:
    return sum((size for _, size in levels), ZERO)
