"""Keep what the repository holds of sessions up to date: late is allowed, lost is not.

The one writer of this process: the records of sessions, and their days on paper.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from schemas.base import Event
from schemas.errors import SluiceError
from schemas.health import AlertRaised
from schemas.isolation import PartFailed, SessionsNoted
from schemas.measures import PaperDayNoted
from services.repository.config import RepositoryConfig, opened
from services.repository.kinds import PAPER_DAYS, SESSION_CHANGES, SESSIONS, Row
from services.repository.repository import Repository
from services.runtime.log import logger
from services.runtime.propagation import Propagation
from services.runtime.step import Post
from services.strategy.background import Background

CLOSE_TIMEOUT_S = 5.0
RECORDS = "records of sessions"


class SessionRecords:
    """Writes records in their order, one batch after another; nobody waits for it.

    The journal has everything that is written here of sessions: what could not be written is not
    lost, and all of it is written anew when the service starts (ADR 11). A day on paper that could
    not be written is kept here, and written with the next record.

    Attributes:
        background: what writes.
    """

    def __init__(
        self,
        config: RepositoryConfig,
        data_dir: Path,
        component: str,
        clock: Callable[[], int],
    ) -> None:
        self._config, self._data_dir = config, data_dir
        self._propagation = Propagation(component, self._tell, clock)
        self._rows: dict[tuple[str, str], Row] = {}
        self._is_due = asyncio.Event()
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()
        self._repository: Repository | None = None
        self.background = Background()

    @property
    def degraded(self) -> str:
        """What cannot be written, and why; empty when all is."""
        return self._propagation.degraded

    async def open(self, post: Post) -> None:
        """Begin to write; the repository itself is opened with the first record."""
        self._post = post
        self.background.start(self._write_on(), RECORDS)

    def act(self, event: Event, now_ns: int) -> None:
        """Take records to be written; the newest of one thing takes the place of an older one."""
        if isinstance(event, SessionsNoted):
            rows = [SESSIONS.row(each) for each in event.sessions]
            self._take(*rows, *(SESSION_CHANGES.row(each) for each in event.changes))
        elif isinstance(event, PaperDayNoted):
            self._take(PAPER_DAYS.row(event.day))

    async def written(self) -> None:
        """Wait until what was taken is written, or cannot be."""
        await self._is_quiet.wait()

    async def close(self) -> None:
        """Write what is left, if that can be done in a few seconds."""
        await self.background.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._write()
        except (SluiceError, TimeoutError) as error:  # the next start writes it, but for days
            logger().warning("records are not written", left=len(self._rows), error=str(error))
        finally:
            if self._repository is not None:
                await self._repository.close()

    def _take(self, *rows: Row) -> None:
        self._rows |= {(row.kind, row.index.key): row for row in rows}
        self._is_quiet.clear()
        self._is_due.set()

    def _tell(self, alert: AlertRaised) -> None:
        self._post(PartFailed(at_ns=alert.at_ns, alert=alert))

    async def _write_on(self) -> None:
        while True:
            await self._is_due.wait()
            self._is_due.clear()
            await self._propagation.run("SLU-200", RECORDS, self._write)
            if not self._is_due.is_set():
                self._is_quiet.set()

    async def _write(self) -> None:
        if not self._rows:
            return
        if self._repository is None:
            self._repository = await opened(self._config, self._data_dir)
        rows = dict(self._rows)
        await self._repository.put(*rows.values())
        for key, row in rows.items():
            if self._rows.get(key) is row:
                del self._rows[key]
