"""`live` and `fused` are one system: fed in lock step, they take the same decisions."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec
import pytest
import uvloop

from schemas.base import BootId, Event
from schemas.control import EpochStarted, LeaseAnswered, Member, PrepareAsked, Prepared
from schemas.market import QuoteReceived
from schemas.orders import SignalDecided
from schemas.subjects import QUERY, SUBJECTS, subject_of
from schemas.venue import VenueMessage
from schemas.wire import decode, decode_kept, encode
from services.control import LEASE_UNLIMITED_NS, ControlGuard
from services.core import Core
from services.executor.config import ExecutorConfig, VenueConfig, without_rounds
from services.executor.core import ExecutorCore
from services.executor.port import DirectPort
from services.feed.opening import open_recording
from services.feed.source import recorded
from services.gate.books import BookQuery
from services.gate.core import GateCore
from services.runtime.config import BusConfig
from services.runtime.connect import connect
from services.runtime.fastpath import BusConnection
from services.runtime.live import Adapter, Live, Post
from services.strategy.config import StrategyConfig
from services.strategy.core import StrategyCore
from tests.fused_rig import ACCOUNT, CASH, GATE, request, system

MARKET_EVENTS = 1_500
BOOT = BootId("boot")
SPAN: dict[str, object] = {"fast": 3, "slow": 8}
"""Averages short enough to cross often in so little of the recording."""


class LockStepClock:
    """The recording's time, as far as it has been fed."""

    now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


class PortAdapter:
    """The paper exchange in the executor's own process: what it answers is posted at once."""

    def __init__(self, port: DirectPort) -> None:
        self._port = port

    async def open(self, post: Post) -> None:
        self._post = post

    def act(self, event: Event, now_ns: int) -> None:
        if isinstance(event, VenueMessage):
            self.tell(event, now_ns)

    def tell(self, event: Event, now_ns: int) -> None:
        if said := self._port.handle(event, now_ns):
            self._post(*said)

    async def close(self) -> None:
        pass


class LockStep:
    """Strategy, gate and executor on a real bus, fed one event at a time."""

    def __init__(self, url: str, path: Path) -> None:
        self.url = url
        self.source = open_recording(path)
        known = {each.id: each for each in self.source.instruments()}
        self.guards = [
            ControlGuard(name, BOOT, "lock-step", lease_ns=LEASE_UNLIMITED_NS)
            for name in ("gate", "executor")
        ]
        gate = GateCore(GATE, known, self.guards[0])
        quiet = without_rounds(ExecutorConfig())
        executor = ExecutorCore(quiet, ACCOUNT, known, CASH, self.guards[1], is_linked=True)
        self.port = PortAdapter(DirectPort(VenueConfig(), known, CASH, executor.may_send))
        strategy = StrategyCore(StrategyConfig(), ACCOUNT, known, boot_id=BOOT)
        self.cores: dict[str, Core] = {"strategy": strategy, "gate": gate, "executor": executor}
        self.clock = LockStepClock()
        self.decisions: list[SignalDecided] = []
        self.prepared: dict[str, Prepared] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        bus = BusConfig(url=self.url)
        self.ear = await connect("operator", bus)
        await self.ear.take(SUBJECTS[SignalDecided], self._hear)
        await self.ear.take(SUBJECTS[Prepared], self._hear)
        tasks, connections = [], [self.ear]
        for name, core in self.cores.items():
            connection = await connect(name, bus)
            connections.append(connection)
            live = Live(
                core, connection, name=name, boot_id=BOOT, clock=self.clock,
                adapter=self._adapter(name, connection),
            )  # fmt: skip
            tasks.append(asyncio.create_task(live.run()))
            await live.listening.wait()
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for connection in connections:
                await connection.close()

    def _adapter(self, name: str, connection: BusConnection) -> Adapter | None:
        if name == "executor":
            return self.port
        return BookQuery(connection) if name == "gate" else None

    def _hear(self, subject: str, data: bytes, reply: str) -> None:
        for event in decode(data, subject=subject):
            if isinstance(event, SignalDecided):
                self.decisions.append(event)
            elif isinstance(event, Prepared):
                self.prepared[event.component] = event

    async def settle(self) -> None:
        """Return when everything that follows from what was fed has been done.

        A query is answered after all that the server had for a service before it; so a round
        along the order path, and one back with the executions, leaves nothing under way.
        """
        for name in ("strategy", "gate", "executor") * 2:
            await self.ear.request(f"{QUERY}.{name}", b"", timeout=5)
        await self.ear.flush()

    async def start(self, at_ns: int) -> None:
        """Do what the arbiter does: prepare, and announce the epoch with its first lease."""
        self.clock.now_ns = at_ns
        asked = request(self.source, overrides=SPAN)
        self.ear.send(
            SUBJECTS[PrepareAsked],
            encode(PrepareAsked(at_ns=at_ns, start_id="fused", request=asked)),
        )
        await self.settle()
        epoch = EpochStarted(
            at_ns=at_ns,
            epoch=1,
            start_id="fused",
            operator="kim",
            members={name: Member(boot_id=BOOT, halts=0) for name in self.cores},
            session=self.prepared["strategy"].session,
            request=asked,
            gate_token=1,
        )
        for guard in self.guards:
            guard.handle(epoch, at_ns)
            yes = LeaseAnswered(
                at_ns=at_ns, component=guard.component, boot_id=BOOT, epoch=1, asked_ns=at_ns,
                is_granted=True,
            )  # fmt: skip
            guard.handle(yes, at_ns)
        self.ear.send(SUBJECTS[EpochStarted], encode(epoch))
        await self.settle()

    async def feed(self, events: Sequence[Event]) -> None:
        for event in events:
            self.clock.now_ns = event.at_ns
            self.port.tell(event, event.at_ns)
            self.ear.send(subject_of(event), encode(event))
            await self.settle()


def plain(decision: SignalDecided) -> SignalDecided:
    """Return a decision without what only a process of its own can have: sender and stopwatch."""
    return msgspec.structs.replace(decision, src="", seq=0, took_ns=0)


async def live_decisions(url: str, path: Path, events: Sequence[Event]) -> list[SignalDecided]:
    rig = LockStep(url, path)
    async with rig.running():
        await rig.start(events[0].at_ns)
        await rig.feed(events)
    return [plain(decision) for decision in rig.decisions]


def fused_decisions(path: Path, events: Sequence[Event]) -> list[SignalDecided]:
    source = open_recording(path)
    journal: list[bytes] = []
    found = system(source.instruments(), journal)
    found.run(events, request(source, overrides=SPAN))
    read = [decode_kept(line, where="journal") for line in journal if b"SignalDecided" in line[:30]]
    return [plain(event) for event in read if isinstance(event, SignalDecided)]


def moves(path: Path) -> Iterator[QuoteReceived]:
    """Yield the quotes of a recording in which the price moved: most only change a size."""
    last = None
    for event in recorded(open_recording(path)):
        if isinstance(event, QuoteReceived) and (event.bid, event.ask) != last:
            last = (event.bid, event.ask)
            yield event


@pytest.mark.req("M-01", "G-08")
def test_live_takes_the_same_decisions_as_fused(nats_url: str, data_dir: Path) -> None:
    path = data_dir / "binance" / "usdm" / "btcusdt_20240808.gz"
    events = list(islice(moves(path), MARKET_EVENTS))
    fused = fused_decisions(path, events)
    assert len(fused) >= 10
    assert uvloop.run(live_decisions(nats_url, path, events)) == fused
