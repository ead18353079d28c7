"""`sluice backup`: make one while the system runs, verify it, restore it on an empty machine."""

import datetime
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from schemas.errors import UserError
from services.cli.audit import anchor_dirs
from services.cli.encrypting import EncryptTo, recipient_of, writing
from services.cli.exits import Exit
from services.cli.locate import Place, data_dir_of, is_served, running_system
from services.cli.operators import operator_name
from services.cli.output import Output, time_of

if TYPE_CHECKING:
    from services.cli.backup_archive import Manifest
    from services.cli.backup_restore import Restored
    from services.recorder.audit import Verdict

backup_app = App(name="backup", help="Copy what must last; verify the copy; restore it.")

Identity = Annotated[Path | None, Parameter(help="File of the age identity that can read it.")]
Anchors = Annotated[
    list[Path] | None, Parameter(negative=(), help="Folders of anchors; else as configured.")
]


@backup_app.command
def create(
    file: Annotated[
        Path | None, Parameter(help="The backup; else one here, with the time.")
    ] = None,
    *,
    with_keys: Annotated[bool, Parameter(negative=(), help="Needs --encrypt-to.")] = False,
    encrypt_to: EncryptTo = None,
    replace: Annotated[
        bool, Parameter(negative=(), help="Replace a file that is there: its backup is lost.")
    ] = False,
    place: Place | None = None,
) -> Exit:
    """Back up record, journals, repository and configuration; the system may run on.

    Raises:
        UserError: SLU-103 the keys are wanted in it, and nothing encrypts them; or a file is
            there already.
    """
    from services.cli.backup_archive import KEYS, write_backup
    from services.cli.backup_leftovers import sweep

    found = place or Place()
    data_dir = data_dir_of(found)
    if with_keys and encrypt_to is None:
        wanted = "--encrypt-to age1...: whoever reads the keys can trade"
        raise UserError("SLU-103", path="--with-keys", found="no encryption", wanted=wanted)
    if encrypt_to is not None:
        recipient_of(encrypt_to)
    path = (file or _named(encrypt_to)).expanduser().resolve()
    system = running_system(data_dir)
    keys_dir = found.keys_dir or (system.keys_dir if system else data_dir / KEYS)
    keys = keys_dir if with_keys else None
    sweep(data_dir, path)
    with writing(path, encrypt_to=encrypt_to, is_replacing=replace) as sink:
        manifest = write_backup(data_dir, sink, keys_dir=keys, is_running=is_served(found))
    output = Output(found.as_json)
    size_bytes = path.stat().st_size
    output.data({"file": str(path), "size_bytes": size_bytes, "manifest": manifest})
    output.line(
        f"{path}: {size_bytes} bytes, {len(manifest.members)} files, "
        f"records up to {manifest.head_n}, keys {'in it' if with_keys else 'NOT in it'}"
    )
    output.next_step(f"sluice backup verify {shlex.quote(str(path))}")
    return Exit.OK


@backup_app.command
def verify(
    file: Path,
    *,
    identity: Identity = None,
    anchors: Anchors = None,
    public_key: Annotated[
        Path | None,
        Parameter(help="Public keys that signed; else those beside the anchors, or in the backup."),
    ] = None,
    scratch: Annotated[
        Path | None, Parameter(help="Folder with room to unpack it; else that of the backup.")
    ] = None,
    place: Place | None = None,
) -> Exit:
    """Verify a backup: every byte, every journal, every record. Its keys go to no disk."""
    from services.cli.backup_place import VERIFYING, disk_errors, scratch_folder
    from services.cli.backup_restore import check

    found = place or Place()
    places = anchors or anchor_dirs(data_dir_of(found))
    folder = (scratch or file.parent) / (file.name + VERIFYING)
    wanted = "room to unpack it, and the right; or --scratch FOLDER"
    with disk_errors(folder, wanted), scratch_folder(folder):
        manifest, verdict = check(
            file,
            folder,
            identity,
            anchors=places,
            must_be_anchored=anchors is not None,
            public_key=public_key,
            with_keys=False,
        )
    output = Output(found.as_json)
    said = {"is_whole": True, "signed": verdict.signed_n, "anchored": verdict.anchored_n}
    output.data({**said, "manifest": manifest})
    output.line(_whole(manifest, verdict))
    return Exit.OK


@backup_app.command
def restore(
    file: Path,
    *,
    identity: Identity = None,
    anchors: Anchors = None,
    record_key: Annotated[
        Path | None, Parameter(help="The record's private key, kept apart: record.pem.")
    ] = None,
    accept_other_key: Annotated[
        bool, Parameter(negative=(), help="Take a --record-key that the backup does not know.")
    ] = False,
    operator: Annotated[str | None, Parameter(help="Who restores; else $USER.")] = None,
    place: Place | None = None,
) -> Exit:
    """Restore a backup into a data folder that is not there yet. It comes up locked and halted."""
    from services.cli.backup_restore import restore as put_back

    found = place or Place()
    data_dir = data_dir_of(found)
    done = put_back(
        file,
        data_dir,
        identity=identity,
        anchors=anchors or anchor_dirs(data_dir),
        must_be_anchored=anchors is not None,
        operator=operator or operator_name(),
        record_key=record_key,
        accept_other_key=accept_other_key,
    )
    output = Output(found.as_json)
    output.data(done)
    for line in _said(done):
        output.line(line)
    output.next_step("sluice up", "sluice reconcile", 'sluice unlock --reason "..."')
    return Exit.OK


def _whole(manifest: "Manifest", verdict: "Verdict") -> str:
    """Return what a backup holds, and who vouches for it."""
    return (
        f"whole: taken {time_of(manifest.created_ns)}, {len(manifest.members)} files, records up "
        f"to {manifest.head_n}, signed up to {verdict.signed_n}, anchored outside up to "
        f"{verdict.anchored_n}, keys {'in it' if manifest.has_keys else 'NOT in it'}"
    )


def _said(done: "Restored") -> list[str]:
    """Return what a person has to know of a restore."""
    from services.cli.backup_config import ACCEPT

    said = [
        f"restored {done.data_dir} as of {time_of(done.taken_ns)}: records up to {done.head_n}, "
        f"{done.lost_count} known to be lost since, every epoch above {done.epoch_floor}"
    ]
    if done.limits_hash:
        said.append(
            f"It was of account {done.account}, limits {done.limits_hash}: bring file, variables "
            "and options back; the first `sluice up` refuses another configuration."
        )
    else:
        said.append(
            "It holds NO CONFIGURATION that can be read: the first `sluice up` refuses without "
            f"{ACCEPT}."
        )
    if not done.anchored_n:
        said.append("NOT ANCHORED: nothing outside the backup vouches for what it holds.")
    if done.others_n > done.head_n:
        said.append(
            f"Keys that the backup does not know have anchored up to record {done.others_n}: an "
            "earlier restore's, whose records are NOT in it, or another system's."
        )
    if done.is_new_key:
        said.append("NEW KEY: the record goes on under one that the backup does not know.")
    if done.untold:
        said.append(
            f"The anchors do not know it: {done.untold}. Until a running system has told them, "
            "`sluice audit verify` will call what it signs damage."
        )
    if done.is_disowned:
        said.append(
            "The key that signed what was lost is not here: `sluice audit verify` will call that "
            "damage. Restore with --record-key, or keep those anchors elsewhere."
        )
    return [*said, "It comes up LOCKED and HALTED: compare it with the venue before anything else."]


def _named(encrypt_to: str | None) -> Path:
    at = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
    return Path(f"sluice-backup-{at}.tar.gz" + (".age" if encrypt_to else ""))
