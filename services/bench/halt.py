"""`halt`: from the publish of a halt to the acknowledgements of gate and executor, under load."""

import asyncio
import random
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Sequence
from pathlib import Path

import uvloop
from nats.aio.msg import Msg

from schemas.base import Event
from schemas.control import EpochStarted, HaltAcknowledged
from schemas.errors import BusError
from schemas.executions import OutcomeRecorded
from schemas.health import ArbiterReported
from schemas.subjects import HALT, SUBJECTS
from schemas.wire import decode
from services.bench.chain import STRATEGY, SYMBOL, kept
from services.bench.result import Result, latencies_us
from services.bench.stand import Stand, stand

GOAL = "p99 <= 5 ms, max <= 50 ms; no order is submitted after the executor's acknowledgement"
P99_US_MAX, MAX_US_MAX = 5_000.0, 50_000.0
HALTS = 100
PACE_S = 0.15
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


async def _halt_once(found: Stand, watcher: Watcher, pause_s: float) -> tuple[int, int]:
    """Return the latencies of one halt, the last component's and the bare subscriber's, in ns."""
    await asyncio.sleep(pause_s)
    watcher.begin()
    sent_ns = time.monotonic_ns()
    await found.bus.publish(HALT, b"")
    await found.bus.publish(BARE, b"")
    await asyncio.wait_for(watcher.is_complete.wait(), 10)
    latency_ns = max(watcher.at_ns[name] for name in MEMBERS) - sent_ns
    bare_ns = watcher.bare_ns - sent_ns
    [report] = decode(await found.query("breaker"), subject="query.breaker")
    assert isinstance(report, ArbiterReported)
    await found.restart_trading(report.halts)
    return latency_ns, bare_ns


async def _measure(halts: int, quotes_per_s: int) -> Result:
    chance = random.Random("halt")
    watcher = Watcher()
    async with stand(10) as found:
        for subject in (SUBJECTS[HaltAcknowledged], SUBJECTS[EpochStarted], BARE):
            await found.bus.subscribe(subject, cb=watcher.on_message)
        noise = await _market(found.url, quotes_per_s)
        try:
            await found.start_trading(STRATEGY, [SYMBOL])
            pairs = [
                await _halt_once(found, watcher, chance.uniform(0, 2 * PACE_S))
                for _ in range(halts)
            ]
        finally:
            noise.terminate()
            await noise.wait()
        orders, late = sent_in(found.folder / "var" / "state", watcher.silences)
    if not orders:
        raise BusError("SLU-123", found="no order at all", wanted="halts while trading goes on")
    value = latencies_us([pair[0] for pair in pairs])
    bare = latencies_us([pair[1] for pair in pairs])
    is_ok = value["p99_us"] <= P99_US_MAX and value["max_us"] <= MAX_US_MAX
    return Result(
        value=value | {"orders_after_acknowledgement_count": late},
        yardstick=bare,
        ratio={"p50": round(value["p50_us"] / bare["p50_us"], 2)},
        goal=GOAL,
        ok=is_ok and not late,
        rounds=halts,
        faults={"halts": halts, "orders": orders},
        failure="" if not late else "an order followed the acknowledgement",
    )


def run(rounds: int = 5, *, quotes_per_s: int = 20_000) -> Result:
    """Halt `rounds` times 20 at random moments of a trading system."""
    return uvloop.run(_measure(max(1, rounds * HALTS // 5), quotes_per_s))
