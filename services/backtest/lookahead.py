"""What stands between a strategy and the future: the feed, which only the runtime may read."""

import sys
from collections.abc import Iterable, Iterator

from schemas.base import Event
from services.runtime.fused import Fused
from services.system import FusedSystem

_READERS = frozenset(each.run.__code__.co_filename for each in (Fused, FusedSystem))


class LookAheadError(RuntimeError):
    """Somebody else than the runtime asked for the next event: its strategy ends here."""


class Sealed:
    """A feed that hands its next event to the runtime alone.

    A strategy is told what has happened and holds nothing that leads further; but Python lets code
    walk from its callers to their variables, and so to the feed. Whoever gets there and asks for
    what comes next is refused, and nothing of the feed is used up.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        self.__next = iter(events).__next__

    def __iter__(self) -> Iterator[Event]:
        """Return itself: there is one way through a feed."""
        return self

    def __next__(self) -> Event:
        """Return the next event, to the runtime.

        Raises:
            LookAheadError: the caller is somebody else.
        """
        if sys._getframe(1).f_code.co_filename not in _READERS:
            raise LookAheadError("the feed beyond now is closed to strategies")
        return self.__next()
