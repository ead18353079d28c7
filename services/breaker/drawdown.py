"""The drawdown breaker (B-01): the account's equity against its high-water mark."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from schemas.base import AccountId, Event, InstrumentId
from schemas.control import (
    AccountMarked,
    BreakerState,
    BreakerStateChanged,
    BreakerTripped,
    HighWaterMarkSet,
)
from schemas.executions import BookReported, OrderFilled
from schemas.health import BreakerView
from schemas.instruments import Instrument
from schemas.market import QuoteReceived
from services.portfolio import Portfolio, Position

NAME = "drawdown"
FORMULA = "equity / high-water mark - 1; equity = cash + what is held at mid prices"
UNKNOWN = "unknown"
HALF = Decimal("0.5")
CENT = Decimal("0.01")
ZERO = Decimal(0)


class AccountTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The account that is watched, and what may be held in it."""

    id: AccountId
    initial_cash: Decimal
    """What it began with, in its currency; the first high-water mark."""

    instruments: dict[InstrumentId, Instrument]


def percent(fraction: Decimal) -> str:
    """Return a signed fraction as people read it: `-3.21 %`."""
    return f"{(fraction * 100).quantize(CENT):f} %"


def money(amount: Decimal) -> str:
    """Return an amount with cents and no exponent."""
    return f"{amount.quantize(CENT):f}"


