"""The recorder says what it records, and warns as soon as it cannot."""

import pytest

from schemas.base import NS_PER_MS, NS_PER_S, BootId, Event
from schemas.control import HaltAcknowledged, HaltRequested
from schemas.health import AlertRaised, RecorderReported, Severity
from schemas.isolation import PartFailed
from schemas.recording import (
    DurabilityRead,
    Hole,
    HolesFound,
    Kept,
    RecordingChanged,
    RecordingLagged,
    RecordingMarked,
    RecordsMissed,
)
from schemas.reports import UptimeMeasured
from schemas.restrictions import LockRequested
from services.core import NOTHING
from services.recorder.core import STALLED_NS, RecorderCore


def core(*, is_recording: bool = True) -> RecorderCore:
    made = RecorderCore(BootId("boot-1"))
    if is_recording:
        made.handle(RecordingChanged(at_ns=1, is_recording=True), 1)
    return made


def impeded(code: str = "SLU-141", detail: str = "the disk is full") -> RecordingChanged:
    return RecordingChanged(at_ns=2, is_recording=False, code=code, detail=detail)


def test_the_report_says_how_far_the_record_goes() -> None:
    recorder = core()
    recorder.handle(DurabilityRead(at_ns=2, is_durable=True, detail="synced"), 2)
    recorder.handle(RecordingMarked(at_ns=3, recorded_count=7, chain_head="ab"), 3)
    recorder.handle(RecordingLagged(at_ns=3, lag_count=2, behind={"ORDERS": 7}), 3)
    assert recorder.describe(9) == RecorderReported(
        at_ns=9,
        is_durable=True,
        detail="durable: synced",
        recorded_count=7,
        lag_count=2,
        chain_head="ab",
        last_recorded_ns=3,
    )


def test_it_is_not_ready_before_the_streams_are_open() -> None:
    assert core(is_recording=False).why_not_ready(0) == "the streams are being opened"
    assert core().why_not_ready(0) == ""


def test_a_recording_that_stopped_is_not_ready_and_alerts() -> None:
    recorder = core()
    assert recorder.handle(impeded(), 5) == [
        AlertRaised(
            at_ns=5,
            severity=Severity.CRITICAL,
            component="recorder",
            code="SLU-141",
            message="the disk is full",
        )
    ]
    assert recorder.why_not_ready(0) == "the disk is full"
    found = recorder.describe(6)
    assert (found.is_durable, found.detail) == (
        False,
        "NOT RECORDING: the disk is full; NOT DURABLE: not checked yet",
    )


def test_trouble_that_goes_on_alerts_once() -> None:
    recorder = core()
    recorder.handle(impeded(detail="9 bytes free"), 5)
    assert recorder.handle(impeded(detail="8 bytes free"), 6) == []
    assert recorder.why_not_ready(0) == "8 bytes free"


def test_trouble_of_another_kind_alerts_again() -> None:
    recorder = core()
    recorder.handle(impeded(), 5)
    assert len(recorder.handle(impeded("SLU-122", "no answer"), 6)) == 1


def test_trouble_that_comes_back_alerts_again() -> None:
    recorder = core()
    for event in (impeded(), RecordingChanged(at_ns=6, is_recording=True)):
        recorder.handle(event, 6)
    assert len(recorder.handle(impeded(), 7)) == 1


@pytest.mark.req("R-01")
def test_a_damaged_journal_halts_everything_and_locks() -> None:
    reason = "record 3 is not what was written"
    said = core().handle(impeded("SLU-140", reason), 5)
    assert said[:2] == [
        HaltRequested(at_ns=5, reason=reason, operator="recorder"),
        LockRequested(at_ns=5, component="recorder", code="SLU-140", reason=reason),
    ]


def test_messages_that_are_gone_halt_everything_and_lock() -> None:
    said = core().handle(RecordsMissed(at_ns=5, stream="ORDERS", expected_seq=5, got_seq=8), 5)
    reason = "messages 5 to 7 of ORDERS are gone, and not recorded"
    assert said[:2] == [
        HaltRequested(at_ns=5, reason=reason, operator="recorder"),
        LockRequested(at_ns=5, component="recorder", code="SLU-142", reason=reason),
    ]
    assert isinstance(said[2], AlertRaised)


