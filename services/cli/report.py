"""`sluice report`: a day's records, best execution and statement; and whether a file is the one."""

import asyncio
import hashlib
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
from cyclopts import App, Parameter

from schemas import subjects
from schemas.base import AccountId
from schemas.errors import UserError
from schemas.reports import ReportKind, ReportMade, ReportRequest, TermsDeclared
from services.cli.config_types import did_you_mean
from services.cli.desk import at_desk
from services.cli.exits import Exit
from services.cli.locate import Place, data_dir_of, works_alone
from services.cli.operators import operator_name
from services.cli.output import Output, time_of

if TYPE_CHECKING:
    from services.recorder.queries.making import Report
    from services.reports.audit_fields import Field
    from services.reports.days import TradingDay

report_app = App(name="report", help="Reports of a day: orders, trades, best execution, statement.")

Day = Annotated[str, Parameter(help="The trading day, YYYY-MM-DD.")]
Account = Annotated[str | None, Parameter(help="The account; else the record's newest.")]
TIMEOUT_S = 120.0


class Beginning(NamedTuple):
    """What a record begins with whose first records were removed."""

    record: int
    """Number of the first that is there."""

    at_ns: int
    """When it was recorded, in ns since the epoch."""

    @property
    def words(self) -> str:
        """Return what is gone, and what is there."""
        there = f"record {self.record:,} of {time_of(self.at_ns)}"
        return f"the beginning of the record is gone: it begins with {there}"


def beginning_of(data_dir: Path) -> Beginning | None:
    """Return what the record begins with; None where it is whole.

    Raises:
        UserError: SLU-102 there is no record.
        StateError: SLU-140 a line is no record; SLU-141 a file cannot be read.
    """
    from services.recorder.queries.making import chain_records, require_record

    first = next(chain_records(require_record(data_dir)), None)
    if first is None or first.n == 1:
        return None
    return Beginning(first.n, first.recv_ns)


@report_app.default
def report(
    kind: Annotated[str, Parameter(help="orders, trades, best-execution or statement.")],
    *,
    day: Day,
    account: Account = None,
    place: Place | None = None,
) -> Exit:
    """Make a report of one day, from the record alone: the same record, the same bytes.

    A running system writes it and records its hash. Where none runs it is written all the same,
    and nothing vouches for it but the record itself.
    """
    where = place or Place()
    output = Output(where.as_json)
    wanted = _kind(kind)
    data_dir = data_dir_of(where)
    terms = terms_of(data_dir, account)
    name = _day_name(day, terms)
    if not works_alone(where):
        return asyncio.run(_asked(where, output, wanted, name, terms.account))
    made = _made_here(data_dir, wanted, name, terms)
    path = data_dir / made.file
    output.data({"file": str(path), "sha256": made.sha256, "bytes": len(made.data)})
    output.line(f"{path}, {len(made.data):,} bytes, sha256 {made.sha256}")
    output.line("no system runs here: the record does not say that it was made")
    if (gone := beginning_of(data_dir)) is not None:
        output.line(f"{gone.words}; what rests on what was before is not known")
    return Exit.OK


@report_app.command
def verify(
    file: Annotated[Path, Parameter(help="A report, as it was made.")],
    *,
    place: Place | None = None,
) -> Exit:
    """Verify a report: its hash is in the record, and the record makes the same bytes again.

    Of a record whose beginning retention removed, it can be that nobody knows any more.

    Raises:
        UserError: SLU-102 the file cannot be read.
    """
    where = place or Place()
    output, data_dir = Output(where.as_json), data_dir_of(where)
    try:
        data = file.read_bytes()
    except OSError as error:
        found = error.strerror or str(error)
        raise UserError("SLU-102", path=file, found=found, wanted="a report") from error
    digest = hashlib.sha256(data).hexdigest()
    made, gone = _recorded(data_dir, digest), beginning_of(data_dir)
    told: dict[str, Any] = {"file": str(file), "sha256": digest, "begins": gone and gone._asdict()}
    if made is None:
        output.data({**told, "is_recorded": False, "is_same": None})
        output.line(f"NOT VERIFIED: the record names no report with sha256 {digest}")
        if gone is not None:
            output.line(f"{gone.words}; of reports that were made before, nothing is known")
        return Exit.UNHEALTHY
    again = _again(data_dir, made)
    is_same = again.sha256 == digest
    is_known = is_same or gone is None or not _was_cut_since(data_dir, made)
    told |= {"is_recorded": True, "is_same": is_same if is_known else None}
    output.data({**told, "made": made, "again": again.sha256})
    _say(output, made, again.sha256 if not is_same else "", None if is_known else gone)
    return Exit.OK if is_same else Exit.UNHEALTHY


