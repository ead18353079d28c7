"""On a cluster of three real servers: what was acknowledged outlives any one of them."""

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import nats
import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

from schemas.errors import BusError
from schemas.streams import STREAMS
from services.recorder.config import RecorderConfig
from services.recorder.jetstream import ensure_stream, read_servers, request
from services.recorder.profile import durability
from services.runtime.config import BusConfig
from services.runtime.connect import connect
from services.runtime.supervisor_server import free_port
from tests.cluster import HOST, NAMES, Cluster, running_cluster

pytestmark = [pytest.mark.req("R-01", "A-05"), pytest.mark.timeout(90)]

T = TypeVar("T")
THREE = RecorderConfig(replicas=3)
SUBJECT = "order.approved.sim.x"
ORDERS_SENT, KILLED_AT = 120, 40


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with running_cluster(tmp_path) as found:
        yield found


def port_of(bus: Client) -> int:
    """Return the port of the server that it is connected to."""
    url = bus.connected_url
    assert url is not None
    assert url.port is not None
    return url.port


async def streams(bus: Client) -> list[str]:
    """Make every stream, and return what is not as it should be; peers come when they are ready."""
    return [
        each
        for spec in STREAMS
        for each in await patiently(partial(ensure_stream, bus, spec, THREE))
    ]


async def info(bus: Client, stream: str) -> dict[str, Any]:
    return await patiently(partial(request, bus, f"STREAM.INFO.{stream}", {}))


@contextlib.asynccontextmanager
async def connected(cluster: Cluster) -> AsyncIterator[Client]:
    bus = await nats.connect(cluster.urls, max_reconnect_attempts=-1, reconnect_time_wait=0.05)
    try:
        yield bus
    finally:
        await bus.close()


async def sent(bus: Client, cluster: Cluster, leader: str) -> None:
    """Send orders until each is acknowledged, and kill the leader of their stream meanwhile."""
    for number in range(ORDERS_SENT):
        if number == KILLED_AT:
            cluster.servers[leader].kill()
        name = {"Nats-Msg-Id": str(number)}  # one that was stored and not acknowledged comes again
        await patiently(partial(bus.request, SUBJECT, b"%d" % number, 0.5, headers=name))


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Return the answer, once there is a leader to give it."""
    deadline_s = time.monotonic() + 30
    while True:
        try:
            return await ask()
        except NatsError:
            assert time.monotonic() < deadline_s, "no answer"


async def stored(bus: Client) -> list[int]:
    """Return the numbers that the stream has, oldest first."""
    state = (await info(bus, "ORDERS"))["state"]
    found: list[int] = []
    for seq in range(1, state["last_seq"] + 1):
        answer: dict[str, Any] = await request(bus, "STREAM.MSG.GET.ORDERS", {"seq": seq})
        found.append(int(base64.b64decode(answer["message"]["data"])))
    return found


def test_every_stream_is_kept_by_three_servers_and_one_alone_is_not_durable(
    cluster: Cluster,
) -> None:
    async def main() -> None:
        async with connected(cluster) as bus:
            assert await streams(bus) == []
            for spec in STREAMS:
                found = await info(bus, spec.name)
                assert found["config"]["num_replicas"] == 3
                assert len(found["cluster"]["replicas"]) == 2, "beside the leader"

    asyncio.run(main())
    servers = read_servers(cluster.monitors)
    assert durability([], servers, replicas=3).is_durable
    some = dict([*servers.items()][:2])
    assert "name the monitoring of each" in durability([], some, replicas=3).detail
    weak = durability([], servers, replicas=1)
    assert (weak.is_durable, weak.detail) == (
        False,
        "the server is one of the cluster C, and streams are kept by 1 of its servers: "
        "set recorder.replicas to 3 or more",
    )


def test_what_was_acknowledged_is_there_after_the_leader_was_killed(cluster: Cluster) -> None:
    async def main() -> None:
        async with connected(cluster) as bus:
            assert await streams(bus) == []
            leader = (await info(bus, "ORDERS"))["cluster"]["leader"]
            await sent(bus, cluster, leader)
            assert await stored(bus) == [*range(ORDERS_SENT)], "in order, each once"
            assert (await info(bus, "ORDERS"))["cluster"]["leader"] not in ("", leader)

    asyncio.run(main())


@pytest.mark.req("O-04")
def test_a_service_with_all_addresses_outlives_the_server_that_it_is_connected_to(
    cluster: Cluster,
) -> None:
    """Of three addresses one that answers is enough, at the start and after."""

    async def main() -> None:
        nobody = f"nats://{HOST}:{free_port(HOST, 0)}"
        bus = await connect("gate", BusConfig(url=", ".join([nobody, *cluster.urls])))
        other = await connect("gate", BusConfig(url=cluster.urls[0]))
        ports = [int(url.rpartition(":")[2]) for url in cluster.urls]
        at = ports.index(port_of(bus))
        heard = asyncio.Event()

        def take(_subject: str, _data: bytes, _reply: str) -> int:
            heard.set()
            return 1

        await bus.take("x", take)
        cluster.servers[NAMES[at]].kill()
        deadline_s = time.monotonic() + 30
        while not heard.is_set():  # the other one may have had the same server
            assert time.monotonic() < deadline_s, "it never came back"
            with contextlib.suppress(NatsError, BusError, TimeoutError):
                other.send("x", b"")
                await other.flush(1)
                await bus.flush(1)
        assert port_of(bus) != ports[at]
        await other.close()
        await bus.close()

    asyncio.run(main())
