"""`throughput`: signals through a live gate over the bus to a sink, as many as there can be.

Four processes: one that raises signals, the gate as it runs live with every kind of limit
configured, one that reads its decisions and orders, and the nats-server. This process stands in for
the arbiter and the executor, which say little: a start, a lease, a book.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import msgspec
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg

from schemas.control import PrepareAsked, StartRequest
from schemas.errors import BusError
from schemas.executions import BookReported
from schemas.market import QuoteReceived
from schemas.orders import Outcome, SignalDecided
from schemas.sessions import SessionCreated
from schemas.subjects import SUBJECTS
from schemas.wire import decode
from services.bench.gate import ACCOUNT, every_group
from services.bench.result import Result, middle
from services.bench.server import nats_server
from services.bench.stand import Stand, stand
from services.bench.stand_in import StandIn
from services.bench.throughput_bare import Sent, Taken
from services.bench.throughput_flood import (
    FRAMES,
    NAMES,
    ONE,
    SESSION,
    SYMBOLS,
    WINDOW,
    Raised,
    signal,
)
from services.bench.throughput_sink import Counted
from services.runtime.clock import Clock

GOAL = ">= 200,000 decisions/s in frames; >= 80,000/s one a message; nothing lost"
FRAMES_MIN, ONE_MIN = 200_000, 80_000
SECONDS, BARE_SECONDS = 2.0, 1.0
"""Of a round: five of them are ten seconds a way, and all benchmarks together stay short."""

READY_S, END_S = 10.0, 30.0
PROBES, PROBE_S = 50, 0.1
STRATEGY = "flood"


class _Alone(StandIn):
    """Stands in for everybody but the gate: the executor's book follows the question."""

    async def ask(self, start_id: str, request: StartRequest) -> None:
        """Ask the gate, and tell it what the account holds: nothing."""
        asked = PrepareAsked(at_ns=self._clock(), start_id=start_id, request=request)
        await self.say(asked)
        at_ns = self._clock()
        await self.say(
            BookReported(at_ns=at_ns, account=ACCOUNT, request_id=start_id, is_reconciled=True)
        )


async def _begin(found: Stand) -> None:
    """Have the gate trade, with a market to trade in.

    Raises:
        BusError: SLU-151 it does not approve a first signal; its decision says why.
    """
    clock = Clock()
    control = _Alone(found.bus, clock, members=("gate",))
    await control.start_trading(
        StartRequest(
            operator="bench", strategy=STRATEGY, symbols=NAMES, initial_capital=Decimal(10) ** 6
        )
    )
    size, bid, ask = Decimal(1_000), Decimal("99.99"), Decimal("100.01")
    created = SessionCreated(
        at_ns=clock(),
        session=SESSION,
        start_id="bench",
        strategy=STRATEGY,
        account=ACCOUNT,
        instruments=NAMES,
        initial_capital=Decimal(10) ** 6,
    )
    quotes = [
        QuoteReceived(
            at_ns=clock(), instrument=name, bid=bid, bid_size=size, ask=ask, ask_size=size
        )
        for name in NAMES
    ]
    for event in (created, *quotes):
        await control.say(event)
    await _probe(found.bus, control, clock)


async def _probe(bus: Client, control: StandIn, clock: Clock) -> None:
    """Raise signals until one is approved: the lease has come then."""
    decided: asyncio.Queue[SignalDecided] = asyncio.Queue()

    async def take(message: Msg) -> None:
        for event in decode(message.data, subject=message.subject):
            if isinstance(event, SignalDecided):
                decided.put_nowait(event)

    listening = await bus.subscribe(SUBJECTS[SignalDecided], cb=take)
    await bus.flush()
    said = "no decision"
    for number in range(PROBES):
        await control.say(signal(number, clock(), prefix="probe"))
        decision = await asyncio.wait_for(decided.get(), READY_S)
        if decision.outcome is Outcome.APPROVED:
            await listening.unsubscribe()
            await bus.flush()
            return
        said = f"{decision.rule}: {decision.detail}"
        await asyncio.sleep(PROBE_S)
    raise BusError("SLU-151", found=said, wanted="a signal approved")