def _say(output: Output, made: ReportMade, other: str, gone: Beginning | None) -> None:
    what = f"{made.kind} of {made.day}, account {made.account}, made {time_of(made.at_ns)}"
    if not other:
        output.line(f"verified: {what}; records up to {made.until_seq} make the same bytes again")
    elif gone is not None:
        output.line(f"NOT VERIFIED: {what}; its hash is recorded, but {gone.words}")
        output.line("it was made from more than that, and nobody can make it again")
    else:
        output.line(f"NOT VERIFIED: {what}; the record now makes other bytes, sha256 {other}")
        why = "the release is another one, or the record was changed"
        output.line(f"{why}: see `sluice audit verify`")


@report_app.command(name="list")
def show(*, place: Place | None = None) -> Exit:
    """List the reports that the record says were made, newest first."""
    from services.recorder.queries.making import reports_made, require_record

    where = place or Place()
    output, data_dir = Output(where.as_json), data_dir_of(where)
    require_record(data_dir)
    found = list(reports_made(data_dir))[::-1]
    output.data({"reports": found})
    columns = ("made", "day", "kind", "account", "by", "file", "sha256")
    rows = [
        (time_of(e.at_ns), e.day, e.kind, e.account, _by(e), e.file, e.sha256[:16]) for e in found
    ]
    if rows:
        output.table("", columns, rows)
    else:
        output.line("no report was made yet: `sluice report statement --day ...`")
    if (gone := beginning_of(data_dir)) is not None:
        output.line(f"{gone.words}; of reports that were made before, nothing is known")
    return Exit.OK


@report_app.command
def fields(
    kind: Annotated[str, Parameter(help="orders or trades.")], *, place: Place | None = None
) -> Exit:
    """Show each field of an audit report: the rules that ask for it, and why one is missing.

    Raises:
        UserError: SLU-103 there is no such report.
    """
    from services.reports.render import FIELDS

    output = Output((place or Place()).as_json)
    known = {str(each): FIELDS[each] for each in FIELDS}
    if kind not in known:
        wanted = did_you_mean(kind, [*known]) or ", ".join(known)
        raise UserError("SLU-103", path="report fields", found=kind, wanted=wanted)
    found = known[kind]
    output.data({"fields": [_document(each) for each in found]})
    rows = [(e.name, e.europe, e.america, e.why_not or "yes") for e in found]
    output.table(f"{kind}: field, RTS number, CAT name", ("field", "RTS", "CAT", "ours"), rows)
    return Exit.OK


def _document(each: "Field") -> dict[str, Any]:
    return {
        "name": each.name,
        "europe": each.europe,
        "us": each.america,
        "is_available": each.value is not None,
        "why_not": each.why_not,
    }


def _kind(text: str) -> ReportKind:
    try:
        return ReportKind(text)
    except ValueError as error:
        known = [str(each) for each in ReportKind]
        wanted = did_you_mean(text, known) or ", ".join(known)
        raise UserError("SLU-103", path="report", found=text, wanted=wanted) from error


