"""Checkpoints and anchors: each is there whole or not at all, and in time by any clock."""

import os
from pathlib import Path

import msgspec
import pytest

from schemas.base import NS_PER_S
from schemas.errors import StateError
from services.recorder.appending import append_line
from services.recorder.chain import Head
from services.recorder.checkpoints import Checkpoint
from services.recorder.config import RecorderConfig
from services.recorder.key_file import ensure_record_key
from services.recorder.witness import CHECKPOINTS, Witness

pytestmark = pytest.mark.req("R-01", "I13")
HOUR_NS = 3_600 * NS_PER_S


class Disk:
    """`os.write` of a disk that has room for so many bytes, and takes what fits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room_bytes: int) -> None:
        self.room_bytes = room_bytes
        self.write = os.write
        monkeypatch.setattr(os, "write", self._write)

    def _write(self, descriptor: int, data: memoryview) -> int:
        if not self.room_bytes:
            raise OSError(28, "No space left on device")
        count = self.write(descriptor, data[: self.room_bytes])
        self.room_bytes -= count
        return count


def test_a_line_that_does_not_fit_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    append_line(file, b"one\n")
    disk = Disk(monkeypatch, room_bytes=2)
    with pytest.raises(StateError, match="No space left on device"):
        append_line(file, b"two\n")
    assert file.read_bytes() == b"one\n"
    disk.room_bytes = 100
    append_line(file, b"three\n")
    assert file.read_bytes() == b"one\nthree\n"


def test_a_line_that_a_crash_left_torn_goes_before_the_next(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one\ntw")
    append_line(file, b"three\n")
    assert file.read_bytes() == b"one\nthree\n"


def witness(folder: Path) -> Witness:
    config = RecorderConfig(anchor_dirs=(str(folder / "anchors"),))
    return Witness(folder / "record", ensure_record_key(folder / "keys"), config)


def signed(file: Path) -> list[int]:
    """Return the numbers of the records that a file's checkpoints are of."""
    return [msgspec.json.decode(each, type=Checkpoint).n for each in file.read_bytes().splitlines()]


def test_an_anchor_that_does_not_fit_is_told_and_tried_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = witness(tmp_path)
    it.look(Head(1, "a"), HOUR_NS, is_last=True)
    assert it.anchor() == ""
    [file] = (tmp_path / "anchors").glob("*/anchors.jsonl")
    it.look(Head(2, "b"), 2 * HOUR_NS, is_last=True)
    disk = Disk(monkeypatch, room_bytes=100)
    assert it.anchor() == f"{file}: No space left on device"
    assert signed(file) == [1]
    disk.room_bytes = 10_000
    assert it.anchor() == ""
    assert signed(file) == [1, 2]


def test_a_checkpoint_that_does_not_fit_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = witness(tmp_path)
    it.look(Head(1, "a"), HOUR_NS, is_last=True)
    disk = Disk(monkeypatch, room_bytes=100)
    with pytest.raises(StateError, match="No space left on device"):
        it.look(Head(2, "b"), 2 * HOUR_NS, is_last=True)
    disk.room_bytes = 10_000
    assert it.look(Head(2, "b"), 2 * HOUR_NS, is_last=True)
    assert signed(tmp_path / "record" / CHECKPOINTS) == [1, 2]


def test_a_clock_that_was_set_back_keeps_nothing_from_being_signed(tmp_path: Path) -> None:
    before = witness(tmp_path)
    before.look(Head(1, "a"), 10 * HOUR_NS, is_last=True)
    it = witness(tmp_path)
    assert it.look(Head(2, "b"), 9 * HOUR_NS)
    assert (it.newest and it.newest.n, it.set_back_s) == (2, 3_600)
    assert not it.look(Head(3, "c"), 9 * HOUR_NS + 1)
    assert it.look(Head(4, "d"), 10 * HOUR_NS)
    assert it.set_back_s == 0
