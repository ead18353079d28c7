"""The executor's way to the venue on a real socket, against a venue that behaves badly."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from schemas import wire
from schemas.base import Event, OrderId
from schemas.executions import OutcomeRecorded
from schemas.orders import Order
from schemas.venue import CancelPlaced, VenueAccepted, VenueLinkChanged
from services.executor.config import ExecutorConfig
from services.executor.venues import paper_client
from services.executor.venues.paper_client import PaperClient
from services.executor.venues.protocol import write_address
from services.venue_door import Address
from tests.builders import order
from tests.executor_builders import placed

TOKEN = "the token"
O1 = OrderId("o1")


def run(test: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(test, 20))


class Stage:
    """A client, what it told its core, and a venue that a test plays by hand.

    Attributes:
        told: what the client posted, in order.
        lines: what the venue was sent, after the hello.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / "venue.json"
        self.told: list[Event] = []
        self.lines: list[bytes] = []
        self.refusal = ""
        self.asked_locked: list[bool] = []
        self.lock = threading.Lock()
        self.client = PaperClient(
            ExecutorConfig(reconnect_min_ms=1, reconnect_max_ms=20),
            self.file,
            may_send=self._may_send,
            lock=self.lock,
            clock=lambda: self.now_ns,
        )
        self.now_ns = 1
        self.writer: asyncio.StreamWriter | None = None
        self.welcome = b'{"is_ok":true}\n'
        self.server: asyncio.Server

    def _may_send(self, one: Order, now_ns: int) -> str:
        self.asked_locked.append(self.lock.locked())
        return self.refusal

    async def serve(self) -> None:
        self.server = await asyncio.start_server(self._on_client, "127.0.0.1", 0, limit=1 << 26)
        host, port = self.server.sockets[0].getsockname()
        write_address(self.file, Address(host=host, port=port, token=TOKEN))

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        hello = {"token": TOKEN, "client": "executor", "cancel_on_disconnect": True}
        assert json.loads(await reader.readline()) == hello
        writer.write(self.welcome)
        while line := await reader.readline():
            self.lines.append(line)
        writer.close()

    def links(self) -> list[bool]:
        return [each.is_up for each in self.told if isinstance(each, VenueLinkChanged)]

    def outcomes(self) -> list[tuple[bool, str]]:
        found = [each for each in self.told if isinstance(each, OutcomeRecorded)]
        return [(each.is_sent, each.detail) for each in found]

    async def until(self, is_so: Callable[[], object]) -> None:
        for _ in range(1_000):
            if is_so():
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"not so: {self.told} {self.lines}")


@asynccontextmanager
async def stage(folder: Path, *, is_up: bool = True, **changes: Any) -> AsyncIterator[Stage]:
    it = Stage(folder)
    for name, value in changes.items():
        setattr(it, name, value)
    if is_up:
        await it.serve()
    await it.client.open(lambda *events: it.told.extend(events))
    try:
        if is_up and it.welcome.startswith(b'{"is_ok":true'):
            await it.until(lambda: it.links() == [True])
        yield it
    finally:
        await it.client.close()
        if it.writer is not None:
            it.writer.close()
        if hasattr(it, "server"):
            it.server.close()
            await it.server.wait_closed()


