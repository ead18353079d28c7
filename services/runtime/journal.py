"""The journal of one service: the events its state is the fold of, one JSON object a line.

Each line carries a checksum that goes on from the line before it, so that a line changed, lost or
moved is found. A write that the end of the process cut short leaves a last line without its
newline: nothing was published on the strength of it, and it is cut off. Damage anywhere else is
an operator's to judge.
"""

import errno
import fcntl
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from schemas import wire
from schemas.base import Event
from schemas.errors import StateError, WireError
from services.runtime.paths import is_there

_HEAD, _MIDDLE, _TAIL = b'{"crc":"', b'","event":', b"}\n"
_CRC_CHARS = 8
_EVENT_AT = len(_HEAD) + _CRC_CHARS + len(_MIDDLE)
FILE_MODE = 0o600


class Journal:
    """An append-only file of events. One process at a time: the file is locked while it is open.

    Attributes:
        path: the file.
        cut_off: what was cut off its end when it was read, for people; empty if nothing was.

    Raises:
        StateError: it cannot be opened, or another process holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cut_off = ""
        self._crc = 0
        self._size_bytes = -1  # not known before it was read
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not is_there(path)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, FILE_MODE)
            if is_new:
                sync_folder(path.parent)
        except OSError as error:
            raise _unwritable(path, error) from error
        self._lock()

    def read(self) -> Iterator[Event]:
        """Return every event, oldest first; then, and not before, the journal can be written.

        Raises:
            StateError: a line is not what was written; it names the line.
        """
        offset, crc = 0, 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    self._cut(number, offset, len(line))
                    break
                event, crc = self._event_in(line, crc, number)
                offset += len(line)
                yield event
        self._crc, self._size_bytes = crc, offset

    def append(self, events: Sequence[Event], *, fsync: bool = False) -> None:
        """Write the events as one; with `fsync` they are on the disk when this returns.

        Raises:
            StateError: they could not be written, and the file is as it was before.
        """
        assert self._size_bytes >= 0, "a journal is read before it is written"
        crc, lines = self._crc, bytearray()
        for event in events:
            data = wire.encode(event)
            crc = zlib.crc32(data, crc)
            lines += _HEAD + b"%08x" % crc + _MIDDLE + data + _TAIL
        try:
            write_all(self._descriptor, lines)
            if fsync:
                os.fdatasync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, self._size_bytes)
            raise _unwritable(self.path, error) from error
        self._crc = crc
        self._size_bytes += len(lines)

    def close(self) -> None:
        """Close the file, and let another process have it."""
        os.close(self._descriptor)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise StateError(
                "SLU-141",
                path=self.path,
                found="another process has this journal open",
                wanted="one process a service: stop the other one first (`sluice status`)",
            ) from error

    def _cut(self, number: int, offset: int, size_bytes: int) -> None:
        os.ftruncate(self._descriptor, offset)
        os.fsync(self._descriptor)
        self.cut_off = f"{self.path} line {number}: {size_bytes} bytes of a write cut short"

    def _event_in(self, line: bytes, crc: int, number: int) -> tuple[Event, int]:
        """Return the event of one whole line, and the checksum to go on from."""
        data = line[_EVENT_AT : -len(_TAIL)]
        crc = zlib.crc32(data, crc)
        where = f"{self.path} line {number}"
        if line != _HEAD + b"%08x" % crc + _MIDDLE + data + _TAIL:
            raise StateError(
                "SLU-140",
                path=where,
                found="a checksum that does not follow from this line and the ones before it",
                wanted="the file as it was written: keep it, and restore a copy of it",
            )
        try:
            return wire.decode_kept(data, where=where), crc
        except WireError as error:
            raise StateError(
                "SLU-140",
                path=where,
                found=error.fields["found"],
                wanted="an event this version knows: was a newer version running here?",
            ) from error


def write_all(descriptor: int, data: bytes | bytearray) -> None:
    """Write all the bytes: a disk that is nearly full takes some of them, and says so nowhere.

    Raises:
        OSError: it did not take them all.
    """
    view = memoryview(data)
    while view:
        count = os.write(descriptor, view)
        if not count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = view[count:]


def sync_folder(folder: Path) -> None:
    """Make a new file's name last as its bytes do.

    Raises:
        OSError: it cannot be read, or the disk does not take it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> StateError:
    return StateError(
        "SLU-141",
        path=path,
        found=error.strerror or str(error),
        wanted="a file that can be written, on a disk with room",
    )
