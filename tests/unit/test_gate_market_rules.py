"""Bands, pauses and short sales as the gate decides on them, from events and from prices."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.base import Event
from schemas.health import GapSeen, LinkChanged
from schemas.market import InstrumentStatusChanged, Trading
from schemas.market_rules import (
    ClosingPriceNoted,
    MarketRule,
    MarketRuleInvoked,
    PriceBandPublished,
    ShortSaleRestrictionChanged,
)
from schemas.orders import OrderType, Side
from services.gate.config_market import LimitTier, ShortSaleRule
from services.gate.core import GateCore
from tests.builders import S_NS, dec, instrument
from tests.gate_rig import book, reading, resting, view
from tests.market_rig import IBM, MINUTE_NS, OPEN_NS, MarketRig, at
from tests.unit.test_gate_hours import without

NOON_NS = at("2025-11-19 12:00")
SELL, LIMIT, STOP, STOP_LIMIT = Side.SELL, OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT


def banded(now_ns: int = NOON_NS, kind: type[GateCore] = GateCore, **more: Any) -> MarketRig:
    """Return a gate with bands of 95 to 105 around a stock, and a collar that is out of the way."""
    chosen: dict[str, Any] = {
        "luld_tier": LimitTier.ONE,
        "price_collar_bps": dec(9_000),
        "order_notional_max": dec(9**9),
    }
    found = MarketRig(now_ns, kind, **(chosen | {"spread_bps_max": dec(9_000)} | more))
    found.close("100")
    found.trade("100")
    return found


def shorted(kind: type[GateCore] = GateCore, **more: Any) -> MarketRig:
    """Return a gate under Rule 201, with a stock that closed at 100."""
    found = MarketRig(NOON_NS, kind, short_sale_rule=ShortSaleRule.RULE_201, **more)
    found.close("100")
    found.quote("89.95", "90.05")
    return found


def published(lower: str, upper: str, at_ns: int = NOON_NS) -> Event:
    return PriceBandPublished(at_ns=at_ns, instrument=IBM, lower=dec(lower), upper=dec(upper))


def gap(subject: str) -> GapSeen:
    return GapSeen(at_ns=NOON_NS, subject=subject, publisher="feed", expected_seq=1, got_seq=2)


def limit_order(price: str, side: Side) -> dict[str, Any]:
    return {"order_type": LIMIT, "limit": price, "side": side}


@pytest.mark.req("G-05")
@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        (limit_order("105.00", Side.BUY), "all"),
        (limit_order("105.01", Side.BUY), "price_bands"),
        (limit_order("95.00", SELL), "all"),
        (limit_order("94.99", SELL), "price_bands"),
        ({"order_type": STOP, "stop": "105.01"}, "all"),  # it waits for a price, and has none
        ({"order_type": STOP, "stop": "94.99", "side": SELL}, "all"),
        ({"order_type": STOP_LIMIT, "stop": "104", "limit": "105.01"}, "price_bands"),
        ({"order_type": STOP_LIMIT, "stop": "104", "limit": "105"}, "all"),
        ({}, "all"),
        ({"side": SELL}, "all"),
        (limit_order("nan", Side.BUY), "price_bands"),
    ],
)
def test_an_order_passes_up_to_the_very_band(order: dict[str, Any], wanted: str) -> None:
    assert banded().verdict("a", **order) == wanted


def test_a_decision_shows_price_and_bands() -> None:
    read = reading(banded().ask("a", **limit_order("105.01", Side.BUY)), "price_bands")
    assert (read.is_ok, read.value, read.limit) == (False, "105.01", "95.00-105.00")


@pytest.mark.req("G-05")
def test_in_a_straddle_state_only_limit_orders_within_the_bands_pass() -> None:
    found = banded()
    found.quote("94.00", "96.00")
    assert found.verdict("a") == "price_bands"
    assert found.verdict("b", side=SELL) == "price_bands"
    assert found.verdict("c", **limit_order("96.00", Side.BUY)) == "all"
    assert found.verdict("d", **limit_order("94.00", SELL)) == "price_bands"


@pytest.mark.req("G-05")
def test_the_pause_begins_and_ends_to_the_ns_and_reopens_at_a_new_price() -> None:
    found = banded(jump_bps_max=dec(0))
    found.quote("94.90", "95.00")
    begins_ns = NOON_NS + 15 * S_NS
    ends_ns = begins_ns + 5 * MINUTE_NS
    verdicts = []
    for number, now_ns in enumerate((begins_ns - 1, begins_ns, ends_ns - 1, ends_ns)):
        found.go(now_ns)
        found.quote("94.90", "95.00")
        read = reading(found.ask(f"s{number}", **limit_order("95.00", Side.BUY)), "price_bands")
        verdicts.append((read.is_ok, read.value))
    assert verdicts == [
        (True, "95.00"),
        (False, "trading pause"),
        (False, "trading pause"),
        (False, "no bands known"),
    ]
    found.trade("90")
    found.quote("89.90", "90.00")
    assert found.verdict("reopened") == "all"


@pytest.mark.parametrize("kept", [True, False])
def test_a_restart_in_a_pause_does_not_forget_it(kept: bool) -> None:
    found = banded()
    found.quote("94.90", "95.00")
    begins_ns = NOON_NS + 15 * S_NS
    [invoked] = found.go(begins_ns)
    assert invoked == MarketRuleInvoked(
        at_ns=begins_ns,
        rule=MarketRule.LIMIT_PAUSE,
        instrument=IBM,
        from_ns=begins_ns,
        until_ns=begins_ns + 5 * MINUTE_NS,
    )
    if not kept:  # the harm, if the gate did not keep what it found out
        found.kept = [each for each in found.kept if not isinstance(each, MarketRuleInvoked)]
    found.go(begins_ns + MINUTE_NS)
    found.restart()
    found.trade("97")
    found.quote("96.90", "97.00")
    assert found.verdict("a") == ("price_bands" if kept else "all")


@pytest.mark.req("G-05", "M-05")
def test_published_bands_win_over_computed_ones() -> None:
    found = banded()
    assert found.verdict("a", **limit_order("104.00", Side.BUY)) == "all"
    found.tell(published("97.00", "103.00"))
    assert found.verdict("b", **limit_order("104.00", Side.BUY)) == "price_bands"
    assert found.verdict("c", **limit_order("103.00", Side.BUY)) == "all"


@pytest.mark.req("M-05")
def test_published_bands_are_enough_without_trades_and_closing_price() -> None:
    found = MarketRig(NOON_NS, luld_tier=LimitTier.TWO)
    assert reading(found.ask("a"), "price_bands").value == "no bands known"
    found.tell(published("90.00", "110.00"))
    assert found.verdict("b") == "all"


@pytest.mark.req("M-05")
@pytest.mark.parametrize(
    ("loss", "wanted"),
    [
        (LinkChanged(at_ns=NOON_NS, is_up=False), "price_bands"),
        (gap("market.nyse.IBM.band"), "price_bands"),
        (gap("market.nyse.OTHER.band"), "all"),
    ],
    ids=["link", "gap", "gap of another"],
)
def test_published_bands_of_which_one_may_be_missing_are_forgotten(
    loss: Event, wanted: str
) -> None:
    found = MarketRig(NOON_NS, luld_tier=LimitTier.TWO)
    found.tell(published("90.00", "110.00"))
    found.tell(loss)
    found.tell(book(at_ns=NOON_NS + 1))
    assert found.verdict("a") == wanted


def test_outside_regular_hours_there_are_no_bands() -> None:
    found = banded(at("2025-11-19 08:00"), extended_hours="both")
    found.tell(published("97.00", "97.01"))
    assert found.verdict("a", **limit_order("150.00", Side.BUY)) == "all"


@pytest.mark.req("G-05", "M-05")
def test_a_halted_symbol_is_not_traded_until_the_venue_opens_it() -> None:
    found = banded()
    told = InstrumentStatusChanged(at_ns=NOON_NS, instrument=IBM, trading=Trading.HALTED)
    found.tell(told)
    assert found.verdict("a") == "instrument_open"
    found.restart()
    found.trade("100")
    assert found.verdict("b") == "instrument_open"
    found.tell(msgspec.structs.replace(told, trading=Trading.OPEN))
    assert found.verdict("c") == "all"


@pytest.mark.req("G-05")
@pytest.mark.parametrize(("price", "wanted"), [("90.01", "all"), ("90.00", "short_sale")])
def test_short_sales_are_restricted_from_a_fall_of_ten_percent(price: str, wanted: str) -> None:
    found = shorted()
    found.trade(price)
    assert found.verdict("a", side=SELL) == wanted


@pytest.mark.req("G-05")
@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        ({}, "short_sale"),
        ({"order_type": LIMIT, "limit": "89.95"}, "short_sale"),
        ({"order_type": LIMIT, "limit": "89.96"}, "all"),
        ({"order_type": STOP, "stop": "89.99"}, "short_sale"),
        ({"order_type": STOP_LIMIT, "stop": "89.99", "limit": "89.99"}, "short_sale"),
        ({"order_type": LIMIT, "limit": "nan"}, "short_sale"),
    ],
)
def test_a_restricted_short_sale_must_be_a_limit_order_above_the_best_bid(
    order: dict[str, Any], wanted: str
) -> None:
    found = shorted()
    found.trade("89")
    assert found.verdict("a", side=SELL, **order) == wanted


@pytest.mark.req("G-05")
@pytest.mark.parametrize(
    ("held", "open_side", "quantity", "wanted"),
    [
        ("10", None, "10", "all"),
        ("10", None, "11", "short_sale"),
        ("10", SELL, "9", "all"),  # one of them is on offer already
        ("10", SELL, "10", "short_sale"),
        ("0", Side.BUY, "1", "short_sale"),  # what is bought is not held yet
        ("-5", None, "1", "short_sale"),
    ],
)
def test_what_is_short_counts_what_is_held_and_what_is_on_offer_already(
    held: str, open_side: Side | None, quantity: str, wanted: str
) -> None:
    found = shorted()
    found.trade("89")
    orders = [] if open_side is None else [resting("o", side=open_side, quantity="1", key=IBM)]
    found.tell(book(*map(view, orders), held={IBM: held}, at_ns=NOON_NS))
    assert found.verdict("a", side=SELL, quantity=quantity) == wanted


@pytest.mark.parametrize("quantity", ["NaN", "sNaN", "Infinity"])
def test_a_sale_of_no_number_is_denied_as_such_and_raises_no_alarm(quantity: str) -> None:
    assert shorted().verdict("a", side=SELL, quantity=quantity) == "quantity_valid"


@pytest.mark.req("G-05")
def test_the_restriction_lasts_for_the_rest_of_the_day_and_the_next() -> None:
    found = shorted(extended_hours="both")
    found.trade("90")
    verdicts = []
    for number, when in enumerate(
        ("11-19 19:59", "11-20 04:00", "11-20 12:00", "11-20 19:59:59", "11-21 04:00")
    ):
        found.go(at(f"2025-{when}"))
        found.quote("99", "99.10")
        verdicts.append(found.verdict(f"s{number}", side=SELL, quantity="1"))
    assert verdicts == ["short_sale"] * 4 + ["all"]


def test_over_a_weekend_the_next_day_is_monday() -> None:
    found = shorted()
    found.go(at("2025-11-21 12:00"))
    found.close("100", day="2025-11-20 16:00")
    found.trade("90")
    row = found.gate.state.bands.of[IBM]
    assert row.restricted_until_ns == at("2025-11-24 20:00")


@pytest.mark.req("G-05", "M-05")
def test_the_listing_market_begins_and_ends_a_restriction() -> None:
    found = shorted()
    assert found.verdict("a", side=SELL) == "all"
    told = ShortSaleRestrictionChanged(at_ns=NOON_NS, instrument=IBM, is_restricted=True)
    found.tell(told)
    assert found.verdict("b", side=SELL) == "short_sale"
    found.restart()
    found.quote("99", "99.10")
    assert found.verdict("c", side=SELL) == "short_sale"
    found.tell(msgspec.structs.replace(told, is_restricted=False))
    assert found.verdict("d", side=SELL) == "all"


@pytest.mark.req("G-05")
def test_without_a_closing_price_a_short_sale_is_denied_and_a_sale_is_not() -> None:
    found = MarketRig(NOON_NS, short_sale_rule=ShortSaleRule.RULE_201)
    read = reading(found.ask("a", side=SELL), "short_sale")
    assert read.value == "None; no closing price of the day before"
    found.tell(book(held={IBM: "10"}, at_ns=NOON_NS))
    assert found.verdict("b", side=SELL, quantity="10") == "all"
    assert found.verdict("c") == "all"


def test_short_sales_of_a_us_stock_need_a_rule_to_be_chosen() -> None:
    found = MarketRig(NOON_NS, short_sale_rule=None)
    assert [found.verdict("a", side=SELL), found.verdict("b")] == ["limit_missing", "all"]
    elsewhere = instrument(IBM, calendar="XLON")
    london = MarketRig(at("2025-11-19 10:00"), stock=elsewhere, short_sale_rule=None)
    assert london.verdict("c", side=SELL) == "all"


@pytest.mark.parametrize("kept", [True, False])
def test_a_restart_does_not_forget_a_fall(kept: bool) -> None:
    found = shorted()
    found.trade("89")
    said = found.go(NOON_NS)
    assert said == [
        MarketRuleInvoked(
            at_ns=NOON_NS,
            rule=MarketRule.SHORT_SALE,
            instrument=IBM,
            from_ns=NOON_NS,
            until_ns=at("2025-11-20 20:00"),
            price=Decimal(89),
        )
    ]
    if not kept:  # the harm, if the gate did not keep what it found out
        found.kept = [each for each in found.kept if not isinstance(each, MarketRuleInvoked)]
    found.now_ns += S_NS
    found.restart()
    read = reading(found.ask("a", side=SELL), "short_sale")
    assert (read.is_ok, "not all was heard" in read.value) == (False, not kept)


def test_the_close_of_a_day_we_saw_serves_the_next_day_and_no_later_one() -> None:
    found = shorted()
    found.trade("95")
    said = found.go(at("2025-11-20 09:30"))
    closed_ns = at("2025-11-19 16:00")
    assert said == [
        ClosingPriceNoted(at_ns=closed_ns, instrument=IBM, price=dec(95), close_ns=closed_ns)
    ]
    found.quote()
    assert found.verdict("a", side=SELL) == "all"
    found.go(at("2025-11-21 09:30"))
    found.quote()
    assert found.verdict("b", side=SELL) == "short_sale"


@pytest.mark.req("G-05")
@pytest.mark.parametrize("name", ["price_bands", "short_sale"])
def test_without_its_check_what_the_rule_forbids_goes_out(name: str) -> None:
    verdicts = []
    for kind in (without(), without(name)):
        if name == "price_bands":
            found = banded(kind=kind)
            verdicts.append(found.verdict("a", **limit_order("106", Side.BUY)))
        else:
            found = shorted(kind)
            found.trade("89")
            verdicts.append(found.verdict("a", side=SELL))
    assert verdicts == [name, "all"]


def test_nothing_is_watched_where_no_rule_is_chosen() -> None:
    plain, watching = MarketRig(OPEN_NS), banded()
    assert plain.gate.state.bands.hears & watching.gate.state.bands.hears < (
        watching.gate.state.bands.hears
    )
    names = {each.__name__ for each in plain.gate.hears}
    assert "TradeReceived" not in names
    assert "TradeReceived" in {each.__name__ for each in watching.gate.hears}
