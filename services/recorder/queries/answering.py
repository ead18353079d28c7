"""Answer questions about a store, one a line: `python -m services.recorder.queries.answering`.

The reports service starts this, gives it the file for the time of a question, and kills it when the
answer is late. By itself it ends when its memory did not come back, and at once when the one who
started it is gone: else the file would be open for a service that begins anew. On Linux the kernel
sees to that, so that it holds for a process that somebody has stopped, too.
"""

import contextlib
import os
import resource
import select
import sys
import threading
from pathlib import Path

import duckdb
import msgspec
import psutil

from schemas.reports import QueryAnswer, QueryRequest
from services.recorder.queries.apart import GOES, STAYS
from services.recorder.queries.asking import asked, refused, too_large
from services.recorder.queries.opening import Limits, connected, lock_down
from services.runtime.tether import die_with_parent

SPARE_MB = 256
"""Address space beside what DuckDB counts: values that a function makes, rows as Python has them,
and what is mapped and never touched; in MiB."""

MIB = 1 << 20


def main() -> None:
    """Answer until standard input ends."""
    die_with_parent()
    if _is_hung_up(timeout_ms=0):
        return  # the one who started us was gone before the kernel knew of it
    folder, limits = Path(sys.argv[1]), Limits(int(sys.argv[2]), int(sys.argv[3]))
    threading.Thread(target=_end_with_input, daemon=True).start()
    own_bytes = _limit_memory(limits)
    _say(b"ready")
    for line in sys.stdin.buffer:
        request = msgspec.json.decode(line, type=QueryRequest)
        try:
            answer, stays = _answer(folder, limits, request), True
        except MemoryError:
            answer, stays = too_large(), False
        stays = stays and _used_bytes() < own_bytes + limits.memory_mb * MIB // 2
        _say((STAYS if stays else GOES) + msgspec.json.encode(answer))
        if not stays:
            return


def _end_with_input() -> None:
    _is_hung_up(timeout_ms=None)
    os._exit(0)  # in the midst of whatever is asked: nobody waits for it


def _is_hung_up(timeout_ms: int | None) -> bool:
    """Return whether nobody holds the other end of our input; None waits until that is so."""
    poll = select.poll()
    poll.register(sys.stdin.buffer, 0)
    return bool(poll.poll(timeout_ms))


def _answer(folder: Path, limits: Limits, request: QueryRequest) -> QueryAnswer:
    try:
        connection = connected(folder, limits, is_read_only=True)
    except duckdb.Error as error:
        _say(b"not open")
        return refused("query", str(error), "a store that can be read")
    with contextlib.closing(connection):
        lock_down(connection)
        _say(b"open")
        return asked(connection, request)


def _limit_memory(limits: Limits) -> int:
    """Take what may be used from here on; return what is used already, in bytes."""
    with duckdb.connect() as warm:  # its threads and what it loads late are no query's
        warm.execute("SELECT json_serialize_sql('SELECT 1')").fetchall()
    own_bytes = _used_bytes()
    most = own_bytes + (limits.memory_mb + SPARE_MB) * MIB
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would hold the record
    return own_bytes


def _used_bytes() -> int:
    return int(psutil.Process().memory_info().vms)


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
