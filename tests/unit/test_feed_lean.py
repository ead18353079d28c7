"""LEAN's files mean what LEAN means by them: prices, sides, contracts and, above all, times."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from schemas.base import InstrumentId
from schemas.errors import UserError
from schemas.instruments import AssetClass, DataKind, Instrument, OptionRight
from schemas.market import BarClosed, FundingPublished, MarketEvent, QuoteReceived, TradeReceived
from services.feed import source
from services.feed.lean_names import lean_file
from services.feed.lean_times import times_of_day
from services.feed.lines import KINDS
from services.feed.opening import open_recording
from tests.builders import S_NS, dec
from tests.feed_builders import lean_zip, lean_zip_of

QUOTE_BAR = "34200000,1670000,1671000,1669000,1670100,300,1670500,1672000,1670400,1670600,200"
TRADE_BAR = "34200000,1670000,1672000,1669000,1670500,1200"
SPY_DAY = "equity/usa/minute/spy/20131007"


def ns(text: str) -> int:
    """Return a UTC time, to the second, in ns."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * S_NS


def events(path: Path) -> list[MarketEvent]:
    return list(open_recording(path))


def only(path: Path) -> MarketEvent:
    [event] = events(path)
    return event


def error_of(path: Path) -> dict[str, str]:
    with pytest.raises(UserError) as caught:
        events(path)
    return {"code": caught.value.code, **caught.value.fields}


def instrument_in(path: Path) -> Instrument:
    [instrument] = open_recording(path).instruments()
    return instrument


@pytest.mark.req("M-01")
def test_a_quote_bar_is_the_quote_it_closed_with_at_its_end(tmp_path: Path) -> None:
    path = lean_zip(tmp_path, f"{SPY_DAY}_quote.zip", [QUOTE_BAR])
    assert only(path) == QuoteReceived(
        at_ns=ns("2013-10-07T13:31:00"),
        instrument=InstrumentId("usa:SPY"),
        bid=Decimal("167.01"),
        bid_size=Decimal(300),
        ask=Decimal("167.06"),
        ask_size=Decimal(200),
    )


def test_a_trade_bar_is_published_when_it_closes(tmp_path: Path) -> None:
    lean_zip(tmp_path, f"{SPY_DAY}_quote.zip", [QUOTE_BAR])
    lean_zip(tmp_path, f"{SPY_DAY}_trade.zip", [TRADE_BAR])
    quote, bar = events(tmp_path)
    assert isinstance(quote, QuoteReceived), "the market is known before the bar that closed in it"
    assert bar == BarClosed(
        at_ns=ns("2013-10-07T13:31:00"),
        instrument=InstrumentId("usa:SPY"),
        open=Decimal(167),
        high=Decimal("167.2"),
        low=Decimal("166.9"),
        close=Decimal("167.05"),
        volume=Decimal(1200),
        open_ns=ns("2013-10-07T13:30:00"),
        close_ns=ns("2013-10-07T13:31:00"),
    )


def test_a_side_left_empty_was_not_quoted(tmp_path: Path) -> None:
    row = "34200000,,,,,0,1670500,1672000,1670400,1670600,200"
    quote = only(lean_zip(tmp_path, f"{SPY_DAY}_quote.zip", [row]))
    assert isinstance(quote, QuoteReceived)
    assert (quote.bid, quote.bid_size, quote.ask) == (dec(0), dec(0), dec("167.06"))


def test_a_quote_tick_of_one_side_leaves_the_other_as_it_was(tmp_path: Path) -> None:
    path = lean_zip(
        tmp_path,
        "equity/usa/tick/ibm/20131007_quote.zip",
        ["14400054,0,0,1836300,100,Q,1,0", "14400241,1800100,300,0,0,P,1,0"],
    )
    first, second = events(path)
    assert isinstance(first, QuoteReceived)
    assert (first.bid, first.ask) == (dec(0), dec("183.63"))
    assert second == QuoteReceived(
        at_ns=ns("2013-10-07T08:00:00") + 241_000_000,
        instrument=InstrumentId("usa:IBM"),
        bid=Decimal("180.01"),
        bid_size=Decimal(300),
        ask=Decimal("183.63"),
        ask_size=Decimal(100),
    )


