"""Backtests on real days of real markets: falls, halts, hours, contracts that end."""

import zipfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.base import Event, InstrumentId
from schemas.control import BreakerTripped
from schemas.executions import OrderFilled
from schemas.market import QuoteReceived
from schemas.market_rules import MarketRule, MarketRuleInvoked
from schemas.orders import OrderApproved, SignalDecided, SignalRaised
from schemas.settlement import PositionSettled, SettlementKind
from services.backtest import run as backtest
from services.backtest.run import Plan, run
from services.bench.open_limits import open_limits
from services.calendars.calendar import Phase
from services.calendars.named import calendar_named
from services.gate.config_market import DEFAULT, ExtendedHours, MarketWide
from services.gate.config_portfolio import DEFAULT_ROW, PortfolioLimits
from services.performance.core import By
from tests.backtest_rig import ACCOUNT, GATE, day, plan_of
from tests.market_rig import at

SPY, IBM = InstrumentId("usa:SPY"), InstrumentId("usa:IBM")
FLIP = "tests.trading:Flip"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """Everything that was fed and said in the runs of a test."""
    heard: list[Event] = []

    class Listener(backtest._Witness):
        def __call__(self, event: Event) -> None:
            heard.append(event)
            super().__call__(event)

    monkeypatch.setattr(backtest, "_Witness", Listener)
    return heard


def of(kind: type[Event], said: list[Event]) -> Iterator[Any]:
    return (each for each in said if type(each) is kind)


def us_rules(plan: Plan, **changes: Any) -> Plan:
    """Return the plan with the rules of US markets, halts told by SPY."""
    row = msgspec.structs.replace(
        GATE.market[DEFAULT], market_wide=MarketWide.US, extended_hours=ExtendedHours.NONE
    )
    gate = msgspec.structs.replace(GATE, market={DEFAULT: row}, **changes)
    return msgspec.structs.replace(plan, gate=gate)


def daily(data_dir: Path, *names: str) -> list[Path]:
    return [data_dir / "lean" / "equity" / "usa" / "daily" / f"{name}.zip" for name in names]


@pytest.mark.req("B-01", "B-02", "S-05", "X-07")
@pytest.mark.parametrize(
    ("begin", "end", "tripped_by"),
    [("2008-08-01", "2008-12-31", "2008-10-15"), ("2020-02-10", "2020-04-30", "2020-03-12")],
)
def test_the_breakers_of_a_leveraged_holder_trip_in_the_crash(
    data_dir: Path, begin: str, end: str, tripped_by: str
) -> None:
    plan = plan_of(
        "buy_and_hold",
        *daily(data_dir, "spy", "ibm"),
        capital=100_000,
        parameters={"quantity": "800"},
        from_ns=day(begin),
        to_ns=day(end),
    )
    outcome = run(plan)
    trips = [each for each in outcome.noted if isinstance(each, BreakerTripped)]
    assert {each.breaker for each in trips} & {"drawdown", "daily_loss"}
    assert day(begin) < trips[0].at_ns < day(tripped_by)
    assert outcome.figures.drawdown_max is not None
    assert outcome.figures.drawdown_max > 0.5


@pytest.mark.long
@pytest.mark.req("B-01", "S-05", "G-05")
def test_the_whole_recording_of_two_shares_is_played_with_its_halts(data_dir: Path) -> None:
    plan = plan_of("buy_and_hold", *daily(data_dir, "spy", "ibm"), parameters={"quantity": "300"})
    outcome = run(us_rules(plan, market_references={"XNYS": SPY}))
    assert outcome.figures.exposure is not None
    assert outcome.figures.exposure > 0.99
    trips = [each for each in outcome.noted if isinstance(each, BreakerTripped)]
    assert at("1998-01-02 09:30") < trips[0].at_ns < at("1998-12-31 16:00")
    halted = {each.from_ns for each in outcome.noted if isinstance(each, MarketRuleInvoked)}
    assert {at(f"2020-03-{date} 09:30") for date in ("09", "16")} <= halted


