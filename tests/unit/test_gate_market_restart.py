"""What the gate was not there for may have happened: a fall of a tenth, a halt of the market.

Between two processes nobody heard any trades. Short sales are restricted as if the price had
fallen, and nothing is traded before something is known to trade.
"""

from typing import Any

import pytest

from schemas.base import Event, InstrumentId
from schemas.health import LinkChanged
from schemas.instruments import AssetClass
from schemas.market import BarClosed
from schemas.market_rules import (
    ClosingPricePublished,
    MarketRule,
    MarketRuleInvoked,
    MarketWideHaltDeclared,
    ShortSaleRestrictionChanged,
)
from schemas.orders import OrderType, Side
from services.gate.config_market import MarketWide, ShortSaleRule
from services.gate.core import GateCore
from tests.builders import S_NS, dec, instrument
from tests.gate_rig import book, reading
from tests.market_rig import IBM, MINUTE_NS, SPX, MarketRig, at

NOON_NS = at("2025-11-19 12:00")
SELL = Side.SELL
CLOSED = ("2025-11-19 16:00", "2025-11-20 16:00", "2025-11-21 16:00")


def restarted(found: MarketRig, now_ns: int) -> None:
    """Let a new process begin at a time; nothing was heard since the one before ended."""
    found.now_ns = now_ns
    found.restart()


def minute_bar(close_ns: int, closed_at: str = "100", key: InstrumentId = IBM) -> BarClosed:
    """Return a bar; an index has no volume."""
    price = dec(closed_at)
    return BarClosed(
        at_ns=close_ns,
        instrument=key,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=dec(0 if key == SPX else 1),
        open_ns=close_ns - MINUTE_NS,
        close_ns=close_ns,
    )


def shorted(now_ns: int = NOON_NS, **more: Any) -> MarketRig:
    """Return a gate under Rule 201, with a stock that closed at 100."""
    found = MarketRig(now_ns, short_sale_rule=ShortSaleRule.RULE_201, **more)
    found.close("100")
    return found


def sold(found: MarketRig, name: str) -> str:
    """Return the rule that decides on a short sale."""
    found.quote()
    return found.verdict(name, side=SELL, quantity="1")


@pytest.mark.req("G-05")
def test_after_a_restart_short_sales_are_restricted_for_the_rest_of_the_day_and_the_next() -> None:
    found = shorted()
    assert sold(found, "before") == "all"
    restarted(found, NOON_NS + MINUTE_NS)
    until_ns = at("2025-11-20 20:00")
    read = reading(found.ask("a", side=SELL), "short_sale")
    assert (read.is_ok, read.value) == (
        False,
        "None; not all was heard, so it is not known whether it fell by a tenth: "
        f"short sales restricted until {until_ns} ns",
    )
    above = {"order_type": OrderType.LIMIT, "limit": "99.91", "side": SELL}
    assert [found.verdict("b", **above), found.verdict("c")] == ["all", "all"]
    rules = []
    for number, day in enumerate(("20", "21")):
        found.go(at(f"2025-11-{day} 12:00"))
        found.close("100", day=CLOSED[number])
        rules.append(sold(found, day))
    assert rules == ["short_sale", "all"]


@pytest.mark.req("G-05")
def test_the_restart_after_it_does_not_forget_what_this_one_missed() -> None:
    found = shorted()
    restarted(found, NOON_NS + MINUTE_NS)
    kept = [each for each in found.kept if isinstance(each, MarketRuleInvoked)]
    assert kept[0] == MarketRuleInvoked(
        at_ns=NOON_NS + MINUTE_NS,
        rule=MarketRule.SHORT_SALE,
        instrument=IBM,
        from_ns=NOON_NS + MINUTE_NS,
        until_ns=at("2025-11-20 20:00"),
    )
    found.go(at("2025-11-19 16:30"))
    found.close("100", day=CLOSED[0])  # after the close: nothing is missed over night
    restarted(found, at("2025-11-20 09:00"))
    found.go(at("2025-11-20 12:00"))
    assert sold(found, "a") == "short_sale"


