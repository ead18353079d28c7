"""A connection that is closed has let go of its socket, whoever disturbs its closing and when."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop
from nats.aio.transport import TcpTransport

from services.runtime.config import BusConfig
from services.runtime.connect import connect
from services.runtime.fastpath import BusConnection

pytestmark = pytest.mark.req("O-04")


def run(what: Coroutine[Any, Any, None]) -> None:
    uvloop.run(asyncio.wait_for(what, 20))  # raises EBUSY where a socket is left open


def holds_a_socket(connection: BusConnection) -> bool:
    transport = connection._transport
    assert isinstance(transport, TcpTransport)
    writer = transport._io_writer
    return writer is not None and not writer.is_closing()


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_who_closes_second_leaves_when_it_is_closed(nats_url: str) -> None:
    async def scenario() -> None:
        connection = await connect("feed", BusConfig(url=nats_url))
        first = asyncio.create_task(connection.close())
        await turns(1)
        await connection.close()
        assert not holds_a_socket(connection)
        await first

    run(scenario())


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_closing_that_is_cancelled_closes_all_the_same(nats_url: str, count: int) -> None:
    async def scenario() -> None:
        connection = await connect("feed", BusConfig(url=nats_url))
        closing = asyncio.create_task(connection.close())
        await turns(count)
        closing.cancel()
        await asyncio.wait([closing])
        assert not holds_a_socket(connection)

    run(scenario())


def test_a_reconnection_that_hears_no_cancellation_ends_before_the_closing_does(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = BusConnection._connect_to_server
    begun = asyncio.Event()

    async def swallows(self: BusConnection, server: Any) -> None:
        """Go on after a cancellation, as `asyncio.wait_for` can, and take longer than nats-py."""
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await real(self, server)
            await asyncio.sleep(0.1)

    async def scenario() -> None:
        connection = await connect("feed", BusConfig(url=nats_url))
        monkeypatch.setattr(BusConnection, "_connect_to_server", swallows)
        await connection._process_op_err(ConnectionError("lost"))
        reconnecting = connection._reconnection_task
        assert reconnecting is not None
        await begun.wait()
        await connection.close()
        assert reconnecting.done()
        assert (connection.is_closed, holds_a_socket(connection)) == (True, False)

    run(scenario())


@pytest.mark.parametrize("count", range(3))
def test_a_connect_that_is_cancelled_as_it_succeeds_leaves_nothing_open(
    nats_url: str, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    made: list[BusConnection] = []

    opened = asyncio.Event()

    class Noted(BusConnection):
        async def _process_connect_init(self) -> None:
            await super()._process_connect_init()
            made.append(self)
            opened.set()

    async def scenario() -> None:
        opening = asyncio.create_task(connect("feed", BusConfig(url=nats_url)))
        await opened.wait()
        await turns(count)
        opening.cancel()
        await asyncio.wait([opening])
        if not opening.cancelled():
            await opening.result().close()
        assert not holds_a_socket(made[0])

    monkeypatch.setattr("services.runtime.connect.BusConnection", Noted)
    run(scenario())
