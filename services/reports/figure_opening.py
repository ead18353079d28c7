"""Where an account's book opens whose beginning is no longer recorded. Pure.

The executor tells its whole book, the breaker what it is worth a moment later. Where both agree to
the last digit nothing is missing between them, and nothing is in twice: from there on the book is
folded as from its beginning.
"""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from schemas.base import AccountId, Event, InstrumentId, SessionId
from schemas.control import AccountMarked
from schemas.executions import BookReported, OrderFilled
from schemas.instruments import Instrument
from schemas.reconciliation import BookAdjusted
from schemas.settlement import PositionSettled
from services.performance.core import Performance
from services.performance.fold import ADOPTED, Terms
from services.performance.lines import Line
from services.portfolio import Portfolio, Position

ZERO = Decimal(0)


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """Where a book opened."""

    at_ns: int
    """Time of the valuation that it is measured from."""

    book_ns: int
    """When the executor told its book: what happened until then is in it."""

    equity: Decimal
    """What the account was worth."""


class OpenedBook(Performance):
    """The fold of an account from its opening on.

    What was held then, and what is traded by sessions that began before, is one line for each
    instrument: nobody knows any more which of them held what.
    """

    def __init__(self, terms: Terms, folio: Portfolio, marked: AccountMarked) -> None:
        super().__init__(msgspec.structs.replace(terms, initial_capital=folio.cash))
        self.pay_in(ZERO, ZERO, marked.at_ns)
        for instrument, held in folio.positions.items():
            if held.quantity:
                price = marked.marks[instrument]
                self.take_over(instrument, held.quantity, price, marked.at_ns)

    def _line(self, session: SessionId, instrument: InstrumentId) -> Line | None:
        return super()._line(session if session in self.sessions else ADOPTED, instrument)


class Openings:
    """Looks for the opening of one account's book.

    Args:
        account: whose.
        instruments: what is described; what is learned later is in it too.
    """

    def __init__(self, account: AccountId, instruments: Mapping[InstrumentId, Instrument]) -> None:
        self._account, self._instruments = account, instruments
        self._folio: Portfolio | None = None
        self._book_ns = 0

    def hear(self, event: Event) -> None:
        """Take in what changes the book; an execution or a settlement is told once."""
        match event:
            case BookReported(account=self._account):
                self._reported(event)
            case OrderFilled(account=self._account) | PositionSettled(account=self._account):
                self._changed(event)
            case BookAdjusted(account=self._account) if event.at_ns > self._book_ns:
                self._folio = None  # the next book has it

    def open(self, marked: AccountMarked) -> tuple[Opening, Portfolio] | None:
        """Return where the book opens, and the book; None if not at this valuation.

        Not where the breaker knows another cash than the book has: an execution was not told to
        one of the two yet, or not to the record.
        """
        folio = self._folio
        if folio is None or marked.unmarked or marked.cash != folio.cash:
            return None
        if marked.at_ns < self._book_ns or folio.equity(marked.marks) != marked.equity:
            return None
        found = Opening(at_ns=marked.at_ns, book_ns=self._book_ns, equity=marked.equity)
        return found, folio

    def _reported(self, book: BookReported) -> None:
        self._folio, self._book_ns = None, book.at_ns
        if any(v.quantity and v.instrument not in self._instruments for v in book.positions):
            return
        self._folio = folio = Portfolio(self._instruments, book.cash)
        folio.fees, folio.fill_count = book.fees, book.fill_count
        for view in book.positions:
            held = folio.positions[view.instrument] = Position()
            held.quantity, held.average_price = view.quantity, view.average_price
            held.realized, held.fees, held.funding = view.realized, view.fees, view.funding

    def _changed(self, event: OrderFilled | PositionSettled) -> None:
        if self._folio is None or event.at_ns <= self._book_ns:
            return
        if event.instrument not in self._instruments:
            self._folio = None  # its multiplier is not known, so its worth is not
            return
        self._folio.learn(self._instruments)
        if isinstance(event, OrderFilled):
            self._folio.apply(event)
        else:
            self._folio.settle(event)
