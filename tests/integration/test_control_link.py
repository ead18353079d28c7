"""The control link on a real server: a halt waits for nothing but a send that is under way."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from schemas import wire
from schemas.base import BootId, Event
from schemas.control import (
    EpochEnded,
    EpochStarted,
    HaltAcknowledged,
    HaltRequested,
    LeaseAnswered,
    LeaseAsked,
    Member,
)
from schemas.errors import BusError
from schemas.health import DeadLettered
from schemas.restrictions import (
    Level,
    Restriction,
    RestrictionAcknowledged,
    RestrictionRequested,
)
from schemas.subjects import DEAD_LETTERS, HALT, LEASE, subject_of
from services.control import ControlGuard
from services.runtime.clock import Clock
from services.runtime.connect import connect
from services.runtime.fastpath import BusConnection
from services.runtime.link import ControlLink
from tests.builders import MS_NS
from tests.integration.guarded import GuardedServer

BOOT = BootId("boot-1")
WAIT_S = 5.0
POLL_S = 0.002


def run(what: Coroutine[Any, Any, None]) -> None:
    uvloop.run(asyncio.wait_for(what, 4 * WAIT_S))


async def until(is_so: Callable[[], object]) -> None:
    """Return once it is so; what another thread does cannot be awaited."""
    for _ in range(int(WAIT_S / POLL_S)):
        if is_so():
            return
        await asyncio.sleep(POLL_S)
    raise AssertionError(f"not so within {WAIT_S} s")


class Rig:
    """An executor's control link, and the breaker and a viewer at the other end of the bus.

    Attributes:
        posted: what the link handed to the main core.
        heard: what it said on the bus, in order.
    """

    def __init__(self, server: GuardedServer, guard: ControlGuard) -> None:
        self.server = server
        self.guard = guard
        self.clock = Clock()
        self.lock = threading.Lock()
        self.posted: list[Event] = []
        self.heard: list[Event] = []
        self.link = ControlLink(
            guard,
            lambda: connect("executor", server.bus, what_for="control"),
            post=self.posted.append,
            clock=self.clock,
            lock=self.lock,
        )
        self.breaker: BusConnection
        self.viewer: BusConnection

    async def open(self) -> None:
        self.breaker = await self.server.connect("breaker")
        self.viewer = await self.server.connect("viewer")
        for subject in (HALT, "control.ack.*", LEASE, DEAD_LETTERS):
            await self.viewer.take(subject, self._hear)
        await self.viewer.flush()
        await self.link.open()

    async def close(self) -> None:
        await self.link.close()
        await self.breaker.close()
        await self.viewer.close()

    def _hear(self, subject: str, data: bytes, reply: str) -> None:
        if data.startswith(b'{"type"'):
            self.heard += wire.decode(data, subject=subject)

    def say(self, event: Event) -> None:
        self.breaker.send(subject_of(event), wire.encode(event))

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.heard if isinstance(event, kind)]

    def start(self, epoch: int = 1) -> None:
        member = Member(boot_id=BOOT, halts=self.guard.halts)
        members = {"executor": member}
        started = EpochStarted(
            at_ns=1, epoch=epoch, start_id="s", operator="kim", members=members, gate_token=1
        )
        self.say(started)

    def grant(self, question: LeaseAsked, *restrictions: Restriction) -> None:
        self.say(
            LeaseAnswered(
                at_ns=1,
                component="executor",
                boot_id=BOOT,
                epoch=question.epoch,
                asked_ns=question.at_ns,
                is_granted=True,
                restrictions=restrictions,
            )
        )

    async def running(self) -> None:
        """Start, and grant the first lease alone."""
        self.start()
        await until(lambda: self.of(LeaseAsked))
        self.grant(self.of(LeaseAsked)[0])
        await until(lambda: self.guard.permits(self.clock()) == "")


@asynccontextmanager
async def rig(server: GuardedServer, guard: ControlGuard | None = None) -> AsyncIterator[Rig]:
    opened = Rig(server, guard or ControlGuard("executor", BOOT))
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()


PAYLOADS = [b"", b"\xff", b'{"halt": false}', b"[", b"\xff" * 1_048_576, b'{"reason": "fire"}']


@pytest.mark.req("G-09", "B-05", "O-05")
@pytest.mark.parametrize("payload", PAYLOADS, ids=["empty", "ff", "false", "torn", "1 MB", "fire"])
@pytest.mark.parametrize("subject", [HALT, f"{HALT}.planet.mars"])
def test_any_bytes_halt_and_are_acknowledged(
    server: GuardedServer, subject: str, payload: bytes
) -> None:
    async def main() -> None:
        async with rig(server) as it:
            await it.running()
            it.viewer.send(subject, payload)
            await until(lambda: it.of(HaltAcknowledged) and it.posted)
            [ack], [posted] = it.of(HaltAcknowledged), it.posted
            assert (ack.component, ack.boot_id, ack.halts, ack.fence) == ("executor", BOOT, 1, 1)
            assert (ack.src, ack.seq) == ("executor-boot-1", 1)
            assert isinstance(posted, HaltRequested)
            assert posted.payload_bytes == len(payload)
            assert it.guard.permits(it.clock()) == "halted"

    run(main())


def test_a_halt_comes_before_the_first_byte_is_decoded(
    server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> HaltRequested:
        raise RuntimeError("the decoder is broken")

    monkeypatch.setattr(wire, "halt_from", broken)

    async def main() -> None:
        async with rig(server) as it:
            await it.running()
            it.viewer.send(HALT, b"anything")
            await until(lambda: it.of(HaltAcknowledged))
            assert it.guard.permits(it.clock()) == "halted"
            with pytest.raises(RuntimeError, match="the decoder is broken"):
                await it.link.wait()

    run(main())


def test_whoever_asks_gets_the_acknowledgement_as_the_answer(server: GuardedServer) -> None:
    async def main() -> None:
        async with rig(server) as it:
            answer = await it.viewer.request(HALT, b"", timeout=WAIT_S)
            [ack] = wire.decode(answer.data, subject=answer.subject)
            assert isinstance(ack, HaltAcknowledged)
            assert (ack.component, ack.halts) == ("executor", 1)

    run(main())


@pytest.mark.req("G-09")
def test_a_main_loop_that_never_yields_does_not_delay_a_halt(server: GuardedServer) -> None:
    acknowledged = threading.Event()

    async def halt_from_elsewhere() -> None:
        viewer = await server.connect("viewer")
        await viewer.request(HALT, b"", timeout=WAIT_S)
        acknowledged.set()
        await viewer.close()

    async def main() -> None:
        async with rig(server) as it:
            await it.running()
            halter = threading.Thread(target=lambda: uvloop.run(halt_from_elsewhere()))
            halter.start()
            deadline_ns = it.clock() + int(WAIT_S * 1_000) * MS_NS
            while not acknowledged.is_set() and it.clock() < deadline_ns:
                pass  # the main loop of a component, stuck in one callback
            halter.join()
            assert acknowledged.is_set()
            assert it.guard.is_halted

    run(main())


async def order_of_send_and_ack(it: Rig, is_done: Callable[[], bool]) -> list[str]:
    """Halt while a send holds the lock; the send goes on once `is_done`. Return what came when."""
    await it.running()
    happened: list[str] = []
    await it.viewer.take("control.ack.executor", lambda *_: happened.append("acknowledged"))
    await it.viewer.flush()
    with it.lock:
        assert it.guard.permits(it.clock()) == ""  # the last check has passed
        it.viewer.send(HALT, b"")
        await until(lambda: it.guard.is_halted and is_done())
        happened.append("order written")
    await until(lambda: "acknowledged" in happened)
    return happened


@pytest.mark.req("G-09", "O-05")
def test_a_halt_waits_out_the_send_that_is_under_way(server: GuardedServer) -> None:
    async def main() -> None:
        async with rig(server) as it:
            happened = await order_of_send_and_ack(it, lambda: True)
            assert happened == ["order written", "acknowledged"]

    run(main())


class NoBarrier:
    """A lock that keeps nobody waiting."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def test_without_the_barrier_an_order_is_written_after_the_acknowledgement(
    server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with rig(server) as it:
            monkeypatch.setattr(it.link, "_lock", NoBarrier())
            happened = await order_of_send_and_ack(it, lambda: bool(it.of(HaltAcknowledged)))
            assert happened == ["acknowledged", "order written"]

    run(main())


