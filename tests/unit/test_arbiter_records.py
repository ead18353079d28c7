"""A record of the control stream is a halt, an epoch, or something nobody can read: a halt."""

import pytest

from schemas.control import ControlRecordRead, EpochStarted, HaltRequested
from schemas.subjects import EPOCH_RECORD, HALT
from schemas.wire import encode
from services.breaker.control_log import ControlLog
from services.breaker.control_records import record_from
from tests.control_rig import ControlRig, halt


def read(subject: str, data: bytes) -> ControlRecordRead:
    return record_from(7, subject, data, stored_ns=100, now_ns=200)


def epoch(number: int) -> EpochStarted:
    return EpochStarted(at_ns=1, epoch=number, start_id="s", operator="kim", members={})


def test_a_stored_halt_is_told_with_the_time_it_was_stored_at() -> None:
    assert read(HALT, b'{"reason": "stop", "operator": "kim"}') == ControlRecordRead(
        at_ns=200,
        stream_seq=7,
        halt=HaltRequested(at_ns=100, reason="stop", operator="kim", payload_bytes=37),
    )


@pytest.mark.req("B-05")
@pytest.mark.parametrize("data", [b"", b"\xff", b'{"halt": false}', b"[]"])
def test_whatever_stands_on_the_halt_subject_is_a_halt(data: bytes) -> None:
    assert read(HALT, data).halt is not None
    assert read(f"{HALT}.planet.mars", data).halt is not None


def test_a_stored_epoch_is_told_by_its_number() -> None:
    assert read(EPOCH_RECORD, encode(epoch(5))) == ControlRecordRead(
        at_ns=200, stream_seq=7, epoch=5
    )


@pytest.mark.parametrize(
    ("subject", "data", "why"),
    [
        (EPOCH_RECORD, b"\x00", "it is no epoch: 1 bytes"),
        (EPOCH_RECORD, b"[]", "it is no epoch: 2 bytes"),
        (EPOCH_RECORD, encode(halt()), "it does not belong there: control.record.epoch"),
        ("control.other", b"{}", "it does not belong there: control.other"),
    ],
)
def test_a_record_that_cannot_be_read_is_a_halt(subject: str, data: bytes, why: str) -> None:
    found = read(subject, data).halt
    assert found is not None
    assert found.reason == f"record 7 of the control stream cannot be read: {why}"


def test_the_log_of_one_process_stands_in_for_the_stream() -> None:
    log = ControlLog()
    assert (log.wake_at_ns, log.wake(1), log.describe(1).is_ready) == (None, (), True)
    with pytest.raises(AssertionError, match="keeps no events"):
        log.restore(halt())


def test_the_log_tells_each_record_once() -> None:
    rig = ControlRig().ready()
    rig.tell(halt())
    rig.ask()
    rig.ask()
    told = [event for event in rig.kept if isinstance(event, ControlRecordRead)]
    assert [record.stream_seq for record in told] == [1]
