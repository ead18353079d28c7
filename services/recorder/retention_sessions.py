"""Sessions that ended long ago leave the repository, once the record says so (R-06)."""

from pathlib import Path

import msgspec

from services.recorder.journal import Journal
from services.recorder.own import REMOVED
from services.recorder.policy import DAY_NS
from services.recorder.retention import Removed
from services.repository.config import FILE, RepositoryConfig, opened
from services.repository.kinds import BACKTESTS, PAPER_DAYS, SESSION_CHANGES, SESSIONS
from services.repository.repository import Repository, Where
from services.runtime.paths import is_there

KIND = "sessions"


async def enforce_sessions(
    journal: Journal, config: RepositoryConfig, data_dir: Path, *, days: int, now_ns: int
) -> Removed | None:
    """Remove what is older than `days` from the repository; return what it was, if anything.

    Raises:
        StateError: SLU-200 the repository is away; SLU-201 a newer release wrote it; SLU-141 the
            disk did not take the record of it.
        UserError: SLU-100 the library for it is not installed.
    """
    if not config.url and not is_there(data_dir / FILE):
        return None
    repository = await opened(config, data_dir)
    try:
        return await _enforced(journal, repository, days, now_ns)
    finally:
        await repository.close()


async def _enforced(
    journal: Journal, repository: Repository, days: int, now_ns: int
) -> Removed | None:
    before_ns = now_ns - days * DAY_NS
    old = Where(until_ns=before_ns)
    found = [each for each in await repository.find(SESSIONS, old) if each.ended_ns]
    ended = [each.created for each in found if each.ended_ns < before_ns]
    tests = await repository.find(BACKTESTS, old)
    paper = await repository.find(PAPER_DAYS, old)
    names = (
        *(f"session {each.account}/{each.session}" for each in ended),
        *(f"backtest {each.id}" for each in tests),
        *(f"paper day {each.id}" for each in paper),
    )
    if not names:
        return None
    policy = f"sessions in the repository are kept {days} days"
    removed = Removed(kind=KIND, policy=policy, files=names, size_bytes=0)
    journal.append_own(REMOVED, msgspec.json.encode(removed), now_ns)
    for each in ended:
        own = Where(session=each.session, account=each.account, until_ns=before_ns)
        await repository.remove(SESSION_CHANGES, own)
        await repository.remove(SESSIONS, own)
    await repository.remove(BACKTESTS, old)
    await repository.remove(PAPER_DAYS, old)
    return removed
