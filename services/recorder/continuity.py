"""What was published and is not in the record: by the publishers' own counts, followed (ADR 2).

Two folds, both pure. `Continuity` follows what was recorded and finds the holes in it; a hole is
seen with the next event behind it. `Heard` follows what the bus itself brings, and finds that it
comes out of no stream: the bus carries on then, and nothing is behind any hole.
"""

from collections.abc import Iterable
from typing import Annotated

import msgspec

from schemas.base import NS_PER_S, Event
from schemas.control import AccountMarked
from schemas.recording import Hole, HolesFound, Kept
from schemas.reports import UptimeMeasured
from schemas.streams import AUDIT
from schemas.subjects import DEAD_LETTERS, SUBJECTS, subject_of
from schemas.users import USERS
from schemas.wire import is_halting

PAIRS_MAX = 65_536
"""Publisher and subject pairs followed at once; beyond it the oldest are forgotten."""

HOLES_MAX = 256
"""Pairs that one telling of holes names; those beyond it are counted together."""

TELL_EVERY_NS = 10 * NS_PER_S
"""Between two tellings. The first hole after a silence is told at once, a storm as one."""

ON_ITS_WAY_NS = 5 * NS_PER_S
"""Longest that what is published may be on its way into its stream."""

SEQ_MAX = 1 << 48
"""A count beyond it is none: at a million events a second it takes nine years to get there."""

BEATS: tuple[type[Event], ...] = (AccountMarked, UptimeMeasured)
"""Light, said by somebody all the time: each second while anything is held, each minute else."""

BEATS_STREAM = AUDIT.name
"""Stores them all."""

_BEATS_ON = tuple(SUBJECTS[event].rstrip("*") for event in BEATS)
_SRC_CHARS_MAX = 100
_SERVICES = frozenset(USERS)
_Pair = tuple[str, str]
"""Publisher, subject."""


class Counted(msgspec.Struct):
    """Who published an event, and the how manieth of theirs on its subject it is; 0: not said."""

    src: str = ""
    seq: Annotated[int, msgspec.Meta(ge=0, le=SEQ_MAX)] = 0


class Continuity:
    """The last count recorded of each publisher on each subject, and the holes not yet told.

    The first event of a pair opens its count, whatever it is: a recorder that was restarted begins
    with nothing, and cannot tell what came before its time from what never came. So what a
    publisher loses before its first event on a subject, and around a restart of ours, stays
    unseen. A repeat or a late one changes nothing.
    """

    def __init__(self) -> None:
        self._last: dict[_Pair, int] = {}
        self._beats: dict[_Pair, None] = {}
        self._holes: dict[_Pair, Hole] = {}
        self._unlisted_count = 0
        self._due_ns = 0

    def follow(self, subject: str, events: Iterable[Counted]) -> None:
        """Take in the events of one message that was recorded."""
        last = self._last
        for event in events:
            seq = event.seq
            if seq:
                pair = (event.src, subject)
                before = last.get(pair)
                if before is None:
                    self._open(pair, seq)
                elif seq > before:
                    last[pair] = seq
                    if seq != before + 1:
                        self._miss(pair, before + 1, seq - 1)

    def kept(self) -> tuple[Kept, ...]:
        """Return the newest recorded of each pair that beats."""
        return tuple(Kept(*pair, self._last[pair]) for pair in self._beats)

    def due(self, now_ns: int, *, is_last: bool = False) -> HolesFound | None:
        """Return the holes to be recorded and told now; None while there are none, or too soon.

        Args:
            now_ns: in ns since the epoch.
            is_last: whether nobody may ask for a while: then it is not too soon.
        """
        if not self._holes or (now_ns < self._due_ns and not is_last):
            return None
        holes = tuple(self._holes.values())
        return HolesFound(at_ns=now_ns, holes=holes, unlisted_count=self._unlisted_count)

    def note_told(self, now_ns: int) -> None:
        """Forget the holes that were due: they are in the record."""
        self._holes, self._unlisted_count = {}, 0
        self._due_ns = now_ns + TELL_EVERY_NS

    def _open(self, pair: _Pair, seq: int) -> None:
        src, subject = pair
        if not _is_followed(src):
            return
        self._last[pair] = seq
        if subject.startswith(_BEATS_ON):
            self._beats[pair] = None
        if len(self._last) > PAIRS_MAX:
            oldest = next(iter(self._last))
            del self._last[oldest]
            self._beats.pop(oldest, None)

    def _miss(self, pair: _Pair, first_seq: int, last_seq: int) -> None:
        publisher, subject = pair
        if subject == DEAD_LETTERS or is_halting(subject):
            return  # two connections of a service speak there, and each counts for itself
        count = last_seq - first_seq + 1
        known = self._holes.get(pair)
        if known is not None:
            first_seq, count = known.first_seq, known.missing_count + count
        elif len(self._holes) == HOLES_MAX:
            self._unlisted_count += count
            return
        self._holes[pair] = Hole(
            publisher=publisher,
            subject=subject,
            first_seq=first_seq,
            last_seq=last_seq,
            missing_count=count,
        )


