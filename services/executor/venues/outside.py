"""What everybody else shows of one instrument: the liquidity our orders can meet.

The newest quote is the touch. Levels behind it are known only while an unbroken chain of book
updates has them (`is_deep`). Nothing is ever invented:

- An order takes no more than is displayed, and what it took stays taken: the recording does not
  know us and goes on displaying it. It counts as new only when the price has left the book, or
  (behind the touch of a book without depth) when the touch has moved away.
- The size ahead of a resting order at a price nobody shows us is not known, not zero.
"""

from decimal import Decimal
from heapq import heapify, heappop

from schemas.market import BookChanged, Level, QuoteReceived
from schemas.orders import Side

ZERO = Decimal(0)
Depth = dict[Decimal, Decimal]
"""Size by price, of one side of the book."""


class Outside:
    """One instrument's outside liquidity, less what we took of it.

    Attributes:
        quote: the newest; None before the first one, and after the feed lost sight.
        is_deep: whether levels behind the touch are known.
    """

    def __init__(self) -> None:
        self.quote: QuoteReceived | None = None
        self.is_deep = False
        self._bids: Depth = {}
        self._asks: Depth = {}
        self._last_id = 0
        self._taken_bids: Depth = {}
        self._taken_asks: Depth = {}

    @property
    def has_been_taken(self) -> bool:
        """Whether we took something that is still displayed."""
        return bool(self._taken_asks or self._taken_bids)

    def lose_sight(self) -> None:
        """Forget all that is displayed: the feed does not know it any more."""
        self.quote = None
        self._drop_depth()
        self._taken_asks.clear()
        self._taken_bids.clear()

    def touch(self, side: Side) -> Level | None:
        """Return best price and size that `side` rests at; None if nobody is known to."""
        quote = self.quote
        if quote is not None:
            level = (quote.bid, quote.bid_size) if side is Side.BUY else (quote.ask, quote.ask_size)
            return level if level[0] and level[1] else None
        if not self.is_deep:
            return None
        if side is Side.BUY:
            return max(self._bids.items(), default=None)
        return min(self._asks.items(), default=None)

    def reach(self, side: Side, limit: Decimal | None, quantity: Decimal) -> list[Level]:
        """Return what an order of `side` would get at once: prices and sizes, best first.

        Args:
            side: of the order; a buy meets the asks.
            limit: worst price it takes; None takes any.
            quantity: most it takes.
        """
        is_buy = side is Side.BUY
        touch = self.touch(Side.SELL if is_buy else Side.BUY)
        if touch is None or is_beyond(touch[0], limit, is_buy):
            return []
        taken = self._taken_asks if is_buy else self._taken_bids
        size = touch[1] - taken.get(touch[0], ZERO) if taken else touch[1]
        if size >= quantity:
            return [(touch[0], quantity)]
        found = [(touch[0], size)] if size > 0 else []
        if self.is_deep:
            self._reach_deeper(found, touch[0], limit, quantity - max(size, ZERO), is_buy)
        return found

    def take(self, side: Side, levels: list[Level]) -> None:
        """Remember that an order of `side` took these levels."""
        taken = self._taken_asks if side is Side.BUY else self._taken_bids
        for price, quantity in levels:
            taken[price] = taken.get(price, ZERO) + quantity

    def ahead_of(self, side: Side, price: Decimal) -> Decimal | None:
        """Return the size that rests before a new order of `side` at `price`; None: not known."""
        is_buy = side is Side.BUY
        touch = self.touch(side)
        if touch is None:  # nobody on our side, or nothing is known at all
            return None if self.quote is None else ZERO
        if price == touch[0]:
            return touch[1]
        if (price > touch[0]) is is_buy:
            return ZERO
        return self._deep_size(price, is_buy) if self.is_deep else None

    def refresh(self) -> None:
        """Give up what we had taken of levels that a new quote no longer displays."""
        if self._taken_asks:
            self._release(self._taken_asks, self.touch(Side.SELL), is_ask=True)
        if self._taken_bids:
            self._release(self._taken_bids, self.touch(Side.BUY), is_ask=False)

    def change(self, event: BookChanged) -> None:
        """Fold a book update in; a hole in the chain ends the depth until the next snapshot."""
        if event.is_snapshot:
            self._bids, self._asks = {}, {}
            self.is_deep = True
        elif not self.is_deep or 0 < event.last_id <= self._last_id:
            return
        elif event.previous_id != self._last_id and event.first_id > self._last_id + 1:
            self._drop_depth()
            return
        self._last_id = event.last_id
        for depth, levels in ((self._bids, event.bids), (self._asks, event.asks)):
            for price, size in levels:
                if size:
                    depth[price] = size
                else:
                    depth.pop(price, None)
        if self.has_been_taken:
            quote = self.quote
            self._clip(self._taken_asks, self._asks, None if quote is None else quote.ask)
            self._clip(self._taken_bids, self._bids, None if quote is None else quote.bid)

    def _reach_deeper(
        self,
        found: list[Level],
        touch: Decimal,
        limit: Decimal | None,
        wanted: Decimal,
        is_buy: bool,
    ) -> None:
        """Add levels behind the touch to `found`, best first, until `wanted` is there."""
        if is_buy:
            heap = [p for p in self._asks if p > touch and (limit is None or p <= limit)]
        else:  # negated: a heap gives its smallest
            heap = [-p for p in self._bids if p < touch and (limit is None or p >= limit)]
        heapify(heap)
        depth, taken = (self._asks, self._taken_asks) if is_buy else (self._bids, self._taken_bids)
        while heap and wanted > 0:
            price = heappop(heap) if is_buy else -heappop(heap)
            size = min(depth[price] - taken.get(price, ZERO), wanted)
            if size > 0:
                found.append((price, size))
                wanted -= size

    def _deep_size(self, price: Decimal, is_buy: bool) -> Decimal | None:
        """Return the size shown at a price behind the touch; None beyond the last known level."""
        depth = self._bids if is_buy else self._asks
        size = depth.get(price)
        if size is not None:
            return size
        is_covered = any(p < price for p in depth) if is_buy else any(p > price for p in depth)
        return ZERO if is_covered else None

    def _release(self, taken: Depth, touch: Level | None, *, is_ask: bool) -> None:
        if touch is None:
            taken.clear()
            return
        best, size = touch
        for price in list(taken):
            if price == best:
                taken[price] = min(taken[price], size)
            elif not self.is_deep or (price < best) is is_ask:
                del taken[price]

    def _clip(self, taken: Depth, depth: Depth, quoted: Decimal | None) -> None:
        """Hold what was taken to what is displayed; at the quoted price the quote rules."""
        for price in list(taken):
            if price != quoted:
                taken[price] = min(taken[price], depth.get(price, ZERO))
                if not taken[price]:
                    del taken[price]

    def _drop_depth(self) -> None:
        self.is_deep = False
        self._bids, self._asks = {}, {}


def is_beyond(price: Decimal, limit: Decimal | None, is_buy: bool) -> bool:
    """Return whether `price` is worse than an order with this limit takes."""
    if limit is None:
        return False
    return price > limit if is_buy else price < limit
