"""Compliance: exact dates and boundaries of each rule, and what nobody has chosen."""

from typing import Any

import msgspec
import pytest

from schemas.base import AccountId, InstrumentId, OrderId
from schemas.compliance import MarginDeficitNoted
from schemas.health import AlertRaised
from schemas.instruments import AssetClass
from schemas.orders import OrderType, Side, SignalDecided, TimeInForce
from services.calendars.calendar import DAY_NS
from services.calendars.named import calendar_named
from services.gate.compliance_days import BusinessDays, date_ns
from services.gate.compliance_margin import Margin
from services.gate.config import GateConfig
from services.gate.config_compliance import (
    ComplianceRules,
    DayTrading,
    DayTradingSwitch,
    Locate,
    Restricted,
    SelfTrade,
    WashSale,
)
from tests.builders import ACCOUNT, ALPHA, BETA, MS_NS, S_NS, dec, instrument
from tests.gate_rig import INSTRUMENTS, book, only, reading, resting, view
from tests.rules_rig import HOUR_NS, OPEN_NS, RulesRig, known

SELL, BUY, LIMIT = Side.SELL, Side.BUY, OrderType.LIMIT
PATTERN: dict[str, Any] = {"day_trading": DayTrading.PATTERN_DAY_TRADER, "calendar": "XNYS"}
INTRADAY: dict[str, Any] = {"day_trading": DayTrading.INTRADAY_MARGIN, "calendar": "XNYS"}


def refusal(text: str) -> str:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(text, type=ComplianceRules)
    return str(caught.value)


# What is chosen, and what is not


@pytest.mark.req("G-06")
@pytest.mark.parametrize("name", ["day_trading", "wash_sale", "self_trade"])
def test_a_regime_nobody_has_chosen_denies_and_says_where(name: str) -> None:
    changes: dict[str, Any] = {name: None}
    rig = RulesRig(**changes)
    decided = rig.decide(rig.signal())
    assert (decided.rule, decided.detail) == (
        "limit_missing",
        f"no limit {name}: set gate.compliance.paper.{name}",
    )


@pytest.mark.req("G-06")
def test_locates_must_be_chosen_for_short_sales_only() -> None:
    rig = RulesRig(short_locate=None)
    assert [rig.rule("a"), rig.rule("b", side=SELL)] == ["all", "limit_missing"]


@pytest.mark.req("G-06")
def test_without_any_row_of_compliance_equities_are_denied() -> None:
    rig = RulesRig(compliance={})
    assert rig.decide(rig.signal()).detail.endswith("set gate.compliance.paper.self_trade")


@pytest.mark.req("G-06")
def test_a_day_trading_regime_without_a_calendar_denies() -> None:
    for regime in (DayTrading.PATTERN_DAY_TRADER, DayTrading.INTRADAY_MARGIN):
        rig = RulesRig(day_trading=regime)
        assert rig.decide(rig.signal()).detail.endswith("set gate.compliance.paper.calendar")


@pytest.mark.req("G-06")
def test_rules_of_securities_do_not_ask_anything_of_other_instruments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spot = msgspec.structs.replace(INSTRUMENTS[ALPHA], asset_class=AssetClass.SPOT)
    monkeypatch.setitem(INSTRUMENTS, ALPHA, spot)
    rig = RulesRig(day_trading=None, wash_sale=None, short_locate=None)
    assert [rig.rule("a"), rig.rule("b", side=SELL)] == ["all", "all"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '{"day_trading":"pattern"}',
            "Invalid enum value 'pattern' - at `$.day_trading`",
        ),
        (
            '{"day_trading_switches":[{"on":"2026-06-03","to":"intraday_margin"}]}',
            "day_trading_switches: found intraday_margin on 2026-06-03, wanted 2026-06-04 or later",
        ),
        (
            '{"day_trading_switches":[{"on":"2026-07-01","to":"none"},{"on":"2026-07-01","to":"none"}]}',
            "day_trading_switches: wanted each later than the one before",
        ),
        ('{"frozen_until":"soon"}', "frozen_until: found 'soon', wanted a date like 2026-06-04"),
        (
            '{"pattern_cleared_on":"2026-02-29"}',
            "pattern_cleared_on: found '2026-02-29', wanted a date like 2026-06-04",
        ),
        ('{"margin_long":"1.5"}', "margin_long: found 1.5, wanted 0 to 1"),
        ('{"deficit_days":0}', "deficit_days: found 0, wanted 1 or more"),
        (
            '{"margin_rates":{"sim:A":"0"}}',
            "margin_rates.sim:A: found 0, wanted a number > 0",
        ),
        (
            '{"easy_to_borrow":["sim:A"],"hard_to_borrow":["sim:A"]}',
            "easy_to_borrow: found sim:A in hard_to_borrow too",
        ),
        (
            '{"restricted":[{"instrument":"sim:A","since":"2026-02-02","until":"2026-02-01"}]}',
            "until: found 2026-02-01, wanted 2026-02-02 or later - at `$.restricted[0]`",
        ),
    ],
)
def test_rules_that_cannot_be_meant_are_refused_by_name(text: str, said: str) -> None:
    assert refusal(text) == said


