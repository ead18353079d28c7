"""How an executor and the paper exchange talk: JSON lines over TCP on this machine.

The executor reads host, port and token from a file only its user may read, and says `Hello`. The
exchange answers `Welcome`; from then on every line is one message of `schemas.venue`: requests one
way, reports the other. A line that is not what it should be is answered with a `Welcome` that says
no, and the connection ends.
"""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from schemas.errors import VenueError
from services.venue_door import Address

REQUEST_BYTES_MAX = 65_536
REPORT_BYTES_MAX = 256 * 1024 * 1024
"""A whole book with every execution there ever was is one line."""

FILE_MODE = 0o600
Post = Callable[..., None]
"""Tells the core the events it is called with, as one step."""


class Lines:
    """Bytes in, whole lines out."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` completes, without their ends.

        Raises:
            VenueError: a line is longer than allowed; nothing after it can be read.
        """
        *whole, rest = data.split(b"\n")
        lines = []
        for line in whole:
            self._add(line)
            lines.append(b"".join(self._parts))
            self._parts, self._size = [], 0
        self._add(rest)
        return lines

    def _add(self, part: bytes) -> None:
        self._parts.append(part)
        self._size += len(part)
        if self._size > self.bytes_max:
            wanted = f"at most {self.bytes_max} bytes, then a newline"
            raise VenueError("SLU-130", found=f"a line of {self._size} bytes", wanted=wanted)


def write_address(path: Path, address: Address) -> None:
    """Write the address in one step, readable by its user only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(address) + b"\n")
    temporary.replace(path)
