"""`sluice export`: the record for other programs, as CSV or Parquet, whatever its length."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from schemas.errors import UserError
from services.cli.config_types import did_you_mean
from services.cli.encrypting import EncryptTo, writing
from services.cli.exits import Exit
from services.cli.locate import Place, data_dir_of
from services.cli.output import Output
from services.cli.progress import progress

if TYPE_CHECKING:
    from services.recorder.chain import Record
    from services.recorder.queries.exporting import Wanted
    from services.recorder.queries.order_rows import Row

FROM, UNTIL = "--from", "--to"
RECORD_BYTES = 260
"""What a record has around its payload, about."""

TOLD_BYTES = 1_000_000
NS_PER_US = 1_000


def export(
    kind: Annotated[str, Parameter(help="events, orders, fills or sessions.")],
    *,
    csv: Annotated[Path | None, Parameter(help="Write CSV to this file.")] = None,
    parquet: Annotated[Path | None, Parameter(help="Write Parquet to this file.")] = None,
    from_: Annotated[str | None, Parameter(name=FROM, help="Date or time, UTC; included.")] = None,
    to: Annotated[str | None, Parameter(help="Date or time, UTC; a date with its day.")] = None,
    session: Annotated[str, Parameter(help="Of this session alone.")] = "",
    encrypt_to: EncryptTo = None,
    place: Place | None = None,
) -> Exit:
    """Write what the record says, a row at a time: memory does not grow with it.

    Reads the recorder's files; no running system is needed, and one that runs is not slowed.

    Raises:
        UserError: SLU-103 there is no such kind of rows.
    """
    from services.cli.export_parquet import as_parquet
    from services.recorder.queries.exporting import KINDS, Wanted

    where = place or Place()
    if kind not in KINDS:
        wanted = did_you_mean(kind, [*KINDS]) or ", ".join(KINDS)
        raise UserError("SLU-103", path="export", found=kind, wanted=wanted)
    path = _one_of(csv, parquet)
    wanted_rows = Wanted(
        kind, moment_ns(from_, FROM), moment_ns(to, UNTIL, is_end=True), session=session
    )
    data_dir = data_dir_of(where)
    count = _Count()
    beside = path.parent if encrypt_to is None else None
    with writing(path, encrypt_to=encrypt_to) as target:
        pieces = _pieces(data_dir, wanted_rows, count)
        for piece in pieces if csv else as_parquet(kind, pieces, beside=beside):
            target.write(piece)
    output = Output(where.as_json)
    size = path.stat().st_size
    output.data({"kind": kind, "file": str(path), "rows": count.rows, "bytes": size})
    output.line(f"{count.rows:,} rows of {kind}, {size:,} bytes: {path}")
    if not count.rows:
        output.line("nothing in the record is within what was asked for")
    return Exit.OK


def moment_ns(text: str | None, option: str, *, is_end: bool = False) -> int:
    """Return a date or time of UTC in ns since the epoch; 0 where none was given.

    A date alone, where an end is asked for, is the end of that day.

    Raises:
        UserError: SLU-103 it is neither.
    """
    from datetime import UTC, date, datetime, timedelta

    if text is None:
        return 0
    try:
        if len(text) == len("2026-11-27"):
            day = date.fromisoformat(text) + timedelta(days=1 if is_end else 0)
            at = datetime(day.year, day.month, day.day, tzinfo=UTC)
        else:
            at = datetime.fromisoformat(text)
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        wanted = "2026-11-27, or 2026-11-27T14:30:00 (UTC)"
        raise UserError("SLU-103", path=option, found=repr(text), wanted=wanted) from error
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(microseconds=1) * NS_PER_US


class _Count:
    """How many rows were written."""

    def __init__(self) -> None:
        self.rows = 0


def _one_of(csv: Path | None, parquet: Path | None) -> Path:
    if csv is not None and parquet is None:
        return csv
    if parquet is not None and csv is None:
        return parquet
    found = "both" if csv else "neither"
    wanted = "--csv FILE or --parquet FILE"
    raise UserError("SLU-103", path="export", found=found, wanted=wanted)


def _pieces(data_dir: Path, wanted: "Wanted", count: _Count) -> Iterator[bytes]:
    from services.recorder.queries.exporting import csv_lines, exported
    from services.recorder.queries.making import require_record

    folder = require_record(data_dir)
    total = sum(path.stat().st_size for path in folder.glob("chain-*"))
    with progress(f"exporting {wanted.kind}", total) as on_bytes:
        rows = exported(_counted(folder, on_bytes), wanted)
        yield from csv_lines(wanted.kind, _rows_counted(rows, count))


def _counted(folder: Path, on_bytes: "Callable[[int], None]") -> "Iterator[Record]":
    """Yield the records, and tell a bar how many bytes they are, now and then."""
    from services.recorder.queries.making import chain_records

    bytes_ = 0
    for record in chain_records(folder):
        bytes_ += len(record.data) + RECORD_BYTES
        if bytes_ > TOLD_BYTES:
            on_bytes(bytes_)
            bytes_ = 0
        yield record


def _rows_counted(rows: "Iterable[Row]", count: _Count) -> "Iterator[Row]":
    for row in rows:
        count.rows += 1
        yield row
