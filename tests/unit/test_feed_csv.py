"""A plain CSV file is read by its header, and a wrong line is named."""

from decimal import Decimal
from pathlib import Path

import pytest

from schemas.base import InstrumentId
from schemas.errors import UserError
from schemas.instruments import AssetClass, DataKind, Instrument
from schemas.market import (
    BarClosed,
    FundingPublished,
    InstrumentStatusChanged,
    LendingRatesPublished,
    LiquidityPublished,
    MarketEvent,
    ProtocolBalancePublished,
    QuoteReceived,
    StakingRatePublished,
    TradeReceived,
    Trading,
)
from schemas.orders import Side
from services.feed import csv_kinds
from services.feed.opening import open_recording
from tests.builders import S_NS, dec

QUOTES = "time,instrument,bid,bid_size,ask,ask_size"
BARS = "time,instrument,open_time,open,high,low,close,volume"
T_NS = 1_700_000_000 * S_NS
T = str(T_NS)[:-2]
"""Of a time in November 2023, all but the last two digits."""

DESCRIBED = (
    '#instrument {"id":"nyse:IBM","asset_class":"equity","currency":"USD","tick_size":"0.01",'
    '"lot_size":"1","multiplier":"10"}'
)


def sheet(tmp_path: Path, *lines: str, name: str = "data.csv") -> Path:
    path = tmp_path / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def events(path: Path) -> list[MarketEvent]:
    return list(open_recording(path))


def error_of(path: Path) -> dict[str, str]:
    with pytest.raises(UserError) as caught:
        events(path)
    return {"code": caught.value.code, **caught.value.fields}


def test_what_is_remembered_of_numbers_is_bounded_and_changes_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"{T}{n:02},nyse:IBM,{n % 7}.5,{n},{n % 7}.75,{n % 3}" for n in range(1, 50)]
    path = sheet(tmp_path, QUOTES, *rows)
    remembered = events(path)
    monkeypatch.setattr(csv_kinds, "NUMBERS_KEPT_MAX", 2)
    assert events(path) == remembered
    numbers = csv_kinds.Numbers()
    assert [numbers[str(n)] for n in (1, 2, 3, 1)] == [dec(1), dec(2), dec(3), dec(1)]
    assert len(numbers) <= 2


@pytest.mark.req("M-01")
def test_quotes_are_read_by_their_header(tmp_path: Path) -> None:
    path = sheet(
        tmp_path, QUOTES, f"{T}07,nyse:IBM,99.5,3,,", "2023-11-14T22:13:21Z,nyse:IBM,1,2,3,4"
    )
    assert events(path) == [
        QuoteReceived(
            at_ns=T_NS + 7,
            instrument=InstrumentId("nyse:IBM"),
            bid=Decimal("99.5"),
            bid_size=Decimal(3),
            ask=Decimal(0),
            ask_size=Decimal(0),
        ),
        QuoteReceived(
            at_ns=T_NS + S_NS,
            instrument=InstrumentId("nyse:IBM"),
            bid=Decimal(1),
            bid_size=Decimal(2),
            ask=Decimal(3),
            ask_size=Decimal(4),
        ),
    ]


def test_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    path = sheet(tmp_path, "side,price,time,instrument,quantity", f"sell,10,{T}05,nyse:IBM,2")
    assert events(path)[-1] == TradeReceived(
        at_ns=T_NS + 5,
        instrument=InstrumentId("nyse:IBM"),
        price=Decimal(10),
        quantity=Decimal(2),
        aggressor=Side.SELL,
    )


def test_bars_close_at_their_time_and_bring_a_quote(tmp_path: Path) -> None:
    quote, bar = events(sheet(tmp_path, DESCRIBED, BARS, f"{T}60,nyse:IBM,{T}00,1,4,1,3,9"))
    assert isinstance(quote, QuoteReceived)
    assert (quote.bid, quote.ask, quote.is_synthetic) == (dec(3), dec("3.01"), True)
    assert bar == BarClosed(
        at_ns=T_NS + 60,
        instrument=InstrumentId("nyse:IBM"),
        open=Decimal(1),
        high=Decimal(4),
        low=Decimal(1),
        close=Decimal(3),
        volume=Decimal(9),
        open_ns=T_NS,
        close_ns=T_NS + 60,
    )


def test_funding_and_status_are_read_too(tmp_path: Path) -> None:
    sheet(tmp_path, "time,instrument,rate", f"{T}01,x:BTC,0.0001", name="funding.csv")
    sheet(tmp_path, "time,instrument,trading,reason", f"{T}02,x:BTC,halted,news", name="status.csv")
    assert events(tmp_path) == [
        FundingPublished(at_ns=T_NS + 1, instrument=InstrumentId("x:BTC"), rate=Decimal("0.0001")),
        InstrumentStatusChanged(
            at_ns=T_NS + 2, instrument=InstrumentId("x:BTC"), trading=Trading.HALTED, reason="news"
        ),
    ]


def test_an_instrument_may_be_described_in_full(tmp_path: Path) -> None:
    path = sheet(
        tmp_path, "# prices of a quiet day", DESCRIBED, "", QUOTES, f"{T}07,nyse:IBM,1,1,2,1"
    )
    assert open_recording(path).instruments() == (
        Instrument(
            id=InstrumentId("nyse:IBM"),
            asset_class=AssetClass.EQUITY,
            currency="USD",
            tick_size=Decimal("0.01"),
            lot_size=Decimal(1),
            multiplier=Decimal(10),
            calendar="24x7",
            offers=(DataKind.PRICES,),
        ),
    )


