"""`halt`: from the publish of a halt to the acknowledgements of gate and executor, under load."""

import asyncio
import random
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Sequence
from pathlib import Path

import nats
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg

from schemas.base import Event
from schemas.control import EpochStarted, HaltAcknowledged
from schemas.errors import BusError
from schemas.executions import OutcomeRecorded
from schemas.health import ArbiterReported
from schemas.subjects import HALT, SUBJECTS
from schemas.wire import decode
from services.bench.backlog import Backlog
from services.bench.chain import STRATEGY, SYMBOL, kept
from services.bench.gate import instruments
from services.bench.noise import quote_of
from services.bench.result import Result, latencies_us, percentile
from services.bench.stand import Stand, stand

GOAL = (
    "p99 <= 5 ms, max <= 50 ms, also behind a backlog of 50,000 messages; no order is submitted "
    "after the executor's acknowledgement"
)
P99_US_MAX, MAX_US_MAX = 5_000.0, 50_000.0
HALTS, BEHIND = 1_000, 20
BACKLOG = 50_000
HALT_TIMEOUT_S = 10.0
PACE_S = 0.03
"""Between a start and the next halt, on average, in seconds: trading must be going on."""

MEMBERS = ("gate", "executor")
BARE = "bench.bare"


class Watcher:
    """Notes when each component acknowledged, and between which times nothing may be sent."""

    def __init__(self) -> None:
        self.at_ns: dict[str, int] = {}
        self.bare_ns = 0
        self.silences: list[tuple[int, int]] = []
        """(executor's acknowledgement, next epoch), in ns of the services' clock."""

        self.is_complete = asyncio.Event()
        self._acknowledged_ns = 0

    def begin(self) -> None:
        """Forget the last halt."""
        self.at_ns, self.bare_ns = {}, 0
        self.is_complete.clear()

    async def on_message(self, message: Msg) -> None:
        """Note one message of those that matter."""
        now_ns = time.monotonic_ns()
        if message.subject == BARE:
            self.bare_ns = now_ns
        else:
            for event in decode(message.data, subject=message.subject):
                self._on_event(event, now_ns)
        if self.bare_ns and all(name in self.at_ns for name in MEMBERS):
            self.is_complete.set()

    def _on_event(self, event: Event, now_ns: int) -> None:
        if isinstance(event, HaltAcknowledged):
            self.at_ns.setdefault(event.component, now_ns)
            if event.component == "executor":
                self._acknowledged_ns = event.at_ns
        elif isinstance(event, EpochStarted) and self._acknowledged_ns:
            self.silences.append((self._acknowledged_ns, event.at_ns))
            self._acknowledged_ns = 0


