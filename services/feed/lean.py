"""Recordings in the format of the LEAN engine: zips of CSV files, named by what is in them."""

import heapq
import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import IO, cast

from schemas.base import InstrumentId
from schemas.instruments import DataKind, Instrument
from schemas.market import MarketEvent
from services.feed.lean_names import RESOLUTIONS_NS, LeanFile, instrument_of
from services.feed.lean_rows import row_reader
from services.feed.lines import BAD_ARCHIVE, Counts, missing, unreadable

WANTED_ZIP = "a zip of CSV files"
MEMBER_BYTES_SMALL = 1 << 16
"""A member up to this size is unpacked at once: a decompressor would take as much memory. A zip of
options holds thousands of them, all open at the same time."""

_OFFERS: dict[str, tuple[DataKind, ...]] = {
    "quote": (DataKind.PRICES,),
    "trade": (DataKind.PRICES, DataKind.TRADES),
    "bar": (DataKind.PRICES, DataKind.BARS),
    "funding": (DataKind.FUNDING,),
}
"""What each kind of file tells; prices are made of trades and bars where there are no quotes."""

_at_ns = attrgetter("at_ns")


class LeanSeries:
    """The files of one symbol, resolution and kind, one after the other, day by day.

    Args:
        files: of the same series; not empty.
    """

    def __init__(self, files: Sequence[LeanFile]) -> None:
        assert len({file.series for file in files}) == 1, files
        self.files = sorted(files, key=lambda file: file.day)
        self.resolution = files[0].resolution
        self.has_quotes = files[0].kind == "quote"
        self.silence_ns = RESOLUTIONS_NS[self.resolution]

    def instruments(self) -> tuple[Instrument, ...]:
        """Return every contract that has a member in one of the zips.

        Raises:
            UserError: a zip cannot be read, or a member's name not be understood.
        """
        return self._instruments

    def offers(self) -> Mapping[InstrumentId, tuple[DataKind, ...]]:
        """Return what its kind of files tells of each of its instruments."""
        kinds = _OFFERS[_counted_as(self.files[0])]
        return {each.id: kinds for each in self._instruments}

    @cached_property
    def _instruments(self) -> tuple[Instrument, ...]:
        if self.files[0].asset not in ("option", "future"):
            return (instrument_of(self.files[0], ""),)
        found: dict[str, Instrument] = {}
        for file in self.files:
            with _opened(file) as archive:
                for member in _members(archive):
                    instrument = instrument_of(file, member)
                    found[instrument.id] = instrument
        return tuple(found.values())

    def read(self, counts: Counts) -> Iterator[MarketEvent]:
        """Read every row of every file, members of one zip merged in time order.

        Raises:
            UserError: a row is not what LEAN writes; names file, member and line.
        """
        for file in self.files:
            if file.kind == "funding":
                with _opened_plain(file.path) as lines:
                    yield from _rows(file, "", lines, counts)
                continue
            with _opened(file) as archive, ExitStack() as stack:
                streams = [
                    _rows(file, member, stack.enter_context(_lines(archive, member)), counts)
                    for member in _members(archive)
                ]
                merged = heapq.merge(*streams, key=_at_ns) if len(streams) > 1 else streams[0]
                yield from merged


def series_of(files: Iterable[LeanFile]) -> list[LeanSeries]:
    """Return the files as series, in the order of their names."""
    grouped: dict[tuple[str, ...], list[LeanFile]] = {}
    for file in files:
        grouped.setdefault(file.series, []).append(file)
    return [LeanSeries(grouped[key]) for key in sorted(grouped)]


def _rows(
    file: LeanFile, member: str, lines: Iterable[bytes], counts: Counts
) -> Iterator[MarketEvent]:
    """Yield the events of one member."""
    read_row, columns = row_reader(file, instrument_of(file, member))
    where = f"{file.path}: {member}" if member else str(file.path)
    kind = _counted_as(file)
    number, line = 0, b""
    try:
        for line in lines:
            number += 1
            event = read_row(line.rstrip().split(b","))
            if event is None:
                counts["suspicious"] += 1
            else:
                counts[kind] += 1
                yield event
    except (ValueError, ArithmeticError, IndexError) as error:
        raise unreadable(f"{where}:{number}", line, f"the columns {columns}") from error
    except BAD_ARCHIVE as error:
        raise unreadable(f"{where}:{number + 1}", error, WANTED_ZIP) from error


def _counted_as(file: LeanFile) -> str:
    if file.kind == "trade" and file.resolution != "tick":
        return "bar"
    return file.kind


@contextmanager
def _opened(file: LeanFile) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(file.path)
    except BAD_ARCHIVE as error:
        raise unreadable(file.path, error, WANTED_ZIP) from error
    with archive:
        if not _members(archive):
            raise unreadable(file.path, "no member", WANTED_ZIP)
        yield archive


@contextmanager
def _opened_plain(path: Path) -> Iterator[IO[bytes]]:
    try:
        lines = path.open("rb")
    except OSError as error:
        raise missing(path, error.strerror or str(error), "a file that can be read") from error
    with lines:
        yield lines


def _members(archive: zipfile.ZipFile) -> list[str]:
    return sorted(name for name in archive.namelist() if name.endswith(".csv"))


def _lines(archive: zipfile.ZipFile, member: str) -> IO[bytes]:
    """Return the member, opened to read lines from.

    Raises:
        UserError: the archive is damaged there.
    """
    try:
        if archive.getinfo(member).file_size <= MEMBER_BYTES_SMALL:
            return io.BytesIO(archive.read(member))
        # an open member gives all that BufferedReader asks of a raw stream, and is slow by the line
        return io.BufferedReader(cast(io.RawIOBase, archive.open(member)))
    except BAD_ARCHIVE as error:
        raise unreadable(f"{archive.filename}: {member}", error, WANTED_ZIP) from error
