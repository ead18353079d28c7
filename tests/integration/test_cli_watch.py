"""`sluice watch` on a real bus: it ends when nobody reads it, and says when the bus is away."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from schemas.health import ArbiterReported
from services.cli import watch
from services.cli.exits import Exit
from services.cli.locate import Place
from services.runtime.config import BusConfig
from services.runtime.connect import connect
from services.runtime.fastpath import BusConnection
from tests.bus import run
from tests.unit.test_cli_output import arbiter

pytestmark = pytest.mark.req("O-03", "S-14")


@pytest.fixture
def bus(nats_url: str, monkeypatch: pytest.MonkeyPatch) -> BusConfig:
    """A bus, and a desk at it."""
    config = BusConfig(url=nats_url)

    class Desk:
        def __init__(self, connection: BusConnection) -> None:
            self.connection = connection

        async def arbiter(self) -> ArbiterReported:
            return arbiter()

    @contextlib.asynccontextmanager
    async def at_desk(_place: Place) -> AsyncIterator[Desk]:
        connection = await connect("kim", config)
        try:
            yield Desk(connection)
        finally:
            await connection.close()

    monkeypatch.setattr(watch, "at_desk", at_desk)
    return config


async def _watched(bus: BusConfig, count: int) -> Exit:
    """Return how `sluice watch` ends while somebody says something all the time."""
    watching = asyncio.create_task(watch._watch(Place(), "said.>", count))
    speaker = await connect("gate", bus)
    while not watching.done():
        speaker.send("said.here", b"a word")
        await asyncio.sleep(0.01)
    await speaker.close()
    return watching.result()


def test_it_ends_when_nobody_reads_what_it_says(
    bus: BusConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed:
        def __getattr__(self, name: str) -> Any:
            return getattr(sys.__stdout__, name)

        def write(self, _text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(BrokenPipeError):
        run(asyncio.wait_for(_watched(bus, 0), 10))


def test_it_says_nothing_of_the_bus_while_that_is_there(
    bus: BusConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(asyncio.wait_for(_watched(bus, 2), 10)) is Exit.OK
    out, err = capsys.readouterr()
    assert (out.splitlines(), err) == (["-------- said.here  a word"] * 2, "")


def test_that_the_bus_is_away_is_told_for_silence_looks_like_peace(
    capsys: pytest.CaptureFixture[str],
) -> None:
    watch._tell_link(False, "nats: stale connection")
    watch._tell_link(True, "nats: stale connection")
    assert capsys.readouterr().err.splitlines() == [
        "sluice: the bus is gone: nats: stale connection",
        "sluice: the bus is back; what was said meanwhile is not shown",
    ]