@asynccontextmanager
async def _running(*words: str, is_listener: bool = False) -> AsyncIterator[Process]:
    """Yield a process of this benchmark, a listener once it listens; it never outlives us.

    Raises:
        BusError: a listener does not listen.
    """
    child = await asyncio.create_subprocess_exec(sys.executable, "-m", *words, stdout=PIPE)
    try:
        if is_listener:
            assert child.stdout is not None
            line = await asyncio.wait_for(child.stdout.readline(), READY_S)
            if line != b"ready\n":
                raise BusError("SLU-122", found=repr(line), wanted=f"{words[0]} that listens")
        yield child
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def _end(child: Process, seconds: float) -> bytes:
    """Return what a process said at its end.

    Raises:
        BusError: it does not end, or failed.
    """
    try:
        said, _ = await asyncio.wait_for(child.communicate(), seconds + END_S)
    except TimeoutError as error:
        raise BusError("SLU-123", found="a process that waits", wanted="an answer") from error
    if child.returncode:
        raise BusError("SLU-123", found=f"a process that ended with {child.returncode}")
    return said


async def decided(way: str, seconds: float) -> tuple[float, Counted]:
    """Return decisions a second of a flood, and what the sink counted.

    Raises:
        BusError: a decision or an order was lost, doubled, out of order, or no approval.
    """
    async with stand(SYMBOLS, ("gate",), gate=every_group()) as found:
        await _begin(found)
        url = found.url
        async with (
            _running("services.bench.throughput_sink", url, is_listener=True) as taker,
            _running("services.bench.throughput_flood", url, way, str(seconds)) as flood,
        ):
            raised = msgspec.json.decode(await _end(flood, seconds), type=Raised)
            counted = msgspec.json.decode(await _end(taker, seconds), type=Counted)
    require_whole(counted, raised.count)
    return raised.count / (counted.last_ns - raised.began_ns) * 1e9, counted


def require_whole(counted: Counted, raised: int) -> None:
    """Pass if every signal was answered by one approval and one order, in order.

    Raises:
        BusError: it was not; then there is no figure.
    """
    faults = counted.faults()
    if counted.raised != raised:
        faults = f"the sink was told of {counted.raised}" + (f", {faults}" if faults else "")
    if faults:
        wanted = f"a decision and an order to each of {raised} signals, once and in order"
        raise BusError("SLU-123", found=faults, wanted=wanted)


async def bare(counted: Counted, seconds: float) -> float:
    """Return decisions a second, had they been messages that nobody makes and nobody reads.

    Raises:
        BusError: one was lost, doubled or out of order.
    """
    messages = counted.decisions.messages
    events = counted.raised / messages
    sizes = (counted.decisions.bytes // messages, counted.orders.bytes // messages)
    window = str(max(1, round(WINDOW / events)))
    name = "services.bench.throughput_bare"
    with nats_server() as url:
        async with (
            _running(name, url, "take", window, is_listener=True) as taker,
            _running(name, url, "send", window, str(seconds), *map(str, sizes)) as sender,
        ):
            sent = msgspec.json.decode(await _end(sender, seconds), type=Sent)
            taken = msgspec.json.decode(await _end(taker, seconds), type=Taken)
    if not taken.is_whole or taken.count != sent.count:
        text = f"{taken.count} of {sent.count} pairs of messages"
        raise BusError("SLU-123", found=text, wanted="each once, in order")
    return sent.count * events / (taken.last_ns - sent.began_ns) * 1e9


async def _round() -> tuple[dict[str, float], dict[str, float]]:
    value: dict[str, float] = {}
    yardstick: dict[str, float] = {}
    for way, name in ((ONE, "one_a_message"), (FRAMES, "frames")):
        per_s, counted = await decided(way, SECONDS)
        events = counted.raised / counted.decisions.messages
        value |= {f"{name}_per_s": round(per_s), f"{name}_events_count": round(events, 1)}
        value[f"{name}_decision_bytes"] = round(counted.decisions.bytes / counted.raised)
        yardstick[f"{name}_per_s"] = round(await bare(counted, BARE_SECONDS))
    return value, yardstick


async def _rounds(rounds: int) -> Result:
    found = [await _round() for _ in range(rounds)]
    value, yardstick = middle([each for each, _ in found]), middle([each for _, each in found])
    return Result(
        value=value,
        yardstick=yardstick,
        ratio={
            name: round(value[f"{name}_per_s"] / yardstick[f"{name}_per_s"], 3)
            for name in ("one_a_message", "frames")
        },
        goal=GOAL,
        ok=value["frames_per_s"] >= FRAMES_MIN and value["one_a_message_per_s"] >= ONE_MIN,
        rounds=rounds,
    )


def run(rounds: int = 5) -> Result:
    """Flood a live gate, a signal a message and in frames; beside it the bare bus."""
    return uvloop.run(_rounds(rounds))
