"""The page of a backtest: what its pictures say beside their axes."""

import re
from decimal import Decimal

import pytest

from services.cli.backtest_page import picture_of
from services.performance.curve import Point


@pytest.mark.req("S-05")
def test_ticks_of_a_small_drawdown_are_told_apart() -> None:
    points = [
        Point(at_ns=at, equity=Decimal(100_000), drawdown=fall)
        for at, fall in enumerate((0.0, 0.0005, 0.001))
    ]
    [digits] = re.findall(r'"tickformat":"\.(\d)~%"', picture_of(points))
    assert len({f"{each.drawdown:.{digits}%}" for each in points}) == len(points)
