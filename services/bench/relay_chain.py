"""The yardstick of `chain`: how long the bare bus takes for the same three hops."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, Process

import msgspec
import nats

from schemas.errors import BusError

HOPS = ("bench.tick", "bench.signal", "bench.order")
"""Subjects between the four processes: feed, strategy, gate, executor."""


async def relay_latencies_ns(
    url: str, payload_bytes: int, rate_per_s: int, count: int
) -> list[int]:
    """Return, in order, how long each of `count` messages took through four bare processes.

    The first process is this one. Messages carry their number in the first 20 bytes.

    Raises:
        BusError: a message was lost, doubled or out of order: then there is no figure.
    """
    hops = [*HOPS, ""]
    children = [await _child(url, hops[at], hops[at + 1]) for at in range(len(HOPS))]
    bus = await nats.connect(url)
    sent_ns: list[int] = []
    tail = b"x" * max(0, payload_bytes - 20)
    start_s = time.monotonic()
    for number in range(count):
        await asyncio.sleep(max(0.0, start_s + number / rate_per_s - time.monotonic()))
        sent_ns.append(time.monotonic_ns())
        await bus.publish(HOPS[0], f"{number:020d}".encode() + tail)
    await bus.flush()
    await bus.publish(HOPS[0], b"stop")
    await bus.flush()
    outputs = [await child.communicate() for child in children]
    await bus.close()
    arrived = msgspec.json.decode(outputs[-1][0].splitlines()[-1], type=list[tuple[str, int]])
    numbers = [int(number) for number, _ in arrived]
    if numbers != list(range(count)):
        raise BusError("SLU-123", found=f"{len(numbers)} of {count} messages", wanted="each once")
    return [at_ns - sent_ns[number] for number, (_, at_ns) in enumerate(arrived)]


async def _child(url: str, listen: str, speak: str) -> Process:
    command = (sys.executable, "-m", "services.bench.relay", url, listen, speak)
    child = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    assert child.stdout is not None
    assert await child.stdout.readline() == b"ready\n"
    return child