def test_a_stream_that_lost_its_tail_halts_everything_and_locks() -> None:
    said = core().handle(RecordsMissed(at_ns=5, stream="FILLS", expected_seq=9, got_seq=4), 5)
    reason = "FILLS goes on at 4 where 9 was due: it has lost its tail"
    assert said[:2] == [
        HaltRequested(at_ns=5, reason=reason, operator="recorder"),
        LockRequested(at_ns=5, component="recorder", code="SLU-142", reason=reason),
    ]
    assert isinstance(said[2], AlertRaised)


def test_a_halt_is_acknowledged_by_the_recorder_too() -> None:
    recorder = core()
    recorder.handle(HaltRequested(at_ns=4), 4)
    assert recorder.handle(HaltRequested(at_ns=5), 5) == [
        HaltAcknowledged(at_ns=5, component="recorder", boot_id=BootId("boot-1"), halts=2, fence=0)
    ]


def test_what_is_not_durable_is_said_once() -> None:
    recorder = core()
    weak = DurabilityRead(at_ns=5, is_durable=False, detail="synced every two minutes")
    [alert] = recorder.handle(weak, 5)
    assert isinstance(alert, AlertRaised)
    assert (alert.severity, alert.message) == (
        Severity.INFO,
        "NOT DURABLE: synced every two minutes",
    )
    assert recorder.handle(weak, 6) == []


def test_a_recorder_waits_for_no_deadline() -> None:
    assert (core().wake_at_ns, core().wake(1)) == (None, NOTHING)


@pytest.mark.req("R-01", "O-05")
def test_a_shell_that_a_hanging_disk_has_silenced_is_not_recording() -> None:
    recorder = core()
    recorder.handle(RecordingMarked(at_ns=NS_PER_S, recorded_count=1, chain_head="a"), NS_PER_S)
    assert recorder.why_not_ready(NS_PER_S + STALLED_NS) == ""
    late_ns = NS_PER_S + STALLED_NS + NS_PER_MS
    assert recorder.why_not_ready(late_ns) == (
        "nothing was synced or looked at for 5001 ms: does a disk hang?"
    )
    assert not recorder.describe(late_ns).is_durable
    recorder.handle(RecordingMarked(at_ns=late_ns, recorded_count=2, chain_head="b"), late_ns)
    assert recorder.why_not_ready(late_ns) == ""


@pytest.mark.req("R-01", "O-05")
def test_a_shell_that_looks_on_while_nothing_comes_to_it_is_not_recording() -> None:
    recorder = core()
    for second in range(1, 9):
        at_ns = second * NS_PER_S
        recorder.handle(RecordingLagged(at_ns=at_ns, lag_count=3, behind={"ORDERS": 6}), at_ns)
        recorder.handle(RecordingMarked(at_ns=at_ns, recorded_count=9, chain_head="a"), at_ns)
    first_ns, late_ns = NS_PER_S, 8 * NS_PER_S
    assert recorder.why_not_ready(NS_PER_S + STALLED_NS) == ""
    why = "3 messages are stored, and none of ORDERS was recorded for 7000 ms"
    assert recorder.why_not_ready(late_ns) == why
    report = recorder.describe(late_ns)
    assert (report.last_recorded_ns, report.detail.startswith("NOT RECORDING")) == (first_ns, True)
    recorder.handle(RecordingMarked(at_ns=late_ns, recorded_count=10, chain_head="b"), late_ns)
    recorder.handle(RecordingLagged(at_ns=late_ns, lag_count=2, behind={"ORDERS": 7}), late_ns)
    assert recorder.why_not_ready(late_ns) == ""
    assert recorder.describe(late_ns).last_recorded_ns == late_ns


@pytest.mark.req("R-01", "O-05")
def test_a_stream_that_does_not_move_is_not_hidden_by_one_that_does() -> None:
    recorder = core()
    for second in range(1, 9):
        at_ns = second * NS_PER_S
        behind = {"ORDERS": 6, "AUDIT": second}
        recorder.handle(RecordingLagged(at_ns=at_ns, lag_count=9, behind=behind), at_ns)
        marked = RecordingMarked(at_ns=at_ns, recorded_count=second, chain_head="a")
        recorder.handle(marked, at_ns)
    why = "9 messages are stored, and none of ORDERS was recorded for 7000 ms"
    assert recorder.why_not_ready(8 * NS_PER_S) == why


