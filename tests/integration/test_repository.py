"""One repository, whatever it is kept in: the same promises of SQLite and of PostgreSQL."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from schemas.base import InstrumentId, SessionId
from schemas.errors import StateError
from schemas.records import SessionChangeRecord, SessionRecord
from schemas.sessions import SessionCreated, SessionState, SessionStateChanged, SessionView
from services.repository.config import FILE, RepositoryConfig, opened
from services.repository.kinds import SESSION_CHANGES, SESSIONS
from services.repository.migrations import MIGRATIONS
from services.repository.repository import Repository, Where
from tests.builders import ACCOUNT
from tests.postgres import Postgres, postgres

_T = TypeVar("_T")
Work = Callable[[Repository], Awaitable[_T]]


def created(number: int, strategy: str = "ema_cross") -> SessionCreated:
    return SessionCreated(
        at_ns=number,
        session=SessionId(f"{strategy}-{number}"),
        start_id=f"start-{number}",
        strategy=strategy,
        account=ACCOUNT,
        instruments=(InstrumentId("sim:ALPHA"),),
        initial_capital=Decimal("10000.50"),
        parameters={"fast": 12, "share": "0.1"},
    )


def session(number: int, strategy: str = "ema_cross", ended_ns: int = 0) -> SessionRecord:
    made = created(number, strategy)
    state = SessionState.STOPPED if ended_ns else SessionState.RUNNING
    view = SessionView(
        session=made.session,
        strategy=strategy,
        account=ACCOUNT,
        instruments=made.instruments,
        state=state,
    )
    changed_ns = ended_ns or number
    return SessionRecord(created=made, view=view, changed_ns=changed_ns, ended_ns=ended_ns)


def change(number: int, state: SessionState) -> SessionChangeRecord:
    changed = SessionStateChanged(
        at_ns=number,
        session=SessionId("ema_cross-1"),
        strategy="ema_cross",
        account=ACCOUNT,
        state=state,
        reason="asked",
        operator="kim",
    )
    return SessionChangeRecord(number=number, change=changed)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as found:
        yield found


class Rig:
    """Where one test keeps its records: each `run` opens the repository anew, as a restart does."""

    def __init__(self, config: RepositoryConfig, folder: Path) -> None:
        self.config, self.folder = config, folder

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Repository]:
        repository = await opened(self.config, self.folder)
        try:
            yield repository
        finally:
            await repository.close()

    def run(self, work: Work[_T]) -> _T:
        async def with_it() -> _T:
            async with self.open() as repository:
                return await work(repository)

        return asyncio.run(with_it())


@pytest.fixture(params=["sqlite", "postgres"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
    if request.param == "sqlite":
        return Rig(RepositoryConfig(), tmp_path)
    found: Postgres = request.getfixturevalue("server")
    made = Rig(RepositoryConfig(url=found.url), tmp_path)

    async def emptied(repository: Repository) -> None:
        await repository.remove(SESSIONS)
        await repository.remove(SESSION_CHANGES)

    made.run(emptied)
    return made


@pytest.mark.req("S-03", "S-13")
class TestRepository:
    """The same promises, whatever it is kept in."""

    def test_a_finished_session_is_there_after_everything_was_restarted(self, rig: Rig) -> None:
        ended = session(1, ended_ns=9)
        rig.run(lambda each: each.put(SESSIONS.row(session(1))))
        rig.run(lambda each: each.put(SESSIONS.row(ended)))
        key = f"{ACCOUNT}/ema_cross-1"
        assert rig.run(lambda each: each.get(SESSIONS, key)) == ended
        assert rig.run(lambda each: each.get(SESSIONS, "paper/other-1")) is None

    def test_records_are_found_by_what_is_asked_newest_first(self, rig: Rig) -> None:
        all_of_them = [session(1), session(2, "buy_and_hold"), session(3), session(4)]
        rig.run(lambda each: each.put(*map(SESSIONS.row, all_of_them)))

        def found(**asked: object) -> list[int]:
            where = msgspec.convert(asked, Where)
            records = rig.run(lambda each: each.find(SESSIONS, where))
            return [record.created.at_ns for record in records]

        assert found() == [4, 3, 2, 1]
        assert found(strategy="ema_cross", count_max=2) == [4, 3]
        assert found(session="buy_and_hold-2") == [2]
        assert found(account="another") == []
        assert found(from_ns=2, until_ns=4) == [3, 2]

    def test_the_history_of_a_session_keeps_every_step(self, rig: Rig) -> None:
        states = [SessionState.RUNNING, SessionState.PAUSED, SessionState.STOPPED]
        steps = [change(number, state) for number, state in enumerate(states, 1)]
        rig.run(lambda each: each.put(*map(SESSION_CHANGES.row, steps)))
        rig.run(lambda each: each.put(*map(SESSION_CHANGES.row, steps)))  # told again: no news
        where = Where(session="ema_cross-1")
        assert rig.run(lambda each: each.find(SESSION_CHANGES, where)) == steps[::-1]

    def test_all_rows_of_one_put_are_stored_or_none(self, rig: Rig) -> None:
        bad = msgspec.structs.replace(SESSIONS.row(session(2)), body=None)
        with pytest.raises(StateError, match="SLU-200"):
            rig.run(lambda each: each.put(SESSIONS.row(session(1)), bad))
        assert rig.run(lambda each: each.find(SESSIONS)) == []

    def test_what_is_removed_is_gone_and_nothing_else(self, rig: Rig) -> None:
        rig.run(lambda each: each.put(*map(SESSIONS.row, [session(1), session(2, "other")])))
        rig.run(lambda each: each.remove(SESSIONS, Where(strategy="other")))
        assert rig.run(lambda each: each.find(SESSIONS)) == [session(1)]

    def test_two_processes_that_write_at_once_both_get_through(self, rig: Rig) -> None:
        async def both() -> list[SessionRecord]:
            async with rig.open() as one, rig.open() as two:
                await asyncio.gather(
                    *(one.put(SESSIONS.row(session(number))) for number in range(0, 20, 2)),
                    *(two.put(SESSIONS.row(session(number))) for number in range(1, 20, 2)),
                )
                return await one.find(SESSIONS)

        assert [each.created.at_ns for each in asyncio.run(both())] == list(range(19, -1, -1))

    def test_a_record_of_an_unknown_shape_is_refused_by_name(self, rig: Rig) -> None:
        odd = msgspec.structs.replace(SESSIONS.row(session(1)), body="{}")
        rig.run(lambda each: each.put(odd))
        with pytest.raises(StateError, match=r"SLU-202.*kind: session") as refused:
            rig.run(lambda each: each.find(SESSIONS))
        assert refused.value.fields["wanted"] == "SessionRecord"

    def test_a_writer_killed_in_the_middle_lost_nothing_it_had_acknowledged(self, rig: Rig) -> None:
        command = [sys.executable, "-c", WRITER, rig.config.url, str(rig.folder)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        assert writer.stdout is not None
        said = [int(writer.stdout.readline()) for _ in range(20)]
        writer.send_signal(signal.SIGKILL)
        said += map(int, writer.stdout.read().split())
        assert writer.wait() == -signal.SIGKILL
        writer.stdout.close()
        kept = {each.created.at_ns for each in rig.run(lambda each: each.find(SESSIONS))}
        assert set(said) <= kept
        assert len(kept) - len(said) <= 1  # the one whose acknowledgement the kill took


WRITER = """
import asyncio, itertools, pathlib, sys
from services.repository.config import RepositoryConfig, opened
from services.repository.kinds import SESSIONS
from tests.integration.test_repository import session