def test_a_default_row_holds_for_accounts_without_one() -> None:
    rows = '{"compliance":{"default":{"self_trade":"none"},"paper":{"self_trade":"reject_newest"}}}'
    config = msgspec.json.decode(rows, type=GateConfig)
    assert config.compliance[AccountId("paper")].self_trade is SelfTrade.REJECT_NEWEST


# Days


@pytest.mark.parametrize("date", ["1969-12-31", "1970-01-01", "2000-02-29", "2026-06-04"])
def test_a_date_is_midnight_utc(date: str) -> None:
    days = {"1969-12-31": -1, "1970-01-01": 0, "2000-02-29": 11_016, "2026-06-04": 20_608}
    assert date_ns(date) == days[date] * DAY_NS


def test_a_trade_after_the_post_market_belongs_to_the_next_business_day() -> None:
    days = BusinessDays(calendar_named("XNYS"))
    friday, tuesday = date_ns("2026-05-22"), date_ns("2026-05-26")  # Monday is Memorial Day
    open_ns = 13 * HOUR_NS + HOUR_NS // 2
    found = [
        days.day_of(friday + 8 * HOUR_NS),  # four in the morning: pre-market
        days.day_of(friday + 24 * HOUR_NS - 1),  # the last of the post-market
        days.day_of(friday + 24 * HOUR_NS),
        days.day_of(tuesday + 9 * HOUR_NS),
    ]
    assert found == [friday + open_ns, friday + open_ns, tuesday + open_ns, tuesday + open_ns]
    assert days.first_of(tuesday + open_ns, 5) == date_ns("2026-05-19") + open_ns
    assert days.close_after(friday + open_ns, 5) == date_ns("2026-06-01") + 20 * HOUR_NS


# Pattern day trader


def day_trade(rig: RulesRig, name: str) -> str:
    """Return the rule that decided on closing what was bought on the same day."""
    rig.buy(f"{name} in")
    return rig.rule(f"{name} out", side=SELL)


def small(date: str = "2026-05-04", **more: Any) -> RulesRig:
    """Return an account of less than 25,000 at a date; Monday, 4 May 2026."""
    rig = RulesRig(**(PATTERN | more))
    rig.on(date)
    rig.mark("24999.99")
    return rig


def with_day_trades(count: int, **more: Any) -> RulesRig:
    rig = small(**more)
    for number in range(count):
        rig.buy(f"in {number}")
        rig.sell(f"out {number}")
    return rig


@pytest.mark.req("G-06")
def test_the_fourth_day_trade_of_a_small_account_in_five_days_is_denied() -> None:
    rig = with_day_trades(3)
    rig.buy("in")
    decided = rig.decide(rig.signal("out", side=SELL))
    assert (decided.rule, reading(decided, "pattern_day_trader").value) == (
        "pattern_day_trader",
        "3 day trades and 1 pending, equity 24999.99",
    )
    assert rig.rule("more") == "all"  # it may buy, and hold over night


@pytest.mark.req("G-06")
@pytest.mark.parametrize(("equity", "rule"), [("24999.99", "pattern_day_trader"), ("25000", "all")])
def test_from_the_minimum_equity_on_day_trades_are_free(equity: str, rule: str) -> None:
    rig = with_day_trades(3)
    rig.at(rig.now_ns + DAY_NS)
    rig.mark(equity)
    assert day_trade(rig, "a") == rule


@pytest.mark.req("G-06")
def test_equity_that_is_not_known_is_taken_for_too_little() -> None:
    rules = []
    for spoil in ("nothing", "unmarked", "old"):
        rig = with_day_trades(3)
        rig.at(rig.now_ns + DAY_NS)
        rig.mark("50000", *(["sim:BETA"] if spoil == "unmarked" else []))
        rig.buy("in")
        rig.at(rig.now_ns + (10 * S_NS + 1 if spoil == "old" else 0))
        rules.append(rig.rule("out", side=SELL))
    assert rules == ["all", "pattern_day_trader", "pattern_day_trader"]


@pytest.mark.req("G-06")
def test_equity_that_came_up_during_the_day_does_not_count() -> None:
    rig = with_day_trades(3)
    rig.mark("30000")
    assert day_trade(rig, "a") == "pattern_day_trader"