def test_a_lease_runs_from_when_it_was_asked_for_and_then_denies(server: GuardedServer) -> None:
    async def main() -> None:
        async with rig(server) as it:
            await it.running()
            asked_ns = it.of(LeaseAsked)[0].at_ns
            assert it.guard.lease_until_ns == asked_ns + 1_000 * MS_NS
            await until(lambda: it.guard.permits(it.clock()) == "no lease")
            assert it.clock() >= asked_ns + 1_000 * MS_NS
            questions = it.of(LeaseAsked)
            assert len(questions) >= 3  # it asked on, every 250 ms
            assert [q.seq for q in questions] == list(range(1, len(questions) + 1))

    run(main())


def _grant_all(it: Rig) -> bool:
    """Grant what was asked since the last time."""
    for question in it.of(LeaseAsked):
        it.heard.remove(question)
        it.grant(question)
    return True


@pytest.mark.req("G-09", "O-05")
def test_a_restriction_that_came_with_a_lease_is_acknowledged_and_handed_on(
    server: GuardedServer,
) -> None:
    missed = Restriction(
        scope="symbol.sim.ALPHA", level=Level.HALT, number=1, reason="odd", operator="kim"
    )

    async def main() -> None:
        async with rig(server) as it:
            it.start()
            await until(lambda: it.of(LeaseAsked))
            it.grant(it.of(LeaseAsked)[0], missed)
            await until(lambda: it.of(RestrictionAcknowledged))
            [said] = it.of(RestrictionAcknowledged)
            assert said == RestrictionAcknowledged(
                at_ns=said.at_ns,
                src=said.src,
                seq=said.seq,
                component="executor",
                boot_id=BOOT,
                scope="symbol.sim.ALPHA",
                level=Level.HALT,
            )
            [told] = [each for each in it.posted if isinstance(each, RestrictionRequested)]
            assert told == RestrictionRequested(
                at_ns=told.at_ns,
                level=Level.HALT,
                scope="symbol.sim.ALPHA",
                reason="odd",
                operator="kim",
            )

    run(main())


