"""CSV in, Parquet out: through pipes, and through no disk, for what is exported may be a secret."""

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator

from schemas.errors import StateError

PIPE_BYTES = 65_536
ROWS_AT_ONCE = 8_192
"""Rows of a group; a group is made in memory, and a row of events may be long."""

WANTED = "amounts of at most 18 digits before the point: --csv takes any, and a disk with room"


class _Failures:
    """What went wrong on either side; the end of one side breaks the pipe of the other."""

    def __init__(self) -> None:
        self.pouring: BaseException | None = None
        self.converting: BaseException | None = None

    def raise_first(self) -> None:
        """Raise the cause, not what followed from it."""
        if self.pouring is not None and not isinstance(self.pouring, BrokenPipeError):
            raise self.pouring
        if self.converting is not None:
            raise StateError(
                "SLU-149", found=str(self.converting).strip(), wanted=WANTED
            ) from self.converting


def as_parquet(kind: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a Parquet file made of the pieces of a CSV one.

    Raises:
        StateError: SLU-149 a value does not fit its column; and what `pieces` raises.
    """
    source, pour_into = os.pipe()
    read_from, target = os.pipe()
    failures = _Failures()
    threads = [
        threading.Thread(target=_pour, args=(pieces, pour_into, failures)),
        threading.Thread(target=_convert, args=(kind, source, target, failures)),
    ]
    for each in threads:
        each.start()
    try:
        while piece := os.read(read_from, PIPE_BYTES):
            yield piece
    finally:
        os.close(read_from)  # whoever writes for nobody ends by that
        for each in threads:
            each.join()
    failures.raise_first()


def _pour(pieces: Iterable[bytes], into: int, failures: _Failures) -> None:
    try:
        with open(into, "wb") as file:
            for piece in pieces:
                file.write(piece)
    except BaseException as error:  # told to the one who reads: threads have no caller
        failures.pouring = error


def _convert(kind: str, source: int, target: int, failures: _Failures) -> None:
    """Run the conversion; both ends are closed after it, so that nobody waits for more."""
    import duckdb

    from services.recorder.queries.exporting import columns_of

    kinds = ", ".join(f"'{each.name}': '{each.kind}'" for each in columns_of(kind))
    read = f"read_csv('/dev/fd/{source}', header = true, auto_detect = false"
    read += f", columns = {{{kinds}}}, delim = ',', quote = '\"', escape = '\"'"
    read += ", parallel = false, max_line_size = 4000000)"
    into = f"'/dev/fd/{target}' (FORMAT parquet, ROW_GROUP_SIZE {ROWS_AT_ONCE})"
    limits: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": "256MiB",
        "threads": 1,
    }
    try:
        with contextlib.closing(duckdb.connect(config=limits)) as connection:
            connection.execute("SET preserve_insertion_order = true")
            connection.execute(f"COPY (SELECT * FROM {read}) TO {into}")
    except BaseException as error:
        failures.converting = error
    finally:
        os.close(source)
        os.close(target)
