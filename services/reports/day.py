"""One trading day of one account, folded from the whole record: what every report is made from.

The record is told from its beginning, because what is open or held on a day began before it. What
is after the day's end changes nothing, so that a report made later has the same bytes.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from schemas.base import NS_PER_S, AccountId, Event, InstrumentId, OrderId, SessionId
from schemas.control import AccountMarked, BreakerTripped
from schemas.executions import BookReported, OrderFilled, PositionView
from schemas.instruments import Instrument
from schemas.orders import SignalDecided
from schemas.reconciliation import BookAdjusted
from schemas.repeats import fact_in
from schemas.reports import TermsDeclared, UptimeMeasured
from schemas.sessions import PositionsAdopted, SessionCreated, SignalBlocked
from schemas.settlement import PositionSettled
from services.performance.takeovers import Takeovers
from services.portfolio import Portfolio, Position
from services.reports.corrections import Corrections
from services.reports.execution import Execution, measure
from services.reports.interventions import Interventions
from services.reports.orders import OrderFold, OrderRecord

ZERO = Decimal(0)
IMPACT_AFTER_NS, IMPACT_UNTIL_NS = NS_PER_S, 60 * NS_PER_S
"""The price by which an order's impact is measured is the first one known within this time."""

MINUTE_NS = 60 * NS_PER_S
OF_DAY = (BreakerTripped, UptimeMeasured, SignalBlocked)
"""What happened before the day is of no use to it."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One event of an order's life on that day, and the order as it stood right after it."""

    n: int
    """Number of the record."""

    event: Event
    order: OrderRecord


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of that day."""

    n: int
    fill: OrderFilled
    order: OrderRecord
    """As it stood right after it."""

    strategy: str
    realized: Decimal | None
    """Profit of what it closed, before fees; None where the multiplier is not known, or what was
    held before."""

    net: Decimal | None
    """What cash changed by."""

    held_before: Decimal | None
    """Signed position of the account before it; None: not known."""


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue did to a holding on that day without a trade."""

    event: PositionSettled
    paid: Decimal | None
    """Received for holding it; negative: paid. None: what was held is not known."""

    realized: dict[str, Decimal | None]
    """Profit of what it closed, by session; empty: the part that no session accounts for."""


class Balance(msgspec.Struct, kw_only=True):
    """The account at one end of the day."""

    cash: Decimal | None = None
    fees: Decimal = ZERO
    positions: tuple[PositionView, ...] = ()
    equity: Decimal | None = None
    """None: something held had no recorded price."""


