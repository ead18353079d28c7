"""Sessions that ended long ago leave the repository, and the record says which (R-06)."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from schemas.records import SessionChangeRecord, SessionRecord
from schemas.sessions import SessionState
from services.recorder.journal import Journal
from services.recorder.policy import DAY_NS
from services.recorder.reader import records
from services.recorder.retention import Removed
from services.recorder.retention_sessions import enforce_sessions
from services.repository.config import FILE, RepositoryConfig, opened
from services.repository.kinds import SESSION_CHANGES, SESSIONS
from tests.integration.test_repository import change, session

pytestmark = pytest.mark.req("R-06")
NOW_NS = 100 * DAY_NS
DAYS = 10
ENDED = {1: 20 * DAY_NS, 2: 95 * DAY_NS, 3: 0}
"""When each session ended: long ago, of late, not yet."""


def filled(folder: Path) -> None:
    async def fill() -> None:
        repository = await opened(RepositoryConfig(), folder)
        rows = [SESSIONS.row(session(number, ended_ns=ns)) for number, ns in ENDED.items()]
        await repository.put(*rows, SESSION_CHANGES.row(change(1, SessionState.STOPPED)))
        await repository.close()

    asyncio.run(fill())


def left(folder: Path) -> tuple[list[SessionRecord], list[SessionChangeRecord]]:
    async def read() -> tuple[list[SessionRecord], list[SessionChangeRecord]]:
        repository = await opened(RepositoryConfig(), folder)
        try:
            return await repository.find(SESSIONS), await repository.find(SESSION_CHANGES)
        finally:
            await repository.close()

    return asyncio.run(read())


def enforced(folder: Path) -> Removed | None:
    journal = Journal(folder / "record", file_bytes_max=1 << 20)
    try:
        work = enforce_sessions(journal, RepositoryConfig(), folder, days=DAYS, now_ns=NOW_NS)
        return asyncio.run(work)
    finally:
        journal.close()


def test_a_session_goes_by_its_end_with_its_changes_and_the_record_names_it(
    tmp_path: Path,
) -> None:
    filled(tmp_path)
    removed = enforced(tmp_path)
    sessions, changes = left(tmp_path)
    assert [each.created.at_ns for each in sessions] == [3, 2]
    assert changes == []
    assert removed == Removed(
        kind="sessions",
        policy="sessions in the repository are kept 10 days",
        files=("session paper/ema_cross-1",),
        size_bytes=0,
    )
    [told] = records(tmp_path / "record")
    assert msgspec.json.decode(told.data, type=Removed) == removed
    assert enforced(tmp_path) is None


def test_where_no_session_ever_was_no_repository_is_made(tmp_path: Path) -> None:
    assert enforced(tmp_path) is None
    assert not (tmp_path / FILE).exists()
