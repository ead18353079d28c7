"""Files of lines that are written on: a line is there whole or not at all."""

import contextlib
import os
from pathlib import Path

from schemas.errors import StateError
from services.recorder.reader import last_line
from services.runtime.journal import write_all

_WRITE = os.O_WRONLY | os.O_CREAT | os.O_APPEND
WANTED = "room on the disk, and the right to write there"


def append_line(path: Path, line: bytes) -> None:
    """Write one line, synced; what is left of one that was not written to its end goes first.

    Args:
        path: the file; it is made if it is missing.
        line: with its newline.

    Raises:
        StateError: SLU-141, the disk did not take all of it: then the file is as it was.
    """
    try:
        descriptor = os.open(path, _WRITE, 0o640)
        try:
            end = cut_torn(path)
            try:
                write_all(descriptor, line)
                os.fsync(descriptor)
            except OSError:
                with contextlib.suppress(OSError):  # then it is cut off before the next line
                    os.ftruncate(descriptor, end)
                raise
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unwritable(path, error) from error


def cut_torn(path: Path) -> int:
    """Cut off a line that was not written to its end; return where the file ends.

    Raises:
        OSError: the file cannot be read or changed.
    """
    end = path.stat().st_size
    torn = len(last_line(path, end))
    if torn:
        os.truncate(path, end - torn)
    return end - torn


def unwritable(path: Path, error: OSError) -> StateError:
    """Return what the disk said as what an operator can act on."""
    found = error.strerror or str(error)
    return StateError("SLU-141", path=path, found=found, wanted=WANTED)