def test_a_suspicious_tick_is_counted_and_not_published(tmp_path: Path) -> None:
    rows = ["14400054,1836300,100,Q,0,1", "14400055,1836400,100,Q,0,0"]
    recording = open_recording(lean_zip(tmp_path, "equity/usa/tick/ibm/20131007_trade.zip", rows))
    trades = [event for event in recording if isinstance(event, TradeReceived)]
    assert [trade.price for trade in trades] == [Decimal("183.64")]
    assert recording.counts == {"trade": 1, "suspicious": 1, "total": 2}


@pytest.mark.parametrize(
    ("day", "ms", "utc"),
    [
        ("20131007", 34_200_000, "2013-10-07T13:30:00"),  # summer
        ("20131202", 34_200_000, "2013-12-02T14:30:00"),  # winter
        ("20130310", 7_199_999, "2013-03-10T06:59:59"),  # clocks go forward at 02:00
        ("20130310", 10_800_000, "2013-03-10T07:00:00"),
        ("20131103", 3_600_000, "2013-11-03T05:00:00"),  # clocks go back at 02:00
        ("20131103", 7_200_000, "2013-11-03T07:00:00"),
    ],
)
def test_new_york_time_is_what_its_clocks_showed(day: str, ms: int, utc: str) -> None:
    file = lean_file(Path(f"/lean/equity/usa/minute/spy/{day}_trade.zip"))
    assert file is not None
    assert times_of_day(file)(str(ms).encode()) // S_NS * S_NS == ns(utc)


@pytest.mark.parametrize(
    ("name", "utc"),
    [
        ("future/cme/minute/es/20131007_trade.zip", "2013-10-07T09:31:00"),
        ("forex/fxcm/minute/eurusd/20140502_quote.zip", "2014-05-02T14:31:00"),
        ("crypto/coinbase/minute/btcusd/20180404_trade.zip", "2018-04-04T09:31:00"),
        ("option/usa/minute/goog/20151224_trade_american.zip", "2015-12-24T14:31:00"),
    ],
)
def test_each_market_has_its_own_clock(tmp_path: Path, name: str, utc: str) -> None:
    rows = [QUOTE_BAR if "quote" in name else TRADE_BAR]
    member = "x_american_call_7400000_20160115.csv" if "option" in name else "x_201312.csv"
    assert events(lean_zip(tmp_path, name, rows, member))[-1].at_ns == ns(utc)


def test_an_unknown_equity_market_is_refused_rather_than_mistimed(tmp_path: Path) -> None:
    found = error_of(lean_zip(tmp_path, "equity/xetra/minute/sap/20131007_trade.zip", [TRADE_BAR]))
    assert (found["code"], found["found"]) == ("SLU-110", "equity of xetra")


def test_a_daily_bar_closes_with_new_yorks_session_and_brings_its_own_quote(
    tmp_path: Path,
) -> None:
    path = lean_zip(
        tmp_path,
        "equity/usa/daily/spy.zip",
        ["19980102 00:00,973100,975300,965300,973600,2150000"],
    )
    quote, bar = events(path)
    assert quote == QuoteReceived(
        at_ns=ns("1998-01-02T21:00:00"),
        instrument=InstrumentId("usa:SPY"),
        bid=Decimal("97.36"),
        bid_size=Decimal(2150000),
        ask=Decimal("97.37"),
        ask_size=Decimal(2150000),
        is_synthetic=True,
    )
    assert isinstance(bar, BarClosed)
    assert (bar.open_ns, bar.close_ns) == (ns("1998-01-02T14:30:00"), ns("1998-01-02T21:00:00"))


