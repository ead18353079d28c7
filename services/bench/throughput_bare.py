"""The yardstick of `throughput`: nats-py as its documentation shows it, from process to process.

`python -m services.bench.throughput_bare URL take WINDOW` takes pairs of messages and says how many
came; `... URL send WINDOW SECONDS SIZE SIZE` sends them, as long as those that the gate published,
and no more than WINDOW pairs ahead. No codec, and no logic.
"""

import asyncio
import sys
import time

import msgspec
import nats
import uvloop
from nats.aio.msg import Msg

FIRST, SECOND, DONE, STOP = "bench.first", "bench.second", "bench.done", "bench.stop"
NUMBER_BYTES = 20
TOLD_OF_WINDOW = 16
"""The sender hears sixteen times a window how many came, as the flood does."""


class Taken(msgspec.Struct, frozen=True):
    """How many pairs came, whether each once and in order, and when the last one did."""

    count: int
    is_whole: bool
    last_ns: int


class Sent(msgspec.Struct, frozen=True):
    """How many pairs were sent, and since when, by the machine's monotonic clock."""

    count: int
    began_ns: int


async def take(url: str, window: int) -> Taken:
    """Take pairs until told how many there were."""
    bus = await nats.connect(url)
    every = max(1, window // TOLD_OF_WINDOW)
    counts = {FIRST: 0, SECOND: 0}
    is_whole, last_ns, over = True, 0, asyncio.Event()

    async def on_pair(message: Msg) -> None:
        nonlocal is_whole, last_ns
        is_whole = is_whole and int(message.data[:NUMBER_BYTES]) == counts[message.subject]
        counts[message.subject] += 1
        last_ns = time.monotonic_ns()
        if message.subject == SECOND and counts[SECOND] % every == 0:
            await bus.publish(DONE, str(counts[SECOND]).encode())

    async def on_stop(_message: Msg) -> None:
        over.set()

    for subject in (FIRST, SECOND):
        await bus.subscribe(subject, cb=on_pair)
    await bus.subscribe(STOP, cb=on_stop)
    await bus.flush()
    sys.stdout.buffer.write(b"ready\n")
    sys.stdout.flush()
    await over.wait()
    await bus.drain()  # what was sent before the stop has its own queue here
    return Taken(counts[FIRST], is_whole and counts[FIRST] == counts[SECOND], last_ns)


async def send(url: str, window: int, seconds: float, sizes_bytes: tuple[int, int]) -> Sent:
    """Send pairs for so long."""
    bus = await nats.connect(url)
    first, second = (b"x" * max(0, size - NUMBER_BYTES) for size in sizes_bytes)
    allowed, news = window, asyncio.Event()

    async def on_done(message: Msg) -> None:
        nonlocal allowed
        allowed = int(message.data) + window
        news.set()

    await bus.subscribe(DONE, cb=on_done)
    await bus.flush()
    began_ns = time.monotonic_ns()
    end_ns = began_ns + int(seconds * 1e9)
    count = 0
    while time.monotonic_ns() < end_ns:
        while count < allowed:
            number = f"{count:0{NUMBER_BYTES}d}".encode()
            await bus.publish(FIRST, number + first)
            await bus.publish(SECOND, number + second)
            count += 1
        news.clear()
        await news.wait()
    await bus.publish(STOP, b"")
    await bus.flush()
    await bus.close()
    return Sent(count, began_ns)


def main() -> None:
    """Run one side with the arguments of the command line."""
    url, side, window, *rest = sys.argv[1:]
    if side == "take":
        found: Taken | Sent = uvloop.run(take(url, int(window)))
    else:
        seconds, first, second = rest
        found = uvloop.run(send(url, int(window), float(seconds), (int(first), int(second))))
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