class Drawdown:
    """Account equity, unrealised profit included, and how far it is below its highest.

    What is not known is never taken for fine: without a book, or with something held that has no
    two-sided price, the equity is None. A restart keeps the mark; only a reset after a trip sets
    it anew, because the breaker would otherwise trip again at once and for ever.

    Attributes:
        quotes: newest quote by instrument; the core writes it directly.
        is_book_known: whether cash and positions are the executor's, with nothing missed since.
        is_holding: whether anything is held, so that quotes matter.
        high_water_mark: None after such a reset, until the next valuation.
        is_tripped: tripped, and not reset yet.
    """

    def __init__(self, account: AccountTerms, limit: Decimal) -> None:
        self._account = account
        self._limit = limit
        self._portfolio = Portfolio(account.instruments, account.initial_cash)
        self.quotes: dict[InstrumentId, QuoteReceived] = {}
        self.is_book_known = False
        self.is_holding = False
        self.high_water_mark: Decimal | None = account.initial_cash
        self.is_tripped = False

    def on_fill(self, fill: OrderFilled) -> bool:
        """Fold one execution in; return whether it changed anything."""
        if fill.account != self._account.id:
            return False
        if fill.instrument not in self._account.instruments:
            self.is_book_known = False  # its multiplier is not known, so its worth is not
            return True
        if not self._portfolio.apply(fill):
            return False
        self.is_holding = any(p.quantity for p in self._portfolio.positions.values())
        return True

    def on_book(self, book: BookReported) -> bool:
        """Take the executor's whole book for ours; return whether it is our account's."""
        if book.account != self._account.id:
            return False
        folio = self._portfolio
        folio.cash, folio.fees = book.cash, book.fees
        folio.positions.clear()
        for view in book.positions:
            position = folio.positions[view.instrument] = Position()
            position.quantity, position.average_price = view.quantity, view.average_price
        self.is_holding = any(view.quantity for view in book.positions)
        known = self._account.instruments
        self.is_book_known = all(v.instrument in known or not v.quantity for v in book.positions)
        return True

    def forget_book(self) -> None:
        """Executions may have been missed: the equity is unknown until a book is reported."""
        self.is_book_known = False

    def equity(self) -> Decimal | None:
        """Return what the account is worth at mid prices; None if that is not known."""
        return self._portfolio.equity(self._mids()) if self.is_book_known else None

    def unmarked(self) -> tuple[InstrumentId, ...]:
        """Return what is held and has no price."""
        mids = self._mids()
        held = self._portfolio.positions.items()
        return tuple(name for name, each in held if each.quantity and name not in mids)

    def mark(self, now_ns: int) -> list[Event]:
        """Value the account: a new high moves the mark, a fall past the limit trips, once."""
        equity = self.equity()
        if equity is None:
            return []
        mark = self.high_water_mark
        said: list[Event] = []
        if mark is None or equity > mark:
            reason = "set anew after a reset" if mark is None else "new high"
            raised = HighWaterMarkSet(
                at_ns=now_ns, account=self._account.id, high_water_mark=equity, reason=reason
            )
            self.apply(raised)
            said.append(raised)
        if not self.is_tripped and self._is_past_limit(equity):
            trip = self._trip(equity, now_ns)
            self.apply(trip)
            said.append(trip)
        return said

    def apply(self, event: Event) -> None:
        """Fold one kept fact in; the only code that moves the mark or the trip."""
        match event:
            case HighWaterMarkSet(account=account, high_water_mark=mark):
                if account != self._account.id:  # what another account was worth says nothing
                    return
                self.high_water_mark = mark
            case BreakerTripped(breaker=name) if name == NAME:
                self.is_tripped = True
            case BreakerStateChanged(state=BreakerState.NORMAL) if self.is_tripped:
                self.is_tripped, self.high_water_mark = False, None

    def marked(self, now_ns: int) -> AccountMarked | None:
        """Return the valuation to publish; None while there is no book to value.

        What has no price stands at its cost, and is named as unmarked.
        """
        if not self.is_book_known:
            return None
        mids, unmarked = self._mids(), self.unmarked()
        held = self._portfolio.positions.items()
        at_cost = {name: each.average_price for name, each in held}
        equity = self._portfolio.equity({**at_cost, **mids})
        assert equity is not None, "every position was given a price"
        mark = equity if self.high_water_mark is None else self.high_water_mark
        return AccountMarked(
            at_ns=now_ns,
            account=self._account.id,
            equity=equity,
            cash=self._portfolio.cash,
            high_water_mark=mark,
            drawdown=max(ZERO, -_change(equity, mark)),
            unmarked=unmarked,
        )

    def view(self, now_ns: int) -> BreakerView:
        """Return formula, inputs, limit and the distance to it, for people."""
        equity = self.equity()
        value, detail = UNKNOWN, self._why_unknown()
        if equity is not None:
            mark = equity if self.high_water_mark is None else self.high_water_mark
            change = _change(equity, mark)
            value = percent(change)
            floor = mark * (1 - self._limit)
            detail = (
                f"equity {money(equity)}, high-water mark {money(mark)}; trips at {money(floor)}, "
                f"{money(equity - floor)} ({percent(change + self._limit)}) away"
            ) + self._oldest_price(now_ns)
        return BreakerView(
            name=NAME,
            formula=FORMULA,
            value=value,
            limit=percent(-self._limit),
            is_tripped=self.is_tripped,
            detail=detail,
        )

    def _trip(self, equity: Decimal, now_ns: int) -> BreakerTripped:
        mark = self.high_water_mark
        assert mark is not None, "a mark was just set"
        value, limit = percent(_change(equity, mark)), percent(-self._limit)
        return BreakerTripped(
            at_ns=now_ns,
            breaker=NAME,
            reason=f"equity {money(equity)} is {value} from its high of {money(mark)}; "
            f"the limit is {limit}",
            value=value,
            limit=limit,
        )

    def _is_past_limit(self, equity: Decimal) -> bool:
        mark = self.high_water_mark
        assert mark is not None, "a mark was just set"
        return mark <= 0 or mark - equity >= self._limit * mark

    def _why_unknown(self) -> str:
        if not self.is_book_known:
            return "the executor's book is not known: is the executor running?"
        return f"no two-sided price of {', '.join(self.unmarked())}: is the feed running?"

    def _oldest_price(self, now_ns: int) -> str:
        held = [name for name, p in self._portfolio.positions.items() if p.quantity]
        if not held:
            return ""
        age_ns = now_ns - min(self.quotes[name].at_ns for name in held)
        return f"; oldest price {age_ns / 1e9:.1f} s old"

    def _mids(self) -> Mapping[InstrumentId, Decimal]:
        mids = {}
        for name, position in self._portfolio.positions.items():
            quote = self.quotes.get(name) if position.quantity else None
            if quote is not None and quote.bid > 0 and quote.ask > 0:
                mids[name] = (quote.bid + quote.ask) * HALF
        return mids


def _change(equity: Decimal, mark: Decimal) -> Decimal:
    """Return the fraction that equity is above (or, negative, below) the mark."""
    return equity / mark - 1 if mark > 0 else Decimal(-1)
