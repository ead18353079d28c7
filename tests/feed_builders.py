"""Builders of recordings and of the feed's parts: a test names only what it is about."""

import gzip
import zipfile
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from schemas.base import InstrumentId
from schemas.market import BookChanged, Level, MarketEvent, MarketRead, QuoteReceived
from tests.builders import ALPHA, MS_NS

SPOT_TICKER = (
    '{"stream":"btcusdt@bookTicker","data":{"u":%d,"s":"BTCUSDT","b":"100.10000000",'
    '"B":"3.00000000","a":"100.20000000","A":"1.50000000"}}'
)
SPOT_TRADE = (
    '{"stream":"btcusdt@trade","data":{"e":"trade","E":5,"s":"BTCUSDT","t":77,"p":"100.10000000",'
    '"q":"0.02000000","T":4,"m":true,"M":true}}'
)
SPOT_DEPTH = (
    '{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":5,"s":"BTCUSDT","U":%d,"u":%d,'
    '"b":[["100.10000000","0.00000000"]],"a":[["100.30000000","2.00000000"]]}}'
)
SPOT_SNAPSHOT = (
    '{"lastUpdateId":%d,"bids":[["100.10000000","3.00000000"],["100.05000000","1.00000000"]],'
    '"asks":[["100.20000000","1.50000000"]]}'
)
USDM_TICKER = (
    '{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":%d,"s":"BTCUSDT","b":"100.10",'
    '"B":"2.507","a":"100.20","A":"2.510","T":6,"E":7}}'
)


def capture(path: Path, *messages: str, first_ns: int = 1_000) -> Path:
    """Write a wire capture: one message a millisecond."""
    lines = [f"{first_ns + index * MS_NS} {text}\n" for index, text in enumerate(messages)]
    path.write_bytes(gzip.compress("".join(lines).encode()))
    return path


def lean_zip(root: Path, name: str, rows: Sequence[str], member: str = "rows.csv") -> Path:
    """Write a LEAN zip with one member; `name` is its path below `root`."""
    return lean_zip_of(root, name, {member: rows})


def lean_zip_of(root: Path, name: str, members: dict[str, Sequence[str]]) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for member, rows in members.items():
            archive.writestr(member, "".join(f"{row}\n" for row in rows))
    return path


def levels(*pairs: tuple[str, str]) -> tuple[Level, ...]:
    return tuple((Decimal(price), Decimal(size)) for price, size in pairs)


def snapshot(last_id: int, bids: tuple[Level, ...], asks: tuple[Level, ...]) -> BookChanged:
    return BookChanged(
        at_ns=0,
        instrument=ALPHA,
        bids=bids,
        asks=asks,
        first_id=last_id,
        last_id=last_id,
        is_snapshot=True,
    )


def update(
    first_id: int,
    last_id: int,
    *,
    previous_id: int = -1,
    bids: tuple[Level, ...] = (),
    asks: tuple[Level, ...] = (),
    instrument: InstrumentId = ALPHA,
) -> BookChanged:
    return BookChanged(
        at_ns=0,
        instrument=instrument,
        bids=bids,
        asks=asks,
        first_id=first_id,
        last_id=last_id,
        previous_id=previous_id,
    )


def ticker(update_id: int, bid: str, bid_size: str, ask: str, ask_size: str) -> QuoteReceived:
    return QuoteReceived(
        at_ns=0,
        instrument=ALPHA,
        bid=Decimal(bid),
        bid_size=Decimal(bid_size),
        ask=Decimal(ask),
        ask_size=Decimal(ask_size),
        update_id=update_id,
    )


def read(*events: MarketEvent, position: int = 0, at_ns: int = 0, failure: str = "") -> MarketRead:
    return MarketRead(
        at_ns=at_ns,
        events=events,
        position_count=position or len(events),
        counts={"total": position or len(events)},
        failure=failure,
    )
