"""A backup holds all or is none; a restore comes up halted, and its epochs above any before."""

import contextlib
import os
import random
import sqlite3
import tarfile
import threading
import time
from pathlib import Path

import pyrage
import pytest

from schemas.control import BreakerState
from schemas.errors import StateError, UserError
from schemas.reconciliation import FenceRaised
from services.cli import backup_restore
from services.cli.app import make_app
from services.cli.backup_archive import unpack
from services.cli.backup_place import UNFINISHED
from services.cli.backup_restore import EPOCH_JUMP, check
from services.recorder.audit import verify_record
from services.recorder.chain import Damage, Message
from services.recorder.checkpoints import Restoration
from services.recorder.config import RecorderConfig
from services.recorder.journal import Journal as RecordJournal
from services.recorder.key_file import PRIVATE, PUBLIC, read_public_keys
from services.recorder.reader import records
from services.recorder.witness import Witness
from services.runtime.journal import Journal
from tests.backup_rig import (
    EPOCH,
    backed_up,
    control_state,
    keep,
    kill_at,
    killed,
    make_data_dir,
    proposed,
    record_more,
    restored,
    run,
    verdict_of,
)
from tests.tampering import ANCHOR_AT, RECORDS, Written, rewrite_and_sign

pytestmark = pytest.mark.req("R-07")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return make_data_dir(tmp_path)


def test_what_was_backed_up_is_there_again_byte_for_byte(data_dir: Path, tmp_path: Path) -> None:
    backup = backed_up(data_dir, tmp_path / "b.tar.gz")
    done = restored(backup, tmp_path / "new", tmp_path / "anchors")
    assert (done.head_n, done.lost_count) == (RECORDS, 0)
    before = {r.n: r.data for r in records(data_dir / "record")}
    after = {r.n: r.data for r in records(tmp_path / "new" / "record")}
    assert {n: after[n] for n in before} == before
    with contextlib.closing(sqlite3.connect(tmp_path / "new" / "repository.db")) as database:
        assert database.execute("select id from sessions").fetchall() == [("ema_cross-1",)]
    assert verdict_of(tmp_path / "new", tmp_path / "anchors") is None
    assert not (tmp_path / "new" / "keys" / "gate.nk").exists()


@pytest.mark.req("I12")
def test_a_restored_system_is_halted_locked_and_its_epochs_grow(
    data_dir: Path, tmp_path: Path
) -> None:
    backup, now_s = backed_up(data_dir, tmp_path / "b.tar.gz"), int(time.time())
    done = restored(backup, tmp_path / "new")
    state = control_state(tmp_path / "new")
    assert state.word is BreakerState.MANUALLY_HALTED
    assert state.open_halt is not None
    assert [each.component for each in state.locks] == ["backup"]
    assert state.epoch_max == done.epoch_floor
    assert done.epoch_floor >= max(EPOCH + EPOCH_JUMP, now_s)
    journal = Journal(tmp_path / "new" / "state" / "executor.jsonl")
    [*_, newest] = journal.read()
    journal.close()
    assert newest == FenceRaised(
        at_ns=newest.at_ns, gate_token=done.epoch_floor, epoch=done.epoch_floor
    )


