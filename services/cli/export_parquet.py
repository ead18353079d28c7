"""CSV in, Parquet out: DuckDB reads a file a part at a time, and a pipe whole."""

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from schemas.errors import StateError

PIPE_BYTES = 65_536
LINE_BYTES_MAX = 4 * (2 << 20)
"""The bus takes messages of 2 MiB. A byte that is no text becomes three; of text each may be a
quote, which is written twice, and stand in a column of its own besides."""

MEMORY_BYTES_MAX = 1 << 30
ROWS_AT_ONCE, GROUP_BYTES = 8_192, 16 << 20
"""Of a group, which is made in memory: whichever comes first, as a row of events may be long."""

LIMITS: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": f"{MEMORY_BYTES_MAX >> 20}MiB",  # some MB; all of it only for rows of many MB
    "threads": 1,
    "temp_directory": "",  # nothing but the file that was asked for lies on any disk
}
WANTED = "amounts of at most 18 digits before the point: --csv takes any, and a disk with room"
WANTED_LESS = "a shorter time (--from, --to), or --csv: that needs no memory"


def as_parquet(kind: str, pieces: Iterable[bytes], *, beside: Path | None) -> Iterator[bytes]:
    """Yield a Parquet file made of the pieces of a CSV one.

    Args:
        kind: of the export; says what the columns are.
        pieces: the CSV file.
        beside: a folder with room for it; it has no name there, and is gone whatever happens. None:
            no disk may see it, as what is to be encrypted; then it must fit into memory.

    Raises:
        StateError: SLU-149 a value does not fit its column, or all of it into memory.
        OSError: the disk did not take it.
    """
    with _unnamed(beside) as file:
        for piece in pieces:
            file.write(piece)
            if beside is None and file.tell() > MEMORY_BYTES_MAX:
                found = f"more than {MEMORY_BYTES_MAX >> 20} MiB of rows, and no disk may see them"
                raise StateError("SLU-149", found=found, wanted=WANTED_LESS)
        file.flush()
        yield from _converted(kind, file.fileno())


def _unnamed(beside: Path | None) -> IO[bytes]:
    if beside is not None:
        return tempfile.TemporaryFile(dir=beside)
    if not hasattr(os, "memfd_create"):  # Linux has it
        found, wanted = "a system without files in memory", "--csv with --encrypt-to"
        raise StateError("SLU-149", found=found, wanted=wanted)
    return os.fdopen(os.memfd_create("export"), "w+b")


def _converted(kind: str, source: int) -> Iterator[bytes]:
    read_from, target = os.pipe()
    failures: list[BaseException] = []
    thread = threading.Thread(target=_convert, args=(kind, source, target, failures))
    thread.start()
    try:
        while piece := os.read(read_from, PIPE_BYTES):
            yield piece
    finally:
        os.close(read_from)  # whoever writes for nobody ends by that
        thread.join()
    if failures:
        raise _failed(failures[0]) from failures[0]


def _failed(error: BaseException) -> StateError:
    import duckdb

    if isinstance(error, duckdb.OutOfMemoryException | MemoryError):
        found = f"rows too long for {MEMORY_BYTES_MAX >> 20} MiB of memory"
        return StateError("SLU-149", found=found, wanted=WANTED_LESS)
    return StateError("SLU-149", found=str(error).strip(), wanted=WANTED)


def _convert(kind: str, source: int, target: int, failures: list[BaseException]) -> None:
    """Run the conversion; the end for writing is closed after it: nobody waits for more."""
    import duckdb

    from services.recorder.queries.exporting import columns_of

    kinds = ", ".join(f"'{each.name}': '{each.kind}'" for each in columns_of(kind))
    read = f"read_csv('/dev/fd/{source}', header = true, auto_detect = false"
    read += f", columns = {{{kinds}}}, delim = ',', quote = '\"', escape = '\"'"
    # By itself it takes 32 times the longest line for a buffer: half of all the memory it may have.
    read += f", max_line_size = {LINE_BYTES_MAX}, buffer_size = {LINE_BYTES_MAX})"
    group = f"ROW_GROUP_SIZE {ROWS_AT_ONCE}, ROW_GROUP_SIZE_BYTES {GROUP_BYTES}"
    into = f"'/dev/fd/{target}' (FORMAT parquet, {group})"
    try:
        with contextlib.closing(duckdb.connect(config=LIMITS)) as connection:
            # Groups are cut by bytes only so. One thread keeps the order of what it reads.
            connection.execute("SET preserve_insertion_order = false")
            connection.execute(f"COPY (SELECT * FROM {read}) TO {into}")
    except BaseException as error:  # told to the one who reads: threads have no caller
        failures.append(error)
    finally:
        os.close(target)