def test_a_shell_that_keeps_up_is_never_stuck() -> None:
    recorder = core()
    for second in range(1, 20):
        at_ns = second * NS_PER_S
        behind = {"ORDERS": 6} if second % 2 else {}
        lagged = RecordingLagged(at_ns=at_ns, lag_count=3 * len(behind), behind=behind)
        recorder.handle(lagged, at_ns)
        recorder.handle(RecordingMarked(at_ns=at_ns, recorded_count=9, chain_head="a"), at_ns)
    assert recorder.why_not_ready(19 * NS_PER_S) == ""


def test_files_that_cannot_be_removed_are_told_and_stop_nothing() -> None:
    alert = AlertRaised(
        at_ns=5, severity=Severity.WARNING, component="recorder", code="SLU-141", message="x"
    )
    assert core().handle(PartFailed(at_ns=5, alert=alert), 5) == [alert]


def hole(number: int) -> Hole:
    return Hole(
        publisher=f"gate-{number}",
        subject="order.sim.paper",
        first_seq=5,
        last_seq=4 + number,
        missing_count=number,
    )


@pytest.mark.req("R-01", "O-05")
def test_holes_are_alerted_and_counted_and_halt_nothing() -> None:
    recorder = core()
    found = HolesFound(at_ns=5, holes=tuple(map(hole, range(1, 6))), unlisted_count=7)
    assert recorder.handle(found, 6) == [
        AlertRaised(
            at_ns=6,
            severity=Severity.WARNING,
            component="recorder",
            code="SLU-170",
            message="events did not reach the record: 1 of gate-1 on order.sim.paper (5), "
            "2 of gate-2 on order.sim.paper (5 to 6), 3 of gate-3 on order.sim.paper (5 to 7), "
            "and some on 2 other subjects, and 7 beyond these; see `sluice audit search --subject "
            "record.hole`",
        )
    ]
    assert recorder.why_not_ready(6) == ""
    assert recorder.describe(6).detail == (
        "NOT DURABLE: not checked yet; 22 events did not reach the record (SLU-170)"
    )


def beat(seq: int) -> UptimeMeasured:
    return UptimeMeasured(
        at_ns=1, src="reports-1", seq=seq, from_ns=0, until_ns=1, up_ns=1, ready_ns={}
    )


def look(recorder: RecorderCore, second: int, *kept: Kept) -> list[Event]:
    """Let the shell look at a second, where nothing is behind; return what is said."""
    at_ns = second * NS_PER_S
    lagged = RecordingLagged(at_ns=at_ns, lag_count=0, behind={}, newest={"AUDIT": 5}, kept=kept)
    said = list(recorder.handle(lagged, at_ns))
    recorder.handle(RecordingMarked(at_ns=at_ns, recorded_count=5, chain_head="a"), at_ns)
    return said


@pytest.mark.req("R-01", "O-05")
def test_a_bus_that_stores_nothing_of_what_it_carries_is_not_recording() -> None:
    recorder = core()
    recorder.handle(beat(1), NS_PER_S)
    said = [look(recorder, second) for second in range(1, 9)]
    why = (
        "the bus does not store what is published: report.uptime 1 of reports-1 was heard {} s ago "
        "and is in no stream: is JetStream full, or were the stream's settings changed?"
    )
    alert = AlertRaised(
        at_ns=7 * NS_PER_S,
        severity=Severity.CRITICAL,
        component="recorder",
        code="SLU-141",
        message=why.format(6),
    )
    assert said == [[], [], [], [], [], [], [alert], []]
    assert recorder.why_not_ready(8 * NS_PER_S) == why.format(7)
    assert recorder.describe(8 * NS_PER_S).detail.startswith(f"NOT RECORDING: {why.format(7)}")
    assert look(recorder, 9, Kept("reports-1", "report.uptime", 2)) == []
    assert recorder.why_not_ready(9 * NS_PER_S) == ""
    assert recorder.describe(9 * NS_PER_S).detail == "NOT DURABLE: not checked yet"


@pytest.mark.req("R-01", "O-05")
def test_what_was_heard_before_there_was_a_stream_for_it_is_not_waited_for() -> None:
    recorder = core(is_recording=False)
    recorder.handle(beat(1), NS_PER_S)
    recorder.handle(RecordingChanged(at_ns=2, is_recording=True), 2 * NS_PER_S)
    assert [look(recorder, second) for second in range(2, 20)] == [[]] * 18
    assert recorder.why_not_ready(19 * NS_PER_S) == ""
