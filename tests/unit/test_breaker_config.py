"""A limit that makes no sense stops the start, and says where and what was wanted."""

from decimal import Decimal

import msgspec
import pytest

from services.breaker.config import BreakerConfig


@pytest.mark.req("B-01")
def test_the_drawdown_breaker_trips_at_ten_percent_unless_told_otherwise() -> None:
    assert BreakerConfig().drawdown_max == Decimal("0.10")


@pytest.mark.parametrize("wrong", ["0", "1", "10", "-0.1"])
def test_a_drawdown_limit_that_is_no_fraction_is_refused(wrong: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"wanted a fraction, like 0\.10"):
        msgspec.convert({"drawdown_max": wrong}, BreakerConfig)


def test_a_misspelt_limit_of_the_breaker_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="drawdown_mx"):
        msgspec.convert({"drawdown_mx": "0.1"}, BreakerConfig)
