"""What was published and never reached the record is found by the publishers' own counts."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from schemas.base import NS_PER_S, AccountId, Event
from schemas.control import AccountMarked
from schemas.recording import Hole, HolesFound, Kept
from schemas.reports import UptimeMeasured
from schemas.streams import AUDIT
from schemas.subjects import SUBJECTS
from services.recorder import continuity
from services.recorder.chain import Message
from services.recorder.continuity import (
    BEATS,
    HOLES_MAX,
    ON_ITS_WAY_NS,
    SEQ_MAX,
    TELL_EVERY_NS,
    Continuity,
    Counted,
    Heard,
)
from services.recorder.events import EventLine, event_lines
from services.recorder.events_log import EventsLog
from services.runtime.rights import covers
from tests.builders import dec

pytestmark = pytest.mark.req("R-01")
SUBJECT, OTHER = "order.sim.paper", "exec.sim.paper"
NOW_NS = 20_000 * 86_400 * NS_PER_S


def counted(*seqs: int, src: str = "gate-1") -> list[Counted]:
    return [Counted(src, seq) for seq in seqs]


def hole(
    first_seq: int, last_seq: int, *, src: str = "gate-1", subject: str = SUBJECT, count: int = 0
) -> Hole:
    return Hole(
        publisher=src,
        subject=subject,
        first_seq=first_seq,
        last_seq=last_seq,
        missing_count=count or last_seq - first_seq + 1,
    )


def found(*holes: Hole, unlisted_count: int = 0) -> HolesFound:
    return HolesFound(at_ns=7, holes=holes, unlisted_count=unlisted_count)


def following(*seqs: int, src: str = "gate-1", subject: str = SUBJECT) -> Continuity:
    fold = Continuity()
    fold.follow(subject, counted(*seqs, src=src))
    return fold


def test_an_unbroken_count_has_no_hole() -> None:
    assert following(1, 2, 3).due(7) is None


def test_a_publisher_met_late_opens_its_count_where_it_is() -> None:
    assert following(41, 42).due(7) is None


def test_what_is_missing_between_two_events_is_a_hole() -> None:
    assert following(1, 2, 5).due(7) == found(hole(3, 4))


def test_a_repeat_or_a_late_one_changes_nothing() -> None:
    fold = following(1, 2, 5, 3, 4, 5, 2, 6)
    assert fold.due(7) == found(hole(3, 4))


def test_publishers_and_subjects_are_counted_apart() -> None:
    fold = following(1)
    fold.follow(SUBJECT, counted(2, src="gate-2"))
    fold.follow(OTHER, counted(3))
    fold.follow(SUBJECT, [*counted(2), *counted(3, src="gate-2")])
    fold.follow(OTHER, counted(5))
    assert fold.due(7) == found(hole(4, 4, subject=OTHER))


def test_holes_on_one_subject_are_one_that_says_how_many_are_missing() -> None:
    assert following(1, 3, 4, 8).due(7) == found(hole(2, 7, count=4))


def test_a_storm_of_holes_is_told_as_one_and_not_before_its_time() -> None:
    fold = following(1, 3)
    assert fold.due(7) == found(hole(2, 2))
    fold.note_told(7)
    fold.follow(SUBJECT, counted(*range(5, 1_000, 2)))
    assert fold.due(7 + TELL_EVERY_NS - 1) is None
    told = fold.due(7 + TELL_EVERY_NS)
    assert told == msgspec.structs.replace(found(hole(4, 998, count=498)), at_ns=7 + TELL_EVERY_NS)


def test_what_is_not_told_when_the_recording_ends_is_told_then() -> None:
    fold = following(1, 3)
    fold.note_told(7)
    fold.follow(SUBJECT, counted(5))
    assert fold.due(7, is_last=True) == found(hole(4, 4))


def test_what_could_not_be_recorded_is_due_again() -> None:
    fold = following(1, 3)
    assert fold.due(7) == fold.due(7) == found(hole(2, 2))


def test_holes_on_too_many_subjects_are_counted_together() -> None:
    fold = Continuity()
    subjects = [f"signal.s{number}.ALPHA" for number in range(HOLES_MAX + 3)]
    for subject in subjects:
        fold.follow(subject, counted(1, 4))
    listed = (hole(2, 3, subject=subject) for subject in subjects[:HOLES_MAX])
    assert fold.due(7) == found(*listed, unlisted_count=6)


def test_a_person_counts_nothing_whatever_number_they_write() -> None:
    for src in ("", "kim", "kim-1", "../x-1", "gate-" + "1" * 100):
        assert following(1, 9, src=src).due(7) is None


@pytest.mark.parametrize("subject", ["dead.letters", "control.halt", "control.halt.symbol.sim.A"])
def test_where_two_connections_of_a_service_speak_no_hole_is_seen(subject: str) -> None:
    assert following(1, 9, subject=subject).due(7) is None


def test_the_oldest_pairs_are_forgotten_and_open_their_count_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(continuity, "PAIRS_MAX", 2)
    fold = Continuity()
    for subject in ("report.uptime", SUBJECT, OTHER):
        fold.follow(subject, counted(1))
    fold.follow(SUBJECT, counted(3))
    fold.follow("report.uptime", counted(9))
    assert fold.kept() == (Kept("gate-1", "report.uptime", 9),)
    assert fold.due(7) == found(hole(2, 2))


def said(seq: bytes, src: bytes = b"gate-1") -> bytes:
    return b'{"type":"X","src":"%s","seq":%s}' % (src, seq)


def message(data: bytes, stream: str = "ORDERS", seq: int = 1) -> Message:
    return Message(stream, seq, SUBJECT, 5, data, 7)


NO_COUNTS = [b'"x"', b"null", b"-1", b"1.5", b"true", b"[1]", b"1e999", b"9" * 400]


@pytest.mark.parametrize("seq", [*NO_COUNTS, b"%d" % (SEQ_MAX + 1)])
def test_a_count_that_is_none_keeps_no_event_out_and_counts_nothing(seq: bytes) -> None:
    fold = following(1)
    line = EventLine("gate", b'{"record":1,' + said(seq)[1:] + b"\n")
    assert event_lines(1, message(said(seq)), fold) == [line]
    frame = b"[" + said(seq) + b"," + said(b"9") + b"]"
    assert event_lines(1, message(frame), fold)[0] == line
    assert fold.due(7) is None


def test_the_events_of_a_frame_are_followed() -> None:
    fold = following(1)
    event_lines(1, message(b"[" + said(b"2") + b"," + said(b"4") + b"]"), fold)
    assert fold.due(7) == found(hole(3, 3))


def test_prices_may_have_holes() -> None:
    fold = following(1)
    event_lines(1, message(said(b"9"), "MARKET"), fold)
    assert fold.due(7) is None


def test_an_event_that_is_only_kept_as_bytes_is_counted() -> None:
    fold = following(1)
    event_lines(1, message(b'{"src":"gate-1","seq":2,"record":7}'), fold)
    event_lines(2, message(said(b"3")), fold)
    assert fold.due(7) is None


def test_what_is_written_again_after_a_failure_is_no_hole(tmp_path: Path) -> None:
    fold = Continuity()
    records = [(n, message(said(b"%d" % n), seq=n)) for n in range(1, 7)]
    log = EventsLog(tmp_path, fold)
    log.write(records[:2], NOW_NS)
    log.repair(records[1:5], NOW_NS)
    log.write(records[5:], NOW_NS)
    log.close()
    assert fold.due(7) is None


MARKS = "risk.account.paper"
BREAKER = "breaker-1"


def marked(seq: int, src: str = BREAKER) -> Event:
    return AccountMarked(
        at_ns=1,
        src=src,
        seq=seq,
        account=AccountId("paper"),
        equity=dec(1),
        cash=dec(1),
        high_water_mark=dec(1),
        drawdown=dec(0),
    )


def kept(seq: int, src: str = BREAKER) -> list[Kept]:
    return [Kept(src, MARKS, seq)]


def looked(
    heard: Heard, second: float, kept: Sequence[Kept] = (), newest: int = 5, recorded: int = 5
) -> str:
    """Look at that second after the start; return what is said right after it."""
    at_ns = NOW_NS + round(second * NS_PER_S)
    heard.look(kept, newest_seq=newest, recorded_seq=recorded, at_ns=at_ns)
    return heard.why_not_stored(at_ns)


def hearing(*events: Event) -> Heard:
    """Return what heard one event a second from the start on, and nothing of it recorded yet."""
    heard = Heard()
    for second, event in enumerate(events):
        heard.hear(event, NOW_NS + second * NS_PER_S)
    return heard


WHY = (
    "the bus does not store what is published: risk.account.paper 1 of breaker-1 was heard 6 s ago "
    "and is in no stream: is JetStream full, or were the stream's settings changed?"
)


def test_all_that_beats_is_stored_by_the_stream_that_is_looked_at() -> None:
    subjects = [SUBJECTS[event] for event in BEATS]
    assert [any(covers(rule, each) for rule in AUDIT.subjects) for each in subjects] == [True] * 2


def test_what_was_heard_and_is_in_no_stream_is_said_after_a_while() -> None:
    heard = hearing(*map(marked, range(1, 8)))
    assert [looked(heard, second) for second in (1, 5, 6)] == ["", "", WHY]


def test_it_is_over_with_the_next_that_is_stored() -> None:
    heard = hearing(*map(marked, range(1, 8)))
    assert looked(heard, 6) == WHY
    assert [looked(heard, 7, kept(7)), looked(heard, 20, kept(7))] == ["", ""]


def test_what_is_recorded_is_stored_whichever_way_it_came_first() -> None:
    heard = Heard()
    assert looked(heard, 0, kept(1)) == ""
    heard.hear(marked(1), NOW_NS + NS_PER_S)
    assert [looked(heard, second, kept(1)) for second in (1, 9)] == ["", ""]


@pytest.mark.parametrize("src", [BREAKER, "breaker-2"], ids=["the same", "one that came later"])
def test_a_breaker_that_ended_with_its_last_word_lost_is_not_waited_for(src: str) -> None:
    """A server that died had sent the word on, and not stored it."""
    heard = hearing(marked(1), marked(2, src))
    assert looked(heard, 2, kept(2, src)) == ""
    assert looked(heard, 20, kept(2, src)) == ""


def test_another_publisher_is_as_good() -> None:
    uptime = UptimeMeasured(
        at_ns=1, src="reports-1", seq=1, from_ns=0, until_ns=1, up_ns=1, ready_ns={}
    )
    heard = hearing(uptime)
    assert looked(heard, 6).startswith(
        "the bus does not store what is published: report.uptime 1 of reports-1 was heard 6 s ago"
    )
    assert looked(heard, 7, [Kept("reports-1", "report.uptime", 1)]) == ""


def test_a_recorder_that_is_behind_says_nothing_of_the_bus() -> None:
    heard = hearing(*map(marked, range(1, 8)))
    said = [looked(heard, second, newest=90 + second, recorded=second) for second in range(1, 60)]
    assert said == [""] * 59


def test_a_recorder_that_has_caught_up_only_with_what_was_stored_before_says_nothing() -> None:
    heard = hearing(marked(1))
    assert looked(heard, 4, newest=90, recorded=1) == ""
    assert looked(heard, 60, newest=150, recorded=90) == ""  # all of the second 4, no later


def test_a_recorder_that_is_always_a_little_behind_says_it_all_the_same() -> None:
    heard = hearing(*map(marked, range(1, 8)))
    said = [looked(heard, second, newest=90 + second, recorded=89 + second) for second in range(8)]
    assert [bool(each) for each in said] == [False] * 7 + [True]


def test_a_stream_that_lost_its_tail_is_looked_at_on() -> None:
    heard = hearing()
    assert looked(heard, 0, newest=900, recorded=900) == ""
    heard.hear(marked(1), NOW_NS)
    assert looked(heard, 6, newest=2, recorded=2) == WHY


@pytest.mark.parametrize("made", [lambda: marked(0), lambda: marked(1, ""), lambda: marked(1, "x")])
def test_what_bears_no_count_of_a_service_is_not_waited_for(made: Callable[[], Event]) -> None:
    assert looked(hearing(made()), 60) == ""


def test_what_is_heard_is_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(continuity, "PAIRS_MAX", 2)
    heard = hearing(marked(1), marked(1, "breaker-2"), marked(1, "breaker-3"))
    assert looked(heard, 1 + ON_ITS_WAY_NS / NS_PER_S) == ""
    assert "of breaker-2 was heard 7 s ago" in looked(heard, 8)
