"""An execution that comes while the bus is dead is told once there is one again: real processes."""

import signal
from pathlib import Path

import pytest

from schemas import wire
from schemas.base import Event
from schemas.executions import OrderAccepted, OrderFilled
from schemas.health import HealthReported
from schemas.orders import OrderType, TimeInForce
from schemas.repeats import FactRepeated, fact_in
from schemas.streams import FILLS
from tests.builders import quote
from tests.conftest import NatsServer
from tests.integration.test_executor_live import Floor, floor, fresh, now, run


async def recorded(it: Floor) -> list[Event]:
    """Return all that the stream has."""
    stream = it.bus.jetstream()
    found: list[Event] = []
    info = await stream.stream_info(FILLS.name)
    for seq in range(1, info.state.messages + 1):
        message = await stream.get_msg(FILLS.name, seq)
        found += wire.decode(message.data or b"", subject=message.subject or "")
    return found


async def executions_of(it: Floor) -> list[tuple[type[Event], str]]:
    """Return the executions that the stream has, and how each came there."""
    pairs = [(type(each), fact_in(each)) for each in await recorded(it)]
    return [(how, fact.order_id) for how, fact in pairs if isinstance(fact, OrderFilled)]


def is_heard_since(it: Floor, since_ns: int) -> bool:
    """Return whether the executor and this test have both found the new server."""
    found = [each for each in it.of(HealthReported) if each.service == "executor"]
    return any(each.is_ready and each.at_ns > since_ns for each in found)


async def fill_without_a_bus(it: Floor, server: NatsServer) -> None:
    """Have an order fill at the venue, and the executor learn of it once the bus is dead."""
    await it.bus.jetstream().add_stream(name=FILLS.name, subjects=list(FILLS.subjects))
    resting = {"order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC, "limit": "90.00"}
    await it.approve(fresh("resting", **resting))
    await it.until(lambda: "resting" in it.ids(OrderAccepted))
    executor = it.processes["executor"]
    executor.send_signal(signal.SIGSTOP)
    await it.say(quote("88", "89", at_ns=now()))
    await it.bus.flush()
    journal = it.folder / "var" / "state" / "venue.jsonl"
    await it.until(lambda: b"VenueFilled" in journal.read_bytes())
    server.stop()
    executor.send_signal(signal.SIGCONT)
    kept = it.folder / "var" / "state" / "executor.jsonl"
    await it.until(lambda: b"OrderFilled" in kept.read_bytes())


@pytest.mark.req("R-01", "X-10", "O-07")
@pytest.mark.parametrize("dies", [False, True])
def test_an_execution_without_a_bus_is_told_for_the_record(
    tmp_path: Path, nats_server: NatsServer, dies: bool
) -> None:
    """Whether the executor goes on, or is killed before there is a bus again."""

    async def scenario() -> None:
        async with floor(tmp_path, nats_server.url) as it:
            await fill_without_a_bus(it, nats_server)
            if dies:
                it.kill("executor")
            again = NatsServer(nats_server.folder, "-p", nats_server.url.rpartition(":")[2])
            since_ns = now()
            try:
                if dies:
                    it.start("executor")
                await it.until(lambda: is_heard_since(it, since_ns))
                assert (await it.book()).fill_count == 1
                assert await executions_of(it) == [(FactRepeated, "resting")]
            finally:
                again.stop()

    run(scenario())