@pytest.mark.req("G-06")
def test_a_day_trade_counts_for_five_business_days_over_a_holiday() -> None:
    rig = small("2026-05-20")  # Wednesday; Monday, 25 May is Memorial Day
    for number in range(3):
        rig.buy(f"in {number}")
        rig.sell(f"out {number}")
    rules = []
    for date in ("2026-05-21", "2026-05-22", "2026-05-26", "2026-05-27", "2026-05-28"):
        rig.on(date)
        rig.mark("20000")
        rules.append(day_trade(rig, date))
        held = {ALPHA: str(rig.gate.state.accounts[ACCOUNT].lanes[ALPHA].position)}
        rig.restart()
        rig.tell(book(held=held, at_ns=rig.now_ns))
        rig.quote()
    assert rules == ["pattern_day_trader"] * 4 + ["all"]


@pytest.mark.req("G-06")
def test_what_was_held_over_night_is_sold_without_a_day_trade() -> None:
    rig = with_day_trades(3)
    rig.buy("held")
    rig.on("2026-05-05")
    rig.mark("20000")
    assert rig.rule("part", side=SELL, quantity="4") == "all"


@pytest.mark.req("G-06")
def test_after_a_new_purchase_what_was_held_over_night_makes_a_day_trade() -> None:
    rig = with_day_trades(3)
    rig.buy("held")
    rig.on("2026-05-05")
    rig.mark("20000")
    rig.buy("new", quantity="1")
    assert rig.rule("out", side=SELL, quantity="4") == "pattern_day_trader"


@pytest.mark.req("G-06")
def test_selling_in_parts_is_one_day_trade_and_short_positions_count_alike() -> None:
    rig = small()
    rig.buy("in", quantity="30")
    for number in range(3):
        rig.sell(f"out {number}")
    rig.sell("short", quantity="5")
    rig.buy("cover", quantity="5")
    [day_ns] = rig.rules.day_trades.counts
    assert rig.rules.counted(day_ns) == (2, 6)


@pytest.mark.req("G-06")
def test_open_orders_that_could_make_day_trades_count_as_if_they_had() -> None:
    rig = with_day_trades(2)
    rig.quote(instrument=BETA)
    rig.buy("a")
    rig.buy("b", instrument=BETA)
    first = rig.approve("resting", side=SELL, order_type=LIMIT, limit="105.00")
    out: dict[str, Any] = {"side": SELL, "instrument": BETA}
    assert rig.rule("one too many", **out) == "pattern_day_trader"
    rig.cancelled(first, "10")
    assert rig.rule("now the third", **out) == "all"


@pytest.mark.req("G-06")
def test_a_small_account_has_no_open_orders_on_both_sides_of_a_security() -> None:
    rig = small()
    rig.approve("bid", order_type=LIMIT, limit="99.00")
    decided = rig.decide(rig.signal("ask", side=SELL, order_type=LIMIT, limit="101.00"))
    assert (decided.rule, reading(decided, "pattern_day_trader").value) == (
        "pattern_day_trader",
        "open orders of the other side, equity 24999.99",
    )


@pytest.mark.req("G-06")
def test_few_day_trades_among_many_trades_make_no_pattern() -> None:
    rig = with_day_trades(3)  # 6 trades
    for number in range(59):
        rig.buy(f"hold {number}", quantity="1")
    rig.on("2026-05-05")
    rig.mark("20000")
    rig.buy("in", quantity="1")  # 66 trades, and the one to come: 4 / 67 < 6 %
    assert rig.rule("out", side=SELL, quantity="1") == "all"
    fewer = with_day_trades(3)
    for number in range(58):
        fewer.buy(f"hold {number}", quantity="1")
    fewer.on("2026-05-05")
    fewer.mark("20000")
    fewer.buy("in", quantity="1")
    assert fewer.rule("out", side=SELL, quantity="1") == "pattern_day_trader"


def designated(**more: Any) -> RulesRig:
    """Return an account that day traded with 30,000 and has 20,000 three weeks later."""
    rig = RulesRig(**(PATTERN | more))
    rig.on("2026-05-04")
    rig.mark("30000")
    for number in range(4):
        rig.buy(f"in {number}")
        rig.sell(f"out {number}")
    rig.restart()
    rig.on("2026-05-26")
    rig.tell(book(at_ns=rig.now_ns))
    rig.mark("20000")
    return rig


@pytest.mark.req("G-06")
def test_a_pattern_day_trader_stays_one_until_the_broker_takes_it_back() -> None:
    rules = [
        day_trade(designated(), "a"),
        day_trade(designated(pattern_cleared_on="2026-05-05"), "a"),
    ]
    assert rules == ["pattern_day_trader", "all"]


