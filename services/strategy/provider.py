"""All that a session can ask of the market, through one interface that the bus feeds.

A strategy names what it reads (`Strategy.needs`), and a start is refused where no configured feed
tells it. So a question here has an answer, or none yet: never a silence for ever. A question that
was not named raises, at once.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from schemas.base import Event, InstrumentId
from schemas.instruments import DataKind, Instrument
from schemas.limits import AccountHealthReported
from schemas.market import (
    BarClosed,
    BookChanged,
    FundingPublished,
    LendingRatesPublished,
    LiquidityPublished,
    ProtocolBalancePublished,
    QuoteReceived,
    StakingRatePublished,
    TradeReceived,
)
from services.order_book import OrderBook

EVENTS: Mapping[DataKind, type[Event]] = {
    DataKind.PRICES: QuoteReceived,
    DataKind.TRADES: TradeReceived,
    DataKind.BARS: BarClosed,
    DataKind.BOOK: BookChanged,
    DataKind.FUNDING: FundingPublished,
    DataKind.LIQUIDITY: LiquidityPublished,
    DataKind.LENDING: LendingRatesPublished,
    DataKind.BORROWING: LendingRatesPublished,
    DataKind.STAKING: StakingRatePublished,
    DataKind.BALANCES: ProtocolBalancePublished,
}
"""What tells each kind of data."""

Needs = Mapping[InstrumentId, tuple[DataKind, ...]]


class DataProvider:
    """One session's; shared by all that the session is made of.

    Args:
        needs: what may be asked, by instrument; prices always.
        quote_of: returns the newest quote.
    """

    def __init__(
        self, needs: Needs, quote_of: Callable[[InstrumentId], QuoteReceived | None]
    ) -> None:
        self.needs = needs
        self._quote_of = quote_of
        self._events = {key: _events(kinds) for key, kinds in needs.items()}
        self._newest: dict[tuple[type[Event], InstrumentId], Any] = {}
        self._books: dict[InstrumentId, OrderBook] = {}
        self._health_factors: dict[str, Decimal] = {}

    def events(self, instrument: InstrumentId) -> tuple[type[Event], ...]:
        """Return what must be told of an instrument; quotes are known without."""
        return self._events.get(instrument, ())

    def take(self, event: Any) -> None:
        """Take one market event in."""
        if isinstance(event, BookChanged):
            self._books.setdefault(event.instrument, OrderBook()).apply(event)
        else:
            self._newest[type(event), event.instrument] = event

    def take_health(self, report: AccountHealthReported) -> None:
        """Take what a venue says of the account's safety; what it does not say stays as it was."""
        if report.health_factor is not None:
            self._health_factors[report.venue] = report.health_factor

    def price(self, instrument: InstrumentId) -> QuoteReceived | None:
        """Return the newest quote; None before the first."""
        return self._quote_of(instrument)

    def trade(self, instrument: InstrumentId) -> TradeReceived | None:
        """Return the newest trade; None before the first."""
        found: TradeReceived | None = self._asked(DataKind.TRADES, instrument)
        return found

    def bar(self, instrument: InstrumentId) -> BarClosed | None:
        """Return the newest closed bar; None before the first."""
        found: BarClosed | None = self._asked(DataKind.BARS, instrument)
        return found

    def book(self, instrument: InstrumentId) -> OrderBook | None:
        """Return the order book; None before its snapshot, and while an update is missing."""
        self._refuse_unnamed(DataKind.BOOK, instrument)
        book = self._books.get(instrument)
        return book if book is not None and book.is_whole else None

    def funding(self, instrument: InstrumentId) -> FundingPublished | None:
        """Return the newest funding rate of a perpetual; None before the first."""
        found: FundingPublished | None = self._asked(DataKind.FUNDING, instrument)
        return found

    def liquidity(self, instrument: InstrumentId) -> Decimal | None:
        """Return what a lending market could pay out now, in units of what is lent."""
        found: LiquidityPublished | None = self._asked(DataKind.LIQUIDITY, instrument)
        return None if found is None else found.available

    def lending_rate(self, instrument: InstrumentId) -> Decimal | None:
        """Return what supplying earns, as a fraction a year; None before it was published."""
        found: LendingRatesPublished | None = self._asked(DataKind.LENDING, instrument)
        return None if found is None else found.supply_rate

    def borrowing_rate(self, instrument: InstrumentId) -> Decimal | None:
        """Return what borrowing costs, as a fraction a year; None before it was published."""
        found: LendingRatesPublished | None = self._asked(DataKind.BORROWING, instrument)
        return None if found is None else found.borrow_rate

    def staking_rate(self, instrument: InstrumentId) -> Decimal | None:
        """Return what staking earns, as a fraction a year; None before it was published."""
        found: StakingRatePublished | None = self._asked(DataKind.STAKING, instrument)
        return None if found is None else found.rate

    def balances(self, instrument: InstrumentId) -> ProtocolBalancePublished | None:
        """Return what a protocol holds in all; None before it was published."""
        found: ProtocolBalancePublished | None = self._asked(DataKind.BALANCES, instrument)
        return found

    def health_factor(self, venue: str) -> Decimal | None:
        """Return what the venue last said of the account's health factor; None if it never did."""
        return self._health_factors.get(venue)

    def _asked(self, kind: DataKind, instrument: InstrumentId) -> Any:
        self._refuse_unnamed(kind, instrument)
        return self._newest.get((EVENTS[kind], instrument))

    def _refuse_unnamed(self, kind: DataKind, instrument: InstrumentId) -> None:
        if kind not in self.needs.get(instrument, ()):
            raise ValueError(
                f"{kind} of {instrument} was asked for, and not named: "
                f"return DataKind.{kind.name} from the strategy's `needs`"
            )


def _events(kinds: tuple[DataKind, ...]) -> tuple[type[Event], ...]:
    found = dict.fromkeys(EVENTS[kind] for kind in kinds)
    return tuple(each for each in found if each is not QuoteReceived)


def missing(
    needs: Needs, instruments: Mapping[InstrumentId, Instrument]
) -> list[tuple[InstrumentId, DataKind]]:
    """Return what is needed and no configured feed tells, in the order of the instruments."""
    return [
        (key, kind)
        for key, kinds in needs.items()
        for kind in kinds
        if kind not in instruments[key].offers
    ]


def offered(instrument: Instrument) -> str:
    """Return, for people, what the feed tells of an instrument."""
    return f"of {instrument.id} the feed tells {', '.join(instrument.offers) or 'nothing'}"
