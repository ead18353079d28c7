"""Market-wide breakers: 7, 13 and 20 % of the index, 15 minutes, 15:25, and the rest of the day."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.base import Event, InstrumentId
from schemas.errors import UserError
from schemas.instruments import AssetClass, DataKind
from schemas.market_rules import (
    ClosingPriceNoted,
    MarketRule,
    MarketRuleInvoked,
    MarketWideHaltDeclared,
)
from services.gate.config_market import LimitTier, MarketWide
from services.gate.core import GateCore
from services.gate.market_halt import level_of
from tests.builders import S_NS, dec, instrument
from tests.gate_rig import config, reading, running_guard
from tests.market_rig import IBM, INDEX, MINUTE_NS, RULES, SPX, STOCK, MarketRig, at
from tests.unit.test_gate_hours import without

NOON_NS = at("2025-11-19 12:00")
END_NS = at("2025-11-19 20:00")


def rig(now_ns: int = NOON_NS, **more: Any) -> MarketRig:
    """Return a gate that follows an index which closed at 1000."""
    found = MarketRig(now_ns, market_wide=MarketWide.US, market_references={"XNYS": SPX}, **more)
    found.close("1000", SPX)
    return found


def at_time(found: MarketRig, now_ns: int) -> str:
    """Return the rule that decides at a later time."""
    found.go(now_ns)
    found.quote()
    return found.verdict(f"s{now_ns}-{len(found.kept)}")


@pytest.mark.parametrize(
    ("price", "wanted"),
    [("930.01", 0), ("930", 1), ("870.01", 1), ("870", 2), ("800.01", 2), ("800", 3), ("1", 3)],
)
def test_a_level_is_reached_at_its_very_price(price: str, wanted: int) -> None:
    assert level_of(dec(price), dec(1000)) == wanted


@pytest.mark.req("G-05")
@pytest.mark.parametrize(("price", "level"), [("930", 1), ("870", 2)])
def test_level_one_and_two_halt_for_fifteen_minutes_to_the_ns(price: str, level: int) -> None:
    found = rig()
    assert found.verdict("before") == "all"
    found.trade(price, SPX)
    resumes_ns = NOON_NS + 15 * MINUTE_NS
    read = reading(found.ask("a"), "market_wide_halt")
    assert (read.is_ok, read.value) == (False, f"halted, level {level}, until {resumes_ns} ns")
    assert at_time(found, resumes_ns - 1) == "market_wide_halt"
    assert at_time(found, resumes_ns) == "all"


@pytest.mark.req("G-05")
def test_level_three_halts_for_the_rest_of_the_day() -> None:
    found = rig()
    found.trade("800", SPX)
    assert at_time(found, NOON_NS + 16 * MINUTE_NS) == "market_wide_halt"
    assert at_time(found, at("2025-11-19 15:59")) == "market_wide_halt"
    found.close("800", SPX, "2025-11-19 16:00")
    assert at_time(found, at("2025-11-20 09:30")) == "all"


@pytest.mark.req("G-05")
@pytest.mark.parametrize(
    ("day", "last"), [("2025-11-19", "15:25"), ("2025-11-28", "12:25")], ids=["full", "half"]
)
def test_only_level_three_halts_from_35_minutes_before_the_close(day: str, last: str) -> None:
    verdicts = []
    for now_ns, price in (
        (at(f"{day} {last}") - 1, "930"),
        (at(f"{day} {last}"), "870"),
        (at(f"{day} {last}"), "800"),
    ):
        found = rig(now_ns)
        before = "2025-11-26 16:00" if day == "2025-11-28" else "2025-11-18 16:00"
        found.close("1000", SPX, before)
        found.trade(price, SPX)
        verdicts.append(found.verdict("a"))
    assert verdicts == ["market_wide_halt", "all", "market_wide_halt"]


@pytest.mark.req("G-05")
def test_each_level_halts_once_a_day() -> None:
    found = rig()
    found.trade("930", SPX)
    found.go(NOON_NS + 16 * MINUTE_NS)
    found.trade("925", SPX)
    assert at_time(found, found.now_ns) == "all"
    found.trade("870", SPX)
    assert at_time(found, found.now_ns) == "market_wide_halt"
    found.go(found.now_ns + 16 * MINUTE_NS)
    found.trade("929", SPX)
    assert at_time(found, found.now_ns) == "all"


def test_the_next_day_begins_at_level_nought_again() -> None:
    found = rig()
    found.trade("930", SPX)
    found.close("930", SPX, "2025-11-19 16:00")
    found.go(at("2025-11-20 10:00"))
    found.quote()
    found.trade("864.90", SPX)
    assert at_time(found, found.now_ns) == "market_wide_halt"


@pytest.mark.req("G-05", "M-05")
def test_a_declared_halt_holds_from_when_it_is_heard_to_its_resumption() -> None:
    found = MarketRig(NOON_NS, market_wide=MarketWide.US)
    found.tell(halt(1, NOON_NS + 10 * MINUTE_NS))
    assert at_time(found, NOON_NS + 10 * MINUTE_NS - 1) == "market_wide_halt"
    assert at_time(found, NOON_NS + 10 * MINUTE_NS) == "all"


@pytest.mark.req("M-05")
def test_a_declared_halt_without_an_end_lasts_for_that_day() -> None:
    found = MarketRig(NOON_NS, market_wide=MarketWide.US)
    found.tell(halt(3, 0))
    assert at_time(found, at("2025-11-19 15:59:59")) == "market_wide_halt"
    assert at_time(found, at("2025-11-20 09:30")) == "all"


@pytest.mark.parametrize(
    ("market", "wanted"),
    [
        ("XNYS", "market_wide_halt"),
        ("XNAS", "market_wide_halt"),
        ("XLON", "all"),
        ("us", "market_wide_halt"),  # of no market we know: it may be ours
    ],
)
def test_a_halt_holds_for_its_own_market(market: str, wanted: str) -> None:
    found = MarketRig(NOON_NS, market_wide=MarketWide.US)
    found.tell(halt(1, END_NS, market))
    assert found.verdict("a") == wanted


def test_an_instrument_that_is_under_no_such_halt_goes_on_trading() -> None:
    found = rig()
    found.trade("800", SPX)
    assert found.verdict("a") == "market_wide_halt"
    other = MarketRig(NOON_NS, market_wide=MarketWide.NONE, market_references={"XNYS": SPX})
    other.close("1000", SPX)
    other.trade("800", SPX)
    assert other.verdict("a") == "all"


@pytest.mark.req("G-05")
def test_without_a_closing_price_of_the_reference_nothing_passes() -> None:
    found = MarketRig(NOON_NS, market_wide=MarketWide.US, market_references={"XNYS": SPX})
    read = reading(found.ask("a"), "market_wide_halt")
    assert read.value == "no closing price of the reference"
    found.close("1000", SPX, "2025-11-17 16:00")  # of another day
    assert found.verdict("b") == "market_wide_halt"
    found.close("1000", SPX)
    assert found.verdict("c") == "all"


@pytest.mark.req("G-05")
@pytest.mark.parametrize("kept", [True, False])
def test_a_restart_in_a_halt_does_not_forget_it(kept: bool) -> None:
    found = rig()
    found.trade("930", SPX)
    said = found.go(NOON_NS)
    assert said == [
        MarketRuleInvoked(
            at_ns=NOON_NS,
            rule=MarketRule.MARKET_WIDE,
            instrument=SPX,
            from_ns=NOON_NS,
            until_ns=NOON_NS + 15 * MINUTE_NS,
            level=1,
            price=Decimal(930),
        )
    ]
    if not kept:  # the harm, if the gate did not keep what it found out
        found.kept = [each for each in found.kept if not isinstance(each, MarketRuleInvoked)]
    found.now_ns += S_NS
    found.restart()
    read = reading(found.ask("a"), "market_wide_halt")
    assert (read.is_ok, "not all was heard" in read.value) == (False, not kept)


@pytest.mark.req("M-05")
def test_a_restart_does_not_forget_a_declared_halt() -> None:
    found = MarketRig(NOON_NS, market_wide=MarketWide.US)
    found.tell(halt(1, NOON_NS + 10 * MINUTE_NS))
    found.now_ns = NOON_NS + MINUTE_NS
    found.restart()
    assert found.verdict("a") == "market_wide_halt"


def test_the_last_trade_of_the_day_becomes_the_closing_price_of_the_next() -> None:
    found = rig()
    found.trade("950", SPX)
    [noted] = found.go(at("2025-11-20 12:00"))
    assert noted == ClosingPriceNoted(
        at_ns=at("2025-11-19 16:00"),
        instrument=SPX,
        price=Decimal(950),
        close_ns=at("2025-11-19 16:00"),
    )
    found.restart()
    found.trade("884", SPX)
    assert at_time(found, found.now_ns) == "all"
    found.trade("883.50", SPX)  # 93 % of 950
    assert at_time(found, found.now_ns) == "market_wide_halt"


def test_a_published_closing_price_wins_over_the_last_trade() -> None:
    found = rig()
    found.trade("950", SPX)
    found.go(at("2025-11-19 16:05"))
    found.close("1000", SPX, "2025-11-19 16:00")
    found.go(at("2025-11-20 12:00"))
    found.quote()
    found.trade("930", SPX)
    assert found.verdict("a") == "market_wide_halt"


def test_prices_outside_regular_hours_halt_nothing() -> None:
    found = rig(at("2025-11-19 09:29:59"))
    found.trade("800", SPX)
    assert at_time(found, at("2025-11-19 09:30")) == "all"


def test_after_a_halt_of_the_market_each_stock_needs_a_new_reference_price() -> None:
    found = rig(luld_tier=LimitTier.ONE)
    found.close("100")
    found.trade("100")
    assert found.verdict("a") == "all"
    found.trade("930", SPX)
    resumes_ns = NOON_NS + 15 * MINUTE_NS
    assert at_time(found, resumes_ns) == "price_bands"
    found.trade("100")
    assert at_time(found, resumes_ns + S_NS) == "all"


@pytest.mark.req("G-05")
def test_without_the_check_orders_go_out_in_a_market_wide_halt() -> None:
    verdicts = []
    for kind in (without(), without("market_wide_halt")):
        found = rig(kind=kind)
        found.trade("800", SPX)
        verdicts.append(found.verdict("a"))
    assert verdicts == ["market_wide_halt", "all"]


@pytest.mark.parametrize(
    ("references", "path"),
    [
        ({"XNYS": InstrumentId("cboe:SPY")}, "gate.market_references.XNYS"),
        ({"XLON": SPX}, "gate.market_references.XLON"),
    ],
)
def test_a_reference_that_could_halt_nothing_is_refused(
    references: dict[str, InstrumentId], path: str
) -> None:
    with pytest.raises(UserError) as refused:
        MarketRig(NOON_NS, market_references=references)
    assert refused.value.fields["path"] == path


def test_options_on_us_stocks_halt_with_them() -> None:
    option = instrument(IBM, calendar="XNYS", asset_class=AssetClass.OPTION)
    found = rig(stock=option)
    found.trade("870", SPX)
    assert found.verdict("a") == "market_wide_halt"


def halt(level: int, resumes_ns: int, market: str = "XNYS") -> Event:
    """Return the news of a halt."""
    return MarketWideHaltDeclared(at_ns=NOON_NS, market=market, level=level, resumes_ns=resumes_ns)


@pytest.mark.req("G-05")
@pytest.mark.parametrize(
    ("offers", "is_followed"),
    [
        ((), True),  # nobody has said what the feed tells
        ((DataKind.PRICES, DataKind.TRADES), True),
        ((DataKind.BARS,), True),
        ((DataKind.PRICES, DataKind.BOOK), False),
    ],
)
def test_a_reference_of_which_only_quotes_are_told_would_halt_nothing_and_is_refused(
    offers: tuple[DataKind, ...], is_followed: bool
) -> None:
    known = {IBM: STOCK, SPX: msgspec.structs.replace(INDEX, offers=offers)}
    gate_config = config(**(RULES | {"market_references": {"XNYS": SPX}}))
    if is_followed:
        assert GateCore(gate_config, known, running_guard()).state.market_wide.markets
        return
    with pytest.raises(UserError) as caught:
        GateCore(gate_config, known, running_guard())
    assert (caught.value.fields["path"], caught.value.fields["found"]) == (
        "gate.market_references.XNYS",
        "cboe:SPX, of which the feed tells prices, book alone",
    )


@pytest.mark.req("G-05", "M-05")
@pytest.mark.parametrize("is_restarted", [False, True])
def test_the_word_that_trading_goes_on_does_not_make_a_used_level_halt_again(
    is_restarted: bool,
) -> None:
    found = rig()
    found.trade("930", SPX)
    resumes_ns = NOON_NS + 15 * MINUTE_NS
    found.go(resumes_ns)
    goes_on = MarketWideHaltDeclared(
        at_ns=resumes_ns, market="XNYS", level=0, resumes_ns=resumes_ns
    )
    found.tell(goes_on)
    if is_restarted:
        found.restart()
    found.trade("929", SPX)
    assert at_time(found, resumes_ns + 1) == "all"
    found.trade("870", SPX)
    assert at_time(found, resumes_ns + 2) == "market_wide_halt"
