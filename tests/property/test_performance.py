"""Figures held against an independent package, and sums that must be exact."""

import math
from decimal import Decimal

import empyrical
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base import InstrumentId
from services.performance.core import By, Share, total
from services.performance.curve import DAY_NS, Curve
from services.performance.returns import Returns, cagr, sharpe, sortino, volatility
from tests.builders import ALPHA, BETA, S_NS
from tests.performance_rig import Rig

pytestmark = pytest.mark.req("R-03")
RETURN = st.floats(-0.5, 0.5).map(lambda value: round(value, 6))
SERIES = st.lists(RETURN, min_size=2, max_size=60)
YEARS = st.sampled_from((252, 260, 365))


def folded(values: list[float]) -> Returns:
    found = Returns()
    for value in values:
        found = found.including(value)
    return found


def same(ours: float | None, theirs: float) -> bool:
    """Return whether both say the same; what is unknown here is no sensible number there."""
    if ours is None:
        return not math.isfinite(theirs) or abs(theirs) > 1e6
    return ours == pytest.approx(theirs, rel=1e-6, abs=1e-9)


@given(SERIES, YEARS)
def test_ratios_agree_with_empyrical(values: list[float], days: int) -> None:
    ours, theirs = folded(values), np.array(values)
    assert same(volatility(ours, days), empyrical.annual_volatility(theirs, annualization=days))
    assert same(sharpe(ours, days), empyrical.sharpe_ratio(theirs, annualization=days))
    with np.errstate(all="ignore"):
        downside = empyrical.sortino_ratio(theirs, annualization=days)
    assert same(sortino(ours, days), downside)
    assert ours.growth - 1 == pytest.approx(empyrical.cum_returns_final(theirs), abs=1e-9)


@given(st.lists(RETURN, min_size=30, max_size=60), YEARS)
def test_compound_growth_agrees_with_empyrical(values: list[float], days: int) -> None:
    theirs = empyrical.annual_return(np.array(values), annualization=days)
    assert cagr(folded(values), days) == pytest.approx(theirs, rel=1e-6, abs=1e-9)


@given(SERIES)
def test_drawdown_and_daily_returns_agree_with_empyrical(values: list[float]) -> None:
    curve = Curve()
    equity = Decimal(1_000_000)
    curve.pay_in(equity, 0)
    for day, value in enumerate(values):
        equity *= 1 + Decimal(str(value))
        curve.note(equity, day * DAY_NS + 1)
    curve = curve.ended(None, 0)
    theirs = -empyrical.max_drawdown(np.array(values))
    assert curve.drawdown_max == pytest.approx(theirs, abs=1e-9)
    assert curve.returns.count == len(values)
    assert curve.returns.mean == pytest.approx(float(np.mean(values)), abs=1e-9)


TRADE = st.tuples(
    st.sampled_from((ALPHA, BETA)),
    st.integers(-20, 20).filter(bool),
    st.decimals(1, 200, places=2),
    st.decimals(-1, 3, places=3),
    st.integers(0, 3),
)


@given(st.lists(TRADE, max_size=40))
def test_every_cent_of_profit_is_accounted_for(
    trades: list[tuple[InstrumentId, int, Decimal, Decimal, int]],
) -> None:
    rig = Rig()
    cash = rig.capital
    held = {ALPHA: 0, BETA: 0}
    multipliers = {ALPHA: 1, BETA: 50}
    for key in held:
        rig.quote("100", key=key)
    for number, (key, signed, price, fee, ahead) in enumerate(trades):
        at_ns = number * S_NS * 4 + ahead
        rig.quote(str(price + 1), at_ns, key)
        rig.fill(str(signed), str(price), at_ns, key=key, fee=str(fee))
        cash -= signed * price * multipliers[key] + fee
        held[key] += signed
    worth = cash
    for key, quantity in held.items():
        mark = rig.told.marks.price(key)
        assert mark is not None
        worth += quantity * mark * multipliers[key]
    assert rig.told.equity() == worth
    for by in By:
        shares = rig.told.attribution(by).values()
        assert total(each.profit for each in shares) == worth - rig.capital
        assert all(adds_up(each) for each in shares)
    closed = sum((trip.profit for trip in rig.told.tally.trips), Decimal(0))
    if not any(held.values()):
        assert closed == pytest.approx(worth - rig.capital)


def adds_up(share: Share) -> bool:
    """Return whether the parts are the whole, to the last digit."""
    price, slippage, fees, funding = share.price, share.slippage, share.fees, share.funding
    assert price is not None
    assert slippage is not None
    assert fees is not None
    assert funding is not None
    return share.profit == price - slippage - fees + funding