def test_steps_of_an_instrument_without_description_are_told_from_its_numbers(
    tmp_path: Path,
) -> None:
    path = sheet(
        tmp_path, QUOTES, f"{T}07,nyse:IBM,1.50,200,2.25,300", f"{T}08,nyse:IBM,1.75,100,2,0"
    )
    [instrument] = open_recording(path).instruments()
    assert (instrument.tick_size, instrument.lot_size) == (Decimal("0.25"), Decimal(100))


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (f"{T}07,nyse:IBM,1,1,2", f"{T}07,nyse:IBM,1,1,2"),
        ("soon,nyse:IBM,1,1,2,1", "soon"),
        ("2013-10-07T09:30:00,nyse:IBM,1,1,2,1", "no offset"),
        (f"{T}07,IBM,1,1,2,1", "'IBM' is no instrument"),
        (f"{T}07,nyse:I BM,1,1,2,1", "SLU-101"),
        (f"{T}07,nyse:IBM,1,1,two,1", "two"),
        (f"{T}07,nyse:IBM,1,1,inf,1", "inf is no number"),
    ],
)
def test_a_bad_row_is_named_by_line_with_what_was_wanted(
    tmp_path: Path, row: str, found: str
) -> None:
    path = sheet(tmp_path, DESCRIBED, QUOTES, f"{T}06,nyse:IBM,1,1,2,1", row)
    error = error_of(path)
    assert (error["code"], error["path"]) == ("SLU-110", f"{path}:4")
    assert found in error["found"]
    assert error["wanted"].startswith(QUOTES)


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        ((), 1),
        (("# nothing else",), 2),
        (("time,instrument,bid",), 1),
        (("time,instrument,bid,bid_size,ask,ask_size,bid",), 1),
        (('#instrument {"id":"nyse:IBM"}', QUOTES), 1),
    ],
)
def test_a_file_without_a_known_header_is_refused(
    tmp_path: Path, lines: tuple[str, ...], line: int
) -> None:
    path = sheet(tmp_path, *lines)
    error = error_of(path)
    assert (error["code"], error["path"]) == ("SLU-110", f"{path}:{line}")


def test_a_row_error_is_found_when_instruments_are_asked_for(tmp_path: Path) -> None:
    path = sheet(tmp_path, QUOTES, f"{T}07,nyse:IBM,1,1,two,1")
    with pytest.raises(UserError, match="SLU-110"):
        open_recording(path).instruments()


@pytest.mark.req("S-17")
def test_a_recording_of_some_instruments_keeps_what_other_files_tell_of_them(
    tmp_path: Path,
) -> None:
    (tmp_path / "quotes.csv").write_text(f"{QUOTES}\n{T}07,perp:COIN,1,1,2,1\n")
    (tmp_path / "funding.csv").write_text(f"time,instrument,rate\n{T}08,perp:COIN,0.001\n")
    (tmp_path / "others.csv").write_text(f"time,instrument,rate\n{T}08,perp:OTHER,0.001\n")
    only = open_recording(tmp_path).only({InstrumentId("perp:COIN")})
    kinds = [type(event).__name__ for event in only]
    assert kinds == ["QuoteReceived", "FundingPublished"]
    assert [each.offers for each in only.instruments()] == [(DataKind.FUNDING, DataKind.PRICES)]


LENT = (
    '#instrument {"id": "aave:USDC", "asset_class": "lending", "currency": "USD", '
    '"tick_size": "0.000001", "lot_size": "0.01"}'
)


@pytest.mark.req("S-17")
def test_lending_markets_are_told_by_rates_liquidity_balances_and_staking(tmp_path: Path) -> None:
    """Each kind is a file of its own; the index of a share is quoted, both sides at once."""
    rows = {
        "rates": "time,instrument,supply_rate,borrow_rate,supply_index\n"
        f"{T}07,aave:USDC,0.03,0.05,1.25",
        "liquidity": f"time,instrument,available\n{T}08,aave:USDC,1000",
        "balances": f"time,instrument,supplied,borrowed\n{T}09,aave:USDC,5000,4000",
        "staking": f"time,instrument,staking_rate\n{T}10,aave:USDC,0.04",
    }
    for name, text in rows.items():
        (tmp_path / f"{name}.csv").write_text(f"{LENT}\n{text}\n")
    source = open_recording(tmp_path)
    [made] = source.instruments()
    assert (made.asset_class, made.offers) == (
        AssetClass.LENDING,
        (
            DataKind.BALANCES,
            DataKind.BORROWING,
            DataKind.LENDING,
            DataKind.LIQUIDITY,
            DataKind.PRICES,
            DataKind.STAKING,
        ),
    )
    quote, rates, liquidity, balance, staking = list(source)
    assert isinstance(quote, QuoteReceived)
    assert (quote.bid, quote.ask, quote.is_synthetic) == (Decimal("1.25"), Decimal("1.25"), True)
    assert rates == LendingRatesPublished(
        at_ns=T_NS + 7,
        instrument=made.id,
        supply_rate=Decimal("0.03"),
        borrow_rate=Decimal("0.05"),
        supply_index=Decimal("1.25"),
    )
    assert liquidity == LiquidityPublished(
        at_ns=T_NS + 8, instrument=made.id, available=Decimal(1_000)
    )
    assert balance == ProtocolBalancePublished(
        at_ns=T_NS + 9, instrument=made.id, supplied=Decimal(5_000), borrowed=Decimal(4_000)
    )
    assert staking == StakingRatePublished(
        at_ns=T_NS + 10, instrument=made.id, rate=Decimal("0.04")
    )
