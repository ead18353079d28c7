"""Each rule that the bus taught is kept by every connection, against a real server."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.errors import NoRespondersError, OutboundBufferLimitError

from schemas.errors import BusError
from services.runtime import connect as connect_module
from services.runtime.config import BusConfig
from services.runtime.connect import connect
from services.runtime.fastpath import BusConnection
from tests.bus import Bare, Ear, Links, ear, run, tapped
from tests.conftest import NatsServer

BACKLOG = 150
"""Messages that take 10 ms each: 1.5 s, longer than a ping may wait."""

MEGABYTE = 1_000_000
FLOOD = 40
"""Megabytes: more than the kernel takes in for a server that reads nothing."""


@contextlib.asynccontextmanager
async def connected(url: str, name: str = "gate") -> AsyncIterator[BusConnection]:
    connection = await connect(name, BusConfig(url=url))
    try:
        yield connection
    finally:
        await connection.close()


@contextlib.contextmanager
def frozen(server: NatsServer) -> Iterator[None]:
    """Stop the server's process, as a debugger or a paused machine does."""
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


async def flood(connection: BusConnection) -> None:
    """Send more than a frozen server's socket takes; the last message is `last`."""
    for _ in range(FLOOD):
        connection.send("flood", b"x" * MEGABYTE)
    connection.send("flood", b"last")
    assert connection.unsent_bytes > MEGABYTE


def read_until(bare: Bare, end: bytes) -> set[bytes]:
    """Return what is heard up to `end`, and `end` with it."""
    heard = {end}
    while (data := bare.message()) != end:
        heard.add(data)
    return heard


def test_what_one_says_oneself_is_not_heard_again(nats_url: str) -> None:
    async def main() -> list[bytes]:
        async with connected(nats_url) as connection, connected(nats_url, "feed") as other:
            own = Ear(connection)
            await own.listen("word")
            connection.send("word", b"mine")
            await connection.flush()
            other.send("word", b"theirs")
            return [await own.data()]

    assert run(main()) == [b"theirs"]


def test_a_flush_proves_that_the_server_has_every_publish_before_it(nats_url: str) -> None:
    async def main() -> bytes:
        async with tapped(nats_url) as tap, connected(tap.url) as connection:
            tap.seen.clear()
            await connection.publish("word", b"1")
            connection.send("word", b"2")
            connection.send("word", b"3")
            await connection.flush()
            return bytes(tap.seen)

    said = run(main()).replace(b"PUB word  1", b"PUB word 1")  # nats-py writes two spaces
    assert said.startswith(b"".join(b"PUB word 1\r\n%d\r\n" % n for n in (1, 2, 3)) + b"PING\r\n")


def test_a_plain_flush_pings_before_it_publishes(nats_url: str) -> None:
    """The fault behind the rule; when nats-py mends it, so may we."""

    async def main() -> bytes:
        async with tapped(nats_url) as tap:
            client = await nats.connect(tap.url)
            tap.seen.clear()
            await client.publish("word", b"1")
            await client.flush()
            found = bytes(tap.seen)
            await client.close()
            return found

    assert run(main()).startswith(b"PING\r\n")


def test_publishing_and_closing_at_once_loses_nothing(nats_url: str) -> None:
    async def main() -> list[bytes]:
        async with ear(nats_url, "word") as watcher:
            async with connected(nats_url) as connection:
                for number in range(3):
                    connection.send("word", b"%d" % number)
            return [await watcher.data() for _ in range(3)]

    assert run(main()) == [b"0", b"1", b"2"]


async def said_in_an_outage(url: str, connection: Any, tap: Any, links: Links) -> list[bytes]:
    """Publish while the wire is cut, and again when it is mended; return what is heard."""
    async with ear(url, "word") as watcher:
        tap.cut()
        assert not await links.next()
        with contextlib.suppress(BusError, OutboundBufferLimitError):
            await connection.publish("word", b"in the outage")
        tap.mend()
        assert await links.next()
        await connection.publish("word", b"after it")
        heard = [await watcher.data()]
        while heard[-1] != b"after it":
            heard.append(await watcher.data())
        return heard


