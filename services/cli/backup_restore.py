"""Put a backup on an empty machine: it comes up locked and halted, and its epochs above any before.

Everything is made in a folder beside the wanted one, which says by its name that it is not done,
and is renamed at the very end: a restore that was cut short has restored nothing.
"""

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from schemas.base import Event
from schemas.control import HaltRequested
from schemas.errors import StateError, UserError
from schemas.reconciliation import FenceRaised
from schemas.restrictions import LockRequested
from services.breaker.state import ControlState
from services.cli.backup_archive import KEYS, RECORD, STATE, Manifest, unpack
from services.cli.encrypting import reading
from services.cli.output import time_of
from services.recorder.audit import Verdict, verify_record
from services.recorder.checkpoints import Restoration, key_of
from services.recorder.config import RecorderConfig
from services.recorder.journal import Journal as RecordJournal
from services.recorder.key_file import (
    PRIVATE,
    PUBLIC,
    ensure_record_key,
    read_public_keys,
    trusted_keys,
)
from services.recorder.own import RESTORATIONS
from services.recorder.reader import lines
from services.recorder.witness import ANCHORS, Witness
from services.runtime.journal import Journal
from services.runtime.keys import write_secret

EPOCH_JUMP = 1_000_000
"""Epochs skipped by a restore. Each start takes one: what was lost cannot have started so often."""