@pytest.mark.req("G-06")
def test_a_way_out_passes_as_a_day_trade_only_where_that_is_chosen() -> None:
    out: dict[str, Any] = {"side": SELL, "is_reduce_only": True}
    rules = []
    for may_close in (False, True):
        rig = with_day_trades(3, may_close_day_trades=may_close)
        rig.buy("in")
        rules.append(rig.rule("out", **out))
    assert rules == ["pattern_day_trader", "all"]


@pytest.mark.req("G-06")
def test_the_brokers_own_switch_date_replaces_the_pattern_day_trader_rule() -> None:
    switch = DayTradingSwitch(on="2026-07-01", to=DayTrading.INTRADAY_MARGIN)
    rig = with_day_trades(3, day_trading_switches=(switch,))
    regimes = [
        rig.rules.regime(date_ns("2026-07-01") - 1),
        rig.rules.regime(date_ns("2026-07-01")),
    ]
    assert regimes == [DayTrading.PATTERN_DAY_TRADER, DayTrading.INTRADAY_MARGIN]


# Intraday margin


def margined(equity: str = "10000", **more: Any) -> RulesRig:
    rig = RulesRig(**(INTRADAY | more))
    rig.on("2026-06-04")
    rig.mark(equity)
    rig.due()
    rig.mark(equity)
    return rig


@pytest.mark.req("G-06")
def test_an_order_may_not_create_a_deficit_of_maintenance_margin() -> None:
    rig = margined()
    decided = rig.decide(rig.signal("a", quantity="401"))
    assert (decided.rule, reading(decided, "intraday_margin")) == (
        "intraday_margin",
        msgspec.structs.replace(
            reading(decided, "intraday_margin"), value="10025.0000", limit="10000"
        ),
    )
    assert rig.rule("b", quantity="400") == "all"
    assert rig.rule("c", quantity="1") == "intraday_margin"  # the 400 on their way count


@pytest.mark.req("G-06")
def test_a_short_position_needs_more_margin_than_a_long_one() -> None:
    rules = [
        margined().rule("a", side=SELL, quantity="334"),
        margined().rule("b", side=SELL, quantity="333"),
        margined(margin_rates={ALPHA: dec("0.5")}).rule("c", side=SELL, quantity="201"),
        margined(margin_rates={ALPHA: dec("0.5")}).rule("d", quantity="200"),
    ]
    assert rules == ["intraday_margin", "all", "intraday_margin", "all"]


@pytest.mark.req("G-06")
def test_an_order_that_reduces_passes_although_there_is_a_deficit() -> None:
    rig = margined()
    rig.buy("in", quantity="400")
    rig.mark("5000")
    assert rig.rule("more", quantity="1") == "intraday_margin"
    assert rig.rule("less", side=SELL, quantity="100") == "all"


@pytest.mark.req("G-06")
def test_margin_that_cannot_be_judged_denies() -> None:
    old = margined()
    old.at(old.now_ns + 10 * S_NS + 1)
    assert [old.rule("a"), margined("1").rule("b")] == ["intraday_margin"] * 2
    assert margined(frozen_until="2026-06-04").rule("c") == "intraday_margin"
    assert margined(frozen_until="2026-06-03").rule("d") == "all"


@pytest.mark.req("G-06")
def test_what_rests_needs_margin_as_if_it_had_filled_however_often_all_is_summed_up() -> None:
    rig = margined()
    rig.approve("a", quantity="400", order_type=LIMIT, limit="100.00")
    rig.due()
    rig.mark("10000")
    rig.at(rig.now_ns)
    assert rig.rules.margin.required == dec(10_000)
    assert rig.rule("b", quantity="1") == "intraday_margin"


@pytest.mark.req("G-06")
def test_an_approval_needs_the_larger_of_both_margins_until_all_is_summed_up() -> None:
    rig = margined()
    assert rig.rule("a", quantity="300") == "all"
    assert rig.rules.margin.required == dec(9_000)


@pytest.mark.req("G-06")
def test_the_margin_of_an_option_is_known_only_where_it_was_chosen() -> None:
    option = instrument(ALPHA, asset_class=AssetClass.OPTION)
    chosen = ComplianceRules(margin_rates={ALPHA: dec("0.4")})
    rates = [Margin(ACCOUNT, rules).rates(option) for rules in (ComplianceRules(), chosen)]
    assert rates == [None, (dec("0.4"), dec("0.4"))]


