"""`sessions`: how soon one runs and signals, and what a hundred at once do to a signal.

Twice: with every session in the service's own process, and with each in a process of its own.
"""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
import nats
import psutil
import uvloop
from nats.aio.msg import Msg

from schemas.base import SessionId
from schemas.errors import BusError
from schemas.market import QuoteReceived
from schemas.orders import SignalRaised
from schemas.sessions import SessionState, SessionStateChanged
from schemas.subjects import START, SUBJECTS, subject_of
from schemas.wire import decode, encode
from services.bench.chain import SYMBOL
from services.bench.result import Result, middle, percentile
from services.bench.server import nats_server
from services.bench.stand import READY_TIMEOUT_S, SERVICES, Stand, stand
from services.runtime.clock import Clock
from services.strategy.config import UNHELD, Isolation

GOAL = "start to running < 200 ms; of 100 sessions at once in one runner, signals p99 < 100 ms"
START_MS_MAX, SIGNAL_MS_MAX = 200.0, 100.0
STARTS, SESSIONS, QUOTES = 10, 100, 10
EVERY_S = 0.25
ANSWER_S = 10.0
AGAIN_S = 0.05
"""Before a start that was refused is asked for again: orders of the others were still ending."""

SIGNAL_BYTES = 240
STRATEGY = "services.bench.strategies:EveryTick"
PASSES = {"": Isolation.NONE, "isolated_": Isolation.ALL}
REQUEST = {
    "operator": "bench",
    "strategy": STRATEGY,
    "symbols": [SYMBOL],
    "initial_capital": "1000000",
}

Heard = TypeVar("Heard")


class Desk:
    """Starts sessions on a stand, hears them, and lets the market move for them.

    Attributes:
        sessions: those that run.
        refused_count: how many starts were refused, and asked for again.
    """

    def __init__(self, found: Stand) -> None:
        self.sessions: list[SessionId] = []
        self.refused_count = 0
        self._found = found
        self._clock = Clock()
        self._quotes = 0
        self._changes: asyncio.Queue[tuple[float, SessionStateChanged]] = asyncio.Queue()
        self._signals: asyncio.Queue[tuple[float, SignalRaised]] = asyncio.Queue()

    async def listen(self) -> None:
        """Hear of the sessions from now on."""
        for kind in (SessionStateChanged, SignalRaised):
            await self._found.bus.subscribe(SUBJECTS[kind], cb=self._take)
        await self._found.bus.flush()

    async def start(self) -> tuple[float, float]:
        """Start one; return when it was asked for, and when the session ran, in s.

        Raises:
            BusError: it is still refused after a while, which the answer gives the reason of; or
                it was granted and does not run.
        """
        deadline_s = time.perf_counter() + READY_TIMEOUT_S
        while True:
            began_s = time.perf_counter()
            try:
                answer = await self._found.ask(START, REQUEST)
                break
            except BusError:
                if time.perf_counter() > deadline_s:
                    raise
            self.refused_count += 1
            await asyncio.sleep(AGAIN_S)
        assert answer.session is not None
        self.sessions.append(answer.session)
        while True:
            at_s, change = await _next(self._changes, "a session that runs")
            if (change.session, change.state) == (answer.session, SessionState.RUNNING):
                return began_s, at_s

    async def first_signal_s(self) -> float:
        """Publish a quote; return when the session that was started last answered it.

        Raises:
            BusError: it did not.
        """
        await self._quote()
        while True:
            at_s, signal = await _next(self._signals, "a signal of the session started last")
            if signal.session == self.sessions[-1]:
                return at_s

    async def signals_ms(self) -> list[float]:
        """Publish a quote; return how long each session took to answer it.

        Raises:
            BusError: one did not answer, or did so twice; then there is no figure.
        """
        took, missing = list[float](), set(self.sessions)
        began_s = await self._quote()
        while missing:
            at_s, signal = await _next(self._signals, f"signals of {len(missing)} more sessions")
            if signal.session not in missing:
                found = f"two of {signal.session}"
                raise BusError("SLU-123", found=found, wanted="one signal a session and quote")
            missing.remove(signal.session)
            took.append((at_s - began_s) * 1e3)
        return took

    async def settle(self) -> None:
        """Wait until the others have answered the quotes before, and forget that they did."""
        heard = -1
        while heard:
            await asyncio.sleep(EVERY_S)
            heard = self._signals.qsize()
            while not self._signals.empty():
                self._signals.get_nowait()

    async def _quote(self) -> float:
        """Publish the next quote; return when, in s."""
        self._quotes += 1
        size, bid = Decimal(1_000), Decimal(10_000 + self._quotes) / 100
        quote = QuoteReceived(
            at_ns=self._clock(), instrument=SYMBOL, bid=bid, bid_size=size, ask=bid, ask_size=size
        )
        began_s = time.perf_counter()
        await self._found.bus.publish(subject_of(quote), encode(quote))
        return began_s

    async def _take(self, message: Msg) -> None:
        at_s = time.perf_counter()
        for event in decode(message.data, subject=message.subject):
            if isinstance(event, SessionStateChanged):
                self._changes.put_nowait((at_s, event))
            elif isinstance(event, SignalRaised):
                self._signals.put_nowait((at_s, event))


async def _next(heard: asyncio.Queue[Heard], wanted: str) -> Heard:
    try:
        return await asyncio.wait_for(heard.get(), ANSWER_S)
    except TimeoutError as error:
        raise BusError("SLU-123", found=f"nothing in {ANSWER_S} s", wanted=wanted) from error


