"""The tables on the disk: fed in batches, each whole or not at all, and never asked for a write.

DuckDB lets one process write a file, or several read it. That process is this one; it reads the
recorder's files and nothing waits for it. What somebody wants to know in SQL of his own is answered
by another process, to which the file is lent for that time: what is recorded then is taken in
after. Whatever happens to the store, it can be made anew from the record.
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from schemas.errors import StateError
from schemas.reports import QueryAnswer, QueryRequest
from services.recorder.queries.apart import Apart
from services.recorder.queries.lending import Lending
from services.recorder.queries.opening import FILE, Limits, connected, lock_down
from services.recorder.queries.order_rows import Row
from services.recorder.queries.rows import Rows
from services.recorder.queries.tables import (
    ALL,
    KEYED,
    TABLES,
    create_sql,
    delete_sql,
    insert_sql,
)
from services.reports.orders import CLOSED_MAX

FORM = 4
"""The tables' version: a store of another one is made anew."""

INT_BITS = 64
_BEGINNINGS = tuple(
    at
    for at, column in enumerate(KEYED["orders"])
    if column.name in ("signal_ns", "decided_ns", "submitted_ns")
)
REPEATS_MAX = 500_000
"""Executions that are read back when the store is opened, so that a repeat counts once; a count."""

_BATCH = "batch"
_PLACE = "CREATE TABLE IF NOT EXISTS place (form INTEGER, n BIGINT, hash VARCHAR)"


_TERMS = "SELECT arg_max(body, record) FROM events WHERE type = 'TermsDeclared' GROUP BY account"
_HOLDS = "SELECT session FROM positions WHERE quantity IS NULL OR quantity <> 0"
_ORDERS_ENDED = "DELETE FROM orders WHERE NOT is_open AND closed_ns <= ?"
_DAYS_PAST = "DELETE FROM counts WHERE day < (SELECT min(day) FROM events) RETURNING key"
_SESSIONS_ENDED = (
    "DELETE FROM sessions WHERE state IN ('stopped', 'completed', 'failed') AND changed_ns <= ?"
    f" AND session NOT IN ({_HOLDS}) RETURNING session"
)
"""What ends with the records of its time; the parameter is that of the last one, ns."""


