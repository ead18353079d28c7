"""Write files that only their owner can read."""

import os
from pathlib import Path

from schemas.errors import UserError

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700


def write_private(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; nobody else can read it, not even for a moment.

    Raises:
        UserError: its folder cannot be made or written to.
    """
    make_folder(path.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        draft.replace(path)
    except OSError as error:
        found = error.strerror or str(error)
        raise UserError("SLU-102", path=path, found=found, wanted="a file to write") from error


def make_folder(folder: Path) -> None:
    """Make the folder, and those above it; what is there stays as it is.

    Raises:
        UserError: it cannot be made.
    """
    try:
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        found = error.strerror or str(error)
        raise UserError(
            "SLU-102", path=folder, found=found, wanted="a folder to write to"
        ) from error