@pytest.mark.req("G-05", "M-05")
def test_no_order_passes_at_an_open_that_halts_the_whole_market(
    data_dir: Path, said: list[Event]
) -> None:
    # SPY opened 7 % down on 9 and 16 March 2020. On 12 and 18 March it fell so far within the day:
    # when that was a daily bar does not say, and nothing is traded between open and close.
    plan = plan_of(
        FLIP, *daily(data_dir, "spy", "ibm"), from_ns=day("2020-03-01"), to_ns=day("2020-03-31")
    )
    run(us_rules(plan, market_references={"XNYS": SPY}))
    halts = [
        (each.from_ns, each.until_ns, each.level)
        for each in of(MarketRuleInvoked, said)
        if each.rule is MarketRule.MARKET_WIDE
    ]
    assert halts == [
        (at(f"2020-03-{date} 09:30"), at(f"2020-03-{date} 09:45"), 1) for date in ("09", "16")
    ]
    opens = {date: at(f"2020-03-{date} 09:30") for date in ("09", "12", "16", "18")}
    approved = {each.at_ns for each in of(OrderApproved, said)}
    assert [date for date in opens if opens[date] in approved] == ["12", "18"]
    rules = {each.rule for each in of(SignalDecided, said) if each.at_ns == opens["16"]}
    assert rules == {"market_wide_halt"}


@pytest.mark.req("S-07", "G-05")
def test_minutes_are_traded_in_regular_hours_and_never_before_or_after(
    data_dir: Path, said: list[Event]
) -> None:
    folder = data_dir / "lean" / "equity" / "usa" / "minute" / "spy"
    plan = plan_of(FLIP, folder, from_ns=day("2013-10-07"), to_ns=day("2013-10-08"))
    run(us_rules(plan))
    nyse = calendar_named("XNYS")
    fills_ns = [each.at_ns for each in of(OrderFilled, said)]
    assert len(fills_ns) > 300
    assert all(nyse.is_open(at_ns) for at_ns in fills_ns)
    raised_ns = [each.at_ns for each in of(SignalRaised, said)]
    assert all(nyse.is_open(at_ns) for at_ns in raised_ns)
    quoted_ns = [each.at_ns for each in of(QuoteReceived, said)]
    assert sum(nyse.phase_at(at_ns) is Phase.PRE for at_ns in quoted_ns) > 100


@pytest.mark.req("X-07")
def test_a_future_counts_with_its_multiplier(data_dir: Path, said: list[Event]) -> None:
    folder = data_dir / "lean" / "future" / "cme" / "minute" / "es"
    plan = plan_of(
        "buy_and_hold",
        folder,
        symbols=["cme:ES-201312"],
        capital=1_000_000,
        parameters={"quantity": "4"},
        to_ns=day("2013-10-08"),
    )
    outcome = run(plan)
    fills = list(of(OrderFilled, said))
    assert sum(each.quantity for each in fills) == 4
    paid = sum((each.price * each.quantity * 50 for each in fills), Decimal(0))
    assert outcome.attribution[By.SYMBOL]["cme:ES-201312"].traded == paid
    notional = {each.notional for each in of(OrderApproved, said)}
    assert all(1_600 * 50 * 4 < each < 1_700 * 50 * 4 for each in notional)


@pytest.mark.req("X-07", "S-18")
@pytest.mark.parametrize(("capital", "bought"), [(20_000, 0), (200_000, 4)])
def test_a_future_is_bought_only_with_its_margin(data_dir: Path, capital: int, bought: int) -> None:
    margin = PortfolioLimits(margin_ratio_min=Decimal("0.2"))  # four of them are worth 336,000
    plan = plan_of(
        "buy_and_hold",
        data_dir / "lean" / "future" / "cme" / "minute" / "es",
        symbols=["cme:ES-201312"],
        capital=capital,
        gate=msgspec.structs.replace(GATE, portfolio={DEFAULT_ROW: margin}),
        parameters={"quantity": "4"},
        to_ns=at("2013-10-07 04:00"),
    )
    outcome = run(plan)
    assert outcome.figures.fill_count == (1 if bought else 0)
    assert set(outcome.figures.refusals) == (set() if bought else {"margin_ratio"})