def test_trade_bars_beside_quotes_get_no_made_up_quote(tmp_path: Path) -> None:
    lean_zip(tmp_path, f"{SPY_DAY}_quote.zip", [QUOTE_BAR])
    lean_zip(tmp_path, f"{SPY_DAY}_trade.zip", [TRADE_BAR])
    quotes = [event for event in events(tmp_path) if isinstance(event, QuoteReceived)]
    assert [quote.is_synthetic for quote in quotes] == [False]


def test_without_the_made_up_quote_a_daily_bar_has_no_market(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "with_quotes", lambda events, unquoted: events)
    row = "19980102 00:00,973100,975300,965300,973600,2150000"
    path = lean_zip(tmp_path, "equity/usa/daily/spy.zip", [row])
    assert [type(event) for event in events(path)] == [BarClosed]


def test_an_fx_quote_without_sizes_is_given_one_and_marked(tmp_path: Path) -> None:
    row = "0,1.38727,1.38729,1.38723,1.38724,0,1.38729,1.38730,1.38727,1.38728,0"
    quote = only(lean_zip(tmp_path, "forex/fxcm/minute/eurusd/20140501_quote.zip", [row]))
    assert isinstance(quote, QuoteReceived)
    assert (quote.bid_size, quote.is_synthetic) == (Decimal(1_000_000), True)


def test_coins_are_whole_units_of_the_smallest_one(tmp_path: Path) -> None:
    row = "0,7424.9,7424.9,7424.9,7424.9,1.5,7424.91,7424.91,7424.91,7424.91,33.35399601000002"
    quote = only(lean_zip(tmp_path, "crypto/coinbase/minute/btcusd/20180404_quote.zip", [row]))
    assert isinstance(quote, QuoteReceived)
    assert str(quote.ask_size) == "33.35399601"


@pytest.mark.req("X-07")
def test_an_option_is_named_by_expiry_right_and_strike(tmp_path: Path) -> None:
    member = "20151224_goog_minute_quote_american_put_5025000_20160115.csv"
    path = lean_zip(
        tmp_path, "option/usa/minute/goog/20151224_quote_american.zip", [QUOTE_BAR], member
    )
    assert instrument_in(path) == Instrument(
        id=InstrumentId("usa:GOOG-20160115-P-502_5"),
        asset_class=AssetClass.OPTION,
        currency="USD",
        tick_size=Decimal("0.01"),
        lot_size=Decimal(1),
        multiplier=Decimal(100),
        calendar="24x7",
        offers=(DataKind.PRICES,),
        expiry="2016-01-15",
        underlying=InstrumentId("usa:GOOG"),
        strike=Decimal("502.5"),
        right=OptionRight.PUT,
    )


@pytest.mark.req("X-07")
def test_a_future_has_the_exchanges_own_tick_and_multiplier(tmp_path: Path) -> None:
    path = lean_zip(
        tmp_path,
        "future/cme/minute/es/20131007_trade.zip",
        [TRADE_BAR],
        "20131007_es_minute_trade_201312.csv",
    )
    assert instrument_in(path) == Instrument(
        id=InstrumentId("cme:ES-201312"),
        asset_class=AssetClass.FUTURE,
        currency="USD",
        tick_size=Decimal("0.25"),
        lot_size=Decimal(1),
        multiplier=Decimal(50),
        calendar="24x7",
        offers=(DataKind.BARS, DataKind.PRICES),
        expiry="2013-12",
    )


def test_a_future_whose_multiplier_nobody_knows_is_refused(tmp_path: Path) -> None:
    path = lean_zip(
        tmp_path, "future/cme/minute/zz/20131007_trade.zip", [TRADE_BAR], "zz_201312.csv"
    )
    assert "a future of es" in error_of(path)["wanted"]