UNFINISHED = ".restoring"
_NO_LIMIT = 1 << 62


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore did."""

    data_dir: Path
    taken_ns: int
    """When the backup was taken."""

    head_n: int
    """The last record it held."""

    lost_count: int
    """Records that are known, by anchors, to have been written after it."""

    epoch_floor: int
    """Every epoch from now on is above this one."""

    anchored_n: int = 0
    """The last record of it that an anchor outside vouches for."""

    is_disowned: bool = False
    """Whether anchors of lost records were signed by a key that was not there: no word of a new key
    takes them back, and `audit verify` says so for as long as they stand where anchors are."""


def check(
    backup: Path,
    folder: Path,
    identity: Path | None,
    *,
    anchors: Sequence[Path] = (),
    must_be_anchored: bool = False,
    public_key: Path | None = None,
) -> tuple[Manifest, Verdict]:
    """Unpack a backup into an empty folder, and verify every byte, journal and record of it.

    Args:
        backup: the file.
        folder: where to; it is left as it is when this fails.
        identity: the age identity that can read it; None where it is not encrypted.
        anchors: folders of anchors; those of records that the backup holds are compared with it.
        must_be_anchored: whether one of them must vouch for it, as when a person names them.
        public_key: whose signatures count; None: those beside the anchors, else in the backup.

    Raises:
        UserError: it cannot be read.
        StateError: it is not whole, or what it holds does not verify.
    """
    with reading(backup, identity_file=identity) as source:
        manifest = unpack(source, folder, str(backup))
    keys = trusted_keys(folder / RECORD, anchors, public_key)
    verdict = verify_record(folder / RECORD, keys, anchors, anchored_up_to_n=manifest.head_n)
    head = (verdict.head.n, verdict.head.hash)
    if verdict.damage is not None or head != (manifest.head_n, manifest.head_hash):
        damage = verdict.damage
        found = f"record {damage.n}: {damage.why}" if damage else f"the record ends at {head[0]}"
        wanted = f"a record that verifies up to {manifest.head_n}"
        raise StateError("SLU-148", path=backup, found=found, wanted=wanted)
    if must_be_anchored and not verdict.anchored_n:
        found = f"none that vouches for it in {', '.join(map(str, anchors))}"
        wanted = "an anchor of a record that it holds, signed by a key of its record"
        raise StateError("SLU-148", path=backup, found=found, wanted=wanted)
    for path in sorted((folder / STATE).rglob("*.jsonl")):
        _folded(path)
    return manifest, verdict


def restore(
    backup: Path,
    data_dir: Path,
    *,
    identity: Path | None,
    anchors: Sequence[Path],
    operator: str,
    must_be_anchored: bool = False,
    record_key: Path | None = None,
) -> Restored:
    """Restore a backup into a folder that is not there yet, or empty.

    Args:
        backup: the file.
        data_dir: where to.
        identity: the age identity that can read it; None where it is not encrypted.
        anchors: folders of anchors: what they vouch for must be in it as it was.
        must_be_anchored: whether one of them must vouch for it, as when a person names them.
        operator: who restores.
        record_key: the private key that signed the record; None: that of the backup, or a new one.

    Raises:
        UserError: the folder is in use, or the backup cannot be read.
        StateError: the backup is not whole, or does not verify.
    """
    if data_dir.exists() and any(data_dir.iterdir()):
        wanted = "a folder that is not there, or empty: move it away, or give --data-dir"
        raise UserError("SLU-163", path=data_dir, found="a folder with files", wanted=wanted)
    draft = data_dir.with_name(data_dir.name + UNFINISHED)
    shutil.rmtree(draft, ignore_errors=True)  # of a restore that was cut short
    draft.mkdir(mode=0o700, parents=True)
    manifest, verdict = check(
        backup, draft, identity, anchors=anchors, must_be_anchored=must_be_anchored
    )
    if record_key is not None:
        _put_key(record_key, draft / KEYS)
    done = _make_ready(draft, manifest, anchors, operator, backup.name)
    _sync(draft)
    if data_dir.exists():
        data_dir.rmdir()
    draft.rename(data_dir)
    _sync_folder(data_dir.parent)
    return msgspec.structs.replace(done, data_dir=data_dir, anchored_n=verdict.anchored_n)


def _make_ready(
    folder: Path, manifest: Manifest, anchors: Sequence[Path], operator: str, name: str
) -> Restored:
    """Write into record and journals what a restore means."""
    now_ns = time.time_ns()
    key = ensure_record_key(folder / KEYS)
    keys = read_public_keys(folder / RECORD / PUBLIC)
    ends = {name: max((_anchored_n(e, name) for e in anchors), default=0) for name in keys}
    anchored_n = max(ends.values(), default=0)
    lost_count = max(0, anchored_n - manifest.head_n)
    floor = _epoch_max(folder) + EPOCH_JUMP + lost_count
    restored = key.restoration(
        Restoration(
            after_n=manifest.head_n,
            anchored_n=max(anchored_n, manifest.head_n),
            at_ns=now_ns,
            epoch_floor=floor,
            backup=name,
        )
    )
    journal = RecordJournal(folder / RECORD, file_bytes_max=_NO_LIMIT)
    try:
        journal.restore(restored)
        with (folder / RECORD / RESTORATIONS).open("ab") as file:
            file.write(msgspec.json.encode(restored) + b"\n")
        Witness(folder / RECORD, key, RecorderConfig()).look(journal.head, now_ns, is_last=True)
    finally:
        journal.close()
    _lock(folder, restored, manifest, operator)
    return Restored(
        data_dir=folder,
        taken_ns=manifest.created_ns,
        head_n=manifest.head_n,
        lost_count=lost_count,
        epoch_floor=floor,
        is_disowned=any(n > manifest.head_n for name, n in ends.items() if name != key.fingerprint),
    )


def _lock(folder: Path, restored: Restoration, manifest: Manifest, operator: str) -> None:
    """Have it come up halted and locked, with every epoch above any before."""
    now_ns, floor = restored.at_ns, restored.epoch_floor
    lost_count = restored.anchored_n - restored.after_n
    said = f"restored from {restored.backup}, taken {time_of(manifest.created_ns)}, with "
    said += f"{lost_count} records known to be lost since; the control stream begins anew"
    fence = FenceRaised(at_ns=now_ns, gate_token=floor, epoch=floor)
    halt = HaltRequested(at_ns=now_ns, reason=said, operator=operator)
    lock = LockRequested(at_ns=now_ns, component="backup", code="SLU-154", reason=said)
    _append(folder / STATE / "breaker.jsonl", [fence, halt, lock])
    _append(folder / STATE / "executor.jsonl", [fence])


def _put_key(record_key: Path, keys_dir: Path) -> None:
    try:
        pem = record_key.read_bytes()
        key_of(pem)
        keys_dir.mkdir(mode=0o700, exist_ok=True)
        (keys_dir / PRIVATE).unlink(missing_ok=True)
        write_secret(keys_dir / PRIVATE, pem)
    except OSError as error:
        found = error.strerror or str(error)
        wanted = "the private key that signed the record (record.pem)"
        raise UserError("SLU-102", path=record_key, found=found, wanted=wanted) from error
    except ValueError as error:  # its text is never shown
        wanted = "the private key that signed the record (record.pem)"
        raise UserError("SLU-102", path=record_key, found="no such key", wanted=wanted) from error


def _epoch_max(folder: Path) -> int:
    """Return the highest epoch that the backup knows of."""
    state, highest = ControlState(), 0
    for event in _folded(folder / STATE / "breaker.jsonl"):
        state.apply(event)
    for event in _folded(folder / STATE / "executor.jsonl"):
        highest = max(highest, event.epoch if isinstance(event, FenceRaised) else 0)
    return max(highest, state.epoch_max)


def _folded(path: Path) -> list[Event]:
    """Return every event of a service's journal.

    Raises:
        StateError: a line is not what was written.
    """
    if not path.exists():
        return []
    journal = Journal(path)
    try:
        return list(journal.read())
    finally:
        journal.close()


def _append(path: Path, events: Sequence[Event]) -> None:
    journal = Journal(path)
    try:
        for _ in journal.read():
            pass
        journal.append(events, fsync=True)
    finally:
        journal.close()


def _anchored_n(place: Path, key: str) -> int:
    path = place / key / ANCHORS
    if not path.exists():
        return 0
    return max((int(msgspec.json.decode(line)["n"]) for line in lines(path)), default=0)


def _sync(folder: Path) -> None:
    """Have every file and folder on the disk before it gets its name."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            _sync_folder(path)
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
