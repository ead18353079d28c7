"""`sessions`: how soon one runs after its start, and what a hundred at once do to a signal."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import msgspec
import nats
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg

from schemas.errors import BusError
from schemas.market import QuoteReceived
from schemas.orders import SignalRaised
from schemas.sessions import SessionState, SessionStateChanged
from schemas.subjects import START, SUBJECTS, subject_of
from schemas.wire import decode, encode
from services.bench.chain import SYMBOL
from services.bench.result import Result, middle, percentile
from services.bench.server import nats_server
from services.bench.stand import SERVICES, Stand, stand
from services.runtime.clock import Clock
from services.strategy.config import UNHELD, Isolation

GOAL = "start to running < 200 ms; of 100 sessions at once in one runner, signals p99 < 100 ms"
START_MS_MAX, SIGNAL_MS_MAX = 200.0, 100.0
STARTS, SESSIONS, QUOTES = 10, 100, 20
EVERY_S = 0.5
ANSWER_S = 10.0
SIGNAL_BYTES = 240
STRATEGY = "services.bench.strategies:EveryTick"


async def start_ms(found: Stand, count: int) -> list[float]:
    """Return how long each of some starts took: from its request to the session that runs."""
    took: list[float] = []
    with _heard(SessionStateChanged) as (states, take):
        listening = await found.bus.subscribe(SUBJECTS[SessionStateChanged], cb=take)
        await found.bus.flush()
        for _ in range(count):
            request = {"operator": "bench", "strategy": STRATEGY, "symbols": [SYMBOL]}
            began_s = time.perf_counter()
            answer = await found.ask(START, request | {"initial_capital": "1000000"})
            while True:
                at_s, change = await asyncio.wait_for(states.get(), ANSWER_S)
                if (change.session, change.state) == (answer.session, SessionState.RUNNING):
                    break
            took.append((at_s - began_s) * 1e3)
        await listening.unsubscribe()
    return took


async def signal_ms(bus: Client, sessions: int, quotes: int) -> list[float]:
    """Return how long each signal of some sessions took from its quote's publish.

    Raises:
        BusError: a session did not answer a quote; then there is no figure.
    """
    clock, took = Clock(), list[float]()
    size = Decimal(1_000)
    with _heard(SignalRaised) as (signals, take):
        await bus.subscribe(SUBJECTS[SignalRaised], cb=take)
        await bus.flush()
        for number in range(quotes):
            bid = Decimal(10_000 + number) / 100
            quote = QuoteReceived(
                at_ns=clock(), instrument=SYMBOL, bid=bid, bid_size=size, ask=bid, ask_size=size
            )
            began_s = time.perf_counter()
            await bus.publish(subject_of(quote), encode(quote))
            try:
                for _ in range(sessions):
                    at_s, _ = await asyncio.wait_for(signals.get(), ANSWER_S)
                    took.append((at_s - began_s) * 1e3)
            except TimeoutError as error:
                text = f"{len(took)} signals after {number + 1} quotes"
                raise BusError("SLU-123", found=text, wanted=f"{sessions} a quote") from error
            await asyncio.sleep(EVERY_S)
    return took


@contextmanager
def _heard(kind: type[Any]) -> Iterator[tuple[asyncio.Queue[tuple[float, Any]], Any]]:
    """Yield a queue of what is heard of a kind, each with its time, and what fills it."""
    queue: asyncio.Queue[tuple[float, Any]] = asyncio.Queue()

    async def take(message: Msg) -> None:
        at_s = time.perf_counter()
        for event in decode(message.data, subject=message.subject):
            if isinstance(event, kind):
                queue.put_nowait((at_s, event))

    yield queue, take


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


async def _round() -> tuple[dict[str, float], dict[str, float]]:
    value: dict[str, float] = {}
    for name, isolation in (("", Isolation.NONE), ("isolated_", Isolation.OWN_CODE)):
        async with stand(1, SERVICES, strategy=_settings(isolation)) as found:
            await found.start_trading(STRATEGY, [SYMBOL])  # what is loaded once is loaded
            value |= _ms(f"{name}start", await start_ms(found, STARTS))
    async with stand(1, SERVICES, strategy=_settings(Isolation.NONE)) as found:
        await found.start_trading(STRATEGY, [SYMBOL])
        await start_ms(found, SESSIONS - 1)
        value |= _ms("signal", await signal_ms(found.bus, SESSIONS, QUOTES))
    return value, _ms("signal", await bare_ms(SESSIONS, QUOTES))


def _settings(isolation: Isolation) -> dict[str, Any]:
    execution = msgspec.to_builtins(UNHELD)
    return {"execution": execution, "sessions_max": SESSIONS, "isolation": isolation}


def _ms(name: str, took: list[float]) -> dict[str, float]:
    ordered = sorted(took)
    found = {"p50": percentile(ordered, 0.5), "p99": percentile(ordered, 0.99), "max": ordered[-1]}
    return {f"{name}_{key}_ms": round(each, 2) for key, each in found.items()}


async def _rounds(rounds: int) -> Result:
    found = [await _round() for _ in range(rounds)]
    value, yardstick = middle([each for each, _ in found]), middle([each for _, each in found])
    starts = max(value["start_max_ms"], value["isolated_start_max_ms"])
    return Result(
        value=value,
        yardstick=yardstick,
        ratio={
            key: round(value[f"signal_{key}_ms"] / yardstick[f"signal_{key}_ms"], 2)
            for key in ("p50", "p99")
        },
        goal=GOAL,
        ok=starts < START_MS_MAX and value["signal_p99_ms"] < SIGNAL_MS_MAX,
        rounds=rounds,
    )


def run(rounds: int = 5) -> Result:
    """Start sessions on real services and let them answer quotes; beside it the bare bus."""
    return uvloop.run(_rounds(rounds))
