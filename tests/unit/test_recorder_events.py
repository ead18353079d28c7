"""JSON Lines for each component: complete, in order, one file a day, right after a crash too."""

import base64
import errno
import os
from pathlib import Path

import msgspec
import pytest

from schemas.errors import StateError
from schemas.users import USERS
from services.recorder.chain import Message
from services.recorder.events import SERVICES, EventLine, event_lines
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


def test_every_user_of_the_bus_has_a_file_of_its_own() -> None:
    assert set(USERS) == SERVICES


LONG = b'{"src":"%s-1"}' % (b"a" * 300)
"""A name that no file system takes for a file's."""


@pytest.mark.parametrize(
    "data", [b"{}", b'{"reason":"stop"}', b'{"src":"../../etc/x-1"}', b'{"src":"nobody-1"}', LONG]
)
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


@pytest.mark.parametrize("name", [b"record", rb"\u0072ecord"])
@pytest.mark.parametrize("form", [b"%s", b'[{"src":"gate-1"},%s]'])
def test_what_would_pass_for_the_number_of_its_record_is_kept_as_bytes(
    name: bytes, form: bytes
) -> None:
    data = form % (b'{"src":"gate-1","%s":999999}' % name)
    [line] = event_lines(1, message(data))
    assert line.component == "operator"
    assert msgspec.json.decode(line.line) == {
        "record": 1,
        "subject": "order.sim.paper",
        "payload_base64": base64.b64encode(data).decode(),
    }


def test_what_is_too_deep_to_be_read_everywhere_is_kept_as_bytes() -> None:
    deep, shallow = b'{"a":%s%s}' % (b"[" * 100, b"]" * 100), b'{"a":"%s"}' % (b"[" * 1_000)
    assert b"payload_base64" in event_lines(1, message(deep))[0].line
    assert event_lines(1, message(shallow))[0].line == b'{"record":1,' + shallow[1:] + b"\n"


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


def test_what_a_crash_before_midnight_kept_out_is_written_once_after_it(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.write(records(1, 2), NOON_NS)
    log.close()
    file = tmp_path / "gate_events.jsonl"
    file.write_bytes(file.read_bytes() + b'{"record":3,"torn')
    os.utime(file, ns=(NOON_NS, NOON_NS))
    for _ in range(2):  # a crash after the first repair, too
        again = opened(tmp_path)
        again.repair(records(1, 2, 3), NOON_NS + DAY_NS)
        again.close()
    aside = tmp_path / "gate_events.2024-10-04.jsonl"
    assert [line.split(",")[0] for line in aside.read_text().splitlines()] == [
        '{"record":1',
        '{"record":2',
    ]
    assert numbers_of(tmp_path) == [3]


@pytest.mark.parametrize("line", [b'{"record":1,"record":"x"}', b'{"record":1,"record":999999}'])
def test_the_number_of_a_line_is_the_one_we_wrote(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "gate_events.jsonl"
    file.write_bytes(line + b"\nno line of ours\n")
    log = opened(tmp_path)
    log.repair(records(1, 2, 3), NOON_NS)
    log.close()
    ours = [each for each in lines_of(tmp_path) if each.startswith('{"record"')]
    assert [int(each.split(",")[0].split(":")[1]) for each in ours] == [1, 2, 3]


def test_a_file_of_another_journal_keeps_nothing_out(tmp_path: Path) -> None:
    (tmp_path / "gate_events.jsonl").write_bytes(b'{"record":999,"n":1}\n')
    log = opened(tmp_path)
    log.repair(records(1, 2), NOON_NS)
    log.close()
    assert numbers_of(tmp_path)[1:] == [1, 2]


def test_a_file_that_cannot_be_written_keeps_nothing_out_of_the_others(tmp_path: Path) -> None:
    file = tmp_path / "gate_events.jsonl"
    file.mkdir()
    os.utime(file, ns=(NOON_NS, NOON_NS))
    log = opened(tmp_path)
    log.repair(records(1) + records(2, src="executor-1"), NOON_NS)
    log.write(records(3) + records(4, src="executor-1"), NOON_NS)
    assert log.troubles == {"gate": f"{file}: Is a directory"}
    assert numbers_of(tmp_path, "executor") == [2, 4]
    file.rmdir()
    log.write(records(5), NOON_NS)
    assert log.troubles == {}
    assert numbers_of(tmp_path) == [5]
    log.close()


def test_a_full_disk_is_no_trouble_of_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    log = opened(tmp_path)
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StateError, match="No space left on device"):
        log.write(records(1), NOON_NS)
    assert log.troubles == {}
    log.close()
