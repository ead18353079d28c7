"""A CSV that would be traded on and means something else is refused, with row and column."""

from pathlib import Path

import pytest

from schemas.errors import UserError
from schemas.market import QuoteReceived
from services.feed import csv_kinds
from services.feed.opening import open_recording
from tests.builders import S_NS
from tests.unit.test_feed_csv import QUOTES, T_NS, T, error_of, events, sheet

pytestmark = pytest.mark.req("M-01")

TRADES = "time,instrument,price,quantity"
BARS = "time,instrument,open_time,open,high,low,close,volume"
AMOUNT = "a number of 0 or more"
UNIT = "ns since the epoch, from 1990 to 2099"


def refused_in(path: Path, row: str, column: str, found: str, wanted: str) -> dict[str, str]:
    """Return the error of a column of the first row."""
    return {
        "code": "SLU-110",
        "path": f"{path}:2",
        "found": f"{column} of {found} ({row})",
        "wanted": f"{column}: {wanted}",
    }


@pytest.mark.parametrize(
    ("header", "row", "column", "found", "wanted"),
    [
        (TRADES, f"{T}07,x:Y,10,-5", "quantity", "-5, which is below 0", AMOUNT),
        (TRADES, f"{T}07,x:Y,10,0", "quantity", "0", "a number above 0"),
        (TRADES, f"{T}07,x:Y,10,", "quantity", "nothing", "a number above 0"),
        (QUOTES, f"{T}07,x:Y,-1,-1,2,1", "bid_size", "-1, which is below 0", AMOUNT),
        (QUOTES, f"{T}07,x:Y,1,1,2,-0.5", "ask_size", "-0.5, which is below 0", AMOUNT),
        (BARS, f"{T}07,x:Y,{T}00,1,2,1,2,-9", "volume", "-9, which is below 0", AMOUNT),
        (
            "time,instrument,available",
            f"{T}07,x:Y,-1",
            "available",
            "-1, which is below 0",
            AMOUNT,
        ),
        ("time,instrument,available", f"{T}07,x:Y,", "available", "nothing", AMOUNT),
        (
            "time,instrument,supplied,borrowed",
            f"{T}07,x:Y,1,-2",
            "borrowed",
            "-2, which is below 0",
            AMOUNT,
        ),
        (
            "time,instrument,supply_rate,borrow_rate,supply_index",
            f"{T}07,x:Y,-0.01,0.01,0",
            "supply_index",
            "0",
            "a number above 0",
        ),
    ],
)
def test_an_amount_below_nothing_is_refused_by_row_and_column(
    tmp_path: Path, header: str, row: str, column: str, found: str, wanted: str
) -> None:
    path = sheet(tmp_path, header, row)
    assert error_of(path) == refused_in(path, row, column, found, wanted)


@pytest.mark.parametrize("header", [TRADES, QUOTES + ",x", BARS])
def test_it_is_refused_before_anything_is_traded(tmp_path: Path, header: str) -> None:
    rows = {TRADES: f"{T}07,x:Y,10,-5", BARS: f"{T}07,x:Y,{T}00,1,2,1,2,-9"}
    row = rows.get(header, f"{T}07,x:Y,1,1,2,-1")
    path = sheet(tmp_path, header.removesuffix(",x"), row)
    with pytest.raises(UserError, match="below 0"):
        open_recording(path).instruments()


def test_a_file_whose_rows_run_back_is_refused_at_the_row_that_does(tmp_path: Path) -> None:
    rows = [f"{T}{n:02},x:Y,1,1,2,1" for n in (7, 7, 8, 6)]
    path = sheet(tmp_path, QUOTES, *rows)
    wanted = {
        "code": "SLU-110",
        "path": f"{path}:5",
        "found": f"time of {T}06, which is before the row above it ({rows[-1]})",
        "wanted": "time: rows oldest first, none with a time before that of the row above it",
    }
    assert error_of(path) == wanted
    with pytest.raises(UserError, match="before the row above it"):
        open_recording(path).instruments()


@pytest.mark.parametrize(
    ("time", "found", "wanted"),
    [
        (
            "1700000000000",
            "1700000000000, which in ns is before 1990",
            f"{UNIT}; this looks like milliseconds: wanted 1700000000000000000",
        ),
        (
            "1700000000",
            "1700000000, which in ns is before 1990",
            f"{UNIT}; this looks like seconds: wanted 1700000000000000000",
        ),
        (
            "1700000000000000",
            "1700000000000000, which in ns is before 1990",
            f"{UNIT}; this looks like microseconds: wanted 1700000000000000000",
        ),
        ("7", "7, which in ns is before 1990", UNIT),
        ("17000000000000000000", "17000000000000000000, which in ns is after 2099", UNIT),
        ("2100-01-01T00:00:00Z", "2100-01-01T00:00:00Z", "a time before 2100"),
    ],
)
@pytest.mark.parametrize("column", ["time", "open_time"])
def test_a_time_in_another_unit_is_refused_and_the_unit_is_named(
    tmp_path: Path, column: str, time: str, found: str, wanted: str
) -> None:
    times = (time, f"{T}00") if column == "time" else (f"{T}07", time)
    row = f"{times[0]},x:Y,{times[1]},1,2,1,2,9"
    path = sheet(tmp_path, BARS, row)
    assert error_of(path) == refused_in(path, row, column, found, wanted)


def test_an_old_date_that_is_written_out_is_meant(tmp_path: Path) -> None:
    rows = [f"19{year}-01-01T00:00:01Z,x:Y,1,2,3,4" for year in (60, 70)]
    quotes = events(sheet(tmp_path, QUOTES, *rows))
    assert [quote.at_ns for quote in quotes] == [(1 - 3_653 * 86_400) * S_NS, S_NS]


@pytest.mark.parametrize("first", [QUOTES, "# written by a spreadsheet"])
def test_a_byte_order_mark_is_read_over(tmp_path: Path, first: str) -> None:
    path = sheet(tmp_path, *dict.fromkeys((first, QUOTES)), f"{T}07,x:Y,1,1,2,1")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert [each.id for each in open_recording(path).instruments()] == ["x:Y"]
    [quote] = events(path)
    assert isinstance(quote, QuoteReceived)
    assert quote.at_ns == T_NS + 7


def test_without_its_own_reading_of_amounts_a_trade_of_less_than_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = tuple(each._replace(read_amount=csv_kinds.Numbers) for each in csv_kinds.KINDS)
    monkeypatch.setattr("services.feed.plain_csv.KINDS", kinds)
    quantities = [
        getattr(each, "quantity", 0) for each in events(sheet(tmp_path, TRADES, f"{T}07,x:Y,10,-5"))
    ]
    assert min(quantities) == -5
