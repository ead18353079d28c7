"""The repository in a PostgreSQL database, for systems that share one or have it backed up."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from schemas.errors import StateError, UserError
from services.repository.migrations import APPLIED, NEWEST, VERSIONS, steps_from
from services.repository.repository import SqlRepository, Statement, Value

if TYPE_CHECKING:
    import asyncpg

CONNECTIONS_MAX = 4
COMMAND_TIMEOUT_S = 10.0
MIGRATING = 0x51_1C_E5
"""Number of the advisory lock under which one process at a time brings the tables forward."""


class PostgresRepository(SqlRepository):
    """A database, and a small pool of connections to it."""

    def __init__(self, where: str, pool: "asyncpg.Pool[Any]") -> None:
        self._where = where
        self._pool = pool

    @classmethod
    async def opened(cls, url: str) -> "PostgresRepository":
        """Return the repository in that database, brought up to this release's tables.

        Raises:
            StateError: SLU-200 the database is away; SLU-201 a newer release wrote it.
            UserError: SLU-100 the library that speaks to it is not installed.
        """
        try:
            import asyncpg
        except ImportError as error:
            raise UserError(
                "SLU-100", path="repository.url", found="asyncpg is not installed",
                wanted="sluice[postgres], or an empty url for the embedded repository",
            ) from error  # fmt: skip
        async with _told(url):
            pool = await asyncpg.create_pool(
                url, min_size=1, max_size=CONNECTIONS_MAX, command_timeout=COMMAND_TIMEOUT_S
            )
        repository = cls(url, pool)
        try:
            await repository._migrate()
        except BaseException:
            await repository.close()
            raise
        return repository

    async def close(self) -> None:
        """Close every connection."""
        self._pool.terminate()

    async def _migrate(self) -> None:
        async with _told(self._where), self._pool.acquire() as link, link.transaction():
            await link.execute(f"SELECT pg_advisory_xact_lock({MIGRATING})")
            await link.execute(VERSIONS)
            version = await link.fetchval(NEWEST)
            for number, statements in steps_from(version, self._where):
                for statement in statements:
                    await link.execute(statement)
                await link.execute(APPLIED, number, time.time_ns())

    async def _write(self, statements: Sequence[Statement]) -> None:
        async with _told(self._where), self._pool.acquire() as link, link.transaction():
            for sql, values in statements:
                await link.execute(sql, *values)

    async def _read(self, sql: str, values: Sequence[Value]) -> list[str]:
        async with _told(self._where), self._pool.acquire() as link:
            return [row[0] for row in await link.fetch(sql, *values)]


@asynccontextmanager
async def _told(where: str) -> AsyncIterator[None]:
    """Tell whatever the database, or the way to it, does wrong as one of our errors."""
    import asyncpg

    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        found = f"{type(error).__name__}: {error}"
        raise StateError("SLU-200", where=where, found=found, wanted="a database") from error
