"""Business figures made from the record alone (R-03, O-07): the same fold as everywhere.

Prices come from the record too, each part's from where the live figure has them: the book and its
days from the account's valuations, as the breaker tells them; sessions, strategies and what profit
is divided by from the sessions' valuations and the quotes of decisions, as the strategy service
does. So each is what was told while it lived, to the last digit; between the two lies what prices
did in the seconds between the two valuations.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from schemas.base import AccountId, Event, InstrumentId, SessionId, SignalId
from schemas.control import AccountMarked
from schemas.executions import OrderFilled
from schemas.market import BarClosed, QuoteReceived, TradeReceived
from schemas.measures import SessionValued
from schemas.orders import SignalDecided, SignalRaised
from schemas.reconciliation import BookAdjusted
from schemas.reports import TermsDeclared, UptimeMeasured
from schemas.results import Figures
from schemas.sessions import PositionsAdopted, SessionCreated
from schemas.settlement import PositionSettled
from services.calendars.calendar import Calendar
from services.calendars.named import calendar_named
from services.performance.core import By, Performance, Share
from services.performance.fold import Terms
from services.portfolio import Portfolio
from services.reports.days import TradingDay, day_at
from services.share_class import unit_of

ZERO, ONE = Decimal(0), Decimal(1)
LOSS_MAX = Decimal("0.02")
"""What a day may cost by the limits' doing, as a fraction of its opening equity (O-07)."""

UPTIME_MIN = Decimal("0.999")
"""Of market hours (O-07)."""


class DayFigures(msgspec.Struct, kw_only=True):
    """One trading day of the account. Amounts in its currency; None: not known."""

    day: str
    opening: Decimal | None = None
    closing: Decimal | None = None
    low: Decimal | None = None
    """Lowest equity that was told on the day."""

    drawdown_max: Decimal = ZERO
    """Deepest one that was told, from the high-water mark; a fraction."""

    fill_count: int = 0
    fees: Decimal = ZERO
    up_ns: int = 0
    measured_ns: int = 0
    """Of market hours, in which the uptime was measured."""

    @property
    def profit(self) -> Decimal | None:
        """Equity at the end less that at the begin."""
        known = self.opening is not None and self.closing is not None
        return (self.closing or ZERO) - (self.opening or ZERO) if known else None

    @property
    def worst(self) -> Decimal | None:
        """How far the equity fell below the day's opening, as a fraction; 0 or less."""
        if not self.opening or self.low is None:
            return None
        return min(ZERO, self.low / self.opening - 1)

    @property
    def uptime(self) -> Decimal | None:
        """Part of the measured market hours in which all of the order path was ready."""
        return Decimal(self.up_ns) / self.measured_ns if self.measured_ns else None


class Safety(msgspec.Struct, frozen=True, kw_only=True):
    """What O-07 asks for, measured over all days of the record."""

    worst_day: Decimal | None
    loss_max: Decimal
    is_loss_kept: bool | None
    uptime: Decimal | None
    uptime_min: Decimal
    is_uptime_kept: bool | None
    """None: not known, for it depends on market hours that nobody measured."""

    measured_ns: int
    unmeasured_ns: int
    """Of market hours between the first measurement and the last: everything was down, or nobody
    heard how it was."""


class _Strategy(Performance):
    """The fold of all sessions that trade by one strategy."""

    def __init__(self, terms: Terms, strategy: str) -> None:
        super().__init__(terms)
        self._strategy = strategy
        self._members: set[SessionId] = set()  # both asked for membership only
        self._traded: set[InstrumentId] = set()

    def update(self, event: Event) -> None:
        """Fold one event in; a session of the strategy is a member from its creation on.

        What is of others, and prices of what nobody here trades, changes nothing: not even when it
        is valued.
        """
        if isinstance(event, SessionCreated) and event.strategy == self._strategy:
            self._members.add(event.session)
            self._traded.update(event.instruments)
        if isinstance(event, QuoteReceived):
            is_ours = event.instrument in self._traded
        else:
            session = getattr(event, "session", None)
            is_ours = session is None or session in self._members
        if is_ours:
            super().update(event)

    def _is_ours(self, account: AccountId, session: SessionId) -> bool:
        return self.terms.account in (None, account) and session in self._members