@pytest.mark.req("X-10")
def test_what_is_published_in_an_outage_is_never_delivered_late(nats_url: str) -> None:
    async def main() -> list[bytes]:
        async with tapped(nats_url) as tap, connected(tap.url) as connection:
            return await said_in_an_outage(nats_url, connection, tap, Links(connection))

    assert run(main()) == [b"after it"]


def test_a_buffering_client_delivers_an_outage_late(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connect_module.OPTIONS, "pending_size", MEGABYTE)

    async def main() -> list[bytes]:
        async with tapped(nats_url) as tap, connected(tap.url) as connection:
            return await said_in_an_outage(nats_url, connection, tap, Links(connection))

    assert run(main()) == [b"in the outage", b"after it"]


def test_while_disconnected_every_way_to_publish_raises(nats_url: str) -> None:
    async def main() -> None:
        async with tapped(nats_url) as tap, connected(tap.url) as connection:
            links = Links(connection)
            tap.cut()
            assert not await links.next()
            with pytest.raises(BusError, match=r"SLU-122.*nothing was sent"):
                connection.send("word", b"")
            with pytest.raises(OutboundBufferLimitError):
                await connection.publish("word", b"")
            with pytest.raises(OutboundBufferLimitError):
                await connection.request("word", b"")

    run(main())


def test_what_waits_for_the_end_of_a_turn_is_lost_with_the_connection(nats_url: str) -> None:
    async def main() -> list[bytes]:
        async with tapped(nats_url) as tap, connected(tap.url) as connection:
            links = Links(connection)
            async with ear(nats_url, "word") as watcher:
                connection.send("word", b"left at once")
                connection.send("word", b"waited")
                await connection._process_op_err(ConnectionResetError("the wire broke"))
                assert [await links.next(), await links.next()] == [False, True]
                connection.send("word", b"new")
                return [await watcher.data(), await watcher.data()]

    assert run(main()) == [b"left at once", b"new"]


@pytest.mark.req("X-10")
def test_a_frozen_server_is_left_while_it_is_frozen(nats_server: NatsServer) -> None:
    async def main() -> None:
        async with connected(nats_server.url) as connection:
            links = Links(connection)
            with frozen(nats_server):
                assert not await links.next()
                with pytest.raises(BusError, match="SLU-122"):
                    connection.send("word", b"")
            assert await links.next()
            await connection.flush()

    run(main())


async def said_to_a_frozen_server(server: NatsServer, until: bytes = b"after") -> set[bytes]:
    """Flood a server that reads nothing; return what subscribers hear when it is back.

    They listen until they hear `until`: the last of the flood comes by a connection of its own,
    and may well come after what was said on the next one.
    """
    bare = Bare(server.url)
    bare.subscribe("flood")
    async with connected(server.url) as connection:
        links = Links(connection)
        with frozen(server):
            await flood(connection)
            await left(connection)
        reading = asyncio.create_task(asyncio.to_thread(read_until, bare, until))
        assert [await links.next(), await links.next()] == [False, True]
        connection.send("flood", b"after")
        heard = await reading
        bare.close()
        return heard


async def left(connection: BusConnection) -> None:
    """Wait until the client has given the connection up: its pings were not answered."""
    pinging = connection._ping_interval_task
    assert pinging is not None
    await asyncio.wait({pinging})


@pytest.mark.req("X-10")
def test_what_a_frozen_server_did_not_read_is_not_delivered_late(nats_server: NatsServer) -> None:
    assert b"last" not in run(said_to_a_frozen_server(nats_server))


