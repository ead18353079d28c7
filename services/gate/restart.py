"""Whether this process goes on where another one ended, and what neither of them was there for."""

from schemas.base import NS_PER_S, Event
from schemas.health import LinkChanged

LATE_NS = 60 * NS_PER_S
"""A bus that is away is noticed so late at most, the difference of two clocks included."""


def covers(since_ns: int, missed_ns: int) -> bool:
    """Return whether who was there since then knows what was missed from that time on."""
    return since_ns + LATE_NS <= missed_ns


class Restart:
    """The time between the end of the process before and the beginning of this one.

    And each time that this one heard nothing, since it had no bus.

    Whoever wants to know asks to be woken at 0: that is before anything is heard, and after all
    that was kept has been told again.

    Attributes:
        seen_ns: time of the newest kept event that was told again: so long the process before this
            one is known to have been there. 0 in one that is the first.
        began_ns: when this process was told the time first; 0 before.
    """

    __slots__ = ("_deaf_ns", "began_ns", "seen_ns")

    def __init__(self) -> None:
        self.seen_ns = self.began_ns = 0
        self._deaf_ns: int | None = None

    def note(self, event: Event) -> None:
        """Take the time of a kept event, as long as those are told again."""
        if not self.began_ns:
            self.seen_ns = max(self.seen_ns, event.at_ns)

    def begins(self, now_ns: int) -> bool:
        """Return whether this process begins just now, and is not the first."""
        if self.began_ns:
            return False
        self.began_ns = now_ns
        return self.seen_ns > 0

    def deaf_ns(self, event: LinkChanged, now_ns: int) -> int | None:
        """Return since when nothing was heard, once the bus is back; None otherwise."""
        if not event.is_up:
            self._deaf_ns = now_ns if self._deaf_ns is None else self._deaf_ns
            return None
        since_ns, self._deaf_ns = self._deaf_ns, None
        return since_ns
