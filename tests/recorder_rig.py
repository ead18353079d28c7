"""A recorder at work on a real server, in the test's own loop."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from schemas.base import BootId, Event
from services.core import tell
from services.recorder.chain import Record, read_line
from services.recorder.config import RecorderConfig
from services.recorder.core import RecorderCore
from services.recorder.key_file import ensure_record_key
from services.recorder.recording import Recording
from services.runtime.config import BusConfig
from services.runtime.connect import connect

WAIT_S = 10.0
CONFIG = RecorderConfig(disk_free_bytes_min=1)


class RecorderRig:
    """The recorder's core and its shell.

    Attributes:
        core: told all that the shell posts.
        said: what the core said, in order.
    """

    def __init__(self, folder: Path, bus: BusConfig, config: RecorderConfig = CONFIG) -> None:
        self.folder = folder
        self.core = RecorderCore(BootId("boot-1"))
        self.said: list[Event] = []
        self._changed = asyncio.Event()
        self.recording = Recording(
            lambda what: connect("recorder", bus, what_for=what),
            clock=time.time_ns,
            config=config,
            data_dir=folder,
            key=ensure_record_key(folder / "keys"),
            monitor_urls=bus.monitor_urls,
        )

    def post(self, *events: Event) -> None:
        for event in events:
            self.said += tell(self.core, event, time.time_ns())
        self._changed.set()

    async def until(self, is_so: Callable[[], object]) -> None:
        """Return once it is so, looking whenever the shell has posted something."""
        async with asyncio.timeout(WAIT_S):
            while not is_so():
                self._changed.clear()
                await self._changed.wait()

    async def ready(self) -> None:
        await self.until(lambda: not self.core.why_not_ready(0))

    async def recorded(self, count: int) -> None:
        """Return once this many messages, alerts of its own included, are on the disk."""
        await self.until(lambda: self.core.describe(0).recorded_count >= count)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.said if isinstance(event, kind)]


@asynccontextmanager
async def recording(
    folder: Path, bus: BusConfig, config: RecorderConfig = CONFIG
) -> AsyncIterator[RecorderRig]:
    """Record until the block ends."""
    rig = RecorderRig(folder, bus, config)
    await rig.recording.open(rig.post)
    try:
        yield rig
    finally:
        await rig.recording.close()


def records(folder: Path) -> list[Record]:
    """Return every record of the journal, in order."""
    text = b"".join(path.read_bytes() for path in sorted((folder / "record").glob("chain-*")))
    return [read_line(line) for line in text.splitlines()]


def events(folder: Path, component: str) -> list[dict[str, Any]]:
    """Return the events of a component's JSON Lines, in order."""
    path = folder / "logs" / "events" / f"{component}_events.jsonl"
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
