"""A rebalancing is affordable, in whole lots, and no larger than needed, whatever is held."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base import InstrumentId
from services.strategy.library.rebalancing import (
    Holding,
    Rules,
    Trades,
    additions,
    reductions,
)

NAMES = [InstrumentId(f"sim:{letter}") for letter in "ABCDE"]
LOTS = (Decimal(1), Decimal("0.01"), Decimal(100))
ONE, ZERO = Decimal(1), Decimal(0)

Books = tuple[dict[InstrumentId, Holding], Decimal, Rules]


@st.composite
def books(draw: st.DrawFn) -> Books:
    """Return holdings, the equity they are part of, and rules; long only, and paid for."""
    count = draw(st.integers(1, 5))
    shares = draw(st.lists(st.integers(0, 20), min_size=count, max_size=count))
    total = max(sum(shares), 20)
    holdings: dict[InstrumentId, Holding] = {}
    worth = ZERO
    for name, share in zip(NAMES, shares, strict=False):
        lot = draw(st.sampled_from(LOTS))
        unit = Decimal(draw(st.integers(1, 50_000))) / 100
        quantity = lot * draw(st.integers(0, 500))
        worth += quantity * unit
        fee = Decimal(draw(st.integers(0, 30))) / 10_000
        holdings[name] = Holding(quantity, unit, lot, fee, Decimal(share) / total)
    equity = worth + Decimal(draw(st.integers(1, 1_000_000)))
    rules = Rules(
        band=Decimal(draw(st.integers(0, 10))) / 100,
        is_to_edge=draw(st.booleans()),
        trade_min=Decimal(draw(st.sampled_from([0, 0, 500]))),
        leverage_max=ONE,
    )
    return holdings, equity, rules


def after(holdings: dict[InstrumentId, Holding], trades: Trades) -> dict[InstrumentId, Holding]:
    return {
        name: each._replace(quantity=each.quantity + trades.get(name, ZERO))
        for name, each in holdings.items()
    }


def costs(holdings: dict[InstrumentId, Holding], trades: Trades) -> Decimal:
    return sum((abs(q) * holdings[n].unit * holdings[n].fee_rate for n, q in trades.items()), ZERO)


@pytest.mark.req("X-08")
@given(books())
def test_what_is_within_its_band_is_not_traded(book: Books) -> None:
    holdings, equity, rules = book
    traded = {**reductions(holdings, equity, rules), **additions(holdings, equity, rules)}
    for name, each in holdings.items():
        away = abs(each.target - each.quantity * each.unit / equity)
        if each.target and away <= rules.band:
            assert name not in traded


@pytest.mark.req("X-08")
@given(books())
def test_every_trade_is_in_whole_lots_towards_its_target_and_never_past_it(book: Books) -> None:
    holdings, equity, rules = book
    sold = reductions(holdings, equity, rules)
    assert all(quantity < 0 for quantity in sold.values())
    left = after(holdings, sold)
    bought = additions(left, equity - costs(holdings, sold), rules)
    assert all(quantity > 0 for quantity in bought.values())
    assert not sold.keys() & bought.keys()
    for trades, before in ((sold, holdings), (bought, left)):
        for name, quantity in trades.items():
            each = before[name]
            assert not quantity % each.lot
            assert abs(quantity) * each.unit >= rules.trade_min
            weight = (each.quantity + quantity) * each.unit / equity
            assert (each.target - weight) * quantity >= -abs(quantity) * Decimal("1e-20")


@pytest.mark.req("X-08")
@given(books())
def test_what_is_bought_is_paid_for_by_cash_and_by_what_was_sold(book: Books) -> None:
    holdings, equity, rules = book
    sold = reductions(holdings, equity, rules)
    paid = costs(holdings, sold)
    left = after(holdings, sold)
    bought = additions(left, equity - paid, rules)
    paid += costs(left, bought)
    worth = sum((e.quantity * e.unit for e in after(left, bought).values()), ZERO)
    assert worth + paid <= equity + Decimal("1e-9")


@pytest.mark.req("X-08")
@given(books())
def test_at_unchanged_prices_there_is_nothing_left_to_do(book: Books) -> None:
    """Where nothing costs anything: a second look trades at most what the first had no room for."""
    holdings, equity, rules = book
    free = {name: each._replace(fee_rate=ZERO) for name, each in holdings.items()}
    once = after(free, reductions(free, equity, rules))
    twice = after(once, additions(once, equity, rules))
    assert reductions(twice, equity, rules) == {}
    assert additions(twice, equity, rules) == {}


@given(books())
def test_trading_to_the_edge_trades_no_more_than_trading_to_the_target(book: Books) -> None:
    holdings, equity, rules = book
    turnover = []
    for is_to_edge in (True, False):
        chosen = Rules(
            band=rules.band, is_to_edge=is_to_edge, trade_min=ZERO, leverage_max=rules.leverage_max
        )
        sold = reductions(holdings, equity, chosen)
        turnover.append(sum((abs(q) * holdings[n].unit for n, q in sold.items()), ZERO))
    assert turnover[0] <= turnover[1]
