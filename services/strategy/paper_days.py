"""Keep the days on paper in the repository: late is allowed, and nobody who trades waits for it."""

import asyncio
from pathlib import Path

from schemas.base import Event
from schemas.errors import SluiceError
from schemas.measures import PaperDayNoted
from services.repository.config import RepositoryConfig, opened
from services.repository.kinds import PAPER_DAYS, Row
from services.runtime.log import logger
from services.runtime.step import Post

CLOSE_TIMEOUT_S = 2.0


class PaperDays:
    """Writes each day as it was last noted. What could not be written comes with the next note."""

    def __init__(self, config: RepositoryConfig, data_dir: Path) -> None:
        self._config, self._data_dir = config, data_dir
        self._rows: dict[str, Row] = {}
        self._is_due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self, post: Post) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._write_on(), name="days on paper")

    def act(self, event: Event, now_ns: int) -> None:
        """Take a day to be written; the newest word on it counts."""
        if isinstance(event, PaperDayNoted):
            row = PAPER_DAYS.row(event.day)
            self._rows[row.index.key] = row
            self._is_due.set()

    async def close(self) -> None:
        """Write what is left, if that can be done soon."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._write()
        except (SluiceError, TimeoutError) as error:
            logger().warning("days on paper are not written", error=str(error))

    async def _write_on(self) -> None:
        while True:
            await self._is_due.wait()
            self._is_due.clear()
            try:
                await self._write()
            except SluiceError as error:
                logger().warning("days on paper are not written yet", error=str(error))

    async def _write(self) -> None:
        rows = dict(self._rows)
        if not rows:
            return
        repository = await opened(self._config, self._data_dir)
        try:
            await repository.put(*rows.values())
        finally:
            await repository.close()
        for key, row in rows.items():
            if self._rows.get(key) is row:
                del self._rows[key]
