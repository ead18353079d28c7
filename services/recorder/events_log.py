"""JSON Lines for each component: written at once, a new file each UTC day, kept for some days."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from schemas.base import NS_PER_S
from schemas.errors import StateError
from services.recorder.chain import Message
from services.recorder.events import EventLine, event_lines
from services.recorder.reader import last_line

SUFFIX = "_events.jsonl"
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_APPEND


class _Numbered(msgspec.Struct):
    record: int


class EventsLog:
    """The files of a folder: `<component>_events.jsonl` is today's, older ones bear their date.

    They can be made anew from the chained journal; what they add is being easy to read. After a
    crash they are continued from it, so that they too lack nothing and repeat nothing.
    """

    def __init__(self, folder: Path) -> None:
        """Open the folder.

        Raises:
            StateError: SLU-141, it cannot be written.
        """
        self._folder = folder
        self._files: dict[str, int] = {}
        self._today: date | None = None
        with _written(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def write(self, records: Sequence[tuple[int, Message]], now_ns: int) -> None:
        """Write the events of these records; they are in the files when this returns.

        Raises:
            StateError: SLU-141, the disk did not take them.
        """
        self._turn_to(datetime.fromtimestamp(now_ns // NS_PER_S, UTC).date())
        lines = [line for n, message in records for line in event_lines(n, message)]
        self._write(lines)

    def repair(self, records: Sequence[tuple[int, Message]], now_ns: int) -> None:
        """Write what is missing of records that a crash may have kept from being written.

        Raises:
            StateError: SLU-141, a file cannot be read or written.
        """
        self._turn_to(datetime.fromtimestamp(now_ns // NS_PER_S, UTC).date())
        written: dict[str, tuple[int, int]] = {}
        missing: list[EventLine] = []
        for n, message in records:
            counts: dict[str, int] = {}
            for line in event_lines(n, message):
                if line.component not in written:
                    written[line.component] = self._last_record(line.component)
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
            with _written(self._path(component)):
                view = memoryview(b"".join(group))
                while view:
                    view = view[os.write(self._file(component), view) :]

    def _file(self, component: str) -> int:
        file = self._files.get(component)
        if file is None:
            file = self._files[component] = os.open(self._path(component), _WRITE, 0o640)
        return file

    def _path(self, component: str) -> Path:
        return self._folder / f"{component}{SUFFIX}"

    def _turn_to(self, today: date) -> None:
        """Put yesterday's files aside; retention deletes those that are too old."""
        if today == self._today:
            return
        self.close()
        with _written(self._folder):
            for path in sorted(self._folder.glob(f"*{SUFFIX}")):
                day = datetime.fromtimestamp(path.stat().st_mtime, UTC).date()
                if day < today:
                    path.replace(_free_name(path, day))
        self._today = today

    def _last_record(self, component: str) -> tuple[int, int]:
        """Return the newest record in the file and how many of its lines are there."""
        path = self._path(component)
        with _written(path):
            if not path.exists():
                return 0, 0
            end = path.stat().st_size
            torn = len(last_line(path, end))
            if torn:
                os.truncate(path, end - torn)
            end -= torn
            newest, count = 0, 0
            while end > 0:
                line = last_line(path, end - 1)
                n = msgspec.json.decode(line, type=_Numbered).record
                if count and n != newest:
                    break
                newest, count, end = n, count + 1, end - len(line) - 1
            return newest, count


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
    except (OSError, msgspec.DecodeError) as error:
        found = getattr(error, "strerror", None) or str(error)
        wanted = "room on the disk, and the right to write there"
        raise StateError("SLU-141", path=path, found=found, wanted=wanted) from error
