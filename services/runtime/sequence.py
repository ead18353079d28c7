"""Holes in what a publisher has said: every event carries its publisher's count on its subject."""

from collections.abc import Sequence

from schemas.base import Event
from schemas.health import GapSeen

STREAMS_MAX = 65_536
"""Publisher and subject pairs followed at once; beyond it the oldest are forgotten."""


class Sequences:
    """The last count seen of each publisher on each subject.

    Args:
        is_listening: whether every subscription stands. Before that a publisher's first event may
            be heard, and the first of another of its subjects missed: that is coming late.

    Attributes:
        gap_count: holes seen so far that are surely some.
        is_listening: as given, until the runtime knows better.
    """

    def __init__(self, *, is_listening: bool = True) -> None:
        self.gap_count = 0
        self.is_listening = is_listening
        self._last: dict[tuple[str, str], int] = {}
        self._is_young: dict[str, bool] = {}  # by publisher: whether we heard it from its first on

    def with_gaps(self, events: Sequence[Event], *, subject: str, now_ns: int) -> Sequence[Event]:
        """Return the events, each hole announced by a `GapSeen` before the event behind it.

        The first event of a publisher opens its count, whatever it is: we may have come late.
        Where the first we heard of it was its first on some subject, we most likely had not, and
        each of its subjects begins at 1 for us: what comes first with a higher count has a hole
        before it. Cores are told, since they must not miss a thing; it is not counted, since a
        publisher may have begun a subject just when we came.
        A repeat or a late one changes nothing; cores know their repeats by id.
        """
        last = self._last
        found: list[Event] | None = None
        for at, event in enumerate(events):
            if event.seq:
                key = (event.src, subject)
                before = last.get(key)
                is_sure = before is not None
                if before is None:
                    before = self._opened(event)
                if event.seq == before + 1:
                    last[key] = event.seq
                elif event.seq > before:
                    last[key] = event.seq
                    self.gap_count += is_sure
                    found = [*events[:at]] if found is None else found
                    found.append(self._gap(event, subject, before + 1, now_ns))
            if found is not None:
                found.append(event)
        if len(last) > STREAMS_MAX:
            del last[next(iter(last))]
        return events if found is None else found

    def _opened(self, event: Event) -> int:
        """Return the count before a subject's first event; of a publisher met late, any will do."""
        young = self._is_young
        if event.src not in young:
            young[event.src] = self.is_listening and event.seq == 1
            if len(young) > STREAMS_MAX:
                del young[next(iter(young))]
        return 0 if young[event.src] else event.seq - 1

    def _gap(self, event: Event, subject: str, expected_seq: int, now_ns: int) -> GapSeen:
        return GapSeen(
            at_ns=now_ns,
            subject=subject,
            publisher=event.src,
            expected_seq=expected_seq,
            got_seq=event.seq,
        )
