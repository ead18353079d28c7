"""Whoever may make or read streams cannot make the server speak for others (ADR 7)."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from services.recorder.jetstream import request
from services.runtime import fastpath
from services.runtime.fastpath import COPY, BusConnection
from tests.integration.guarded import CONFIGURATION, GuardedServer

pytestmark = pytest.mark.req("A-01", "S-13")
TARGET, SOURCE = "order.sim.paper", "alert.forged"
FORGED = b'{"type":"OrderApproved"}'
Way = Callable[[BusConnection, str], Awaitable[None]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GuardedServer]:
    started = GuardedServer(tmp_path / "bus", configuration=may_make_any_stream())
    try:
        yield started
    finally:
        started.stop()


def may_make_any_stream() -> str:
    """Return the committed rights, but for the recorder's, which may make any stream: the worst."""
    text, named = CONFIGURATION.read_text(), '"$JS.API.STREAM.CREATE.CONTROL"'
    assert named in text
    return text.replace(named, '"$JS.API.STREAM.CREATE.*"')


def stream(**more: Any) -> dict[str, Any]:
    return {"name": "FORGED", "subjects": [SOURCE], "storage": "memory", **more}


async def republish(thief: BusConnection, target: str) -> None:
    republished = {"src": SOURCE, "dest": target}
    await request(thief, "STREAM.CREATE.FORGED", stream(republish=republished))
    thief.send(SOURCE, FORGED)


async def push(thief: BusConnection, target: str) -> None:
    await request(thief, "STREAM.CREATE.FORGED", stream())
    config = {"name": "c", "deliver_subject": target, "ack_policy": "none"}
    body = {"stream_name": "FORGED", "config": config}
    await request(thief, "CONSUMER.CREATE.FORGED.c", body)
    thief.send(SOURCE, FORGED)


async def pull(thief: BusConnection, target: str) -> None:
    await request(thief, "STREAM.CREATE.FORGED", stream())
    body = {"stream_name": "FORGED", "config": {"name": "c", "ack_policy": "none"}}
    await request(thief, "CONSUMER.CREATE.FORGED.c", body)
    thief.send(SOURCE, FORGED)
    thief.send("$JS.API.CONSUMER.MSG.NEXT.FORGED.c", b"1", reply=target)


async def direct_get(thief: BusConnection, target: str) -> None:
    await request(thief, "STREAM.CREATE.FORGED", stream(allow_direct=True))
    thief.send(SOURCE, FORGED)
    while not (await request(thief, "STREAM.INFO.FORGED", {}))["state"]["messages"]:
        pass  # it is stored after it is taken: a place that is empty yet is answered with nothing
    thief.send("$JS.API.DIRECT.GET.FORGED", b'{"seq":1}', reply=target)


WAYS = pytest.mark.parametrize("way", [republish, push, pull, direct_get])


def run(what: Coroutine[Any, Any, list[bytes]]) -> list[bytes]:
    return uvloop.run(asyncio.wait_for(what, 20))


async def heard(server: GuardedServer, way: Way, target: str, user: str) -> list[bytes]:
    """Return what a victim takes from the subject, up to the first message."""
    victim, thief = await server.connect(user), await server.connect("recorder")
    taken: list[bytes] = []
    came = asyncio.Event()

    def take(_subject: str, data: bytes, _reply: str) -> None:
        taken.append(data)
        came.set()

    await victim.take(target, take)
    await victim.flush()
    await way(thief, target)
    await came.wait()
    await thief.close()
    await victim.close()
    return taken


@WAYS
def test_a_copy_by_the_server_is_never_taken_for_an_order(server: GuardedServer, way: Way) -> None:
    assert set(run(heard(server, way, TARGET, "executor"))) == {COPY}


@WAYS
def test_without_the_look_at_where_it_comes_from_it_would_be(
    server: GuardedServer, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ablation: the rights alone do not keep the recorder's key from saying `order.>`."""
    monkeypatch.setattr(fastpath, "_is_copy", lambda *_: False)
    assert FORGED in run(heard(server, way, TARGET, "executor"))


def test_a_copy_on_control_halt_halts_all_the_same(server: GuardedServer) -> None:
    [data] = set(run(heard(server, republish, "control.halt", "executor")))
    assert data == COPY


def test_what_the_gate_itself_says_is_taken_as_it_is(server: GuardedServer) -> None:
    async def honest(_thief: BusConnection, target: str) -> None:
        gate = await server.connect("gate")
        gate.send(target, FORGED)
        await gate.flush()
        await gate.close()

    assert run(heard(server, honest, TARGET, "executor")) == [FORGED]
