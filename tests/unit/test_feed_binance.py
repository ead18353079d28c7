"""A wire capture is read to the last message, and says which message is wrong."""

from decimal import Decimal
from pathlib import Path

import pytest

from schemas.base import NS_PER_MS, InstrumentId
from schemas.errors import UserError
from schemas.instruments import AssetClass, Instrument
from schemas.market import BookChanged, QuoteReceived, TradeReceived
from schemas.orders import Side
from services.feed.binance import BinanceCapture
from services.feed.opening import open_recording
from tests.builders import MS_NS
from tests.feed_builders import (
    SPOT_DEPTH,
    SPOT_SNAPSHOT,
    SPOT_TICKER,
    SPOT_TRADE,
    USDM_TICKER,
    capture,
    levels,
)

SPOT = InstrumentId("binance:BTCUSDT")


def error_of(path: Path) -> dict[str, str]:
    with pytest.raises(UserError) as caught:
        list(open_recording(path))
    return {"code": caught.value.code, **caught.value.fields}


@pytest.mark.req("M-01")
def test_each_kind_of_message_becomes_its_event(tmp_path: Path) -> None:
    path = capture(
        tmp_path / "btc.gz", SPOT_TICKER % 7, SPOT_TRADE, SPOT_DEPTH % (8, 9), SPOT_SNAPSHOT % 7
    )
    quote, trade, depth, start = open_recording(path)
    assert isinstance(depth, BookChanged)
    assert isinstance(start, BookChanged)
    assert quote == QuoteReceived(
        at_ns=1_000,
        instrument=SPOT,
        bid=Decimal("100.1"),
        bid_size=Decimal(3),
        ask=Decimal("100.2"),
        ask_size=Decimal("1.5"),
        update_id=7,
    )
    assert trade == TradeReceived(
        at_ns=1_000 + MS_NS,
        instrument=SPOT,
        price=Decimal("100.1"),
        quantity=Decimal("0.02"),
        aggressor=Side.SELL,
        trade_id="77",
        venue_ns=4 * NS_PER_MS,
    )
    assert (depth.first_id, depth.last_id, depth.previous_id) == (8, 9, -1)
    assert (start.is_snapshot, start.last_id) == (True, 7)
    assert start.bids == levels(("100.1", "3"), ("100.05", "1"))


def test_every_message_is_counted_by_its_kind(tmp_path: Path) -> None:
    path = capture(
        tmp_path / "btc.gz",
        SPOT_TICKER % 7,
        SPOT_TICKER % 8,
        SPOT_TRADE,
        SPOT_DEPTH % (8, 9),
        SPOT_SNAPSHOT % 7,
        '{"stream":"btcusdt@kline_1m","data":{"s":"BTCUSDT"}}',
    )
    recording = open_recording(path)
    assert len(list(recording)) == 5
    assert recording.counts == {"quote": 2, "trade": 1, "book": 2, "skipped": 1, "total": 6}


def test_a_spot_capture_names_its_instrument_and_its_steps(tmp_path: Path) -> None:
    path = capture(tmp_path / "btc.gz", SPOT_TICKER % 7, SPOT_SNAPSHOT % 7)
    assert BinanceCapture(path).instruments() == (
        Instrument(
            id=SPOT,
            asset_class=AssetClass.SPOT,
            currency="USDT",
            tick_size=Decimal("0.05"),
            lot_size=Decimal("0.5"),
            maker_fee_bps=Decimal(10),
            taker_fee_bps=Decimal(10),
        ),
    )


def test_a_perpetual_is_known_by_its_messages_and_not_by_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "spot"
    folder.mkdir()
    [instrument] = BinanceCapture(capture(folder / "btc.gz", USDM_TICKER % 7)).instruments()
    assert (instrument.id, instrument.asset_class) == (
        "binance-usdm:BTCUSDT",
        AssetClass.PERPETUAL,
    )
    assert (instrument.maker_fee_bps, instrument.taker_fee_bps) == (Decimal(2), Decimal(5))


@pytest.mark.parametrize(
    "bad",
    [
        "not json",
        '{"stream":"btcusdt@bookTicker","data":{"u":7}}',
        SPOT_TICKER.replace("100.10000000", "NaN") % 7,
        SPOT_TICKER.replace("100.10000000", "x") % 7,
        SPOT_TICKER.replace("BTCUSDT", "ETHUSDT") % 7,
        SPOT_DEPTH.replace("100.10000000", "NaN") % (8, 9),
        SPOT_SNAPSHOT.replace("1.50000000", "Infinity") % 7,
        '{"something": "else"}',
        "",
    ],
)
def test_a_bad_message_is_named_by_file_and_line(tmp_path: Path, bad: str) -> None:
    good = SPOT_TICKER % 7
    path = capture(tmp_path / "btc.gz", good, SPOT_SNAPSHOT % 7, bad, good)
    found = error_of(path)
    assert (found["code"], found["path"]) == ("SLU-110", f"{path}:3")
    assert found["wanted"].startswith("time in ns, a space")


def test_a_torn_capture_gives_what_it_holds_and_then_says_where_it_ends(tmp_path: Path) -> None:
    path = capture(tmp_path / "btc.gz", *[SPOT_TICKER % number for number in range(20_000)])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    events = iter(BinanceCapture(path).read(open_recording(path)._counts))
    assert next(events).at_ns == 1_000
    with pytest.raises(UserError, match="SLU-110") as caught:
        list(events)
    assert int(caught.value.fields["path"].rpartition(":")[2]) > 100


def test_a_file_that_is_no_gzip_is_refused_with_what_was_wanted(tmp_path: Path) -> None:
    path = tmp_path / "btc.gz"
    path.write_text("hello")
    found = error_of(path)
    assert (found["code"], found["path"]) == ("SLU-110", f"{path}:1")


def test_an_empty_capture_is_refused(tmp_path: Path) -> None:
    found = error_of(capture(tmp_path / "btc.gz"))
    assert found["found"] == "no message that names its market"
