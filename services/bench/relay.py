"""The yardstick of `chain`: four bare processes that hand the same bytes on, with no logic.

`python -m services.bench.relay URL LISTEN SPEAK`: what comes in on LISTEN goes out on SPEAK, by
nats-py as its documentation shows it, on uvloop. `SPEAK` empty: note when each one came, and
print the times when told to stop.
"""

import asyncio
import sys
import time

import msgspec
import nats
import uvloop
from nats.aio.msg import Msg

STOP = b"stop"


async def relay(url: str, listen: str, speak: str) -> None:
    """Serve until a message says stop; it is handed on, so that the whole chain stops."""
    bus = await nats.connect(url)
    done = asyncio.Event()
    arrived: list[tuple[str, int]] = []

    async def on_message(message: Msg) -> None:
        if not speak and message.data != STOP:
            arrived.append((message.data[:20].decode(), time.monotonic_ns()))
        if speak:
            await bus.publish(speak, message.data)
        if message.data == STOP:
            done.set()

    await bus.subscribe(listen, cb=on_message)
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
    uvloop.run(relay(*sys.argv[1:4]))


if __name__ == "__main__":
    main()
