"""For all markets and orders: the paper exchange never gives more than the market showed."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.base import Event
from schemas.executions import CLOSED, Liquidity
from schemas.market import QuoteReceived, TradeReceived
from schemas.orders import OrderType, Side
from schemas.venue import VenueFilled
from services.executor.venues.matching import VenueCore
from tests.builders import ALPHA, dec, order, quote
from tests.executor_builders import CASH, placed, say, trade, venue, venue_book

PRICES = st.integers(9_990, 10_010)
SIZES = st.integers(1, 20)


def _price(cents: int) -> str:
    return str(Decimal(cents) / 100)


@st.composite
def market(draw: st.DrawFn) -> Event:
    if draw(st.booleans()):
        bid = draw(PRICES)
        ask = bid + draw(st.integers(1, 4))
        sizes = draw(SIZES), draw(SIZES)
        return quote(
            _price(bid), _price(ask), bid_size=str(sizes[0]), ask_size=str(sizes[1]), at_ns=1
        )
    aggressor = draw(st.sampled_from([None, *Side]))
    return trade(_price(draw(PRICES)), str(draw(SIZES)), aggressor)


@st.composite
def sent(draw: st.DrawFn) -> tuple[Side, str, str | None]:
    limit = draw(st.one_of(st.none(), PRICES.map(_price)))
    return draw(st.sampled_from(list(Side))), str(draw(SIZES)), limit


Move = Event | tuple[Side, str, str | None]


def play(core: VenueCore, number: int, move: Move) -> list[VenueFilled]:
    """Return what is filled when the market moves, or an order comes in."""
    event = move
    if isinstance(move, tuple):
        side, quantity, limit = move
        kind = OrderType.MARKET if limit is None else OrderType.LIMIT
        event = placed(
            order(f"o{number}", side=side, quantity=quantity, order_type=kind, limit=limit)
        )
    assert isinstance(event, Event)
    return [each for each in say(core, event) if isinstance(each, VenueFilled)]


MOVES = st.lists(st.one_of(market(), sent()), max_size=40)


@pytest.mark.req("X-06")
@settings(max_examples=150, deadline=None)
@given(MOVES)
def test_every_fill_is_at_a_price_and_size_the_market_showed_then(moves: list[Move]) -> None:
    core = venue()
    touch: QuoteReceived | None = None
    for number, move in enumerate(moves):
        said = play(core, number, move)
        if isinstance(move, QuoteReceived):
            touch = move
        for side in Side:
            got = [each for each in said if each.side is side]
            if isinstance(move, TradeReceived):
                assert sum(each.quantity for each in got) <= move.quantity
                assert {each.liquidity for each in got} <= {Liquidity.MAKER}
            elif got:
                assert touch is not None
                check(touch, side, got)


def check(touch: QuoteReceived, side: Side, got: list[VenueFilled]) -> None:
    """Fail if these fills are better or larger than the touch they met."""
    is_buy = side is Side.BUY
    price, size = (touch.ask, touch.ask_size) if is_buy else (touch.bid, touch.bid_size)
    assert sum(each.quantity for each in got) <= size
    for each in got:
        if each.liquidity is Liquidity.TAKER:
            assert each.price == price
        else:
            assert each.price >= price if is_buy else each.price <= price


@settings(max_examples=100, deadline=None)
@given(MOVES)
def test_cash_positions_and_leaves_follow_from_the_executions_alone(moves: list[Move]) -> None:
    core = venue()
    fills = [fill for number, move in enumerate(moves) for fill in play(core, number, move)]
    assert len({each.execution_id for each in fills}) == len(fills)
    signs = {Side.BUY: 1, Side.SELL: -1}
    held, spent = dec(0), dec(0)
    for each in fills:
        held += signs[each.side] * each.quantity
        spent += signs[each.side] * each.price * each.quantity + each.fee
    book = venue_book(core)
    assert book.executions == tuple(fills)
    assert book.positions == ({ALPHA: held} if held else {})
    assert book.cash == CASH - spent
    for known in core.ledger.orders.values():
        mine = [each.quantity for each in fills if each.order_id == known.order.order_id]
        assert known.leaves == known.order.quantity - sum(mine)
        assert known.leaves >= 0
        assert known.leaves or known.status in CLOSED
