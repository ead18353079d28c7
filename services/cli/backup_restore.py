"""Put a backup on an empty machine: it comes up locked and halted, and its epochs above any before.

Everything is made in a draft, which is put in place at the very end: a restore that was cut short
has restored nothing, and nothing starts over it. It leaves word of the configuration it was of.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from schemas.base import NS_PER_S, Event
from schemas.control import HaltRequested
from schemas.errors import StateError, UserError
from schemas.reconciliation import FenceRaised
from schemas.restrictions import LockRequested
from services.breaker.state import ControlState
from services.cli.backup_anchors import anchored_ns, others_n
from services.cli.backup_archive import KEYS, RECORD, STATE, Manifest, unpack
from services.cli.backup_config import Configured, note_configuration
from services.cli.backup_place import disk_errors, drafting
from services.cli.encrypting import reading
from services.cli.output import time_of
from services.recorder.audit import Verdict, verify_record
from services.recorder.checkpoints import Restoration, key_of, vouching_for
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
from services.recorder.witness import Witness
from services.runtime.journal import Journal
from services.runtime.keys import write_secret
from services.runtime.paths import is_there

EPOCH_JUMP = 1_000_000
"""Epochs skipped by a restore. Each start takes one: what was lost cannot have started so often.
The seconds since 1970 are skipped too: another restore of the same backup knows nothing of this."""

ACCEPT_OTHER_KEY = "--accept-other-key"
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

    others_n: int = 0
    """The last record anchored by a key that the backup does not know: of a life after an earlier
    restore, or of another system; 0 if none."""

    is_new_key: bool = False
    """Whether the record goes on under a key that the backup does not know."""

    untold: str = ""
    """Why anchors do not know that new key, in words; empty if they do, or if there are none."""

    account: str = ""
    limits_hash: str = ""
    """Of the configuration that it was of; empty where that cannot be read."""


def check(
    backup: Path,
    folder: Path,
    identity: Path | None,
    *,
    anchors: Sequence[Path] = (),
    must_be_anchored: bool = False,
    public_key: Path | None = None,
    with_keys: bool = True,
) -> tuple[Manifest, Verdict]:
    """Unpack a backup into an empty folder, and verify every byte, journal and record of it.

    Args:
        backup: the file.
        folder: where to; it is left as it is when this fails.
        identity: the age identity that can read it; None where it is not encrypted.
        anchors: folders of anchors; those of records that the backup holds are compared with it.
        must_be_anchored: whether one of them must vouch for it, as when a person names them.
        public_key: whose signatures count; None: those beside the anchors, else in the backup.
        with_keys: whether its private keys are written into the folder.

    Raises:
        UserError: it cannot be read.
        StateError: it is not whole, or what it holds does not verify.
    """
    with reading(backup, identity_file=identity) as source:
        manifest = unpack(source, folder, str(backup), with_keys=with_keys)
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
    accept_other_key: bool = False,
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
        accept_other_key: whether `record_key` may be one that the backup does not know.

    Raises:
        UserError: the folder is in use, the key is another one, or the backup cannot be read.
        StateError: the backup is not whole, or does not verify; SLU-141, the disk does not take it.
    """
    with disk_errors(data_dir), drafting(data_dir) as draft:
        manifest, verdict = check(
            backup, draft, identity, anchors=anchors, must_be_anchored=must_be_anchored
        )
        if record_key is not None:
            _put_key(record_key, draft, accept_other_key)
        configured = note_configuration(draft, backup.name)
        life = _Life(draft, manifest, anchors)
        done = life.begin(operator, backup.name, configured)
    return msgspec.structs.replace(
        done, data_dir=data_dir, anchored_n=verdict.anchored_n, untold=life.tell()
    )


