"""The paper exchange: orders against the market."""

from decimal import Decimal

import pytest

from schemas.base import Event, ExecutionId, OrderId
from schemas.market import InstrumentStatusChanged, Trading
from schemas.orders import Side, TimeInForce
from schemas.venue import (
    BookQueried,
    OrderQueried,
    VenueAccepted,
    VenueBook,
    VenueCanceled,
    VenueFilled,
    VenueOpenOrder,
    VenueOrderStatus,
    VenueRejected,
    VenueTriggered,
)
from services.core import tell
from services.executor.config import MarketRemainder, VenueConfig
from services.executor.venues.matching import VenueCore
from tests.builders import ALPHA, MS_NS, dec, order, quote
from tests.executor_builders import (
    book,
    cancel,
    filled,
    fills_in,
    placed,
    say,
    trade,
    venue,
    venue_book,
)
from tests.venue_rig import (
    GAMMA,
    LIMIT,
    MAKER,
    STOP,
    STOP_LIMIT,
    TAKER,
    accepted,
    canceled,
    quoted,
    reason_of,
)


@pytest.mark.req("X-02", "X-06")
def test_a_market_order_takes_the_displayed_touch_and_pays_the_takers_fee() -> None:
    said = say(quoted(), placed(order(quantity="10")))
    assert said == [accepted(), filled(fee="0.500050", position="10")]  # 5 bps of 1000.10


def test_a_market_order_gets_no_more_than_is_displayed() -> None:
    core = venue()
    say(core, quote(ask_size="4"))
    assert say(core, placed(order(quantity="10"))) == [
        accepted(),
        filled(quantity="4", leaves="6", fee="0.200020", position="4"),
        canceled("6", "no more is displayed"),
    ]


def test_a_market_order_without_any_market_is_cancelled_whole() -> None:
    said = say(venue(), placed(order(quantity="10")))
    assert said == [accepted(), canceled("10", "no more is displayed")]


def test_a_market_order_walks_the_book_where_its_depth_is_known() -> None:
    core = venue()
    asks = [("100.01", "4"), ("100.02", "3"), ("100.05", "9")]
    say(core, book(bids=[("99.99", "5")], asks=asks, is_snapshot=True))
    assert fills_in(say(core, placed(order(quantity="10")))) == [
        ("o1-1", "buy", dec("100.01"), dec(4), TAKER),
        ("o1-2", "buy", dec("100.02"), dec(3), TAKER),
        ("o1-3", "buy", dec("100.05"), dec(3), TAKER),
    ]


def test_the_rest_of_a_market_order_waits_for_liquidity_if_so_configured() -> None:
    core = venue(VenueConfig(market_remainder=MarketRemainder.WAIT))
    say(core, quote(ask_size="4"))
    say(core, placed(order(quantity="10")))
    assert fills_in(say(core, quote(ask="100.03", ask_size="5"))) == [
        ("o1-2", "buy", dec("100.03"), dec(5), TAKER)
    ]
    assert fills_in(say(core, quote(ask="100.04", ask_size="5"))) == [
        ("o1-3", "buy", dec("100.04"), dec(1), TAKER)
    ]
    assert venue_book(core).open_orders == ()


def test_what_was_taken_is_not_displayed_again_by_a_quote_that_knows_nothing_of_us() -> None:
    core = venue()
    say(core, quote(ask_size="4"))
    say(core, placed(order("a", quantity="3")))
    say(core, quote(ask_size="4"))
    assert fills_in(say(core, placed(order("b", quantity="3")))) == [
        ("b-1", "buy", dec("100.01"), dec(1), TAKER)
    ]
    say(core, quote(ask_size="9"))
    assert fills_in(say(core, placed(order("c", quantity="8")))) == [
        ("c-1", "buy", dec("100.01"), dec(5), TAKER)
    ]


def test_a_price_that_has_left_the_book_and_come_back_is_new_liquidity() -> None:
    core = venue()
    say(core, quote(ask_size="4"))
    say(core, placed(order("a", quantity="4")))
    say(core, quote(ask="100.02", ask_size="4"))
    say(core, quote(ask_size="4"))
    assert fills_in(say(core, placed(order("b", quantity="4")))) == [
        ("b-1", "buy", dec("100.01"), dec(4), TAKER)
    ]


def test_a_limit_order_takes_up_to_its_price_and_its_rest_rests() -> None:
    core = venue()
    say(core, quote(ask_size="4"))
    said = say(core, placed(order(quantity="10", order_type=LIMIT, limit="100.01")))
    assert said == [accepted(), filled(quantity="4", leaves="6", fee="0.200020", position="4")]
    [open_order] = venue_book(core).open_orders
    assert open_order == VenueOpenOrder(
        order_id=OrderId("o1"),
        venue_order_id="V1",
        instrument=ALPHA,
        side=Side.BUY,
        leaves=dec(6),
    )


