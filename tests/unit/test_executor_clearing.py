"""What a halt or a restriction clears away at the venue, and when that is confirmed."""

import pytest

from schemas.base import OrderId
from schemas.control import HaltConfirmed, Prepared
from schemas.executions import (
    OrderCanceled,
)
from schemas.orders import Side
from schemas.reconciliation import ReconciliationReported
from schemas.venue import (
    BookQueried,
    CancelPlaced,
    VenueBook,
    VenueOpenOrder,
)
from services.executor.clearing import exposing
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, dec, order
from tests.executor_builders import CASH, executor, guard, say
from tests.executor_rig import (
    bid,
    halt,
    offer,
    only,
    prepare,
    trading,
)


@pytest.mark.req("O-05", "B-06")
def test_a_halt_cancels_what_increases_exposure_and_confirms_by_the_venues_word() -> None:
    pair = trading(order(quantity="10"), bid(), offer("out", "10"), offer("turn", "3"))
    pair.guard.halt()
    said = pair.tell(halt())
    assert [each.order_id for each in said if isinstance(each, OrderCanceled)] == ["bid", "turn"]
    assert said[-1] == HaltConfirmed(
        at_ns=1, component="executor", cancelled_count=2, resting_count=1, detail="out"
    )
    assert pair.executor.wake_at_ns is None


def test_a_halt_with_nothing_resting_is_confirmed_at_once() -> None:
    pair = trading()
    assert pair.tell(halt()) == [
        HaltConfirmed(at_ns=1, component="executor", cancelled_count=0, resting_count=0)
    ]


@pytest.mark.req("O-05")
def test_a_halted_executor_repeats_its_cancels_until_the_venue_shows_none() -> None:
    core = executor(made=(made := guard()))
    made.halt()
    first = say(core, halt())
    assert first == [BookQueried(at_ns=1, request_id="halt-1", since_ns=0)]
    foreign = VenueOpenOrder(
        order_id=OrderId("zz"), venue_order_id="V9", instrument=BETA, side=Side.BUY, leaves=dec(1)
    )
    shown = VenueBook(
        at_ns=2, request_id="halt-1", cash=CASH, fees=dec(0), positions={}, open_orders=(foreign,)
    )
    assert only(say(core, shown), HaltConfirmed) == []
    assert core.wake_at_ns == S_NS + 1
    again = list(core.wake(S_NS + 1))
    assert again == [
        CancelPlaced(at_ns=S_NS + 1, order_id=OrderId("zz")),
        BookQueried(at_ns=S_NS + 1, request_id="halt-1", since_ns=0),
    ]
    empty = VenueBook(at_ns=3, request_id="halt-1", cash=CASH, fees=dec(0), positions={})
    assert say(core, empty) == [
        ReconciliationReported(at_ns=3, account=ACCOUNT, is_agreed=True),
        HaltConfirmed(at_ns=3, component="executor", cancelled_count=1, resting_count=0),
    ]


def test_a_halt_while_the_link_is_down_is_cleared_when_it_is_back() -> None:
    pair = trading(bid())
    pair.link(is_up=False)
    pair.guard.halt()
    assert pair.tell(halt()) == []
    said = pair.link(is_up=True)
    assert [type(each) for each in said] == [OrderCanceled, HaltConfirmed]


def test_a_start_is_not_prepared_before_the_halt_is_cleared() -> None:
    core = executor(made=(made := guard()))
    made.halt()
    say(core, halt())
    say(core, prepare())
    book = VenueBook(at_ns=1, request_id="s1", cash=CASH, fees=dec(0), positions={})
    [answer] = only(say(core, book), Prepared)
    assert isinstance(answer, Prepared)
    assert [each.path for each in answer.errors] == ["executor.orders resting since the halt"]


@pytest.mark.parametrize(
    ("held", "reducing", "chosen"),
    [
        ("0", [], ["b", "s1", "s2"]),
        ("10", [], ["b", "s2"]),
        ("14", [], ["b"]),
        ("-5", [], ["s1", "s2"]),
        ("3", [], ["b", "s1", "s2"]),
        ("10", ["s2"], ["b", "s1"]),
        ("14", ["s2"], ["b"]),
    ],
)
def test_only_orders_that_together_stay_within_the_position_may_stay(
    held: str, reducing: list[str], chosen: list[str]
) -> None:
    orders = [
        VenueOpenOrder(
            order_id=OrderId(id_),
            venue_order_id="",
            instrument=ALPHA,
            side=side,
            leaves=dec(leaves),
        )
        for id_, side, leaves in (
            ("b", Side.BUY, 5),
            ("s1", Side.SELL, 10),
            ("s2", Side.SELL, 4),
        )
    ]
    found = exposing(orders, {ALPHA: dec(held)}, [OrderId(id_) for id_ in reducing])
    assert found == chosen
