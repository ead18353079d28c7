"""`chain`: from a tick's publish to the order in the venue adapter's hand, over the real bus."""

import asyncio
import time
from decimal import Decimal

import uvloop
from nats.aio.msg import Msg

from schemas.base import InstrumentId
from schemas.errors import BusError
from schemas.executions import OrderSubmitted
from schemas.market import QuoteReceived
from schemas.orders import SignalRaised
from schemas.subjects import subject_of, subjects_of
from schemas.wire import decode, encode
from services.bench.relay_chain import relay_latencies_ns
from services.bench.result import Result, latencies_us, middle
from services.bench.server import nats_server
from services.bench.stand import Stand, stand
from services.runtime.clock import Clock

GOAL = "p50 <= 2 x relay at 500 and at 2,000 ticks/s"
RATIO_MAX = 2.0
RATES_PER_S = (500, 2_000)
SECONDS = 2
PAYLOAD_BYTES = 300
SYMBOL = InstrumentId("bench:S0000")
STRATEGY = "services.bench.strategies:EveryTick"


class Tap:
    """Listens to signals and executions, and pairs each order with the tick it answers."""

    def __init__(self) -> None:
        self.tick_ns: dict[str, int] = {}
        self.submitted_ns: dict[str, int] = {}

    async def on_message(self, message: Msg) -> None:
        """Note when a tick was published and when its order was in the adapter's hand."""
        for event in decode(message.data, subject=message.subject):
            if isinstance(event, SignalRaised):
                self.tick_ns[event.signal_id] = int(event.why)
            elif isinstance(event, OrderSubmitted):
                assert event.order.signal_id not in self.submitted_ns, "an order was doubled"
                self.submitted_ns[event.order.signal_id] = event.at_ns

    def latencies_ns(self) -> list[int]:
        """Return the latency of every order that was submitted."""
        return [at_ns - self.tick_ns[key] for key, at_ns in self.submitted_ns.items()]


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


async def order_latencies_ns(rate_per_s: int, seconds: int = SECONDS) -> list[int]:
    """Return how long each order took from its tick's publish to the venue adapter's hand.

    Raises:
        BusError: an order was lost; then there is no figure.
    """
    clock, tap = Clock(), Tap()
    async with stand(10) as found:
        for subject in subjects_of(SignalRaised, OrderSubmitted):
            await found.bus.subscribe(subject, cb=tap.on_message)
        await found.start_trading(STRATEGY, [SYMBOL])
        await _tick(found, 200, 200, clock)  # warm: imports, caches, first lease
        await asyncio.sleep(0.5)
        tap.tick_ns.clear()
        tap.submitted_ns.clear()
        count = rate_per_s * seconds
        await _tick(found, rate_per_s, count, clock)
        for _ in range(500):
            if len(tap.submitted_ns) >= len(tap.tick_ns) >= count:
                break
            await asyncio.sleep(0.01)
    if not len(tap.submitted_ns) == len(tap.tick_ns) == count:
        found_text = f"{count} ticks, {len(tap.tick_ns)} signals, {len(tap.submitted_ns)} orders"
        raise BusError("SLU-123", found=found_text, wanted="one order a tick")
    return tap.latencies_ns()


async def _rounds(rounds: int) -> Result:
    value: dict[str, float] = {}
    yardstick: dict[str, float] = {}
    ratio: dict[str, float] = {}
    for rate in RATES_PER_S:
        ours, bare = [], []
        for _ in range(rounds):
            with nats_server() as url:
                count = rate * SECONDS
                bare.append(latencies_us(await relay_latencies_ns(url, PAYLOAD_BYTES, rate, count)))
            ours.append(latencies_us(await order_latencies_ns(rate)))
        value |= {f"at_{rate}_{key}": each for key, each in middle(ours).items()}
        yardstick |= {f"at_{rate}_{key}": each for key, each in middle(bare).items()}
        for key in ("p50", "p99"):
            name = f"at_{rate}_{key}"
            ratio[name] = round(value[f"{name}_us"] / yardstick[f"{name}_us"], 2)
    is_ok = all(ratio[f"at_{rate}_p50"] <= RATIO_MAX for rate in RATES_PER_S)
    return Result(value=value, yardstick=yardstick, ratio=ratio, goal=GOAL, ok=is_ok, rounds=rounds)


def run(rounds: int = 5) -> Result:
    """Measure the chain and the bare relay, turn about."""
    return uvloop.run(_rounds(rounds))
