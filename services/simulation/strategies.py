"""Strategies that leave the gate and the executor no rest."""

from decimal import Decimal

from schemas.market import QuoteReceived
from services.strategy.context import at_limit
from services.strategy.interface import Parameters, Strategy

TIDE = 40
"""How many quotes in a row the greedy one goes the same way."""


class Restless(Strategy[Parameters]):
    """Every kind of order and cancel in turn, one at every quote."""

    def on_start(self) -> None:
        """Begin with the first turn."""
        self._turn = 0

    def on_quote(self, quote: QuoteReceived) -> None:
        """Take the next turn."""
        self._turn += 1
        context, instrument = self.context, quote.instrument
        turn = self._turn % 8
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
    """Buy at every quote, then sell at every quote: only the limits end it, either way."""

    def on_start(self) -> None:
        """Begin with the flood."""
        self._count = 0

    def on_quote(self, quote: QuoteReceived) -> None:
        """Take more."""
        self._count += 1
        trade = self.context.buy if self._count // TIDE % 2 == 0 else self.context.sell
        trade(quote.instrument, Decimal(9), why="more")
