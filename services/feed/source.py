"""What a source of market data is, and what one that is made of files shares."""

import heapq
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from operator import attrgetter
from typing import Protocol

import msgspec

from schemas.base import InstrumentId
from schemas.instruments import DataKind, Instrument
from schemas.market import (
    BarClosed,
    LendingRatesPublished,
    MarketEvent,
    PlaybackMarked,
    QuoteReceived,
    TradeReceived,
)
from services.feed.lines import KINDS, Counts

_at_ns = attrgetter("at_ns")


class Source(Protocol):
    """Market data, oldest first. `at_ns` of each event is when it was recorded (or simulated)."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def is_recording(self) -> bool:
        """Whether it comes to an end."""

    @property
    def silence_ns(self) -> int:
        """How long an instrument is usually silent, in ns: the length of a bar; 0 for ticks."""

    @property
    def counts(self) -> Counts:
        """Messages read since the last `iter`, by kind, and `total`."""

    def instruments(self) -> tuple[Instrument, ...]:
        """Return everything it has data of, by id.

        Raises:
            UserError: a file cannot be read, or does not say what is traded in it.
        """

    def __iter__(self) -> Iterator[MarketEvent]:
        """Read from the beginning.

        Raises:
            UserError: while iterating: a file cannot be read; names file and line.
        """

    def after(self, mark: PlaybackMarked) -> Iterator[MarketEvent]:
        """Read on from where `mark` stands, as after a restart.

        Raises:
            UserError: while iterating, as above.
        """


class Series(Protocol):
    """One or more files that follow each other in time."""

    @property
    def resolution(self) -> str:
        """`tick`, `second`, `minute`, `hour`, `daily`: what belongs together when paired."""

    @property
    def has_quotes(self) -> bool:
        """Whether it says what is bid and asked."""

    @property
    def silence_ns(self) -> int:
        """The length of its bars, in ns; 0 for ticks."""

    def instruments(self) -> tuple[Instrument, ...]:
        """Return what it has data of."""

    def offers(self) -> Mapping[InstrumentId, tuple[DataKind, ...]]:
        """Return what it tells, by instrument; of those too that others describe."""

    def read(self, counts: Counts) -> Iterator[MarketEvent]:
        """Read it from the beginning, counting every message by kind."""


class Recording:
    """Files merged in time order, one message of each in memory at a time.

    At the same time quotes come before trades and bars, so that whoever acts on a bar sees the
    market it closed with. Where bars or trades come without quotes (daily bars), a quote one tick
    wide is made from each close: bid at the close, ask one tick above, both marked synthetic.

    Args:
        name: what people call it.
        series: the files; each series must be in time order by itself.
    """

    is_recording = True

    def __init__(self, name: str, series: Sequence[Series]) -> None:
        self.name = name
        self._counts = dict.fromkeys(KINDS, 0)
        self._series = sorted(series, key=lambda each: not each.has_quotes)  # stable: files too
        self.silence_ns = max((each.silence_ns for each in series), default=0)

    @classmethod
    def joined(cls, recordings: Sequence["Recording"]) -> "Recording":
        """Return one recording of all the files of several."""
        name = ", ".join(each.name for each in recordings)
        return cls(name, [series for each in recordings for series in each._series])

    def only(self, instruments: Container[InstrumentId]) -> "Recording":
        """Return it without the files that hold nothing of these instruments."""
        series = [each for each in self._series if any(key in instruments for key in each.offers())]
        return Recording(self.name, series)

    @property
    def counts(self) -> Counts:
        """Messages read since the last `iter`, by kind, and `total`: the lines of all files."""
        read = {kind: count for kind, count in self._counts.items() if count}
        return read | {"total": sum(read.values())}

    def instruments(self) -> tuple[Instrument, ...]:
        """Return everything it has data of, by id, and what all files together tell of it."""
        found = {each.id: each for series in self._series for each in series.instruments()}
        offered: dict[InstrumentId, dict[DataKind, None]] = {key: {} for key in found}
        for series in self._series:
            for key, kinds in series.offers().items():
                offered.get(key, {}).update(dict.fromkeys(kinds))
        return tuple(
            msgspec.structs.replace(found[key], offers=tuple(sorted(offered[key])))
            for key in sorted(found)
        )

    def __iter__(self) -> Iterator[MarketEvent]:
        """Read from the beginning, all files merged."""
        self._counts = dict.fromkeys(KINDS, 0)
        streams = [self._stream(series) for series in self._series]
        return streams[0] if len(streams) == 1 else heapq.merge(*streams, key=_at_ns)

    def after(self, mark: PlaybackMarked) -> Iterator[MarketEvent]:
        """Read from the beginning, and leave out what was published before `mark`."""
        return islice(self, mark.position_count, None)

    def _stream(self, series: Series) -> Iterator[MarketEvent]:
        events = series.read(self._counts)
        if series.has_quotes:
            return events
        quoted = {
            instrument.id
            for other in self._series
            if other.has_quotes and other.resolution == series.resolution
            for instrument in other.instruments()
        }
        unquoted = {each.id: each for each in series.instruments() if each.id not in quoted}
        return with_quotes(events, unquoted) if unquoted else events


_Priced = BarClosed | TradeReceived | LendingRatesPublished
_PRICED = (BarClosed, TradeReceived, LendingRatesPublished)


def index_quote(event: LendingRatesPublished, size: Decimal) -> QuoteReceived:
    """Return the quote that a lending market's index stands for: its shares trade at that, flat."""
    return QuoteReceived(
        at_ns=event.at_ns,
        instrument=event.instrument,
        bid=event.supply_index,
        bid_size=size,
        ask=event.supply_index,
        ask_size=size,
        is_synthetic=True,
    )


def with_quotes(
    events: Iterable[MarketEvent], unquoted: Mapping[InstrumentId, Instrument]
) -> Iterator[MarketEvent]:
    """Yield `events`, and before each bar or trade of `unquoted` the quote it stands for."""
    for event in events:
        if isinstance(event, _PRICED) and event.instrument in unquoted:
            yield _made_quote(event, unquoted[event.instrument])
        yield event


def recorded(source: Iterable[MarketEvent]) -> Iterator[MarketEvent]:
    """Yield the events of `source` for `fused`: at their recorded time, which never goes back.

    An event that was recorded with an earlier time than the one before it (a clock that was set
    back) gets the time of the one before it.
    """
    now_ns = 0
    for event in source:
        at_ns = event.at_ns
        if at_ns < now_ns:
            msgspec.structs.force_setattr(event, "at_ns", now_ns)
        else:
            now_ns = at_ns
        yield event


def _made_quote(event: _Priced, instrument: Instrument) -> QuoteReceived:
    if isinstance(event, LendingRatesPublished):
        return index_quote(event, instrument.lot_size)
    if isinstance(event, BarClosed):
        price, size = event.close, event.volume
    else:
        price, size = event.price, event.quantity
    size = max(size, instrument.lot_size)
    return QuoteReceived(
        at_ns=event.at_ns,
        instrument=instrument.id,
        bid=price,
        bid_size=size,
        ask=price + instrument.tick_size,
        ask_size=size,
        is_synthetic=True,
    )
