"""Recordings as plain CSV: one header line, one event a line, oldest first.

The header says what kind of events follow; columns may stand in any order:

    time,instrument,bid,bid_size,ask,ask_size                      quotes; 0 or empty: not quoted
    time,instrument,price,quantity[,side]                          trades; side is buy or sell
    time,instrument,open_time,open,high,low,close,volume           bars; time is when it closed
    time,instrument,rate                                           funding, paid at that time
    time,instrument,supply_rate,borrow_rate,supply_index           lending, with a share's worth
    time,instrument,available                                      liquidity of a lending market
    time,instrument,supplied,borrowed                              balances of a lending market
    time,instrument,staking_rate                                   staking
    time,instrument,trading[,reason]                               open, halted, closed, unknown

`time` is ns since the epoch, or ISO 8601 with its offset (2013-10-07T09:30:00.5-04:00, or Z), and
never before that of the row above; `instrument` is `<venue>:<symbol>`; sizes are never below 0.
Lines before the header may say what is traded, in full:

    #instrument {"id": "nyse:IBM", "asset_class": "equity", "currency": "USD",
                 "tick_size": "0.01", "lot_size": "1"}              (on one line)

What no such line describes is an equity in USD, its steps told from the numbers in the file. A file
without prices (funding, status) tells of instruments that others describe, and guesses none.
"""

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from schemas.base import InstrumentId
from schemas.errors import UserError
from schemas.instruments import AssetClass, DataKind, Instrument, instrument_id
from schemas.market import (
    MarketEvent,
)
from services.calendars.named import ALL_DAY
from services.feed.csv_kinds import KINDS, ColumnError, Kind, Numbers, time_ns
from services.feed.lines import Counts, missing, unreadable
from services.feed.steps import in_units, step_of_units

if TYPE_CHECKING:  # it has no name at run time
    from _csv import Reader

DECLARES = "#instrument "
TIMES = ("time", "open_time")
WANTED_HEADER = (
    "a header with time, instrument and the columns of quotes (bid,bid_size,ask,ask_size), trades "
    "(price,quantity), bars (open_time,open,high,low,close,volume), funding (rate), lending "
    "(supply_rate,borrow_rate,supply_index), liquidity (available), balances (supplied,borrowed), "
    "staking (staking_rate) or status (trading)"
)
WANTED_VALUES = "time in ns or ISO 8601 with offset, instrument as <venue>:<symbol>, plain numbers"
WANTED_QUOTATION = "a column in quotation marks to end with one, and a mark inside it to be doubled"
WANTED_INSTRUMENT = "#instrument and a JSON object: id, asset_class, currency, tick_size, lot_size"


