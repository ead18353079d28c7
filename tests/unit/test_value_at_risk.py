"""Value at risk and volatility, held against an oracle that knows nothing of how they are kept."""

import math
from collections.abc import Sequence

import empyrical
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.base import InstrumentId
from services.gate.config_portfolio import Method, Sampling
from services.gate.value_at_risk import Floats, Returns, ValueAtRisk, rounded_up
from tests.builders import ALPHA, BETA, S_NS, dec

pytestmark = pytest.mark.req("G-03")
SAMPLING = Sampling(every_s=60, window=300, samples_min=20)
PERIOD_NS = 60 * S_NS
KEYS = (ALPHA, BETA)
Z_99 = 2.3263478740408408
"""The 99 % quantile of the normal distribution, from a table."""


def walks(seed: int, count: int = 301) -> dict[InstrumentId, Floats]:
    """Return prices of two instruments that move together a little."""
    chance = np.random.default_rng(seed)
    common = chance.normal(0, 0.004, count)
    found: dict[InstrumentId, Floats] = {}
    for key in KEYS:
        own: Floats = chance.standard_t(4, count) * 0.003
        found[key] = np.asarray(100 * np.cumprod(1 + common + own), dtype=np.float64)
    return found


def taken(prices: dict[InstrumentId, Floats], sampling: Sampling = SAMPLING) -> Returns:
    """Return what is remembered of these prices, one sample a period."""
    returns = Returns(prices, sampling)
    for index in range(len(prices[ALPHA])):
        row = {key: dec(repr(float(each[index]))) for key, each in prices.items()}
        returns.add(row, (index + 1) * PERIOD_NS)
    return returns


def moves(prices: Floats) -> Floats:
    found: Floats = np.diff(prices) / prices[:-1]
    return found


def way(method: Method, *, confidence: float = 0.99, periods: float = 1.0) -> ValueAtRisk:
    return ValueAtRisk(method, confidence, periods, 0.94)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_the_historical_figure_is_the_one_of_empyrical(seed: int, confidence: float) -> None:
    prices = walks(seed)
    returns = taken(prices)
    expected = -empyrical.value_at_risk(moves(prices[ALPHA]), cutoff=1 - confidence)
    found = way(Method.HISTORICAL, confidence=confidence).figure(returns.profits({ALPHA: 1.0}))
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_figure_of_a_portfolio_is_that_of_its_own_profits() -> None:
    prices = walks(1)
    returns = taken(prices)
    profits = 5_000 * moves(prices[ALPHA]) - 3_000 * moves(prices[BETA])
    expected = -empyrical.value_at_risk(profits, cutoff=0.01) * math.sqrt(1440)
    found = way(Method.HISTORICAL, periods=1440).figure(
        returns.profits({ALPHA: 5_000.0, BETA: -3_000.0})
    )
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_parametric_figure_is_that_of_the_weighted_covariance_matrix(seed: int) -> None:
    prices = walks(seed)
    weights = 0.94 ** np.arange(299, -1, -1.0)
    table = np.column_stack([moves(prices[key]) for key in KEYS])
    covariance = (table * weights[:, None]).T @ table / weights.sum()
    exposure = np.array([5_000.0, -3_000.0])
    expected = Z_99 * math.sqrt(exposure @ covariance @ exposure)
    profits = taken(prices).profits({ALPHA: 5_000.0, BETA: -3_000.0})
    assert way(Method.PARAMETRIC).figure(profits) == pytest.approx(expected, rel=1e-9)


@pytest.mark.req("G-04")
@pytest.mark.parametrize("seed", range(5))
def test_the_volatility_is_the_one_of_the_formula(seed: int) -> None:
    prices = walks(seed)
    newest_first = [float(move) for move in moves(prices[BETA])[::-1]]
    squares = sum(0.94**k * move**2 for k, move in enumerate(newest_first))
    expected = math.sqrt(squares / sum(0.94**k for k in range(len(newest_first))))
    assert taken(prices).volatility(BETA) == pytest.approx(expected, rel=1e-9)


def test_the_window_forgets_what_is_older() -> None:
    prices = walks(3, count=1_001)
    returns = taken(prices)
    expected = moves(prices[ALPHA])[-300:]
    assert returns.profits({ALPHA: 1.0}) == pytest.approx(expected, rel=1e-9)
    assert returns.worst(ALPHA) == pytest.approx(np.abs(expected).max(), rel=1e-9)


def test_the_volatility_is_unknown_until_enough_returns_were_seen() -> None:
    returns = Returns(KEYS, Sampling(samples_min=3))
    seen = []
    for index, price in enumerate([100, 101, 102, 103]):
        returns.add({ALPHA: dec(price)}, (index + 1) * PERIOD_NS)
        seen.append((returns.missing(ALPHA), returns.volatility(ALPHA) is None))
    assert seen == [(3, True), (2, True), (1, True), (0, False)]
    assert (returns.missing(BETA), returns.volatility(BETA)) == (3, None)
    assert returns.regime(BETA) is None


def test_a_return_over_a_gap_counts_as_one_of_its_many_samples() -> None:
    returns = Returns([ALPHA], Sampling(samples_min=2))
    returns.add({ALPHA: dec(100)}, PERIOD_NS)
    returns.add({ALPHA: dec(110)}, 101 * PERIOD_NS)
    assert returns.worst(ALPHA) == pytest.approx(0.10 / math.sqrt(100))


def test_an_instrument_that_was_not_quoted_has_no_return_rather_than_one_of_zero() -> None:
    returns = Returns(KEYS, Sampling(samples_min=2))
    for index, price in enumerate([100, 101, 102, 103]):
        quoted = {ALPHA: dec(price)} if index == 2 else {ALPHA: dec(price), BETA: dec(50)}
        returns.add(quoted, (index + 1) * PERIOD_NS)
    assert len(returns.profits({ALPHA: 1.0})) == 3
    assert len(returns.profits({ALPHA: 1.0, BETA: 1.0})) == 2


def test_volatility_that_rises_stands_out_from_calm_times() -> None:
    chance = np.random.default_rng(7)
    calm = chance.normal(0, 0.001, 280)
    wild = chance.normal(0, 0.01, 21)
    prices = 100 * np.cumprod(1 + np.concatenate([calm, wild]))
    regime = taken({ALPHA: prices, BETA: prices}).regime(ALPHA)
    assert regime is not None
    assert regime > 1.5


amounts = st.floats(-1e6, 1e6, allow_nan=False)


@settings(deadline=None)
@given(
    seed=st.integers(0, 50),
    held=st.tuples(amounts, amounts),
    added=amounts,
    method=st.sampled_from(Method),
)
def test_one_more_exposure_never_adds_more_than_its_unit(
    seed: int, held: Sequence[float], added: float, method: Method
) -> None:
    """The promise that the hot path stands on: figure + |exposure| x unit is never too low."""
    returns = taken(walks(seed, count=61), Sampling(window=60, samples_min=20))
    chosen = way(method, periods=1440)
    volatility = returns.volatility(BETA)
    assert volatility is not None
    unit = float(rounded_up(chosen.of_one(returns.worst(BETA), volatility)))
    before = chosen.figure(returns.profits({ALPHA: held[0], BETA: held[1]}))
    after = chosen.figure(returns.profits({ALPHA: held[0], BETA: held[1] + added}))
    assert after <= (before + abs(added) * unit) * (1 + 1e-9) + 1e-9


def test_a_figure_is_never_rounded_down() -> None:
    assert rounded_up(1 / 3) == dec("0.333333334")
    assert rounded_up(0.0) == 0
