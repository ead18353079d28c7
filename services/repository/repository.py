"""What every repository can do, and what is the same in all that speak SQL."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import msgspec

from services.repository.kinds import Kind, R, Row

FOUND_MAX = 1_000
"""Records returned by one question that does not say how many; a count."""


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """Which records; what is left out is not asked for."""

    strategy: str | None = None
    session: str | None = None
    account: str | None = None
    from_ns: int | None = None
    """Of the oldest, ns since the epoch."""

    until_ns: int | None = None
    """The first ns that is outside."""

    count_max: int = FOUND_MAX


EVERY = Where()


class Repository(Protocol):
    """Where records are kept. Every method raises `StateError` SLU-200 while it is away."""

    async def put(self, *rows: Row) -> None:
        """Store all rows or none; once this returns, they outlive any crash."""

    async def get(self, kind: Kind[R], key: str) -> R | None:
        """Return the record with this key; None if there is none."""

    async def find(self, kind: Kind[R], where: Where = EVERY) -> list[R]:
        """Return the records asked for, the newest first."""

    async def remove(self, kind: Kind[R], where: Where = EVERY) -> None:
        """Take away the records asked for, all of them (`count_max` is not looked at)."""

    async def close(self) -> None:
        """Let go of it; what was stored stays."""


Value = str | int
Statement = tuple[str, Sequence[Value]]

_UPSERT = (
    "INSERT INTO records (kind, key, at_ns, strategy, session, account, body)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (kind, key) DO UPDATE SET"
    " at_ns = excluded.at_ns, strategy = excluded.strategy, session = excluded.session,"
    " account = excluded.account, body = excluded.body"
)
_GET = "SELECT body FROM records WHERE kind = $1 AND key = $2"


class SqlRepository(ABC):
    """The part that is the same wherever SQL with `$1` for values is understood."""

    async def put(self, *rows: Row) -> None:
        """Store all rows or none."""
        if rows:
            await self._write([(_UPSERT, _values(row)) for row in rows])

    async def get(self, kind: Kind[R], key: str) -> R | None:
        """Return the record with this key; None if there is none."""
        found = await self._read(_GET, (kind.name, key))
        return kind.record(found[0]) if found else None

    async def find(self, kind: Kind[R], where: Where = EVERY) -> list[R]:
        """Return the records asked for, the newest first."""
        clause, values = _clause(kind.name, where)
        limit = f" ORDER BY at_ns DESC, key DESC LIMIT ${len(values) + 1}"
        sql = f"SELECT body FROM records WHERE {clause}{limit}"
        return [kind.record(body) for body in await self._read(sql, (*values, where.count_max))]

    async def remove(self, kind: Kind[R], where: Where = EVERY) -> None:
        """Take away the records asked for."""
        clause, values = _clause(kind.name, where)
        await self._write([(f"DELETE FROM records WHERE {clause}", values)])

    @abstractmethod
    async def _write(self, statements: Sequence[Statement]) -> None:
        """Do all or nothing of it, durably."""

    @abstractmethod
    async def _read(self, sql: str, values: Sequence[Value]) -> list[str]:
        """Return the first column of what is found."""


def _values(row: Row) -> tuple[Value, ...]:
    index = row.index
    named = (index.key, index.at_ns, index.strategy, index.session, index.account)
    return (row.kind, *named, row.body)


def _clause(kind: str, where: Where) -> tuple[str, tuple[Value, ...]]:
    asked: tuple[tuple[str, Value | None], ...] = (
        ("kind =", kind),
        ("strategy =", where.strategy),
        ("session =", where.session),
        ("account =", where.account),
        ("at_ns >=", where.from_ns),
        ("at_ns <", where.until_ns),
    )
    given = [(test, value) for test, value in asked if value is not None]
    clause = " AND ".join(f"{test} ${number}" for number, (test, _) in enumerate(given, 1))
    return clause, tuple(value for _, value in given)
