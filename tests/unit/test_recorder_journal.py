"""The journal goes on exactly where it was: after a stop, a crash, a full disk."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from schemas.errors import StateError
from services.recorder import journal as journal_module
from services.recorder.chain import Damage, Head, Message, read_line
from services.recorder.journal import NOTE, Journal, Miss, Place, verify_folder

pytestmark = pytest.mark.req("R-01")
MEBIBYTE = 1 << 20


def message(seq: int, stream: str = "ORDERS", stored_ns: int | None = None) -> Message:
    data = b'{"seq":%d}' % seq
    return Message(stream, seq, "order.sim.paper", stored_ns or seq * 10, data, 7)


def messages(*seqs: int) -> list[Message]:
    return [message(seq) for seq in seqs]


def opened(folder: Path, file_bytes_max: int = MEBIBYTE) -> Journal:
    return Journal(folder, file_bytes_max=file_bytes_max)


def written(folder: Path, *seqs: int) -> Journal:
    """Return a closed journal with these messages in it."""
    journal = opened(folder)
    journal.append(messages(*seqs))
    journal.note(journal.head.n)
    journal.close()
    return journal


def recorded(folder: Path) -> list[int]:
    text = b"".join(path.read_bytes() for path in sorted(folder.glob("chain-*")))
    return [read_line(line).stream_seq for line in text.splitlines()]


def test_a_journal_that_is_opened_again_goes_on_at_its_head(tmp_path: Path) -> None:
    before = written(tmp_path, 1, 2, 3)
    journal = opened(tmp_path)
    assert (journal.head, journal.places) == (before.head, {"ORDERS": Place(3, 30)})
    journal.append(messages(4))
    journal.close()
    assert recorded(tmp_path) == [1, 2, 3, 4]
    assert verify_folder(tmp_path) == journal.head


def test_a_message_delivered_twice_is_recorded_once(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append(messages(1, 2))
    made, misses = journal.append(messages(1, 2, 3))
    journal.close()
    assert ([n for n, _ in made], misses, recorded(tmp_path)) == ([3], [], [1, 2, 3])


def test_streams_are_counted_apart(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    made, misses = journal.append([message(1), message(1, "FILLS"), message(2)])
    journal.close()
    assert (len(made), misses) == (3, [])


def test_messages_that_a_stream_has_lost_are_reported(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append(messages(1))
    made, misses = journal.append(messages(4))
    journal.close()
    assert (len(made), misses) == (1, [Miss("ORDERS", 2, 4)])


def test_a_number_used_again_for_something_newer_is_recorded_and_reported(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append(messages(1, 2, 3))
    made, misses = journal.append([message(2, stored_ns=99)])
    journal.close()
    assert (len(made), misses) == (1, [Miss("ORDERS", 4, 2)])
    assert recorded(tmp_path) == [1, 2, 3, 2]


def test_a_crash_before_the_note_loses_nothing(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append(messages(1, 2))
    journal.note(2)
    journal.append(messages(3))  # and no note of it
    journal.close()
    again = opened(tmp_path)
    assert (again.head, again.places) == (journal.head, {"ORDERS": Place(3, 30)})
    assert [n for n, _ in again.since(again.logged_n)] == [3]
    again.close()


@pytest.mark.parametrize("kept_bytes", [1, 40, 150])
def test_a_last_line_torn_by_a_crash_is_cut_off_and_written_again(
    tmp_path: Path, kept_bytes: int
) -> None:
    written(tmp_path, 1, 2)
    [file] = tmp_path.glob("chain-*")
    whole = file.read_bytes()
    journal = opened(tmp_path)
    journal.append(messages(3))
    journal.close()
    file.write_bytes(file.read_bytes()[: len(whole) + kept_bytes])
    again = opened(tmp_path)
    assert (again.cut_bytes, again.places["ORDERS"].seq) == (kept_bytes, 2)
    again.append(messages(3))
    again.close()
    assert (recorded(tmp_path), verify_folder(tmp_path)) == ([1, 2, 3], journal.head)


def test_a_record_changed_while_nobody_looked_stops_the_opening(tmp_path: Path) -> None:
    written(tmp_path, 1, 2, 3)
    [file] = tmp_path.glob("chain-*")
    file.write_bytes(file.read_bytes().replace(b'{"seq":3}', b'{"seq":7}'))
    with pytest.raises(StateError) as caught:
        opened(tmp_path)
    assert (caught.value.code, caught.value.fields["record"]) == ("SLU-140", "3")
    with pytest.raises(StateError, match="record: 3"):  # and not that it is locked
        opened(tmp_path)


def test_a_journal_whose_end_is_gone_stops_the_opening(tmp_path: Path) -> None:
    written(tmp_path, 1, 2, 3)
    [file] = tmp_path.glob("chain-*")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:2]))
    with pytest.raises(StateError) as caught:
        opened(tmp_path)
    assert caught.value.fields["found"] == "it is missing: the file is shorter than it was"
    assert verify_folder(tmp_path) == Damage(3, "it is missing: records up to 3 had been written")


def test_a_record_changed_long_ago_is_found_by_the_whole_verification(tmp_path: Path) -> None:
    written(tmp_path, 1, 2, 3)
    [file] = tmp_path.glob("chain-*")
    file.write_bytes(file.read_bytes().replace(b'{"seq":1}', b'{"seq":7}'))
    opened(tmp_path).close()  # only the end is looked at, so that a start stays quick
    damage = verify_folder(tmp_path)
    assert isinstance(damage, Damage)
    assert damage.n == 1


def test_damage_after_the_note_stops_the_opening_too(tmp_path: Path) -> None:
    written(tmp_path, 1, 2)
    journal = opened(tmp_path)
    journal.append(messages(3, 4))
    journal.close()
    [file] = tmp_path.glob("chain-*")
    file.write_bytes(file.read_bytes().replace(b'{"seq":3}', b'{"seq":7}'))
    with pytest.raises(StateError) as caught:
        opened(tmp_path)
    assert caught.value.fields["record"] == "3"


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_lost_note_is_made_anew_from_the_records(
    tmp_path: Path, lose: Callable[[Path], object]
) -> None:
    before = written(tmp_path, 1, 2, 3)
    lose(tmp_path / NOTE)
    journal = opened(tmp_path)
    assert (journal.head, journal.places) == (before.head, {"ORDERS": Place(3, 30)})
    journal.close()


def test_a_damaged_note_is_named_with_the_way_out(tmp_path: Path) -> None:
    written(tmp_path, 1)
    (tmp_path / NOTE).write_text("{")
    with pytest.raises(StateError) as caught:
        opened(tmp_path)
    assert caught.value.fields["wanted"] == (
        "move it away: the journal is then read from its beginning"
    )


def test_a_full_file_is_followed_by_a_new_one_and_the_chain_goes_on(tmp_path: Path) -> None:
    journal = opened(tmp_path, file_bytes_max=400)
    for seq in range(1, 8):
        journal.append(messages(seq))
    journal.note(7)
    journal.close()
    names = sorted(path.name for path in tmp_path.glob("chain-*"))
    assert names == [f"chain-{first:012d}.jsonl" for first in (1, 4, 7)]
    again = opened(tmp_path, file_bytes_max=400)
    assert (again.head, verify_folder(tmp_path)) == (journal.head, journal.head)
    assert [n for n, _ in again.since(3)] == [4, 5, 6, 7]
    assert [n for n, _ in again.since(4)] == [5, 6, 7]
    again.close()


def test_a_new_journal_is_empty_and_verifies(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    assert (journal.head, list(journal.since(0))) == (Head(), [])
    journal.close()
    assert verify_folder(tmp_path) == Head()


class FullDisk:
    """`os.write` on a disk with so much room and no more."""

    def __init__(self, room_bytes: int) -> None:
        self.room_bytes = room_bytes
        self.write = os.write

    def __call__(self, file: int, data: memoryview) -> int:
        if not self.room_bytes:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = min(self.room_bytes, len(data))
        self.room_bytes -= taken
        return self.write(file, data[:taken])


@pytest.mark.parametrize("room_bytes", [0, 1, 250])
def test_a_full_disk_leaves_the_journal_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room_bytes: int
) -> None:
    journal = opened(tmp_path)
    journal.append(messages(1))
    before = (journal.head, dict(journal.places))
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", FullDisk(room_bytes))
        with pytest.raises(StateError) as caught:
            journal.append(messages(2, 3))
    assert caught.value.code == "SLU-141"
    assert caught.value.fields["found"] == "No space left on device"
    assert (journal.head, journal.places) == before
    journal.append(messages(2, 3))
    journal.close()
    assert recorded(tmp_path) == [1, 2, 3]


def test_a_stream_that_was_cut_goes_on_below_and_it_is_not_told_twice(tmp_path: Path) -> None:
    journal = written(tmp_path, 1, 2, 3)
    journal = opened(tmp_path)
    journal.rebase("ORDERS", 1)
    journal.close()
    again = opened(tmp_path)
    assert again.append([message(2, stored_ns=99)])[1] == []
    again.close()


def test_without_knowing_repeats_a_redelivery_is_recorded_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ablation of the guard against repeats."""
    monkeypatch.setattr(journal_module, "_is_repeat", lambda message, place: False)
    journal = opened(tmp_path)
    journal.append(messages(1))
    journal.append(messages(1))
    journal.close()
    assert recorded(tmp_path) == [1, 1]


