"""Market data that keeps everybody busy: `python -m services.bench.noise URL QUOTES_PER_S`.

One quote in four is of the instrument that is traded, the rest are of others.
"""

import asyncio
import sys
import time
from decimal import Decimal

import nats
import uvloop

from schemas.base import InstrumentId
from schemas.market import QuoteReceived
from schemas.subjects import subject_of
from schemas.wire import encode
from services.bench.gate import instruments
from services.runtime.clock import Clock

TRADED_EVERY = 4
BURST = 20
SIZE, TICKS = Decimal(1_000), Decimal("0.02")


def quote_of(number: int, at_ns: int, names: list[InstrumentId]) -> QuoteReceived:
    """Return the quote of this number: the traded one is the first of `names`."""
    is_traded = number % TRADED_EVERY == 0
    bid = Decimal(10_000 + number % 50) / 100
    return QuoteReceived(
        at_ns=at_ns,
        instrument=names[0] if is_traded else names[1 + number % (len(names) - 1)],
        bid=bid,
        bid_size=SIZE,
        ask=bid + TICKS,
        ask_size=SIZE,
    )


async def publish(url: str, quotes_per_s: int) -> None:
    """Publish until terminated."""
    bus = await nats.connect(url)
    clock, names = Clock(), list(instruments(10))
    start_s, number = time.monotonic(), 0
    while True:
        await asyncio.sleep(max(0.0, start_s + number / quotes_per_s - time.monotonic()))
        for _ in range(BURST):
            number += 1
            quote = quote_of(number, clock(), names)
            await bus.publish(subject_of(quote), encode(quote))


def main() -> None:
    """Run with the arguments of the command line."""
    uvloop.run(publish(sys.argv[1], int(sys.argv[2])))


if __name__ == "__main__":
    main()
