"""The paper exchange's door on a real socket: who comes in, what is heard, who is sent away."""

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from schemas import wire
from schemas.base import Event, OrderId
from schemas.executions import OrderStatus
from schemas.venue import (
    BookQueried,
    OrderQueried,
    VenueAccepted,
    VenueBook,
    VenueFilled,
    VenueMessage,
    VenueOrderStatus,
)
from services.core import tell
from services.executor.config import VenueConfig
from services.executor.venues import paper_server
from services.executor.venues.paper_server import PaperServer
from services.venue_door import Address, Welcome, read_address
from tests.builders import S_NS, order, quote
from tests.executor_builders import placed, say, venue

WAIT_S = 5


def run(test: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(test, 20))


class Exchange:
    """A venue core behind its door, without a bus: quotes are told to it by hand."""

    def __init__(self, folder: Path) -> None:
        self.core = venue()
        self.file = folder / "run" / "venue.json"
        self.server = PaperServer(VenueConfig(), self.file)
        self.callers: list[Caller] = []
        say(self.core, quote())

    def post(self, *events: Event) -> None:
        for event in events:
            for said in tell(self.core, event, 1):
                self.server.act(said, 1)

    @property
    def address(self) -> Address:
        return read_address(self.file)


@asynccontextmanager
async def exchange(folder: Path) -> AsyncIterator[Exchange]:
    it = Exchange(folder)
    await it.server.open(it.post)
    try:
        yield it
    finally:
        for caller in it.callers:
            caller.writer.close()
        await it.server.close()


