"""Hear what components say while a command waits for it."""

import asyncio
import time
from collections.abc import Callable, Collection

from schemas.base import Event
from schemas.errors import WireError
from schemas.health import SupervisorReported
from schemas.subjects import subjects_of
from schemas.wire import decode
from services.cli.desk import Desk

FLUSH_TIMEOUT_S = 2


MUST_ACKNOWLEDGE = ("gate", "executor")
"""Who could send an order: each of them has to say that it does not."""


def is_absent(
    name: str,
    heard: Collection[str],
    acknowledged: Collection[str],
    report: SupervisorReported | None,
) -> bool:
    """Return whether it is certain that `name` sends nothing; doubt counts as silence.

    Args:
        name: who has not acknowledged.
        heard: who was heard of meanwhile.
        acknowledged: who has.
        report: the supervisor's, where there is one to ask.
    """
    if name in heard:
        return False
    if report is not None:
        return not any(view.name == name and view.pid for view in report.services)
    # Without a supervisor to ask: the bus works, its partner spoke, and this one never did.
    return any(other in acknowledged for other in MUST_ACKNOWLEDGE)


class Listening:
    """Notes events as they come; `until` waits for a state that they add up to.

    Args:
        desk: whose connection hears.
        note: called with each event.
    """

    def __init__(self, desk: Desk, note: Callable[[Event], None]) -> None:
        self._desk, self._note = desk, note
        self._news = asyncio.Event()

    async def begin(self, *events: type[Event]) -> None:
        """Listen to these; return once the server has every subscription."""
        for subject in subjects_of(*events):
            await self._desk.connection.take(subject, self._take)
        await self._desk.connection.flush(FLUSH_TIMEOUT_S)

    async def until(self, is_so: Callable[[], bool], timeout_s: float) -> bool:
        """Return whether it became so in time."""
        deadline_s = time.monotonic() + timeout_s
        while not is_so() and (left_s := deadline_s - time.monotonic()) > 0:
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), left_s)
            except TimeoutError:
                break
        return is_so()

    def _take(self, subject: str, data: bytes, _reply: str) -> None:
        try:
            events = decode(data, subject=subject)
        except WireError:
            return  # somebody else's nonsense must not hide an acknowledgement
        for event in events:
            self._note(event)
        self._news.set()