@pytest.mark.req("G-05")
@pytest.mark.parametrize(
    ("last", "wanted"), [("2025-11-19 16:30", "all"), ("2025-11-19 15:59", "short_sale")]
)
def test_a_restart_over_night_misses_nothing_if_the_close_was_heard(last: str, wanted: str) -> None:
    found = shorted()
    told = ClosingPricePublished(
        at_ns=at(last), instrument=SPX, price=dec(1), close_ns=at("2025-11-18 16:00")
    )
    found.now_ns = at(last)
    found.tell(told)
    restarted(found, at("2025-11-20 09:00"))
    found.close("100", day=CLOSED[0])
    found.go(at("2025-11-20 12:00"))
    assert sold(found, "a") == wanted


@pytest.mark.req("G-05", "M-05")
def test_the_listing_markets_word_ends_what_a_restart_had_to_assume() -> None:
    found = shorted()
    restarted(found, NOON_NS + MINUTE_NS)
    found.tell(ShortSaleRestrictionChanged(at_ns=found.now_ns, instrument=IBM, is_restricted=False))
    assert sold(found, "a") == "all"
    found.restart()  # at the same moment: nothing is missed
    assert sold(found, "b") == "all"


@pytest.mark.req("G-05")
def test_where_rule_201_is_not_chosen_a_restart_restricts_nothing() -> None:
    found = MarketRig(NOON_NS)
    found.close("100")
    restarted(found, NOON_NS + MINUTE_NS)
    assert (found.gate.wake_at_ns, sold(found, "a")) == (None, "all")


def following(kind: type[GateCore] = GateCore, **more: Any) -> MarketRig:
    """Return a gate that follows an index which closed at 1000, and has heard it trade."""
    found = MarketRig(
        NOON_NS, kind, market_wide=MarketWide.US, market_references={"XNYS": SPX}, **more
    )
    found.close("1000", SPX)
    found.trade("990", SPX)
    return found


def asked(found: MarketRig, name: str) -> tuple[bool, str]:
    """Return what the check of halts says."""
    found.quote()
    read = reading(found.ask(name), "market_wide_halt")
    return read.is_ok, read.value


@pytest.mark.req("G-05")
def test_after_a_restart_nothing_is_traded_before_the_reference_is_known_to_trade() -> None:
    found = following()
    assert asked(found, "before") == (True, "")
    restarted(found, NOON_NS + MINUTE_NS)
    said = (
        "not all was heard, so it is not known whether it is halted: "
        "no trade of cboe:SPX yet, nor quotes that show it"
    )
    assert asked(found, "a") == (False, said)
    found.trade("940", SPX)
    assert asked(found, "b") == (True, "")
    restarted(found, NOON_NS + 2 * MINUTE_NS)
    found.trade("800", SPX)  # it stands where level 3 has stopped it
    halted = f"halted, level 3, until {at('2025-11-19 20:00')} ns"
    assert asked(found, "c") == (False, halted)


@pytest.mark.req("G-05")
def test_a_bar_of_the_reference_is_as_good_as_a_trade_of_it() -> None:
    found = following()
    restarted(found, NOON_NS + MINUTE_NS)
    assert asked(found, "a")[0] is False
    found.tell(minute_bar(found.now_ns, "990", SPX))
    assert asked(found, "b") == (True, "")
    found.tell(minute_bar(found.now_ns, "800", SPX))
    halted = f"halted, level 3, until {at('2025-11-19 20:00')} ns"
    assert asked(found, "c") == (False, halted)


@pytest.mark.req("G-05", "G-01")
def test_what_reduces_passes_while_a_halt_is_only_not_known_and_never_in_one() -> None:
    found = following()
    restarted(found, NOON_NS + MINUTE_NS)
    found.tell(book(held={IBM: "20"}, at_ns=found.now_ns + 1))
    out: dict[str, Any] = {"side": SELL, "quantity": "10"}
    rules = [found.verdict("opens", **out), found.verdict("closes", is_reduce_only=True, **out)]
    assert rules == ["market_wide_halt", "all"]
    found.trade("800", SPX)
    assert found.verdict("halted", is_reduce_only=True, **out) == "market_wide_halt"


@pytest.mark.req("G-05")
def test_a_restart_outside_regular_hours_has_missed_no_halt_of_that_day() -> None:
    found = following()
    found.go(at("2025-11-19 16:30"))
    found.close("990", SPX, CLOSED[0])
    restarted(found, at("2025-11-20 09:00"))
    found.go(at("2025-11-20 09:31"))
    assert asked(found, "a") == (True, "")


