"""The shell of the checks inside the strategy service: looks when a start asks, and tells."""

import asyncio
from collections.abc import Callable
from typing import Any

from nats.errors import Error as NatsError

from schemas.base import Event
from schemas.control import StartRequest
from schemas.errors import WireError
from schemas.prerequisites import Check, PrerequisitesRead, PrerequisitesWanted
from schemas.results import StrategyTerms
from schemas.subjects import QUERY
from schemas.wire import decode
from services.prerequisites.gather import Sources, gathered
from services.runtime.fastpath import BusConnection
from services.runtime.live import Post

ASK_TIMEOUT_S = 1.0


class PrerequisiteReader:
    """An adapter: `PrerequisitesWanted` in, `PrerequisitesRead` out, for each start once.

    Args:
        connection: of the service.
        sources: where things are read.
        terms_of: returns what this start would run with; without instruments where it cannot be
            made, so that no result is of it, and without a version where its code has none.
        clock: returns now, in ns since the epoch.
    """

    def __init__(
        self,
        connection: BusConnection,
        sources: Sources,
        terms_of: Callable[[StartRequest], StrategyTerms],
        clock: Callable[[], int],
    ) -> None:
        self._connection, self._sources = connection, sources
        self._terms_of, self._clock = terms_of, clock
        self._post: Post | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, post: Post) -> None:
        """Begin to answer."""
        self._post = post

    def act(self, event: Event, now_ns: int) -> None:
        """Look, without keeping anybody waiting."""
        if isinstance(event, PrerequisitesWanted):
            task = asyncio.get_running_loop().create_task(self._look(event))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Look no more."""
        self._post = None
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look(self, wanted: PrerequisitesWanted) -> None:
        try:
            terms = self._terms_of(wanted.request)
            name, version = wanted.request.strategy, terms.strategy_version
            checks = await gathered(name, version, self._sources, self._ask, terms)
        except Exception as error:  # a check that breaks is one that does not stand
            found = f"{type(error).__name__}: {error}"
            checks = (Check(name="checks", is_ok=False, found=found, needed="checks that work"),)
        if self._post is not None:
            at_ns = self._clock()
            self._post(PrerequisitesRead(at_ns=at_ns, start_id=wanted.start_id, checks=checks))

    async def _ask(self, service: str, kind: type[Any]) -> Any:
        subject = f"{QUERY}.{service}"
        try:
            message = await self._connection.request(subject, b"", timeout=ASK_TIMEOUT_S)
            [event] = decode(message.data, subject=subject)
        except (NatsError, WireError, ValueError):
            return None
        return event if isinstance(event, kind) else None