class DayFold:
    """The fold. After the last event, `close` ends the day.

    Attributes:
        account, from_ns, until_ns: what day of whom; the end is outside.
        terms: the account's newest ones; None while none were declared.
        steps, trades: of the day, in order of the record.
        orders: what happened to on the day, by id, as it stood at the day's end.
        opening, closing: the account at both ends.
        high, low: highest and lowest recorded equity of the day.
        equity_by_minute: the last recorded one of each minute since the day began.
        decided_count, rejections: decisions of the day, and of these the denials by rule.
        blocked: signals of the day that sessions' own limits kept from the gate, by limit.
        interventions, trips: what forbade or permitted trading on the day, and who.
        up_ns, measured_ns: uptime, and how much of the day it was measured in.
        settlements: what changed the book without a trade.
        adjusted: what corrections of the book brought that is no profit; None: not known.
        adjusted_fees: fees paid that corrections brought: a cost of the day.
        is_headless: whether the record's beginning is gone.
        begins: number and time of the first record that is there; the time in ns since the epoch.
        last_n: number of the last record that counts.
    """

    def __init__(
        self, account: AccountId, from_ns: int, until_ns: int, *, is_headless: bool = False
    ) -> None:
        """Begin.

        Args:
            account: whose day.
            from_ns: its begin, in ns since the epoch.
            until_ns: its end, which is outside.
            is_headless: whether the record's beginning is gone: the account is then not known
                until the executor has told its whole book.
        """
        self.is_headless = self._is_headless = is_headless
        self.begins: tuple[int, int] | None = None
        self.account, self.from_ns, self.until_ns = account, from_ns, until_ns
        self.terms: TermsDeclared | None = None
        self.instruments: dict[InstrumentId, Instrument] = {}
        self.steps: list[Step] = []
        self.trades: list[Trade] = []
        self.orders: dict[OrderId, OrderRecord] = {}
        self.sessions: dict[SessionId, SessionCreated] = {}
        self.opening, self.closing = Balance(), Balance()
        self.equity_by_minute: dict[int, Decimal] = {}
        self.high: Decimal | None = None
        self.low: Decimal | None = None
        self.decided_count = self.up_ns = self.measured_ns = self.last_n = 0
        self.rejections: dict[str, int] = {}
        self.blocked: dict[str, int] = {}
        self.interventions = Interventions(account, from_ns, self.sessions)
        self.trips: list[BreakerTripped] = []
        self.settlements: list[Settlement] = []
        self.adjusted: Decimal | None = ZERO
        self.adjusted_fees = ZERO
        self._corrections = Corrections(self._took_over)
        self._takeovers = Takeovers()
        self._held: dict[InstrumentId, dict[SessionId, Decimal]] = {}
        self._told: set[tuple[type[Event], OrderId, int]] = set()  # asked for membership only
        self._fold = OrderFold()
        self._prices: dict[InstrumentId, tuple[int, Decimal]] = {}
        self._after: dict[OrderId, Decimal] = {}
        self._at_end: dict[OrderId, Decimal] = {}
        self._waiting: dict[InstrumentId, dict[OrderId, OrderRecord]] = {}
        self._portfolio = Portfolio({}, ZERO)
        self._has_begun = self._is_known = False
        self._folds = self._table()

    def apply(self, n: int, event: Event) -> None:
        """Fold one event of record `n` in; what is told again counts once."""
        event = fact_in(event)
        if self.begins is None:
            self.begins = n, event.at_ns
        if event.at_ns >= self.until_ns:
            return
        if not self._has_begun and event.at_ns >= self.from_ns:
            self._has_begun, self.opening = True, self._balance()
        self.last_n = n
        kind = type(event)
        fold = self._folds.get(kind)
        if fold is not None:
            is_of_day = event.at_ns >= self.from_ns
            if is_of_day or kind not in OF_DAY:
                fold(n, event)
        elif kind in self._fold.hears and getattr(event, "account", self.account) == self.account:
            self._order(n, event)

    def close(self) -> None:
        """End the day: nothing more is told."""
        if not self._has_begun:
            self.opening = self._balance()
        self.closing = self._balance()

    def strategy(self, session: SessionId) -> str:
        """Return what a session trades by; empty where its creation is not in the record."""
        created = self.sessions.get(session)
        return "" if created is None else created.strategy

    def execution(self, order: OrderRecord) -> Execution:
        """Return one order's execution, measured."""
        known = self.instruments.get(order.instrument)
        return measure(
            order,
            None if known is None else known.multiplier,
            price_after=self._after.get(order.order_id),
            price_at_end=self._at_end.get(order.order_id),
        )

    def _table(self) -> dict[type[Event], Callable[[int, Any], object]]:
        return {
            TermsDeclared: self._declared,
            SessionCreated: lambda n, event: self.sessions.setdefault(event.session, event),
            AccountMarked: self._marked,
            BookReported: self._book,
            BookAdjusted: self._adjusted,
            PositionsAdopted: self._adopted,
            PositionSettled: self._settled,
            UptimeMeasured: self._measured,
            SignalBlocked: self._signal_blocked,
            BreakerTripped: lambda n, event: self.trips.append(event),
            **self.interventions.table(),
        }

    def _declared(self, n: int, event: TermsDeclared) -> None:
        if event.account != self.account:
            return
        before, self.terms = self.terms, event
        for each in event.instruments:
            self.instruments[each.id] = each
        self._portfolio.learn(self.instruments)
        if before is None and not self._is_headless:
            self._portfolio.cash += event.initial_cash
            self._is_known = True
            if self._has_begun:  # the account's first day: it opened with what it began with
                self.opening = self._balance()

    def _signal_blocked(self, n: int, event: SignalBlocked) -> None:
        if event.account == self.account:
            self.blocked[event.rule] = self.blocked.get(event.rule, 0) + 1

    def _order(self, n: int, event: Event) -> None:
        is_of_day = event.at_ns >= self.from_ns
        if isinstance(event, SignalDecided):
            self._decided(event, is_of_day)
        order = self._fold.apply(event)
        if order is None:
            return
        if isinstance(event, OrderFilled):
            self._filled(n, event, order, is_of_day)
            self._after.pop(order.order_id, None)  # its impact is measured after its last execution
        if order.is_closed or isinstance(event, OrderFilled):
            self._waiting.setdefault(order.instrument, {})[order.order_id] = order
        told = type(event), order.order_id, event.at_ns
        if is_of_day and (isinstance(event, OrderFilled) or told not in self._told):
            self._told.add(told)
            self.orders[order.order_id] = order
            self.steps.append(Step(n=n, event=event, order=msgspec.structs.replace(order)))

    def _decided(self, event: SignalDecided, is_of_day: bool) -> None:
        if event.bid is not None and event.ask is not None:
            self._price(event.instrument, (event.bid + event.ask) / 2, event.at_ns)
        if is_of_day:
            self.decided_count += 1
            if event.outcome == "rejected":
                self.rejections[event.rule] = self.rejections.get(event.rule, 0) + 1

    def _filled(self, n: int, fill: OrderFilled, order: OrderRecord, is_of_day: bool) -> None:
        held = self._portfolio.positions.get(fill.instrument) or Position()
        before, realized, cash = held.quantity, held.realized, self._portfolio.cash
        is_known = fill.instrument in self.instruments
        if is_known:
            self._portfolio.apply(fill)
        else:  # until the executor tells its whole book
            self._is_known, self._is_headless = False, True
        signed = fill.signed_quantity
        self._hold(fill.session, fill.instrument, signed)
        if not is_of_day:
            return
        after = self._portfolio.positions.get(fill.instrument) or held
        is_whole = self._is_known or not self.is_headless
        trade = Trade(
            n=n,
            fill=fill,
            order=msgspec.structs.replace(order),
            strategy=self.strategy(fill.session),
            realized=after.realized - realized if is_known and is_whole else None,
            net=self._portfolio.cash - cash if is_known else None,
            held_before=before if is_whole else None,
        )
        self.trades.append(trade)

    def _marked(self, n: int, event: AccountMarked) -> None:
        if event.account != self.account:
            return
        for instrument, mark in event.marks.items():
            self._price(instrument, mark, event.at_ns)
        if event.at_ns >= self.from_ns and not event.unmarked:
            equity = event.equity
            self.high = equity if self.high is None else max(self.high, equity)
            self.low = equity if self.low is None else min(self.low, equity)
            self.equity_by_minute[(event.at_ns - self.from_ns) // MINUTE_NS] = equity

    def _book(self, n: int, event: BookReported) -> None:
        """Take the executor's book for ours where the executions before it are not recorded."""
        if self._is_known or event.account != self.account or self.terms is None:
            return
        if any(view.instrument not in self.instruments for view in event.positions):
            return
        folio = self._portfolio
        folio.cash, folio.fees = event.cash, event.fees
        folio.positions.clear()
        for view in event.positions:
            held = folio.positions[view.instrument] = Position()
            held.quantity, held.average_price = view.quantity, view.average_price
            held.realized, held.fees = view.realized, view.fees
        self._is_known = True

    def _adjusted(self, n: int, event: BookAdjusted) -> None:
        if event.account != self.account:
            return
        if not self._corrections.hear(event):
            return
        self._portfolio.adjust(None, ZERO, event.cash, event.fees)
        if event.at_ns >= self.from_ns:
            self.adjusted_fees += event.fees
            self._brought(event.cash + event.fees)

    def _took_over(self, event: BookAdjusted, price: Decimal | None, at_ns: int) -> None:
        """Take a position over at what it was worth; at its own average price if nobody knows."""
        assert event.instrument is not None, "it is about a position"
        known, value = self.instruments.get(event.instrument), None
        if known is None:
            self._is_known, self._is_headless = False, True
        else:
            self._portfolio.adjust(event.instrument, event.quantity, ZERO, ZERO, price)
            value = None if price is None else event.quantity * price * known.multiplier
        if at_ns >= self.from_ns:
            self._brought(value)

    def _brought(self, amount: Decimal | None) -> None:
        if self.adjusted is not None:
            self.adjusted = None if amount is None else self.adjusted + amount

    def _adopted(self, n: int, event: PositionsAdopted) -> None:
        created = self.sessions.get(event.session)
        if created is not None and created.account == self.account:
            for move in self._takeovers.moves(event):
                self._hold(move.session, move.instrument, move.quantity)

    def _hold(self, session: SessionId, instrument: InstrumentId, signed: Decimal) -> None:
        held = self._held.setdefault(instrument, {})
        held[session] = held.get(session, ZERO) + signed

    def _settled(self, n: int, event: PositionSettled) -> None:
        if event.account != self.account or event.instrument not in self.instruments:
            return
        held = self._portfolio.positions.get(event.instrument) or Position()
        quantity, price = held.quantity, held.average_price
        if not self._portfolio.settle(event):
            return
        parts = self._held.pop(event.instrument, {}) if event.closes_at is not None else {}
        if event.at_ns < self.from_ns:
            return
        paid, realized = quantity * event.payment, dict[str, Decimal | None]()
        if self.is_headless and not self._is_known:
            self.settlements.append(Settlement(event=event, paid=None, realized={"": None}))
            return
        if event.closes_at is not None:
            earned = (event.closes_at - price) * self.instruments[event.instrument].multiplier
            parts[SessionId("")] = quantity - sum(parts.values(), ZERO)
            realized |= {name: part * earned for name, part in parts.items() if part}
        self.settlements.append(Settlement(event=event, paid=paid, realized=realized))

    def _measured(self, n: int, event: UptimeMeasured) -> None:
        self.up_ns += event.up_ns
        self.measured_ns += event.until_ns - event.from_ns

    def _price(self, instrument: InstrumentId, price: Decimal, at_ns: int) -> None:
        self._prices[instrument] = (at_ns, price)
        self._corrections.price(instrument, price, at_ns)
        waiting = self._waiting.get(instrument, {})
        for order_id, order in list(waiting.items()):
            self._settle_prices(order, price, at_ns)
            if order.is_closed and at_ns >= order.last_fill_ns + IMPACT_AFTER_NS:
                del waiting[order_id]

    def _settle_prices(self, order: OrderRecord, price: Decimal, at_ns: int) -> None:
        """Note the first price after the order's end, and the first some time after its fills."""
        order_id = order.order_id
        if order.is_closed and at_ns >= order.closed_ns:
            self._at_end.setdefault(order_id, price)
        since_ns = at_ns - order.last_fill_ns
        if order.last_fill_ns and IMPACT_AFTER_NS <= since_ns <= IMPACT_UNTIL_NS:
            self._after.setdefault(order_id, price)

    def _balance(self) -> Balance:
        """Return the account as it stands, at the newest recorded prices."""
        self._corrections.settle()
        marks = {key: price for key, (_, price) in self._prices.items()}
        folio = self._portfolio
        held = tuple(view for view in folio.views(marks) if view.quantity)
        known = self._is_known
        return Balance(
            cash=folio.cash if known else None,
            fees=folio.fees,
            positions=held,
            equity=folio.equity(marks) if known else None,
        )
