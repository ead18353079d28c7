"""A resting order waits its turn: what stands ahead of it, and what takes that away."""

from decimal import Decimal

import pytest

from schemas.executions import Liquidity
from schemas.orders import OrderType, Side
from services.executor.venues.matching import VenueCore
from services.executor.venues.resting import Resting
from tests.builders import dec, order, quote
from tests.executor_builders import book, fills_in, placed, say, trade, venue

MAKER = Liquidity.MAKER
SELL, BUY = Side.SELL, Side.BUY


def resting(
    price: str = "99.99", *, side: Side = BUY, quantity: str = "10", market: str = "quote"
) -> tuple[VenueCore, Resting]:
    """An exchange with 50 bid at 99.99 and 50 asked at 100.01, and our order at `price`."""
    core = venue()
    if market == "quote":
        say(core, quote(bid_size="50", ask_size="50"))
    else:
        bids = [("99.99", "50"), ("99.98", "70"), ("99.96", "90")]
        say(core, book(bids=bids, asks=[("100.01", "50")], is_snapshot=True, last_id=10))
    limit = order(side=side, quantity=quantity, order_type=OrderType.LIMIT, limit=price)
    say(core, placed(limit))
    return core, core.ledger.orders[limit.order_id]


def got(core: VenueCore, price: str, quantity: str, aggressor: Side | None = SELL) -> Decimal:
    """Return what a trade fills of our orders."""
    said = fills_in(say(core, trade(price, quantity, aggressor)))
    assert all(each[4] is MAKER for each in said)
    return sum((each[3] for each in said), dec(0))


def test_an_order_joins_behind_all_that_is_displayed_at_its_price() -> None:
    core, mine = resting()
    assert mine.ahead == 50
    assert got(core, "99.99", "50") == 0
    assert mine.ahead == 0
    assert got(core, "99.99", "4") == 4
    assert got(core, "99.99", "40") == 6


def test_one_trade_can_use_up_the_queue_and_fill_the_order() -> None:
    core, _ = resting()
    assert got(core, "99.99", "53") == 3


def test_a_shrinking_level_moves_the_order_up_and_a_growing_one_does_not_move_it_back() -> None:
    core, mine = resting()
    say(core, quote(bid_size="20"))
    assert mine.ahead == 20
    say(core, quote(bid_size="90"))
    assert mine.ahead == 20
    assert got(core, "99.99", "22") == 2


def test_a_trade_and_the_quote_that_follows_it_are_not_counted_twice() -> None:
    core, mine = resting()
    got(core, "99.99", "30")
    say(core, quote(bid_size="20"))
    assert mine.ahead == 20


def test_an_order_that_is_left_alone_at_the_best_price_is_first_in_the_queue() -> None:
    core, mine = resting()
    say(core, quote(bid="99.98", bid_size="500"))
    assert mine.ahead == 0
    say(core, quote(bid="99.99", bid_size="500"))
    assert got(core, "99.99", "3") == 3


def test_an_order_between_bid_and_ask_is_first_in_the_queue() -> None:
    core, mine = resting("100.00")
    assert mine.ahead == 0
    assert got(core, "99.99", "3") == 3


def test_a_trade_through_the_price_fills_whatever_stands_ahead() -> None:
    core, mine = resting()
    assert got(core, "99.98", "4") == 4
    assert mine.ahead == 50


def test_a_fill_by_a_trade_never_exceeds_the_trade() -> None:
    core, _ = resting("99.99", quantity="1000")
    assert got(core, "99.90", "7") == 7


def test_a_place_behind_the_touch_is_not_known_without_depth() -> None:
    core, mine = resting("99.98")
    assert mine.ahead is None
    assert got(core, "99.98", "1000") == 0
    say(core, quote(bid="99.98", bid_size="5"))
    assert mine.ahead == 5


def test_depth_tells_the_place_behind_the_touch() -> None:
    core, mine = resting("99.98", market="book")
    assert mine.ahead == 70
    say(core, book(bids=[("99.98", "30")], first_id=11, last_id=11))
    assert mine.ahead == 30


@pytest.mark.parametrize(("price", "ahead"), [("99.97", dec(0)), ("99.95", None)])
def test_an_empty_level_is_known_only_inside_the_known_depth(
    price: str, ahead: Decimal | None
) -> None:
    _, mine = resting(price, market="book")
    assert mine.ahead == ahead


def test_a_quote_through_the_price_fills_as_maker_no_more_than_it_displays() -> None:
    core, _ = resting("99.99")
    said = say(core, quote(bid="99.90", ask="99.95", ask_size="4"))
    assert fills_in(said) == [("o1-1", "buy", dec("99.99"), dec(4), MAKER)]
    assert say(core, quote(bid="99.90", ask="99.95", ask_size="4")) == []


@pytest.mark.parametrize(
    ("aggressor", "price", "filled"),
    [
        (BUY, "99.99", 0),  # it met the other side
        (None, "99.99", 2),  # at the bid: somebody sold
        (None, "100.01", 0),  # at the ask: somebody bought
        (None, "99.98", 10),  # through our price, whoever it was
    ],
)
def test_only_a_trade_that_hit_our_side_reaches_us(
    aggressor: Side | None, price: str, filled: int
) -> None:
    core, _ = resting()
    assert got(core, price, "52", aggressor) == filled


def test_a_trade_inside_the_spread_by_nobody_knows_whom_does_not_use_the_queue_up() -> None:
    core, mine = resting("100.00")
    assert got(core, "100.00", "5", None) == 0
    assert mine.leaves == 10


def test_our_own_orders_share_a_trade_by_price_and_then_by_time() -> None:
    core, _ = resting("99.99", quantity="2")
    say(core, quote(bid_size="60", ask_size="50"))
    for name, price in (("late", "99.99"), ("best", "100.00")):
        limit = order(name, quantity="3", order_type=OrderType.LIMIT, limit=price)
        say(core, placed(limit))
    said = fills_in(say(core, trade("99.99", "64", SELL)))
    assert [(each[0], each[3]) for each in said] == [("best-1", dec(3)), ("o1-1", dec(2))]
    assert core.ledger.orders[order("late").order_id].ahead == 1


def test_a_sell_waits_behind_the_asks_and_fills_when_somebody_buys() -> None:
    core, mine = resting("100.01", side=SELL)
    assert mine.ahead == 50
    assert got(core, "100.01", "55", SELL) == 0
    assert got(core, "100.01", "55", BUY) == 5
    assert got(core, "100.02", "55", BUY) == 5


def test_without_the_queue_an_order_would_fill_before_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    meets = Resting.meets

    def jumps(mine: Resting, price: Decimal, quantity: Decimal, *, is_at_touch: bool) -> Decimal:
        mine.ahead = dec(0)
        return meets(mine, price, quantity, is_at_touch=is_at_touch)

    core, _ = resting()
    monkeypatch.setattr(Resting, "meets", jumps)
    assert got(core, "99.99", "10") == 10
