"""The paper exchange: cancels, replacements, rejections and reduce-only orders."""

import pytest

from schemas.base import OrderId
from schemas.executions import OrderStatus
from schemas.orders import Order, Side
from schemas.venue import (
    CancelAllPlaced,
    OrderQueried,
    VenueCancelRejected,
    VenueOrderStatus,
    VenueReplaced,
)
from services.distinct import Distinct
from services.executor.config import VenueConfig
from tests.builders import ALPHA, BETA, dec, order, quote
from tests.executor_builders import (
    cancel,
    fills_in,
    placed,
    say,
    venue_book,
)
from tests.venue_rig import GAMMA, LIMIT, MAKER, STOP, accepted, canceled, quoted, reason_of


def test_a_cancelled_order_is_gone_and_cannot_be_cancelled_again() -> None:
    core = quoted()
    say(core, placed(order(order_type=LIMIT, limit="99.00")))
    assert say(core, cancel()) == [canceled("10", "as asked")]
    assert say(core, cancel()) == [
        VenueCancelRejected(at_ns=1, order_id=OrderId("o1"), reason="it is canceled")
    ]
    assert say(core, cancel("zz")) == [
        VenueCancelRejected(at_ns=1, order_id=OrderId("zz"), reason="never seen here")
    ]


def test_cancel_all_leaves_nothing_resting_in_any_instrument() -> None:
    core = quoted()
    say(core, placed(order("a", order_type=LIMIT, limit="99.00")))
    say(core, placed(order("b", order_type=LIMIT, limit="99.00", instrument=BETA)))
    assert say(core, CancelAllPlaced(at_ns=1)) == [
        canceled("10", "as asked: all", "a"),
        canceled("10", "as asked: all", "b"),
    ]
    assert venue_book(core).open_orders == ()


def replacement(order_id: str = "b", **changes: str) -> Order:
    limit = changes.get("limit", "99.50")
    return order(order_id, quantity="4", order_type=LIMIT, limit=limit, replaces="a")


def test_a_replacement_takes_the_place_of_a_resting_order_in_one_step() -> None:
    core = quoted()
    say(core, placed(order("a", order_type=LIMIT, limit="99.00")))
    assert say(core, placed(replacement())) == [
        VenueReplaced(at_ns=1, order_id=OrderId("a"), by=OrderId("b"), leaves=dec(10)),
        accepted("b", 2),
    ]
    assert [each.order_id for each in venue_book(core).open_orders] == ["b"]


def test_a_refused_replacement_leaves_the_order_it_names_alone() -> None:
    core = quoted()
    say(core, placed(order("a", order_type=LIMIT, limit="99.00")))
    assert "limit_price 99.505" in reason_of(say(core, placed(replacement(limit="99.505"))))
    assert [each.order_id for each in venue_book(core).open_orders] == ["a"]


def test_what_has_been_filled_meanwhile_can_no_longer_be_replaced() -> None:
    core = quoted()
    say(core, placed(order("a", order_type=LIMIT, limit="99.00")))
    say(core, quote(bid="98.00", ask="99.00"))
    said = reason_of(say(core, placed(replacement())))
    assert said == "a does not rest in sim:ALPHA: nothing to replace"


@pytest.mark.req("X-10")
def test_a_repeated_id_is_rejected_and_the_first_order_stands() -> None:
    core = quoted()
    say(core, placed(order(order_type=LIMIT, limit="99.00")))
    assert reason_of(say(core, placed(order()))) == "the id was used before"
    [status] = say(core, OrderQueried(at_ns=1, order_id=OrderId("o1")))
    assert status == VenueOrderStatus(
        at_ns=1, order_id=OrderId("o1"), status=OrderStatus.ACCEPTED, filled=dec(0)
    )


@pytest.mark.req("X-10")
def test_of_orders_that_ended_long_ago_only_the_ids_are_kept_and_none_comes_twice() -> None:
    core = quoted(VenueConfig(closed_orders_max=2, executions_max=3))
    for number in range(5):
        say(core, placed(order(f"o{number}", quantity="1"), at_ns=number), now_ns=number)
    assert list(core.ledger.orders) == ["o3", "o4"]
    assert reason_of(say(core, placed(order("o0")))) == "the id was used before"
    [rejected] = say(core, cancel("o0"))
    assert isinstance(rejected, VenueCancelRejected)
    assert rejected.reason == "it ended too long ago to be remembered"
    [status] = say(core, OrderQueried(at_ns=1, order_id=OrderId("o0")))
    assert status == VenueOrderStatus(
        at_ns=1,
        order_id=OrderId("o0"),
        status=OrderStatus.UNKNOWN,
        detail="it ended too long ago to be remembered",
    ), "who asks must not take it for one that never came"
    assert [each.order_id for each in venue_book(core).executions] == ["o2", "o3", "o4"]
    assert [each.order_id for each in venue_book(core, since_ns=4).executions] == ["o4"]
    assert core.ledger.portfolio.quantity(ALPHA) == 5


def test_without_the_ids_of_long_ago_the_exchange_takes_an_order_twice() -> None:
    core = quoted(VenueConfig(closed_orders_max=0))
    say(core, placed(order("o0", quantity="1")))
    core.ledger._forgotten = Distinct()  # the safeguard, removed
    say(core, placed(order("o0", quantity="1")))
    assert core.ledger.accepted_count == 2


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (order(instrument=GAMMA), "sim:GAMMA is not traded here"),
        (order(quantity="0"), "quantity 0: wanted a positive multiple of 1"),
        (order(quantity="1.5"), "quantity 1.5: wanted a positive multiple of 1"),
        (order(limit="100"), "limit_price 100: a market order wants none"),
        (order(order_type=LIMIT), "limit_price None: a limit order wants a price"),
        (
            order(order_type=LIMIT, limit="100.005"),
            "limit_price 100.005: wanted a multiple of 0.01",
        ),
        (order(order_type=STOP), "stop_price None: a stop order wants a price"),
        (order(expires_at_ns=1), "too late: it was to arrive before 1, and it is 1"),
        (order(is_reduce_only=True), "reduce only: quantity 10, and the position is 0"),
    ],
)
def test_an_order_that_makes_no_sense_is_rejected_with_the_reason(bad: Order, why: str) -> None:
    assert reason_of(say(quoted(), placed(bad))) == why


def test_a_reduce_only_order_never_turns_the_position_over() -> None:
    core = quoted()
    say(core, placed(order("long", quantity="10")))
    reducing = order(
        "out", side=Side.SELL, quantity="10", order_type=LIMIT, limit="101.00", is_reduce_only=True
    )
    say(core, placed(reducing))
    say(core, placed(order("other", side=Side.SELL, quantity="6")))
    assert fills_in(say(core, quote(bid="101.00", ask="101.02"))) == [
        ("out-1", "sell", dec("101.00"), dec(4), MAKER)
    ]
    said = say(core, quote(bid="101.00", ask="101.02", bid_size="2000", at_ns=1))
    assert said == [canceled("6", "reduce only: nothing is left to reduce", "out")]
    assert venue_book(core).positions == {}
