"""Market data that only keeps everybody busy: `python -m services.bench.noise URL QUOTES_PER_S`.

One quote in forty is of the instrument that is traded, the rest are of others.
"""

import asyncio
import sys
import time
from decimal import Decimal

import nats
import uvloop

from schemas.market import QuoteReceived
from schemas.subjects import subject_of
from schemas.wire import encode
from services.bench.gate import instruments
from services.runtime.clock import Clock

TRADED_EVERY = 40
BURST = 20


async def publish(url: str, quotes_per_s: int) -> None:
    """Publish until terminated."""
    bus = await nats.connect(url)
    clock, names = Clock(), list(instruments(10))
    size = Decimal(1_000)
    start_s, number = time.monotonic(), 0
    while True:
        await asyncio.sleep(max(0.0, start_s + number / quotes_per_s - time.monotonic()))
        for _ in range(BURST):
            number += 1
            is_traded = number % TRADED_EVERY == 0
            name = names[0] if is_traded else names[1 + number % (len(names) - 1)]
            bid = Decimal(10_000 + number % 50) / 100
            ask = bid + Decimal("0.02")
            quote = QuoteReceived(
                at_ns=clock(), instrument=name, bid=bid, bid_size=size, ask=ask, ask_size=size
            )
            await bus.publish(subject_of(quote), encode(quote))


def main() -> None:
    """Run with the arguments of the command line."""
    uvloop.run(publish(sys.argv[1], int(sys.argv[2])))


if __name__ == "__main__":
    main()
