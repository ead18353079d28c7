"""Count what the gate says: `python -m services.bench.throughput_sink URL`.

A process of its own, as the executor is. Every decision and every order is read, and held against
the signals there were: each once, and those of one symbol in the order in which they were raised.
Prints `ready`, and at the end what it counted, as JSON.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
import uvloop

from schemas.orders import OrderApproved, Outcome, SignalDecided
from schemas.subjects import SUBJECTS
from services.bench.throughput_flood import DONE, STOP, SYMBOLS
from services.runtime.config import BusConfig
from services.runtime.connect import connect
from services.runtime.fastpath import BusConnection

TOLD_EVERY = 128
"""Decisions from one word to the flood to the next; a count."""

QUIET_S = 5.0
"""What has not come by then, after the last that came, is lost."""

LINGER_S = 0.05
"""What is doubled comes behind the last one."""


class _Decided(msgspec.Struct):
    signal_id: str
    outcome: str
    rule: str


class _Order(msgspec.Struct):
    signal_id: str


class _Approved(msgspec.Struct):
    order: _Order


class Tally(msgspec.Struct, kw_only=True):
    """What came of one kind of answer."""

    count: int = 0
    """Of signals that were answered, each once."""

    doubled: int = 0
    reordered: int = 0
    messages: int = 0
    bytes: int = 0


class Counted(msgspec.Struct, kw_only=True):
    """What came, and what did not."""

    raised: int
    decisions: Tally
    orders: Tally
    rejected: dict[str, int]
    """Decisions that were no approval, by rule."""

    last_ns: int
    """When the last decision came, by the machine's monotonic clock."""

    def faults(self) -> str:
        """Return what is wrong, in words; empty where every signal was answered once, in order."""
        found = [f"rejected by {rule}: {count}" for rule, count in self.rejected.items()]
        for name, tally in (("decisions", self.decisions), ("orders", self.orders)):
            lost = self.raised - tally.count
            for what, count in (
                ("lost", lost),
                ("doubled", tally.doubled),
                ("out of order", tally.reordered),
            ):
                if count:
                    found.append(f"{count} {name} {what}")
        return ", ".join(found)


class Numbers:
    """Which numbers came, and how.

    Attributes:
        tally: what is told of them.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self._seen = bytearray()
        self._last = [-1] * SYMBOLS

    def take(self, number: int) -> None:
        """Take one answer to the signal of this number."""
        if number >= len(self._seen):
            self._seen += bytes(max(number + 1, 2 * len(self._seen)) - len(self._seen))
        if self._seen[number]:
            self.tally.doubled += 1
            return
        self._seen[number] = 1
        self.tally.count += 1
        symbol = number % SYMBOLS
        if number < self._last[symbol]:
            self.tally.reordered += 1
        self._last[symbol] = max(number, self._last[symbol])


class Sink:
    """Reads all that the gate publishes.

    Attributes:
        decisions, orders: what came.
        rejected: decisions that were no approval, by rule.
        raised: how many signals there were; None until that is told.
        last_ns: when the last decision came.
        heard_count: messages of any kind.
    """

    def __init__(self, connection: BusConnection) -> None:
        self.decisions, self.orders = Numbers(), Numbers()
        self.rejected: dict[str, int] = {}
        self.raised: int | None = None
        self.last_ns = self.heard_count = 0
        self._whole = asyncio.Event()
        self._told = 0
        self._connection = connection
        self._decided = _decoders(_Decided)
        self._approved = _decoders(_Approved)

    def take_decisions(self, _subject: str, data: bytes, _reply: str) -> int:
        """Take a message of decisions, and let the flood go on."""
        found = _read(self._decided, data, self.decisions.tally)
        for each in found:
            self.decisions.take(_number(each.signal_id))
            if each.outcome != Outcome.APPROVED:
                self.rejected[each.rule] = self.rejected.get(each.rule, 0) + 1
        self.last_ns = time.monotonic_ns()
        self._heard()
        count = self.decisions.tally.count
        if count - self._told >= TOLD_EVERY:
            self._told = count
            self._connection.send(DONE, str(count).encode())
        return len(found)

    def take_orders(self, _subject: str, data: bytes, _reply: str) -> int:
        """Take a message of orders."""
        found = _read(self._approved, data, self.orders.tally)
        for each in found:
            self.orders.take(_number(each.order.signal_id))
        self._heard()
        return len(found)

    def take_stop(self, _subject: str, data: bytes, _reply: str) -> None:
        """Learn how many signals there were."""
        self.raised = int(data)
        self._heard()

    async def wait(self) -> None:
        """Wait until all is here, or nothing comes any more."""
        before = -1
        while self.raised is None or self.heard_count != before:
            before = self.heard_count
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(QUIET_S):
                    await self._whole.wait()
                await asyncio.sleep(LINGER_S)
                return

    def _heard(self) -> None:
        self.heard_count += 1
        if self.raised is not None:
            counts = (self.decisions.tally.count, self.orders.tally.count)
            if min(counts) >= self.raised:
                self._whole.set()

    def counted(self) -> Counted:
        """Return what came."""
        assert self.raised is not None, "it is asked at the end"
        return Counted(
            raised=self.raised,
            decisions=self.decisions.tally,
            orders=self.orders.tally,
            rejected=self.rejected,
            last_ns=self.last_ns,
        )


def _decoders(kind: Any) -> tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]:
    return msgspec.json.Decoder(kind), msgspec.json.Decoder(list[kind])


def _read(decoders: tuple[Any, Any], data: bytes, tally: Tally) -> list[Any]:
    one, many = decoders
    tally.messages += 1
    tally.bytes += len(data)
    found: list[Any] = many.decode(data) if data[:1] == b"[" else [one.decode(data)]
    return found


def _number(signal_id: str) -> int:
    return int(signal_id.partition("-")[2])


async def sink(url: str, on_ready: Callable[[], None]) -> Counted:
    """Serve until all has come, or nothing comes any more; `on_ready` is called once it hears."""
    connection = await connect("executor", BusConfig(url=url))
    made = Sink(connection)
    await connection.take(SUBJECTS[SignalDecided], made.take_decisions)
    await connection.take(SUBJECTS[OrderApproved], made.take_orders)
    await connection.take(STOP, made.take_stop)
    await connection.flush()
    on_ready()
    await made.wait()
    await connection.close()
    return made.counted()


def _say_ready() -> None:
    sys.stdout.buffer.write(b"ready\n")
    sys.stdout.flush()


if __name__ == "__main__":
    counted = uvloop.run(sink(sys.argv[1], _say_ready))
    sys.stdout.buffer.write(msgspec.json.encode(counted))
