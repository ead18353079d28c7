"""The keys of the bus users: made once, kept to ourselves, never overwritten.

A key is an nkey: the private half (the seed) stays in `<folder>/<user>.nk`, readable by its owner
alone; the server is told the public halves by environment variables when it is started.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import nkeys

from schemas.errors import UserError
from schemas.users import USERS
from services.runtime.paths import is_there

SYNC_ALWAYS = "always"
"""The durable profile: JetStream acknowledges what is on the disk, and nothing sooner."""

SYNC_DEFAULT = "120s"
"""The server's own profile: up to two minutes of acknowledged messages may be lost with power."""

NO_STORE_KEY = '""'
"""What the configuration reads where the store is not encrypted: an empty text."""

FILE_MODE, FOLDER_MODE, OTHERS = 0o600, 0o700, 0o077
_SEED_BYTES = 32


def seed_file(folder: Path, user: str) -> Path:
    """Return where the seed of `user` is kept."""
    return folder / f"{user}.nk"


def ensure_keys(folder: Path) -> dict[str, str]:
    """Make every key that is missing; return the public key of each user.

    Raises:
        UserError: the folder or a key can be read by others, or a file holds no seed.
    """
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    for user in USERS:
        if not is_there(seed_file(folder, user)):
            _write_seed(seed_file(folder, user))
    return {user: public_key(load_seed(folder, user)) for user in USERS}


def load_seed(folder: Path, user: str) -> str:
    """Return the seed of `user`, once it is certain that nobody else could have read it.

    Raises:
        UserError: the file is missing, can be read by others, or holds no seed.
    """
    path = seed_file(folder, user)
    try:
        refuse_readable(folder, FOLDER_MODE)
        refuse_readable(path, FILE_MODE)
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        wanted = f"the nkey seed of bus user {user}; `sluice up` makes what is missing"
        raise UserError("SLU-102", path=path, found=_said(error), wanted=wanted) from error
    try:
        public_key(text)
    except ValueError as error:  # the text itself is never shown
        found = f"{len(text)} characters that are no seed"
        wanted = "an nkey seed (SU...); move the file away and start again: a new key is made"
        raise UserError("SLU-102", path=path, found=found, wanted=wanted) from error
    return text


def public_key(seed: str) -> str:
    """Return the public half, `U...`, of a user's seed.

    Raises:
        ValueError: it is no seed of a user.
    """
    given = seed.encode("ascii")
    try:
        prefix, raw = nkeys.decode_seed(bytearray(given))
        if prefix != nkeys.PREFIX_BYTE_USER or nkeys.encode_seed(bytes(raw), prefix) != given:
            raise ValueError("not the seed of a user, or mistyped")  # nkeys checks no checksum
        public: str = nkeys.from_seed(bytearray(given)).public_key.decode("ascii")
    except nkeys.NkeysError as error:
        raise ValueError("not a seed") from error
    return public


def server_environment(
    public_keys: Mapping[str, str], *, sync_interval: str = SYNC_DEFAULT, store_key: str = ""
) -> dict[str, str]:
    """Return the variables that `ops/nats/server.conf` reads when nats-server starts with it."""
    named = {f"SLUICE_NKEY_{user.upper()}": key for user, key in public_keys.items()}
    return {
        **named,
        "SLUICE_SYNC_INTERVAL": sync_interval,
        "SLUICE_STORE_KEY": store_key or NO_STORE_KEY,
    }


def _write_seed(path: Path) -> None:
    """Make a new seed."""
    seed: bytes = nkeys.encode_seed(secrets.token_bytes(_SEED_BYTES), nkeys.PREFIX_BYTE_USER)
    write_secret(path, seed + b"\n")


def write_secret(path: Path, secret: bytes) -> None:
    """Write a new secret whole or not at all; a file that is there already stays as it is.

    Raises:
        OSError: the folder cannot be written.
    """
    draft = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    try:
        os.write(descriptor, secret)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # another start made it first, and its key is the one
    finally:
        draft.unlink()


def refuse_readable(path: Path, mode: int) -> None:
    """Refuse a secret that others could have read.

    Raises:
        UserError: its mode gives others anything.
        OSError: there is no such file.
    """
    found = path.stat().st_mode & 0o777
    if found & OTHERS:
        raise UserError(
            "SLU-102",
            path=path,
            found=f"mode {found:04o}: others can reach this secret",
            wanted=f"mode {mode:04o}: run `chmod {mode:o} {path}`",
        )


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