def test_the_note_says_where_everything_stands(tmp_path: Path) -> None:
    journal = written(tmp_path, 1, 2)
    [file] = tmp_path.glob("chain-*")
    assert msgspec.json.decode((tmp_path / NOTE).read_bytes()) == {
        "n": 2,
        "hash": journal.head.hash,
        "file": "chain-000000000001.jsonl",
        "offset_bytes": file.stat().st_size,
        "logged_n": 2,
        "places": {"ORDERS": {"seq": 2, "stored_ns": 20}},
    }


def test_a_second_recorder_of_the_same_folder_is_refused(tmp_path: Path) -> None:
    first = opened(tmp_path)
    with pytest.raises(StateError) as caught:
        opened(tmp_path)
    assert caught.value.fields["found"] == "another process records here"
    first.close()
    opened(tmp_path).close()


def test_a_file_that_cannot_be_begun_leaves_the_journal_where_it_was(tmp_path: Path) -> None:
    journal = opened(tmp_path, file_bytes_max=1)
    journal.append(messages(1))
    before, blocked = (journal.head, dict(journal.places)), tmp_path / "chain-000000000002.jsonl"
    blocked.mkdir()
    with pytest.raises(StateError) as caught:
        journal.append(messages(2))
    assert (caught.value.code, caught.value.fields["path"]) == ("SLU-141", str(blocked))
    assert (journal.head, journal.places) == before
    blocked.rmdir()
    journal.append(messages(2))
    journal.close()
    assert recorded(tmp_path) == [1, 2]
    again = opened(tmp_path)
    assert (again.head, verify_folder(tmp_path)) == (journal.head, journal.head)
    again.close()


