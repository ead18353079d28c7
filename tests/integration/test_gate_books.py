"""The gate asks the executor for its book over the bus, and hears the answer in order."""

import asyncio

import pytest

from schemas.base import Event
from schemas.control import BookWanted
from schemas.subjects import QUERY, subject_of
from schemas.wire import encode
from services.gate.books import BookQuery
from services.runtime.config import BusConfig
from services.runtime.connect import connect
from tests.builders import ACCOUNT
from tests.bus import run
from tests.gate_rig import book, filled, resting

WANTED = BookWanted(at_ns=1, account=ACCOUNT)


async def heard(url: str, answer: bytes) -> list[Event]:
    """Return what the gate's core is told when the executor answers this, between two fills."""
    bus = BusConfig(url=url, keys_dir=None)
    gate, executor = await connect("gate", bus), await connect("executor", bus)
    told: list[Event] = []
    done = asyncio.Event()
    first, last = (filled(resting("o"), "1", execution_id) for execution_id in ("e1", "e2"))

    def take_fill(subject: str, data: bytes, reply: str) -> int:
        told.append(first if data == encode(first) else last)
        if data == encode(last):
            done.set()
        return 1

    def answer_query(subject: str, data: bytes, reply: str) -> int:
        executor.send(subject_of(first), encode(first))
        executor.send(reply, answer)
        executor.send(subject_of(last), encode(last))
        return 1

    query = BookQuery(gate)
    await query.open(lambda *events: told.extend(events))
    await gate.take("exec.>", take_fill)
    await executor.take(f"{QUERY}.executor", answer_query)
    await gate.flush()
    await executor.flush()
    query.act(WANTED, 1)
    await done.wait()
    await query.close()
    await executor.close()
    await gate.close()
    return told


@pytest.mark.req("S-16")
def test_the_book_is_heard_between_the_executions_it_was_said_between(nats_url: str) -> None:
    mine = book(held={})
    told = run(heard(nats_url, encode(mine)))
    assert [type(event).__name__ for event in told] == [
        "OrderFilled",
        "BookReported",
        "OrderFilled",
    ]
    assert told[1] == mine


def test_an_answer_that_is_no_book_is_not_told(nats_url: str) -> None:
    told = run(heard(nats_url, b"\xff"))
    assert [type(event).__name__ for event in told] == ["OrderFilled", "OrderFilled"]


def test_asking_without_a_bus_is_not_an_error(nats_url: str) -> None:
    async def ask_after_closing() -> None:
        gate = await connect("gate", BusConfig(url=nats_url, keys_dir=None))
        query = BookQuery(gate)
        await query.open(lambda *events: None)
        await gate.close()
        query.act(WANTED, 1)

    run(ask_after_closing())