@pytest.mark.req("G-06")
def test_a_security_without_a_price_is_named_and_the_margin_is_not_the_truth() -> None:
    rig = margined()
    rig.tell(book(held={ALPHA: "100", BETA: "5"}, at_ns=rig.now_ns))
    found = []
    for _ in range(2):
        rig.due()
        found.append((rig.rules.margin.unpriced, rig.rules.margin.required))
        rig.quote(instrument=BETA)
    assert found == [((BETA,), dec(2_500)), ((), dec(2_750))]


@pytest.mark.req("G-06")
def test_only_securities_need_this_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    spot = msgspec.structs.replace(INSTRUMENTS[BETA], asset_class=AssetClass.SPOT)
    monkeypatch.setitem(INSTRUMENTS, BETA, spot)
    rig = margined()
    rig.quote(instrument=BETA)
    rig.tell(book(held={ALPHA: "100", BETA: "5"}, at_ns=rig.now_ns))
    rig.due()
    assert rig.rules.margin.required == dec(2_500)


@pytest.mark.req("G-06")
def test_the_margin_of_an_option_that_nobody_chose_is_not_the_truth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    option = msgspec.structs.replace(INSTRUMENTS[BETA], asset_class=AssetClass.OPTION)
    monkeypatch.setitem(INSTRUMENTS, BETA, option)
    rig = margined()
    rig.quote(instrument=BETA)
    rig.tell(book(held={BETA: "5"}, at_ns=rig.now_ns))
    rig.due()
    assert rig.rules.margin.unpriced == (BETA,)


def in_deficit() -> RulesRig:
    rig = margined()
    rig.buy("in", quantity="400")
    rig.mark("5000")  # 10,000 of margin
    return rig


@pytest.mark.req("G-06")
def test_a_deficit_is_noted_once_a_day_and_told() -> None:
    rig = in_deficit()
    alert = only(AlertRaised, rig.due())
    assert (alert.code, alert.message) == (
        "SLU-186",
        "account paper is short of 5000.0000 of maintenance margin",
    )
    [(day_ns, deficit)] = rig.rules.margin.deficits.items()
    assert (day_ns, deficit.due_ns) == (
        date_ns("2026-06-04") + OPEN_NS - HOUR_NS // 2,
        date_ns("2026-06-11") + 20 * HOUR_NS,
    )
    rig.mark("5000")
    assert rig.due() == []


@pytest.mark.req("G-06")
def test_a_deficit_that_grows_by_a_tenth_on_its_day_is_noted_anew() -> None:
    rig = in_deficit()
    rig.due()
    noted = []
    for equity in ("4501", "4500"):
        rig.mark(equity)
        noted += [each.amount for each in rig.due() if isinstance(each, MarginDeficitNoted)]
    assert noted == [dec(5_500)]


@pytest.mark.req("G-06")
def test_a_short_position_comes_into_deficit_by_its_own_margin() -> None:
    rig = margined()
    rig.sell("in", quantity="300")
    rig.mark("5000")
    rig.due()
    assert [each.amount for each in rig.rules.margin.deficits.values()] == [dec(4_000)]


@pytest.mark.req("G-06")
@pytest.mark.parametrize(("equity", "count"), [("9524", 0), ("9523", 1), ("9000", 1)])
def test_a_deficit_of_less_than_a_twentieth_of_the_equity_is_none(equity: str, count: int) -> None:
    rig = margined()
    rig.buy("in", quantity="400")
    rig.mark(equity)  # a twentieth of 9,524 is 476.20
    rig.due()
    assert len(rig.rules.margin.deficits) == count


