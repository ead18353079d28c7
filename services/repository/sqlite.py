"""The embedded repository: one SQLite file in WAL mode, one thread that has it open."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from schemas.errors import StateError
from services.repository.migrations import APPLIED, NEWEST, VERSIONS, steps_from
from services.repository.repository import SqlRepository, Statement, Value

BUSY_TIMEOUT_S = 5.0
"""How long another process (a backtest that stores its result) may hold the file's lock."""

_T = TypeVar("_T")


class SqliteRepository(SqlRepository):
    """A file, and the one thread that reads and writes it. Other processes may have it open too."""

    def __init__(
        self, path: Path, thread: ThreadPoolExecutor, database: sqlite3.Connection
    ) -> None:
        self.path = path
        self._thread = thread
        self._database = database

    @classmethod
    async def opened(cls, path: Path) -> "SqliteRepository":
        """Return the repository in that file, made or brought up to this release's tables.

        Raises:
            StateError: SLU-200 the file cannot be used; SLU-201 a newer release wrote it.
        """
        thread = ThreadPoolExecutor(1, thread_name_prefix="repository")
        try:
            return cls(path, thread, await _in(thread, path, lambda: _connected(path)))
        except BaseException:
            thread.shutdown(wait=False)
            raise

    async def close(self) -> None:
        """Close the file, after everything that was asked before."""
        await _in(self._thread, self.path, self._database.close)
        self._thread.shutdown(wait=False)

    async def _write(self, statements: Sequence[Statement]) -> None:
        await _in(self._thread, self.path, lambda: _write(self._database, statements))

    async def _read(self, sql: str, values: Sequence[Value]) -> list[str]:
        def read() -> list[str]:
            return [row[0] for row in self._database.execute(sql, _named(values))]

        return await _in(self._thread, self.path, read)


async def _in(thread: ThreadPoolExecutor, path: Path, work: Callable[[], _T]) -> _T:
    try:
        return await asyncio.get_running_loop().run_in_executor(thread, work)
    except (sqlite3.Error, OSError) as error:
        raise StateError("SLU-200", where=path, found=error, wanted="a usable file") from error


def _connected(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # acknowledged means on the disk
        _migrate(database, str(path))
    except BaseException:
        database.close()
        raise
    return database


def _migrate(database: sqlite3.Connection, where: str) -> None:
    """Bring the tables forward: all of it, or, if the power goes, none of it."""
    database.execute("BEGIN IMMEDIATE")
    try:
        database.execute(VERSIONS)
        [[version]] = database.execute(NEWEST)
        for number, statements in steps_from(version, where):
            for statement in statements:
                database.execute(statement)
            database.execute(APPLIED, _named((number, time.time_ns())))
        database.execute("COMMIT")
    except BaseException:
        database.execute("ROLLBACK")
        raise


def _write(database: sqlite3.Connection, statements: Sequence[Statement]) -> None:
    database.execute("BEGIN IMMEDIATE")
    try:
        for sql, values in statements:
            database.execute(sql, _named(values))
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _named(values: Sequence[Value]) -> dict[str, Value]:
    """Return the values by the names that SQLite takes `$1`, `$2` for."""
    return {str(number): value for number, value in enumerate(values, 1)}
