"""What the account is worth: cash, and what is held at mid prices; unrealised profit included."""

from decimal import Decimal

import msgspec

from schemas.base import NS_PER_S, AccountId, Event, InstrumentId
from schemas.control import AccountMarked
from schemas.executions import BookReported, OrderFilled
from schemas.instruments import Instrument
from schemas.market import QuoteReceived
from schemas.settlement import PositionSettled
from services.portfolio import Portfolio, Position

HALF = Decimal("0.5")
ZERO = Decimal(0)


class AccountTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The account that is watched, and what may be held in it."""

    id: AccountId
    initial_cash: Decimal
    """What it began with, in its currency; the first high-water mark."""

    instruments: dict[InstrumentId, Instrument]


class Valuation:
    """The account's book and prices. It is known, or it is None; it is never guessed.

    Without a book, or with something held that has no two-sided price, the equity is not known.

    Attributes:
        account: whose it is.
        quotes: newest quote by instrument; the core writes it directly.
        is_book_known: whether cash and positions are the executor's, with nothing missed since.
    """

    def __init__(self, account: AccountTerms) -> None:
        self.account = account
        self._portfolio = Portfolio(account.instruments, account.initial_cash)
        self.quotes: dict[InstrumentId, QuoteReceived] = {}
        self.is_book_known = False
        self._book = self._heard = ("", 0)  # who told it, and when by its own clock
        self._held: tuple[InstrumentId, ...] = ()

    @property
    def is_holding(self) -> bool:
        """Whether anything is held, so that quotes matter."""
        return bool(self._held)

    def on_fill(self, fill: OrderFilled | PositionSettled) -> bool:
        """Fold one execution or settlement in; return whether it changed anything.

        One that is told after the book which holds it already does not. Where another executor told
        that book, nobody knows: of two, one has missed something.
        """
        if fill.account != self.account.id:
            return False
        self._hear(fill)
        booker, booked_ns = self._book
        if not _is_same(booker, fill.src):
            self.forget_book()
        elif fill.at_ns < booked_ns:
            return False
        if fill.instrument not in self.account.instruments:
            self.is_book_known = False  # its multiplier is not known, so its worth is not
            return True
        folio = self._portfolio
        is_news = folio.settle(fill) if isinstance(fill, PositionSettled) else folio.apply(fill)
        if not is_news:
            return False
        self._hold()
        return True

    def on_book(self, book: BookReported) -> bool:
        """Take the executor's whole book for ours; return whether that was done.

        It must be our account's, and from after all that its own teller was heard to say.
        """
        teller, heard_ns = self._heard
        is_stale = _is_same(teller, book.src) and book.at_ns < heard_ns
        if book.account != self.account.id or is_stale:
            return False
        self._book = self._heard = (book.src, book.at_ns)
        folio = self._portfolio
        folio.cash, folio.fees = book.cash, book.fees
        folio.positions.clear()
        for view in book.positions:
            position = folio.positions[view.instrument] = Position()
            position.quantity, position.average_price = view.quantity, view.average_price
        self._hold()
        known = self.account.instruments
        self.is_book_known = all(v.instrument in known or not v.quantity for v in book.positions)
        return True

    def compare_teller(self, executor: str) -> None:
        """Forget a book that another executor told than the one that trades from now on."""
        booker, _ = self._book
        if booker and booker != executor:
            self.forget_book()

    def forget_book(self) -> None:
        """Executions may have been missed: the equity is unknown until a book is reported."""
        self.is_book_known = False

    def held(self) -> tuple[InstrumentId, ...]:
        """Return what is held, in order of first execution."""
        return self._held

    def equity(self) -> Decimal | None:
        """Return what the account is worth at mid prices; None if that is not known."""
        return self._portfolio.equity(self._mids()) if self.is_book_known else None

    def unmarked(self) -> tuple[InstrumentId, ...]:
        """Return what is held and has no price."""
        mids = self._mids()
        return tuple(name for name in self.held() if name not in mids)

    def why_unknown(self) -> str:
        """Return why the equity is not known, and where to look."""
        if not self.is_book_known:
            return "the executor's book is not known: is the executor running?"
        return f"no two-sided price of {', '.join(self.unmarked())}: is the feed running?"

    def oldest_price(self, now_ns: int) -> str:
        """Return how old the oldest price is that the equity rests on; empty if it needs none."""
        held = [name for name in self.held() if name in self.quotes]
        if not held:
            return ""
        age_ns = now_ns - min(self.quotes[name].at_ns for name in held)
        return f"{age_ns / NS_PER_S:.1f} s old"

    def marked(self, high_water_mark: Decimal | None, now_ns: int) -> AccountMarked | None:
        """Return the valuation to publish; None while there is no book to value.

        What has no price stands at its cost, and is named as unmarked.
        """
        if not self.is_book_known:
            return None
        held = self._portfolio.positions.items()
        at_cost = {name: each.average_price for name, each in held}
        mids = self._mids()
        equity = self._portfolio.equity({**at_cost, **mids})
        assert equity is not None, "every position was given a price"
        mark = equity if high_water_mark is None else high_water_mark
        return AccountMarked(
            at_ns=now_ns,
            account=self.account.id,
            equity=equity,
            cash=self._portfolio.cash,
            high_water_mark=mark,
            drawdown=max(ZERO, -change(equity, mark)),
            unmarked=self.unmarked(),
            marks=mids,
        )

    def _hear(self, event: Event) -> None:
        teller, heard_ns = self._heard
        if event.src != teller or event.at_ns > heard_ns:
            self._heard = (event.src, event.at_ns)

    def _hold(self) -> None:
        """Look what is held: asked for at every valuation, changed only by a fill or a book."""
        positions = self._portfolio.positions.items()
        self._held = tuple(name for name, position in positions if position.quantity)

    def _mids(self) -> dict[InstrumentId, Decimal]:
        mids: dict[InstrumentId, Decimal] = {}
        for name in self._held:
            quote = self.quotes.get(name)
            if quote is not None and quote.bid > 0 and quote.ask > 0:
                mids[name] = (quote.bid + quote.ask) * HALF
        return mids


def _is_same(teller: str, other: str) -> bool:
    """Return whether two tellers may be one: an answer to a query does not name its own."""
    return teller == other or not teller or not other


def change(equity: Decimal, base: Decimal) -> Decimal:
    """Return the fraction that equity is above (or, negative, below) a base."""
    return equity / base - 1 if base > 0 else Decimal(-1)
