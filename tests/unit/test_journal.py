"""The journal gives back what was written, or says which line it cannot."""

import errno
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.base import Event
from schemas.control import EpochEnded
from schemas.errors import StateError
from schemas.executions import IntentRecorded
from services.runtime.journal import Journal
from tests.builders import order


def ended(number: int) -> EpochEnded:
    return EpochEnded(at_ns=number, epoch=number, reason="a member restarted")


EVENTS: list[Event] = [ended(1), IntentRecorded(at_ns=2, order=order(), epoch=1), ended(3)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "gate.jsonl"


@pytest.fixture
def written(path: Path) -> Path:
    """A journal of three events, closed."""
    journal = fresh(path)
    journal.append(EVENTS[:2])
    journal.append(EVENTS[2:], fsync=True)
    journal.close()
    return path


def fresh(path: Path) -> Journal:
    journal = Journal(path)
    assert list(journal.read()) == []
    return journal


def read_back(path: Path) -> tuple[list[Event], str]:
    journal = Journal(path)
    try:
        return list(journal.read()), journal.cut_off
    finally:
        journal.close()


@pytest.mark.req("R-01", "S-13")
def test_what_was_appended_is_read_back_in_order(written: Path) -> None:
    assert read_back(written) == (EVENTS, "")


def test_each_line_is_one_json_object_with_its_checksum(written: Path) -> None:
    [first, *_] = written.read_text().splitlines()
    assert set(json.loads(first)) == {"crc", "event"}
    assert '"event":{"type":"EpochEnded","at_ns":1,"epoch":1' in first


def test_a_journal_goes_on_after_a_restart(written: Path) -> None:
    journal = Journal(written)
    assert list(journal.read()) == EVENTS
    journal.append([ended(4)])
    journal.close()
    assert read_back(written) == ([*EVENTS, ended(4)], "")


def test_only_its_owner_can_read_a_journal(written: Path) -> None:
    assert written.stat().st_mode & 0o777 == 0o600


@pytest.mark.req("R-01")
@pytest.mark.parametrize("cut", [1, 2, 40])
def test_a_write_cut_short_is_cut_off_and_reported(written: Path, cut: int) -> None:
    whole = written.read_bytes()
    size = len(whole.splitlines(keepends=True)[2])
    written.write_bytes(whole[:-cut])
    reported = f"{written} line 3: {size - cut} bytes of a write cut short"
    assert read_back(written) == (EVENTS[:2], reported)
    assert read_back(written) == (EVENTS[:2], "")


def test_after_a_cut_the_journal_goes_on_where_it_was_whole(written: Path) -> None:
    written.write_bytes(written.read_bytes()[:-5])
    journal = Journal(written)
    assert list(journal.read()) == EVENTS[:2]
    journal.append([ended(9)])
    journal.close()
    assert read_back(written) == ([*EVENTS[:2], ended(9)], "")


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x01]) + data[at + 1 :]


def damages(data: bytes) -> Iterator[tuple[str, bytes, int]]:
    """Yield what was done, the damaged file, and the line at which it must be found."""
    lines = data.splitlines(keepends=True)
    first = len(lines[0])
    yield "a byte of an event", flipped(data, 60), 1
    yield "a byte of a checksum", flipped(data, 9), 1
    yield "a byte in the middle", flipped(data, first + 60), 2
    yield "a byte of the last line", flipped(data, len(data) - 10), 3
    yield "a line lost", lines[0] + lines[2], 2
    yield "two lines swapped", lines[1] + lines[0] + lines[2], 1
    yield "a line repeated", lines[0] + lines[0] + lines[1] + lines[2], 2
    yield "a line of something else", lines[0] + b"hello\n" + lines[1], 2
    yield "an empty line", lines[0] + b"\n" + lines[1], 2


