"""Limit up-limit down and stop orders: what an order waits for is no price that it trades at."""

from typing import Any

import pytest

from schemas.orders import OrderType, Side, SignalRaised
from services.gate.config_market import LimitTier
from tests.builders import dec
from tests.gate_rig import book, reading
from tests.market_rig import IBM, MarketRig, at

NOON_NS = at("2025-11-19 12:00")
BUY, SELL = Side.BUY, Side.SELL
STOP, STOP_LIMIT = OrderType.STOP, OrderType.STOP_LIMIT


def banded() -> MarketRig:
    """Return a gate with bands of 95 to 105 around a stock of which 10 are held."""
    found = MarketRig(
        NOON_NS,
        luld_tier=LimitTier.ONE,
        price_collar_bps=dec(9_000),
        spread_bps_max=dec(9_000),
        order_notional_max=dec(9**9),
    )
    found.close("100")
    found.trade("100")
    found.tell(book(held={IBM: "10"}, at_ns=found.now_ns))
    return found


def stopped(stop: str, side: Side = SELL, **more: Any) -> dict[str, Any]:
    return {"order_type": STOP, "stop": stop, "side": side, **more}


def limited(stop: str, limit: str, side: Side = SELL, **more: Any) -> dict[str, Any]:
    return {"order_type": STOP_LIMIT, "stop": stop, "limit": limit, "side": side, **more}


def read(found: MarketRig, order: dict[str, Any]) -> tuple[str, str]:
    """Return the rule that decides, and what the check of the bands read."""
    decided = found.ask(f"a{order}", **order)
    return decided.rule, reading(decided, "price_bands").value


@pytest.mark.req("G-05")
@pytest.mark.parametrize("is_reduce_only", [True, False])
@pytest.mark.parametrize("state", ["normal", "straddle", "limit"])
def test_a_stop_that_waits_beyond_a_band_goes_out(state: str, is_reduce_only: bool) -> None:
    found = banded()
    if state != "normal":
        found.quote(*(("94.90", "96.00") if state == "straddle" else ("94.90", "95.00")))
    order = stopped("94.50", is_reduce_only=is_reduce_only)
    assert read(found, order) == ("all", "waits for 94.50")


@pytest.mark.req("G-05")
def test_a_protection_goes_out_whatever_its_limit_price_and_an_entry_within_the_bands() -> None:
    protection = limited("94.00", "93.50", is_reduce_only=True)
    assert read(banded(), protection) == ("all", "waits for 94.00")
    said = [
        read(banded(), limited("94.00", "93.50")),
        read(banded(), limited("104.00", "105.01", BUY)),
        read(banded(), limited("104.00", "105.00", BUY)),
        read(banded(), limited("106.00", "105.00", BUY)),
    ]
    assert said == [
        ("price_bands", "93.50"),
        ("price_bands", "105.01"),
        ("all", "105.00"),
        ("all", "105.00"),
    ]


@pytest.mark.req("G-05")
def test_a_stop_that_the_market_has_reached_trades_now_and_is_judged_so() -> None:
    found = banded()
    found.quote("94.90", "96.00")
    orders = [stopped("94.90"), limited("94.90", "94.50", is_reduce_only=True)]
    said = [read(found, each) for each in orders]
    assert said == [("price_bands", "straddle state, no limit price"), ("price_bands", "94.50")]
    assert read(banded(), stopped("99.90")) == ("all", "99.90")
    assert read(banded(), stopped("100.00", BUY)) == ("all", "100.00")


@pytest.mark.req("G-05")
def test_in_a_pause_no_stop_goes_out() -> None:
    found = banded()
    found.quote("94.90", "95.00")
    found.go(found.now_ns + 15_000_000_000)
    found.quote("94.90", "95.00")
    assert read(found, stopped("94.50")) == ("price_bands", "trading pause")


@pytest.mark.req("G-05")
@pytest.mark.parametrize("price", ["NaN", "sNaN", "-1", "Infinity"])
def test_a_stop_at_no_price_is_none_that_waits(price: str) -> None:
    found = banded()

    def rule(order: dict[str, Any]) -> str:
        raised: SignalRaised = found.raised(f"a{order}", **order)
        return found.decide(raised).rule

    said = [rule(stopped(price)), rule(limited("94.00", price)), rule(limited(price, "100"))]
    assert said == ["price_valid", "price_bands", "price_valid"]
