"""An executor and a venue on a bad day, over a real socket: nothing lost, doubled or guessed."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from schemas.base import OrderId
from schemas.control import HaltRequested
from schemas.executions import OrderAccepted, OrderFilled, OrderMarkedUnknown, OrderStatus
from schemas.health import AlertRaised
from schemas.orders import CancelApproved, OrderType
from schemas.restrictions import LockRequested
from schemas.venue import VenueBook
from tests.builders import ACCOUNT, ALPHA, dec, order, quote
from tests.executor_builders import book
from tests.faulty_venue import QUICK, Caller, FaultyVenue, bad_day

LIMIT = OrderType.LIMIT
QUIET = msgspec.structs.replace(QUICK, cancel_on_disconnect=False)


def run(test: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(test, 30))


def sent(there: FaultyVenue) -> list[str]:
    return list(there.core.ledger.orders)


def agree(there: FaultyVenue, caller: Caller) -> bool:
    ours, theirs = caller.core.describe(0), there.core.describe(0)
    assert isinstance(theirs, VenueBook)
    held = {each.instrument: each.quantity for each in ours.positions if each.quantity}
    resting = [each.order_id for each in theirs.open_orders]
    return (ours.cash, held, [v.order.order_id for v in ours.open_orders]) == (
        theirs.cash,
        theirs.positions,
        resting,
    )


@pytest.mark.req("X-10")
def test_an_order_that_timed_out_and_was_accepted_is_found_and_never_sent_again(
    tmp_path: Path,
) -> None:
    """Field notes, row 11: an ambiguous submit."""

    async def scenario() -> None:
        async with bad_day(tmp_path) as (there, caller):
            there.faults.is_mute = True
            resting = caller.order("rests", order, order_type=LIMIT, limit="90.00")
            caller.approve(resting, caller.order("fills", order))
            await caller.until(lambda: len(caller.of(OrderMarkedUnknown)) == 2)
            await caller.is_ready()
            assert (caller.status("rests"), caller.status("fills")) == ("accepted", "filled")
            assert sent(there) == ["rests", "fills"]
            assert agree(there, caller)
            assert there.faults.came_about_count

    run(scenario())


@pytest.mark.req("X-10")
def test_what_is_acknowledged_twice_is_told_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bad_day(tmp_path) as (there, caller):
            there.faults.acknowledges_twice = True
            caller.approve(caller.order("a", order))
            await caller.until(lambda: caller.of(OrderFilled))
            assert len(caller.of(OrderAccepted)) == 1
            assert caller.of(LockRequested) == []
            assert agree(there, caller)
            assert there.faults.came_about_count

    run(scenario())


@pytest.mark.req("X-10", "S-16")
def test_a_fill_reported_after_its_cancel_is_counted_once_and_the_books_agree(
    tmp_path: Path,
) -> None:
    """Field notes, row 10: a fill lost, or booked twice."""

    async def scenario() -> None:
        async with bad_day(tmp_path) as (there, caller):
            there.faults.fills_after_cancel = True
            there.post(quote(ask_size="4", at_ns=1))
            caller.approve(caller.order("a", order, order_type=LIMIT, limit="100.01"))
            await caller.until(lambda: caller.status("a") == OrderStatus.ACCEPTED)
            wish = CancelApproved(at_ns=1, account=ACCOUNT, instrument=ALPHA, order_id=OrderId("a"))
            caller.post(wish)
            await caller.until(lambda: caller.of(OrderFilled))
            await caller.is_ready()
            assert [getattr(e, "code", "") for e in caller.of(AlertRaised)] == [
                "SLU-132",
                "SLU-132",
            ]
            assert caller.core.orders.portfolio.quantity(ALPHA) == 4
            assert caller.of(HaltRequested) == []
            assert agree(there, caller)

    run(scenario())


@pytest.mark.req("X-10", "S-16")
def test_fills_out_of_order_stop_nothing_for_long_and_lock_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with bad_day(tmp_path) as (there, caller):
            there.faults.is_disordered = True
            depth = book([("99.99", "10")], [("100.01", "4"), ("100.02", "6")], is_snapshot=True)
            there.post(quote(ask_size="4", at_ns=1), depth)
            caller.approve(caller.order("a", order))
            await caller.until(lambda: caller.status("a") == OrderStatus.FILLED)
            await caller.is_ready()
            assert caller.core.orders.portfolio.quantity(ALPHA) == dec(10)
            assert caller.of(HaltRequested) == []
            assert there.faults.came_about_count == 1
            assert agree(there, caller)

    run(scenario())


@pytest.mark.req("X-10")
@pytest.mark.parametrize("is_asked", [True, False])
def test_a_venue_that_supports_it_cancels_what_rests_when_the_connection_is_lost(
    tmp_path: Path, is_asked: bool
) -> None:
    """Field notes, row 12: orders orphaned at an exit or crash."""

    async def scenario() -> None:
        async with bad_day(tmp_path) as (there, caller):
            if not is_asked:
                await caller.close()
                quiet = Caller(there.file, QUIET)
                await quiet.client.open(quiet.post)
                await quiet.is_ready()
                caller = quiet
            caller.approve(caller.order("a", order, order_type=LIMIT, limit="90.00"))
            await caller.until(lambda: caller.status("a") == OrderStatus.ACCEPTED)
            assert caller.client._socket is not None
            caller.client._socket.shutdown(2)
            await caller.until(lambda: not caller.core.rounds.is_linked)
            await caller.is_ready()
            assert caller.status("a") == ("canceled" if is_asked else "accepted")
            assert sent(there) == ["a"]
            assert agree(there, caller)
            await caller.close()

    run(scenario())
