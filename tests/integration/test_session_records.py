"""Sessions in the repository: written behind the journal, and made again from it."""

import asyncio
from pathlib import Path
from typing import TypeVar

import pytest

from schemas.base import BootId, Event, SessionId
from schemas.health import AlertRaised
from schemas.isolation import MemoryMeasured, PartFailed, SessionsNoted
from schemas.measures import PaperDayNoted
from schemas.results import PaperDay, StrategyTerms
from schemas.sessions import SessionState, SessionStateChanged
from services.repository.config import FILE, RepositoryConfig, opened
from services.repository.kinds import PAPER_DAYS, SESSION_CHANGES, SESSIONS
from services.runtime.propagation import WAIT_S
from services.strategy.catalogue import catalogue_of
from services.strategy.config import StrategyConfig
from services.strategy.manager import ManagerCore
from services.strategy.recording import SessionRecords
from tests.builders import ACCOUNT, ALPHA
from tests.strategy_rig import INSTRUMENTS, StrategyRig, config, every, only

_T = TypeVar("_T")
MB = 1 << 20


class Rig(StrategyRig):
    """A session manager without processes; what it notes is kept in `noted`."""

    def _made(self) -> ManagerCore:
        boot_id = BootId(f"strategy-{self.generation}")
        catalogue = catalogue_of(self.config)
        return ManagerCore(self.config, ACCOUNT, INSTRUMENTS, boot_id=boot_id, catalogue=catalogue)

    @property
    def noted(self) -> list[SessionsNoted]:
        return every(SessionsNoted, self.said)


def written(folder: Path, noted: list[SessionsNoted], posted: list[Event]) -> SessionRecords:
    """Write what was noted, as the service does, and close."""

    async def main() -> SessionRecords:
        records = SessionRecords(RepositoryConfig(), folder, "strategy", lambda: 7)
        await records.open(lambda *events: posted.extend(events))
        for each in noted:
            records.act(each, 0)
        await records.written()
        await records.close()
        return records

    return asyncio.run(main())


def found(folder: Path) -> list[tuple[str, SessionState, int]]:
    async def main() -> list[tuple[str, SessionState, int]]:
        repository = await opened(RepositoryConfig(), folder)
        try:
            sessions = await repository.find(SESSIONS)
            steps = await repository.find(SESSION_CHANGES)
        finally:
            await repository.close()
        of = [step.change.session for step in steps]
        return [
            (each.created.session, each.view.state, of.count(each.created.session))
            for each in sessions
        ]

    return asyncio.run(main())


@pytest.mark.req("S-03", "S-13")
def test_a_finished_session_is_found_with_its_history_after_everything_restarted(
    tmp_path: Path,
) -> None:
    rig = Rig()
    session = rig.start("idle")
    rig.ask("pause", session)
    rig.ask("resume", session)
    rig.ask("stop", session)
    written(tmp_path, rig.noted, [])
    assert found(tmp_path) == [("idle-1", SessionState.STOPPED, 4)]


@pytest.mark.req("S-13")
def test_the_repository_can_be_deleted_and_is_made_again_from_the_journal(tmp_path: Path) -> None:
    rig = Rig()
    rig.ask("stop", rig.start("idle"))
    rig.start("recording")
    written(tmp_path, rig.noted, [])
    before = found(tmp_path)
    for file in tmp_path.glob(f"{FILE}*"):
        file.unlink()
    rig.said.clear()
    rig.restart()
    rig.tell(None)
    written(tmp_path, rig.noted, [])
    expected = {name: (state, steps) for name, state, steps in before}
    expected["recording-2"] = (SessionState.RUNNING, 2)  # the restart is a step of its life
    assert {name: (state, steps) for name, state, steps in found(tmp_path)} == expected


@pytest.mark.req("S-13", "S-14")
def test_a_repository_that_cannot_be_used_is_told_and_stops_no_session(tmp_path: Path) -> None:
    rig = Rig()
    rig.start("idle")
    (tmp_path / FILE).mkdir()
    posted: list[Event] = []
    records = written(tmp_path, rig.noted, posted)
    [failed] = posted
    assert isinstance(failed, PartFailed)
    assert records.degraded.startswith("records of sessions: SLU-200")
    assert only(AlertRaised, rig.tell(failed)).code == "SLU-200"
    (tmp_path / FILE).rmdir()
    written(tmp_path, rig.noted, posted)
    assert found(tmp_path) == [("idle-1", SessionState.RUNNING, 1)]


