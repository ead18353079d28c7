"""Questions to the store: one SELECT, read-only, limited in time, rows, memory and bytes."""

import contextlib
import re
import threading
import time
from datetime import date, datetime
from datetime import time as clock_time
from decimal import Decimal
from typing import Any

import duckdb
import msgspec

from schemas.errors import FieldError
from schemas.reports import QueryAnswer, QueryRequest
from services.recorder.queries.named import NAMED
from services.recorder.queries.store import Store

ANSWER_BYTES_MAX = 1_500_000
"""Largest answer: the bus takes messages of 2 MB."""

FETCHED_AT_ONCE = 1_000
FORBIDDEN = frozenset(
    {
        "checkpoint",
        "force_checkpoint",
        "write_log",
        "truncate_duckdb_logs",
        "enable_logging",
        "disable_logging",
        "query",
        "query_table",
        "nextval",
        "setseed",
        "duckdb_secrets",
        "duckdb_settings",
        "current_setting",
        "which_secret",
        "pragma_database_list",
        "duckdb_databases",
        "duckdb_temporary_files",
        "duckdb_logs",
        "duckdb_logs_parsed",
        "duckdb_log_contexts",
    }
)
"""Functions of a SELECT that do more than read our tables, or tell where this machine keeps things;
files and the network are out of reach by the store's own settings."""

_CALL = re.compile(r'"?([A-Za-z_][A-Za-z0-9_]*)"?\s*\(')
_LINE = re.compile(r"LINE (\d+): (.*)\n(\s*)\^", re.DOTALL)


def ask(store: Store, request: QueryRequest) -> QueryAnswer:
    """Return what a query found; whatever is wrong with it is in the answer."""
    sql = request.sql
    if request.named:
        if request.sql or request.named not in NAMED:
            wanted = "one of " + ", ".join(NAMED) if not request.sql else "SQL or a name, not both"
            return _refused("named", request.named, wanted)
        sql = NAMED[request.named].sql
    with contextlib.closing(store.cursor()) as cursor:
        refusal = _refusal(cursor, sql)
        return refusal or _answered(cursor, sql, request, store)


def _refusal(cursor: "duckdb.DuckDBPyConnection", sql: str) -> QueryAnswer | None:
    """Return why a text is not asked at all; None if it may be."""
    try:
        statements = cursor.extract_statements(sql)
    except duckdb.Error as error:
        return _failed(error)
    if len(statements) != 1:
        return _refused("sql", f"{len(statements)} statements", "one SELECT")
    kind = statements[0].type
    if kind is not duckdb.StatementType.SELECT:
        wanted = "a SELECT: the record is read, never changed"
        return _refused("sql", f"a statement of the kind {kind.name}", wanted)
    called = {name.lower() for name in _CALL.findall(sql)}
    forbidden = sorted(called & FORBIDDEN)
    if forbidden:
        return _refused("sql", ", ".join(forbidden), "the tables that `sluice query` lists")
    return None


def _answered(
    cursor: "duckdb.DuckDBPyConnection", sql: str, request: QueryRequest, store: Store
) -> QueryAnswer:
    began_s = time.perf_counter()
    timer = threading.Timer(request.timeout_ms / 1_000, cursor.interrupt)
    timer.start()
    try:
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        cursor.execute(sql)
        columns = [(str(each[0]), str(each[1])) for each in cursor.description or ()]
        rows, is_cut, bytes_ = _fetched(cursor, request.rows_count_max)
    except duckdb.InterruptException:
        found, wanted = f"not done after {request.timeout_ms} ms", "less to look at, or more time"
        return _refused("timeout_ms", found, wanted)
    except duckdb.Error as error:
        return _failed(error)
    finally:
        timer.cancel()
        with contextlib.suppress(duckdb.Error):
            cursor.execute("ROLLBACK")
    if bytes_ > ANSWER_BYTES_MAX:
        wanted = "fewer rows or columns (LIMIT), or `sluice export` for all of it"
        return _refused("sql", f"an answer of more than {ANSWER_BYTES_MAX} bytes", wanted)
    return QueryAnswer(
        columns=tuple(name for name, _ in columns),
        kinds=tuple(kind for _, kind in columns),
        rows=rows,
        is_cut=is_cut,
        took_ms=round((time.perf_counter() - began_s) * 1_000, 3),
        recorded_count=store.n,
    )


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
    return _refused(path, said, "a SELECT that the store understands")


def _refused(path: str, found: str, wanted: str) -> QueryAnswer:
    return QueryAnswer(error=FieldError(path=path, found=found, wanted=wanted))
