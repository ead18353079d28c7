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
from schemas.executions import OrderFilled, OrderSubmitted, PositionView
from schemas.market import BarClosed, QuoteReceived, TradeReceived
from schemas.measures import SessionValued
from schemas.orders import SignalDecided, SignalRaised
from schemas.reconciliation import BookAdjusted
from schemas.repeats import fact_in
from schemas.reports import TermsDeclared
from schemas.results import Figures
from schemas.sessions import PositionsAdopted, SessionCreated
from schemas.settlement import PositionSettled
from services.distinct import Distinct
from services.performance.core import By, Performance, Share
from services.performance.fold import ADOPTED, Terms
from services.performance.takeovers import Move, moves, name_of
from services.portfolio import Portfolio
from services.reports.corrections import Corrections
from services.reports.figure_days import DayFigures, FigureDays, Safety
from services.reports.figure_opening import OpenedBook, Opening, Openings
from services.share_class import unit_of

ZERO, ONE = Decimal(0), Decimal(1)


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
            is_ours = session is None or not self._members.isdisjoint(_concerned(event, session))
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
        holdings: by session, and of the whole account under an empty name: the same fold as live.
        terms: of the account.
        marks: what each instrument is valued at, in the account and in the sessions.
        is_headless: whether the record's beginning is gone. What rests on it is then not told:
            sessions that began before what is there, and the book until it opens.
        opening: where the book opened; None while it did not, and of a record that is whole.
    """

    def __init__(self, account: AccountId, *, is_headless: bool = False) -> None:
        self.account, self.is_headless = account, is_headless
        self.book: Performance | None = None
        self._parts: Performance | None = None
        self.sessions: dict[SessionId, Performance] = {}
        self.strategies: dict[str, Performance] = {}
        self.holdings: dict[str, Portfolio] = {}
        self.terms: TermsDeclared | None = None
        self.marks: dict[str, dict[InstrumentId, Decimal]] = {"account": {}, "sessions": {}}
        self.opening: Opening | None = None
        self._untold: dict[SessionId, None] = {}
        self._early: list[Event] = []
        self._raised: dict[SignalId, SignalRaised] = {}
        self._traded: dict[SessionId, tuple[InstrumentId, ...]] = {}
        self._days = FigureDays(account)
        self._corrections = Corrections(self._took_over)
        self._told = Distinct()
        self.now_ns = 0

    @property
    def days(self) -> dict[str, DayFigures]:
        """By trading day, in order."""
        return self._days.days

    @property
    def last(self) -> AccountMarked | None:
        """The newest valuation that was told."""
        return self._days.last

    @property
    def is_book_known(self) -> bool:
        """Whether the account's book is told: from its beginning, or from its opening on."""
        return self.opening is not None or not self.is_headless

    @property
    def untold(self) -> tuple[SessionId, ...]:
        """Sessions that began before what is there, as far as they did anything since."""
        return tuple(each for each in self._untold if each not in self.sessions)

    def apply(self, event: Event) -> None:
        """Fold one event in; what is told again counts once."""
        event = fact_in(event)
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
        book = self.book.figures(self.now_ns)
        if self._corrections.is_waiting:  # something held that nobody has given a price yet
            book = msgspec.structs.replace(book, final_value=None, total_return=None)
        return {
            "book": {self.account: book} if self.is_book_known else {},
            "strategy": {key: each.figures(self.now_ns) for key, each in self.strategies.items()},
            "session": {key: each.figures(self.now_ns) for key, each in self.sessions.items()},
        }

    def attribution(self, by: By) -> dict[str, Share]:
        """Return where the profit of all sessions came from, at the prices that they were told."""
        return {} if self._parts is None else self._parts.attribution(by)

    def safety(self) -> Safety:
        """Return what O-07 asks for."""
        return self._days.safety()

    def _declared(self, event: TermsDeclared) -> None:
        if event.account != self.account:
            return
        self.terms = event
        if self.book is None:
            self._terms = self._made_terms(event)
            self.book = Performance(self._terms)
            self._parts = Performance(msgspec.structs.replace(self._terms, initial_capital=None))
            self._openings = Openings(self.account, self._instruments)
            early, self._early = self._early, []
            for each in early:
                self._fold(each)
        else:  # a newer release or configuration may know more instruments
            self._instruments.update((each.id, each) for each in event.instruments)
            for folio in self.holdings.values():
                folio.learn(self._instruments)

    def _made_terms(self, event: TermsDeclared) -> Terms:
        self._instruments = {each.id: each for each in event.instruments}
        return Terms(
            instruments=self._instruments,
            currency_values={**event.currency_values, event.currency: ONE},
            account=event.account,
            initial_capital=event.initial_cash,
        )

    def _fold(self, event: Event) -> None:
        if self._is_repeat(event) or (isinstance(event, PositionsAdopted) and event.is_told):
            return
        self.now_ns = max(self.now_ns, event.at_ns)
        if self.is_headless and self.opening is None:
            self._openings.hear(event)
        match event:
            case SignalRaised():  # it counts with the quote that the gate decided at
                self._raised[event.signal_id] = event
            case SignalDecided():
                self._decided(event)
            case SessionValued(marks=marks):
                self._marked_by("sessions", event.at_ns, marks)
            case AccountMarked(account=self.account, marks=marks):
                self._open(event)
                self._marked_by("account", event.at_ns, marks)
            case BookAdjusted(account=self.account):
                self._adjusted(event)
            case QuoteReceived() | TradeReceived() | BarClosed():
                pass  # live figures are made from what is recorded everywhere, not from these
            case _:
                self._update(event)
        assert self.terms is not None, "terms come first"
        self._days.apply(event, self.terms.calendar)
        self._hold(event)

    def _open(self, marked: AccountMarked) -> None:
        """Open the book whose beginning is gone, if this valuation agrees with the executor's."""
        found = None
        if self.is_headless and self.opening is None:
            found = self._openings.open(marked)
        if found is None:
            return
        self.opening, self.holdings[""] = found
        self.book = OpenedBook(self._terms, self.holdings[""], marked)
        for instrument, mark in self.marks["account"].items():
            self.book.update(_quote(marked.at_ns, instrument, mark, mark))

    def _is_in_book(self, event: Event) -> bool:
        """Return whether the account's book is folded on by an event; one that opened has it."""
        if self.opening is None:
            return not self.is_headless
        return event.at_ns > self.opening.book_ns

    def _is_repeat(self, event: Event) -> bool:
        """Return whether this was told before: an execution, a takeover, an order's submission."""
        match event:
            case OrderFilled(account=self.account, execution_id=execution_id):
                return not self._told.add(execution_id)
            case OrderSubmitted(account=self.account, order_id=order_id):
                return not self._told.add(f"submitted {order_id}")
            case PositionsAdopted():
                return not self._told.add(name_of(event))
        return False

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
        if self._is_in_book(event):
            self._whole().update(event)
        if self.is_headless and session is not None and session not in self.sessions:
            if getattr(event, "account", None) == self.account and session != ADOPTED:
                self._untold[session] = None
            return  # it began before what is there: a part of it would be none of its figures
        if isinstance(event, PositionsAdopted) and not self._is_held_by(event.taken_from):
            event = msgspec.structs.replace(event, taken_from=None)  # nor is that one here
        concerned = (None,) if session is None else (None, *_concerned(event, session))
        for fold in self._parts_of():
            if session is None or fold.terms.session in concerned:
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
            if whose == "account":
                self._corrections.price(instrument, mark, at_ns)

    def _adjusted(self, event: BookAdjusted) -> None:
        """Fold a correction of the book in; it is no session's."""
        if not self._corrections.hear(event):
            return
        self._brought(event.cash + event.fees, event.at_ns)
        if not self._is_in_book(event):
            return
        self._whole().pay_in(event.cash, event.fees, event.at_ns)
        is_known = event.instrument is None or event.instrument in self._instruments
        if is_known:  # as live: the executor knows no price
            folio = self._portfolio("")
            folio.adjust(event.instrument, event.quantity, event.cash, event.fees)

    def _took_over(self, event: BookAdjusted, price: Decimal | None, at_ns: int) -> None:
        assert event.instrument is not None, "it is about a position"
        assert price is not None, "it waits for one"
        book = self._whole() if self._is_in_book(event) else Performance(self._terms)
        self._brought(book.take_over(event.instrument, event.quantity, price, at_ns), at_ns)

    def _brought(self, amount: Decimal | None, at_ns: int) -> None:
        assert self.terms is not None, "terms come first"
        self._days.adjust(amount, at_ns, self.terms.calendar)

    def _hold(self, event: Event) -> None:
        """Fold into what is held; an instrument that nobody described counts nowhere."""
        match event:
            case OrderFilled(account=self.account, session=session, instrument=instrument):
                if instrument in self._instruments:
                    for name in self._held_by(session, event):
                        self._portfolio(name).apply(event)
            case PositionSettled(account=self.account):
                for name, each in self.holdings.items():
                    if name or self._is_in_book(event):
                        each.settle(event)
            case PositionsAdopted(session=session) if session in self.sessions:
                for move in moves(event):
                    if move.instrument in self._instruments and self._is_held_by(move.session):
                        self._portfolio(move.session).adopt(_view(move))

    def _held_by(self, session: SessionId, fill: OrderFilled) -> Iterable[str]:
        """Yield whose holdings an execution changes: of those that are known."""
        if self._is_held_by(session):
            yield session
        if self._is_in_book(fill):
            yield ""

    def _is_held_by(self, session: SessionId | None) -> bool:
        """Return whether it is known what is held as this session."""
        return not self.is_headless or session in self.sessions

    def _portfolio(self, session: str) -> Portfolio:
        found = self.holdings.get(session)
        if found is None:
            cash = ZERO if session or self.terms is None else self.terms.initial_cash
            found = self.holdings[session] = Portfolio(self._instruments, cash)
        return found


def _concerned(event: Event, session: SessionId) -> tuple[SessionId, ...]:
    """Return whose figures an event is part of: a takeover has two sides."""
    giver = event.taken_from if isinstance(event, PositionsAdopted) else None
    return (session,) if giver is None else (session, giver)


def _view(move: Move) -> PositionView:
    return PositionView(
        instrument=move.instrument, quantity=move.quantity, average_price=move.price
    )


def _quote(at_ns: int, instrument: InstrumentId, bid: Decimal, ask: Decimal) -> QuoteReceived:
    return QuoteReceived(
        at_ns=at_ns, instrument=instrument, bid=bid, bid_size=ZERO, ask=ask, ask_size=ZERO
    )


def in_share_class(values: Mapping[str, Decimal], share_class: str) -> Mapping[str, Decimal]:
    """Return what currencies are worth in a share class; empty where nobody has said."""
    unit = unit_of(share_class, values)
    return {} if unit is None else {name: value / unit for name, value in values.items()}