def sent_in(state: Path, silences: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return how many orders were sent, and how many of them when nothing might be.

    From the executor's journal: the time of an outcome is that of the check before the write.
    """
    sent_ns = [
        event.at_ns
        for event in kept(state / "executor.jsonl")
        if isinstance(event, OutcomeRecorded) and event.is_sent
    ]
    late = [at for at in sent_ns if any(start < at < end for start, end in silences)]
    return len(sent_ns), len(late)


async def _market(url: str, quotes_per_s: int) -> Process:
    """Start a process that publishes quotes nobody trades, at this rate."""
    command = (sys.executable, "-m", "services.bench.noise", url, str(quotes_per_s))
    return await asyncio.create_subprocess_exec(*command, stdin=DEVNULL)


class Halter:
    """Halts a stand again and again, and starts it again each time."""

    def __init__(self, found: Stand, watcher: Watcher, bare: Client) -> None:
        self._found = found
        self._watcher = watcher
        self._bare = bare
        self.pairs: list[tuple[int, int]] = []
        """Latencies of each halt, in ns: of the last component, and of the bare subscriber."""

    async def halt(self) -> None:
        """Halt now, and note how long it took until all had acknowledged."""
        watcher = self._watcher
        watcher.begin()
        sent_ns = time.monotonic_ns()
        await self._found.bus.publish(HALT, b"")
        await self._found.bus.publish(BARE, b"")
        await asyncio.wait_for(watcher.is_complete.wait(), HALT_TIMEOUT_S)
        latency_ns = max(watcher.at_ns[name] for name in MEMBERS) - sent_ns
        self.pairs.append((latency_ns, watcher.bare_ns - sent_ns))

    async def halt_behind(self, backlog: Backlog) -> int:
        """Halt behind a backlog; return how much later the gate had worked it off, in ns.

        Raises:
            BusError: SLU-123 the gate had no backlog any more: nothing was measured.
        """
        await backlog.publish()
        asked = asyncio.create_task(self._found.query("gate"))  # answered behind the backlog
        await self.halt()
        acknowledged_ns = time.monotonic_ns()
        if asked.done():
            raise BusError("SLU-123", found="no backlog at the gate", wanted="a halt behind one")
        await asked
        return time.monotonic_ns() - acknowledged_ns

    async def start_again(self) -> None:
        """Clear the halt, and trade again."""
        [report] = decode(await self._found.query("breaker"), subject="query.breaker")
        assert isinstance(report, ArbiterReported)
        await self._found.restart_trading(report.halts)


async def _measure(halts: int, behind: int, quotes_per_s: int) -> Result:
    chance = random.Random("halt")
    watcher = Watcher()
    async with stand(10) as found:
        bare = await nats.connect(found.url)
        await bare.subscribe(BARE, cb=watcher.on_message)
        for subject in (SUBJECTS[HaltAcknowledged], SUBJECTS[EpochStarted]):
            await found.bus.subscribe(subject, cb=watcher.on_message)
        flood, burst = Halter(found, watcher, bare), Halter(found, watcher, bare)
        await found.start_trading(STRATEGY, [SYMBOL])
        noise = await _market(found.url, quotes_per_s)
        try:
            for _ in range(halts):
                await asyncio.sleep(chance.uniform(0, 2 * PACE_S))
                await flood.halt()
                await flood.start_again()
        finally:
            noise.terminate()
            await noise.wait()
        drained_ns = await _behind_backlogs(burst, found.url, behind)
        await bare.close()
        orders, late = sent_in(found.folder / "var" / "state", watcher.silences)
    if not orders:
        raise BusError("SLU-123", found="no order at all", wanted="halts while trading goes on")
    return _result(flood, burst, drained_ns, orders, late)


async def _behind_backlogs(halter: Halter, url: str, count: int) -> list[int]:
    """Halt so many times behind a backlog; return how long each outlasted its halt, in ns."""
    names = list(instruments(10))
    quotes = [quote_of(number, time.time_ns(), names) for number in range(BACKLOG)]
    backlog = await Backlog.of(url, quotes)
    outlasted_ns = []
    for _ in range(count):
        outlasted_ns.append(await halter.halt_behind(backlog))
        await halter.start_again()
    await backlog.close()
    return outlasted_ns


def _result(
    flood: Halter, burst: Halter, outlasted_ns: list[int], orders: int, late: int
) -> Result:
    value, yardstick, is_ok = dict[str, float](), dict[str, float](), not late
    for prefix, pairs in (("", flood.pairs), ("backlog_", burst.pairs)):
        ours = latencies_us([pair[0] for pair in pairs])
        bare = latencies_us([pair[1] for pair in pairs])
        value |= {f"{prefix}{name}": each for name, each in ours.items()}
        yardstick |= {f"{prefix}{name}": each for name, each in bare.items()}
        is_ok = is_ok and ours["p99_us"] <= P99_US_MAX and ours["max_us"] <= MAX_US_MAX
    value["backlog_outlasts_p50_ms"] = round(percentile(sorted(outlasted_ns), 0.5) / 1e6, 1)
    value["orders_after_acknowledgement_count"] = late
    halts = len(flood.pairs) + len(burst.pairs)
    return Result(
        value=value,
        yardstick=yardstick,
        ratio={
            name: round(value[name] / yardstick[name], 2) for name in ("p50_us", "backlog_p50_us")
        },
        goal=GOAL,
        ok=is_ok,
        rounds=halts,
        faults={"halts": halts, "orders": orders, "backlogs": len(burst.pairs)},
        failure="" if not late else "an order followed the acknowledgement",
    )


def run(rounds: int = 5, *, quotes_per_s: int = 20_000) -> Result:
    """Halt a trading system: `rounds` times 200 at random moments, 4 behind a backlog."""
    halts, behind = rounds * HALTS // 5, rounds * BEHIND // 5
    return uvloop.run(_measure(max(1, halts), max(1, behind), quotes_per_s))
