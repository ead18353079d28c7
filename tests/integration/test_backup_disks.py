"""A backup on real disks: mounted, full, read by others; and what a killed one leaves on them."""

import contextlib
import os
import random
import resource
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pyrage
import pytest

from schemas.errors import StateError, UserError
from schemas.reconciliation import FenceRaised
from services.cli import backup_archive, backup_restore
from services.cli.backup_leftovers import COPY, QUIET_S, sweep
from services.cli.backup_place import MOVING, UNFINISHED, VERIFYING, refuse_unfinished
from services.cli.encrypting import writing
from services.recorder.key_file import PRIVATE
from services.runtime.journal import Journal
from tests.backup_rig import (
    backed_up,
    control_state,
    kill_at,
    killed,
    make_data_dir,
    restored,
    run,
    verdict_of,
)

pytestmark = pytest.mark.req("R-07")
MEMBERS = ["keys", "record", "repository.db", "run", "state"]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return make_data_dir(tmp_path)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a fresh disk that is mounted there: nobody can rename or remove it."""
    folder = tmp_path / "data"
    (folder / "lost+found").mkdir(parents=True)
    for name in ("rename", "rmdir", "replace"):
        original = getattr(Path, name)

        def busy(path: Path, *args: object, original: Callable[..., object] = original) -> object:
            if folder in (path, *args):
                raise OSError(16, "Device or resource busy", str(folder))
            return original(path, *args)

        monkeypatch.setattr(Path, name, busy)
    return folder


def test_a_restore_onto_a_mounted_disk_is_made_ready_on_it(
    data_dir: Path, tmp_path: Path, mounted: Path
) -> None:
    backup = backed_up(data_dir, tmp_path / "b.tar.gz")
    done = restored(backup, mounted, tmp_path / "anchors")
    assert names(mounted) == sorted(["lost+found", *MEMBERS])
    assert control_state(mounted).epoch_max == done.epoch_floor
    assert verdict_of(mounted, tmp_path / "anchors") is None
    refuse_unfinished(mounted)


@pytest.mark.parametrize("call", range(1, len(MEMBERS) + 2))
def test_nothing_starts_over_a_restore_killed_between_two_members_and_it_can_be_done_again(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    backup, target = backed_up(data_dir, tmp_path / "b.tar.gz"), tmp_path / "data"
    target.mkdir()
    kill_at(monkeypatch, Path, "rename", call)
    killed(lambda: restored(backup, target))
    monkeypatch.undo()
    assert names(target) == sorted([UNFINISHED, *MEMBERS[: call - 1]])
    with pytest.raises(StateError, match="SLU-148") as caught:
        run("up", "--no-start", "--for", "1", "--data-dir", str(target))
    assert caught.value.fields["path"] == str(target / UNFINISHED)
    assert names(target) == sorted([UNFINISHED, *MEMBERS[: call - 1]])
    restored(backup, target, tmp_path / "anchors")
    assert names(target) == MEMBERS
    assert verdict_of(target, tmp_path / "anchors") is None


def test_nothing_starts_where_a_restore_was_killed_before_its_folder_was_there(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup, target = backed_up(data_dir, tmp_path / "b.tar.gz"), tmp_path / "new"
    kill_at(monkeypatch, Path, "rename", 1)
    killed(lambda: restored(backup, target))
    monkeypatch.undo()
    with pytest.raises(StateError, match="SLU-148"):
        run("up", "--no-start", "--for", "1", "--data-dir", str(target))
    assert not target.exists()
    target.mkdir()  # as who mounts a disk there would: then the draft beside it is of no use
    restored(backup, target)
    assert (names(target), (tmp_path / "new.restoring").exists()) == (MEMBERS, False)
    (tmp_path / "new.restoring").mkdir()
    refuse_unfinished(target)  # a system that is there starts whatever lies beside it


def test_what_somebody_put_between_the_members_is_never_removed(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup, target = backed_up(data_dir, tmp_path / "b.tar.gz"), tmp_path / "data"
    target.mkdir()
    kill_at(monkeypatch, Path, "rename", 3)
    killed(lambda: restored(backup, target))
    monkeypatch.undo()
    (target / "state").mkdir()  # not moved up yet: somebody else's
    with pytest.raises(UserError, match="a folder with files: state"):
        restored(backup, target)
    assert names(target) == sorted([UNFINISHED, "keys", "record", "state"])
    moved = msgspec.json.decode((target / UNFINISHED / MOVING).read_bytes())
    assert moved == MEMBERS


def test_two_restores_never_share_a_draft(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = backed_up(data_dir, tmp_path / "b.tar.gz")
    original, refused = backup_restore.check, []

    def checked(*args: object, **kwargs: object) -> object:
        monkeypatch.setattr(backup_restore, "check", original)
        with pytest.raises(UserError, match="another one") as caught:
            restored(backup, tmp_path / "new")
        refused.append(caught.value.code)
        return original(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(backup_restore, "check", checked)
    restored(backup, tmp_path / "new")
    assert (refused, names(tmp_path / "new")) == (["SLU-163"], MEMBERS)


@contextlib.contextmanager
def disk_that_takes(size_bytes: int) -> Iterator[None]:
    """Let no file grow beyond that: what a full disk says, said by the kernel for this process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_a_full_disk_is_said_to_be_one_and_the_backup_is_not_blamed(
    data_dir: Path, tmp_path: Path, is_encrypted: bool
) -> None:
    journal = Journal(data_dir / "state" / "executor.jsonl")
    list(journal.read())
    journal.append([FenceRaised(at_ns=5, gate_token=n, epoch=n) for n in range(10, 3_000)])
    journal.close()
    (data_dir / "repository.db").unlink()
    with contextlib.closing(sqlite3.connect(data_dir / "repository.db")) as database:
        database.execute("create table noise (bytes blob)")  # more than a pipe holds
        database.execute("insert into noise values (?)", (random.Random(1).randbytes(300_000),))
        database.commit()
    made = pyrage.x25519.Identity.generate()
    identity, backup = tmp_path / "identity.txt", tmp_path / "b"
    identity.write_text(f"{made}\n")
    with writing(backup, encrypt_to=str(made.to_public()) if is_encrypted else None) as sink:
        backup_archive.write_backup(data_dir, sink, keys_dir=None, is_running=False)
    place = ("--data-dir", str(tmp_path / "new"), "--identity", str(identity))
    for command in ("restore", "verify"):
        with disk_that_takes(100_000), pytest.raises(StateError, match="SLU-141") as caught:
            run("backup", command, str(backup), *place)
        assert Path(str(caught.value.fields["path"])).name == "executor.jsonl"
    assert names(tmp_path) == ["anchors", "b", "identity.txt", "var"]
    assert run("backup", "verify", str(backup), *place) == 0


