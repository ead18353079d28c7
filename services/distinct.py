"""Ids that were seen, for ever, in eight bytes each."""

from array import array
from bisect import bisect_left

RECENT_MAX = 4_096


class Distinct:
    """A set of ids that only grows.

    What it holds is their hashes, 64 bits that no two processes compute alike: two of a million ids
    fall together in one of tens of millions of such sets. Then an order is refused, never sent
    twice, or an execution is left out, and the comparison with the venue finds it. The newest are
    in a set of their own; whenever that is full it becomes a sorted array, and arrays of like
    length become one, so that a look-up asks a few of them and each id is moved only now and then.
    """

    __slots__ = ("_recent", "_sorted")

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._sorted: list[array[int]] = []  # each less than half as long as the one before it

    def __len__(self) -> int:
        return len(self._recent) + sum(map(len, self._sorted))

    def __contains__(self, each: str) -> bool:
        key = hash(each)
        return key in self._recent or (bool(self._sorted) and self._has_sorted(key))

    def add(self, each: str) -> bool:
        """Add an id; return False, and change nothing, if it is there already."""
        key = hash(each)
        if key in self._recent or (self._sorted and self._has_sorted(key)):
            return False
        self._recent.add(key)
        if len(self._recent) >= RECENT_MAX:
            self._sort()
        return True

    def _has_sorted(self, key: int) -> bool:
        for ordered in self._sorted:
            at = bisect_left(ordered, key)
            if at < len(ordered) and ordered[at] == key:
                return True
        return False

    def _sort(self) -> None:
        newest = array("q", sorted(self._recent))
        self._recent.clear()
        while self._sorted and len(self._sorted[-1]) <= 2 * len(newest):
            newest = array("q", sorted([*self._sorted.pop(), *newest]))
        self._sorted.append(newest)