@pytest.mark.req("I12")
def test_without_jump_and_clock_an_epoch_issued_after_the_backup_would_be_issued_again(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ablation: after the backup was taken, epoch 8 was announced; a restore forgets it."""
    backup = backed_up(data_dir, tmp_path / "b.tar.gz")
    keep(data_dir, "breaker", proposed(EPOCH + 1))
    monkeypatch.setattr(backup_restore, "EPOCH_JUMP", 0)
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    restored(backup, tmp_path / "careless")
    assert control_state(tmp_path / "careless").epoch_max + 1 == EPOCH + 1  # issued twice
    monkeypatch.undo()
    restored(backup, tmp_path / "new")
    assert control_state(tmp_path / "new").epoch_max > EPOCH + 1


def test_records_lost_since_the_backup_are_told_by_the_anchors_and_by_the_record_itself(
    data_dir: Path, tmp_path: Path
) -> None:
    backup = backed_up(data_dir, tmp_path / "b.tar.gz")
    anchors = tmp_path / "anchors"
    key = record_more(data_dir, anchors, 3)
    done = restored(backup, tmp_path / "new", anchors, data_dir / "keys" / PRIVATE)
    assert (done.lost_count, done.is_disowned) == (3, False)
    assert verdict_of(tmp_path / "new", anchors) is None
    newest = list(records(tmp_path / "new" / "record"))[-1]
    assert newest.subject == "record.restored"
    again = RecordJournal(tmp_path / "new" / "record", file_bytes_max=1 << 20)
    Witness(tmp_path / "new" / "record", key, RecorderConfig(anchor_dirs=(str(anchors),))).check(
        again.head
    )
    assert set(again.places) == {"RECORD"}  # the streams of a new server begin at 1
    again.close()


def test_a_restore_that_nobody_signed_is_a_cut_end_all_the_same(
    data_dir: Path, tmp_path: Path
) -> None:
    """Whoever cuts the end off and writes such a record, without the key, is found."""
    keys = read_public_keys(data_dir / "record" / PUBLIC)
    journal = RecordJournal(data_dir / "record", file_bytes_max=1 << 20)
    forged = Restoration(after_n=RECORDS, anchored_n=99, at_ns=10**18, epoch_floor=0, backup="x")
    journal.restore(forged)
    journal.close()
    damage = verify_record(data_dir / "record", keys, [tmp_path / "anchors"]).damage
    assert damage is not None
    assert (damage.n, "signed by key nobody" in damage.why) == (RECORDS + 1, True)


def test_what_was_anchored_is_not_taken_back_by_a_restore_under_another_key(
    data_dir: Path, tmp_path: Path
) -> None:
    """It may be all that is left to do, and it may be a thief: it is said, and stays said."""
    backup, anchors = backed_up(data_dir, tmp_path / "b.tar.gz"), tmp_path / "anchors"
    record_more(data_dir, anchors, 3)
    done = restored(backup, tmp_path / "new", anchors)
    assert (done.lost_count, done.is_disowned) == (3, True)
    found = verdict_of(tmp_path / "new", anchors)
    assert isinstance(found, Damage)
    assert f"record {RECORDS + 3} was signed" in found.why


def test_a_key_that_is_none_restores_nothing(data_dir: Path, tmp_path: Path) -> None:
    backup = backed_up(data_dir, tmp_path / "b.tar.gz")
    for content in (b"", b"no key"):
        (tmp_path / "key").write_bytes(content)
        with pytest.raises(UserError, match="SLU-102"):
            restored(backup, tmp_path / "new", record_key=tmp_path / "key")
    with pytest.raises(UserError, match="SLU-102"):
        restored(backup, tmp_path / "new", record_key=tmp_path / "missing")
    assert not (tmp_path / "new").exists()


def test_a_backup_of_a_rewritten_record_is_found_by_its_anchors(tmp_path: Path) -> None:
    """Somebody rewrote record 40 and signed with a key of theirs, and then it was backed up."""
    written = Written(tmp_path)
    (tmp_path / "state").mkdir()
    assert rewrite_and_sign(written.folder, random.Random(1)) <= ANCHOR_AT[-1]
    journal = RecordJournal(written.folder, file_bytes_max=1 << 20)
    journal.note(journal.head.n)
    journal.close()
    backup = str(backed_up(tmp_path, tmp_path / "b.tar.gz"))
    key = str(next(written.anchors.glob(f"*/{PUBLIC}")))
    named = ["--anchors", str(written.anchors)]
    for said in (
        ["verify", backup, *named],
        ["verify", backup, "--public-key", key],
        ["restore", backup, *named, "--data-dir", str(tmp_path / "new")],
    ):
        with pytest.raises(StateError, match="SLU-148"):
            make_app()(["backup", *said], result_action="return_value")
    assert not (tmp_path / "new").exists()


def test_a_backup_made_while_journal_and_record_grow_is_whole(
    data_dir: Path, tmp_path: Path
) -> None:
    stop = threading.Event()

    def write() -> None:
        journal = RecordJournal(data_dir / "record", file_bytes_max=4_000)
        state = Journal(data_dir / "state" / "breaker.jsonl")
        list(state.read())
        seq = RECORDS
        while not stop.is_set():
            seq += 1
            state.append([proposed(seq)])
            journal.append([Message("ORDERS", seq, "order.x", seq, b'{"n":%d}' % seq, 7)])
            journal.note(journal.head.n)
        journal.close()
        state.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            backup = backed_up(data_dir, tmp_path / f"{number}.tar.gz")
            folder = tmp_path / f"out-{number}"
            folder.mkdir()
            manifest, verdict = check(backup, folder, None)
            assert verdict.head.n == manifest.head_n
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize("call", [1, 3, 6, 9])
def test_a_backup_killed_in_the_middle_leaves_none_and_says_so(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    path = tmp_path / "b.tar.gz"
    kill_at(monkeypatch, tarfile.TarFile, "addfile", call)
    killed(lambda: backed_up(data_dir, path))
    assert not path.exists()
    [left] = tmp_path.glob("b.tar.gz*")
    assert left.name.endswith(".incomplete")
    with left.open("rb") as source, pytest.raises(StateError, match="incomplete"):
        unpack(source, tmp_path / "out", left.name)


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [(os, "fsync", 1), (os, "fsync", 9), (backup_restore, "_append", 2), (Path, "rename", 1)],
)
def test_a_restore_killed_in_the_middle_has_restored_nothing_and_can_be_done_again(
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
    call: int,
) -> None:
    backup, target = backed_up(data_dir, tmp_path / "b.tar.gz"), tmp_path / "new"
    kill_at(monkeypatch, owner, name, call)
    killed(lambda: restored(backup, target))
    assert not target.exists()
    assert target.with_name(f"new{UNFINISHED}").exists()
    monkeypatch.undo()
    restored(backup, target, tmp_path / "anchors")
    assert not target.with_name(f"new{UNFINISHED}").exists()
    assert verdict_of(target, tmp_path / "anchors") is None


@pytest.mark.parametrize("at", [0.2, 0.5, 0.9])
def test_a_changed_byte_or_a_missing_end_is_found_before_anything_is_restored(
    data_dir: Path, tmp_path: Path, at: float
) -> None:
    backup = backed_up(data_dir, tmp_path / "b.tar.gz")
    whole = backup.read_bytes()
    changed = bytearray(whole)
    changed[int(len(whole) * at)] ^= 1
    for data in (bytes(changed), whole[: int(len(whole) * at)]):
        backup.write_bytes(data)
        with pytest.raises(StateError, match="SLU-148"):
            restored(backup, tmp_path / "new")
        assert not (tmp_path / "new").exists()


def test_a_folder_in_use_is_never_restored_over(data_dir: Path, tmp_path: Path) -> None:
    backup = backed_up(data_dir, tmp_path / "b.tar.gz")
    with pytest.raises(UserError, match=r"SLU-103.*a folder with files"):
        restored(backup, data_dir)


def test_a_backup_that_is_there_is_replaced_only_when_told(data_dir: Path, tmp_path: Path) -> None:
    path, place = tmp_path / "b.tar.gz", ("--data-dir", str(data_dir))
    assert run("backup", "create", str(path), *place) == 0
    first = path.read_bytes()
    with pytest.raises(UserError, match=r"already.*--replace"):
        run("backup", "create", str(path), *place)
    assert path.read_bytes() == first
    assert sorted(each.name for each in tmp_path.glob("b.tar.gz*")) == ["b.tar.gz"]
    assert run("backup", "create", str(path), "--replace", *place) == 0
    assert path.read_bytes() != first
    assert run("backup", "verify", str(path)) == 0


def test_keys_leave_only_encrypted_and_come_back_with_their_rights(
    data_dir: Path, tmp_path: Path
) -> None:
    made = pyrage.x25519.Identity.generate()
    identity = tmp_path / "identity.txt"
    identity.write_text(f"{made}\n")
    path, place = str(tmp_path / "b.age"), ("--data-dir", str(data_dir))
    with pytest.raises(UserError, match="whoever reads the keys can trade"):
        run("backup", "create", path, "--with-keys", *place)
    assert (
        run("backup", "create", path, "--with-keys", "--encrypt-to", str(made.to_public()), *place)
        == 0
    )
    assert b"PRIVATE KEY" not in Path(path).read_bytes()
    with pytest.raises(UserError, match="--identity"):
        run("backup", "verify", path)
    assert run("backup", "verify", path, "--identity", str(identity)) == 0
    new = tmp_path / "new"
    assert run("backup", "restore", path, "--identity", str(identity), "--data-dir", str(new)) == 0
    copy = new / "keys" / "record.pem"
    assert copy.read_bytes() == (data_dir / "keys" / "record.pem").read_bytes()
    assert (copy.stat().st_mode & 0o777, copy.parent.stat().st_mode & 0o777) == (0o600, 0o700)
