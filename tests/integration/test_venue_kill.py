"""Cancelling at the venue out of band: with the executor there, away, and with no bus at all."""

import asyncio
import json
from collections.abc import Coroutine
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from schemas.base import InstrumentId, OrderId
from schemas.errors import VenueError
from schemas.executions import OrderAccepted, OrderStatus
from schemas.orders import OrderType
from services.executor.kill import KillReport, kill
from services.executor.venues.paper_server import PaperServer
from services.venue_door import VENUE_KILL, Address, Hello, address_file, read_address
from tests.builders import ALPHA, BETA, order
from tests.conftest import NatsServer
from tests.executor_builders import placed
from tests.faulty_venue import Caller, FaultyVenue, bad_day
from tests.integration.test_executor_live import Floor, fresh

LIMIT = OrderType.LIMIT


def run(test: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(test, 60))


def bid(caller: Caller, order_id: str, instrument: InstrumentId = ALPHA) -> Any:
    return caller.order(order_id, order, order_type=LIMIT, limit="90.00", instrument=instrument)


@pytest.mark.req("O-05", "X-10")
def test_it_cancels_everything_and_shows_what_is_held(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bad_day(tmp_path) as (_, caller):
            resting = [bid(caller, "a"), bid(caller, "b", BETA)]
            caller.approve(caller.order("held", order), *resting)
            await caller.until(lambda: caller.status("b") == OrderStatus.ACCEPTED)
            assert await kill(tmp_path) == KillReport(
                is_clear=True,
                cancelled=(OrderId("a"), OrderId("b")),
                resting=(),
                positions={ALPHA: Decimal(10)},
            )
            await caller.until(lambda: caller.status("b") == OrderStatus.CANCELED)
            await caller.is_ready()

    run(scenario())


@pytest.mark.req("O-05")
def test_what_nobody_is_connected_for_is_cancelled_and_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        there = FaultyVenue(tmp_path)
        await there.server.open(there.post)
        there.post(*(placed(_limit(name)) for name in ("a", "b")))
        report = await kill(tmp_path)
        assert (report.is_clear, report.cancelled) == (True, (OrderId("a"), OrderId("b")))
        await there.server.close()

    run(scenario())


def _limit(order_id: str) -> Any:
    return order(order_id, order_type=LIMIT, limit="90.00", expires_at_ns=1 << 62)


ADMIT = PaperServer.admit


def lets_anyone_in(self: PaperServer, connection: Any, hello: Any) -> None:
    """Let an executor take a venue-kill's place."""
    if self._client is not None:
        self._client.is_kill = False
    ADMIT(self, connection, hello)


@pytest.mark.req("O-05")
def test_an_executor_is_kept_out_for_as_long_as_it_works(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bad_day(tmp_path) as (there, caller):
            reader, writer = await _dial(there)
            for _ in range(5):
                await asyncio.sleep(0.02)
                assert there.server._client is not None
                assert there.server._client.is_kill
            assert not caller.core.rounds.is_linked
            writer.close()
            await caller.is_ready()
            assert await reader.read() == b""

    run(scenario())


@pytest.mark.req("O-05")
def test_without_that_an_executor_would_be_back_before_anything_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PaperServer, "admit", lets_anyone_in)

    async def scenario() -> None:
        async with bad_day(tmp_path) as (there, _):
            reader, writer = await _dial(there)
            last = await asyncio.wait_for(reader.readline(), 5)
            assert b"another executor took over" in last
            writer.close()

    run(scenario())


async def _dial(there: FaultyVenue) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Say hello as a venue-kill, and do nothing."""
    address = read_address(there.file)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(msgspec.json.encode(Hello(token=address.token, client=VENUE_KILL)) + b"\n")
    assert b"true" in await reader.readline()
    return reader, writer


async def _killed(folder: Path) -> None:
    await kill(folder)


@pytest.mark.req("O-05")
def test_a_venue_that_is_not_there_is_said_to_be_not_there(tmp_path: Path) -> None:
    with pytest.raises(VenueError, match="SLU-130"):
        asyncio.run(_killed(tmp_path))


@pytest.mark.req("O-05")
@pytest.mark.parametrize("line", [b"what?\n", b"", b'{"is_ok":false,"detail":"full"}\n'])
def test_where_no_venue_welcomes_it_no_connection_stays_open(tmp_path: Path, line: bytes) -> None:
    ends: list[bytes] = []

    async def scenario() -> None:
        closed = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(line)
            if not line:
                writer.write_eof()
            ends.append(await reader.read())
            writer.close()
            closed.set()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        file = address_file(tmp_path)
        file.parent.mkdir(parents=True)
        file.write_bytes(msgspec.json.encode(Address(host="127.0.0.1", port=port, token="t")))
        with pytest.raises(VenueError, match="SLU-130"):
            await kill(tmp_path, timeout_s=1.0)
        async with asyncio.timeout(5):
            await closed.wait()
        server.close()
        await server.wait_closed()

    run(scenario())
    assert ends == [b""]


@pytest.mark.req("O-05")
def test_a_venue_that_does_not_answer_is_not_taken_for_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        there = FaultyVenue(tmp_path)
        await there.server.open(there.post)
        monkeypatch.setattr(there.server, "act", lambda event, now_ns: None)
        with pytest.raises(VenueError, match="a venue that answers"):
            await kill(tmp_path, timeout_s=0.2)
        await there.server.close()

    run(scenario())


@pytest.mark.req("O-05")
def test_an_order_that_cannot_be_cancelled_is_in_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        there = FaultyVenue(tmp_path)
        await there.server.open(there.post)
        there.post(placed(_limit("stuck")))
        monkeypatch.setattr(there.core, "_end", lambda *args: None)
        report = await kill(tmp_path, timeout_s=0.5)
        assert (report.is_clear, [each.order_id for each in report.resting]) == (False, ["stuck"])
        assert "cancel by hand" in report.detail
        await there.server.close()

    run(scenario())


@pytest.mark.req("O-05", "X-10")
def test_with_the_bus_and_every_other_service_killed_it_still_clears_the_venue(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    async def scenario() -> None:
        it = _floor(tmp_path, nats_server.url)
        await it.open()
        try:
            it.start("venue")
            it.start("executor")
            await it.ready("venue", "executor")
            await it.begin()
            resting = [fresh(f"r{n}", order_type=LIMIT, limit="90.00") for n in range(5)]
            await it.approve(fresh("held"), *resting)
            await it.until(lambda: len(it.of(OrderAccepted)) == 6)
            await it.bus.close()
            nats_server.stop()
            it.kill("executor")
            report = await kill(tmp_path / "var")
            assert report.is_clear
            assert sorted(report.cancelled) == [f"r{n}" for n in range(5)]
            assert report.positions == {ALPHA: Decimal(1)}
        finally:
            for process in it.processes.values():
                process.kill()
                process.wait()

    run(scenario())


def _floor(folder: Path, url: str) -> Floor:
    """Venue and executor as processes; what rests stays when the executor is gone."""
    it = Floor(folder, url)
    resolved = json.loads(it.config.read_text())
    resolved["executor"]["cancel_on_disconnect"] = False
    it.config.write_text(json.dumps(resolved))
    return it