def test_a_backup_is_unpacked_where_there_is_room_and_a_killed_verification_is_swept(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With keys in it: no private key is ever written, so a kill leaves none."""
    made = pyrage.x25519.Identity.generate()
    identity, backup = tmp_path / "identity.txt", tmp_path / "b.age"
    identity.write_text(f"{made}\n")
    with writing(backup, encrypt_to=str(made.to_public())) as sink:
        backup_archive.write_backup(data_dir, sink, keys_dir=data_dir / "keys", is_running=False)
    roomy = tmp_path / "roomy"
    place = ("--scratch", str(roomy), "--data-dir", str(tmp_path / "none"))
    given = ("verify", str(backup), "--identity", str(identity), *place)
    kill_at(monkeypatch, backup_restore, "verify_record", 1)
    killed(lambda: run("backup", *given))
    monkeypatch.undo()
    left = roomy / f"b.age{VERIFYING}"
    assert names(left) == [each for each in MEMBERS if each != "keys"]
    assert run("backup", *given) == 0
    assert names(roomy) == []
    for folder in (roomy, tmp_path):
        texts = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
        found = [text for text in texts if b"PRIVATE KEY" in text]
        assert found == ([] if folder == roomy else [(data_dir / "keys" / PRIVATE).read_bytes()])


def test_a_key_that_was_changed_in_a_backup_is_found_though_it_is_not_written(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = backup_archive._Hashing.read

    def changed(source: backup_archive._Hashing, size: int = -1) -> bytes:
        return original(source, size).replace(b"PRIVATE", b"private")

    monkeypatch.setattr(backup_archive._Hashing, "read", changed)  # what is hashed is another
    backup = backed_up(data_dir, tmp_path / "b.tar.gz", with_keys=True)
    monkeypatch.undo()
    with pytest.raises(StateError, match=r"keys/record\.pem is not as the manifest says"):
        run("backup", "verify", str(backup), "--data-dir", str(tmp_path / "none"))


def test_what_a_killed_backup_left_is_removed_by_a_later_one_and_nothing_else(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "b.tar.gz"
    kill_at(monkeypatch, sqlite3, "connect", 2)
    killed(lambda: backed_up(data_dir, path))
    monkeypatch.undo()
    left = [*data_dir.glob(f"{COPY}*"), *tmp_path.glob("b.tar.gz.*.incomplete")]
    assert len(left) == 2
    others = [tmp_path / f"other.{left[1].name.split('.')[-2]}.incomplete", tmp_path / "notes"]
    alive = tmp_path / f"b.tar.gz.{os.getpid()}.incomplete"
    for each in (*others, alive):
        each.write_bytes(b"")
    sweep(data_dir, path)
    assert [each.exists() for each in left] == [True, True]  # written just now: maybe elsewhere
    for each in (*left, *left[0].glob("*"), *others, alive):
        then_s = each.stat().st_mtime - QUIET_S - 1
        os.utime(each, (then_s, then_s))
    assert run("backup", "create", str(path), "--data-dir", str(data_dir)) == 0
    assert [each.exists() for each in left] == [False, False]
    assert [each.exists() for each in (*others, path)] == [True, True, True]
