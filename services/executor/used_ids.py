"""Order ids that are used up for ever, in eight bytes each."""

from array import array
from bisect import bisect_left
from hashlib import blake2b

from schemas.base import OrderId

BYTES = 8
RECENT_MAX = 4_096


class UsedIds:
    """A set that only grows.

    What it holds is 64 bits of a hash: two of a million ids fall together once in tens of millions
    of such sets, and then an order is refused, never sent twice. The newest ids are in a set of
    their own; whenever it is full it becomes a sorted array, and arrays of like length become one,
    so that a look-up asks a few of them and each id is moved only now and then.
    """

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._sorted: list[array[int]] = []  # each less than half as long as the one before it

    def __len__(self) -> int:
        return len(self._recent) + sum(map(len, self._sorted))

    def __contains__(self, order_id: OrderId) -> bool:
        key = _key(order_id)
        return key in self._recent or any(_holds(each, key) for each in self._sorted)

    def add(self, order_id: OrderId) -> None:
        """Add an id; one that it holds changes nothing."""
        if order_id in self:
            return
        self._recent.add(_key(order_id))
        if len(self._recent) < RECENT_MAX:
            return
        newest = array("Q", sorted(self._recent))
        self._recent.clear()
        while self._sorted and len(self._sorted[-1]) <= 2 * len(newest):
            newest = array("Q", sorted([*self._sorted.pop(), *newest]))
        self._sorted.append(newest)


def _key(order_id: OrderId) -> int:
    return int.from_bytes(blake2b(order_id.encode(), digest_size=BYTES).digest(), "big")


def _holds(ordered: "array[int]", key: int) -> bool:
    at = bisect_left(ordered, key)
    return at < len(ordered) and ordered[at] == key