class Caller:
    """A connection that says whatever a test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def dial(cls, it: Exchange, token: str | None = None) -> "Caller":
        """Connect; say hello with the right token unless another is given."""
        address = it.address
        caller = cls(*await asyncio.open_connection(address.host, address.port))
        it.callers.append(caller)
        if token != "":
            caller.write(json.dumps({"token": token or address.token}).encode())
        return caller

    def write(self, *lines: bytes) -> None:
        self.writer.write(b"".join(line + b"\n" for line in lines))

    def say(self, *requests: VenueMessage) -> None:
        self.write(*(wire.encode(request) for request in requests))

    async def line(self) -> bytes:
        return await asyncio.wait_for(self.reader.readline(), WAIT_S)

    async def welcome(self) -> Welcome:
        return msgspec.json.decode(await self.line(), type=Welcome)

    async def report(self) -> Event:
        return wire.decode_kept(await self.line(), where="test")

    async def is_over(self) -> bool:
        return await self.line() == b""


@pytest.mark.req("X-06")
def test_an_executor_that_knows_the_token_trades_over_a_real_socket(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with exchange(tmp_path) as it:
            caller = await Caller.dial(it)
            assert await caller.welcome() == Welcome(is_ok=True)
            caller.say(placed(order()), OrderQueried(at_ns=1, order_id=OrderId("o1")))
            accepted, filled, status = [await caller.report() for _ in range(3)]
            assert isinstance(accepted, VenueAccepted)
            assert isinstance(filled, VenueFilled)
            assert isinstance(status, VenueOrderStatus)
            assert status.status is OrderStatus.FILLED

    run(scenario())


@pytest.mark.req("A-01")
def test_the_address_with_its_token_is_for_its_user_only_and_goes_with_the_exchange(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with exchange(tmp_path) as it:
            mode = it.file.stat().st_mode
            assert stat.S_IMODE(mode) == 0o600
            assert it.address.host == "127.0.0.1"
            assert len(it.address.token) >= 40
            first = it.address.token
        assert not it.file.exists()
        async with exchange(tmp_path) as it:
            assert it.address.token != first

    run(scenario())


@pytest.mark.req("A-01")
@pytest.mark.parametrize(
    "hello",
    [
        b'{"token": "wrong"}',
        b'{"token": ""}',
        b'{"token": 7}',
        b"{}",
        b"not json",
        b"\xff\xfe",
        b"[" * 1_000,
        b"x" * 2_000,
        wire.encode(placed(order())),
    ],
)
def test_whoever_does_not_show_the_token_is_sent_away_and_nothing_of_theirs_is_heard(
    tmp_path: Path, hello: bytes
) -> None:
    async def scenario() -> None:
        async with exchange(tmp_path) as it:
            stranger = await Caller.dial(it, token="")
            stranger.write(hello, wire.encode(placed(order())))
            assert not (await stranger.welcome()).is_ok
            assert await stranger.is_over()
            assert it.core.ledger.orders == {}

    run(scenario())


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"not json", "JSON is malformed"),
        (b"\xff", "JSON"),
        (b"{}", "missing required field `type`"),
        (b"{" * 5_000, ""),
        (b"x" * 70_000, "a line of 7"),
        (wire.encode(quote()), "QuoteReceived"),
        (wire.encode(VenueAccepted(at_ns=1, order_id=OrderId("a"), venue_order_id="V")), "Venue"),
    ],
)
def test_a_line_that_is_no_request_is_answered_and_ends_only_that_connection(
    tmp_path: Path, line: bytes, found: str
) -> None:
    async def scenario() -> None:
        async with exchange(tmp_path) as it:
            caller = await Caller.dial(it)
            await caller.welcome()
            caller.write(wire.encode(placed(order("before"))), line, wire.encode(placed(order())))
            said = [await caller.line() for _ in range(3)]
            last = msgspec.json.decode(said[-1], type=Welcome)
            assert not last.is_ok
            assert found in last.detail
            assert await caller.is_over()
            assert list(it.core.ledger.orders) == ["before"]
            again = await Caller.dial(it)
            assert (await again.welcome()).is_ok

    run(scenario())


def test_a_line_cut_short_by_a_hang_up_is_never_an_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with exchange(tmp_path) as it:
            caller = await Caller.dial(it)
            await caller.welcome()
            caller.writer.write(wire.encode(placed(order())))  # whole, but for its newline
            caller.writer.close()
            await caller.writer.wait_closed()
            second = await Caller.dial(it)
            await second.welcome()
            second.say(BookQueried(at_ns=1, request_id="r"))
            assert isinstance(await second.report(), VenueBook)
            assert it.core.ledger.orders == {}

    run(scenario())


def test_a_request_may_come_in_pieces_and_several_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with exchange(tmp_path) as it:
            caller = await Caller.dial(it)
            await caller.welcome()
            lines = (
                wire.encode(placed(order("a"))) + b"\n" + wire.encode(placed(order("b"))) + b"\n"
            )
            for start in range(0, len(lines), 50):
                caller.writer.write(lines[start : start + 50])
                await caller.writer.drain()
            kinds = [type(await caller.report()) for _ in range(4)]
            assert kinds == [VenueAccepted, VenueFilled] * 2

    run(scenario())


def test_a_second_executor_takes_over_and_the_first_is_told_and_no_longer_heard(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with exchange(tmp_path) as it:
            first, second = await Caller.dial(it), await Caller.dial(it)
            assert (await first.welcome()).is_ok
            assert (await second.welcome()).is_ok
            assert (await first.welcome()).detail == "another executor took over this account"
            assert await first.is_over()
            second.say(placed(order()))
            assert isinstance(await second.report(), VenueAccepted)

    run(scenario())


def test_what_happens_while_nobody_is_connected_is_in_the_book_afterwards(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with exchange(tmp_path) as it:
            it.post(placed(order()))
            caller = await Caller.dial(it)
            await caller.welcome()
            caller.say(BookQueried(at_ns=1, request_id="r"))
            book = await caller.report()
            assert isinstance(book, VenueBook)
            assert [fill.order_id for fill in book.executions] == ["o1"]

    run(scenario())


def test_connections_that_never_say_hello_are_closed_and_do_not_use_up_the_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(paper_server, "HELLO_S_MAX", 0.2)
        async with exchange(tmp_path) as it:
            silent = [await Caller.dial(it, token="") for _ in range(paper_server.STRANGERS_MAX)]
            surplus = await Caller.dial(it, token="")
            too_many = "too many connections that have not said who they are"
            assert (await surplus.welcome()).detail == too_many
            assert [(await each.welcome()).detail for each in silent] == [
                "no hello within 5 s" for _ in silent
            ]
            caller = await Caller.dial(it)
            assert (await caller.welcome()).is_ok

    run(scenario())


def test_an_executor_that_reads_nothing_is_cut_off_before_memory_runs_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(paper_server, "UNREAD_BYTES_MAX", 100_000)
        async with exchange(tmp_path) as it:
            deaf = socket.socket()
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            deaf.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(deaf, (it.address.host, it.address.port))
            await loop.sock_sendall(deaf, json.dumps({"token": it.address.token}).encode() + b"\n")
            assert (await loop.sock_recv(deaf, 100)).startswith(b'{"is_ok":true')
            question = OrderQueried(at_ns=S_NS, order_id=OrderId("x" * 1_000))
            sent_count = 0
            while it.server._client is not None:
                it.post(question)
                sent_count += 1
                if sent_count % 20 == 0:
                    await asyncio.sleep(0)
                assert sent_count < 100_000, "it was never cut off"
            deaf.close()

    run(scenario())