def test_the_third_lapse_halts_everyone_and_is_acknowledged(server: GuardedServer) -> None:
    async def main() -> None:
        short = ControlGuard("executor", BOOT, lease_ns=50 * MS_NS)
        async with rig(server, short) as it:
            it.start()
            await until(lambda: _grant_all(it) and it.of(HaltAcknowledged))
            reason = "executor: the lease lapsed 3 times in a minute"
            assert [halt.reason for halt in it.of(HaltRequested)] == [reason]
            assert [e.reason for e in it.posted if isinstance(e, HaltRequested)] == [reason]

    run(main())


def test_the_end_of_the_epoch_halts_without_counting_a_halt(server: GuardedServer) -> None:
    async def main() -> None:
        async with rig(server) as it:
            await it.running()
            it.say(EpochEnded(at_ns=1, epoch=1, reason="a member restarted"))
            await until(lambda: it.guard.is_halted)
            assert (it.guard.halts, it.posted) == (0, [])

    run(main())


def test_nothing_may_be_sent_before_the_link_is_up(server: GuardedServer) -> None:
    guard = ControlGuard("executor", BOOT)
    Rig(server, guard)
    guard.handle(
        EpochStarted(
            at_ns=1,
            epoch=1,
            start_id="s",
            operator="kim",
            members={"executor": Member(boot_id=BOOT, halts=0)},
        ),
        1,
    )
    assert guard.permits(2) == "control link down"


@pytest.mark.req("X-10")
def test_a_lost_link_denies_at_once_and_only_a_new_lease_permits_again(
    server: GuardedServer, tmp_path: Path
) -> None:
    async def main() -> None:
        async with rig(server) as it:
            await it.running()
            port = int(server.url.rpartition(":")[2])
            server.stop()
            await until(lambda: it.guard.permits(it.clock()) == "control link down")
            again = GuardedServer(tmp_path / "bus", port=port)
            try:
                it.heard.clear()
                await until(lambda: it.guard.is_link_up)
                assert it.guard.permits(it.clock()) == "no lease"
                await until(lambda: it.of(LeaseAsked) and it.breaker.is_connected)
                await until(lambda: _granted(it))
            finally:
                again.stop()

    run(main())


def _granted(it: Rig) -> bool:
    it.grant(it.of(LeaseAsked)[-1])
    return it.guard.permits(it.clock()) == ""


def test_what_cannot_be_read_is_a_dead_letter_and_the_link_lives(server: GuardedServer) -> None:
    async def main() -> None:
        async with rig(server) as it:
            it.breaker.send("control.epoch", b"{")
            await until(lambda: it.of(DeadLettered))
            [letter] = it.of(DeadLettered)
            assert (letter.subject, letter.component) == ("control.epoch", "executor")
            await it.running()

    run(main())


class Breaks(ControlGuard):
    """A guard with a fault."""

    def handle(self, event: Event, now_ns: int) -> Any:
        if isinstance(event, LeaseAnswered):
            raise AssertionError("a fault")
        return super().handle(event, now_ns)


def test_a_guard_that_breaks_halts_its_component_and_ends_the_link(server: GuardedServer) -> None:
    async def main() -> None:
        async with rig(server, Breaks("executor", BOOT)) as it:
            it.start()
            await until(lambda: it.of(LeaseAsked))
            it.grant(it.of(LeaseAsked)[0])
            with pytest.raises(AssertionError, match="a fault"):
                await it.link.wait()
            assert it.guard.permits(it.clock()) == "halted"

    run(main())


def test_a_closed_link_leaves_the_component_halted(server: GuardedServer) -> None:
    async def main() -> None:
        async with rig(server) as it:
            await it.running()
            await it.link.close()
            await it.link.wait()
            assert it.guard.permits(it.clock()) == "halted"

    run(main())


def test_a_link_that_cannot_be_opened_says_why() -> None:
    guard = ControlGuard("executor", BOOT)

    async def refuse() -> BusConnection:
        raise BusError("SLU-122", found="no answer")

    link = ControlLink(guard, refuse, post=lambda _: None, clock=Clock(), lock=threading.Lock())
    with pytest.raises(BusError, match="no answer"):
        uvloop.run(link.open())
    assert guard.is_halted
