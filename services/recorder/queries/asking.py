"""Questions to the store: one SELECT, read-only, limited in time, rows, memory and bytes.

A query that has a name is ours and is answered here. What somebody writes is answered by another
process: a planner that folds `range(100000000)` heeds neither an interrupt nor a memory limit.
"""

import contextlib
import re
import threading
import time
from datetime import date, datetime
from datetime import time as clock_time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec

from schemas.errors import FieldError, StateError
from schemas.reports import QueryAnswer, QueryRequest
from services.recorder.queries.named import NAMED
from services.recorder.queries.refusing import Refusal, refuse_all_but_reading

if TYPE_CHECKING:
    from services.recorder.queries.store import Store

ANSWER_BYTES_MAX = 1_500_000
"""Largest answer: the bus takes messages of 2 MB."""

FETCHED_AT_ONCE = 1_000
WAIT_S = 4.0
"""How long a question waits until the store has taken in what it is at."""

_LINE = re.compile(r"LINE (\d+): (.*)\n(\s*)\^", re.DOTALL)


def ask(store: "Store", request: QueryRequest) -> QueryAnswer:
    """Return what a query found; whatever is wrong with it is in the answer."""
    try:
        if not request.named:
            return store.asked_apart(request, WAIT_S)
        if request.sql or request.named not in NAMED:
            wanted = "one of " + ", ".join(NAMED) if not request.sql else "SQL or a name, not both"
            return refused("named", request.named, wanted)
        with store.cursor() as cursor:
            return answered(cursor, NAMED[request.named].sql, request)
    except TimeoutError:
        found = "the store is taking in what was recorded"
        return refused("query", found, "to be asked again in a moment")
    except StateError as error:
        return refused("query", str(error), "a store that can be read: see `sluice status`")


def asked(connection: "duckdb.DuckDBPyConnection", request: QueryRequest) -> QueryAnswer:
    """Return what a text found that anybody may have written; no other work is in this process.

    Raises:
        MemoryError: there is none left.
    """
    try:
        refuse_all_but_reading(connection, request.sql)
    except Refusal as refusal:
        return refused("sql", refusal.found, refusal.wanted)
    except duckdb.Error as error:
        return _failed(error)
    return answered(connection, request.sql, request)


def answered(cursor: "duckdb.DuckDBPyConnection", sql: str, request: QueryRequest) -> QueryAnswer:
    """Return what a SELECT found, or why it did not."""
    began_s = time.perf_counter()
    timer = threading.Timer(request.timeout_ms / 1_000, cursor.interrupt)
    timer.start()
    try:
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        [n] = cursor.execute("SELECT n FROM place").fetchone() or (0,)
        cursor.execute(sql)
        columns = [(str(each[0]), str(each[1])) for each in cursor.description or ()]
        rows, is_cut, bytes_ = _fetched(cursor, request.rows_count_max)
    except duckdb.InterruptException:
        return late(request)
    except duckdb.OutOfMemoryException:
        return too_large()
    except duckdb.Error as error:
        return _failed(error)
    finally:
        timer.cancel()
        with contextlib.suppress(duckdb.Error):
            cursor.execute("ROLLBACK")
    if bytes_ > ANSWER_BYTES_MAX:
        wanted = "fewer rows or columns (LIMIT), or `sluice export` for all of it"
        return refused("sql", f"an answer of more than {ANSWER_BYTES_MAX} bytes", wanted)
    return QueryAnswer(
        columns=tuple(name for name, _ in columns),
        kinds=tuple(kind for _, kind in columns),
        rows=rows,
        is_cut=is_cut,
        took_ms=round((time.perf_counter() - began_s) * 1_000, 3),
        recorded_count=int(n),
    )


def late(request: QueryRequest) -> QueryAnswer:
    """Return the answer to what takes too long."""
    found, wanted = f"not done after {request.timeout_ms} ms", "less to look at, or more time"
    return refused("timeout_ms", found, wanted)


def too_large() -> QueryAnswer:
    """Return the answer to what needs more memory, or disk, than there is for it."""
    return refused("sql", "more memory than queries may use", "less at once, or `query_memory_mb`")


def refused(path: str, found: str, wanted: str) -> QueryAnswer:
    """Return the answer to what is not answered."""
    return QueryAnswer(error=FieldError(path=path, found=found, wanted=wanted))


def _fetched(
    cursor: "duckdb.DuckDBPyConnection", rows_max: int
) -> tuple[tuple[tuple[Any, ...], ...], bool, int]:
    """Return the rows, whether there are more, and how many bytes they make, if not too many."""
    found: list[tuple[Any, ...]] = []
    bytes_ = 0
    while len(found) <= rows_max and bytes_ <= ANSWER_BYTES_MAX:
        wanted = min(FETCHED_AT_ONCE, rows_max + 1 - len(found))
        part = [tuple(map(_plain, row)) for row in cursor.fetchmany(wanted)]
        if not part:
            break
        bytes_ += len(msgspec.json.encode(part))
        found += part
    return tuple(found[:rows_max]), len(found) > rows_max, bytes_


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it; exact decimals, times and the like as text."""
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, date | datetime | clock_time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    return str(value)


def _failed(error: Exception) -> QueryAnswer:
    """Return the store's complaint, with line and column where it names them."""
    text = str(error).strip()
    said = text.split("\n\nLINE")[0].replace("\n", " ")
    where = _LINE.search(text)
    path = "sql"
    if where is not None:
        prefix = len(f"LINE {where[1]}: ")
        column = max(1, len(where[3]) - prefix + 1)
        path = f"sql, line {where[1]}, column {column}"
    return refused(path, said, "a SELECT that the store understands")
