"""What a person wrote becomes a source, or an error that says what was wanted."""

from pathlib import Path

import pytest

from schemas.errors import UserError
from schemas.market import MarketEvent, QuoteReceived
from services.feed.config import FeedConfig
from services.feed.opening import open_recording, open_source
from services.feed.simulated import Simulated
from services.feed.source import Recording, recorded
from tests.builders import quote
from tests.feed_builders import SPOT_TICKER, USDM_TICKER, capture, lean_zip


def error_of(spec: str) -> dict[str, str]:
    with pytest.raises(UserError) as caught:
        list(open_source(spec))
    return {"code": caught.value.code, **caught.value.fields}


def test_the_simulated_market_is_as_configured() -> None:
    found = open_source("simulated", FeedConfig(symbols=("X", "Y"), seed=7))
    assert isinstance(found, Simulated)
    assert [each.id for each in found.instruments()] == ["sim:X", "sim:Y"]


def test_a_path_is_opened_by_what_it_is(tmp_path: Path) -> None:
    capture(tmp_path / "a.gz", SPOT_TICKER % 1)
    found = open_source(f"replay:{tmp_path / 'a.gz'}")
    assert isinstance(found, Recording)
    assert [each.id for each in found.instruments()] == ["binance:BTCUSDT"]


def test_a_folder_of_different_recordings_is_one_recording(tmp_path: Path) -> None:
    capture(tmp_path / "a.gz", SPOT_TICKER % 1, SPOT_TICKER % 2)
    capture(tmp_path / "b.gz", USDM_TICKER % 1, first_ns=2_000)
    row = "20131007 00:00,1,1,1,1,1"
    lean_zip(tmp_path, "equity/usa/daily/spy.zip", [row])
    (tmp_path / "README.md").write_text("what this is")
    recording = open_recording(tmp_path)
    assert [event.instrument for event in recording if isinstance(event, QuoteReceived)] == [
        "binance:BTCUSDT",
        "binance-usdm:BTCUSDT",
        "binance:BTCUSDT",
        "usa:SPY",
    ]
    assert recording.counts == {"quote": 3, "bar": 1, "total": 4}


def test_a_source_that_is_neither_is_refused() -> None:
    assert error_of("live") == {
        "code": "SLU-100",
        "path": "feed.source",
        "found": "'live'",
        "wanted": "simulated, or replay:PATH",
    }


def test_a_missing_path_says_what_may_stand_there(tmp_path: Path) -> None:
    found = error_of(f"replay:{tmp_path / 'no.gz'}")
    assert (found["code"], found["found"]) == ("SLU-102", "nothing there")
    assert found["wanted"].startswith("a wire capture (.gz)")


@pytest.mark.parametrize("name", ["notes.txt", "notes"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("hello")
    assert error_of(f"replay:{tmp_path / name}")["code"] == "SLU-110"


def test_a_folder_without_recordings_shows_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    found = error_of(f"replay:{tmp_path}")
    assert (found["code"], found["found"]) == ("SLU-110", "notes.txt")


def test_recorded_time_never_goes_back() -> None:
    read: list[MarketEvent] = [quote(at_ns=5), quote(at_ns=3), quote(at_ns=7)]
    assert [event.at_ns for event in recorded(read)] == [5, 5, 7]


def test_two_readings_of_a_recording_are_the_same(tmp_path: Path) -> None:
    recording = open_recording(capture(tmp_path / "a.gz", SPOT_TICKER % 1, SPOT_TICKER % 2))
    first = list(recording)
    assert (list(recording), recording.counts["total"]) == (first, 2)
