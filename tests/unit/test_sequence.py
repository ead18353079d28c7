"""Holes in what others publish are found, announced once, and counted."""

from collections.abc import Sequence

import msgspec
import pytest

from schemas.base import Event
from schemas.health import GapSeen
from services.runtime import sequence
from services.runtime.sequence import Sequences
from tests.builders import quote

SUBJECT = "market.sim.ALPHA.quote"


def numbered(seq: int, src: str = "feed-1") -> Event:
    return msgspec.structs.replace(quote(), src=src, seq=seq)


def gap(expected_seq: int, got_seq: int, publisher: str = "feed-1") -> GapSeen:
    return GapSeen(
        at_ns=7, subject=SUBJECT, publisher=publisher, expected_seq=expected_seq, got_seq=got_seq
    )


def take(sequences: Sequences, *events: Event) -> Sequence[Event]:
    return sequences.with_gaps(events, subject=SUBJECT, now_ns=7)


def test_an_unbroken_count_passes_as_it_is() -> None:
    events = (numbered(1), numbered(2), numbered(3))
    assert take(Sequences(), *events) == events


def test_a_publisher_met_late_opens_its_count_where_it_is() -> None:
    assert take(Sequences(), numbered(41), numbered(42)) == (numbered(41), numbered(42))


@pytest.mark.req("R-01")
def test_whoever_was_heard_from_its_first_has_a_hole_before_a_subject_that_opens_late() -> None:
    sequences = Sequences()
    sequences.with_gaps([numbered(1)], subject="health.feed", now_ns=6)
    assert take(sequences, numbered(3), numbered(4)) == [gap(1, 3), numbered(3), numbered(4)]
    assert sequences.gap_count == 0, "it may have begun the other just when we came"
    assert take(Sequences(), numbered(3)) == (numbered(3),), "met late: who knows"


def test_while_subscriptions_are_still_made_everybody_is_met_late() -> None:
    sequences = Sequences(is_listening=False)
    sequences.with_gaps([numbered(1)], subject="health.feed", now_ns=6)
    sequences.is_listening = True
    assert take(sequences, numbered(3)) == (numbered(3),)


def test_publishers_are_remembered_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence, "STREAMS_MAX", 1)
    sequences = Sequences()
    for src in ("feed-1", "feed-2"):
        sequences.with_gaps([numbered(1, src)], subject="health.feed", now_ns=6)
    assert take(sequences, numbered(3)) == (numbered(3),), "forgotten, and met late again"


@pytest.mark.req("R-01")
def test_a_hole_is_announced_before_the_event_behind_it() -> None:
    sequences = Sequences()
    found = take(sequences, numbered(1), numbered(4), numbered(5))
    assert found == [numbered(1), gap(2, 4), numbered(4), numbered(5)]
    assert sequences.gap_count == 1


def test_two_holes_in_one_frame_are_both_announced() -> None:
    found = take(Sequences(), numbered(1), numbered(3), numbered(9))
    assert found == [numbered(1), gap(2, 3), numbered(3), gap(4, 9), numbered(9)]


def test_a_hole_between_two_messages_is_announced_too() -> None:
    sequences = Sequences()
    take(sequences, numbered(1))
    assert take(sequences, numbered(3)) == [gap(2, 3), numbered(3)]


def test_a_repeat_or_a_late_event_is_no_hole() -> None:
    sequences = Sequences()
    take(sequences, numbered(1), numbered(2))
    assert take(sequences, numbered(1), numbered(2)) == (numbered(1), numbered(2))
    assert take(sequences, numbered(3)) == (numbered(3),)


def test_each_publisher_has_a_count_of_its_own() -> None:
    sequences = Sequences()
    take(sequences, numbered(7), numbered(1, "feed-2"))
    assert take(sequences, numbered(3, "feed-2")) == [
        gap(2, 3, "feed-2"),
        numbered(3, "feed-2"),
    ]


def test_each_subject_has_a_count_of_its_own() -> None:
    sequences = Sequences()
    take(sequences, numbered(7))
    events = (numbered(1),)
    assert sequences.with_gaps(events, subject="market.sim.BETA.quote", now_ns=7) is events


def test_events_that_nobody_numbered_are_not_followed() -> None:
    events = (quote(), quote())
    assert take(Sequences(), *events) == events


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence, "STREAMS_MAX", 2)
    sequences = Sequences()
    for number in range(50):
        take(sequences, numbered(1, f"feed-{number}"))
    assert len(sequences._last) == 2
