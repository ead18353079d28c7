"""The fold of everything that happened, of which `Performance` then tells how well it did."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from schemas.base import NS_PER_S, AccountId, Event, InstrumentId, OrderId, SessionId
from schemas.executions import (
    ExecutionEvent,
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
from schemas.market import BarClosed, QuoteReceived, TradeReceived
from schemas.orders import Outcome, SignalDecided, SignalRaised
from schemas.sessions import PositionsAdopted, SessionCreated, SignalBlocked
from schemas.settlement import PositionSettled
from services.distinct import Distinct
from services.performance.curve import Curve
from services.performance.lines import Line, Trip
from services.performance.marks import Marks
from services.performance.takeovers import name_of
from services.performance.tally import TRIPS_MAX, Tally

ZERO = Decimal(0)
ARRIVALS_MAX = 100_000
"""Orders whose price at their signal is remembered; of older ones the slippage is not known."""

ADOPTED = SessionId("adopted")
"""Whose lines hold what a correction of the book brought; the executor's name for them too."""

ENDED = (OrderCanceled, OrderExpired, OrderRefused, OrderRejected, OrderReplaced)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What performance is measured by."""

    instruments: Mapping[InstrumentId, Instrument]
    currency_values: Mapping[str, Decimal]
    """What one unit of each currency is worth in the share class. Holdings in a currency that is in
    neither table have no known worth."""

    currency_marks: Mapping[str, InstrumentId] = {}
    """Currency -> instrument whose price is what one unit of the share class costs in it: for
    results in ETH, USDT -> binance:ETHUSDT."""

    account: AccountId | None = None
    """Whose executions count; None: everybody's."""

    session: SessionId | None = None
    """Whose executions count; None: those of all sessions of the account."""

    initial_capital: Decimal | None = None
    """In the share class; None: what the sessions were created with."""

    periods_per_year: float = 365.0
    """Days with a market in a year; see `days_per_year`."""

    value_every_ns: int = NS_PER_S
    """Shortest time between two valuations."""

    trips_max: int = TRIPS_MAX
    """Round trips kept to show; all of them are counted; a count."""


