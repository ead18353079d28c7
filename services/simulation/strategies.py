"""Strategies that leave the gate and the executor no rest."""

from decimal import Decimal

from schemas.market import QuoteReceived
from services.strategy.context import at_limit
from services.strategy.interface import Parameters, Strategy


class Restless(Strategy[Parameters]):
    """Every kind of order and cancel in turn, at every third quote."""

    def on_start(self) -> None:
        """Begin with the first turn."""
        self._turn = 0

    def on_quote(self, quote: QuoteReceived) -> None:
        """Take the next turn."""
        self._turn += 1
        if self._turn % 3:
            return
        context, instrument = self.context, quote.instrument
        turn = self._turn // 3 % 8
        if turn in (0, 4):
            context.buy(instrument, Decimal(3), why="market")
        elif turn == 1:
            context.buy(instrument, Decimal(4), at_limit(quote.bid - 1), why="rest below")
        elif turn == 2:
            context.sell(instrument, Decimal(4), at_limit(quote.ask + 1), why="rest above")
        elif turn == 3:
            context.sell(instrument, Decimal(7), at_limit(quote.bid), why="cross")
        elif turn == 5:
            for order in context.open_orders(instrument)[:2]:
                context.cancel(order.order_id)
        elif turn == 6:
            context.close(instrument, why="flat")
        else:
            context.buy(instrument, Decimal(10_000), why="far too many")


class Greedy(Strategy[Parameters]):
    """Buy at every quote, for ever: only the limits end it."""

    def on_quote(self, quote: QuoteReceived) -> None:
        """Buy."""
        self.context.buy(quote.instrument, Decimal(9), why="more")
