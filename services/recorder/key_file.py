"""The file of the key that signs the record, and the file of its public half."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from schemas.errors import StateError, UserError
from services.recorder.checkpoints import (
    RecordKey,
    Restoration,
    key_of,
    new_private_pem,
    public_keys_of,
    public_pem,
    vouched_by,
    why_not_signed,
)
from services.recorder.own import RESTORATIONS
from services.recorder.reader import lines
from services.runtime.keys import FILE_MODE, FOLDER_MODE, refuse_readable, write_secret
from services.runtime.paths import is_there

PRIVATE = "record.pem"
"""In the folder of keys: readable by the recorder alone."""

PUBLIC = "record.pub"
"""Beside the record, and beside every anchor."""


def ensure_record_key(folder: Path) -> RecordKey:
    """Return the key that signs the record; it is made if there is none yet.

    Raises:
        UserError: others can read it, it is no key, or it cannot be made.
    """
    path = folder / PRIVATE
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        if not is_there(path):
            write_secret(path, new_private_pem())
        refuse_readable(folder, FOLDER_MODE)
        refuse_readable(path, FILE_MODE)
        return key_of(path.read_bytes())
    except OSError as error:
        wanted = "the key that signs the record; `sluice up` and `sluice config write` make it"
        found = error.strerror or str(error)
        raise UserError("SLU-102", path=path, found=found, wanted=wanted) from error
    except ValueError as error:  # its text is never shown
        wanted = "an Ed25519 private key; restore it from a backup: what it signed needs it no more"
        raise UserError("SLU-102", path=path, found="no such key in it", wanted=wanted) from error


def publish_key(folder: Path, key: RecordKey) -> None:
    """Add the public half to the public keys of a folder, unless it is there.

    Raises:
        StateError: SLU-141, the folder cannot be written; SLU-140, what is there is no key.
    """
    path = folder / PUBLIC
    known: dict[str, Ed25519PublicKey] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if is_there(path):
            known = public_keys_of(path.read_bytes())
        if key.fingerprint in known:
            return
        draft = path.with_suffix(f".{os.getpid()}")
        with draft.open("wb") as file:
            file.write(b"".join(map(public_pem, [*known.values(), key.public])))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        found = error.strerror or str(error)
        raise StateError("SLU-141", path=path, found=found, wanted="a file to write") from error
    except ValueError as error:
        wanted = "the public key that was written there"
        raise StateError("SLU-140", path=path, found=error, wanted=wanted) from error


def trusted_keys(
    record: Path, anchors: Sequence[Path], public_key: Path | None = None
) -> dict[str, Ed25519PublicKey]:
    """Return whose signatures count for a record, by fingerprint.

    Those in `public_key`, if it is given. Else those beside the record that lie beside anchors too:
    whoever changes the record can put a key beside it. Where no anchors know any of them, those
    beside the record, and then nothing outside vouches for it. A restore that one of them signed
    under a new key speaks for the keys of what it restored as well.

    Raises:
        UserError: there is none to be read.
    """
    if public_key is not None:
        return _with_vouched(record, read_public_keys(public_key))
    own = read_public_keys(record / PUBLIC)
    elsewhere: dict[str, Ed25519PublicKey] = {}
    for path in (path for place in anchors for path in sorted(place.glob(f"*/{PUBLIC}"))):
        with contextlib.suppress(OSError, ValueError):
            elsewhere |= public_keys_of(path.read_bytes())
    both = {name: elsewhere[name] for name in own if name in elsewhere}
    return _with_vouched(record, both or own)


def read_public_keys(path: Path) -> dict[str, Ed25519PublicKey]:
    """Return the public keys in a file, by fingerprint.

    Raises:
        UserError: it cannot be read, or holds none.
    """
    with contextlib.suppress(ValueError):
        try:
            return public_keys_of(path.read_bytes())
        except OSError as error:
            wanted = "the public key of the record (record.pub)"
            found = error.strerror or str(error)
            raise UserError("SLU-102", path=path, found=found, wanted=wanted) from error
    wanted = "Ed25519 public keys in PEM"
    raise UserError("SLU-102", path=path, found="none in it", wanted=wanted)


def _with_vouched(
    record: Path, keys: Mapping[str, Ed25519PublicKey]
) -> dict[str, Ed25519PublicKey]:
    """Return the keys, and those that restores speak for which one of them has signed."""
    path, found = record / RESTORATIONS, dict(keys)
    said: list[Restoration] = []
    for line in lines(path) if is_there(path) else ():
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
            said.append(msgspec.json.decode(line, type=Restoration))
    for each in reversed(said):  # the newest speaks for those before it
        with contextlib.suppress(ValueError):
            if not why_not_signed(each, found):
                found |= vouched_by(each)
    return found