class Store:
    """The query store of one folder. One thread feeds it; cursors of others only read.

    Attributes:
        rows: the fold that the next batch goes on from.
    """

    def __init__(
        self,
        folder: Path,
        *,
        memory_mb: int = 256,
        threads: int = 1,
        closed_orders_max: int = CLOSED_MAX,
    ) -> None:
        """Open the store, or make it.

        Raises:
            StateError: SLU-141 the folder cannot be written, or another process has it open.
        """
        self._folder, self._closed_max = folder, closed_orders_max
        self._limits = Limits(memory_mb, threads)
        self._lock, self._lending = threading.Lock(), Lending()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._is_closed = self._is_behind = False
        self._apart = Apart(folder, self._limits)
        self._create()
        if not self._is_ours():
            self._let_go()
            remove(folder)
            self._create()
        self.rows = self._restored()

    @property
    def n(self) -> int:
        """The last record that is in the tables; `rows` goes on from there.

        Raises:
            StateError: SLU-141 the store does not answer.
        """
        if self._is_behind:
            self._catch_up()
        return self._place()

    @property
    def hash(self) -> str:
        """The hash of record `n`; empty where nobody said it.

        Raises:
            StateError: SLU-141 the store does not answer.
        """
        return "".join(row[0] for row in self.values("SELECT hash FROM place"))

    def commit(self, hash_: str = "") -> None:
        """Take in what `rows` has folded since the last commit; it is durable when this returns.

        Args:
            hash_: of the last record folded in, so that another one in its place is noticed.

        Raises:
            StateError: SLU-141 the disk did not take it; nothing of it is in the tables.
        """
        taken, n = self.rows.take(), self.rows.n
        self._is_behind = True  # until it is in; if it never is, until `n` can be read
        try:
            with self._transaction() as connection:
                for table, rows in taken.items():
                    if rows:
                        self._insert(connection, table, rows)
                connection.execute("UPDATE place SET n = ?, hash = ?", [n, hash_])
        except duckdb.Error as error:
            self._renew(error)
            with contextlib.suppress(StateError):  # `n` tries again; the first is what is told
                self._catch_up()
            raise self._failed(error) from error
        self._is_behind = False

    def forget(self, last_n: int) -> None:
        """Remove what is of records up to `last_n`, which retention took away.

        Orders and sessions that had ended by then go with them, and counts of days before. What is
        held now stays, and the sessions that hold it: it began some time.

        Raises:
            StateError: SLU-141 the disk did not take it; nothing is removed.
        """
        try:
            with self._transaction() as connection:
                newest = "SELECT max(recv_ns) FROM events WHERE record <= ?"
                [until_ns] = connection.execute(newest, [last_n]).fetchone() or (None,)
                for table in TABLES:
                    connection.execute(f"DELETE FROM {table} WHERE record <= ?", [last_n])
                until = [until_ns or 0]
                connection.execute(_ORDERS_ENDED, until)
                days = connection.execute(_DAYS_PAST).fetchall()
                sessions = connection.execute(_SESSIONS_ENDED, until).fetchall()
        except duckdb.Error as error:
            self._renew(error)
            raise self._failed(error) from error
        self.rows.forget(sessions=[each[0] for each in sessions], counts=[each[0] for each in days])

    @contextlib.contextmanager
    def cursor(self) -> Iterator["duckdb.DuckDBPyConnection"]:
        """Yield a connection for one reader; waits while the file is lent.

        Raises:
            StateError: SLU-141 the file was closed, or cannot be opened again after it was lent.
        """
        with self._lending.used():
            with self._lock:
                cursor = self._opened().cursor()
            with contextlib.closing(cursor):
                yield cursor

    def asked_apart(self, request: QueryRequest, wait_s: float) -> QueryAnswer:
        """Return the answer of a process that has the file alone, and no longer than it may.

        Raises:
            StateError: SLU-141 the store was closed, or there is no such process.
            TimeoutError: others use the file for longer than `wait_s`.
        """
        with self._lending.lent(wait_s):
            if self._is_closed:
                raise self._failed(duckdb.ConnectionException("it was closed"))
            self._apart.begin()
            self._let_go()
            try:
                return self._apart.ask(request)
            finally:
                with contextlib.suppress(StateError), self._lock:  # told to the next who uses it
                    self._opened()

    def values(self, sql: str, *parameters: object) -> list[Row]:
        """Return the rows of a statement of our own.

        Raises:
            StateError: SLU-141 the store does not answer.
        """
        try:
            with self.cursor() as cursor:
                return list(cursor.execute(sql, list(parameters)).fetchall())
        except duckdb.Error as error:
            self._renew(error)
            raise self._failed(error) from error

    def close(self) -> None:
        """Let go of the file, once nobody has it apart."""
        with self._lending.used(), self._lock:
            self._is_closed = True
            self._let_go()
            self._apart.close()

    def _create(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            connection = self._opened()
            for each in (*map(create_sql, ALL), _PLACE):
                connection.execute(each)
        except (duckdb.Error, OSError) as error:
            raise self._failed(error) from error

    def _opened(self) -> "duckdb.DuckDBPyConnection":
        """Return the one connection, made anew where the file was lent."""
        try:
            if self._is_closed:
                raise duckdb.ConnectionException("it was closed")
            if self._connection is None:
                connection = connected(self._folder, self._limits)
                lock_down(connection)
                self._connection = connection
        except duckdb.Error as error:
            raise self._failed(error) from error
        return self._connection

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _renew(self, error: duckdb.Error) -> None:
        """Let go of a file that DuckDB will not use any more until it is opened anew.

        So it is once a disk was full while it moved its log into the tables: all is in the log.
        """
        if isinstance(error, duckdb.FatalException):
            with self._lock:
                self._let_go()

    def _catch_up(self) -> None:
        self.rows = self._restored()
        self._is_behind = False

    def _place(self) -> int:
        return sum(row[0] for row in self.values("SELECT n FROM place"))

    def _is_ours(self) -> bool:
        found = self.values("SELECT form FROM place")
        if not found:
            with self._transaction() as connection:
                connection.execute("INSERT INTO place VALUES (?, 0, '')", [FORM])
            return True
        return int(found[0][0]) == FORM

    def _restored(self) -> Rows:
        rows = Rows(self._place(), self._closed_max)
        if rows.n:
            recent = f"SELECT execution_id FROM fills ORDER BY record DESC LIMIT {REPEATS_MAX}"
            sessions = self.values("SELECT * FROM sessions")
            rows.counts.restore(map(_plain, self.values("SELECT * FROM counts")))
            rows.restore(
                dict(self.values("SELECT key, exact FROM folds WHERE exact IS NOT NULL")),
                [row[0] for row in self.values("SELECT exact FROM positions")],
                [row[0] for row in self.values("SELECT exact FROM instruments")],
                [row[0] for row in self.values(_TERMS)],
                [row[0] for row in reversed(self.values(recent))],
                [_plain(row) for row in sessions],
            )
        return rows

    @contextlib.contextmanager
    def _transaction(self) -> Iterator["duckdb.DuckDBPyConnection"]:
        with self.cursor() as cursor:
            cursor.execute("BEGIN TRANSACTION")
            try:
                yield cursor
            except BaseException:
                with contextlib.suppress(duckdb.Error):  # the first error is the one to be told
                    cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")

    @staticmethod
    def _insert(connection: "duckdb.DuckDBPyConnection", table: str, rows: Sequence[Row]) -> None:
        columns = ALL[table]
        if table == "orders" and not (rows := _without_remnants(connection, rows)):
            return
        batch: dict[str, Any] = {
            column.name: _numbers(values) if column.is_number else np.array(values, dtype=object)
            for column, values in zip(columns, zip(*rows, strict=True), strict=True)
        }
        connection.register(_BATCH, batch)
        try:
            if table in KEYED:
                connection.execute(delete_sql(table, _BATCH))
            connection.execute(insert_sql(table, _BATCH))
            if table == "folds":  # an order that has ended needs no row
                connection.execute("DELETE FROM folds WHERE exact IS NULL")
        finally:
            with contextlib.suppress(duckdb.Error):  # what went wrong before is what is told
                connection.unregister(_BATCH)

    def _failed(self, error: Exception) -> StateError:
        wanted = "room on the disk, and one reports service for one folder"
        if isinstance(error, duckdb.DataError | duckdb.ProgrammingError):
            wanted = "what the tables can hold: please report it with the record's number"
        return StateError("SLU-141", path=self._folder / FILE, found=str(error), wanted=wanted)


def _without_remnants(
    connection: "duckdb.DuckDBPyConnection", rows: Sequence[Row]
) -> Sequence[Row]:
    """Leave out what is known only from the end of an order, where the table has all of it.

    Something was told of an order that closed so long ago that the fold has let go of it.
    """
    ends = {row[0] for row in rows if not any(row[at] for at in _BEGINNINGS)}
    if not ends:
        return rows
    asked = f"SELECT order_id FROM orders WHERE order_id IN ({', '.join('?' * len(ends))})"
    known = {row[0] for row in connection.execute(asked, [*ends]).fetchall()}
    return [row for row in rows if row[0] not in ends & known]


def _numbers(values: Sequence[object]) -> Any:
    """Return a column of numbers; one that does not fit is 0, which stands for nothing."""
    try:
        return np.array(values, dtype=np.int64)
    except OverflowError:
        fitting = (v if isinstance(v, int) and v.bit_length() < INT_BITS else 0 for v in values)
        return np.array([*fitting], dtype=np.int64)


def _plain(row: Row) -> Row:
    """Return a row as a batch has it: what is not there empty, a date as text."""
    return tuple("" if v is None else v.isoformat() if isinstance(v, date) else v for v in row)


def remove(folder: Path) -> None:
    """Remove a store that nobody has open.

    Raises:
        StateError: SLU-141 a file cannot be removed.
    """
    try:
        for name in (FILE, f"{FILE}.wal"):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        found = error.strerror or str(error)
        raise StateError("SLU-141", path=folder, found=found, wanted="to be removed") from error