def test_a_note_after_a_file_that_could_not_be_begun_is_of_the_file_before(tmp_path: Path) -> None:
    journal = opened(tmp_path, file_bytes_max=1)
    journal.append(messages(1))
    blocked = tmp_path / "chain-000000000002.jsonl"
    blocked.mkdir()
    with pytest.raises(StateError):
        journal.append(messages(2))
    blocked.rmdir()
    journal.note(1)
    journal.close()
    again = opened(tmp_path)
    assert again.head == journal.head
    again.close()


BEGUN = "chain-000000000003.jsonl"


def begun(folder: Path, torn: bytes) -> Journal:
    """Return a journal whose next file was begun when a crash came."""
    journal = written(folder, 1, 2)
    (folder / BEGUN).write_bytes(torn)
    return journal


@pytest.mark.parametrize("torn", [b"", b'{"n":3,"prev_ha'])
def test_a_crash_after_a_file_was_begun_is_no_damage_however_often_it_is_opened(
    tmp_path: Path, torn: bytes
) -> None:
    head = begun(tmp_path, torn).head
    for _ in range(3):
        journal = opened(tmp_path)
        assert (journal.head, verify_folder(tmp_path)) == (head, head)
        journal.note(journal.head.n)
        journal.close()
    journal = opened(tmp_path)
    journal.append(messages(3))
    journal.close()
    assert len((tmp_path / BEGUN).read_bytes().splitlines()) == 1
    assert (recorded(tmp_path), verify_folder(tmp_path)) == ([1, 2, 3], journal.head)


def test_a_record_changed_before_a_file_that_was_only_begun_stops_the_opening(
    tmp_path: Path,
) -> None:
    begun(tmp_path, b"")
    journal = opened(tmp_path)
    journal.note(journal.head.n)
    journal.close()
    path = tmp_path / "chain-000000000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b'{"seq":2}', b'{"seq":9}'))
    with pytest.raises(StateError) as caught:
        opened(tmp_path)
    assert (caught.value.code, caught.value.fields["path"]) == ("SLU-140", str(path))
