"""A halt overtakes whatever waits: 50,000 messages of market data are still to be taken in."""

import asyncio
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from schemas.base import BootId, Event
from schemas.control import HaltRequested
from schemas.market import FeedEnded
from schemas.subjects import HALT, subject_of
from schemas.wire import encode
from services.control import ControlGuard
from services.core import NOTHING
from services.runtime.config import BusConfig
from services.runtime.connect import connect
from services.runtime.link import ControlLink
from services.runtime.process import THREAD_SWITCH_S
from tests.bus import CLOCK, Bare, Probe, run, serving
from tests.conftest import NatsServer

BACKLOG = 50_000


class Halted:
    """A core that takes a backlog in, and how far it was when it, or its guard, heard a halt."""

    def __init__(self) -> None:
        self.taken_count = 0
        self.at_halt_count = -1
        self.has_taken_all, self.has_halted = asyncio.Event(), asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.core = Probe({FeedEnded: self._on_data, HaltRequested: self._on_halt})

    def note_halt(self, event: Event) -> None:
        if self.at_halt_count < 0:
            self.at_halt_count = self.taken_count
            self._loop.call_soon_threadsafe(self.has_halted.set)

    def _on_data(self, event: FeedEnded, now_ns: int) -> Sequence[Event]:
        self.taken_count += 1
        if self.taken_count == BACKLOG:
            self.has_taken_all.set()
        return NOTHING

    def _on_halt(self, event: HaltRequested, now_ns: int) -> Sequence[Event]:
        self.note_halt(event)
        return NOTHING


async def halt_behind_a_backlog(url: str, *, has_link: bool) -> int:
    """Return how much of the backlog was taken in when the halt was heard."""
    it = Halted()
    guard = ControlGuard("gate", BootId("b1"))
    link = ControlLink(
        guard,
        lambda: connect("gate", BusConfig(url=url), what_for="control"),
        post=it.note_halt,
        clock=CLOCK,
        lock=threading.Lock(),
    )
    elsewhere = frozenset({HaltRequested}) if has_link else frozenset[type[Event]]()
    async with serving(url, it.core, elsewhere=elsewhere):
        if has_link:
            await link.open()
        waiting = FeedEnded(at_ns=0, feed="f", counts={})
        bare = Bare(url)
        bare.publish(subject_of(waiting), *[encode(waiting)] * BACKLOG)
        bare.settle()  # the server has all of it, and this loop has read nothing yet
        bare.publish(HALT, b"")
        await it.has_taken_all.wait()
        await it.has_halted.wait()
        bare.close()
        if has_link:
            await link.close()
    return it.at_halt_count


@pytest.fixture
def as_in_a_service() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(THREAD_SWITCH_S)
    yield
    sys.setswitchinterval(before)


@pytest.mark.req("G-09")
@pytest.mark.usefixtures("as_in_a_service")
def test_a_halt_overtakes_fifty_thousand_waiting_messages(tmp_path: Path) -> None:
    """Without a connection and a thread of its own it waits behind all of them."""
    server = NatsServer(tmp_path)
    try:
        overtaken = BACKLOG - run(halt_behind_a_backlog(server.url, has_link=True))
        waited = run(halt_behind_a_backlog(server.url, has_link=False))
    finally:
        server.stop()
    assert overtaken > 0
    assert waited == BACKLOG