def terms_of(data_dir: Path, account: str | None) -> TermsDeclared:
    """Return the account's terms.

    Raises:
        UserError: SLU-102 no record, or no terms in it; SLU-103 no such account in it.
    """
    from services.recorder.queries.making import accounts_in, require_record

    folder = require_record(data_dir)
    found = {each.account: each for each in accounts_in(data_dir)}
    if not found:
        wanted = "a record in which the reports service has declared an account"
        gone = beginning_of(data_dir)
        found_none = "no account" if gone is None else f"no account; {gone.words}"
        raise UserError("SLU-102", path=folder, found=found_none, wanted=wanted)
    name = AccountId(account) if account is not None else max(found, key=lambda k: found[k].at_ns)
    if name not in found:
        wanted = did_you_mean(name, [*found]) or "one of " + ", ".join(found)
        raise UserError("SLU-103", path="--account", found=name, wanted=wanted)
    return found[name]


def _day_name(day: str, terms: TermsDeclared) -> str:
    from services.reports.days import day_named

    return day_named(day, terms.calendar).name


def _made_here(data_dir: Path, kind: ReportKind, name: str, terms: TermsDeclared) -> "Report":
    from services.recorder.queries.making import folded_day, made_of, refuse_empty, write
    from services.reports.days import day_named

    day = day_named(name, terms.calendar)
    fold = folded_day(data_dir, terms.account, day)
    refuse_empty(fold, day)
    [made] = made_of([kind], fold, day)
    write(data_dir, made)
    return made


def _recorded(data_dir: Path, digest: str) -> ReportMade | None:
    from services.recorder.queries.making import reports_made, require_record

    require_record(data_dir)
    return next((each for each in reports_made(data_dir) if each.sha256 == digest), None)


def _again(data_dir: Path, made: ReportMade) -> "Report":
    from services.recorder.queries.making import folded_day, made_of

    day = _day_of(data_dir, made)
    fold = folded_day(data_dir, made.account, day, until_n=made.until_seq)
    [again] = made_of([made.kind], fold, day)
    return again


def _day_of(data_dir: Path, made: ReportMade) -> "TradingDay":
    """Return the stretch of time that a report is of: as it says, or by the calendar of then."""
    from services.reports.days import TradingDay, day_named

    if made.until_ns:
        return TradingDay(made.day, made.from_ns, made.until_ns, made.until_ns)
    return day_named(made.day, _calendar_then(data_dir, made))


def _calendar_then(data_dir: Path, made: ReportMade) -> str:
    from services.recorder.queries.events import recorded_events
    from services.recorder.queries.making import RECORD_FOLDER, chain_records

    every = chain_records(data_dir / RECORD_FOLDER)
    before = itertools.takewhile(lambda record: record.n <= made.until_seq, every)
    calendar = ""
    for each in recorded_events(one for one in before if one.subject == "report.terms"):
        if isinstance(each.event, TermsDeclared) and each.event.account == made.account:
            calendar = each.event.calendar
    return calendar or terms_of(data_dir, made.account).calendar


def _was_cut_since(data_dir: Path, made: ReportMade) -> bool:
    """Return whether records were removed after a report was made from them."""
    from services.recorder.own import REMOVED
    from services.recorder.queries.making import RECORD_FOLDER, chain_records

    later = chain_records(data_dir / RECORD_FOLDER, after_n=made.until_seq)
    removed = (msgspec.json.decode(one.data) for one in later if one.subject == REMOVED)
    return any(each["kind"] == "record" for each in removed)


async def _asked(
    where: Place, output: Output, kind: ReportKind, day: str, account: AccountId
) -> Exit:
    request = ReportRequest(operator=operator_name(), kind=kind, day=day, account=account)
    async with at_desk(where) as desk:
        answer = await desk.request(subjects.REPORT, request, "reports", timeout_s=TIMEOUT_S)
    output.data(answer)
    output.line(answer.message)
    if not answer.is_ok:
        if not output.is_json:
            output.problems(answer.errors)
        return Exit.REFUSED
    return Exit.OK


def _by(made: ReportMade) -> str:
    return "schedule" if made.is_scheduled else made.operator or "somebody"