def test_an_order_is_checked_and_written_under_the_lock_in_one_step(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(tmp_path) as it:
            it.client.act(placed(order()), 1)
            assert it.asked_locked == [True]
            await it.until(lambda: it.lines)
            assert it.outcomes() == [(True, "")]
            assert it.lines == [wire.encode(placed(order())) + b"\n"]

    run(scenario())


@pytest.mark.req("O-05")
def test_an_order_that_the_last_check_refuses_is_not_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(tmp_path, refusal="halted") as it:
            it.client.act(placed(order()), 1)
            it.client.act(CancelPlaced(at_ns=1, order_id=O1), 1)
            await it.until(lambda: it.lines)
            assert it.outcomes() == [(False, "halted")]
            assert [wire.decode_kept(line, where="test") for line in it.lines] == [
                CancelPlaced(at_ns=1, order_id=O1)
            ]

    run(scenario())


@pytest.mark.req("X-10")
def test_the_same_order_is_never_written_twice_even_if_the_core_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(tmp_path) as it:
            it.client.act(placed(order()), 1)
            it.client.act(placed(order()), 1)
            await it.until(lambda: len(it.outcomes()) == 2)
            again = "repeat: it was written already"
            assert it.outcomes() == [(True, ""), (False, again)]

    run(scenario())


class Trusting(PaperClient):
    """A client without its own memory of what it wrote."""

    def act(self, event: Event, now_ns: int) -> None:
        self._written.clear()
        super().act(event, now_ns)


def test_without_its_memory_the_client_would_write_an_order_twice(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(tmp_path) as it:
            it.client.__class__ = Trusting
            it.client.act(placed(order()), 1)
            it.client.act(placed(order()), 1)
            await it.until(lambda: len(it.outcomes()) == 2)
            assert it.outcomes() == [(True, ""), (True, "")]

    run(scenario())


@pytest.mark.req("X-10")
def test_without_a_link_nothing_is_kept_for_later(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(tmp_path, is_up=False) as it:
            it.client.act(placed(order()), 1)
            it.client.act(CancelPlaced(at_ns=1, order_id=O1), 1)
            await it.until(lambda: len(it.outcomes()) == 1)
            assert it.outcomes() == [(False, "venue link down")]
            await it.serve()
            await it.until(lambda: it.links() == [True])
            it.client.act(placed(order("o2")), 1)
            await it.until(lambda: it.lines)
            assert [json.loads(line)["order"]["order_id"] for line in it.lines] == ["o2"]

    run(scenario())


def test_a_venue_that_hangs_up_is_connected_to_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(tmp_path) as it:
            assert it.writer is not None
            it.writer.close()
            await it.until(lambda: it.links() == [True, False, True])

    run(scenario())


def test_a_venue_that_came_back_elsewhere_is_found_by_its_new_address(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(tmp_path) as it:
            first = it.server
            assert it.writer is not None
            first.close()
            it.writer.close()
            await it.until(lambda: it.links() == [True, False])
            await it.serve()
            await it.until(lambda: it.links() == [True, False, True])
            await first.wait_closed()

    run(scenario())


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        wire.encode(placed(order())) + b"\n",
        b'{"is_ok":false,"detail":"another executor took over this account"}\n',
    ],
)
def test_a_venue_that_says_what_it_may_not_is_hung_up_on(tmp_path: Path, line: bytes) -> None:
    async def scenario() -> None:
        async with stage(tmp_path) as it:
            assert it.writer is not None
            good = VenueAccepted(at_ns=1, order_id=O1, venue_order_id="V1")
            it.writer.write(wire.encode(good) + b"\n" + line)
            await it.until(lambda: it.links() == [True, False, True])
            assert it.told[1] == good

    run(scenario())


def test_a_venue_that_refuses_us_is_said_to_be_away_after_a_while_and_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        no = b'{"is_ok":false,"detail":"go away"}\n'
        async with stage(tmp_path, welcome=no) as it:
            await asyncio.sleep(0.05)
            assert it.told == []
            it.now_ns += paper_client.COMPLAIN_AFTER_NS + 1
            await it.until(lambda: it.told)
            [link] = it.told
            assert isinstance(link, VenueLinkChanged)
            assert not link.is_up
            assert "go away" in link.detail

    run(scenario())


class Choking(socket.socket):
    """A socket whose other end does not read: full, or full in the middle of a line."""

    accepted_bytes = 0

    def send(self, data: Any, flags: int = 0) -> int:
        if not self.accepted_bytes:
            raise BlockingIOError
        return super().send(data[: self.accepted_bytes], flags)


def choke(it: Stage, accepted_bytes: int) -> None:
    """Make the client's next write meet a full connection."""
    assert it.client._socket is not None
    choking = Choking(fileno=it.client._socket.detach())
    choking.setblocking(False)
    choking.accepted_bytes = accepted_bytes
    it.client._socket = choking


@pytest.mark.req("X-10")
def test_an_order_that_finds_the_connection_full_is_refused_whole(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(tmp_path) as it:
            choke(it, 0)
            it.client.act(placed(order()), 1)
            await it.until(lambda: len(it.outcomes()) == 1)
            assert it.outcomes() == [(False, "venue link full: the exchange does not read")]

    run(scenario())


@pytest.mark.req("X-10")
def test_an_order_cut_short_ends_the_link_and_counts_as_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(tmp_path) as it:
            choke(it, 20)
            it.client.act(placed(order()), 1)
            it.client.act(placed(order("o2")), 1)
            await it.until(lambda: len(it.outcomes()) == 2)
            assert it.outcomes() == [(True, ""), (False, "venue link down")]
            await it.until(lambda: it.links() == [True, False, True])
            kinds = [type(each) for each in it.told]
            assert kinds[:4] == [
                VenueLinkChanged,
                OutcomeRecorded,
                OutcomeRecorded,
                VenueLinkChanged,
            ]
            whole = wire.encode(placed(order()))
            assert it.lines == [whole[:20]]

    run(scenario())


def test_a_cancel_that_finds_the_connection_full_ends_it_so_that_it_is_said_again(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with stage(tmp_path) as it:
            choke(it, 0)
            it.client.act(CancelPlaced(at_ns=1, order_id=O1), 1)
            await it.until(lambda: it.links() == [True, False, True])

    run(scenario())


def test_outcomes_of_one_turn_are_told_as_one_step_and_before_any_report(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(tmp_path) as it:
            steps: list[tuple[Event, ...]] = []
            it.client._post = lambda *events: steps.append(events)
            it.client.act(placed(order()), 1)
            it.client.act(placed(order("o2")), 1)
            report = VenueAccepted(at_ns=1, order_id=O1, venue_order_id="V")
            it.client._take(wire.encode(report) + b"\n")
            await asyncio.sleep(0)
            outcomes = [
                OutcomeRecorded(at_ns=1, order_id=order_id, is_sent=True)
                for order_id in (O1, OrderId("o2"))
            ]
            assert steps == [(*outcomes, report)]

    run(scenario())


def test_reports_that_come_together_are_told_as_one_step(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(tmp_path) as it:
            steps: list[tuple[Event, ...]] = []
            it.client._post = lambda *events: steps.append(events)
            assert it.writer is not None
            reports = [VenueAccepted(at_ns=n, order_id=O1, venue_order_id="V") for n in (1, 2)]
            it.writer.write(b"".join(wire.encode(each) + b"\n" for each in reports))
            await it.until(lambda: steps)
            assert steps == [tuple(reports)]

    run(scenario())


def test_events_that_are_none_of_the_venues_business_are_not_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(tmp_path) as it:
            it.client.act(OutcomeRecorded(at_ns=1, order_id=O1, is_sent=True), 1)
            it.client.act(CancelPlaced(at_ns=1, order_id=O1), 1)
            await it.until(lambda: it.lines)
            assert len(it.lines) == 1

    run(scenario())
