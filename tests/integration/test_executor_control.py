"""REDUCE, flatten and reconcile on a real bus: by bytes that a person could type."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from schemas import wire
from schemas.base import OrderId
from schemas.control import ControlAnswered
from schemas.executions import OrderAccepted, OrderCanceled, OrderFilled, OrderRefused
from schemas.orders import OrderApproved, OrderType, SignalRaised
from schemas.restrictions import (
    FlattenReported,
    RestrictionAcknowledged,
    RestrictionCleared,
)
from schemas.subjects import FLATTEN, RECONCILE, REDUCE
from tests.executor_pair import order_of
from tests.integration.test_executor_live import Floor, floor, fresh, now, run

LIMIT = OrderType.LIMIT


async def ask(it: Floor, subject: str, **fields: str) -> ControlAnswered:
    """Ask as `nats req` does; return the answer."""
    reply = await it.bus.request(subject, json.dumps(fields).encode(), timeout=10)
    [answer] = wire.decode(reply.data, subject=subject)
    assert isinstance(answer, ControlAnswered)
    return answer


async def staffed(it: Floor) -> None:
    """Let a gate without limits answer the executor's own signals."""

    async def approve(message: Any) -> None:
        for signal in wire.decode(message.data, subject=message.subject):
            assert isinstance(signal, SignalRaised)
            assert signal.is_reduce_only
            approval = OrderApproved(
                at_ns=now(), order=order_of(signal), epoch=it.epoch, gate_token=1
            )
            await it.say(approval)

    await it.bus.subscribe("signal.>", cb=approve)
    await it.bus.flush()


@pytest.mark.req("G-09", "O-05")
@pytest.mark.parametrize("payload", [b"", b"\xff", b'{"scope": "nothing"}'])
def test_bytes_on_reduce_stop_entries_and_cancel_what_would_open(
    tmp_path: Path, nats_url: str, payload: bytes
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, nats_url) as it:
            await it.approve(fresh("rests", order_type=LIMIT, limit="90.00"))
            await it.until(lambda: it.of(OrderAccepted))
            await it.bus.publish(REDUCE, payload)
            await it.until(lambda: it.of(RestrictionAcknowledged))
            await it.approve(fresh("after"))
            await it.until(lambda: it.of(OrderRefused))
            await it.until(lambda: it.of(RestrictionCleared))
            assert it.ids(OrderCanceled) == ["rests"]
            [refused] = it.of(OrderRefused)
            assert (refused.order_id, refused.rule) == ("after", "restricted")
            assert "after" not in it.received()

    run(scenario())


@pytest.mark.req("O-05", "B-08")
def test_a_flatten_by_hand_ends_flat_and_nobody_can_buy_meanwhile(
    tmp_path: Path, nats_url: str
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, nats_url) as it:
            await staffed(it)
            await it.approve(fresh("held"), fresh("rests", order_type=LIMIT, limit="90.00"))
            await it.until(lambda: it.of(OrderFilled) and len(it.of(OrderAccepted)) == 2)
            answer = await ask(it, FLATTEN, operator="kim", reason="enough")
            assert answer.is_ok, answer
            buying = asyncio.create_task(_keep_buying(it))
            await it.until(lambda: [each for each in it.of(FlattenReported) if each.is_ended])
            buying.cancel()
            last = it.of(FlattenReported)[-1]
            assert (last.is_flat, last.scope, last.positions, last.resting) == (True, "all", (), ())
            book = await it.venue_book()
            assert (book.positions, book.open_orders) == ({}, ())
            bought = [each for each in it.received() if each.startswith("buy")]
            refused = {each.order_id for each in it.of(OrderRefused)}
            assert not refused & {OrderId(each) for each in bought}
            await it.agree()

    run(scenario())


async def _keep_buying(it: Floor) -> None:
    for number in range(10_000):
        await it.approve(fresh(f"buy{number}"))
        await asyncio.sleep(0.001)


def test_a_request_with_a_field_too_many_does_nothing_and_says_so(
    tmp_path: Path, nats_url: str
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, nats_url) as it:
            fields = {"operator": "kim", "reason": "enough", "scop": "all"}
            answer = await ask(it, FLATTEN, **fields)
            assert (answer.request, answer.is_ok) == ("flatten", False)
            gone = await ask(
                it, RECONCILE, operator="kim", reason="seen", difference="0", action="adopt"
            )
            assert (gone.request, gone.is_ok) == ("reconcile", False)
            assert "nothing: no difference is open" in gone.message
            assert it.of(FlattenReported) == []

    run(scenario())
