"""On the real recordings: everything is read, and the book is the venue's own."""

from bisect import bisect_right
from collections import Counter
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from schemas.base import InstrumentId
from schemas.health import AlertRaised
from schemas.instruments import AssetClass
from schemas.market import BarClosed, BookChanged, MarketEvent, MarketRead, QuoteReceived
from services.core import tell
from services.feed.core import FeedCore, FeedPlan
from services.feed.opening import open_recording
from services.feed.source import recorded
from services.order_book import Applied, OrderBook
from tests.builders import S_NS

CAPTURES = {
    # file: instrument, messages, tick size, lot size
    "spot/btcusdt": ("binance:BTCUSDT", 41_249, "0.01", "0.00001"),
    "spot/ethusdt": ("binance:ETHUSDT", 33_618, "0.01", "0.0001"),
    "usdm/btcusdt": ("binance-usdm:BTCUSDT", 93_954, "0.1", "0.001"),
    "usdm/ethusdt": ("binance-usdm:ETHUSDT", 74_655, "0.01", "0.001"),
}
Top = tuple[tuple[Decimal, Decimal], tuple[Decimal, Decimal]]


def capture_path(data_dir: Path, name: str) -> Path:
    return data_dir / "binance" / f"{name}_20240808.gz"


def top_of(quote: QuoteReceived) -> Top:
    return (quote.bid, quote.bid_size), (quote.ask, quote.ask_size)


@pytest.mark.req("M-01")
@pytest.mark.parametrize("name", CAPTURES)
def test_every_message_of_a_capture_is_read(data_dir: Path, name: str) -> None:
    instrument, messages, tick_size, lot_size = CAPTURES[name]
    recording = open_recording(capture_path(data_dir, name))
    kinds = Counter(type(event).__name__ for event in recording)
    counts = recording.counts
    assert counts["total"] == sum(kinds.values()) == messages
    assert (counts["quote"], counts["book"]) == (kinds["QuoteReceived"], kinds["BookChanged"])
    [found] = recording.instruments()
    assert (found.id, found.currency) == (instrument, "USDT")
    assert (found.tick_size, found.lot_size) == (Decimal(tick_size), Decimal(lot_size))
    is_perpetual = instrument.startswith("binance-usdm")
    assert found.asset_class is (AssetClass.PERPETUAL if is_perpetual else AssetClass.SPOT)


@pytest.mark.req("M-01", "M-02")
@pytest.mark.parametrize("name", CAPTURES)
def test_the_rebuilt_top_of_book_is_the_venues_own(data_dir: Path, name: str) -> None:
    """The venue sends a quote whenever its best bid or ask changes, with the book's update id.

    So between two quotes its top stands still, and the book is comparable at each of its own ids:
    with the quote of that very id, and where there is none with the last one before it.
    """
    tops: dict[int, Top] = {}
    rebuilt: list[tuple[int, Top]] = []
    book = OrderBook()
    for event in open_recording(capture_path(data_dir, name)):
        if isinstance(event, QuoteReceived):
            tops[event.update_id] = top_of(event)
        elif isinstance(event, BookChanged):
            assert book.apply(event) is not Applied.HOLE
            bid, ask = book.top
            if bid is not None and ask is not None and not event.is_snapshot:
                rebuilt.append((book.last_id, (bid, ask)))
    ids = sorted(tops)
    assert list(tops) == ids, "quotes come in the order of their ids"
    known = [(id_, top) for id_, top in rebuilt if ids[0] <= id_ < ids[-1]]
    same_id = [(id_, top) for id_, top in known if id_ in tops]
    assert [(id_, top) for id_, top in same_id if tops[id_] != top] == []
    assert [x for x in known if tops[ids[bisect_right(ids, x[0]) - 1]] != x[1]] == []
    assert len(same_id) > 500
    assert len(known) > 3_000


@pytest.mark.parametrize("name", ["spot/btcusdt", "usdm/btcusdt"])
def test_one_lost_update_makes_the_top_of_book_untrustworthy(data_dir: Path, name: str) -> None:
    events = [e for e in open_recording(capture_path(data_dir, name)) if isinstance(e, BookChanged)]
    del events[1_000]
    book = OrderBook()
    became = [book.apply(event) for event in events]
    assert became.index(Applied.HOLE) == 1_000
    assert not book.is_whole


