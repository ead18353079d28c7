"""`chain`: from a tick's publish to the order in the venue adapter's hand, over the real bus."""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryFile

import msgspec
import uvloop

from schemas.base import Event, InstrumentId, OrderId
from schemas.control import StartRequest
from schemas.errors import BusError
from schemas.executions import OutcomeRecorded
from schemas.ids import order_id_of
from schemas.market import QuoteReceived
from schemas.orders import SignalRaised
from schemas.subjects import subject_of
from schemas.wire import decode_kept, encode
from services.bench.relay_chain import relay_latencies_ns
from services.bench.result import Result, latencies_us, middle
from services.bench.server import nats_server
from services.bench.stand import ORDER_PATH, SERVICES, Stand, stand
from services.bench.stand_in import StandIn
from services.bench.strategies import TICKS_PER_ORDER
from services.runtime.clock import Clock

GOAL = "p50 <= 2 x relay at 500 and at 2,000 ticks/s"
RATIO_MAX = 2.0
RATES_PER_S = (500, 2_000)
SECONDS = 3
SYNCS, SYNC_EVERY_S, INTENT_BYTES = 100, 0.002, 700
SYMBOL = InstrumentId("bench:S0000")
STRATEGY = "services.bench.strategies:EveryTenthTick"
ByRate = dict[int, dict[str, float]]
"""Figures by ticks a second."""


def latencies_in(state: Path, since_ns: int) -> list[int]:
    """Return, for each order sent so far, the ns from its tick to the adapter's last check.

    Read from the journals of strategy and executor after the run: nobody listens in meanwhile.

    Raises:
        BusError: an order was sent twice; then there is no figure.
    """
    ticks: dict[OrderId, int] = {}
    for event in kept(state / "strategy.jsonl"):
        if isinstance(event, SignalRaised) and int(event.why) >= since_ns:
            order_id = order_id_of(event.account, event.session, event.signal_id, event.leg)
            ticks[order_id] = int(event.why)
    sent = [
        (event.order_id, event.at_ns)
        for event in kept(state / "executor.jsonl")
        if isinstance(event, OutcomeRecorded) and event.is_sent and event.order_id in ticks
    ]
    if len({order_id for order_id, _ in sent}) != len(sent):
        raise BusError("SLU-123", found="an order sent twice", wanted="one order a signal")
    return [at_ns - ticks[order_id] for order_id, at_ns in sent]


def kept(journal: Path) -> Iterator[Event]:
    """Yield the events of a service's journal, oldest first."""
    for line in journal.read_bytes().splitlines():
        yield decode_kept(msgspec.json.decode(line, type=_Line).event, where=str(journal))


def sync_ns() -> list[int]:
    """Return how long the disk takes for what an executor must have on it before it sends.

    No relay does that: it is a yardstick of its own, on the disk of the same run.
    """
    took: list[int] = []
    with TemporaryFile() as file:
        for _ in range(SYNCS):
            before_ns = time.perf_counter_ns()
            os.write(file.fileno(), b"x" * INTENT_BYTES)
            os.fdatasync(file.fileno())
            took.append(time.perf_counter_ns() - before_ns)
            time.sleep(SYNC_EVERY_S)
    return took


class _Line(msgspec.Struct):
    event: msgspec.Raw


async def _tick(found: Stand, rate_per_s: int, count: int, clock: Clock) -> None:
    """Publish quotes at an even rate; the price moves, so that no two are the same."""
    start_s = time.monotonic()
    size = Decimal(1_000)
    for number in range(count):
        await asyncio.sleep(max(0.0, start_s + number / rate_per_s - time.monotonic()))
        bid = Decimal(10_000 + number % 50) / 100
        quote = QuoteReceived(
            at_ns=clock(),
            instrument=SYMBOL,
            bid=bid,
            bid_size=size,
            ask=bid + Decimal("0.02"),
            ask_size=size,
        )
        await found.bus.publish(subject_of(quote), encode(quote))
    await found.bus.flush()