def measured(rss_mb: int) -> MemoryMeasured:
    return MemoryMeasured(at_ns=0, session=None, rss_bytes=rss_mb * MB)


@pytest.mark.req("S-11")
def test_sessions_that_share_the_process_end_when_they_outgrow_it_together() -> None:
    rig = Rig(config(session_memory_mb_max=100))
    rig.tell(measured(50))
    rig.start("idle")
    rig.start("recording")
    assert rig.tell(measured(250)) == []
    said = rig.tell(measured(251))
    assert [each.state for each in every(SessionStateChanged, said)] == [SessionState.STOPPED] * 2
    alerts = every(AlertRaised, said)
    assert [each.code for each in alerts] == ["SLU-211"] * 2
    assert "201 MB of memory held, 2 sessions together, 200 MB allowed" in alerts[0].message


@pytest.mark.req("S-11")
def test_the_service_s_own_limit_ends_the_sessions_in_it() -> None:
    rig = Rig(StrategyConfig(classes=config().classes, session_memory_mb_max=5_000))
    rig.tell(measured(50))
    rig.start("idle")
    assert rig.tell(measured(4_096)) == []
    assert only(SessionStateChanged, rig.tell(measured(4_097))).reason.startswith("4097 MB")


@pytest.mark.req("S-02")
def test_a_session_names_the_configuration_it_was_made_under() -> None:
    hashes = set()
    for expiry_ms in (1_000, 1_000, 2_000):
        rig = Rig(config(signal_expiry_ms=expiry_ms))
        session = rig.start("idle")
        hashes.add(rig.core.sessions[session].terms.config_hash)
    assert len(hashes) == 2


# days on paper


def paper_day(up_ns: int) -> PaperDayNoted:
    terms = StrategyTerms(
        strategy="idle", strategy_version="v1", parameters={}, instruments=(ALPHA,)
    )
    day = PaperDay(
        terms=terms,
        session=SessionId("idle-1"),
        account=ACCOUNT,
        day="2026-11-27",
        from_ns=0,
        to_ns=up_ns,
        up_ns=up_ns,
    )
    return PaperDayNoted(at_ns=up_ns, day=day)


def days_of(folder: Path, *, mended_after: int | None) -> tuple[list[int], list[float], list[str]]:
    """Write a day where no file can be, until it can after so many waits; then another one.

    Return what is stored after each, the waits, and the codes of what was told.
    """
    stored: list[int] = []
    waits: list[float] = []
    posted: list[Event] = []
    blocked = folder / FILE
    blocked.mkdir()

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == mended_after:
            blocked.rmdir()

    async def main() -> None:
        records = SessionRecords(RepositoryConfig(), folder, "strategy", lambda: 7)
        records._propagation._wait = wait
        await records.open(lambda *events: posted.extend(events))
        for up_ns in (1, 2):
            records.act(paper_day(up_ns), 0)
            await records.written()
            if blocked.is_dir():
                assert records.degraded.startswith("records of sessions: SLU-200")
                blocked.rmdir()
                continue
            repository = await opened(RepositoryConfig(), folder)
            stored.extend(day.up_ns for day in await repository.find(PAPER_DAYS))
            await repository.close()
        assert records.degraded == ""
        await records.close()

    asyncio.run(main())
    codes = [each.alert.code for each in posted if isinstance(each, PartFailed)]
    return stored, waits, codes


@pytest.mark.req("S-05", "S-14")
def test_a_day_on_paper_that_cannot_be_written_is_tried_again_three_times(tmp_path: Path) -> None:
    waits = [WAIT_S, 2 * WAIT_S, 4 * WAIT_S]
    assert days_of(tmp_path, mended_after=len(waits)) == ([1, 2], waits, [])


@pytest.mark.req("S-05", "S-14")
def test_a_day_that_could_not_be_written_is_told_and_comes_with_the_next(tmp_path: Path) -> None:
    waits = [WAIT_S, 2 * WAIT_S, 4 * WAIT_S]
    assert days_of(tmp_path, mended_after=None) == ([2], waits, ["SLU-200"])