async def main():
    repository = await opened(RepositoryConfig(url=sys.argv[1]), pathlib.Path(sys.argv[2]))
    for number in itertools.count(1):
        await repository.put(SESSIONS.row(session(number)))
        print(number, flush=True)

asyncio.run(main())
"""


@pytest.mark.req("S-13")
def test_a_database_that_comes_back_is_used_again() -> None:
    async def work(server: Postgres) -> list[SessionRecord]:
        repository = await opened(RepositoryConfig(url=server.url), Path())
        try:
            await repository.put(SESSIONS.row(session(1)))
            server.stop()
            with pytest.raises(StateError, match="SLU-200"):
                await repository.put(SESSIONS.row(session(2)))
            server.start()
            await repository.put(SESSIONS.row(session(3)))
            return await repository.find(SESSIONS)
        finally:
            await repository.close()

    with postgres() as server:
        assert asyncio.run(work(server)) == [session(3), session(1)]


@pytest.mark.req("S-13")
def test_tables_of_a_newer_release_are_refused_and_left_alone(tmp_path: Path) -> None:
    rig = Rig(RepositoryConfig(), tmp_path)
    rig.run(lambda each: each.put(SESSIONS.row(session(1))))
    database = sqlite3.connect(tmp_path / FILE)
    newer = len(MIGRATIONS) + 1
    with database:
        database.execute("INSERT INTO schema_versions VALUES (?, 0)", (newer,))
    database.close()
    with pytest.raises(StateError, match=f"SLU-201.*found: version {newer}"):
        rig.run(lambda each: each.find(SESSIONS))


@pytest.mark.req("S-13")
def test_a_file_that_is_no_database_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("not a database, and long enough to be looked at" * 50)
    with pytest.raises(StateError, match=rf"SLU-200.*where: .*{FILE}.*not a database"):
        Rig(RepositoryConfig(), tmp_path).run(lambda each: each.find(SESSIONS))


@pytest.mark.req("S-13", "A-05")
@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("mysql://kim@host/db", "wanted postgresql://"),
        ("postgresql://kim:pw@host/db", "PGPASSWORD"),
    ],
)
def test_an_url_of_no_use_or_with_a_password_is_refused(url: str, wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        RepositoryConfig(url=url)


@pytest.mark.req("S-13")
@pytest.mark.parametrize(
    ("ci", "is_told", "outcome", "said"),
    [
        ("true", False, pytest.fail.Exception, "no PostgreSQL server in CI"),
        ("true", True, pytest.skip.Exception, "SKIPPED LOUDLY: no PostgreSQL server"),
        ("", False, pytest.skip.Exception, "SKIPPED LOUDLY: no PostgreSQL server"),
    ],
    ids=["in CI", "in CI, where none can be had", "elsewhere"],
)
def test_without_a_server_these_tests_fail_in_ci_and_are_skipped_aloud_elsewhere(
    ci: str,
    is_told: bool,
    outcome: type[BaseException],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr("tests.postgres.binaries", lambda: None)
    monkeypatch.setattr("tests.postgres.ABSENT", tmp_path / "absent")
    if is_told:
        (tmp_path / "absent").touch()
    with pytest.raises(outcome, match=said), postgres():
        pass
