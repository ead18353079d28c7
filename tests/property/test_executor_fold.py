"""For all markets, orders and cuts of the link: our fold is the venue's book, to the last digit."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.base import Event, OrderId
from schemas.executions import CLOSED
from schemas.market import QuoteReceived, TradeReceived
from schemas.orders import CancelApproved, Order, OrderType, Side, TimeInForce
from tests.builders import ACCOUNT, ALPHA, MS_NS, S_NS, order, quote
from tests.executor_builders import EPOCH, start, trade
from tests.executor_pair import Pair

PRICES = st.integers(9_980, 10_020)
SIZES = st.integers(1, 30)


def _price(cents: int) -> str:
    return str(Decimal(cents) / 100)


@st.composite
def quotes(draw: st.DrawFn) -> QuoteReceived:
    bid = draw(PRICES)
    ask = bid + draw(st.integers(1, 5))
    return quote(
        _price(bid), _price(ask), bid_size=str(draw(SIZES)), ask_size=str(draw(SIZES)), at_ns=1
    )


@st.composite
def trades(draw: st.DrawFn) -> TradeReceived:
    aggressor = draw(st.sampled_from([None, Side.BUY, Side.SELL]))
    return trade(_price(draw(PRICES)), str(draw(SIZES)), aggressor)


@st.composite
def orders(draw: st.DrawFn, number: int) -> Order:
    kind = draw(st.sampled_from(list(OrderType)))
    has_limit = kind in (OrderType.LIMIT, OrderType.STOP_LIMIT)
    has_stop = kind in (OrderType.STOP, OrderType.STOP_LIMIT)
    return order(
        f"o{number}",
        side=draw(st.sampled_from(list(Side))),
        quantity=str(draw(SIZES)),
        order_type=kind,
        limit=_price(draw(PRICES)) if has_limit else None,
        stop=_price(draw(PRICES)) if has_stop else None,
        time_in_force=draw(st.sampled_from(list(TimeInForce))),
        is_reduce_only=draw(st.booleans()),
        replaces=f"o{draw(st.integers(0, number))}" if draw(st.integers(0, 5)) == 0 else None,
        expires_at_ns=1 << 62,
    )


STEPS = [
    "quote",
    "trade",
    "order",
    "order",
    "cancel",
    "cut",
    "deafen",
    "join",
    "executor",
    "venue",
    "wait",
]


def _step(pair: Pair, step: str, data: st.DataObject, number: int) -> None:
    match step:
        case "quote":
            pair.market(data.draw(quotes()))
        case "trade":
            pair.market(data.draw(trades()))
        case "order":
            pair.approve(data.draw(orders(number)))
        case "cancel":
            order_id = OrderId(f"o{data.draw(st.integers(0, number))}")
            wish = CancelApproved(at_ns=1, account=ACCOUNT, instrument=ALPHA, order_id=order_id)
            pair.tell(wish)
        case "cut":
            pair.link(is_up=False)
        case "deafen":
            pair.hears_reports = False
        case "join":
            if not pair.is_up or not pair.hears_reports:
                pair.link(is_up=False)
                pair.link(is_up=True)
        case "executor":
            pair.restart_executor()
            start(pair.guard, EPOCH + 1 + number)
        case "venue":
            pair.restart_venue()
        case "wait":
            pair.wait(pair.now_ns + 3 * S_NS)
    pair.now_ns += MS_NS


@pytest.mark.req("X-10", "S-16", "X-01")
@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(STEPS), min_size=5, max_size=40), st.data())
def test_positions_cash_and_fees_equal_the_venues_whatever_was_cut_or_killed(
    steps: list[str], data: st.DataObject
) -> None:
    pair = Pair()
    pair.link(is_up=True)
    for number, step in enumerate(steps):
        _step(pair, step, data, number)
    pair.link(is_up=False)
    pair.link(is_up=True)
    pair.wait(pair.now_ns + 5 * S_NS)
    assert pair.agrees()
    assert len(pair.sent) == len(set(pair.sent))
    report = pair.executor.describe(pair.now_ns)
    assert report.is_reconciled
    resting = {each.order_id: each.leaves for each in pair.venue_book().open_orders}
    assert resting == {
        order_id: record.leaves for order_id, record in pair.executor.orders.open.items()
    }


@pytest.mark.req("X-10")
@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(STEPS), min_size=5, max_size=40), st.data())
def test_a_restart_at_any_moment_holds_what_was_held_before(
    steps: list[str], data: st.DataObject
) -> None:
    pair = Pair()
    pair.link(is_up=True)
    for number, step in enumerate(steps):
        _step(pair, step, data, number)
    before = pair.executor
    pair.restart_executor()
    after = pair.executor
    assert str(after.orders.portfolio.cash) == str(before.orders.portfolio.cash)
    assert after.describe(1).positions == before.describe(1).positions
    kept = {_id(each) for each in pair.kept}
    for order_id, record in before.orders.records.items():
        if order_id in kept:  # one refused before an intent left nothing behind but its refusal
            assert after.orders.records[order_id].filled == record.filled
            was_closed = after.orders.records[order_id].status in CLOSED
            assert was_closed is (record.status in CLOSED)


def _id(event: Event) -> OrderId | None:
    carried = getattr(event, "order", None)
    return None if carried is None else carried.order_id
