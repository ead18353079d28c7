"""Whatever bytes a halt's subject is made of: it is heard, stored and recorded, as any other."""

import asyncio
from pathlib import Path

import pytest

from schemas.control import HaltAcknowledged, HaltRequested
from schemas.health import DeadLettered
from schemas.market import QuoteReceived
from schemas.restrictions import ALL, Level
from schemas.subjects import DEAD_LETTERS, HALT, START
from schemas.wire import forbidden_by
from services.runtime import fastpath
from services.runtime.fastpath import BusConnection
from tests.bus import Bare, Probe, ear, run, serving, silent
from tests.integration.guarded import GuardedServer
from tests.integration.test_arbiter_live import arbiter
from tests.integration.test_control_link import rig, until
from tests.recorder_rig import recording, records

pytestmark = pytest.mark.req("G-09", "R-01", "O-02")

ODD = {
    b"\xff\xfe": r"\xff\xfe",
    b"\xed\xa0\x80": r"\xed\xa0\x80",  # a surrogate
    b"a\x0bb": "a\x0bb",
    b"a\x0c3": "a\x0c3",  # as nats-py would read it, a message for subscription 3
    b"\xc2\x85": "\x85",
    b"\x00": "\x00",
    b">": ">",
}
TEXTS = [f"{HALT}.{text}" for text in ODD.values()]
LISTENERS = ["breaker", "executor", "gate", "operator", "recorder", "strategy", "viewer"]


async def say(connection: BusConnection, *tokens: bytes) -> None:
    """Publish a halt below each, as whoever has a socket can, with an answer's address as odd."""
    assert connection._stream is not None
    for token in tokens:
        connection._stream.write(b"PUB control.halt.%b _INBOX.%b 1\r\nx\r\n" % (token, token))
    await connection.flush()


def test_an_odd_subject_stands_for_a_halt_of_all() -> None:
    assert {forbidden_by(text) for text in TEXTS} == {(ALL, Level.HALT)}


@pytest.mark.parametrize("user", LISTENERS)
def test_everybody_hears_a_halt_on_an_odd_subject_and_stays_connected(
    server: GuardedServer, user: str
) -> None:
    async def main() -> tuple[list[str], list[bool]]:
        heard: list[str] = []
        links: list[bool] = []
        viewer, listener = await server.connect("viewer"), await server.connect(user)
        listener.on_link.append(lambda is_up, _: links.append(is_up))
        await listener.take(f"{HALT}.>", lambda subject, data, reply: heard.append(subject))
        await listener.flush()
        await say(viewer, *ODD)
        await listener.flush()
        found = list(heard), list(links)
        await viewer.close()
        await listener.close()
        return found

    assert run(main()) == (TEXTS, [])


def test_without_reading_any_bytes_one_such_halt_costs_its_hearers_the_connection(
    server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The safeguard removed: it is read as nats-py would."""
    monkeypatch.setattr(fastpath, "_text", bytes.decode)

    async def main() -> list[str]:
        heard: list[str] = []
        is_lost = asyncio.Event()
        viewer, listener = await server.connect("viewer"), await server.connect("executor")
        listener.on_link.append(lambda is_up, _: None if is_up else is_lost.set())
        await listener.take(f"{HALT}.>", lambda subject, data, reply: heard.append(subject))
        await listener.flush()
        await say(viewer, b"\xff\xfe")
        async with asyncio.timeout(10):
            await is_lost.wait()
        await listener.close()
        await viewer.close()
        return heard

    assert run(main()) == []


@pytest.mark.parametrize("token", ODD)
def test_a_halt_on_an_odd_subject_halts_and_is_acknowledged(
    server: GuardedServer, token: bytes
) -> None:
    async def main() -> None:
        async with rig(server) as it:
            await it.running()
            await say(it.viewer, token)
            await until(lambda: it.of(HaltAcknowledged) and it.posted)
            assert it.guard.permits(it.clock()) == "halted"
            [posted] = it.posted
            assert isinstance(posted, HaltRequested)
            assert (posted.scope, posted.payload_bytes) == (ODD[token], 1)
            await it.viewer.request(HALT, b"", timeout=5)
            assert [ack.halts for ack in it.of(HaltAcknowledged)] == [1, 2]

    run(main())


def test_halts_on_odd_subjects_are_recorded_and_recording_goes_on(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def main() -> list[str]:
        viewer, gate = await server.connect("viewer"), await server.connect("gate")
        async with recording(tmp_path, server.bus) as it:
            await it.ready()
            await say(viewer, *ODD)
            gate.send("order.sim.paper", b'{"src":"gate-1"}')
            await it.recorded(len(ODD) + 1)
        gate.send("order.sim.paper", b'{"src":"gate-1"}')
        await gate.flush()
        async with recording(tmp_path, server.bus) as it:  # from behind what the stream holds
            await it.recorded(len(ODD) + 2)
        await viewer.close()
        await gate.close()
        return [each.subject for each in records(tmp_path)]

    assert sorted(run(main())) == sorted([*TEXTS, *["order.sim.paper"] * 2])


def test_a_halt_stored_on_an_odd_subject_stands_when_the_breaker_is_back(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def main() -> None:
        async with arbiter(tmp_path, server) as it:
            await it.ask(START)
            await it.stop()
            await say(it.connections["viewer"], *ODD)
            await it.start()
            await it.lease()  # answered once the whole stream is read
            assert (await it.report()).halts == len(ODD)
            [error] = (await it.ask(START)).errors
            assert error.found == f"halt {len(ODD)} is open (by unknown: x)"

    run(main())


def test_an_odd_subject_that_is_no_halt_is_a_dead_letter(nats_url: str) -> None:
    core = Probe({QuoteReceived: silent, HaltRequested: silent})

    async def main() -> tuple[str, str]:
        async with serving(nats_url, core), ear(nats_url, DEAD_LETTERS) as watcher:
            bare = Bare(nats_url)
            bare.write(b"PUB market.sim.\xff.quote \xff 2\r\n{}\r\n")
            bare.write(b"PUB control.halt 1\r\nx\r\n")
            event = await watcher.event()
            bare.close()
            assert isinstance(event, DeadLettered)
            return event.subject, event.payload_base64

    assert run(main()) == (r"market.sim.\xff.quote", "e30=")