def test_an_immediate_order_takes_what_is_there_and_never_rests() -> None:
    core = venue()
    say(core, quote(ask_size="4"))
    immediate = order(
        quantity="10", order_type=LIMIT, limit="100.01", time_in_force=TimeInForce.IOC
    )
    assert say(core, placed(immediate)) == [
        accepted(),
        filled(quantity="4", leaves="6", fee="0.200020", position="4"),
        canceled("6", "immediate or cancel: no more is displayed"),
    ]


def test_a_fill_or_kill_order_is_filled_whole_or_not_at_all() -> None:
    core = venue()
    say(core, quote(ask_size="4"))
    killed = order("a", quantity="5", time_in_force=TimeInForce.FOK)
    said = [accepted("a"), canceled("5", "fill or kill: 4 is displayed", "a")]
    assert say(core, placed(killed)) == said
    whole = order("b", quantity="4", time_in_force=TimeInForce.FOK)
    assert fills_in(say(core, placed(whole))) == [("b-1", "buy", dec("100.01"), dec(4), TAKER)]


def test_a_post_only_order_that_would_trade_is_rejected_and_else_rests() -> None:
    core = quoted()
    taking = order("a", order_type=LIMIT, limit="100.01", is_post_only=True)
    assert reason_of(say(core, placed(taking))) == "post only: would trade at once, against 100.01"
    resting = order("b", order_type=LIMIT, limit="100.00", is_post_only=True)
    assert say(core, placed(resting)) == [accepted("b", 1)]


def test_a_post_only_order_may_not_ask_to_take() -> None:
    said = say(quoted(), placed(order(is_post_only=True)))
    wanted = "post only: wanted a good-till-cancelled order with a limit price"
    assert reason_of(said) == wanted


@pytest.mark.parametrize("mover", [quote(ask="100.10"), trade("100.10", "1")])
def test_a_stop_becomes_a_market_order_when_its_price_is_reached(mover: Event) -> None:
    core = quoted()
    stop = order(quantity="10", order_type=STOP, stop="100.10")
    assert say(core, placed(stop)) == [accepted()]
    assert say(core, quote(ask="100.09")) == []
    said = say(core, mover, now_ns=1)
    price = "100.10" if isinstance(mover, type(quote())) else "100.09"
    assert said[0] == VenueTriggered(at_ns=1, order_id=OrderId("o1"))
    assert fills_in(said) == [("o1-1", "buy", dec(price), dec(10), TAKER)]


def test_a_sell_stop_waits_for_the_bid_to_fall_to_it() -> None:
    core = quoted()
    say(core, placed(order(side=Side.SELL, order_type=STOP, stop="99.90")))
    assert say(core, quote(bid="99.91")) == []
    assert fills_in(say(core, quote(bid="99.90"))) == [
        ("o1-1", "sell", dec("99.90"), dec(10), TAKER)
    ]


def test_a_stop_that_is_reached_already_triggers_at_once() -> None:
    said = say(quoted(), placed(order(order_type=STOP, stop="100.01")))
    assert said == [
        accepted(),
        VenueTriggered(at_ns=1, order_id=OrderId("o1")),
        filled(position="10"),
    ]


def test_a_stop_limit_rests_at_its_limit_once_it_is_triggered() -> None:
    core = quoted()
    say(core, placed(order(order_type=STOP_LIMIT, stop="100.10", limit="100.05")))
    assert say(core, quote(ask="100.10")) == [VenueTriggered(at_ns=0, order_id=OrderId("o1"))]
    assert fills_in(say(core, quote(ask="100.05"))) == [
        ("o1-1", "buy", dec("100.05"), dec(10), MAKER)
    ]


@pytest.mark.parametrize("state", [Trading.HALTED, Trading.CLOSED])
def test_nothing_trades_while_the_instrument_is_not_open(state: Trading) -> None:
    core = quoted()
    say(core, placed(order("a", order_type=LIMIT, limit="99.00")))
    say(core, InstrumentStatusChanged(at_ns=1, instrument=ALPHA, trading=state))
    assert say(core, quote(bid="98.00", ask="98.50")) == []
    assert say(core, trade("98.00", "50")) == []
    assert reason_of(say(core, placed(order("b")))) == "sim:ALPHA is not open for trading"
    assert say(core, cancel("a")) == [canceled("10", "as asked", "a")]


