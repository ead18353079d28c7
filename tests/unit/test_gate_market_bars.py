"""A feed of bars tells what a feed of trades tells: how low it was, and what it closed at."""

from typing import Any

import pytest

from schemas.base import InstrumentId
from schemas.market import BarClosed
from schemas.market_rules import ClosingPriceNoted, MarketRule, MarketRuleInvoked
from schemas.orders import OrderType
from tests.builders import S_NS, dec
from tests.market_rig import CLOSE_NS, IBM, MINUTE_NS, SPX, MarketRig, at
from tests.unit.test_gate_market_restart import NOON_NS, SELL, asked, following, shorted, sold


def bar(close_ns: int, low: str, close: str, key: InstrumentId = IBM, **more: Any) -> BarClosed:
    """Return a bar of a minute that opened and closed at the same price, and was lower between."""
    more.setdefault("open_ns", close_ns - MINUTE_NS)
    return BarClosed(
        at_ns=close_ns,
        instrument=key,
        open=dec(close),
        high=dec(close),
        low=dec(low),
        close=dec(close),
        volume=dec(0 if key == SPX else 1),
        close_ns=close_ns,
        **more,
    )


def tell_later(found: MarketRig, told: BarClosed, later_ns: int = 0) -> None:
    """Tell of a bar once its time is over."""
    found.go(told.close_ns + later_ns)
    found.tell(told)


@pytest.mark.req("G-05")
@pytest.mark.parametrize(("low", "wanted"), [("90.01", "all"), ("90", "short_sale")])
def test_rule_201_is_invoked_by_the_low_of_a_bar(low: str, wanted: str) -> None:
    found = shorted()
    tell_later(found, bar(NOON_NS + MINUTE_NS, low, "99"))
    assert sold(found, "a") == wanted
    above = {"order_type": OrderType.LIMIT, "limit": "99.91", "side": SELL}
    assert found.verdict("above", **above) == "all"
    found.go(NOON_NS + 2 * MINUTE_NS)
    found.restart()
    kept = [each for each in found.kept if isinstance(each, MarketRuleInvoked) and each.price]
    invoked = MarketRuleInvoked(
        at_ns=NOON_NS + MINUTE_NS,
        rule=MarketRule.SHORT_SALE,
        instrument=IBM,
        from_ns=NOON_NS + MINUTE_NS,
        until_ns=at("2025-11-20 20:00"),
        price=dec("90"),
    )
    assert kept == ([] if wanted == "all" else [invoked])


@pytest.mark.req("G-05")
@pytest.mark.parametrize("span_ns", [MINUTE_NS, 24 * 60 * MINUTE_NS])
def test_a_bar_that_comes_after_the_close_is_of_the_day_it_tells_of(span_ns: int) -> None:
    found = shorted()
    close_ns = CLOSE_NS if span_ns == MINUTE_NS else at("2025-11-20 00:00")
    tell_later(found, bar(close_ns, "89", "95", open_ns=close_ns - span_ns), S_NS)
    found.go(at("2025-11-20 12:00"))
    noted = [each for each in found.kept if isinstance(each, ClosingPriceNoted)]
    assert [(each.price, each.close_ns) for each in noted] == [(dec("95"), CLOSE_NS)]
    assert sold(found, "the next day") == "short_sale"
    found.close("95", day="2025-11-20 16:00")
    found.go(at("2025-11-21 12:00"))
    assert sold(found, "the day after") == "all"


@pytest.mark.req("G-05")
def test_what_a_bar_tells_of_outside_regular_hours_counts_for_nothing() -> None:
    found = shorted()
    tell_later(found, bar(CLOSE_NS + MINUTE_NS, "80", "80"))
    found.go(at("2025-11-20 12:00"))
    found.close("100", day="2025-11-19 16:00")
    assert sold(found, "a") == "all"


@pytest.mark.req("G-05")
def test_the_low_of_a_bar_of_the_reference_halts_the_market() -> None:
    found = following()
    tell_later(found, bar(NOON_NS + MINUTE_NS, "930", "940", SPX))
    halted = f"halted, level 1, until {NOON_NS + 16 * MINUTE_NS} ns"
    assert asked(found, "a") == (False, halted)
    found.go(NOON_NS + 16 * MINUTE_NS)
    tell_later(found, bar(NOON_NS + 17 * MINUTE_NS, "929", "940", SPX))  # once a day
    assert asked(found, "b") == (True, "")


@pytest.mark.req("G-05")
@pytest.mark.parametrize(
    ("close", "low", "wanted"),
    [("15:25", "930", False), ("15:26", "930", True), ("15:26", "800", False)],
)
def test_a_bar_that_began_before_the_last_time_for_a_halt_halts(
    close: str, low: str, wanted: bool
) -> None:
    found = following()
    tell_later(found, bar(at(f"2025-11-19 {close}"), low, "940", SPX))
    assert asked(found, "a")[0] is wanted


@pytest.mark.req("G-05")
@pytest.mark.parametrize(("low", "close", "wanted"), [("870", "940", True), ("870", "930", False)])
def test_of_a_bar_that_outlasts_a_halt_it_is_the_close_that_halts(
    low: str, close: str, wanted: bool
) -> None:
    found = following()
    close_ns = NOON_NS + 16 * MINUTE_NS
    tell_later(found, bar(close_ns, low, close, SPX, open_ns=close_ns - 16 * MINUTE_NS))
    assert asked(found, "a")[0] is wanted


@pytest.mark.req("G-05")
def test_the_last_bar_of_the_reference_is_what_it_closed_at() -> None:
    found = following()
    tell_later(found, bar(CLOSE_NS, "981", "982", SPX), S_NS)
    found.go(at("2025-11-20 09:31"))
    noted = [each for each in found.kept if isinstance(each, ClosingPriceNoted)]
    assert (noted[-1].price, asked(found, "a")) == (dec(982), (True, ""))
