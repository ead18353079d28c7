"""Outside its market's hours nothing is traded; extended hours only where somebody chose them."""

from typing import Any

import msgspec
import pytest

from schemas.instruments import AssetClass, Instrument
from services.gate.config_market import ExtendedHours, LimitTier, MarketWide, ShortSaleRule
from services.gate.core import GateCore
from services.gate.table import CHECKS
from tests.builders import instrument
from tests.gate_rig import reading
from tests.market_rig import IBM, MINUTE_NS, OPEN_NS, MarketRig, at


def without(*names: str) -> type[GateCore]:
    """Return a gate whose table lacks these checks."""

    class Weakened(GateCore):
        checks = tuple(check for check in CHECKS if check.name not in names)

    return Weakened


def rules(*times_ns: int, **more: Any) -> list[str]:
    """Return the rule that decides at each time."""
    return [MarketRig(each, **more).verdict(f"s{each}") for each in times_ns]


@pytest.mark.req("G-05", "S-07")
@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        ("2025-11-19", "09:30", "16:00"),
        ("2025-11-28", "09:30", "13:00"),
        ("2025-03-07", "09:30", "16:00"),
        ("2025-03-10", "09:30", "16:00"),
        ("2025-11-03", "09:30", "16:00"),
    ],
)
def test_orders_pass_from_the_ns_of_the_open_to_the_last_before_the_close(
    day: str, opens: str, closes: str
) -> None:
    first, end = at(f"{day} {opens}"), at(f"{day} {closes}")
    assert rules(first - 1, first, end - 1, end) == ["market_hours", "all", "all", "market_hours"]


@pytest.mark.req("G-05")
@pytest.mark.parametrize(
    "stock",
    [
        instrument(IBM, calendar="XNYS", asset_class=AssetClass.FUTURE),
        instrument(IBM, asset_class=AssetClass.PERPETUAL),
    ],
)
def test_a_contract_is_not_traded_from_the_ns_on_in_which_it_expires(stock: Instrument) -> None:
    end_ns = OPEN_NS + MINUTE_NS
    rig = MarketRig(OPEN_NS, stock=msgspec.structs.replace(stock, expires_ns=end_ns))
    verdicts = []
    for now_ns in (OPEN_NS, end_ns - 1, end_ns, end_ns + 1):
        rig.go(now_ns)
        rig.quote()
        verdicts.append(rig.verdict(f"s{now_ns}"))
    assert verdicts == ["all", "all", "market_hours", "market_hours"]


def test_the_pause_at_noon_is_kept_also_by_a_gate_that_was_asked_before() -> None:
    stock = instrument(IBM, calendar="XTKS")
    day, tokyo = "2025-11-19", "Asia/Tokyo"
    rig = MarketRig(at(f"{day} 09:00", tokyo), stock=stock)
    begins_ns, ends_ns = at(f"{day} 11:30", tokyo), at(f"{day} 12:30", tokyo)
    verdicts = []
    for number, now_ns in enumerate((rig.now_ns, begins_ns - 1, begins_ns, ends_ns - 1, ends_ns)):
        rig.go(now_ns)
        rig.quote()
        verdicts.append(rig.verdict(f"s{number}"))
    assert verdicts == ["all", "all", "market_hours", "market_hours", "all"]
    rig.go(at(f"{day} 15:30", tokyo))
    rig.quote()
    assert rig.verdict("closed") == "market_hours"


@pytest.mark.req("S-07")
@pytest.mark.parametrize("when", ["2025-11-27 12:00", "2025-11-22 12:00", "2025-11-19 02:00"])
def test_on_holidays_weekends_and_at_night_nothing_passes(when: str) -> None:
    every = ExtendedHours.BOTH
    assert rules(at(when), extended_hours=every) == ["market_hours"]


