"""A CSV that looks right and is not, or that other tools write: told as it is, or refused."""

from pathlib import Path

import pytest

from schemas.instruments import Instrument
from schemas.market import QuoteReceived
from services.feed import csv_kinds
from services.feed.opening import open_recording
from tests.unit.test_feed_csv import BARS, QUOTES, T_NS, T, error_of, events, sheet

pytestmark = pytest.mark.req("M-01")

STATUS = "time,instrument,trading,reason"
BERKSHIRE = (
    '#instrument {"id":"nyse:BRK.B","asset_class":"equity","currency":"EUR","tick_size":"0.05",'
    '"lot_size":"1"}'
)


def known(path: Path) -> tuple[Instrument, ...]:
    return open_recording(path).instruments()


def test_a_description_is_of_what_the_rows_name_in_the_same_way(tmp_path: Path) -> None:
    """A dot cannot be part of a subject: both become dashes, or the description is lost."""
    path = sheet(tmp_path, BERKSHIRE, QUOTES, f"{T}07,nyse:BRK.B,1,1,2,1")
    assert [(each.id, each.currency) for each in known(path)] == [("nyse:BRK-B", "EUR")]
    [told] = events(path)
    assert isinstance(told, QuoteReceived)
    assert told.instrument == "nyse:BRK-B"


@pytest.mark.parametrize("name", ["BRK", "nyse:", "ny se:BRK", "nyse:BRK:B"])
def test_a_description_of_what_no_row_can_name_is_refused(tmp_path: Path, name: str) -> None:
    path = sheet(tmp_path, BERKSHIRE.replace("nyse:BRK.B", name), QUOTES)
    assert error_of(path)["path"] == f"{path}:1"


def test_an_instrument_is_described_once(tmp_path: Path) -> None:
    other = BERKSHIRE.replace("EUR", "USD")
    path = sheet(tmp_path, BERKSHIRE, other, QUOTES, f"{T}07,nyse:BRK.B,1,1,2,1")
    assert error_of(path) == {
        "code": "SLU-110",
        "path": f"{path}:2",
        "found": "nyse:BRK-B, described above",
        "wanted": "each instrument once",
    }


@pytest.mark.parametrize("rows_after", [0, 2, 10_000])
@pytest.mark.parametrize("opened", ['"x:Y,1,1,2,1', 'x:Y,1,1,2,"1'])
def test_a_quotation_mark_that_nothing_ends_is_named_by_the_line_it_stands_in(
    tmp_path: Path, opened: str, rows_after: int
) -> None:
    row = f"{T}07,x:Y,1,1,2,1"
    path = sheet(tmp_path, QUOTES, row, f"{T}07,{opened}", *[row] * rows_after)
    error = error_of(path)
    assert (error["code"], error["path"]) == ("SLU-110", f"{path}:3")
    assert error["found"].startswith("a row that cannot be split into columns (")
    assert error["wanted"] == (
        "a column in quotation marks to end with one, and a mark inside it to be doubled"
    )


@pytest.mark.parametrize("after", [[], [f"{T}08,x:Y,open,", f'{T}09,x:Y,halted,"late"']])
def test_a_quotation_mark_that_nothing_ends_hides_no_row_in_a_reason(
    tmp_path: Path, after: list[str]
) -> None:
    path = sheet(tmp_path, STATUS, f"{T}07,x:Y,open,", f'{T}07,x:Y,halted,"news', *after)
    assert error_of(path)["path"] == f"{path}:3"


def test_a_row_of_several_lines_is_named_by_the_line_it_begins_in(tmp_path: Path) -> None:
    path = sheet(tmp_path, STATUS, f'{T}07,x:Y,halted,"news', 'pending"', f"{T}06,x:Y,open,")
    assert error_of(path)["path"] == f"{path}:4"
    path = sheet(tmp_path, STATUS, f"{T}07,x:Y,open,", f'{T}08,x:Y,shut,"news', 'pending"')
    assert error_of(path)["path"] == f"{path}:3"


@pytest.mark.parametrize("begins_ns", [T_NS + 7, T_NS + 60])
def test_a_bar_begins_before_it_closes(tmp_path: Path, begins_ns: int) -> None:
    path = sheet(tmp_path, BARS, f"{T}07,x:Y,{begins_ns},1,2,1,2,9")
    error = error_of(path)
    assert error["path"] == f"{path}:2"
    assert error["wanted"].endswith("a time before that of the row, at which the bar closed")


@pytest.mark.parametrize(
    ("fraction", "ns"),
    [
        ("", 0),
        (".5", 500_000_000),
        (".123456", 123_456_000),
        (".1234567", 123_456_700),
        (".123456789", 123_456_789),
        (",000000001", 1),
    ],
)
def test_a_time_that_is_written_out_keeps_its_nanoseconds(fraction: str, ns: int) -> None:
    assert csv_kinds.time_ns(f"2023-11-14T22:13:20{fraction}Z") == T_NS + ns
    assert csv_kinds.time_ns(f"2023-11-14T17:13:20{fraction}-05:00") == T_NS + ns
