"""The CONTROL stream and the arbiter's shell before it, in a simulation: both outlive the arbiter.

It stores what a server would store, and may lose the end of it with the power.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

import msgspec

from schemas.base import Event
from schemas.control import (
    ControlSequenceAsked,
    ControlSequenceRead,
    EpochProposed,
    EpochRefused,
)
from schemas.health import LinkChanged
from services.breaker.control_log import ControlLog

TAIL_MAX = 2
"""How many records a server loses at the most; what a single power cut may take."""


class Stored(NamedTuple):
    """One record of the stream."""

    at_ns: int
    """When the server stored it, by the true time."""

    event: Event
    """What was published; for an epoch, its proposal."""


class StoredLog(ControlLog):
    """The control stream of a server that can lose its end."""

    @property
    def count(self) -> int:
        """How many records there are."""
        return len(self._records)

    def lose(self, count: int) -> None:
        """Forget the newest records."""
        told_ns = self._stored_ns[self._told_count - 1] if self._told_count else 0
        left = self.count - count
        del self._records[left:], self._stored_ns[left:]
        self.resume(self._told_count, told_ns)

    def resume(self, seq: int, stored_ns: int) -> None:
        """Tell what comes after record `seq`, which was stored at this time.

        Where that is gone, the newest of what is left is told again; where another one has its
        place, that one.
        """
        if seq > self.count:
            self.rewind(self.count - 1)
        elif seq and stored_ns not in (0, self._stored_ns[seq - 1]):
            self.rewind(seq - 1)
        else:
            self.rewind(seq)


class Stream:
    """The stream as a core; its shell reads on where the arbiter that came back had read to.

    Args:
        log: the records.
        position: returns the control record that the breaker was told last, and when it was stored.
        is_disk_full: whether nothing can be stored now.

    Attributes:
        stored: what stands on the stream now, oldest first; for whoever checks a run.
    """

    keeps: frozenset[type[Event]] = frozenset()

    def __init__(
        self,
        log: StoredLog,
        position: Callable[[], tuple[int, int]],
        is_disk_full: Callable[[], bool],
    ) -> None:
        self.hears = log.hears | {LinkChanged}
        self.wake_at_ns: int | None = None
        self.stored: list[Stored] = []
        self._log = log
        self._position = position
        self._is_disk_full = is_disk_full

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Store, or read; with the arbiter's return, read by itself, as its shell does."""
        if isinstance(event, ControlSequenceAsked):
            return self._read(event, now_ns)
        if isinstance(event, LinkChanged):
            if not event.is_up:
                return ()
            self._log.resume(*self._position())
            return self._read(ControlSequenceAsked(at_ns=now_ns, read_id=0), now_ns)
        if self._is_disk_full():
            return _no_room(event, now_ns)
        if not isinstance(event, EpochProposed):  # the server knows only when it stored it
            event = msgspec.structs.replace(event, at_ns=now_ns)
        return self._store(event, now_ns)

    def lose_tail(self, seed: int) -> int:
        """Lose none, one or two of the newest records; return how many."""
        count = max(0, min(Random(seed).randint(0, TAIL_MAX), len(self.stored) - 1))
        if count:
            self._log.lose(count)
            del self.stored[len(self.stored) - count :]
        return count

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Nothing is ever due."""
        return ()

    def restore(self, event: Event) -> None:
        """Nothing is kept: the server outlives everything here."""
        raise AssertionError("the stream keeps no events")

    def describe(self, now_ns: int) -> Event:
        """Return that it is there."""
        return self._log.describe(now_ns)

    def _store(self, event: Event, now_ns: int) -> Sequence[Event]:
        before = self._log.count
        said = self._log.handle(event, now_ns)
        if self._log.count > before:
            self.stored.append(Stored(now_ns, event))
        assert len(self.stored) == self._log.count, "one record, one note of it"
        return said

    def _read(self, asked: ControlSequenceAsked, now_ns: int) -> Sequence[Event]:
        said = self._log.handle(asked, now_ns)
        if not self._is_disk_full():
            return said
        return [
            msgspec.structs.replace(each, disk_free_bytes=0)
            if isinstance(each, ControlSequenceRead)
            else each
            for each in said
        ]


def _no_room(event: Event, now_ns: int) -> Sequence[Event]:
    if isinstance(event, EpochProposed):
        return [EpochRefused(at_ns=now_ns, epoch=event.start.epoch, detail="the disk is full")]
    return ()