@pytest.mark.req("G-06")
def test_a_deficit_not_satisfied_in_five_business_days_freezes_for_ninety_days() -> None:
    rig = in_deficit()
    rig.due()
    due_ns = date_ns("2026-06-11") + 20 * HOUR_NS
    rig.at(due_ns - S_NS // 2)
    rig.mark("12000")  # an excess of 2,000 only
    rig.tell(book(held={ALPHA: "400"}, at_ns=rig.now_ns))
    assert rig.rules.margin.frozen_until_ns == 0
    rig.at(due_ns + S_NS)
    rig.mark("12000")
    rig.due()
    assert rig.rules.margin.frozen_until_ns == due_ns + 90 * DAY_NS
    rules = [rig.rule("more", quantity="1"), rig.rule("out", side=SELL, quantity="1")]
    assert rules == ["intraday_margin", "all"]
    before = known(rig)
    rig.restart()
    assert known(rig) == before


@pytest.mark.req("G-06")
def test_a_deficit_is_satisfied_by_as_much_excess() -> None:
    rig = in_deficit()
    rig.due()
    rig.mark("14999")
    rig.due()
    assert len(rig.rules.margin.deficits) == 1
    rig.mark("15000")
    rig.due()
    assert (rig.rules.margin.deficits, rig.rules.margin.frozen_until_ns) == ({}, 0)


# Wash sales


def washed(mode: WashSale = WashSale.BLOCK, **more: Any) -> RulesRig:
    rig = RulesRig(wash_sale=mode, calendar="XNYS", **more)
    rig.on("2026-05-04")
    rig.quote(instrument=BETA)
    return rig


def after_a_loss(mode: WashSale = WashSale.BLOCK, **more: Any) -> RulesRig:
    rig = washed(mode, **more)
    rig.buy("in", price="100")
    rig.on("2026-06-30")
    rig.sell("out", price="90")
    return rig


@pytest.mark.req("G-06")
@pytest.mark.parametrize(
    ("date", "rule"),
    [("2026-06-30", "wash_sale"), ("2026-07-30", "wash_sale"), ("2026-07-31", "all")],
)
def test_what_was_sold_at_a_loss_is_not_bought_back_within_thirty_days(
    date: str, rule: str
) -> None:
    rig = after_a_loss()
    rig.on(date)
    assert rig.rule("back") == rule


@pytest.mark.req("G-06")
def test_a_loss_is_not_taken_within_thirty_days_after_a_purchase() -> None:
    rig = washed()
    rig.buy("old", price="110")
    rig.on("2026-06-01")
    rig.buy("new", price="110")
    rules = []
    for date in ("2026-06-01", "2026-07-01", "2026-07-02"):
        rig.on(date)
        rules.append(rig.rule(f"loss on {date}", side=SELL))
    assert rules == ["wash_sale", "wash_sale", "all"]


@pytest.mark.req("G-06")
def test_a_loss_on_all_that_is_held_washes_nothing_and_a_gain_neither() -> None:
    rig = washed()
    rig.buy("in", price="110")
    assert rig.rule("all of it", side=SELL) == "all"
    gain = washed()
    gain.buy("cheap", price="90")
    gain.on("2026-05-05")
    gain.sell("dear", price="99", quantity="5")
    assert [gain.rule("again"), gain.rule("part", side=SELL, quantity="1")] == ["all", "all"]


@pytest.mark.req("G-06")
def test_neither_a_loss_nor_a_gain_washes_nothing() -> None:
    rig = washed()
    rig.buy("in", price="100")
    rig.on("2026-06-30")
    rig.sell("out", price="100")
    assert (rig.rule("back"), rig.rules.wash.losses) == ("all", {})


@pytest.mark.req("G-06")
def test_a_loss_that_is_told_late_does_not_take_the_place_of_a_newer_one() -> None:
    wash = washed().rules.wash
    long, short = dec(10), dec(-10)
    wash.execute(ALPHA, 100, long, short, dec(-1))
    wash.execute(ALPHA, 90, long, short, dec(-2))
    wash.execute(ALPHA, 80, short, long, dec(-3))
    assert wash.losses == {(ALPHA, True): (100, dec(1)), (ALPHA, False): (80, dec(3))}
    wash.execute(ALPHA, 101, long, short, None)
    assert wash.losses[ALPHA, True] == (101, None)


@pytest.mark.req("G-06")
def test_what_was_opened_counts_for_thirty_days_and_the_last_of_them() -> None:
    wash = washed().rules.wash
    for date in (0, 30, 30):
        wash.execute(ALPHA, date, dec(0), dec(5), dec(0))
    assert list(wash.opened[ALPHA, True]) == [(0, dec(5)), (30, dec(10))]
    wash.execute(ALPHA, 31, dec(0), dec(5), dec(0))
    assert list(wash.opened[ALPHA, True]) == [(30, dec(10)), (31, dec(5))]


@pytest.mark.req("G-06")
def test_substantially_identical_instruments_are_one() -> None:
    group = {"the same company": (ALPHA, BETA)}
    rules = [after_a_loss(identical=group), after_a_loss()]
    for rig in rules:
        rig.quote(instrument=BETA)
    assert [rig.rule("back", instrument=BETA) for rig in rules] == ["wash_sale", "all"]


@pytest.mark.req("G-06")
def test_a_warning_passes_and_tells_in_the_decision_and_in_an_alert() -> None:
    rig = after_a_loss(WashSale.WARN)
    said = rig.tell(rig.signal("back"))
    decided = only(SignalDecided, said)
    assert (decided.rule, reading(decided, "wash_sale").value) == (
        "all",
        "a loss of 100 was taken 0 days ago",
    )
    assert only(AlertRaised, said).code == "SLU-187"


@pytest.mark.req("G-06")
def test_a_loss_on_a_short_position_is_washed_by_selling_short_again() -> None:
    rig = washed()
    rig.sell("short", price="100")
    rig.on("2026-06-30")
    rig.buy("cover", price="110")
    assert [rig.rule("again", side=SELL), rig.rule("long")] == ["wash_sale", "all"]


# Restricted list


def restricted(**row: Any) -> RulesRig:
    return RulesRig(restricted=(Restricted(**({"instrument": ALPHA} | row)),))


@pytest.mark.req("G-06")
def test_a_restricted_instrument_is_not_traded_on_its_days() -> None:
    rig = restricted(since="2026-05-04", until="2026-05-06", reason="research")
    begin_ns, end_ns = date_ns("2026-05-04"), date_ns("2026-05-07")
    rules = []
    for number, now_ns in enumerate((begin_ns - 1, begin_ns, end_ns - 1, end_ns)):
        rig.at(now_ns)
        rules.append(rig.rule(f"a{number}"))
    assert rules == ["all", "restricted_list", "restricted_list", "all"]
    rig.at(begin_ns)
    decided = rig.decide(rig.signal("b"))
    assert reading(decided, "restricted_list").value == "sim:ALPHA is restricted: research"
    rig.quote(instrument=BETA)
    assert rig.rule("c", instrument=BETA) == "all"


@pytest.mark.req("G-06")
@pytest.mark.parametrize("may_reduce", [False, True])
def test_a_restricted_position_may_be_reduced_only_where_that_is_chosen(may_reduce: bool) -> None:
    rig = restricted(instrument="*", since="2026-05-04", may_reduce=may_reduce)
    rig.buy("in")
    rig.on("2026-05-04")
    rules = [
        rig.rule("out", side=SELL, quantity="10"),
        rig.rule("through", side=SELL, quantity="1"),
        rig.rule("more"),
    ]
    assert rules == ["all" if may_reduce else "restricted_list", *["restricted_list"] * 2]


# Locates


def shorted(**more: Any) -> RulesRig:
    rig = RulesRig(short_locate=Locate.REQUIRED, calendar="XNYS", **more)
    rig.on("2026-05-04")
    return rig


@pytest.mark.req("G-06")
def test_no_more_is_sold_short_than_was_located_for_the_day() -> None:
    rig = shorted()
    assert rig.rule("a", side=SELL) == "short_locate"
    rig.locate("l1", "25")
    rig.locate("l1", "25")  # the same one, told again
    rig.sell("b")
    decided = rig.decide(rig.signal("c", side=SELL, quantity="16"))
    assert (decided.rule, reading(decided, "short_locate").value) == ("short_locate", "26")
    assert rig.rule("d", side=SELL, quantity="15") == "all"
    assert rig.rule("e", side=SELL, quantity="1") == "short_locate"  # open orders count


@pytest.mark.req("G-06")
def test_covering_gives_no_locate_back_and_the_night_takes_the_rest() -> None:
    rig = shorted()
    rig.locate("l1", "10")
    rig.sell("a")
    rig.buy("b")
    assert rig.rule("c", side=SELL, quantity="1") == "short_locate"
    rig.locate("l2", "10")
    assert rig.rule("d", side=SELL, quantity="1") == "all"
    rig.on("2026-05-05")
    assert rig.rule("e", side=SELL, quantity="1") == "short_locate"
    rig.locate("l3", "2")
    rig.locate("late", "50", at_ns=date_ns("2026-05-04") + OPEN_NS)
    rules = [rig.rule(f"f{q}", side=SELL, quantity=q) for q in ("2", "1")]
    assert rules == ["short_locate", "all"]  # the late one counts not, and takes nothing away


@pytest.mark.req("G-06")
def test_selling_what_is_held_needs_no_locate_and_going_through_it_does() -> None:
    rig = shorted()
    rig.buy("in")
    assert rig.rule("through", side=SELL, quantity="11") == "short_locate"
    assert rig.rule("out", side=SELL, quantity="10") == "all"
    assert rig.rule("beyond", side=SELL, quantity="1") == "short_locate"


@pytest.mark.req("G-06")
def test_a_short_position_of_the_day_before_needs_no_new_locate() -> None:
    rig = shorted()
    rig.locate("l1", "10")
    rig.sell("a")
    rig.on("2026-05-05")
    rig.locate("l2", "5")
    rules = [rig.rule(f"b{q}", side=SELL, quantity=q) for q in ("6", "5")]
    assert rules == ["short_locate", "all"]


@pytest.mark.req("G-06")
def test_standing_locates_and_easy_and_hard_to_borrow() -> None:
    standing = {"located": {ALPHA: dec(10)}}
    rules = [
        shorted(**standing).rule("a", side=SELL, quantity="10"),
        shorted(**standing).rule("b", side=SELL, quantity="11"),
        shorted(easy_to_borrow=(ALPHA,)).rule("c", side=SELL, quantity="100"),
        shorted(hard_to_borrow=(ALPHA,), **standing).rule("d", side=SELL, quantity="1"),
    ]
    hard = shorted(hard_to_borrow=(ALPHA,), **standing)
    hard.locate("l1", "3")
    rules.append(hard.rule("e", side=SELL, quantity="3"))
    assert rules == ["all", "short_locate", "all", "short_locate", "all"]


# Self-trade prevention


def owning(**more: Any) -> RulesRig:
    return RulesRig(self_trade=SelfTrade.REJECT_NEWEST, **more)


@pytest.mark.req("G-06")
def test_an_order_that_could_meet_an_own_resting_one_is_denied() -> None:
    rig = owning()
    own = rig.approve("ask", side=SELL, order_type=LIMIT, limit="100.50")
    decided = rig.decide(rig.signal("a", order_type=LIMIT, limit="100.50"))
    assert (decided.rule, reading(decided, "self_trade").value) == (
        "self_trade",
        f"crosses own order {own.order_id}",
    )
    rules = [
        rig.rule("b", order_type=LIMIT, limit="100.49"),
        rig.rule("c"),
        rig.rule("d", order_type=OrderType.STOP, stop="120.00"),
        rig.rule("e", side=SELL),  # meets the bid at 100.49
    ]
    assert rules == ["all", "self_trade", "self_trade", "self_trade"]
    rig.cancelled(own, "10")
    assert rig.rule("f") == "all"


@pytest.mark.req("G-06")
def test_what_cannot_rest_is_met_by_nobody_and_a_stop_by_everybody() -> None:
    rig = owning()
    rig.approve("gone", order_type=LIMIT, limit="101.00", time_in_force=TimeInForce.IOC)
    rig.approve("at once")
    assert rig.rule("a", side=SELL, order_type=LIMIT, limit="100.00") == "all"
    stopping = owning()
    stopping.approve("stop", side=SELL, order_type=OrderType.STOP, stop="90.00")
    assert stopping.rule("b", order_type=LIMIT, limit="99.00") == "self_trade"


@pytest.mark.req("G-06")
def test_orders_that_the_executor_tells_of_count_too() -> None:
    rig = owning()
    theirs = msgspec.structs.replace(
        resting("theirs", side=SELL), order_type=LIMIT, limit_price=dec("100.50")
    )
    rig.tell(book(view(theirs)))
    assert rig.rule("a") == "self_trade"
    assert rig.rules.resting.orders() == {OrderId("theirs"): dec("100.50")}
    rig.tell(book(at_ns=rig.now_ns + MS_NS))
    assert rig.rule("b") == "all"


@pytest.mark.req("G-06")
def test_accounts_of_one_owner_do_not_trade_with_each_other() -> None:
    def rule(*owners: str) -> str:
        base = RulesRig(self_trade=SelfTrade.REJECT_NEWEST).config
        rows = {
            key: msgspec.structs.replace(base.compliance[AccountId("default")], owner=owner)
            for key, owner in zip((ACCOUNT, AccountId("second")), owners, strict=True)
        }
        accounts = dict.fromkeys((ACCOUNT, AccountId("second")), base.accounts[ACCOUNT])
        rig = RulesRig(compliance=rows, accounts=accounts)
        rig.tell(msgspec.structs.replace(book(), account=AccountId("second")))
        rig.approve("ask", side=SELL, order_type=LIMIT, limit="100.50")
        return rig.rule("a", account=AccountId("second"))

    assert [rule("kim", "kim"), rule("kim", "lee"), rule("", "")] == ["self_trade", "all", "all"]


# Restarts


@pytest.mark.req("G-06")
def test_a_restart_brings_back_all_that_compliance_knew() -> None:
    rig = RulesRig(
        **PATTERN,
        period_ms=60_000,
        wash_sale=WashSale.BLOCK,
        short_locate=Locate.REQUIRED,
        self_trade=SelfTrade.REJECT_NEWEST,
    )
    rig.on("2026-05-04")
    rig.mark("50000")
    rig.locate("l1", "20")
    rig.buy("a", price="101")
    rig.sell("b", price="95", quantity="15")
    rig.approve("d", side=SELL, order_type=LIMIT, limit="103.00", quantity="2")
    before = known(rig)
    assert all(before[name] for name in ("runs", "watched", "losses", "locates", "resting"))
    rig.restart()
    assert known(rig) == before
    assert InstrumentId("sim:ALPHA") in rig.rules.locates.days
