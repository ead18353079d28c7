"""The arbiter on a real server: the CONTROL stream decides, whoever dies or lies in between."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from schemas import wire
from schemas.base import Event
from schemas.control import (
    AccountMarked,
    BreakerState,
    ControlAnswered,
    EpochEnded,
    EpochStarted,
    HaltAcknowledged,
    LeaseAnswered,
    PrepareAsked,
)
from schemas.errors import WireError
from schemas.health import ArbiterReported
from schemas.streams import CONTROL
from schemas.subjects import EPOCH_RECORD, HALT, RESET, START, UNLOCK, subject_of
from services.breaker.__main__ import REQUESTS
from services.breaker.config import BreakerConfig
from services.breaker.control_stream import ControlStream
from services.recorder.config import RecorderConfig
from services.recorder.jetstream import JetStreamError, ensure_stream, request
from services.runtime.connect import connect
from services.runtime.fastpath import BusConnection
from services.runtime.journal import Journal
from services.runtime.live import Live
from tests.builders import dec
from tests.control_rig import MEMBERS, book, boot, breaker_core, health, prepared, question
from tests.integration.guarded import GuardedServer

WAIT_S = 10.0
CONFIG = BreakerConfig(disk_free_bytes_min=1, recorder_silence_ms_max=60_000)


def run(what: Coroutine[Any, Any, None]) -> None:
    uvloop.run(asyncio.wait_for(what, 6 * WAIT_S))


class Arbiter:
    """The breaker service in the test's own loop; everybody else is a script.

    Attributes:
        heard: what a viewer hears, in order.
    """

    def __init__(self, folder: Path, server: GuardedServer) -> None:
        self.folder = folder
        self.server = server
        self.heard: list[Event] = []
        self.changed = asyncio.Event()
        self.generation = 0
        self.halts = 0
        self.are_members_up = True
        self.connections: dict[str, BusConnection] = {}
        self.task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        for user in ("viewer", "operator", "recorder", *MEMBERS):
            self.connections[user] = await self.server.connect(user)
        await self.connections["viewer"].take("control.>", self._hear)
        await self.connections["viewer"].take("breaker.>", self._hear)
        for member in MEMBERS:
            await self.connections[member].take("control.prepare", self._prepare(member))
        await self.connections["executor"].take("query.executor", self._answer_book)
        for connection in self.connections.values():
            await connection.flush()

    async def close(self) -> None:
        await self.stop()
        for connection in self.connections.values():
            await connection.close()
        self.connections.clear()

    async def back(self) -> None:
        """Return once everybody has found the server again."""
        for connection in (*self.connections.values(), self.own):
            for _ in range(int(WAIT_S / 0.01)):
                with contextlib.suppress(NatsError):
                    await connection.flush(1)
                    break
                await asyncio.sleep(0.01)  # a reconnection cannot be awaited

    async def make_stream(self) -> None:
        """Do what the recorder does at its start."""
        assert await ensure_stream(self.connections["recorder"], CONTROL, RecorderConfig()) == []

    async def start(self) -> None:
        """Start the breaker service from its journal, and tell it that a recorder records."""
        self.generation += 1
        core = breaker_core(CONFIG, generation=self.generation)
        self.journal = Journal(self.folder / "breaker.jsonl")
        for event in self.journal.read():
            core.restore(event)
        self.own = await self.server.connect("breaker")
        adapter = ControlStream(
            self.own,
            lambda what: connect("breaker", self.server.bus, what_for=what),
            clock=time.time_ns,
            position=lambda: core.control_place,
            data_dir=self.folder,
            store_ms_max=CONFIG.store_ms_max,
        )
        live = Live(
            core,
            self.own,
            name="breaker",
            boot_id=boot("breaker", self.generation),
            clock=time.time_ns,
            adapter=adapter,
            journal=self.journal,
            requests=REQUESTS,
        )
        self.task = asyncio.create_task(live.run())
        await self.report()  # it answers: it listens
        self.say("recorder", health("recorder"))
        await self.connections["recorder"].flush()

    async def stop(self) -> None:
        """End the service; nothing of it is left but the journal."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
            await self.own.close()
            self.journal.close()
            self.task = None

    def say(self, user: str, event: Event) -> None:
        self.connections[user].send(subject_of(event), wire.encode(event))

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.heard if isinstance(event, kind)]

    async def until(self, is_so: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not is_so():
                self.changed.clear()
                await self.changed.wait()

    async def report(self) -> ArbiterReported:
        for _ in range(int(WAIT_S / 0.01)):
            with contextlib.suppress(NoRespondersError):
                answer = await self.connections["viewer"].request("query.breaker", timeout=WAIT_S)
                break
            await asyncio.sleep(0.01)  # that somebody begins to listen cannot be awaited
        [found] = wire.decode(answer.data, subject="query.breaker")
        assert isinstance(found, ArbiterReported)
        return found

    async def ask(self, subject: str, **fields: Any) -> ControlAnswered:
        """Return the first answer to a request, as `nats req` shows it."""
        body = msgspec.json.encode({"operator": "kim", **fields})
        answer = await self.connections["operator"].request(subject, body, timeout=WAIT_S)
        [found] = wire.decode(answer.data, subject=subject)
        assert isinstance(found, ControlAnswered)
        return found

    async def lease(self, member: str = "gate", epoch: int = 1, halts: int = 0) -> LeaseAnswered:
        """Return the answer to a lease asked for now."""
        asked_ns = time.time_ns()
        self.say(member, question(member, epoch=epoch, halts=halts, at_ns=asked_ns))

        def mine() -> list[LeaseAnswered]:
            return [answer for answer in self.of(LeaseAnswered) if answer.asked_ns == asked_ns]

        await self.until(mine)
        return mine()[0]

    async def halt(self, data: bytes = b"", subject: str = HALT) -> None:
        """Publish a halt and wait until the breaker service has acknowledged it."""
        self.halts += 1
        count = len(self.of(HaltAcknowledged))
        self.connections["viewer"].send(subject, data)
        await self.until(lambda: len(self.of(HaltAcknowledged)) > count)

    async def stored(self) -> list[str]:
        """Return the subjects of the records on the CONTROL stream."""
        found: list[str] = []
        seq = 0
        while True:
            seq += 1
            try:
                answer = await request(
                    self.connections["recorder"], "STREAM.MSG.GET.CONTROL", {"seq": seq}
                )
            except JetStreamError:
                return found
            found.append(answer["message"]["subject"])

    def _hear(self, subject: str, data: bytes, reply: str) -> None:
        with contextlib.suppress(WireError):  # requests and halts are no events, nor is garbage
            self.heard += wire.decode(data, subject=subject)
        self.changed.set()

    def _prepare(self, member: str) -> Callable[[str, bytes, str], None]:
        def take(subject: str, data: bytes, reply: str) -> None:
            [asked] = wire.decode(data, subject=subject)
            assert isinstance(asked, PrepareAsked)
            if self.are_members_up:
                self.say(member, prepared(member, asked.start_id, halts=self.halts))

        return take

    def _answer_book(self, subject: str, data: bytes, reply: str) -> None:
        self.connections["executor"].send(reply, wire.encode(book("99000")))


@asynccontextmanager
async def arbiter(
    folder: Path, server: GuardedServer, *, has_stream: bool = True
) -> AsyncIterator[Arbiter]:
    """Run the breaker service until the block ends."""
    rig = Arbiter(folder, server)
    await rig.open()
    try:
        if has_stream:
            await rig.make_stream()
        await rig.start()
        yield rig
    finally:
        await rig.close()


def test_a_start_is_stored_on_the_control_stream_and_then_announced(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        async with arbiter(tmp_path, server) as rig:
            answer = await rig.ask(START)
            assert (answer.is_ok, answer.epoch) == (True, 1)
            assert await rig.stored() == [EPOCH_RECORD]
            await rig.until(lambda: len(rig.of(EpochStarted)) == 2)
            record, announced = rig.of(EpochStarted)
            assert (record.stream_seq, announced.stream_seq) == (0, 1)
            assert (await rig.lease()).is_granted

    run(scenario())


def test_the_first_answer_to_a_halt_is_that_of_a_component(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        async with arbiter(tmp_path, server) as rig:
            await rig.halt(b"\xff")
            found = await rig.report()
            assert (found.breaker_state, found.halts) == (BreakerState.MANUALLY_HALTED, 1)
            assert await rig.stored() == [HALT]

    run(scenario())


@pytest.mark.req("B-05", "B-06")
def test_only_a_reset_and_a_start_lead_back_from_a_halt(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        async with arbiter(tmp_path, server) as rig:
            await rig.ask(START)
            await rig.halt(b'{"reason": "fat finger", "operator": "lee"}')
            assert [ended.epoch for ended in rig.of(EpochEnded)] == [1]
            lease = await rig.lease()
            assert lease.reason == "halt 1 is open (by lee: fat finger)"
            refused = await rig.ask(START)
            wanted = "no open halt: look at it, then `sluice reset --halt 1`"
            assert refused.errors[0].wanted == wanted
            assert not (await rig.ask(RESET, reason="looked", halt=7)).is_ok
            assert (await rig.ask(RESET, reason="looked", halt=1)).is_ok
            assert (await rig.lease(halts=1)).reason.startswith("no epoch is in force")
            assert (await rig.ask(START)).epoch == 2
            assert (await rig.lease(epoch=2, halts=1)).is_granted

    run(scenario())


@pytest.mark.parametrize(
    ("fields", "path", "found"),
    [
        ({"strateggy": "ema_cross"}, "$", "unknown field `strateggy`"),
        ({"symbols": "ALPHA"}, "$.symbols", "Expected `array`, got `str`"),
        ({"operator": 7}, "$.operator", "Expected `str`, got `int`"),
        ({"operator": ""}, "$.operator", "nothing"),
    ],
    ids=["an unknown field", "a bad value", "no name", "nobody"],
)
@pytest.mark.req("S-01")
def test_a_start_that_is_not_right_starts_nothing_and_says_why(
    tmp_path: Path, server: GuardedServer, fields: dict[str, Any], path: str, found: str
) -> None:
    async def scenario() -> None:
        async with arbiter(tmp_path, server) as rig:
            answer = await rig.ask(START, **fields)
            [error] = answer.errors
            assert (answer.is_ok, error.path) == (False, path)
            assert found in error.found
            assert await rig.stored() == []
            assert rig.of(PrepareAsked) == []

    run(scenario())


def test_an_epoch_whose_place_was_taken_is_not_announced(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        async with arbiter(tmp_path, server) as rig:
            rig.are_members_up = False
            asking = asyncio.create_task(rig.ask(START))
            await rig.until(lambda: rig.of(PrepareAsked))
            [asked] = rig.of(PrepareAsked)
            other = await server.connect("breaker")  # as a breaker of before might, late
            other.send(EPOCH_RECORD, b"{}")
            await other.flush()
            for member in MEMBERS:
                rig.say(member, prepared(member, asked.start_id))
            answer = await asking
            assert not answer.is_ok
            assert "record 1 came between, on control.record.epoch" in answer.errors[0].found
            assert [epoch for epoch in rig.of(EpochStarted) if epoch.stream_seq] == []
            await other.close()

    run(scenario())


def test_a_halt_stored_while_the_breaker_was_down_stands_when_it_is_back(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        async with arbiter(tmp_path, server) as rig:
            await rig.ask(START)
            await rig.stop()
            rig.connections["viewer"].send(HALT, b'{"reason": "nobody home"}')
            await rig.connections["viewer"].flush()
            await rig.start()
            answer = await rig.ask(START)
            assert answer.errors[0].found == "halt 1 is open (by unknown: nobody home)"
            assert (await rig.report()).breaker_state is BreakerState.MANUALLY_HALTED

    run(scenario())


@pytest.mark.req("B-06")
def test_a_restarted_breaker_keeps_the_halt_and_resumes_no_epoch(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        async with arbiter(tmp_path, server) as rig:
            await rig.ask(START)
            await rig.stop()
            await rig.start()
            await rig.until(lambda: rig.of(EpochEnded))
            assert rig.of(EpochEnded)[0].reason == "the breaker service restarted"
            assert not (await rig.lease()).is_granted
            assert (await rig.ask(START)).epoch == 2
            await rig.halt()
            await rig.stop()
            await rig.start()
            found = await rig.report()
            assert (found.breaker_state, found.halts) == (BreakerState.MANUALLY_HALTED, 1)

    run(scenario())


def test_the_breaker_waits_for_the_control_stream_to_be_made(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        async with arbiter(tmp_path, server, has_stream=False) as rig:
            asking = asyncio.create_task(rig.ask(START))
            await rig.report()
            await rig.make_stream()
            assert (await asking).is_ok

    run(scenario())


def test_without_a_control_stream_a_start_is_refused_in_time(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        async with arbiter(tmp_path, server, has_stream=False) as rig:
            [error] = (await rig.ask(START)).errors
            assert (error.path, error.found) == ("control stream", "no answer within 3000 ms")

    run(scenario())


def test_a_halt_heard_and_stored_has_one_number(tmp_path: Path, server: GuardedServer) -> None:
    async def scenario() -> None:
        async with arbiter(tmp_path, server) as rig:
            for _ in range(5):
                await rig.halt(b'{"reason": "again"}')
            await rig.lease()
            assert (await rig.report()).halts == 5

    run(scenario())


def test_the_book_is_asked_for_after_a_restart(tmp_path: Path, server: GuardedServer) -> None:
    async def scenario() -> None:
        async with arbiter(tmp_path, server) as rig:
            assert (await rig.report()).equity is None
            await rig.connections["viewer"].take("risk.account.*", rig._hear)
            rig.say("executor", health("executor"))
            await rig.until(lambda: rig.of(AccountMarked))
            assert (await rig.report()).equity == dec("99000")

    run(scenario())


def test_an_unreadable_record_on_the_control_stream_is_a_halt(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        async with arbiter(tmp_path, server) as rig:
            await rig.ask(START)
            other = await server.connect("breaker")
            other.send(EPOCH_RECORD, b"\x00garbage")
            await other.flush()
            lease = await rig.lease()
            assert "record 2 of the control stream cannot be read" in lease.reason
            await other.close()

    run(scenario())


@asynccontextmanager
async def begun_anew(rig: Arbiter, folder: Path) -> AsyncIterator[None]:
    """Let the server lose its disk: until the block ends another one has a new stream."""
    port = int(rig.server.url.rpartition(":")[2])
    rig.server.stop()
    shutil.rmtree(folder / "bus" / "nats")
    second = GuardedServer(folder / "bus", port=port)
    try:
        await rig.back()
        await rig.make_stream()
        rig.say("recorder", health("recorder"))
        yield
    finally:
        await rig.close()
        second.stop()


REWRITTEN = (
    "SLU-154",
    "record 1 of the control stream is another than was read there:"
    " its tail is lost, and was written anew",
)


def locks_after_a_rewritten_record(folder: Path, server: GuardedServer) -> list[tuple[str, str]]:
    """Return what is locked where the stream is as long as it was, and another."""
    found: list[tuple[str, str]] = []

    async def scenario() -> None:
        async with arbiter(folder, server) as rig:
            await rig.ask(START)
            assert (await rig.lease()).is_granted
            async with begun_anew(rig, folder):
                await rig.halt(b'{"reason": "stop", "operator": "lee"}')
                assert (await rig.stored())[0] == HALT
                assert not (await rig.lease()).is_granted
                found.extend((lock.code, lock.reason) for lock in (await rig.report()).locks)

    run(scenario())
    return found


@pytest.mark.req("B-06", "G-09")
def test_a_record_that_took_the_place_of_one_that_was_lost_locks(
    tmp_path: Path, server: GuardedServer
) -> None:
    """The stream is as long as it was: only the time of its newest record tells."""
    assert locks_after_a_rewritten_record(tmp_path, server) == [REWRITTEN]


async def not_looked(*_: Any) -> bool:
    return False


@pytest.mark.req("B-06", "G-09")
def test_without_the_time_of_the_record_a_lost_tail_is_not_noticed(
    tmp_path: Path, server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ControlStream, "_is_rewritten", not_looked)
    assert locks_after_a_rewritten_record(tmp_path, server) == []


@pytest.mark.req("B-06")
def test_a_control_stream_that_begins_anew_locks_until_a_person_accepts_it(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        async with arbiter(tmp_path, server) as rig:
            await rig.ask(START)
            await rig.ask(START)
            async with begun_anew(rig, tmp_path):
                lease = await rig.lease(epoch=2)
                assert not lease.is_granted
                found = await rig.report()
                assert (found.breaker_state, found.halt_operator, found.halts) == (
                    BreakerState.TRIPPED,
                    "breaker.lock",
                    1,
                )
                assert not (await rig.ask(RESET, reason="the disk was lost", halt=1)).is_ok
                assert (await rig.ask(UNLOCK, reason="the disk was lost", lock=2)).is_ok
                assert (await rig.ask(RESET, reason="the disk was lost", halt=1)).is_ok
                assert (await rig.ask(START)).epoch == 3

    run(scenario())


class Unordered(ControlStream):
    """The shell without the comparison: it stores an epoch wherever there is a place."""

    async def _store(self, proposal: Any) -> None:
        newest = await self._newest()
        seq = 0 if newest is None or newest.seq is None else newest.seq
        await super()._store(msgspec.structs.replace(proposal, expected_last_seq=seq))


def test_without_the_expected_sequence_a_start_overtakes_what_was_stored(
    tmp_path: Path, server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ablation of the comparison that the server makes (I7)."""
    monkeypatch.setattr(f"{__name__}.ControlStream", Unordered)

    async def scenario() -> None:
        async with arbiter(tmp_path, server) as rig:
            rig.are_members_up = False
            asking = asyncio.create_task(rig.ask(START))
            await rig.until(lambda: rig.of(PrepareAsked))
            [asked] = rig.of(PrepareAsked)
            other = await server.connect("breaker")
            other.send(EPOCH_RECORD, b"{}")
            await other.flush()
            for member in MEMBERS:
                rig.say(member, prepared(member, asked.start_id))
            assert (await asking).is_ok
            await other.close()

    run(scenario())
