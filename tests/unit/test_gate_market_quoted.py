"""After a restart quotes alone show that no halt of the market is on: later than a trade does.

A halt of level 1 or 2 that nobody heard of is over after 15 minutes; in one of level 3 nobody may
quote.
"""

from typing import Any

import pytest

from schemas.market_rules import MarketWideHaltDeclared
from schemas.orders import OrderType
from services.gate import market_quoted
from services.gate.config_market import MarketWide
from tests.builders import S_NS
from tests.market_rig import MINUTE_NS, SPX, MarketRig, at
from tests.unit.test_gate_market_restart import (
    NOON_NS,
    SELL,
    asked,
    following,
    restarted,
    shorted,
)

BACK_NS = NOON_NS + MINUTE_NS
OVER_NS = BACK_NS + 15 * MINUTE_NS
"""Whatever halt of level 1 or 2 began unheard is over."""

UNKNOWN = "not all was heard, so it is not known whether it is halted: no trade"


def quote_only(back_ns: int = BACK_NS) -> MarketRig:
    """Return a gate without a reference and without trades, that restarted in regular hours."""
    found = MarketRig(NOON_NS, market_wide=MarketWide.US)
    restarted(found, back_ns)
    return found


def quoted(found: MarketRig, now_ns: int, bid: str = "99.80", **more: Any) -> str:
    """Quote at a time, let the gate look at it, and return the rule that then decides."""
    found.go(now_ns)
    found.quote(bid, **more)
    found.go(now_ns + S_NS)
    found.quote(bid)
    return found.verdict(f"s{now_ns}-{len(found.kept)}")


@pytest.mark.req("G-05")
def test_a_feed_of_quotes_alone_goes_on_once_no_unheard_halt_can_last() -> None:
    found = quote_only()
    rules = {
        minute: quoted(found, BACK_NS + minute * MINUTE_NS, f"99.{minute + 60}")
        for minute in (1, 5, 10, 14)
    }
    assert set(rules.values()) == {"market_wide_halt"}
    assert quoted(found, OVER_NS - 2 * S_NS, "99.80") == "market_wide_halt"
    found.go(OVER_NS)
    assert quoted(found, OVER_NS + S_NS, "99.81") == "all"
    found.go(at("2025-11-19 15:00"))
    assert asked(found, "later") == (True, "")


@pytest.mark.req("G-05")
def test_without_the_wait_an_order_passes_in_a_halt_that_is_about_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Level 1 at 12:00, unheard; from 12:10 on the exchanges take quotes, and do not trade."""
    in_the_halt_ns = NOON_NS + 11 * MINUTE_NS
    assert quoted(quote_only(), in_the_halt_ns) == "market_wide_halt"
    monkeypatch.setattr(market_quoted, "HALT_NS", 0)
    assert quoted(quote_only(), in_the_halt_ns) == "all"


@pytest.mark.req("G-05")
def test_what_is_not_quoted_anew_on_both_sides_shows_nothing_all_day() -> None:
    rules = set()
    for bid, ask in (("99.90", "100.00"), ("0", "100.00"), ("99.90", "0"), ("101", "100")):
        found = quote_only()
        found.quote()
        found.go(OVER_NS + MINUTE_NS)
        found.quote(bid, ask)
        found.go(at("2025-11-19 15:59"))
        found.quote()
        rules.add(found.verdict("a"))
    assert rules == {"market_wide_halt"}
    found.go(at("2025-11-19 16:00"))
    assert found.gate.wake_at_ns is None  # nothing is looked for any more


@pytest.mark.req("G-05")
def test_the_first_quote_of_all_may_be_an_old_one_told_again() -> None:
    found = MarketRig(NOON_NS, market_wide=MarketWide.US)
    found.now_ns = BACK_NS
    found.quote = lambda *_, **__: None  # type: ignore[method-assign]
    found.restart()
    del found.quote
    assert quoted(found, OVER_NS + MINUTE_NS) == "market_wide_halt"
    assert quoted(found, OVER_NS + 2 * MINUTE_NS, "99.70") == "all"


@pytest.mark.req("G-05")
@pytest.mark.parametrize(
    ("back", "early", "late"),
    [("15:30", "15:39:58", "15:40:10"), ("15:50", "15:50", "15:50:10")],
)
def test_before_the_close_no_short_halt_begins_so_the_wait_is_shorter(
    back: str, early: str, late: str
) -> None:
    found = quote_only(at(f"2025-11-19 {back}"))
    assert asked(found, "a")[1].startswith(UNKNOWN)
    rule = quoted(found, at(f"2025-11-19 {early}"), "99.70")
    assert (rule, quoted(found, at(f"2025-11-19 {late}"), "99.71")) == ("market_wide_halt", "all")


@pytest.mark.req("G-05")
@pytest.mark.parametrize(
    ("bid", "wanted"), [("870.01", "all"), ("870", "market_wide_halt"), ("790", "market_wide_halt")]
)
def test_a_reference_that_is_quoted_near_level_three_shows_nothing(bid: str, wanted: str) -> None:
    found = following()
    restarted(found, BACK_NS)
    found.go(OVER_NS)
    found.quote("990", "991", instrument=SPX)
    assert quoted(found, OVER_NS + MINUTE_NS) == "market_wide_halt"  # the stock shows nothing
    found.quote(bid, "991", instrument=SPX)
    assert quoted(found, OVER_NS + 2 * MINUTE_NS) == wanted


@pytest.mark.req("G-05", "M-05")
def test_a_halt_that_is_declared_after_the_restart_holds_whatever_is_quoted() -> None:
    found = quote_only()
    found.go(OVER_NS)
    told = MarketWideHaltDeclared(at_ns=OVER_NS, market="XNYS", level=3)
    found.tell(told)
    assert quoted(found, OVER_NS + MINUTE_NS, "99.70") == "market_wide_halt"
    assert asked(found, "a")[1].startswith("halted, level 3")


@pytest.mark.req("G-05", "G-01")
def test_another_restart_waits_anew() -> None:
    found = quote_only()
    found.go(OVER_NS)
    assert quoted(found, OVER_NS + S_NS, "99.81") == "all"
    restarted(found, OVER_NS + MINUTE_NS)
    assert quoted(found, OVER_NS + 2 * MINUTE_NS, "99.82") == "market_wide_halt"
    found.go(OVER_NS + 16 * MINUTE_NS)
    assert quoted(found, OVER_NS + 17 * MINUTE_NS, "99.83") == "all"


@pytest.mark.req("G-05")
@pytest.mark.parametrize(("ask", "wanted"), [("90.01", "all"), ("90.00", "short_sale")])
def test_what_is_offered_a_tenth_lower_is_sold_short_above_the_bid_alone(
    ask: str, wanted: str
) -> None:
    """A feed of quotes tells of no trade that restricts; what is offered so low has traded so."""
    found = shorted()
    found.quote("89.95", ask)
    assert found.verdict("at the bid", side=SELL, quantity="1") == wanted
    above = {"order_type": OrderType.LIMIT, "limit": "89.96", "side": SELL}
    assert found.verdict("above it", **above) == "all"