async def order_latencies_ns(
    rates_per_s: Sequence[int], services: Sequence[str] = ORDER_PATH
) -> dict[int, list[int]]:
    """Return by rate how long each order took from its tick's publish to the venue adapter's hand.

    One rate follows the other in one system: what it takes to start is not what is measured. With
    the order path alone, this process stands in for the arbiter; with every service, the breaker,
    the recorder and their disk writes share the machine with it.

    Raises:
        BusError: an order was lost; then there is no figure.
    """
    clock = Clock()
    async with stand(10, services) as found:
        await _start(found, clock)
        await _tick(found, 200, 200, clock)  # warm: imports, caches, first lease
        return {rate: await _at_rate(found, rate, clock) for rate in rates_per_s}


async def _at_rate(found: Stand, rate_per_s: int, clock: Clock) -> list[int]:
    await asyncio.sleep(0.5)  # what was ticked before is through
    since_ns, count = clock(), rate_per_s * SECONDS
    await _tick(found, rate_per_s, count, clock)
    for _ in range(500):
        latencies_ns = latencies_in(found.folder / "var" / "state", since_ns)
        if len(latencies_ns) == count // TICKS_PER_ORDER:
            return latencies_ns
        await asyncio.sleep(0.01)
    found_text = f"{len(latencies_ns)} orders of {count} ticks"
    raise BusError("SLU-123", found=found_text, wanted=f"one in {TICKS_PER_ORDER}")


async def _start(found: Stand, clock: Clock) -> None:
    if "breaker" in found.processes:
        await found.start_trading(STRATEGY, [SYMBOL])
        return
    request = StartRequest(
        operator="bench", strategy=STRATEGY, symbols=(SYMBOL,), initial_capital=Decimal(10) ** 6
    )
    await StandIn(found.bus, clock).start_trading(request)


async def _round() -> tuple[ByRate, ByRate, ByRate, ByRate]:
    """Return the figures by rate: of the order path, the whole system, the bare relay, the disk."""
    bare, synced = {}, {}
    for rate in RATES_PER_S:
        with nats_server() as url:
            count = rate * SECONDS
            bare[rate] = latencies_us(await relay_latencies_ns(url, rate, count, TICKS_PER_ORDER))
        synced[rate] = latencies_us(sync_ns())
    ours = await order_latencies_ns(RATES_PER_S)
    whole = await order_latencies_ns(RATES_PER_S, SERVICES)
    return _figures(ours), _figures(whole), bare, synced


def _figures(taken: dict[int, list[int]]) -> ByRate:
    return {rate: latencies_us(taken_ns) for rate, taken_ns in taken.items()}


async def _rounds(rounds: int) -> Result:
    value: dict[str, float] = {}
    yardstick: dict[str, float] = {}
    ratio: dict[str, float] = {}
    taken = [await _round() for _ in range(rounds)]
    for rate in RATES_PER_S:
        ours, whole, bare, synced = (
            [each[rate] for each in kind] for kind in zip(*taken, strict=True)
        )
        value |= {f"at_{rate}_{key}": each for key, each in middle(ours).items()}
        value |= {f"whole_system_at_{rate}_{key}": each for key, each in middle(whole).items()}
        yardstick |= {f"at_{rate}_{key}": each for key, each in middle(bare).items()}
        yardstick[f"sync_at_{rate}_p50_us"] = middle(synced)["p50_us"]
        for key in ("p50", "p99"):
            name = f"at_{rate}_{key}"
            ratio[name] = round(value[f"{name}_us"] / yardstick[f"{name}_us"], 2)
    is_ok = all(ratio[f"at_{rate}_p50"] <= RATIO_MAX for rate in RATES_PER_S)
    return Result(value=value, yardstick=yardstick, ratio=ratio, goal=GOAL, ok=is_ok, rounds=rounds)


def run(rounds: int = 5) -> Result:
    """Measure the chain and the bare relay, turn about."""
    return uvloop.run(_rounds(rounds))