def _is_followed(src: str) -> bool:
    """Whether it is a service's name: whatever number a person writes counts nothing."""
    return src.rpartition("-")[0] in _SERVICES and len(src) <= _SRC_CHARS_MAX


class Heard:
    """What the bus itself brought, and what of it is in no stream.

    Each pair waits with the first that is heard of it until that, or a later one, is recorded. One
    that is recorded ends the waiting of all that were heard before it: the bus stores again, and
    what it has lost meanwhile is a hole.
    """

    def __init__(self) -> None:
        self._waiting: dict[_Pair, tuple[int, int]] = {}  # count, and when heard; oldest first
        self._kept: dict[_Pair, int] = {}
        self._whole_ns = 0
        self._mark_seq = self._mark_ns = 0

    def hear(self, event: Event, now_ns: int) -> None:
        """Take in an event that beats, as the bus brought it."""
        pair = (event.src, subject_of(event))
        if self._kept.get(pair, 0) < event.seq <= SEQ_MAX and _is_followed(event.src):
            self._waiting.setdefault(pair, (event.seq, now_ns))
        if len(self._waiting) > PAIRS_MAX:
            del self._waiting[next(iter(self._waiting))]

    def look(self, kept: Iterable[Kept], *, newest_seq: int, recorded_seq: int, at_ns: int) -> None:
        """Take in one look at the stream of the beats.

        Args:
            kept: the newest recorded of each pair, not before the look.
            newest_seq: of the messages that the stream held.
            recorded_seq: of those that were recorded.
            at_ns: when the look began, in ns since the epoch.
        """
        self._kept = {(each.publisher, each.subject): each.seq for each in kept}
        stored_ns = -1
        for pair, (seq, heard_ns) in self._waiting.items():
            if self._kept.get(pair, 0) >= seq:
                stored_ns = heard_ns
        self._waiting = {p: each for p, each in self._waiting.items() if each[1] > stored_ns}
        if recorded_seq >= newest_seq:
            self._whole_ns = at_ns
        elif recorded_seq >= self._mark_seq:
            self._whole_ns = self._mark_ns
        else:
            return  # the recording is behind: what is not recorded may well be stored
        self._mark_seq, self._mark_ns = newest_seq, at_ns

    def why_not_stored(self, now_ns: int) -> str:
        """Return what was heard and is in no stream, in words; empty while nothing is.

        Said only where all is recorded that was stored until well after it was heard: neither a
        slow disk of ours nor a backlog looks like that.
        """
        oldest = next(iter(self._waiting.items()), None)
        if oldest is None:
            return ""
        (publisher, subject), (seq, heard_ns) = oldest
        if self._whole_ns - heard_ns <= ON_ITS_WAY_NS:
            return ""
        ago_s = (now_ns - heard_ns) // NS_PER_S
        return (
            f"the bus does not store what is published: {subject} {seq} of {publisher} was heard "
            f"{ago_s} s ago and is in no stream: is JetStream full, or were the stream's settings "
            "changed?"
        )
