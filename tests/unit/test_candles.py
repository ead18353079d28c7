"""Candles inside a strategy: right figures, and nothing seen before it has closed."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base import NS_PER_S
from schemas.market import BarClosed
from services.strategy.candles import Candle, Candles
from tests.builders import ALPHA

MINUTE_NS = 60 * NS_PER_S


def bar(
    opened: str, high: str, low: str, close: str, *, open_s: int, length_s: int, volume: str = "1"
) -> BarClosed:
    return BarClosed(
        at_ns=(open_s + length_s) * NS_PER_S,
        instrument=ALPHA,
        open=Decimal(opened),
        high=Decimal(high),
        low=Decimal(low),
        close=Decimal(close),
        volume=Decimal(volume),
        open_ns=open_s * NS_PER_S,
        close_ns=(open_s + length_s) * NS_PER_S,
    )


@pytest.mark.req("S-10")
def test_a_candle_is_handed_out_by_the_first_price_after_its_end() -> None:
    candles = Candles(MINUTE_NS)
    for second, price in ((61, 10.0), (70, 12.0), (80, 9.0), (119, 11.0)):
        assert candles.add(price, 2.0, second * NS_PER_S) is None
    whole = Candle(10.0, 12.0, 9.0, 11.0, 8.0, MINUTE_NS, 2 * MINUTE_NS)
    assert candles.add(50.0, 1.0, 2 * MINUTE_NS) == whole
    assert candles.until(3 * MINUTE_NS - 1) is None
    assert candles.until(3 * MINUTE_NS) == Candle(
        50.0, 50.0, 50.0, 50.0, 1.0, 2 * MINUTE_NS, 3 * MINUTE_NS
    )


def test_time_alone_closes_a_candle_and_only_once() -> None:
    candles = Candles(MINUTE_NS)
    assert candles.until(MINUTE_NS) is None
    candles.add(10.0, 0.0, 5)
    assert candles.due_ns == MINUTE_NS
    assert candles.until(MINUTE_NS) is not None
    assert candles.until(MINUTE_NS) is None


def test_what_comes_late_never_opens_a_closed_interval_again() -> None:
    candles = Candles(MINUTE_NS)
    candles.add(10.0, 0.0, 5)
    assert candles.until(MINUTE_NS) is not None
    candles.add(99.0, 0.0, MINUTE_NS - 1)
    assert candles.until(2 * MINUTE_NS) == Candle(
        99.0, 99.0, 99.0, 99.0, 0.0, MINUTE_NS, 2 * MINUTE_NS
    )


def test_an_interval_without_a_price_makes_no_candle() -> None:
    candles = Candles(MINUTE_NS)
    candles.add(10.0, 0.0, 5)
    done = candles.add(11.0, 0.0, 10 * MINUTE_NS + 5)
    assert done is not None
    assert done.close_ns == MINUTE_NS
    assert candles.due_ns == 11 * MINUTE_NS


def test_bars_of_the_interval_are_candles_as_they_stand() -> None:
    candles = Candles(MINUTE_NS)
    day = bar("1", "4", "0.5", "2", open_s=0, length_s=86_400, volume="7")
    assert candles.take(day) == (Candle(1.0, 4.0, 0.5, 2.0, 7.0, 0, 86_400 * NS_PER_S),)


def test_smaller_bars_are_put_together_and_the_last_completes_it() -> None:
    candles = Candles(MINUTE_NS)
    assert candles.take(bar("10", "12", "9", "11", open_s=60, length_s=20)) == ()
    assert candles.take(bar("11", "15", "11", "14", open_s=80, length_s=20)) == ()
    assert candles.take(bar("14", "14", "8", "9", open_s=100, length_s=20)) == (
        Candle(10.0, 15.0, 8.0, 9.0, 3.0, MINUTE_NS, 2 * MINUTE_NS),
    )


def test_a_hole_among_smaller_bars_ends_the_candle_before_it() -> None:
    candles = Candles(MINUTE_NS)
    candles.take(bar("10", "12", "9", "11", open_s=60, length_s=20))
    assert candles.take(bar("20", "21", "19", "20", open_s=180, length_s=20)) == (
        Candle(10.0, 12.0, 9.0, 11.0, 1.0, MINUTE_NS, 2 * MINUTE_NS),
    )


TICKS = st.lists(
    st.tuples(st.integers(0, 400), st.floats(1, 1_000), st.floats(0, 10)), min_size=1, max_size=60
)


@pytest.mark.req("S-10")
@given(ticks=TICKS, cut=st.integers(0, 60))
def test_no_candle_holds_anything_that_came_after_it_was_seen(
    ticks: list[tuple[int, float, float]], cut: int
) -> None:
    """What is handed out at a moment is the same whatever comes after: the future is not in it."""
    ticks = sorted(ticks, key=lambda each: each[0])

    def seen(told: list[tuple[int, float, float]]) -> list[Candle | None]:
        candles = Candles(7)
        return [candles.add(price, volume, at_ns) for at_ns, price, volume in told]

    whole = seen(ticks)
    assert seen(ticks[:cut]) == whole[:cut]
    for (at_ns, _, _), candle in zip(ticks, whole, strict=True):
        if candle is not None:
            assert candle.close_ns <= at_ns
            inside = [t for t in ticks if candle.open_ns <= t[0] < candle.close_ns]
            prices = [price for _, price, _ in inside]
            assert candle[:4] == (prices[0], max(prices), min(prices), prices[-1])
            assert candle.volume == pytest.approx(sum(volume for _, _, volume in inside))
