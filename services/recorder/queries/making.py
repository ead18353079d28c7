"""Make reports from the recorded files: anywhere, any time, the same bytes."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from schemas.base import AccountId
from schemas.errors import StateError, UserError
from schemas.reports import ReportKind, ReportMade, TermsDeclared
from services.recorder.chain import Record
from services.recorder.queries.events import in_time_order, recorded_events
from services.recorder.reader import records, segments
from services.reports.day import DayFold
from services.reports.days import TradingDay
from services.reports.render import EXTENSIONS, render

RECORD_FOLDER, REPORTS_FOLDER = "record", "reports"
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700


class Report(NamedTuple):
    """One report, made and not yet written."""

    kind: ReportKind
    day: str
    account: AccountId
    data: bytes
    until_n: int
    span: TradingDay
    calendar: str

    @property
    def file(self) -> str:
        """Where it belongs, below the data folder."""
        name = f"{self.kind}-{self.account}.{EXTENSIONS[self.kind]}"
        return f"{REPORTS_FOLDER}/{self.day}/{name}"

    @property
    def sha256(self) -> str:
        """Hash of its bytes."""
        return hashlib.sha256(self.data).hexdigest()

    def made(self, *, is_scheduled: bool, operator: str) -> ReportMade:
        """Return the fact to be recorded once it is written."""
        return ReportMade(
            at_ns=0,
            kind=self.kind,
            day=self.day,
            account=self.account,
            file=self.file,
            sha256=self.sha256,
            size_bytes=len(self.data),
            until_seq=self.until_n,
            from_ns=self.span.from_ns,
            until_ns=self.span.until_ns,
            calendar=self.calendar,
            is_scheduled=is_scheduled,
            operator=operator,
        )


def folded_day(
    data_dir: Path,
    account: AccountId,
    day: TradingDay,
    *,
    until_n: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> DayFold:
    """Return a day of an account, folded from the record.

    Args:
        data_dir: of the system.
        account: whose day.
        day: which.
        until_n: the last record to take in; None: all there are.
        progress: called with the number of each thousandth record.

    Raises:
        UserError: SLU-102 there is no record; SLU-103 nothing of that day is in it.
        StateError: SLU-140 a line is no record.
    """
    folder = require_record(data_dir)
    found = _whole(folder, until_n, progress)
    first = next(found, None)
    if first is None:
        raise _no_record(folder)
    fold = DayFold(account, day.from_ns, day.until_ns, is_headless=first.n > 1)
    newest = first.n
    for each in in_time_order(recorded_events(_chained(first, found))):
        fold.apply(each.n, each.event)
        newest = max(newest, each.n)
    fold.close()
    fold.last_n = until_n or newest
    return fold


def require_record(data_dir: Path) -> Path:
    """Return the folder of the record.

    Raises:
        UserError: SLU-102 there is none.
    """
    folder = data_dir / RECORD_FOLDER
    if not segments(folder):
        raise _no_record(folder)
    return folder


def _no_record(folder: Path) -> UserError:
    wanted = "the record of a system that has run with this data folder (--data-dir)"
    return UserError("SLU-102", path=folder, found="no record", wanted=wanted)


def refuse_empty(fold: DayFold, day: TradingDay) -> None:
    """Refuse a day of which nothing is recorded.

    Raises:
        UserError: SLU-103.
    """
    if fold.steps or fold.decided_count or fold.equity_by_minute or fold.measured_ns:
        return
    found = f"nothing recorded of account {fold.account} on {day.name}"
    raise UserError("SLU-103", path="--day", found=found, wanted="a day on which the system ran")


def made_of(kinds: Iterable[ReportKind], fold: DayFold, day: TradingDay) -> list[Report]:
    """Return the reports of a folded day."""
    calendar = "" if fold.terms is None else fold.terms.calendar
    name, last_n = day.name, fold.last_n
    return [
        Report(kind, name, fold.account, render(kind, fold, name), last_n, day, calendar)
        for kind in kinds
    ]


def write(data_dir: Path, report: Report) -> Path:
    """Write a report where it belongs; it is there whole or not at all.

    Raises:
        StateError: SLU-141 the disk did not take it.
    """
    path = data_dir / report.file
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(report.data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        found, wanted = error.strerror or str(error), "room on the disk, and the right to write"
        raise StateError("SLU-141", path=path, found=found, wanted=wanted) from error
    return path


def reports_made(data_dir: Path) -> Iterator[ReportMade]:
    """Yield what the record says was made, oldest first.

    Raises:
        StateError: SLU-140 a line is no record.
    """
    found = _whole(data_dir / RECORD_FOLDER, None, None)
    only = (record for record in found if record.subject.startswith("report.made."))
    for each in recorded_events(only):
        if isinstance(each.event, ReportMade):
            yield each.event


def accounts_in(data_dir: Path) -> Sequence[TermsDeclared]:
    """Return the newest terms of each account in the record, in order of their first."""
    found: dict[AccountId, TermsDeclared] = {}
    every = _whole(data_dir / RECORD_FOLDER, None, None)
    only = (record for record in every if record.subject == "report.terms")
    for each in recorded_events(only):
        if isinstance(each.event, TermsDeclared):
            found[each.event.account] = each.event
    return tuple(found.values())


def _whole(
    folder: Path, until_n: int | None, progress: Callable[[int], None] | None
) -> Iterator[Record]:
    for record in chain_records(folder):
        if until_n is not None and record.n > until_n:
            return
        if progress is not None and record.n % 1_000 == 0:
            progress(record.n)
        yield record


def chain_records(folder: Path, *, after_n: int = 0) -> Iterator[Record]:
    """Yield the records of a folder; what cannot be read is said as an operator can use it.

    Raises:
        StateError: SLU-140 a line is no record; SLU-141 a file cannot be read.
    """
    n = after_n
    try:
        for record in records(folder, after_n=after_n):
            n = record.n
            yield record
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        wanted = "the file as it was written; `sluice audit verify` says more"
        raise StateError(
            "SLU-140", path=folder, record=n + 1, found=str(error), wanted=wanted
        ) from error
    except OSError as error:
        found = error.strerror or str(error)
        raise StateError("SLU-141", path=folder, found=found, wanted="to be read") from error


def _chained(first: Record, rest: Iterator[Record]) -> Iterator[Record]:
    yield first
    yield from rest
