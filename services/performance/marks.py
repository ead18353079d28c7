"""What holdings are valued at, and what their currencies are worth in the share class."""

from collections.abc import Mapping
from decimal import Decimal

from schemas.base import InstrumentId
from schemas.market import BarClosed, QuoteReceived, TradeReceived

HALF = Decimal("0.5")


class Marks:
    """The middle of the newest two-sided quote; the last trade or close of what nobody quotes.

    A quote of one side only leaves the last price that was known.

    Args:
        currency_values: what one unit of each currency is worth in the share class.
        currency_marks: currency -> instrument whose price one unit of the share class costs in it.
    """

    def __init__(
        self,
        currency_values: Mapping[str, Decimal],
        currency_marks: Mapping[str, InstrumentId],
    ) -> None:
        self._values = currency_values
        self._currency_marks = currency_marks
        self._quotes: dict[InstrumentId, QuoteReceived] = {}
        self._prices: dict[InstrumentId, Decimal] = {}

    def quote(self, event: QuoteReceived) -> None:
        """Take a quote in. Called for every one: nothing is computed before it is asked for."""
        if event.bid and event.ask:
            self._quotes[event.instrument] = event

    def trade(self, event: TradeReceived) -> None:
        """Take a trade in."""
        self._prices[event.instrument] = event.price

    def bar(self, event: BarClosed) -> None:
        """Take the close of a bar in."""
        self._prices[event.instrument] = event.close

    def price(self, instrument: InstrumentId) -> Decimal | None:
        """Return what one unit is worth, in the instrument's currency; None if nobody said."""
        quote = self._quotes.get(instrument)
        if quote is not None:
            return (quote.bid + quote.ask) * HALF
        return self._prices.get(instrument)

    def converted(self, amount: Decimal, currency: str) -> Decimal | None:
        """Return an amount of `currency` in the share class; None if its worth is not known."""
        value = self._values.get(currency)
        if value is not None:
            return amount if value == 1 else amount * value
        instrument = self._currency_marks.get(currency)
        price = None if instrument is None else self.price(instrument)
        return amount / price if price else None
