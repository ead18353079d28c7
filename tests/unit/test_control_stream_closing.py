"""The arbiter's second connection is closed, however far it came and whatever went wrong."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from services.breaker.control_stream import ControlStream
from services.runtime.fastpath import BusConnection

pytestmark = pytest.mark.req("O-04")


class Stub:
    """A connection on which nothing works but closing."""

    def __init__(self) -> None:
        self.is_closed = False

    async def take(self, subject: str, taker: Any) -> None:
        """Subscribe to nothing."""

    def jetstream(self, timeout: float) -> "Stub":
        return self

    async def get_msg(self, *given: Any, **named: Any) -> Any:
        raise ValueError("an answer that is none")

    async def close(self) -> None:
        self.is_closed = True


def stream(made: Stub | Exception, folder: Path) -> ControlStream:
    async def connect(what_for: str) -> BusConnection:
        if isinstance(made, Exception):
            raise made
        return cast(BusConnection, made)

    return ControlStream(
        cast(BusConnection, Stub()),
        connect,
        clock=lambda: 1,
        position=lambda: (0, 0),
        data_dir=folder,
        store_ms_max=100,
    )


def test_what_was_never_opened_closes_without_a_word(tmp_path: Path) -> None:
    async def scenario() -> None:
        adapter = stream(OSError("nobody there"), tmp_path)
        with pytest.raises(OSError, match="nobody there"):
            await adapter.open(lambda *events: None)
        await adapter.close()

    asyncio.run(scenario())


def test_a_reading_that_failed_closes_its_connection_all_the_same(tmp_path: Path) -> None:
    async def scenario() -> None:
        there = Stub()
        adapter = stream(there, tmp_path)
        await adapter.open(lambda *events: None)
        await asyncio.wait([adapter._task])
        with pytest.raises(ValueError, match="an answer that is none"):
            await adapter.close()
        assert there.is_closed

    asyncio.run(scenario())
