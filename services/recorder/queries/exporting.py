"""The record as tables for other programs: rows as they come, whatever their number."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from schemas.repeats import fact_in
from schemas.sessions import SessionCreated, SessionStateChanged
from services.distinct import Distinct
from services.recorder.chain import Record
from services.recorder.queries.events import in_time_order, recorded_events
from services.recorder.queries.order_rows import Row, order_row
from services.recorder.queries.rows import BIGINT_MAX, Rows
from services.recorder.queries.tables import ALL, KEYED, Column
from services.reports.forms import iso_time
from services.reports.orders import OrderFold

ROWS_AT_ONCE = 2_000


class Wanted(NamedTuple):
    """What is exported. Times in ns since the epoch; 0 and empty are no limit."""

    kind: str
    from_ns: int = 0
    until_ns: int = 0
    session: str = ""


KINDS = ("events", "orders", "fills", "sessions")


def columns_of(kind: str) -> tuple[Column, ...]:
    """Return the columns of an export."""
    return (Column("at", "VARCHAR"), *ALL[kind])


def header(kind: str) -> list[str]:
    """Return the names of the columns: the time for people first."""
    return [each.name for each in columns_of(kind)]


def exported(records: Iterable[Record], wanted: Wanted) -> Iterator[Row]:
    """Yield the rows of an export, in order of the record; orders as they end, open ones last.

    Memory does not grow with the record: open orders are remembered, and the last closed ones.
    """
    names = [each.name for each in ALL[wanted.kind]]
    times = [names.index(name) for name in _TIMES[wanted.kind]]
    whose = names.index("session")
    for row in _rows(records, wanted.kind):
        at_ns = next((row[each] for each in times if 0 < row[each] <= BIGINT_MAX), 0)
        if wanted.session and row[whose] != wanted.session:
            continue
        if at_ns < wanted.from_ns or (wanted.until_ns and at_ns >= wanted.until_ns):
            continue
        yield (iso_time(at_ns), *row)


_TIMES = {
    "events": ("at_ns",),
    "fills": ("at_ns",),
    "orders": tuple(each.name for each in ALL["orders"] if each.name.endswith("_ns")),
    "sessions": ("created_ns", "changed_ns"),
}
"""The first of these that is known is when a row belongs to: not every order has a signal."""


def _rows(records: Iterable[Record], kind: str) -> Iterator[Row]:
    if kind == "orders":
        yield from _orders(records)
        return
    newest: dict[object, Row] = {}  # of a keyed table: the last row of each key is the one
    for taken in _batches(records, kind):
        if kind in KEYED:
            newest |= {row[0]: row for row in taken}
        else:
            yield from taken
    yield from newest.values()


def _batches(records: Iterable[Record], kind: str) -> Iterator[Sequence[Row]]:
    rows, pending = Rows(), 0
    for record in records:
        pending += rows.add(record)
        if pending >= ROWS_AT_ONCE:
            pending = 0
            yield rows.take()[kind]
    yield rows.take()[kind]


def _orders(records: Iterable[Record]) -> Iterator[Row]:
    fold, strategies = OrderFold(), dict[str, str]()
    days, ended = Rows(), Distinct()
    for each in in_time_order(recorded_events(records)):
        event = fact_in(each.event)
        if isinstance(event, SessionCreated | SessionStateChanged):
            strategies[event.session] = event.strategy
        order = fold.apply(event)
        is_end = order is not None and order.is_closed and order.closed_ns == event.at_ns
        if order is not None and is_end and ended.add(order.order_id):  # it may be told twice
            yield order_row(order, strategies.get(order.session, ""), days.day_of(order))
    for order in fold.open_orders():
        yield order_row(order, strategies.get(order.session, ""), days.day_of(order))


def csv_lines(kind: str, rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """Yield a CSV file in pieces (RFC 4180, UTF-8)."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header(kind))
    for count, row in enumerate(rows, start=1):
        writer.writerow(row)
        if count % ROWS_AT_ONCE == 0:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()
