"""The yardstick of `chain`: bare processes that hand the same bytes on, with no logic.

`python -m services.bench.relay URL LISTEN EVERY BYTES [SPEAK ...]`: every so-manieth message that
comes in on the first subject of LISTEN (comma-separated; the others are only taken in) goes out on
each SPEAK, filled up to its BYTES (comma-separated, one a SPEAK), by nats-py as its documentation
shows it, on uvloop. No SPEAK: note when each one came, and print the times when told to stop.
"""

import asyncio
import sys
import time
from collections.abc import Sequence

import msgspec
import nats
import uvloop
from nats.aio.msg import Msg

STOP = b"stop"
NUMBER_BYTES = 20
"""Every message begins with the number of the tick that it goes back to."""


async def relay(
    url: str, listen: Sequence[str], every: int, sizes_bytes: Sequence[int], speak: Sequence[str]
) -> None:
    """Serve until a message says stop; it is handed on, so that the whole chain stops."""
    bus = await nats.connect(url)
    done = asyncio.Event()
    arrived: list[tuple[str, int]] = []
    count = 0

    async def on_message(message: Msg) -> None:
        nonlocal count
        data = message.data
        if data == STOP:
            for subject in speak:
                await bus.publish(subject, data)
            done.set()
            return
        count += 1
        if not speak:
            arrived.append((data[:NUMBER_BYTES].decode(), time.monotonic_ns()))
        elif count % every == 0:
            for subject, size_bytes in zip(speak, sizes_bytes, strict=True):
                await bus.publish(subject, data[:NUMBER_BYTES].ljust(size_bytes, b"x"))

    async def drop(message: Msg) -> None:
        pass

    await bus.subscribe(listen[0], cb=on_message)
    for subject in listen[1:]:
        await bus.subscribe(subject, cb=drop)
    await bus.flush()
    sys.stdout.buffer.write(b"ready\n")
    sys.stdout.flush()
    await done.wait()
    await asyncio.sleep(0)
    await bus.drain()
    if not speak:
        sys.stdout.buffer.write(msgspec.json.encode(arrived) + b"\n")
        sys.stdout.flush()


def main() -> None:
    """Run one relay with the arguments of the command line."""
    url, listen, every, sizes, *speak = sys.argv[1:]
    sizes_bytes = [int(size) for size in sizes.split(",") if size]
    uvloop.run(relay(url, listen.split(","), int(every), sizes_bytes, speak))


if __name__ == "__main__":
    main()
