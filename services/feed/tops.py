"""Check the book we build against the best bid and ask that the venue itself sends."""

from collections import deque

from schemas.market import BookChanged, QuoteReceived
from services.order_book import Applied, OrderBook

REMEMBERED_MAX = 1_024
"""Quotes remembered until the book arrives at their update id: more than come between updates."""


class CheckedBook(OrderBook):
    """An order book that is compared with the venue's quotes, whenever both show the same id.

    Updates come ten times a second or less, quotes at once: so quotes wait for the book. A book
    that differs is not whole any more: it is not to be trusted until the next snapshot.

    Attributes:
        checks_count: comparisons made.
        differs_count: those in which a price or a size differed.
    """

    __slots__ = ("_quotes", "checks_count", "differs_count")

    def __init__(self) -> None:
        super().__init__()
        self.checks_count = 0
        self.differs_count = 0
        self._quotes: deque[QuoteReceived] = deque(maxlen=REMEMBERED_MAX)

    def apply(self, update: BookChanged) -> Applied:
        """Fold one snapshot or update in, and compare."""
        became = super().apply(update)
        if became is Applied.CHANGED:
            quotes, last_id = self._quotes, self.last_id
            while quotes and quotes[0].update_id <= last_id:
                quote = quotes.popleft()
                if quote.update_id == last_id:
                    self._compare(quote)
        return became

    def on_quote(self, quote: QuoteReceived) -> bool:
        """Compare with the venue's own quote now, or when the book gets there.

        Returns False if it was compared now, and differs.
        """
        if not self.is_whole or quote.update_id > self.last_id:
            self._quotes.append(quote)
        elif quote.update_id == self.last_id:
            self._compare(quote)
            return self.is_whole
        return True

    def _compare(self, quote: QuoteReceived) -> None:
        self.checks_count += 1
        theirs = (quote.bid, quote.bid_size), (quote.ask, quote.ask_size)
        if self.top != theirs:
            self.differs_count += 1
            self.is_whole = False