@pytest.mark.req("S-07")
@pytest.mark.parametrize(
    ("chosen", "wanted"),
    [
        (ExtendedHours.NONE, ["market_hours", "market_hours"]),
        (ExtendedHours.PRE, ["all", "market_hours"]),
        (ExtendedHours.POST, ["market_hours", "all"]),
        (ExtendedHours.BOTH, ["all", "all"]),
        (None, ["limit_missing", "limit_missing"]),
    ],
)
def test_extended_hours_pass_only_where_they_are_chosen(
    chosen: ExtendedHours | None, wanted: list[str]
) -> None:
    times = at("2025-11-19 08:00"), at("2025-11-19 17:00")
    assert rules(*times, extended_hours=chosen) == wanted


@pytest.mark.req("S-07")
def test_at_night_it_is_closed_also_where_nobody_chose_extended_hours() -> None:
    assert rules(at("2025-11-19 02:00"), extended_hours=None) == ["market_hours"]


def test_a_decision_says_which_calendar_is_closed() -> None:
    rig = MarketRig(at("2025-11-27 12:00"))
    read = reading(rig.ask("a"), "market_hours")
    assert (read.is_ok, read.value, read.limit) == (False, "closed (XNYS)", "open")


@pytest.mark.req("S-07")
def test_beyond_the_end_of_the_table_nothing_passes() -> None:
    rig = MarketRig(at("2031-01-02 12:00"))
    assert reading(rig.ask("a"), "market_hours").value == "not known (XNYS)"


@pytest.mark.parametrize(
    ("kind", "calendar", "wanted"),
    [
        (AssetClass.EQUITY, "", "limit_missing"),
        (AssetClass.FUTURE, "", "limit_missing"),
        (AssetClass.OPTION, "", "limit_missing"),
        (AssetClass.SPOT, "", "all"),
        (AssetClass.PERPETUAL, "", "all"),
        (AssetClass.FX, "", "market_hours"),
        (AssetClass.EQUITY, "24x7", "all"),
    ],
)
def test_an_instrument_without_a_calendar_has_its_asset_classes_or_is_not_traded(
    kind: AssetClass, calendar: str, wanted: str
) -> None:
    stock = instrument(IBM, asset_class=kind, calendar=calendar)
    assert rules(at("2025-11-22 12:00"), stock=stock) == [wanted]


def test_what_is_missing_is_said_with_the_place_to_choose_it() -> None:
    stock = instrument(IBM, calendar="")
    rig = MarketRig(stock=stock)
    assert rig.ask("a").detail == (
        'no limit calendar: set calendar in the row [[instruments]] of "nyse:IBM"'
    )
    rig = MarketRig(luld_tier=None)
    assert rig.ask("a").detail == (
        'no limit luld_tier: set gate.market."nyse:IBM".luld_tier or gate.market.default.luld_tier'
    )


@pytest.mark.req("G-05")
@pytest.mark.parametrize("name", ["luld_tier", "market_wide"])
def test_a_us_stock_whose_regime_nobody_chose_is_not_traded(name: str) -> None:
    assert rules(OPEN_NS, **{name: None}) == ["limit_missing"]
    elsewhere = instrument(IBM, calendar="24x7")
    assert rules(OPEN_NS, stock=elsewhere, **{name: None}) == ["all"]


def test_everything_unchosen_of_a_us_stock_refuses_the_start() -> None:
    nothing: dict[str, Any] = {"luld_tier": None, "market_wide": None, "short_sale_rule": None}
    rig = MarketRig(extended_hours=None, locked_market=None, **nothing)
    paths = [each.path for each in rig.gate.state.hours.unchosen[IBM]]
    names = ("locked_market", "luld_tier", "short_sale_rule", "extended_hours", "market_wide")
    assert paths == [
        f'gate.market."nyse:IBM".{name} or gate.market.default.{name}' for name in names
    ]
    chosen = MarketRig(
        luld_tier=LimitTier.ONE,
        market_wide=MarketWide.US,
        short_sale_rule=ShortSaleRule.RULE_201,
    )
    assert chosen.gate.state.hours.unchosen[IBM] == ()


@pytest.mark.req("G-05")
def test_without_the_check_an_order_goes_out_on_a_holiday() -> None:
    holiday_ns = at("2025-12-25 12:00")
    whole, weakened = MarketRig(holiday_ns), MarketRig(holiday_ns, without("market_hours"))
    assert (whole.verdict("a"), weakened.verdict("a")) == ("market_hours", "all")
