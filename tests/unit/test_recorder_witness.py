"""Checkpoints and anchors: each is there whole or not at all, and in time by any clock."""

import os
from pathlib import Path

import msgspec
import pytest

from schemas.base import NS_PER_S
from schemas.errors import StateError
from services.recorder.appending import append_line
from services.recorder.chain import Head
from services.recorder.checkpoints import Checkpoint, Restoration
from services.recorder.config import RecorderConfig
from services.recorder.key_file import PRIVATE, ensure_record_key
from services.recorder.own import RESTORATIONS
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


def test_a_key_that_was_made_anew_is_said_until_the_next_start(tmp_path: Path) -> None:
    before = witness(tmp_path)
    before.look(Head(1, "a"), HOUR_NS, is_last=True)
    assert (before.replaced, witness(tmp_path).replaced) == ("", "")
    old = ensure_record_key(tmp_path / "keys").fingerprint
    (tmp_path / "keys" / PRIVATE).unlink()
    it = witness(tmp_path)
    new = ensure_record_key(tmp_path / "keys").fingerprint
    assert it.replaced == (
        f"the checkpoint of record 1 is signed by {old}; from here on {new} signs: was record.pem"
        " lost, or taken away?"
    )
    it.look(Head(2, "b"), 2 * HOUR_NS, is_last=True)
    assert witness(tmp_path).replaced == ""


def test_whoever_takes_the_key_away_does_not_have_its_anchors_forgotten(tmp_path: Path) -> None:
    before = witness(tmp_path)
    before.look(Head(9, "i"), HOUR_NS, is_last=True)
    assert before.anchor() == ""
    (tmp_path / "keys" / PRIVATE).unlink()
    (tmp_path / "record" / CHECKPOINTS).unlink()
    with pytest.raises(StateError, match=r"it ends at record 8; record 9 was signed at .*anchors"):
        witness(tmp_path).check(Head(8, "h"))


def test_without_the_keys_of_before_a_cut_end_is_hidden_by_taking_the_key_away(
    tmp_path: Path,
) -> None:
    before = witness(tmp_path)
    before.look(Head(9, "i"), HOUR_NS, is_last=True)
    assert before.anchor() == ""
    (tmp_path / "keys" / PRIVATE).unlink()
    (tmp_path / "record" / CHECKPOINTS).unlink()
    after = witness(tmp_path)
    new = ensure_record_key(tmp_path / "keys")
    after._known = {new.fingerprint: new.public}
    after.check(Head(8, "h"))


def replaced_after(folder: Path, n: int, *, restored_by: str = "") -> Witness:
    """Return one under a new key, record `n` anchored by the old; one of them restored it since."""
    before = witness(folder)
    before.look(Head(n, "i"), HOUR_NS, is_last=True)
    assert before.anchor() == ""
    old = ensure_record_key(folder / "keys")
    (folder / "keys" / PRIVATE).unlink()
    new = ensure_record_key(folder / "keys")
    (folder / "record" / CHECKPOINTS).unlink()
    if restored_by:
        said = Restoration(after_n=1, anchored_n=n, at_ns=2 * HOUR_NS, epoch_floor=1, backup="b")
        said = (old if restored_by == "old" else new).restoration(said)
        append_line(folder / "record" / RESTORATIONS, msgspec.json.encode(said) + b"\n")
    return witness(folder)


def test_a_rehearsal_under_a_new_key_starts_while_the_system_it_is_of_goes_on(
    tmp_path: Path,
) -> None:
    it = replaced_after(tmp_path, 9, restored_by="new")
    [file] = (tmp_path / "anchors").glob("*/anchors.jsonl")
    on = msgspec.json.decode(file.read_bytes(), type=Checkpoint)
    on = msgspec.structs.replace(on, n=10, at_ns=3 * HOUR_NS)
    torn = msgspec.json.encode(on) + b"\n" + b'{"n"'
    file.write_bytes(torn)
    it.check(Head(8, "h"))
    assert file.read_bytes() == torn, "the other may be in the middle of it"


def test_a_restore_that_the_old_key_signed_explains_what_it_had_signed_before(
    tmp_path: Path,
) -> None:
    replaced_after(tmp_path, 9, restored_by="old").check(Head(8, "h"))


def test_a_place_of_anchors_that_is_away_keeps_nothing_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = replaced_after(tmp_path, 9)
    stat = Path.stat

    def away(path: Path, **options: bool) -> os.stat_result:
        if path.name == "anchors.jsonl":
            raise OSError(116, "Stale file handle")
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", away)
    it.check(Head(8, "h"))


def test_a_clock_that_was_set_back_keeps_nothing_from_being_signed(tmp_path: Path) -> None:
    before = witness(tmp_path)
    before.look(Head(1, "a"), 10 * HOUR_NS, is_last=True)
    it = witness(tmp_path)
    assert it.look(Head(2, "b"), 9 * HOUR_NS)
    assert (it.newest and it.newest.n, it.set_back_s) == (2, 3_600)
    assert not it.look(Head(3, "c"), 9 * HOUR_NS + 1)
    assert it.look(Head(4, "d"), 10 * HOUR_NS)
    assert it.set_back_s == 0