@pytest.mark.req("M-02")
@pytest.mark.parametrize("name", CAPTURES)
def test_the_feed_compares_its_books_with_the_venue_while_it_plays(
    data_dir: Path, name: str
) -> None:
    feed = FeedCore(FeedPlan(source=name, stale_after_ns=5 * S_NS, is_recording=True))
    alerts = []
    for position, event in enumerate(open_recording(capture_path(data_dir, name)), 1):
        read = MarketRead(at_ns=event.at_ns, events=(event,), position_count=position)
        alerts += [e for e in tell(feed, read, event.at_ns) if isinstance(e, AlertRaised)]
    report = feed.describe(event.at_ns)
    assert alerts == []
    assert report.top_checks_count > 500
    assert report.top_differs_count == 0


def seconds_apart(events: list[MarketEvent]) -> float:
    return (events[-1].at_ns - events[0].at_ns) / S_NS


@pytest.mark.req("M-01")
@pytest.mark.parametrize(
    ("folder", "counts", "asset_class", "instruments_count"),
    [
        (
            "equity/usa/tick",
            {"quote": 109_066, "trade": 24_293, "suspicious": 1, "total": 133_360},
            AssetClass.EQUITY,
            1,
        ),
        (
            "equity/usa/second",
            {"quote": 27_409, "bar": 16_675, "total": 44_084},
            AssetClass.EQUITY,
            1,
        ),
        (
            "equity/usa/minute",
            {"quote": 7_410, "bar": 6_283, "total": 13_693},
            AssetClass.EQUITY,
            2,
        ),
        ("equity/usa/daily", {"bar": 17_547, "total": 17_547}, AssetClass.EQUITY, 3),
        ("future", {"quote": 19_257, "bar": 8_413, "total": 27_670}, AssetClass.FUTURE, 5),
        ("option", {"quote": 275_552, "bar": 958, "total": 276_510}, AssetClass.OPTION, 2_192),
        ("forex", {"quote": 2_384, "total": 2_384}, AssetClass.FX, 1),
        ("crypto", {"quote": 1_437, "bar": 1_007, "total": 2_444}, AssetClass.SPOT, 1),
        ("cryptofuture", {"funding": 12, "total": 12}, AssetClass.PERPETUAL, 1),
    ],
)
def test_every_row_of_a_lean_folder_is_read_in_time_order(
    data_dir: Path,
    folder: str,
    counts: dict[str, int],
    asset_class: AssetClass,
    instruments_count: int,
) -> None:
    recording = open_recording(data_dir / "lean" / folder)
    times = [event.at_ns for event in recording]
    assert all(earlier <= later for earlier, later in pairwise(times))
    assert recording.counts == counts
    found = recording.instruments()
    assert len(found) == instruments_count
    assert {each.asset_class for each in found} == {asset_class}


@pytest.mark.req("X-07")
def test_prices_of_every_class_are_whole_ticks_of_their_instrument(data_dir: Path) -> None:
    for folder in ("equity/usa/second", "future", "forex", "crypto"):
        recording = open_recording(data_dir / "lean" / folder)
        ticks = {each.id: each.tick_size for each in recording.instruments()}
        off: Counter[InstrumentId] = Counter()
        for event in recording:
            if isinstance(event, QuoteReceived):
                tick = ticks[event.instrument]
                off[event.instrument] += bool(event.bid % tick or event.ask % tick)
        assert off.total() == 0, off


def test_new_yorks_session_opens_at_half_past_nine_in_the_recording(data_dir: Path) -> None:
    """More is traded in the first minute of the session than in all the minutes before."""
    path = data_dir / "lean/equity/usa/minute/spy/20131007_trade.zip"
    bars = [event for event in open_recording(path) if isinstance(event, BarClosed)]
    opening_ns = 1_381_152_600 * S_NS  # 2013-10-07 13:30 UTC
    [first] = [bar for bar in bars if bar.open_ns == opening_ns]
    before = [bar.volume for bar in bars if bar.open_ns < opening_ns]
    assert first.volume > max(before) * 5


def test_futures_trade_most_when_new_york_opens(data_dir: Path) -> None:
    """What shows that the file's clock is UTC: the jump stands at 13:30."""
    path = data_dir / "lean/future/cme/minute/es/20131008_trade.zip"
    by_half_hour: Counter[int] = Counter()
    for event in open_recording(path):
        if isinstance(event, BarClosed):
            by_half_hour[event.open_ns // S_NS % 86_400 // 1_800] += int(event.volume)
    assert by_half_hour.most_common(1)[0][0] == 27, "the half hour from 13:30"


def test_recorded_events_are_ready_for_a_backtest(data_dir: Path) -> None:
    events = list(recorded(open_recording(data_dir / "binance" / "spot")))
    assert len(events) == 41_249 + 33_618
    assert all(earlier.at_ns <= later.at_ns for earlier, later in pairwise(events))
    assert 300 < seconds_apart(events) < 420
