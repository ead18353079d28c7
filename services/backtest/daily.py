"""What a day's bar shows beside its close: the open, told when it was, and the official close.

A daily bar is told when the day is over, and then the market is closed: nothing could ever be
traded on it. Its open was known at the open. So each bar of a market with hours is preceded, at
its own open, by a trade and a quote one tick wide at the opening price, marked synthetic; its size
is the volume of the day before, since the day's own is not known then. The first day has none.

High and low are not told: nobody knows when they were, and a strategy that saw them would look
ahead.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import groupby
from operator import attrgetter

from schemas.base import InstrumentId
from schemas.instruments import Instrument
from schemas.market import BarClosed, MarketEvent, QuoteReceived, TradeReceived
from schemas.market_rules import ClosingPricePublished
from services.calendars.named import ALL_DAY

HALF_DAY_NS = 12 * 3_600_000_000_000
DAY_NS = 24 * 3_600_000_000_000
_at_ns = attrgetter("at_ns")


def with_opens(
    events: Iterable[MarketEvent], instruments: Mapping[InstrumentId, Instrument]
) -> Iterator[MarketEvent]:
    """Yield `events`, with the opens of daily bars at their own time; oldest first, as before."""
    volumes: dict[InstrumentId, Decimal] = {}
    told_ns = 0
    for at_ns, group in groupby(events, key=_at_ns):
        together = list(group)
        bars = [each for each in together if isinstance(each, BarClosed) and _is_day(each)]
        bars = [bar for bar in bars if instruments[bar.instrument].calendar != ALL_DAY]
        opening = [bar for bar in bars if bar.open_ns >= told_ns and volumes.get(bar.instrument)]
        for open_ns, opens in groupby(sorted(opening, key=_open_ns), key=_open_ns):
            yield from _opens_of([*opens], open_ns, volumes, instruments)
        yield from together
        for bar in bars:
            volumes[bar.instrument] = bar.volume
            yield ClosingPricePublished(
                at_ns=at_ns, instrument=bar.instrument, price=bar.close, close_ns=bar.close_ns
            )
        told_ns = at_ns


def _is_day(bar: BarClosed) -> bool:
    """Return whether it is the bar of one session: longer than hours are, and not of several."""
    length_ns = bar.close_ns - bar.open_ns
    return HALF_DAY_NS // 2 < length_ns < DAY_NS


def _open_ns(bar: BarClosed) -> int:
    return bar.open_ns


def _opens_of(
    bars: list[BarClosed],
    open_ns: int,
    volumes: Mapping[InstrumentId, Decimal],
    instruments: Mapping[InstrumentId, Instrument],
) -> Iterator[MarketEvent]:
    """Yield the opening trades of one moment, and then its quotes: a fall may halt the market."""
    for bar in bars:
        lot = instruments[bar.instrument].lot_size
        yield TradeReceived(at_ns=open_ns, instrument=bar.instrument, price=bar.open, quantity=lot)
    for bar in bars:
        instrument = instruments[bar.instrument]
        lot = instrument.lot_size
        size = max(volumes[bar.instrument] // lot * lot, lot)
        yield QuoteReceived(
            at_ns=open_ns,
            instrument=bar.instrument,
            bid=bar.open,
            bid_size=size,
            ask=bar.open + instrument.tick_size,
            ask_size=size,
            is_synthetic=True,
        )