@pytest.mark.req("X-07", "S-07")
def test_an_option_ends_with_its_half_day_at_its_exercise_value(
    data_dir: Path, tmp_path: Path, said: list[Event]
) -> None:
    call, put = "usa:GOOG-20151224-C-745", "usa:GOOG-20151224-P-745"
    last_day = options_of(data_dir, tmp_path, ("7425000", "7450000", "7475000", "7500000"))
    wide = open_limits(ACCOUNT, spread_bps_max=Decimal(20_000), currency_values={"USD": Decimal(1)})
    plan = plan_of(
        "buy_and_hold", last_day, symbols=[call, put], gate=wide, parameters={"quantity": "10"}
    )
    outcome = run(plan)
    settled = {each.instrument: each for each in of(PositionSettled, said)}
    close_ns = at("2015-12-24 13:00")
    assert {each.at_ns for each in settled.values()} == {close_ns + 1}
    assert {each.kind for each in settled.values()} == {SettlementKind.EXPIRY}
    # the stock closed at 748.40 on that day; the options saw it at 748.225 a minute before
    assert settled[InstrumentId(call)].closes_at == Decimal("3.225")
    assert settled[InstrumentId(put)].closes_at == 0
    shares = outcome.attribution[By.SYMBOL]
    fills = {each.instrument: each for each in of(OrderFilled, said)}
    bought = fills[InstrumentId(call)]
    assert shares[call].profit == (Decimal("3.225") - bought.price) * bought.quantity * 100
    trips = {trip.instrument: trip.closed_ns for trip in outcome.trips}
    assert trips == {call: close_ns + 1, put: close_ns + 1}
    assert outcome.figures.final_value == plan.capital + sum(
        each.profit or 0 for each in shares.values()
    )


@pytest.mark.req("X-07", "S-17")
def test_spot_and_perpetual_of_two_captures_are_traded_together(data_dir: Path) -> None:
    folder = data_dir / "binance"
    paths = (folder / "spot" / "btcusdt_20240808.gz", folder / "usdm" / "btcusdt_20240808.gz")
    begin_ns = 1_723_161_260 * 1_000_000_000
    plan = plan_of(
        "btc_basis", *paths, capital=1_000_000, to_ns=begin_ns + 40 * 1_000_000_000,
        parameters={"needs_funding": False, "entry_annual": "-100", "exit_annual": "-200"},
    )  # fmt: skip
    outcome = run(plan)
    assert outcome.failure == ""
    assert outcome.figures.fill_count >= 2
    assert set(outcome.attribution[By.SYMBOL]) == {"binance:BTCUSDT", "binance-usdm:BTCUSDT"}


@pytest.mark.req("X-07")
def test_a_pair_of_currencies_is_traded_through_its_week(data_dir: Path) -> None:
    folder = data_dir / "lean" / "forex" / "fxcm" / "minute" / "eurusd"
    plan = plan_of("ema_cross", folder, capital=1_000_000, parameters={"fast": 5, "slow": 30})
    outcome = run(plan)
    figures = outcome.figures
    assert figures.fill_count > 20
    assert set(figures.refusals) <= {"market_sane"}, "a few quotes of the recording are crossed"
    assert figures.volatility is not None
    share = outcome.attribution[By.SYMBOL]["fxcm:EURUSD"]
    assert share.profit == (figures.final_value or 0) - plan.capital


def options_of(data_dir: Path, folder: Path, strikes: tuple[str, ...]) -> Path:
    """Return a recording of the options of the last day at these strikes alone: few, and quick."""
    name = Path("option") / "usa" / "minute" / "goog" / "20151224_quote_american.zip"
    found = folder / name
    found.parent.mkdir(parents=True)
    with zipfile.ZipFile(data_dir / "lean" / name) as every, zipfile.ZipFile(found, "w") as few:
        for member in every.namelist():
            if member.endswith("_20151224.csv") and any(f"_{each}_" in member for each in strikes):
                few.writestr(member, every.read(member))
    return found.parent
