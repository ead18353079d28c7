"""Publish mixed events at an even rate: `python -m services.bench.record_flood URL RATE SECONDS`.

A process of its own, as the services are whose events these are. Prints when the bus acknowledged
which message, as JSON: `{"ORDERS 17": 1795771744932069257}`, in ns since the epoch.
"""

import asyncio
import sys
import time
from decimal import Decimal

import msgspec
import uvloop

from schemas.base import AccountId, Event, ExecutionId, InstrumentId, OrderId, SessionId, SignalId
from schemas.executions import Liquidity, OrderFilled, OrderStatus
from schemas.orders import Order, OrderApproved, Outcome, Reading, Side, SignalDecided, SignalRaised
from schemas.subjects import subject_of
from schemas.wire import encode_frame
from services.runtime.config import BusConfig
from services.runtime.connect import connect

EVENTS_PER_FRAME = 32
ACK_TIMEOUT_S = 60.0
UNSENT_BYTES_MAX = 1 << 20

_ACCOUNT, _SESSION = AccountId("paper"), SessionId("ema_cross-1")
_EXPIRES_AT_NS = 1_795_771_744_932_069_257
_INSTRUMENT = InstrumentId("sim:ALPHA")


Acks = dict[str, int]


class _Ack(msgspec.Struct):
    stream: str
    seq: int


def _events(number: int) -> tuple[Event, ...]:
    """Return one event of each kind, as an order makes them."""
    signal_id, order_id = SignalId(f"{_SESSION}-{number}"), OrderId(f"{number:032x}")
    signal = SignalRaised(
        at_ns=number,
        signal_id=signal_id,
        side=Side.BUY,
        quantity=Decimal(100),
        expires_at_ns=_EXPIRES_AT_NS,
        why="ema 12 crossed above ema 26",
        account=_ACCOUNT,
        session=_SESSION,
        instrument=_INSTRUMENT,
    )
    decision = SignalDecided(
        at_ns=number,
        signal_id=signal_id,
        outcome=Outcome.APPROVED,
        order_id=order_id,
        rule="all",
        epoch=1,
        side=Side.BUY,
        quantity=Decimal(100),
        approved_quantity=Decimal(100),
        readings=(Reading("market_fresh", True, "1", "5000"),),
        account=_ACCOUNT,
        session=_SESSION,
        instrument=_INSTRUMENT,
    )
    return signal, decision, *_carried_out(number, signal_id, order_id)


def _carried_out(number: int, signal_id: SignalId, order_id: OrderId) -> tuple[Event, Event]:
    order = Order(
        order_id=order_id,
        signal_id=signal_id,
        side=Side.BUY,
        quantity=Decimal(100),
        expires_at_ns=_EXPIRES_AT_NS,
        account=_ACCOUNT,
        session=_SESSION,
        instrument=_INSTRUMENT,
    )
    approval = OrderApproved(at_ns=number, order=order, epoch=1, gate_token=1)
    fill = OrderFilled(
        at_ns=number,
        order_id=order_id,
        execution_id=ExecutionId(f"{order_id}-1"),
        side=Side.BUY,
        price=Decimal("100.78"),
        quantity=Decimal(100),
        leaves=Decimal(0),
        fee=Decimal("1.0078"),
        liquidity=Liquidity.TAKER,
        status=OrderStatus.FILLED,
        account=_ACCOUNT,
        session=_SESSION,
        instrument=_INSTRUMENT,
    )
    return approval, fill


def frames() -> list[tuple[str, bytes]]:
    """Return one frame of each kind, with its subject; counted as a publisher does."""
    made = (
        [
            msgspec.structs.replace(each, src="bench-flood", seq=number + 1)
            for each in _events(number)
        ]
        for number in range(EVENTS_PER_FRAME)
    )
    kinds = zip(*made, strict=True)
    return [(subject_of(kind[0]), encode_frame(kind)) for kind in kinds]


async def flood(url: str, rate_per_s: int, seconds: int) -> Acks:
    """Publish, and return when the bus acknowledged each frame, once it has all of them.

    Raises:
        TimeoutError: one was not acknowledged in time.
    """
    connection = await connect("feed", BusConfig(url=url))
    kinds, count = frames(), rate_per_s * seconds // EVENTS_PER_FRAME
    acks: Acks = {}
    done = asyncio.Event()

    def take(_subject: str, data: bytes, _reply: str) -> None:
        said = msgspec.json.decode(data, type=_Ack)
        acks[f"{said.stream} {said.seq}"] = time.time_ns()
        if len(acks) == count:
            done.set()

    await connection.take("_INBOX.feed.acks", take)
    began_s = time.monotonic()
    for number in range(count):
        due_s = began_s + number * EVENTS_PER_FRAME / rate_per_s - time.monotonic()
        if due_s > 0:
            await asyncio.sleep(due_s)
        subject, data = kinds[number % len(kinds)]
        connection.send(subject, data, reply="_INBOX.feed.acks")
        if connection.unsent_bytes > UNSENT_BYTES_MAX:
            await connection.flush()
    async with asyncio.timeout(ACK_TIMEOUT_S):
        await done.wait()
    await connection.close()
    return acks


if __name__ == "__main__":
    found = uvloop.run(flood(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
    sys.stdout.buffer.write(msgspec.json.encode(found))
