"""Positions, cash and fees are a fold over distinct executions."""

from decimal import Decimal

import pytest

from schemas.base import ExecutionId
from schemas.executions import Liquidity, OrderFilled, OrderStatus, PositionView
from schemas.orders import Side
from services.distinct import Distinct
from services.portfolio import Portfolio
from tests.builders import ACCOUNT, ALPHA, SESSION, dec, instrument, order
from tests.executor_builders import filled


def fill(
    execution_id: str, side: Side, quantity: str, price: str, *, fee: str = "0"
) -> OrderFilled:
    return OrderFilled(
        at_ns=1,
        account=ACCOUNT,
        session=SESSION,
        instrument=ALPHA,
        order_id=order().order_id,
        execution_id=ExecutionId(execution_id),
        side=side,
        price=dec(price),
        quantity=dec(quantity),
        leaves=dec(0),
        fee=dec(fee),
        liquidity=Liquidity.TAKER,
        status=OrderStatus.FILLED,
    )


def portfolio(multiplier: str = "1") -> Portfolio:
    return Portfolio({ALPHA: instrument(multiplier=multiplier)}, dec(10_000))


def only_view(book: Portfolio) -> PositionView:
    [view] = book.views({})
    return view


@pytest.mark.req("S-16")
@pytest.mark.parametrize(("side", "signed"), [(Side.BUY, "4"), (Side.SELL, "-4")])
def test_what_is_bought_adds_to_a_position_and_what_is_sold_takes_off(
    side: Side, signed: str
) -> None:
    told = fill("e1", side, "4", "100")
    by_the_venue = filled(side=side, quantity="4")
    expected = dec(signed)
    assert (side.signed(dec(4)), told.signed_quantity, by_the_venue.signed_quantity) == (
        expected,
        expected,
        expected,
    )
    book = portfolio()
    assert book.apply(by_the_venue)
    assert book.quantity(ALPHA) == expected


@pytest.mark.req("S-16")
def test_an_execution_told_twice_counts_once() -> None:
    book = portfolio()
    buy = fill("e1", Side.BUY, "10", "100", fee="1")
    assert (book.apply(buy), book.apply(buy)) == (True, False)
    assert (book.quantity(ALPHA), book.cash) == (dec(10), dec(8_999))
    assert (book.fees, book.fill_count) == (dec(1), 1)


def test_without_the_guard_against_repeats_a_fill_counts_twice() -> None:
    book = portfolio()
    buy = fill("e1", Side.BUY, "10", "100")
    book.apply(buy)
    book._seen = Distinct()  # the safeguard, removed
    book.apply(buy)
    assert book.quantity(ALPHA) == 20


def test_a_round_trip_realizes_its_profit_into_cash() -> None:
    book = portfolio()
    book.apply(fill("e1", Side.BUY, "10", "100", fee="1"))
    book.apply(fill("e2", Side.SELL, "10", "103", fee="1"))
    assert book.cash == 10_028
    assert only_view(book) == PositionView(
        instrument=ALPHA, quantity=dec(0), average_price=dec(0), realized=dec(30), fees=dec(2)
    )


def test_a_turned_position_starts_at_the_price_that_turned_it() -> None:
    book = portfolio()
    book.apply(fill("e1", Side.BUY, "10", "100"))
    book.apply(fill("e2", Side.SELL, "15", "90"))
    assert only_view(book) == PositionView(
        instrument=ALPHA, quantity=dec(-5), average_price=dec(90), realized=dec(-100)
    )


def test_adding_to_a_position_averages_its_price() -> None:
    book = portfolio()
    book.apply(fill("e1", Side.SELL, "10", "100"))
    book.apply(fill("e2", Side.SELL, "30", "104"))
    assert only_view(book).average_price == 103


def test_a_multiplier_scales_cash_and_profit() -> None:
    book = portfolio(multiplier="50")
    book.apply(fill("e1", Side.BUY, "2", "100"))
    book.apply(fill("e2", Side.SELL, "1", "101"))
    assert (book.cash, only_view(book).realized) == (dec(5_050), dec(50))
    assert book.equity({ALPHA: dec(101)}) == 10_100


def test_equity_is_unknown_while_something_held_has_no_price() -> None:
    book = portfolio()
    book.apply(fill("e1", Side.BUY, "1", "100"))
    assert book.equity({}) is None
    assert book.equity({ALPHA: Decimal(110)}) == 10_010


@pytest.mark.req("I11")
def test_an_execution_of_an_instrument_that_is_described_later_is_not_lost() -> None:
    book, bought = Portfolio({}, dec(10_000)), fill("e1", Side.BUY, "10", "100")
    with pytest.raises(KeyError):
        book.apply(bought)
    book.learn({ALPHA: instrument()})
    assert book.apply(bought)
    assert (book.quantity(ALPHA), book.cash, book.fill_count) == (dec(10), dec(9_000), 1)
