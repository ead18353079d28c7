"""Raise signals as fast as they are decided: `python -m services.bench.throughput_flood URL WAY S`.

A process of its own, as the strategy service is, and with its outbox: WAY `one` hands it a signal
at a time, `frames` all that may go now, of which it makes frames by itself. No more than `WINDOW`
signals are undecided at any time: what waits beyond that in the server says nothing of the gate.
Prints when it began and how many it raised, as JSON, at the end.
"""

import asyncio
import sys
import time
from decimal import Decimal

import msgspec
import uvloop

from schemas.base import NS_PER_S, InstrumentId, SessionId, SignalId
from schemas.orders import OrderType, Side, SignalRaised
from services.bench.gate import ACCOUNT, instruments
from services.runtime.clock import Clock
from services.runtime.config import BusConfig
from services.runtime.connect import connect
from services.runtime.outbound import Outbox

SESSION = SessionId("flood")
SYMBOLS = 10
WINDOW = 2_048
DONE, STOP = "bench.done", "bench.stop"
"""Where the sink says how many are decided, and where it is told how many there were."""

ONE, FRAMES = "one", "frames"
SIGNAL_LIFE_NS = 60 * NS_PER_S
NAMES: tuple[InstrumentId, ...] = tuple(instruments(SYMBOLS))


class Raised(msgspec.Struct, frozen=True):
    """What came of a flood."""

    began_ns: int
    """By the machine's monotonic clock, which all processes share."""

    count: int


def signal(number: int, at_ns: int, prefix: str = "t") -> SignalRaised:
    """Return the signal of this number; they go round the symbols and alternate sides."""
    return SignalRaised(
        at_ns=at_ns,
        signal_id=SignalId(f"{prefix}-{number}"),
        account=ACCOUNT,
        session=SESSION,
        instrument=NAMES[number % SYMBOLS],
        side=Side.BUY if number // SYMBOLS % 2 else Side.SELL,
        quantity=Decimal(10),
        order_type=OrderType.LIMIT,
        limit_price=Decimal("100.00"),
        expires_at_ns=at_ns + SIGNAL_LIFE_NS,
    )


class Flood:
    """Raises as many more as were decided, for a while.

    Attributes:
        count: raised so far.
    """

    def __init__(self, outbox: Outbox, *, is_framed: bool) -> None:
        self.count = 0
        self._outbox = outbox
        self._is_framed = is_framed
        self._clock = Clock()
        self._is_over = False

    def raise_up_to(self, count: int) -> None:
        """Raise what is missing to this count, unless it is over."""
        if self._is_over:
            return
        now_ns = self._clock()
        ready = [signal(number, now_ns) for number in range(self.count, count)]
        self.count += len(ready)
        if self._is_framed:
            self._outbox.publish(ready)
            return
        for each in ready:
            self._outbox.publish([each])

    def end(self) -> None:
        """Raise no more."""
        self._is_over = True


async def flood(url: str, way: str, seconds: float) -> Raised:
    """Raise signals for so long; return what came of it."""
    connection = await connect("strategy", BusConfig(url=url))
    made = Flood(Outbox(connection, "strategy-bench"), is_framed=way == FRAMES)

    def take(_subject: str, data: bytes, _reply: str) -> None:
        made.raise_up_to(int(data) + WINDOW)

    await connection.take(DONE, take)
    await connection.flush()
    began_ns = time.monotonic_ns()
    made.raise_up_to(WINDOW)
    await asyncio.sleep(seconds)
    made.end()
    connection.send(STOP, str(made.count).encode())
    await connection.flush()
    await connection.close()
    return Raised(began_ns, made.count)


if __name__ == "__main__":
    found = uvloop.run(flood(sys.argv[1], sys.argv[2], float(sys.argv[3])))
    sys.stdout.buffer.write(msgspec.json.encode(found))
