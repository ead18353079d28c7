"""An order book built from a snapshot and the updates that chain to it.

The rules are the venue's own (Binance, "How to manage a local order book correctly"):

- Updates that come before the snapshot wait for it; those the snapshot already holds are dropped.
- Where updates name their predecessor (`previous_id`, perpetuals), each must name the one before
  it; the first one must hold the snapshot's id.
- Where they do not (spot), each must begin right after the one before it ended; the first one must
  hold the id after the snapshot's.
- Anything else is a hole: the book is not to be trusted until the next snapshot.
"""

import enum
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from decimal import Decimal

from schemas.market import BookChanged, Level

WAITING_UPDATES_MAX = 1_000
"""Updates kept while there is no snapshot; at ten a second that is over a minute and a half."""

Top = tuple[Level | None, Level | None]
"""Best bid and best ask; None where nobody quotes."""


class Applied(enum.Enum):
    """What became of one update."""

    CHANGED = "changed"
    """The book is now as the venue had it at the update's `last_id`."""

    WAITS = "waits"
    """There is no snapshot yet, or none since the hole: kept for the next one."""

    OLD = "old"
    """The book held it already; nothing changed."""

    HOLE = "hole"
    """Updates are missing before it: the book is not to be trusted until the next snapshot."""


class BookSide:
    """The levels of one side, best price first to ask for.

    Args:
        is_bid: whether the highest price is the best.
    """

    __slots__ = ("_best_index", "_prices", "_sizes")

    def __init__(self, *, is_bid: bool) -> None:
        self._best_index = -1 if is_bid else 0
        self._prices: list[Decimal] = []  # ascending; inserting moves pointers only, so it is cheap
        self._sizes: dict[Decimal, Decimal] = {}

    def __len__(self) -> int:
        return len(self._prices)

    @property
    def best(self) -> Level | None:
        """The best price and what rests there; None if nothing does."""
        if not self._prices:
            return None
        price = self._prices[self._best_index]
        return price, self._sizes[price]

    def levels(self) -> list[Level]:
        """Return all levels, the lowest price first."""
        return [(price, self._sizes[price]) for price in self._prices]

    def replace(self, levels: Iterable[Level]) -> None:
        """Forget what was, and hold these levels."""
        self._sizes = {price: size for price, size in levels if size}
        self._prices = sorted(self._sizes)

    def change(self, levels: Iterable[Level]) -> None:
        """Set each level to its new size; 0 takes it away."""
        prices, sizes = self._prices, self._sizes
        for price, size in levels:
            if size:
                sizes[price] = size
                if len(sizes) > len(prices):  # it is new; to ask first would hash it twice
                    prices.insert(bisect_left(prices, price), price)
            elif sizes.pop(price, None) is not None:
                del prices[bisect_left(prices, price)]


class OrderBook:
    """One instrument's book.

    Attributes:
        last_id: the venue's number of the state that the book shows; 0 before the first snapshot.
        is_whole: whether it can be trusted: a snapshot came, and no update is missing since.
    """

    __slots__ = ("_is_first", "_waiting", "asks", "bids", "is_whole", "last_id")

    def __init__(self) -> None:
        self.bids = BookSide(is_bid=True)
        self.asks = BookSide(is_bid=False)
        self.last_id = 0
        self.is_whole = False
        self._is_first = False
        self._waiting: deque[BookChanged] = deque(maxlen=WAITING_UPDATES_MAX)

    @property
    def top(self) -> Top:
        """Best bid and best ask."""
        return self.bids.best, self.asks.best

    def apply(self, update: BookChanged) -> Applied:
        """Fold one snapshot or update in; return what became of it."""
        if update.is_snapshot:
            return self._start(update)
        if not self.is_whole:
            self._waiting.append(update)
            return Applied.WAITS
        if self._is_old(update):
            return Applied.OLD
        if not self._chains(update):
            self.is_whole = False
            self._waiting.append(update)
            return Applied.HOLE
        self._is_first = False
        self.last_id = update.last_id
        self.bids.change(update.bids)
        self.asks.change(update.asks)
        return Applied.CHANGED

    def _start(self, snapshot: BookChanged) -> Applied:
        """Begin anew from `snapshot`, and apply what had been waiting for it."""
        if self.is_whole and snapshot.last_id < self.last_id:
            return Applied.OLD
        self.bids.replace(snapshot.bids)
        self.asks.replace(snapshot.asks)
        self.last_id = snapshot.last_id
        self.is_whole = self._is_first = True
        waiting = list(self._waiting)
        self._waiting.clear()
        became = [self.apply(update) for update in waiting]
        return Applied.HOLE if Applied.HOLE in became else Applied.CHANGED

    def _is_old(self, update: BookChanged) -> bool:
        """Return whether the book holds all of `update` already."""
        if self._is_first and update.previous_id >= 0:
            # The venue's rule for perpetuals keeps the update that ends at the snapshot's id: it
            # changes nothing, and the one after it names it as its predecessor.
            return update.last_id < self.last_id
        return update.last_id <= self.last_id

    def _chains(self, update: BookChanged) -> bool:
        """Return whether nothing is missing between the book and `update`."""
        if update.previous_id >= 0:
            if update.previous_id == self.last_id:
                return True
            return self._is_first and update.first_id <= self.last_id
        if self._is_first:
            return update.first_id <= self.last_id + 1
        return update.first_id == self.last_id + 1