@pytest.mark.req("G-05", "M-05")
@pytest.mark.parametrize("how", ["a trade", "a bar", "the market's word"])
def test_without_a_reference_any_trade_of_the_market_shows_that_it_goes_on(how: str) -> None:
    found = MarketRig(NOON_NS, market_wide=MarketWide.US)
    assert asked(found, "before") == (True, "")
    restarted(found, NOON_NS + MINUTE_NS)
    said = (
        "not all was heard, so it is not known whether it is halted: "
        "no trade in this market yet, nor quotes that show it"
    )
    assert asked(found, "a") == (False, said)
    if how == "a trade":
        found.trade("100")
    elif how == "a bar":
        found.tell(minute_bar(found.now_ns))  # of the minute before: the halt may have begun since
        assert asked(found, "bar")[0] is False
        found.go(found.now_ns + MINUTE_NS)
        found.tell(minute_bar(found.now_ns))
    else:
        told: Event = MarketWideHaltDeclared(
            at_ns=found.now_ns, market="XNYS", level=0, resumes_ns=found.now_ns
        )
        found.tell(told)
    assert asked(found, "b") == (True, "")


@pytest.mark.req("G-05")
def test_where_no_halt_of_the_market_holds_a_restart_asks_for_nothing() -> None:
    chosen = MarketRig(NOON_NS, market_wide=MarketWide.NONE)
    crypto = MarketRig(NOON_NS, stock=instrument(IBM, asset_class=AssetClass.SPOT))
    rules = []
    for found in (chosen, crypto):
        restarted(found, NOON_NS + S_NS)
        rules.append(found.verdict("a"))
    assert rules == ["all", "all"]


def without_the_bus(found: MarketRig, from_ns: int, until_ns: int) -> None:
    """Let the bus be away for a while; then the executor tells its book again."""
    for now_ns, is_up in ((from_ns, False), (until_ns, True)):
        found.go(now_ns)
        found.tell(LinkChanged(at_ns=now_ns, is_up=is_up))
    found.go(until_ns)
    found.tell(book(at_ns=found.now_ns))


@pytest.mark.req("G-05")
def test_what_was_said_while_the_bus_was_away_may_have_been_a_halt() -> None:
    found = following()
    without_the_bus(found, NOON_NS + S_NS, NOON_NS + 2 * S_NS)
    assert asked(found, "a")[1].startswith("not all was heard, so it is not known whether")
    found.trade("990", SPX)
    assert asked(found, "b") == (True, "")


@pytest.mark.req("G-05")
def test_a_fall_may_have_been_while_the_bus_was_away_and_a_restart_knows_it() -> None:
    found = shorted()
    without_the_bus(found, NOON_NS + S_NS, NOON_NS + 2 * S_NS)
    assert sold(found, "a") == "short_sale"
    kept = [each for each in found.kept if isinstance(each, MarketRuleInvoked)]
    until_ns = at("2025-11-20 20:00")
    assert {each.instrument: each.until_ns for each in kept} == {IBM: until_ns, SPX: until_ns}
    without_the_bus(found, NOON_NS + 3 * S_NS, NOON_NS + 4 * S_NS)
    assert [each for each in found.kept if isinstance(each, MarketRuleInvoked)] == kept
    found.now_ns = at("2025-11-19 16:30")
    found.close("100", day=CLOSED[0])
    restarted(found, at("2025-11-20 09:00"))
    found.go(at("2025-11-20 12:00"))
    assert sold(found, "b") == "short_sale"


@pytest.mark.req("G-05")
def test_without_the_bus_outside_regular_hours_nothing_is_missed() -> None:
    found = following(short_sale_rule=ShortSaleRule.RULE_201)
    found.close("100")
    without_the_bus(found, at("2025-11-19 16:00"), at("2025-11-19 17:00"))
    found.close("990", SPX, CLOSED[0])
    found.close("100", day=CLOSED[0])
    found.go(at("2025-11-20 12:00"))
    assert (asked(found, "a"), sold(found, "b")) == ((True, ""), "all")