class FiguresFold:
    """All figures of one account, folded from its record in the order of time.

    Attributes:
        account: whose.
        book: the whole account; None until its terms were declared.
        sessions, strategies: each apart.
        days: by trading day, in order.
        holdings: by session, and of the whole account under an empty name: the same fold as live.
        terms: of the account.
        last: the newest valuation that was told.
        marks: what each instrument is valued at, in the account and in the sessions.
    """

    def __init__(self, account: AccountId) -> None:
        self.account = account
        self.book: Performance | None = None
        self._parts: Performance | None = None
        self.sessions: dict[SessionId, Performance] = {}
        self.strategies: dict[str, Performance] = {}
        self.days: dict[str, DayFigures] = {}
        self.holdings: dict[str, Portfolio] = {}
        self.terms: TermsDeclared | None = None
        self.last: AccountMarked | None = None
        self.marks: dict[str, dict[InstrumentId, Decimal]] = {"account": {}, "sessions": {}}
        self._early: list[Event] = []
        self._raised: dict[SignalId, SignalRaised] = {}
        self._traded: dict[SessionId, tuple[InstrumentId, ...]] = {}
        self._day = TradingDay("", 0, 0, 0)
        self._measured_until_ns = self._unmeasured_ns = 0
        self.now_ns = 0

    def apply(self, event: Event) -> None:
        """Fold one event in."""
        if isinstance(event, TermsDeclared):
            self._declared(event)
            return
        if self.book is None:  # nothing can be valued yet: it waits for the terms
            self._early.append(event)
            return
        self._fold(event)

    def figures(self) -> dict[str, dict[str, Figures]]:
        """Return how well each part did: by book, strategy and session."""
        if self.book is None:
            return {"book": {}, "strategy": {}, "session": {}}
        return {
            "book": {self.account: self.book.figures(self.now_ns)},
            "strategy": {key: each.figures(self.now_ns) for key, each in self.strategies.items()},
            "session": {key: each.figures(self.now_ns) for key, each in self.sessions.items()},
        }

    def attribution(self, by: By) -> dict[str, Share]:
        """Return where the profit of all sessions came from, at the prices that they were told."""
        return {} if self._parts is None else self._parts.attribution(by)

    def safety(self) -> Safety:
        """Return what O-07 asks for."""
        worst = [each.worst for each in self.days.values() if each.worst is not None]
        up_ns = sum(each.up_ns for each in self.days.values())
        measured_ns = sum(each.measured_ns for each in self.days.values())
        worst_day = min(worst, default=None)
        uptime = Decimal(up_ns) / measured_ns if measured_ns else None
        return Safety(
            worst_day=worst_day,
            loss_max=LOSS_MAX,
            is_loss_kept=None if worst_day is None else worst_day >= -LOSS_MAX,
            uptime=uptime,
            uptime_min=UPTIME_MIN,
            is_uptime_kept=_is_kept(up_ns, measured_ns, self._unmeasured_ns),
            measured_ns=measured_ns,
            unmeasured_ns=self._unmeasured_ns,
        )

    def _declared(self, event: TermsDeclared) -> None:
        if event.account != self.account:
            return
        self.terms = event
        if self.book is None:
            self._terms = self._made_terms(event)
            self.book = Performance(self._terms)
            self._parts = Performance(msgspec.structs.replace(self._terms, initial_capital=None))
            early, self._early = self._early, []
            for each in early:
                self._fold(each)
        else:  # a newer release or configuration may know more instruments
            self._instruments.update((each.id, each) for each in event.instruments)

    def _made_terms(self, event: TermsDeclared) -> Terms:
        self._instruments = {each.id: each for each in event.instruments}
        return Terms(
            instruments=self._instruments,
            currency_values={**event.currency_values, event.currency: ONE},
            account=event.account,
            initial_capital=event.initial_cash,
        )

    def _fold(self, event: Event) -> None:
        self.now_ns = max(self.now_ns, event.at_ns)
        match event:
            case SignalRaised():  # it counts with the quote that the gate decided at
                self._raised[event.signal_id] = event
            case SignalDecided():
                self._decided(event)
            case SessionValued(marks=marks):
                self._marked_by("sessions", event.at_ns, marks)
            case AccountMarked(account=self.account, marks=marks):
                self._marked_by("account", event.at_ns, marks)
            case QuoteReceived() | TradeReceived() | BarClosed():
                pass  # live figures are made from what is recorded everywhere, not from these
            case _:
                self._update(event)
        self._of_day(event)
        self._hold(event)

    def _decided(self, event: SignalDecided) -> None:
        raised = self._raised.pop(event.signal_id, None)
        if raised is not None:
            if event.bid is not None and event.ask is not None:
                quote = _quote(raised.at_ns, event.instrument, event.bid, event.ask)
                self.marks["sessions"][event.instrument] = (event.bid + event.ask) / 2
                for fold in (self._whole(), *self._parts_of(event.instrument)):
                    fold.update(quote)
            self._update(raised)
            mark = self.marks["account"].get(event.instrument)
            if mark is not None:  # that quote tells what the order cost, not what the book is worth
                self._whole().update(_quote(raised.at_ns, event.instrument, mark, mark))
        self._update(event)

    def _update(self, event: Event) -> None:
        """Fold it into the book and the parts; of sessions only where it is that session's own.

        One that is nobody's, as a settlement, is everybody's.
        """
        if isinstance(event, SessionCreated) and event.account == self.account:
            self._create(event)
        session = getattr(event, "session", None)
        for fold in (self._whole(), *self._parts_of()):
            if session is None or fold.terms.session in (None, session):
                fold.update(event)

    def _create(self, event: SessionCreated) -> None:
        own = msgspec.structs.replace(
            self._terms,
            initial_capital=None,
            currency_values=in_share_class(self._terms.currency_values, event.share_class),
        )
        if event.session not in self.sessions:
            alone = msgspec.structs.replace(own, session=event.session)
            self.sessions[event.session] = Performance(alone)
            self._traded[event.session] = event.instruments
        if event.strategy not in self.strategies:
            self.strategies[event.strategy] = _Strategy(own, event.strategy)

    def _whole(self) -> Performance:
        assert self.book is not None, "terms come first"
        return self.book

    def _parts_of(self, instrument: InstrumentId | None = None) -> Iterable[Performance]:
        """Yield what is measured at the sessions' prices; of sessions those that trade it."""
        assert self._parts is not None, "terms come first"
        yield self._parts
        yield from self.strategies.values()
        for session, fold in self.sessions.items():
            if instrument is None or instrument in self._traded[session]:
                yield fold

    def _marked_by(self, whose: str, at_ns: int, marks: Mapping[InstrumentId, Decimal]) -> None:
        for instrument, mark in marks.items():
            self.marks[whose][instrument] = mark
            quote = _quote(at_ns, instrument, mark, mark)
            for fold in (self._whole(),) if whose == "account" else self._parts_of(instrument):
                fold.update(quote)

    def _hold(self, event: Event) -> None:
        """Fold into what is held; an instrument that nobody described counts nowhere."""
        if getattr(event, "account", None) != self.account:
            return
        match event:
            case OrderFilled(session=session, instrument=instrument):
                if instrument in self._instruments:
                    self._portfolio(session).apply(event)
                    self._portfolio("").apply(event)
            case PositionSettled():
                for each in self.holdings.values():
                    each.settle(event)
            case PositionsAdopted(session=session, positions=positions):
                for view in positions:
                    if view.instrument in self._instruments:
                        self._portfolio(session).adopt(view)
            case BookAdjusted():
                folio = self._portfolio("")
                folio.adjust(event.instrument, event.quantity, event.cash, event.fees)

    def _portfolio(self, session: str) -> Portfolio:
        found = self.holdings.get(session)
        if found is None:
            cash = ZERO if session or self.terms is None else self.terms.initial_cash
            found = self.holdings[session] = Portfolio(self._instruments, cash)
        return found

    def _of_day(self, event: Event) -> None:
        if not isinstance(event, AccountMarked | OrderFilled | UptimeMeasured):
            return
        assert self.terms is not None, "terms come first"
        if not self._day.from_ns <= event.at_ns < self._day.until_ns:
            self._day = day_at(self.terms.calendar, event.at_ns)
        day = self.days.setdefault(self._day.name, DayFigures(day=self._day.name))
        match event:
            case UptimeMeasured():
                self._measured(day, event, calendar_named(self.terms.calendar))
            case OrderFilled(account=self.account):
                day.fill_count += 1
                day.fees += event.fee
            case AccountMarked(account=self.account) if not event.unmarked:
                self._marked(day, event)

    def _measured(self, day: DayFigures, event: UptimeMeasured, calendar: Calendar) -> None:
        if calendar.is_open((event.from_ns + event.until_ns) // 2):
            day.up_ns += event.up_ns
            day.measured_ns += event.until_ns - event.from_ns
        since_ns = self._measured_until_ns
        if since_ns:
            self._unmeasured_ns += calendar.open_ns_between(since_ns, event.from_ns)
        self._measured_until_ns = max(since_ns, event.until_ns)

    def _marked(self, day: DayFigures, event: AccountMarked) -> None:
        if day.opening is None:
            day.opening = self.last.equity if self.last is not None else event.equity
        day.closing, self.last = event.equity, event
        day.low = event.equity if day.low is None else min(day.low, event.equity)
        day.drawdown_max = max(day.drawdown_max, event.drawdown)


def _quote(at_ns: int, instrument: InstrumentId, bid: Decimal, ask: Decimal) -> QuoteReceived:
    return QuoteReceived(
        at_ns=at_ns, instrument=instrument, bid=bid, bid_size=ZERO, ask=ask, ask_size=ZERO
    )


def in_share_class(values: Mapping[str, Decimal], share_class: str) -> Mapping[str, Decimal]:
    """Return what currencies are worth in a share class; empty where nobody has said."""
    unit = unit_of(share_class, values)
    return {} if unit is None else {name: value / unit for name, value in values.items()}


def _is_kept(up_ns: int, measured_ns: int, unmeasured_ns: int) -> bool | None:
    """Return whether the uptime is enough; None: it depends on what nobody measured."""
    if not measured_ns:
        return None
    wanted_ns = UPTIME_MIN * (measured_ns + unmeasured_ns)
    if up_ns >= wanted_ns:
        return True
    return False if up_ns + unmeasured_ns < wanted_ns else None
