"""A process's log on disk: a new file each UTC day, older ones bear their date.

`gate.log` is today's, `gate.log.2026-11-27` that day's; the recorder removes those that are too
old (`recorder.retention.logs_days`). Who writes a file turns it, at the first line of a new day:

- A pipe that the supervisor reads would tie every process to it. One that stands still would, once
  the pipe is full, stand still the gate in the middle of a line.
- To copy a file and then truncate it loses what is written in between.
- To rename a file loses nothing: it is still written to, under its new name, until standard output
  and error are put onto the new one, which the system does at once. So what an interpreter or a
  library writes past our logger turns with it, and no service knows of any of this.

A program that is not ours does the same when it is told to by SIGUSR1 (see `ProcessSpec`).
"""

import contextlib
import os
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path

from schemas.base import NS_PER_S

LOG_FILE = "SLUICE_LOG_FILE"
"""Names the file that a process's standard output and error go to; set by who started it."""

LOG_COPY = "SLUICE_LOG_COPY"
"""Names a file that gets what is logged as well, where standard error goes to somebody else's log:
that of a container, of systemd. What is written past the logger is there alone."""

_WRITE = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_MODE = 0o666  # less the umask, as of the file that the supervisor opened
_OUTPUTS = (1, 2)


class DailyFile:
    """Standard error, where it is a file on disk that begins anew each UTC day.

    Where it is none (a terminal, a pipe of whoever runs us), it is standard error as it is.
    """

    def __init__(self, path: Path | None, copy: "OwnFile | None" = None) -> None:
        """Begin with the day that it is.

        Args:
            path: where standard error goes; None: not known.
            copy: gets every line too.
        """
        self._path = path if path is not None and _is_stderr(path) else None
        self._copy = copy
        self._day = utc_day(time.time_ns())

    def write(self, line: bytes) -> int:
        """Write one line, into the file of its day; return how many bytes."""
        today = utc_day(time.time_ns())
        if self._path is not None and today > self._day:
            self._turn(self._path, today)
        if self._copy is not None:
            self._copy.write(line)
        return sys.stderr.buffer.write(line)

    def flush(self) -> None:
        """Hand what was written to the system."""
        sys.stderr.buffer.flush()

    def _turn(self, path: Path, today: date) -> None:
        """Go on in a new file; in the old one, and try again, while there can be no new one."""
        with contextlib.suppress(OSError):
            if _is_stderr(path):
                put_aside(path, self._day)
            file = os.open(path, _WRITE, _MODE)
            for output in _OUTPUTS:
                os.dup2(file, output)
            os.close(file)
            self._day = today


class OwnFile:
    """A log that is not standard error; it turns by the same rule, and holds nobody up.

    It is opened for each line, so whoever moves or removes it breaks nothing. A line that cannot be
    written is left out, for a service must not end for lack of a copy.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, line: bytes) -> int:
        """Write one line, into the file of its day; return how many bytes."""
        with contextlib.suppress(OSError):  # it goes on in the old one while it cannot be renamed
            put_aside_if_old(self._path, time.time_ns())
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._path, _WRITE, _MODE)
            try:
                os.write(file, line)
            finally:
                os.close(file)
        return len(line)

    def flush(self) -> None:
        """Do nothing: a line is with the system once it is written."""


def put_aside(path: Path, day: date) -> None:
    """Rename a log to bear its day; a name that is taken already is left to who has it.

    Raises:
        OSError: it cannot be renamed.
    """
    name, count = path.with_name(f"{path.name}.{day.isoformat()}"), 1
    while name.exists():
        count += 1
        name = path.with_name(f"{path.name}.{day.isoformat()}-{count}")
    path.rename(name)


def put_aside_if_old(path: Path, now_ns: int) -> None:
    """Rename a log that was last written on an earlier UTC day; if there is none, do nothing.

    Raises:
        OSError: it cannot be renamed.
    """
    if path.exists():
        day = utc_day(path.stat().st_mtime_ns)
        if day < utc_day(now_ns):
            put_aside(path, day)


def utc_day(at_ns: int) -> date:
    """Return the UTC day of a time in ns since the epoch."""
    return datetime.fromtimestamp(at_ns // NS_PER_S, UTC).date()


def _is_stderr(path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(2), path.stat())
    except OSError:
        return False
