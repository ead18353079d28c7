"""Read a chained journal: the files of a folder, their lines, their records. Changes nothing.

Whoever reads the record from its files (verification, search, queries, reports, backup) does it
through this module. A folder that is being written to can be read: a line is there whole or not
at all, and what came after the reading began may or may not be seen.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from services.recorder.chain import Record, read_line

_TOLD_BYTES = 1 << 20
_SEGMENT = re.compile(r"chain-\d{12,}\.jsonl", re.ASCII)


def records(folder: Path, *, after_n: int = 0) -> Iterator[Record]:
    """Yield the records of a journal after number `after_n`, oldest first, one at a time.

    A number is never given twice. The first record may have a higher number than `after_n + 1`:
    retention takes whole files away. Nothing is verified: `audit verify` does that.

    Raises:
        msgspec.DecodeError: a line is no record.
        OSError: a file cannot be read.
    """
    for path in files_after(folder, after_n):
        for line in lines(path):
            record = read_line(line)
            if record.n > after_n:
                yield record


def segments(folder: Path) -> list[Path]:
    """Return the journal's files, oldest first; their names carry their first record's number.

    A file of another name, as a copy that somebody made beside them, is none of the journal's.
    """
    found = (path for path in folder.glob("chain-*.jsonl") if _SEGMENT.fullmatch(path.name))
    return sorted(found, key=first_n)


def segment_name(first_n: int) -> str:
    """Return the name of the file that begins with record `first_n`."""
    return f"chain-{first_n:012d}.jsonl"


def first_n(path: Path) -> int:
    """Return the number of a file's first record."""
    return int(path.stem.partition("-")[2])


def files_after(folder: Path, n: int) -> list[Path]:
    """Return the files that hold what comes after record `n`, oldest first."""
    files = segments(folder)
    later = [path for path in files if first_n(path) > n + 1]
    return files[max(0, len(files) - len(later) - 1) :]


def lines(path: Path, offset_bytes: int = 0) -> Iterator[bytes]:
    """Yield the whole lines of a file without their newlines; a torn last one is left out.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        file.seek(offset_bytes)
        for line in file:
            if line.endswith(b"\n"):
                yield line[:-1]


def watched_lines(folder: Path, on_bytes: Callable[[int], None]) -> Iterator[bytes]:
    """Yield every line of a journal, oldest first; `on_bytes` is told how far the reading is.

    Raises:
        OSError: a file cannot be read.
    """
    count = 0
    for path in segments(folder):
        for line in lines(path):
            count += len(line) + 1
            if count > _TOLD_BYTES:
                on_bytes(count)
                count = 0
            yield line
    on_bytes(count)


def size_bytes(folder: Path) -> int:
    """Return how long a journal is, in bytes."""
    return sum(path.stat().st_size for path in segments(folder))


def last_line(path: Path, offset_bytes: int) -> bytes:
    """Return what stands after the last newline before `offset_bytes`.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = 4_096
        while True:
            start = max(0, offset_bytes - size)
            file.seek(start)
            _, newline, tail = file.read(offset_bytes - start).rpartition(b"\n")
            if newline or start == 0:
                return tail
            size *= 8
