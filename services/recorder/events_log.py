"""JSON Lines for each component: written at once, a new file each UTC day, kept for some days."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from schemas.base import NS_PER_S
from schemas.errors import StateError
from services.recorder.appending import cut_torn, unwritable
from services.recorder.chain import Message
from services.recorder.continuity import Continuity
from services.recorder.events import EventLine, event_lines
from services.recorder.reader import last_line
from services.runtime.journal import write_all

SUFFIX = "_events.jsonl"
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_NUMBER = re.compile(rb'\{"record":(\d+)[,}]')
"""How each line begins; what the event itself says further on is the publisher's word."""

_OF_THE_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS})
"""What the journal will meet as well: then nothing is taken as recorded."""


class EventsLog:
    """The files of a folder: `<component>_events.jsonl` is today's, older ones bear their date.

    They can be made anew from the chained journal; what they add is being easy to read. After a
    crash they are continued from it, so that they too lack nothing and repeat nothing. A file
    that cannot be written keeps nothing from the journal, nor from the other files.

    Attributes:
        troubles: by component, why its lines are not in its file since some moment; it is written
            on as soon as that can be done.
    """

    def __init__(self, folder: Path, continuity: Continuity | None = None) -> None:
        """Open the folder; `continuity` is told of all that is written.

        Raises:
            StateError: SLU-141, it cannot be written.
        """
        self.troubles: dict[str, str] = {}
        self._folder = folder
        self._continuity = continuity
        self._files: dict[str, int] = {}
        self._today: date | None = None
        with _written(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def write(self, records: Sequence[tuple[int, Message]], now_ns: int) -> None:
        """Write the events of these records; they are in the files when this returns.

        Raises:
            StateError: SLU-141, the disk took no more.
        """
        self._turn_to(datetime.fromtimestamp(now_ns // NS_PER_S, UTC).date())
        found = (event_lines(n, message, self._continuity) for n, message in records)
        self._write([line for each in found for line in each])

    def repair(self, records: Sequence[tuple[int, Message]], now_ns: int) -> None:
        """Write what is missing of records that a crash may have kept from being written.

        Raises:
            StateError: SLU-141, the disk took no more.
        """
        self._turn_to(datetime.fromtimestamp(now_ns // NS_PER_S, UTC).date())
        until_n = records[-1][0] if records else 0
        written: dict[str, tuple[int, int]] = {}
        missing: list[EventLine] = []
        for n, message in records:
            counts: dict[str, int] = {}
            for line in event_lines(n, message, self._continuity):
                if line.component not in written:
                    written[line.component] = self._last_record(line.component, until_n)
                count = counts[line.component] = counts.get(line.component, 0) + 1
                if (n, count) > written[line.component]:
                    missing.append(line)
        self._write(missing)

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files.values():
            os.close(file)
        self._files.clear()

    def _write(self, lines: Sequence[EventLine]) -> None:
        by_component: dict[str, list[bytes]] = {}
        for component, line in lines:
            by_component.setdefault(component, []).append(line)
        for component, group in by_component.items():
            with self._tried(component):
                write_all(self._file(component), b"".join(group))
                self.troubles.pop(component, None)

    def _file(self, component: str) -> int:
        file = self._files.get(component)
        if file is None:
            path = self._path(component)
            file = self._files[component] = os.open(path, _WRITE, 0o640)
            cut_torn(path)
        return file

    def _path(self, component: str) -> Path:
        return self._folder / f"{component}{SUFFIX}"

    @contextlib.contextmanager
    def _tried(self, component: str) -> Iterator[None]:
        """Note why a component's file could not be used, and try it anew the next time."""
        path = self._path(component)
        try:
            with _written(path):
                yield
        except StateError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _OF_THE_DISK:
                raise
            self.troubles[component] = f"{path}: {error.fields['found']}"
            file = self._files.pop(component, None)
            if file is not None:
                os.close(file)

    def _turn_to(self, today: date) -> None:
        """Put yesterday's files aside; retention deletes those that are too old."""
        if today == self._today:
            return
        self.close()
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            with self._tried(path.name.removesuffix(SUFFIX)):
                day = datetime.fromtimestamp(path.stat().st_mtime, UTC).date()
                if day < today:
                    path.replace(_free_name(path, day))
        self._today = today

    def _last_record(self, component: str, until_n: int) -> tuple[int, int]:
        """Return the newest record that is in a file, and how many of its lines are there.

        If today's file has none it is the newest of those that were put aside: a crash before
        midnight is mended after it. A file that goes beyond the journal is another journal's.
        """
        with self._tried(component):
            aside = self._folder.glob(f"{component}_events.*.jsonl")
            for path in (self._path(component), *sorted(aside, key=_changed_ns, reverse=True)):
                if path.exists() and (found := _last_of(path)):
                    return found if found[0] <= until_n else (0, 0)
        return 0, 0


def _changed_ns(path: Path) -> int:
    return path.stat().st_mtime_ns


def _last_of(path: Path) -> tuple[int, int] | None:
    """Return a file's newest record and how many lines it has of it; None if it has none."""
    end = cut_torn(path)
    newest, count = 0, 0
    while end > 0:
        line = last_line(path, end - 1)
        end -= len(line) + 1
        number = _NUMBER.match(line)
        if number is None:
            continue  # no line of ours
        n = int(number[1])
        if count and n != newest:
            break
        newest, count = n, count + 1
    return (newest, count) if count else None


def _free_name(path: Path, day: date) -> Path:
    """Return a name of that day that nothing has yet: a clock set back must not cost a file."""
    name, count = path.with_name(f"{path.stem}.{day.isoformat()}.jsonl"), 1
    while name.exists():
        count += 1
        name = path.with_name(f"{path.stem}.{day.isoformat()}-{count}.jsonl")
    return name


@contextlib.contextmanager
def _written(path: Path) -> Iterator[None]:
    """Turn what the disk says into what an operator can act on."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error
