"""Figures of backtests on a real recording, against an independent package and by hand."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import empyrical
import numpy as np
import pytest

from schemas.base import Event
from schemas.executions import OrderFilled
from schemas.market import BarClosed, QuoteReceived
from services.backtest import run as backtest
from services.backtest.run import Outcome, Plan, run
from services.performance import curve
from services.performance.curve import DAY_NS, Point
from tests.backtest_rig import day, plan_of

pytestmark = pytest.mark.req("R-03", "S-05")
DAYS = 252
HOLDING = {"quantity": "500"}
CROSSING = {"source": "bar", "fast": 10, "slow": 30, "capital_share": "0.9"}


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every point of the curve, and not only as many as a picture has use for."""
    monkeypatch.setattr(curve, "POINTS_MAX", 1 << 20)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """Every execution, quote and closed bar of a test's run."""
    heard: list[Event] = []

    class Listener(backtest._Witness):
        def __call__(self, event: Event) -> None:
            if isinstance(event, OrderFilled | QuoteReceived | BarClosed):
                heard.append(event)
            super().__call__(event)

    monkeypatch.setattr(backtest, "_Witness", Listener)
    return heard


def spy_plan(data_dir: Path, strategy: str, begin: str, **parameters: Any) -> Plan:
    spy = data_dir / "lean" / "equity" / "usa" / "daily" / "spy.zip"
    return plan_of(strategy, spy, from_ns=day(begin), parameters=parameters)


def day_ends(points: tuple[Point, ...]) -> dict[int, Decimal]:
    """Return the worth at the end of each UTC day of a curve, without what it began with."""
    return {each.at_ns // DAY_NS: each.equity for each in points[1:]}


def returns_of(equities: list[Decimal]) -> Any:
    return np.diff([float(each) for each in equities]) / [float(each) for each in equities[:-1]]


def told(outcome: Outcome) -> dict[str, float | None]:
    figures = outcome.figures
    return {
        "return": figures.total_return,
        "cagr": figures.cagr,
        "volatility": figures.volatility,
        "sharpe": figures.sharpe,
        "sortino": figures.sortino,
        "drawdown": figures.drawdown_max,
    }


def expected(outcome: Outcome) -> dict[str, float]:
    """Return the figures by empyrical from the curve that is kept with the result."""
    points, capital = outcome.points, outcome.figures.initial_capital
    assert points[0].equity == capital
    daily = returns_of([capital, *day_ends(points).values()])
    return {
        "return": empyrical.cum_returns_final(daily),
        "cagr": empyrical.annual_return(daily, annualization=DAYS),
        "volatility": empyrical.annual_volatility(daily, annualization=DAYS),
        "sharpe": empyrical.sharpe_ratio(daily, annualization=DAYS),
        "sortino": empyrical.sortino_ratio(daily, annualization=DAYS),
        "drawdown": -empyrical.max_drawdown(returns_of([each.equity for each in points])),
    }


@pytest.mark.parametrize(
    ("strategy", "begin", "parameters"),
    [
        ("buy_and_hold", "2018-01-01", HOLDING),
        ("ema_cross", "2018-01-01", CROSSING),
        ("buy_and_hold", "1998-01-01", HOLDING),
        ("ema_cross", "1998-01-01", CROSSING),
    ],
)
@pytest.mark.usefixtures("whole")
def test_the_figures_of_a_real_backtest_are_those_of_empyrical(
    data_dir: Path, strategy: str, begin: str, parameters: dict[str, Any]
) -> None:
    outcome = run(spy_plan(data_dir, strategy, begin, **parameters))
    assert outcome.figures.fill_count > 0
    wanted = expected(outcome)
    assert min(abs(each) for each in wanted.values()) > 1e-3, "nothing is equal for being nothing"
    assert told(outcome) == pytest.approx(wanted, rel=0, abs=1e-9)


@pytest.mark.usefixtures("whole")
def test_the_curve_of_a_holder_is_what_the_recorded_closes_say(
    data_dir: Path, said: list[Event]
) -> None:
    outcome = run(spy_plan(data_dir, "buy_and_hold", "2018-01-01", **HOLDING))
    [fill] = [each for each in said if isinstance(each, OrderFilled)]
    closes = {each.at_ns // DAY_NS: each.close for each in said if isinstance(each, BarClosed)}
    quotes = [each for each in said if isinstance(each, QuoteReceived)]
    last = {each.at_ns // DAY_NS: (each.bid + each.ask) / 2 for each in quotes}
    assert last.keys() == closes.keys()
    assert max(abs(last[key] - closes[key]) for key in closes) <= Decimal("0.005"), "half a tick"
    capital, quantity = outcome.figures.initial_capital, Decimal(500)
    assert fill.quantity == quantity
    assert day_ends(outcome.points) == {
        key: capital + quantity * (price - fill.price) - fill.fee for key, price in last.items()
    }
    assert len(closes) > 800
