"""What a core is, and the one way to call it. All a runtime knows about a service is here."""

from collections.abc import Sequence
from typing import Protocol

from schemas.base import Event

NOTHING: Sequence[Event] = ()
"""What most events are answered with; shared, so that saying nothing costs nothing."""


class Core(Protocol):
    """A service without its I/O: told what happened and what time it is.

    A core never reads a clock, draws a random number, logs, or awaits. Given the same calls in
    the same order it returns the same events, always.
    """

    hears: frozenset[type[Event]]
    """The events it wants to be told; a runtime tells it no others."""

    keeps: frozenset[type[Event]]
    """The events, heard or said, whose fold is its state; journalled in that order."""

    wake_at_ns: int | None
    """When to call `wake`, in ns since the epoch; `None` while nothing is due."""

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Take one event in; return what follows from it, in publishing order."""

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Act on a deadline that has come, and move it; return what follows."""

    def restore(self, event: Event) -> None:
        """Fold one kept event of the journal back in, oldest first, before anything is told."""

    def describe(self, now_ns: int) -> Event:
        """Return what this service answers to `query.<service>`; changes nothing."""


def earliest(*deadlines_ns: int | None) -> int | None:
    """Return the first of some deadlines; None when none is set."""
    first_ns: int | None = None
    for due_ns in deadlines_ns:
        if due_ns is not None and (first_ns is None or due_ns < first_ns):
            first_ns = due_ns
    return first_ns


def tell(core: Core, event: Event | None, now_ns: int) -> Sequence[Event]:
    """Return what the core says to `event` at `now_ns`; a deadline that is due speaks first.

    Every runtime calls its cores through here, so that no two runtimes can differ in it.
    """
    deadline_ns = core.wake_at_ns
    if deadline_ns is None or deadline_ns > now_ns:
        return NOTHING if event is None else core.handle(event, now_ns)
    said = list(core.wake(now_ns))
    moved_ns = core.wake_at_ns
    assert moved_ns is None or moved_ns > now_ns, "a woken core must move its deadline"
    if event is not None:
        said += core.handle(event, now_ns)
    return said