def test_a_market_the_feed_lost_sight_of_displays_nothing() -> None:
    core = quoted()
    say(core, InstrumentStatusChanged(at_ns=1, instrument=ALPHA, trading=Trading.UNKNOWN))
    said = say(core, placed(order()))
    assert said == [accepted(), canceled("10", "no more is displayed")]


def test_latency_lets_the_market_move_before_an_order_arrives() -> None:
    core = quoted(VenueConfig(latency_ms=5))
    assert say(core, placed(order()), now_ns=0) == []
    assert core.wake_at_ns == 5 * MS_NS
    say(core, quote(ask="100.07"), now_ns=4 * MS_NS)
    said = list(tell(core, None, 5 * MS_NS))
    assert fills_in(said) == [("o1-1", "buy", dec("100.07"), dec(10), TAKER)]
    assert core.wake_at_ns is None


def test_requests_keep_their_order_through_the_latency() -> None:
    core = quoted(VenueConfig(latency_ms=5))
    say(core, placed(order(order_type=LIMIT, limit="99.00")), now_ns=0)
    say(core, cancel(), now_ns=1)
    said = list(tell(core, None, 9 * MS_NS))
    assert [type(each) for each in said] == [VenueAccepted, VenueCanceled]


def test_the_same_seed_rejects_the_same_orders_whatever_came_before() -> None:
    def rejected(core: VenueCore, ids: list[str]) -> list[str]:
        orders = [order(id_, quantity="1", expires_at_ns=99) for id_ in ids]
        said = [each for one in orders for each in say(core, placed(one))]
        return [each.order_id for each in said if isinstance(each, VenueRejected)]

    ids = [f"o{number}" for number in range(100)]
    first = rejected(quoted(VenueConfig(reject_rate=0.2, seed=5)), ids)
    assert 10 < len(first) < 30
    again = rejected(quoted(VenueConfig(reject_rate=0.2, seed=5)), ids[::-1])
    assert sorted(again) == sorted(first)
    assert rejected(quoted(VenueConfig(reject_rate=0.2, seed=6)), ids) != first


def test_fees_of_the_configuration_stand_before_those_of_the_instrument() -> None:
    core = quoted(VenueConfig(maker_fee_bps=dec(-2), taker_fee_bps=dec(0)))
    [_, taken] = say(core, placed(order("a", quantity="10")))
    say(core, placed(order("b", quantity="10", order_type=LIMIT, limit="99.00")))
    [made] = say(core, quote(bid="98.00", ask="99.00"))
    assert isinstance(taken, VenueFilled)
    assert isinstance(made, VenueFilled)
    assert (taken.fee, made.fee) == (dec(0), dec("-0.198"))


@pytest.mark.req("X-06")
def test_the_book_of_the_venue_is_the_fold_of_what_it_executed() -> None:
    core = quoted()
    say(core, placed(order("a", quantity="10"), at_ns=3))
    say(core, placed(order("b", quantity="4", side=Side.SELL), at_ns=5))
    say(core, placed(order("c", quantity="4", order_type=LIMIT, limit="99.00"), at_ns=6))
    [answer] = say(core, BookQueried(at_ns=9, request_id="r", since_ns=5))
    sold = filled(
        "b", side=Side.SELL, price="99.99", quantity="4", fee="0.199980", at_ns=5, position="6"
    )
    assert answer == VenueBook(
        at_ns=9,
        request_id="r",
        cash=dec(100_000) - dec("1000.10") - dec("0.500050") + dec("399.96") - dec("0.199980"),
        fees=dec("0.700030"),
        positions={ALPHA: Decimal(6)},
        open_orders=(
            VenueOpenOrder(
                order_id=OrderId("c"),
                venue_order_id="V3",
                instrument=ALPHA,
                side=Side.BUY,
                leaves=dec(4),
            ),
        ),
        executions=(sold,),
    )


def test_a_query_for_an_id_it_never_saw_has_no_status() -> None:
    [status] = say(quoted(), OrderQueried(at_ns=1, order_id=OrderId("zz")))
    assert status == VenueOrderStatus(at_ns=1, order_id=OrderId("zz"), status=None)


def test_market_data_of_instruments_it_does_not_trade_is_ignored() -> None:
    core = venue()
    assert say(core, quote(instrument=GAMMA)) == []
    assert say(core, trade("1", "1", instrument=GAMMA)) == []


def test_execution_ids_name_the_order_and_count_its_executions() -> None:
    core = venue()
    say(core, quote(ask_size="4"))
    say(core, placed(order(quantity="10", order_type=LIMIT, limit="100.01")))
    [more] = say(core, quote(ask_size="6"))
    assert isinstance(more, VenueFilled)
    assert more.execution_id == ExecutionId("o1-2")
