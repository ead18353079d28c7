"""Strategies that only a benchmark would run."""

from decimal import Decimal

from schemas.market import QuoteReceived
from schemas.orders import Side, TimeInForce
from services.strategy.context import at_limit
from services.strategy.interface import Parameters, Strategy

ONE = Decimal(1)


TICKS_PER_ORDER = 10


class EveryTenthTick(Strategy[Parameters]):
    """Buy or sell one at the touch on every tenth quote; `why` is the quote's own time."""

    _count = 0

    def on_quote(self, quote: QuoteReceived) -> None:
        """Raise a signal if it is the tenth, and write down which quote it answers."""
        self._count += 1
        if self._count % TICKS_PER_ORDER:
            return
        is_long = self.context.position(quote.instrument) > 0
        side, price = (Side.SELL, quote.bid) if is_long else (Side.BUY, quote.ask)
        terms = at_limit(price, time_in_force=TimeInForce.IOC)
        self.context.submit(quote.instrument, side, ONE, terms, why=str(quote.at_ns))


class EveryTick(Strategy[Parameters]):
    """Answer every quote with an order far from the market, that is cancelled if not filled."""

    def on_quote(self, quote: QuoteReceived) -> None:
        """Raise a signal."""
        terms = at_limit(quote.bid / 2, time_in_force=TimeInForce.IOC)
        self.context.submit(quote.instrument, Side.BUY, ONE, terms)


class Idle(Strategy[Parameters]):
    """Take every quote, and do nothing with it."""

    def on_quote(self, quote: QuoteReceived) -> None:
        """Do nothing: what is measured is the way here."""
