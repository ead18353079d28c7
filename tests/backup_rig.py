"""Data folders to back up and restore, and processes that are killed in the middle of it."""

import contextlib
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.control import EpochProposed, EpochStarted
from schemas.reconciliation import FenceRaised
from services.breaker.state import ControlState
from services.cli.app import make_app
from services.cli.backup_archive import write_backup
from services.cli.backup_restore import Restored, restore
from services.cli.encrypting import writing
from services.recorder.audit import verify_record
from services.recorder.chain import Damage, Message
from services.recorder.checkpoints import RecordKey
from services.recorder.config import RecorderConfig
from services.recorder.journal import Journal as RecordJournal
from services.recorder.key_file import ensure_record_key, trusted_keys
from services.recorder.witness import Witness
from services.runtime.journal import Journal
from tests.tampering import Written

EPOCH = 7


def proposed(epoch: int) -> EpochProposed:
    start = EpochStarted(at_ns=5, epoch=epoch, start_id="s", operator="kim", members={})
    return EpochProposed(at_ns=5, start=start, expected_last_seq=epoch)


def make_data_dir(tmp_path: Path) -> Path:
    """Return a data folder as a system leaves it: record, journals, repository, settings, keys."""
    folder = tmp_path / "var"
    Written(folder)
    shutil.move(folder / "anchors", tmp_path / "anchors")
    keep(folder, "breaker", proposed(EPOCH))
    keep(folder, "executor", FenceRaised(at_ns=5, gate_token=EPOCH, epoch=EPOCH))
    with contextlib.closing(sqlite3.connect(folder / "repository.db")) as database:
        database.execute("create table sessions (id text)")
        database.execute("insert into sessions values ('ema_cross-1')")
        database.commit()
    (folder / "run").mkdir()
    (folder / "run" / "config.json").write_bytes(b"{}")
    return folder


def keep(data_dir: Path, name: str, event: EpochProposed | FenceRaised) -> None:
    """Append an event to the journal of a service."""
    journal = Journal(data_dir / "state" / f"{name}.jsonl")
    list(journal.read())
    journal.append([event])
    journal.close()


def backed_up(data_dir: Path, path: Path, **options: bool) -> Path:
    keys_dir = data_dir / "keys" if options.get("with_keys") else None
    with writing(path, encrypt_to=None) as sink:
        write_backup(data_dir, sink, keys_dir=keys_dir, is_running=False)
    return path


def restored(
    backup: Path,
    data_dir: Path,
    anchors: Path | None = None,
    record_key: Path | None = None,
    *,
    accept_other_key: bool = False,
) -> Restored:
    return restore(
        backup,
        data_dir,
        identity=None,
        anchors=[anchors] if anchors else [],
        operator="kim",
        record_key=record_key,
        accept_other_key=accept_other_key,
    )


def verdict_of(data_dir: Path, anchors: Path) -> Damage | None:
    """Return what `sluice audit verify` finds, with its choice of keys."""
    keys = trusted_keys(data_dir / "record", [anchors])
    return verify_record(data_dir / "record", keys, [anchors]).damage


def record_more(data_dir: Path, anchors: Path, count: int) -> RecordKey:
    """Record and anchor so many more; return the key that signed them."""
    key = ensure_record_key(data_dir / "keys")
    journal = RecordJournal(data_dir / "record", file_bytes_max=1 << 20)
    place = journal.places.get("ORDERS")
    first = 1 if place is None else place.seq + 1
    numbers = range(first, first + count)
    journal.append([Message("ORDERS", n, "order.x", n, b"{}", n) for n in numbers])
    witness = Witness(data_dir / "record", key, RecorderConfig(anchor_dirs=(str(anchors),)))
    witness.look(journal.head, 10**17, is_last=True)
    assert witness.anchor() == ""
    journal.close()
    return key


def control_state(data_dir: Path) -> ControlState:
    state, journal = ControlState(), Journal(data_dir / "state" / "breaker.jsonl")
    for event in journal.read():
        state.apply(event)
    journal.close()
    return state


def killed(what: Callable[[], object]) -> None:
    """Run it in a process of its own, which ends by kill -9 in the middle of it."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            what()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "it came to its end"
    assert os.WTERMSIG(status) == signal.SIGKILL


def kill_at(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, call: int) -> None:
    """Let the process kill itself at the `call`-th call of a function."""
    original, count = getattr(owner, name), [0]

    def counted(*args: object, **kwargs: object) -> object:
        count[0] += 1
        if count[0] == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, counted)


def run(*arguments: str) -> int:
    return int(make_app()([*arguments], result_action="return_value"))
