"""The yardstick of `chain`: how long the bare bus takes for the same three hops."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, Process

import msgspec
import nats

from schemas.errors import BusError

TICK, SIGNAL, DECISION, ORDER = "bench.tick", "bench.signal", "bench.decision", "bench.order"
CHAIN: tuple[tuple[tuple[str, ...], dict[str, int]], ...] = (
    ((TICK,), {SIGNAL: 240}),
    ((SIGNAL, TICK), {ORDER: 320, DECISION: 1_600}),
    ((ORDER,), {}),
)
"""Strategy, gate, executor: what each hears, and what it says with how many bytes. The first of
what it hears goes on; the gate hears the market too, as the real one does."""

TICK_BYTES = 200


async def relay_latencies_ns(url: str, rate_per_s: int, count: int, every: int) -> list[int]:
    """Return, in order, how long each `every`-th of `count` ticks took through four processes.

    The first process is this one. The messages are as many and as long as in the real chain.

    Raises:
        BusError: a message was lost, doubled or out of order: then there is no figure.
    """
    children = [
        await _child(url, heard, said, every if number == 0 else 1)
        for number, (heard, said) in enumerate(CHAIN)
    ]
    bus = await nats.connect(url)
    sent_ns: list[int] = []
    start_s = time.monotonic()
    for number in range(count):
        await asyncio.sleep(max(0.0, start_s + number / rate_per_s - time.monotonic()))
        sent_ns.append(time.monotonic_ns())
        await bus.publish(TICK, f"{number:020d}".encode().ljust(TICK_BYTES, b"x"))
    await bus.flush()
    await bus.publish(TICK, b"stop")
    await bus.flush()
    outputs = [await child.communicate() for child in children]
    await bus.close()
    arrived = msgspec.json.decode(outputs[-1][0].splitlines()[-1], type=list[tuple[str, int]])
    numbers = [int(number) for number, _ in arrived]
    if numbers != list(range(every - 1, count, every)):
        found = f"{len(numbers)} of {count // every} messages"
        raise BusError("SLU-123", found=found, wanted="each once, in order")
    return [at_ns - sent_ns[number] for number, (_, at_ns) in zip(numbers, arrived, strict=True)]


async def _child(url: str, heard: tuple[str, ...], said: dict[str, int], every: int) -> Process:
    sizes = ",".join(str(size_bytes) for size_bytes in said.values())
    words = (url, ",".join(heard), str(every), sizes, *said)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.bench.relay", *words, stdout=PIPE
    )
    assert child.stdout is not None
    assert await child.stdout.readline() == b"ready\n"
    return child