class CsvSeries:
    """One CSV file."""

    silence_ns = 0
    resolution = "csv"

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def has_quotes(self) -> bool:
        """Whether its header is that of quotes."""
        return self._head[0].name == "quote"

    def instruments(self) -> tuple[Instrument, ...]:
        """Return those it describes, and those its rows name.

        Raises:
            UserError: header or rows cannot be understood; names the line.
        """
        return self._instruments

    def offers(self) -> Mapping[InstrumentId, tuple[DataKind, ...]]:
        """Return what its header tells, of every instrument that a row names.

        Raises:
            UserError: a row cannot be understood; names the line.
        """
        return dict.fromkeys(self._named, self._head[0].offers)

    def read(self, counts: Counts) -> Iterator[MarketEvent]:
        """Read every row.

        Raises:
            UserError: a row cannot be understood; names the line, what was found and wanted.
        """
        kind, columns, _, _ = self._head
        pick = _picker(("instrument", *kind.columns, *kind.optional), columns)
        make, name = kind.make, kind.name
        known: dict[str, InstrumentId] = {}
        numbers, amounts = Numbers(), kind.read_amount()
        for where, at_ns, row in self._rows():
            try:
                instrument, *values = pick(row)
                if instrument not in known:
                    known[instrument] = _id(instrument)
                event = make(at_ns, known[instrument], values, numbers, amounts)
            except (ValueError, ArithmeticError, UserError) as error:
                raise self._bad(where, row, error) from error
            counts[name] += 1
            yield event

    @cached_property
    def _head(self) -> tuple[Kind, list[str], list[Instrument], int]:
        """The kind, its columns, the instruments described, and the lines all that took."""
        described: list[Instrument] = []
        number = 0
        with self._opened() as lines:
            for number, line in enumerate(lines, 1):
                text = line.strip()
                if text.startswith(DECLARES):
                    described.append(self._described(text, number, described))
                elif text and not text.startswith("#"):
                    columns = next(csv.reader([text]))
                    return self._kind_of(columns, number), columns, described, number
        raise unreadable(f"{self.path}:{number + 1}", "the end of the file", WANTED_HEADER)

    def _kind_of(self, columns: list[str], number: int) -> Kind:
        named = set(columns)
        for kind in KINDS:
            wanted = {"time", "instrument", *kind.columns}
            if wanted <= named <= wanted | {*kind.optional} and len(columns) == len(named):
                return kind
        raise unreadable(f"{self.path}:{number}", ",".join(columns), WANTED_HEADER)

    def _described(self, text: str, number: int, before: Iterable[Instrument]) -> Instrument:
        where = f"{self.path}:{number}"
        try:
            found = msgspec.json.decode(text.removeprefix(DECLARES), type=Instrument)
            found = msgspec.structs.replace(found, id=_id(found.id))  # as the rows will name it
        except (msgspec.MsgspecError, ValueError, UserError) as error:
            raise unreadable(where, error, WANTED_INSTRUMENT) from error
        if any(each.id == found.id for each in before):
            raise unreadable(where, f"{found.id}, described above", "each instrument once")
        return found if found.calendar else msgspec.structs.replace(found, calendar=ALL_DAY)

    @cached_property
    def _named(self) -> tuple[InstrumentId, ...]:
        names_at = self._head[1].index("instrument")
        found: dict[str, InstrumentId] = {}
        for where, _, row in self._rows():
            name = row[names_at]
            if name not in found:
                try:
                    found[name] = _id(name)
                except (ValueError, UserError) as error:
                    raise self._bad(where, row, error) from error
        return tuple(found.values())

    @cached_property
    def _instruments(self) -> tuple[Instrument, ...]:
        kind, columns, described, _ = self._head
        found = {each.id: each for each in described}
        if not kind.prices:
            return tuple(found.values())
        prices_at, sizes_at = (
            [columns.index(name) for name in names] for names in (kind.prices, kind.sizes)
        )
        names_at = columns.index("instrument")
        numbers, amounts = Numbers(), kind.read_amount()
        units: dict[InstrumentId, tuple[int, int]] = {}
        for where, _, row in self._rows():
            try:
                instrument = _id(row[names_at])
                prices = [numbers[row[place]] for place in prices_at]
                sizes = [amounts[row[place]] for place in sizes_at]
                if instrument not in found:
                    price, size = units.get(instrument, (0, 0))
                    price = math.gcd(price, *map(in_units, prices))
                    units[instrument] = price, math.gcd(size, *map(in_units, sizes))
            except (ValueError, ArithmeticError, UserError) as error:
                raise self._bad(where, row, error) from error
        guessed = (_guessed(instrument, *steps) for instrument, steps in units.items())
        return tuple(chain(found.values(), guessed))

    def _rows(self) -> Iterator[tuple[int, int, list[str]]]:
        """Yield the number of each line, its time, and its columns, as many as the header has."""
        _, columns, _, head_lines = self._head
        time_at = columns.index("time")
        last_ns: int | None = None
        with self._opened() as lines:
            for _ in range(head_lines):
                next(lines)
            reader = csv.reader(lines, strict=True)
            for where, row in self._split(reader, head_lines):
                if len(row) == len(columns):
                    try:
                        at_ns = time_ns(row[time_at])
                        if last_ns is not None and at_ns < last_ns:
                            raise _runs_back(row[time_at])
                    except ValueError as error:
                        raise self._bad(where, row, error) from error
                    last_ns = at_ns
                    yield where, at_ns, row
                elif row:
                    raise unreadable(f"{self.path}:{where}", ",".join(row), ",".join(columns))

    def _split(self, reader: "Reader", head_lines: int) -> Iterator[tuple[int, list[str]]]:
        """Yield the number of the line that each row begins in, and its columns.

        A quotation mark that nothing ends takes in all the rest, or what comes before the next one.

        Raises:
            UserError: a quotation ends nowhere, or amid a column; names where its row begins.
        """
        begins = head_lines + 1
        try:
            for row in reader:
                yield begins, row
                begins = head_lines + reader.line_num + 1
        except csv.Error as error:
            found = f"a row that cannot be split into columns ({error})"
            raise unreadable(f"{self.path}:{begins}", found, WANTED_QUOTATION) from error

    def _bad(self, where: int, row: list[str], error: Exception) -> Exception:
        """Return the error for a row; it names the column where one alone is wrong."""
        kind, columns, _, _ = self._head
        path, text = f"{self.path}:{where}", ",".join(row)
        if not isinstance(error, ColumnError):
            return unreadable(path, f"{text} ({error})", f"{','.join(columns)}: {WANTED_VALUES}")
        names = TIMES if error.is_time else kind.amounts
        name = next(each for each in names if row[columns.index(each)] == error.text)
        return unreadable(path, f"{name} of {error.found} ({text})", f"{name}: {error.wanted}")

    @contextmanager
    def _opened(self) -> Iterator[Iterator[str]]:
        try:
            lines = self.path.open(encoding="utf-8-sig", errors="replace", newline="")
        except OSError as error:
            found = error.strerror or str(error)
            raise missing(self.path, found, "a CSV file that can be read") from error
        with lines:
            yield lines


def _picker(names: Sequence[str], columns: list[str]) -> Callable[[list[str]], tuple[str, ...]]:
    """Return what takes the values of `names` out of a row; a column that is not there is empty."""
    pick = itemgetter(*(columns.index(name) if name in columns else -1 for name in names))
    if all(name in columns for name in names):
        return pick
    return lambda row: pick([*row, ""])


def _runs_back(text: str) -> ColumnError:
    wanted = "rows oldest first, none with a time before that of the row above it"
    return ColumnError(text, f"{text}, which is before the row above it", wanted, is_time=True)


def _id(name: str) -> InstrumentId:
    venue, colon, symbol = name.partition(":")
    if not colon:
        raise ValueError(f"{name!r} is no instrument: wanted <venue>:<symbol>, like nyse:IBM")
    return instrument_id(venue, symbol)


def _guessed(instrument: InstrumentId, price_units: int, size_units: int) -> Instrument:
    return Instrument(
        id=instrument,
        asset_class=AssetClass.EQUITY,
        currency="USD",
        tick_size=step_of_units(price_units),
        lot_size=step_of_units(size_units),
        calendar=ALL_DAY,  # a recording is replayed at any hour of the day
    )