class _Life:
    """What comes after a restore: under which key, above which epochs, and who is told."""

    def __init__(self, folder: Path, manifest: Manifest, anchors: Sequence[Path]) -> None:
        self._folder, self._manifest = folder, manifest
        self._places = [each for each in anchors if is_there(each) and each.is_dir()]
        self._key = ensure_record_key(folder / KEYS)
        known = read_public_keys(folder / RECORD / PUBLIC)
        self._is_new_key = self._key.fingerprint not in known
        self._ends = anchored_ns(self._places, known)
        self._others_n = others_n(self._places, known)
        self._vouched = trusted_keys(folder / RECORD, anchors)
        self._witness: Witness | None = None

    def begin(self, operator: str, name: str, configured: Configured) -> Restored:
        """Write into record and journals what a restore means; return what it did."""
        head_n = self._manifest.head_n
        restored = self._restoration(name)
        self._record(restored)
        _lock(self._folder, restored, self._manifest, operator)
        own = self._key.fingerprint
        return Restored(
            data_dir=self._folder,
            taken_ns=self._manifest.created_ns,
            head_n=head_n,
            lost_count=restored.anchored_n - head_n,
            epoch_floor=restored.epoch_floor,
            is_disowned=any(n > head_n for key, n in self._ends.items() if key != own),
            others_n=self._others_n,
            is_new_key=self._is_new_key,
            account=configured.account,
            limits_hash=configured.limits_hash,
        )

    def tell(self) -> str:
        """Anchor the restore under a new key, which nothing outside knows; return what went wrong.

        Never under the key of the record: that system may still run, and this be a rehearsal.
        """
        return self._witness.anchor() if self._witness and self._is_new_key else ""

    def _restoration(self, name: str) -> Restoration:
        """Return the signed word, with epochs above all that may have been.

        Another restore of the same backup began where this one would: the clock tells them apart.
        """
        now_ns, head_n = time.time_ns(), self._manifest.head_n
        anchored_n = max(head_n, *self._ends.values())
        beyond = max(anchored_n, self._others_n) - head_n
        return self._key.restoration(
            Restoration(
                after_n=head_n,
                anchored_n=anchored_n,
                at_ns=now_ns,
                epoch_floor=max(_epoch_max(self._folder) + EPOCH_JUMP + beyond, now_ns // NS_PER_S),
                backup=name,
                vouched=vouching_for(self._vouched.values()) if self._is_new_key else msgspec.UNSET,
            )
        )

    def _record(self, restored: Restoration) -> None:
        folder = self._folder / RECORD
        journal = RecordJournal(folder, file_bytes_max=_NO_LIMIT)
        try:
            journal.restore(restored)
            with (folder / RESTORATIONS).open("ab") as file:
                file.write(msgspec.json.encode(restored) + b"\n")
            config = RecorderConfig(anchor_dirs=tuple(map(str, self._places)))
            self._witness = Witness(folder, self._key, config)
            self._witness.look(journal.head, restored.at_ns, is_last=True)
        finally:
            journal.close()


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


def _put_key(record_key: Path, folder: Path, accept_other: bool) -> None:
    """Put the record's private key in its place, if it is the record's.

    Raises:
        UserError: it is none, or one that the record does not know.
    """
    wanted = "the private key that signed the record (record.pem)"
    try:
        pem = record_key.read_bytes()
        name = key_of(pem).fingerprint
    except OSError as error:
        found = error.strerror or str(error)
        raise UserError("SLU-102", path=record_key, found=found, wanted=wanted) from error
    except ValueError as error:  # its text is never shown
        raise UserError("SLU-102", path=record_key, found="no such key", wanted=wanted) from error
    known = read_public_keys(folder / RECORD / PUBLIC)
    if name not in known and not accept_other:
        wanted = f"{wanted}: {', '.join(sorted(known))}; or {ACCEPT_OTHER_KEY}"
        raise UserError("SLU-102", path=record_key, found=f"another key, {name}", wanted=wanted)
    (folder / KEYS).mkdir(mode=0o700, exist_ok=True)
    (folder / KEYS / PRIVATE).unlink(missing_ok=True)
    write_secret(folder / KEYS / PRIVATE, pem)


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
    if not is_there(path):
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
