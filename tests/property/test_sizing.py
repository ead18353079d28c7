"""Sizing by volatility: more of it never means a larger position (G-04)."""

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.strategy.sizing import NS_PER_YEAR, SizingTerms, Volatility, sized
from tests.builders import S_NS, instrument

pytestmark = pytest.mark.req("G-04")
CAPITAL = Decimal(100_000)
TERMS = SizingTerms(
    capital=CAPITAL, target_volatility=Decimal("0.1"), capital_share_max=Decimal("0.5")
)
VOLATILITIES = st.floats(0, 20, allow_nan=False)
PRICES = st.decimals("0.01", "100000", places=2)
TARGETS = st.decimals("0.01", "2", places=2)


@given(VOLATILITIES, VOLATILITIES, PRICES, TARGETS)
def test_a_wilder_market_never_has_a_larger_position(
    one: float, other: float, price: Decimal, target: Decimal
) -> None:
    terms = SizingTerms(capital=CAPITAL, target_volatility=target)
    calm, wild = sorted((one, other))
    key = instrument(lot="0.001")
    assert sized(terms, calm, price, key) >= sized(terms, wild, price, key) >= 0


@given(VOLATILITIES, PRICES, TARGETS)
def test_a_higher_target_never_has_a_smaller_one_and_no_position_is_beyond_its_share(
    volatility: float, price: Decimal, target: Decimal
) -> None:
    key = instrument(lot="0.001", multiplier="5")
    low = SizingTerms(capital=CAPITAL, target_volatility=target)
    high = SizingTerms(capital=CAPITAL, target_volatility=target * 2)
    quantity = sized(low, volatility, price, key)
    assert sized(high, volatility, price, key) >= quantity
    assert quantity * price * 5 <= CAPITAL
    assert quantity % Decimal("0.001") == 0


@given(st.floats(0.25, 20), PRICES)
def test_what_is_held_moves_the_capital_by_the_target_and_not_by_more(
    volatility: float, price: Decimal
) -> None:
    quantity = sized(TERMS, volatility, price, instrument(lot="0.0001"))
    risk = quantity * price * Decimal(repr(volatility))
    assert risk <= CAPITAL * TERMS.target_volatility
    assert risk > CAPITAL * TERMS.target_volatility - price * Decimal(repr(volatility))


@pytest.mark.parametrize("volatility", [None, math.nan, math.inf, -0.1])
def test_what_is_not_known_is_sized_nothing(volatility: float | None) -> None:
    assert sized(TERMS, volatility, Decimal(100), instrument()) == 0


@pytest.mark.parametrize("price", ["0", "-5", "NaN", "Infinity"])
def test_without_a_price_nothing_is_bought(price: str) -> None:
    assert sized(TERMS, 0.5, Decimal(price), instrument()) == 0


def test_a_market_that_does_not_move_is_bounded_by_the_share_of_the_capital() -> None:
    assert sized(TERMS, 0.0, Decimal(100), instrument()) == 500


def test_volatility_of_equal_steps_is_their_size_over_a_year_whatever_the_step_of_time() -> None:
    found = []
    for every_s in (1, 60):
        volatility = Volatility(window=20)
        for step in range(21):
            price = Decimal(100) * Decimal("1.001") ** (step % 2)
            volatility.add(price, step * every_s * S_NS)
        found.append(volatility.annual)
    per_step = math.log(1.001)
    wanted = [per_step * math.sqrt(NS_PER_YEAR / (every_s * S_NS)) for every_s in (1, 60)]
    assert found == pytest.approx(wanted)


def test_volatility_is_not_known_before_there_are_enough_returns() -> None:
    volatility = Volatility(window=10, samples_min=3)
    for step in range(3):
        volatility.add(Decimal(100 + step), step * S_NS)
        assert volatility.annual is None
    volatility.add(Decimal(103), 3 * S_NS)
    assert volatility.annual is not None


@pytest.mark.parametrize(("price", "at_ns"), [("0", 9), ("NaN", 9), ("200", 2 * S_NS)])
def test_what_is_no_price_or_not_later_changes_nothing(price: str, at_ns: int) -> None:
    volatility, same = Volatility(samples_min=1), Volatility(samples_min=1)
    for each in (volatility, same):
        each.add(Decimal(100), S_NS)
        each.add(Decimal(101), 2 * S_NS)
    volatility.add(Decimal(price), at_ns)
    assert volatility.annual == same.annual


@pytest.mark.parametrize("field", ["capital", "target_volatility", "capital_share_max"])
def test_terms_that_are_no_terms_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} is 0: wanted a number above 0"):
        SizingTerms(**({"capital": CAPITAL} | {field: Decimal(0)}))