class Fold:
    """What one session, or a whole account, did and is worth.

    What was told before (an execution, a settlement, a takeover) changes nothing.

    Attributes:
        curve: what it was worth over time.
        lines: where the profit came from, by session and instrument.
        sessions: those that were created, by id.
        tally: what was counted, with the last round trips.
        hears: what it has a use for.
        capital: paid in so far, in the share class.
        fees: paid for no execution that is known, by corrections of the book; in the share class.
        now_ns: time of the newest event.
    """

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.curve = Curve()
        self.lines: dict[tuple[SessionId, InstrumentId], Line] = {}
        self.sessions: dict[SessionId, SessionCreated] = {}
        self.tally = Tally(terms.trips_max)
        self.marks = Marks(terms.currency_values, terms.currency_marks)
        self.capital = terms.initial_capital or ZERO
        self.fees = ZERO
        self._seen = Distinct()
        self._arrivals: dict[OrderId, Decimal | None] = {}
        self._due_ns = 0
        self.now_ns = 0
        self._is_lost = False
        self._folds = self._table()
        self.hears: frozenset[type[Event]] = frozenset(self._folds)

    def update(self, event: Event) -> None:
        """Fold one event in; what it has no use for changes nothing."""
        fold = self._folds.get(type(event))
        if fold is None:
            return
        now_ns = event.at_ns
        if now_ns >= self._due_ns:
            self._value(now_ns)
        if now_ns > self.now_ns:
            self.now_ns = now_ns
        fold(event)

    def equity(self) -> Decimal | None:
        """Return what it is worth now, in the share class; None if that is not known."""
        total = self.capital - self.fees
        if self._is_lost:
            return None
        for line in self.lines.values():
            profit = self.profit(line)
            if profit is None:
                return None
            total += profit
        return total

    def profit(self, line: Line) -> Decimal | None:
        """Return what a line earned, in the share class; None if that is not known."""
        earned = line.profit(self.marks.price(line.instrument))
        return None if earned is None else self.converted(earned, line.instrument)

    def converted(self, amount: Decimal, instrument: InstrumentId) -> Decimal | None:
        """Return an amount of the instrument's currency in the share class; None: not known."""
        if not amount:
            return ZERO
        return self.marks.converted(amount, self.terms.instruments[instrument].currency)

    # what only the account's book is told

    def pay_in(self, amount: Decimal, fees: Decimal, at_ns: int) -> None:
        """Take in what a correction of the account's money brought; negative: took away.

        Args:
            amount: of cash, in the share class; it is no profit, but for the fees in it.
            fees: that were paid, and not told with an execution.
            at_ns: its time.
        """
        self._reach(at_ns)
        self.fees += fees
        self._pay_in(amount + fees)

    def take_over(
        self, instrument: InstrumentId, quantity: Decimal, price: Decimal, at_ns: int
    ) -> Decimal | None:
        """Take in a position that a correction brought, at what it was worth: that is no profit.

        Returns:
            What it was worth, in the share class; None if that is not known.
        """
        self._reach(at_ns)
        line = self._line(ADOPTED, instrument)
        if line is None:
            return None
        before = line.cash
        line.adopt(quantity, price, self.now_ns)
        value = self.converted(before - line.cash, instrument)
        if value is None:
            self._is_lost = True
        else:
            self._pay_in(value)
        self._hold()
        return value

    # what is heard

    def _table(self) -> dict[type[Event], Callable[[Any], None]]:
        return {
            QuoteReceived: self.marks.quote,
            TradeReceived: self.marks.trade,
            BarClosed: self.marks.bar,
            SessionCreated: self._created,
            PositionsAdopted: self._adopted,
            SignalRaised: self._raised,
            SignalDecided: self._decided,
            SignalBlocked: self._blocked,
            OrderSubmitted: self._submitted,
            OrderFilled: self._filled,
            PositionSettled: self._settled,
            **dict.fromkeys(ENDED, self._ended),
        }

    def _reach(self, now_ns: int) -> None:
        if now_ns >= self._due_ns:
            self._value(now_ns)
        self.now_ns = max(self.now_ns, now_ns)

    def _pay_in(self, amount: Decimal) -> None:
        self.capital += amount
        self.curve.pay_in(amount, self.now_ns)

    def _value(self, now_ns: int) -> None:
        """Value with the prices before the event of `now_ns`, at the time of the one before it."""
        every_ns = self.terms.value_every_ns
        self._due_ns = (now_ns // every_ns + 1) * every_ns
        if not self.curve.has_begun:
            if self.terms.initial_capital is not None:
                self.curve.pay_in(self.terms.initial_capital, now_ns)
            return
        equity = self.equity()
        if equity is not None:
            self.curve.note(equity, self.now_ns)

    def _is_ours(self, account: AccountId, session: SessionId) -> bool:
        terms = self.terms
        return terms.account in (None, account) and terms.session in (None, session)

    def _created(self, event: SessionCreated) -> None:
        if not self._is_ours(event.account, event.session) or event.session in self.sessions:
            return
        self.sessions[event.session] = event
        if self.terms.initial_capital is None:
            self._pay_in(event.initial_capital)

    def _adopted(self, event: PositionsAdopted) -> None:
        """Move a holding to the session that took it over, from whose it was.

        An account holds as much after it as before: there what was nobody's has a line of its own.
        """
        is_account = self.terms.session is None and self.terms.initial_capital is not None
        giver = event.taken_from or (ADOPTED if is_account else None)
        known = self.sessions.get(event.session) or self.sessions.get(event.taken_from or ADOPTED)
        if known is None or not self._seen.add(name_of(event)):
            return
        for view in event.positions:
            for session, quantity in ((event.session, view.quantity), (giver, -view.quantity)):
                if session is None or not self._is_ours(known.account, session):
                    continue
                line = self._line(session, view.instrument)
                if line is not None:
                    line.adopt(quantity, view.average_price, self.now_ns)
        self._hold()

    def _raised(self, signal: SignalRaised) -> None:
        if not self._is_ours(signal.account, signal.session):
            return
        self.tally.signal_count += 1
        order_id = order_id_of(signal.account, signal.session, signal.signal_id, signal.leg)
        self._arrive(order_id, signal.instrument)

    def _decided(self, event: SignalDecided) -> None:
        if event.outcome is Outcome.REJECTED and self._is_ours(event.account, event.session):
            self.tally.refuse(event.rule)
            self._arrivals.pop(event.order_id, None)

    def _blocked(self, event: SignalBlocked) -> None:
        if self._is_ours(event.account, event.session):
            self.tally.block(event.rule)

    def _submitted(self, event: OrderSubmitted) -> None:
        if self._is_ours(event.account, event.session):
            self.tally.order_count += 1
            self._arrive(event.order_id, event.instrument)

    def _filled(self, fill: OrderFilled) -> None:
        if not self._is_ours(fill.account, fill.session) or not self._seen.add(fill.execution_id):
            return
        line = self._line(fill.session, fill.instrument)
        if line is None:
            return
        signed = fill.signed_quantity
        arrival, before = self._arrivals.get(fill.order_id), line.traded
        line.fill(signed, fill.price, fill.fee, arrival, self.now_ns)
        self.tally.trade(self.converted(line.traded - before, fill.instrument))
        if fill.status is OrderStatus.FILLED:
            self._arrivals.pop(fill.order_id, None)
        self._hold()

    def _settled(self, event: PositionSettled) -> None:
        is_other = self.terms.account not in (None, event.account)
        if is_other or not self._seen.add(event.settlement_id):
            return
        for (_, instrument), line in self.lines.items():
            if instrument == event.instrument:
                line.pay(line.held * event.payment)
                if event.closes_at is not None:
                    line.settle(event.closes_at, self.now_ns)
        self._hold()

    def _ended(self, event: ExecutionEvent) -> None:
        self._arrivals.pop(event.order_id, None)

    # what is kept

    def _arrive(self, order_id: OrderId, instrument: InstrumentId) -> None:
        """Remember the middle of the market when an order was wished for; the first word counts."""
        if order_id not in self._arrivals:
            self._arrivals[order_id] = self.marks.price(instrument)
            if len(self._arrivals) > ARRIVALS_MAX:
                del self._arrivals[next(iter(self._arrivals))]

    def _line(self, session: SessionId, instrument: InstrumentId) -> Line | None:
        """Return where it counts; None of an instrument that nobody described.

        Its multiplier is not known then, and what it was worth cannot be: equity ends there.
        """
        key = session, instrument
        line = self.lines.get(key)
        if line is None:
            described = self.terms.instruments.get(instrument)
            if described is None:
                self._is_lost = True
                return None
            line = Line(session, instrument, described.multiplier, self._trip)
            self.lines[key] = line
        return line

    def _trip(self, trip: Trip) -> None:
        self.tally.trip(trip, self.converted(trip.profit, trip.instrument))

    def _hold(self) -> None:
        self.tally.hold(any(line.held for line in self.lines.values()), self.now_ns)
