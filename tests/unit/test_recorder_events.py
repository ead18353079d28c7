"""JSON Lines for each component: complete, in order, one file a day, right after a crash too."""

import os
from pathlib import Path

import pytest

from schemas.errors import StateError
from services.recorder.chain import Message
from services.recorder.events import EventLine, event_lines
from services.recorder.events_log import EventsLog

pytestmark = pytest.mark.req("R-02")
DAY_NS = 86_400 * 10**9
NOON_NS = 20_000 * DAY_NS + DAY_NS // 2  # 2024-10-04T12:00Z


def message(data: bytes, seq: int = 1) -> Message:
    return Message("ORDERS", seq, "order.sim.paper", 5, data, 7)


def said_by(src: str, number: int = 1) -> bytes:
    return b'{"type":"X","src":"%s","number":%d}' % (src.encode(), number)


def test_an_event_goes_to_the_file_of_who_published_it() -> None:
    assert event_lines(4, message(said_by("gate-0a1b"))) == [
        EventLine("gate", b'{"record":4,"type":"X","src":"gate-0a1b","number":1}\n')
    ]


def test_each_event_of_a_frame_has_its_own_line() -> None:
    frame = b"[" + said_by("gate-1", 1) + b"," + said_by("executor-1", 2) + b"]"
    assert [line.component for line in event_lines(1, message(frame))] == ["gate", "executor"]


@pytest.mark.parametrize("data", [b"{}", b'{"reason":"stop"}', b'{"src":"../../etc/x-1"}'])
def test_what_bears_no_name_of_a_service_is_a_persons(data: bytes) -> None:
    assert [line.component for line in event_lines(1, message(data))] == ["operator"]


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"not json", b"7", b"[1,2]", b'"x"', b"[" * 9])
def test_what_is_no_event_is_kept_all_the_same(data: bytes) -> None:
    [line] = event_lines(9, message(data))
    assert line.component == "operator"
    assert line.line.startswith(b'{"record":9,"subject":"order.sim.paper","payload_base64":"')


def test_an_event_written_by_hand_over_several_lines_becomes_one() -> None:
    [line] = event_lines(1, message(b' {\n "reason": "stop"\n}\n'))
    assert line.line == b'{"record":1,"reason":"stop"}\n'


def test_an_empty_object_stays_valid_json() -> None:
    assert event_lines(1, message(b"{}"))[0].line == b'{"record":1}\n'


def records(*numbers: int, src: str = "gate-1") -> list[tuple[int, Message]]:
    return [(n, message(said_by(src, n), n)) for n in numbers]


def lines_of(folder: Path, component: str = "gate") -> list[str]:
    return (folder / f"{component}_events.jsonl").read_text().splitlines()


def numbers_of(folder: Path, component: str = "gate") -> list[int]:
    return [int(line.split(",")[0].split(":")[1]) for line in lines_of(folder, component)]


def opened(folder: Path) -> EventsLog:
    return EventsLog(folder)


def test_events_are_in_the_file_when_the_write_returns(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.write(records(1, 2), NOON_NS)
    assert numbers_of(tmp_path) == [1, 2]
    log.write(records(3), NOON_NS)
    assert numbers_of(tmp_path) == [1, 2, 3]
    log.close()


def test_a_new_utc_day_puts_the_old_file_aside(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.write(records(1), NOON_NS)
    os.utime(tmp_path / "gate_events.jsonl", ns=(NOON_NS, NOON_NS))
    log.write(records(2), NOON_NS + DAY_NS)
    log.close()
    assert numbers_of(tmp_path) == [2]
    assert (tmp_path / "gate_events.2024-10-04.jsonl").read_text().startswith('{"record":1,')


def test_a_file_of_the_same_day_is_never_overwritten(tmp_path: Path) -> None:
    log = opened(tmp_path)
    for n in (1, 2):
        log.write(records(n), NOON_NS + n * DAY_NS)
        os.utime(tmp_path / "gate_events.jsonl", ns=(NOON_NS, NOON_NS))
    log.write(records(3), NOON_NS + 3 * DAY_NS)
    log.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        "gate_events.2024-10-04-2.jsonl",
        "gate_events.2024-10-04.jsonl",
        "gate_events.jsonl",
    ]


def test_records_that_a_crash_kept_out_are_written_once(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.write(records(1, 2), NOON_NS)
    log.close()
    again = opened(tmp_path)
    again.repair(records(1, 2, 3) + records(4, src="executor-1"), NOON_NS)
    again.close()
    assert (numbers_of(tmp_path), numbers_of(tmp_path, "executor")) == ([1, 2, 3], [4])


def test_a_frame_of_which_a_crash_left_half_is_completed(tmp_path: Path) -> None:
    frame = b"[" + b",".join(said_by("gate-1", n) for n in (1, 2, 3)) + b"]"
    log = opened(tmp_path)
    log.write([(1, message(frame))], NOON_NS)
    log.close()
    file = tmp_path / "gate_events.jsonl"
    whole = file.read_bytes()
    for kept_bytes in range(len(whole)):
        file.write_bytes(whole[:kept_bytes])
        again = opened(tmp_path)
        again.repair([(1, message(frame))], NOON_NS)
        again.close()
        assert file.read_bytes() == whole


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError) as caught:
        opened(tmp_path / "file" / "events")
    assert caught.value.code == "SLU-141"