@pytest.mark.req("R-01")
def test_damage_anywhere_else_is_an_operators_to_judge(written: Path) -> None:
    whole = written.read_bytes()
    for what, damaged, line in damages(whole):
        written.write_bytes(damaged)
        with pytest.raises(StateError) as caught:
            read_back(written)
        found = (caught.value.code, caught.value.fields["path"])
        assert found == ("SLU-140", f"{written} line {line}"), what
        assert written.read_bytes() == damaged, what


def test_with_a_checksum_a_line_alone_a_lost_line_would_go_unseen(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_crc = zlib.crc32
    monkeypatch.setattr("services.runtime.journal.zlib.crc32", lambda data, _: whole_crc(data))
    written.unlink()
    journal = fresh(written)
    journal.append(EVENTS)
    journal.close()
    lines = written.read_bytes().splitlines(keepends=True)
    written.write_bytes(lines[0] + lines[2])
    assert read_back(written) == ([EVENTS[0], EVENTS[2]], "")


def test_an_event_of_a_newer_version_is_named_not_guessed(path: Path) -> None:
    journal = fresh(path)
    journal.append([ended(1)])
    journal.close()
    data = b'{"type":"Tomorrow","at_ns":1}'
    crc = zlib.crc32(data)
    path.write_bytes(b'{"crc":"%08x","event":%b}\n' % (crc, data))
    with pytest.raises(StateError, match="Tomorrow"):
        read_back(path)


def test_two_processes_never_write_one_journal(written: Path) -> None:
    holder = Journal(written)
    with pytest.raises(StateError, match="another process has this journal open"):
        Journal(written)
    holder.close()
    assert read_back(written) == (EVENTS, "")


def test_a_journal_that_was_not_read_cannot_be_written(written: Path) -> None:
    journal = Journal(written)
    with pytest.raises(AssertionError, match="read before it is written"):
        journal.append([ended(4)])
    journal.close()


def test_a_full_disk_raises_and_leaves_the_file_whole(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(written)
    assert list(journal.read()) == EVENTS
    write = os.write
    room = [10]

    def almost_full(descriptor: int, data: memoryview) -> int:
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[: room.pop()])

    monkeypatch.setattr(os, "write", almost_full)
    with pytest.raises(StateError, match="No space left on device"):
        journal.append([ended(4)])
    monkeypatch.undo()
    journal.append([ended(5)])
    journal.close()
    assert read_back(written) == ([*EVENTS, ended(5)], "")


def test_a_write_in_pieces_is_one_write(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(written)
    assert list(journal.read()) == EVENTS
    write = os.write
    monkeypatch.setattr(os, "write", lambda d, data: write(d, bytes(data)[:7]))
    journal.append([ended(4)], fsync=True)
    journal.close()
    assert read_back(written) == ([*EVENTS, ended(4)], "")


@pytest.mark.parametrize(("asked", "expected"), [(True, 1), (False, 0)])
def test_only_what_must_be_on_the_disk_is_synced(
    written: Path, monkeypatch: pytest.MonkeyPatch, asked: bool, expected: int
) -> None:
    journal = Journal(written)
    assert list(journal.read()) == EVENTS
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    journal.append([ended(4)], fsync=asked)
    journal.close()
    assert len(synced) == expected


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files and folders that were synced whole, in order."""
    found: list[Path] = []
    real = os.fsync

    def note(descriptor: int) -> None:
        found.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return found


@pytest.mark.req("R-01")
def test_the_name_of_a_new_journal_is_on_the_disk_before_anything_is_written_to_it(
    path: Path, synced: list[Path]
) -> None:
    fresh(path).close()
    assert synced == [path.parent]
    fresh(path).close()
    assert synced == [path.parent]


@pytest.mark.req("R-01")
def test_what_was_cut_off_is_gone_from_the_disk_before_the_journal_goes_on(
    written: Path, synced: list[Path]
) -> None:
    written.write_bytes(written.read_bytes()[:-1])
    read_back(written)
    assert synced == [written]


def test_a_closed_journal_can_be_opened_by_another(written: Path) -> None:
    journal = Journal(written)
    journal.close()
    assert read_back(written) == (EVENTS, "")
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(journal._descriptor)