def test_waiting_for_a_frozen_server_delivers_the_rest_late(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Patient(BusConnection):
        _process_op_err = Client._process_op_err

    monkeypatch.setattr(connect_module, "BusConnection", Patient)
    assert b"last" in run(said_to_a_frozen_server(nats_server, until=b"last"))


async def heard_of_a_backlog(url: str, links_wanted: int) -> tuple[int, list[bool]]:
    """Take messages slowly, so that a ping's answer comes late behind them; return what came."""
    async with connected(url) as connection:
        links, done, heard = Links(connection), asyncio.Event(), 0

        def slowly(subject: str, data: bytes, reply: str) -> int:
            nonlocal heard
            time.sleep(0.01)  # the work that a message makes
            heard += 1
            if heard == BACKLOG:
                done.set()
            return 32

        await connection.take("work", slowly)
        await connection.flush()
        bare = Bare(url)
        bare.publish("work", *[b""] * BACKLOG)
        bare.settle()
        bare.close()
        if links_wanted:
            changes = [await links.next() for _ in range(links_wanted)]
            return heard, changes
        await done.wait()
        return heard, []


def test_a_backlog_is_not_taken_for_a_frozen_server(nats_url: str) -> None:
    assert run(heard_of_a_backlog(nats_url, links_wanted=0)) == (BACKLOG, [])


def test_looking_at_the_answers_alone_would_lose_the_backlog(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hasty(BusConnection):
        _ping_interval = Client._ping_interval

    monkeypatch.setattr(connect_module, "BusConnection", Hasty)
    heard_count, changes = run(heard_of_a_backlog(nats_url, links_wanted=2))
    assert heard_count < BACKLOG
    assert changes == [False, True]


def test_closing_does_not_wait_for_a_frozen_server(nats_server: NatsServer) -> None:
    async def main() -> bool:
        connection = await connect("gate", BusConfig(url=nats_server.url))
        with frozen(nats_server):
            await flood(connection)
            await connection.close()
        return connection.is_closed

    assert run(main())


def test_a_reconnected_client_hears_all_its_subjects_again(nats_url: str) -> None:
    async def main() -> list[bytes]:
        async with tapped(nats_url) as tap, connected(tap.url) as connection:
            own, links = Ear(connection), Links(connection)
            await own.listen("one", "two")
            tap.cut()
            assert not await links.next()
            tap.mend()
            assert await links.next()
            async with connected(nats_url, "feed") as other:
                other.send("one", b"1")
                other.send("two", b"2")
                return [await own.data(), await own.data()]

    assert run(main()) == [b"1", b"2"]


def test_a_listener_that_raises_costs_neither_link_nor_others(nats_url: str) -> None:
    def careless(is_up: bool, detail: str) -> None:
        raise ValueError("a careless listener")

    async def main() -> list[bool]:
        async with tapped(nats_url) as tap, connected(tap.url) as connection:
            connection.on_link.append(careless)
            links = Links(connection)
            tap.cut()
            changes = [await links.next()]
            tap.mend()
            return [*changes, await links.next()]

    assert run(main()) == [False, True]


@pytest.mark.parametrize("vital", ["_reading_task", "_ping_interval_task", "_flusher_task"])
def test_a_dead_task_of_the_client_is_noticed_and_mended(nats_url: str, vital: str) -> None:
    async def main() -> tuple[list[bool], bytes]:
        async with connected(nats_url) as connection, connected(nats_url, "feed") as other:
            own, links = Ear(connection), Links(connection)
            await own.listen("word")
            getattr(connection, vital).cancel()
            changes = [await links.next(), await links.next()]
            other.send("word", b"heard")
            return changes, await own.data()

    assert run(main()) == ([False, True], b"heard")


def test_without_the_watch_a_dead_reader_looks_connected(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BusConnection, "_on_vital_end", lambda self, task: None)

    async def main() -> tuple[bool, bool]:
        async with connected(nats_url) as connection:
            reader = connection._reading_task
            assert reader is not None
            reader.cancel()
            await asyncio.wait({reader})
            return connection.is_connected, connection._reading_task is reader

    assert run(main()) == (True, True)


def test_a_reconnection_that_breaks_closes_for_good_and_says_so(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: Client) -> None:
        raise LookupError("what nats-py does not expect")

    async def main() -> tuple[list[bool], bool, str]:
        async with tapped(nats_url) as tap, connected(tap.url) as connection:
            links = Links(connection)
            monkeypatch.setattr(Client, "_select_next_server", broken)
            tap.cut()
            changes = [await links.next(), await links.next()]
            return changes, connection.is_closed, connection.lost_because

    changes, is_closed, why = run(main())
    assert (changes, is_closed) == ([False, False], True)
    assert why == "reconnecting broke: LookupError('what nats-py does not expect')"


def test_asking_where_nobody_listens_fails_at_once(nats_url: str) -> None:
    async def main() -> None:
        async with connected(nats_url) as connection:
            await connection.request("query.nobody", b"", timeout=20)

    with pytest.raises(NoRespondersError):
        run(main())