async def bare_ms(sessions: int, quotes: int) -> list[float]:
    """Return the yardstick: one bare process that answers a message by as many, as long."""
    took: list[float] = []
    with nats_server() as url:
        subjects = [f"bench.signal.{number}" for number in range(sessions)]
        sizes = ",".join([str(SIGNAL_BYTES)] * sessions)
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.bench.relay", url, "bench.tick", "1", sizes),
            *subjects,
            stdout=PIPE,
        )
        assert child.stdout is not None
        assert await child.stdout.readline() == b"ready\n"
        bus = await nats.connect(url)
        arrived: asyncio.Queue[float] = asyncio.Queue()

        async def take(message: Msg) -> None:
            arrived.put_nowait(time.perf_counter())

        await bus.subscribe("bench.signal.*", cb=take)
        await bus.flush()
        for number in range(quotes):
            began_s = time.perf_counter()
            await bus.publish("bench.tick", f"{number:020d}".encode())
            for _ in range(sessions):
                took.append((await asyncio.wait_for(arrived.get(), ANSWER_S) - began_s) * 1e3)
            await asyncio.sleep(EVERY_S)
        await bus.publish("bench.tick", b"stop")
        await bus.flush()
        await child.wait()
        await bus.close()
    return took


async def figures_of(name: str, isolation: Isolation) -> dict[str, float]:
    """Return the figures of one isolation, each by its name behind this one.

    Raises:
        BusError: the sessions did not run where they were to run, or one missed a quote.
    """
    async with stand(1, SERVICES, strategy=settings_of(isolation)) as found:
        desk = Desk(found)
        await desk.listen()
        await desk.start()  # what is loaded once is loaded
        starts, first, late, signals = list[float](), list[float](), list[float](), list[float]()
        for _ in range(STARTS):
            began_s, ran_s = await desk.start()
            starts.append((ran_s - began_s) * 1e3)
            first.append((await desk.first_signal_s() - began_s) * 1e3)
        while len(desk.sessions) < SESSIONS:
            began_s, ran_s = await desk.start()
            late.append((ran_s - began_s) * 1e3)
        await desk.settle()
        for _ in range(QUOTES):
            signals += await desk.signals_ms()
            await asyncio.sleep(EVERY_S)
        held_mb = _held_mb(found, SESSIONS if isolation is Isolation.ALL else 0)
    figures = _ms("start", starts) | _ms("first_signal", first) | _ms("full_start", late)
    figures |= _ms("signal", signals) | {"refused_count": desk.refused_count} | held_mb
    return {f"{name}{key}": each for key, each in figures.items()}


def _held_mb(found: Stand, processes: int) -> dict[str, float]:
    """Return the memory of the runner, and what the sessions' own processes hold beside it.

    Raises:
        BusError: there are more such processes, or fewer, than wanted.
    """
    runner = psutil.Process(found.processes["strategy"].pid)
    children = [each for parent in runner.children() for each in parent.children()]
    if len(children) != processes:
        text = f"{len(children)} processes of sessions"
        raise BusError("SLU-123", found=text, wanted=str(processes))
    held_mb = {"runner_mb": round(runner.memory_info().rss / 1e6, 1)}
    if children:  # each one's own pages alone: what it shares with its parent is there once
        own_bytes = sum(each.memory_full_info().uss for each in children)
        held_mb |= {"processes": len(children), "processes_mb": round(own_bytes / 1e6, 1)}
    return held_mb


async def _round() -> tuple[dict[str, float], dict[str, float]]:
    value: dict[str, float] = {}
    for name, isolation in PASSES.items():
        value |= await figures_of(name, isolation)
    return value, _ms("signal", await bare_ms(SESSIONS, QUOTES))


def settings_of(isolation: Isolation) -> dict[str, Any]:
    """Return the settings of a runner that takes as many sessions, and holds them to nothing."""
    execution = msgspec.to_builtins(UNHELD)
    return {"execution": execution, "sessions_max": SESSIONS, "isolation": isolation}


def _ms(name: str, took: Iterable[float]) -> dict[str, float]:
    ordered = sorted(took)
    found = {"p50": percentile(ordered, 0.5), "p99": percentile(ordered, 0.99), "max": ordered[-1]}
    return {f"{name}_{key}_ms": round(each, 2) for key, each in found.items()}


async def _rounds(rounds: int) -> Result:
    found = [await _round() for _ in range(rounds)]
    value, yardstick = middle([each for each, _ in found]), middle([each for _, each in found])
    starts = [value[f"{name}{kind}_max_ms"] for name in PASSES for kind in ("start", "full_start")]
    signals = [value[f"{name}signal_p99_ms"] for name in PASSES]
    return Result(
        value=value,
        yardstick=yardstick,
        ratio={
            f"{name}{key}": round(
                value[f"{name}signal_{key}_ms"] / yardstick[f"signal_{key}_ms"], 2
            )
            for name in PASSES
            for key in ("p50", "p99")
        },
        goal=GOAL,
        ok=max(starts) < START_MS_MAX and max(signals) < SIGNAL_MS_MAX,
        rounds=rounds,
    )


def run(rounds: int = 5) -> Result:
    """Start sessions on real services and let them answer quotes; beside it the bare bus."""
    return uvloop.run(_rounds(rounds))
