"""Strategies for tests of real markets: they trade as much as they are let."""

from decimal import Decimal

from schemas.market import QuoteReceived
from services.strategy.context import AT_MARKET
from services.strategy.interface import Parameters, Strategy


class FlipParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much."""

    quantity: Decimal = Decimal(1)


class Flip(Strategy[FlipParameters]):
    """Buy at one quote of an instrument, sell at the next, at every hour of the day."""

    parameters_type = FlipParameters

    def on_quote(self, quote: QuoteReceived) -> None:
        """Go the other way, unless the last order is still on its way."""
        instrument, context = quote.instrument, self.context
        if context.open_orders(instrument):
            return
        trade = context.sell if context.position(instrument) > 0 else context.buy
        trade(instrument, self.parameters.quantity, AT_MARKET, why="flip")


class Answers(Flip):
    """Trade at every quote of every instrument; `why` is the time of the quote it answers."""

    def on_quote(self, quote: QuoteReceived) -> None:
        """Buy one where none is held, else sell it."""
        is_held = self.context.position(quote.instrument) > 0
        trade = self.context.sell if is_held else self.context.buy
        trade(quote.instrument, Decimal(1), AT_MARKET, why=str(quote.at_ns))