def test_contracts_of_one_zip_are_merged_in_time_order(tmp_path: Path) -> None:
    path = lean_zip_of(
        tmp_path,
        "future/cme/minute/es/20131007_quote.zip",
        {
            "es_201312.csv": [QUOTE_BAR, QUOTE_BAR.replace("34200000", "34320000")],
            "es_201403.csv": [QUOTE_BAR.replace("34200000", "34260000")],
        },
    )
    assert [(e.at_ns - ns("2013-10-07T09:30:00")) // (60 * S_NS) for e in events(path)] == [1, 2, 3]


def test_days_follow_each_other_and_symbols_are_merged(tmp_path: Path) -> None:
    for symbol in ("spy", "ibm"):
        for day in ("20131008", "20131007"):
            lean_zip(tmp_path, f"equity/usa/minute/{symbol}/{day}_quote.zip", [QUOTE_BAR])
    assert [
        (event.instrument, event.at_ns)
        for event in events(tmp_path)
        if isinstance(event, QuoteReceived)
    ] == [
        ("usa:IBM", ns("2013-10-07T13:31:00")),
        ("usa:SPY", ns("2013-10-07T13:31:00")),
        ("usa:IBM", ns("2013-10-08T13:31:00")),
        ("usa:SPY", ns("2013-10-08T13:31:00")),
    ]


def test_funding_says_when_it_is_paid_next(tmp_path: Path) -> None:
    path = tmp_path / "cryptofuture/binance/margin_interest/btcusd.csv"
    path.parent.mkdir(parents=True)
    path.write_text("20201229 08:00:00,0.00046053\n")
    assert only(path) == FundingPublished(
        at_ns=ns("2020-12-29T08:00:00"),
        instrument=InstrumentId("binance-futures:BTCUSD"),
        rate=Decimal("0.00046053"),
    )


@pytest.mark.parametrize(
    "row",
    [
        "34200000,1,2,3",
        "x,1,2,3,4,5",
        "34200000,1,2,3,nan,5",
        "34200000,1,2,3,4,-5",
        "99999999,1,2,3,4,5",
        "",
    ],
)
def test_a_bad_row_is_named_by_file_member_and_line(tmp_path: Path, row: str) -> None:
    lean_zip(tmp_path, f"{SPY_DAY}_quote.zip", [QUOTE_BAR])
    path = lean_zip(tmp_path, f"{SPY_DAY}_trade.zip", [TRADE_BAR, row], "spy.csv")
    found = error_of(tmp_path)
    assert (found["code"], found["path"]) == ("SLU-110", f"{path}: spy.csv:2")
    assert found["wanted"] == "the columns time,open,high,low,close,volume"


def test_a_torn_zip_is_refused_with_its_name(tmp_path: Path) -> None:
    path = lean_zip(tmp_path, f"{SPY_DAY}_quote.zip", [QUOTE_BAR])
    path.write_bytes(path.read_bytes()[:40])
    assert error_of(path)["path"] == str(path)


def test_a_path_that_is_not_leans_says_what_one_looks_like(tmp_path: Path) -> None:
    found = error_of(lean_zip(tmp_path, "somewhere/20131007_quote.zip", [QUOTE_BAR]))
    assert found["wanted"].startswith("a path like equity/usa/minute/spy/20131007_quote.zip")


def test_a_path_near_the_root_is_told_as_it_is() -> None:
    with pytest.raises(UserError) as caught:
        lean_file(Path("/no/20131007.zip"))
    assert caught.value.fields["found"] == "/no/20131007.zip"


def test_large_members_are_read_as_small_ones_are(tmp_path: Path) -> None:
    rows = [QUOTE_BAR] * 3_000
    recording = open_recording(lean_zip(tmp_path, f"{SPY_DAY}_quote.zip", rows))
    assert len(list(recording)) == 3_000
    assert recording.counts == {"quote": 3_000, "total": 3_000}
    assert set(recording.counts) <= {*KINDS, "total"}
