"""A record whose beginning retention removed: what is left says so, and makes up no numbers."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from schemas.base import Event, SessionId
from schemas.executions import BookReported, PositionView
from schemas.orders import Side
from schemas.reports import ReportKind, ReportMade
from services.cli.__main__ import run
from services.cli.exits import Exit
from services.recorder.journal import Journal
from services.recorder.queries.making import Report, folded_day, made_of, write
from services.recorder.reader import segments
from services.reports.days import TradingDay, day_named
from services.reports.statement import statement_of
from tests.builders import ACCOUNT, ALPHA, S_NS, dec
from tests.report_rig import (
    BEGIN_NS,
    DAY,
    DAY_NS,
    NOON_NS,
    Life,
    Recorded,
    a_day,
    created,
    marked,
    terms,
)

LATER_NS = 40 * DAY_NS
LATER = "2027-01-04"
NEW = SessionId("s2")


def of_new(*events: Event) -> list[Event]:
    """The same, as another session's."""
    return [replace(event, session=NEW) if hasattr(event, "session") else event for event in events]


def later() -> list[Event]:
    """Day 40: the old session sells the six it holds; a new one buys and sells two of its own."""
    begin_ns, noon_ns = BEGIN_NS + LATER_NS, NOON_NS + LATER_NS
    sold = Life("rest", side=Side.SELL, quantity="6", at_ns=noon_ns)
    buy = Life("in", quantity="2", at_ns=noon_ns + 60 * S_NS)
    sell = Life("out", side=Side.SELL, quantity="2", at_ns=noon_ns + 120 * S_NS)
    return [
        terms(begin_ns),
        created(begin_ns + 1, NEW),
        marked(begin_ns + S_NS, "100094.1", "111", cash="99428.1"),
        *sold.opened(),
        sold.filled("112", "6", fee="1"),
        marked(noon_ns + S_NS, "100099.1", cash="100099.1"),
        *of_new(buy.filled("112", "2"), sell.filled("115", "2")),
        marked(noon_ns + 121 * S_NS, "100105.1", cash="100105.1"),
    ]


class Cut:
    """A record of two days, the files of the first of which retention takes."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder
        self.recorded = Recorded(folder)
        self.recorded.add(terms(), created(), *a_day())
        journal = Journal(folder / "record", file_bytes_max=1)
        journal.append_own("record.started", b"{}", BEGIN_NS + LATER_NS)  # in a file of its own
        journal.close()
        self.recorded.add(*later())

    def cut(self) -> int:
        """Remove the first file; return the number of the first record that is left."""
        first, second = segments(self.data_dir / "record")[:2]
        journal = Journal(self.data_dir / "record", file_bytes_max=1 << 20)
        journal.append_own("record.removed", b'{"kind":"record"}', BEGIN_NS + LATER_NS + DAY_NS)
        journal.close()
        first.unlink()
        return int(second.stem.partition("-")[2])

    def make(self, kind: ReportKind, day: TradingDay) -> Path:
        """Make a report, and record that."""
        [report] = made_of([kind], folded_day(self.data_dir, ACCOUNT, day), day)
        self.recorded.add(made(report, day))
        return write(self.data_dir, report)

    def run(self, *words: str) -> int:
        return run([*words, "--data-dir", str(self.data_dir)])


def made(report: Report, day: TradingDay) -> ReportMade:
    said = report.made(is_scheduled=True, operator="")
    return replace(said, at_ns=day.until_ns + 61 * S_NS)


@pytest.fixture
def cut(tmp_path: Path) -> Cut:
    return Cut(tmp_path)


@pytest.mark.req("R-03", "R-06")
def test_figures_say_what_is_gone_and_show_what_is_whole(
    cut: Cut, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cut.run("figures", "--json") == 0
    whole = json.loads(capsys.readouterr().out)
    assert (whole["begins"], whole["book"][ACCOUNT]["final_value"]) == (None, "100105.1")
    first_n = cut.cut()
    assert cut.run("figures", "--json") == 0
    left = json.loads(capsys.readouterr().out)
    assert left["begins"] == {"record": first_n, "at_ns": BEGIN_NS + LATER_NS}
    assert (left["book"], left["account_positions"]) == ({}, None)
    assert {name: each["final_value"] for name, each in left["session"].items()} == {NEW: "50006"}
    assert left["positions"] == {NEW: whole["positions"][NEW]}
    assert left["attribution"]["session"] == {NEW: whole["attribution"]["session"][NEW]}
    assert (left["equity"], left["days"][LATER]) == (whole["equity"], whole["days"][LATER])
    assert cut.run("figures") == 0
    text = capsys.readouterr().out
    said = f"the beginning of the record is gone: it begins with record {first_n} of 2027-01-04"
    assert f"{said} 00:00:00 UTC" in text
    assert "the book is not known: nowhere in what is left do executor and breaker agree" in text
    assert "sessions that began before are not known from what is left, nor strategies and" in text
    assert "attribution by them: s1" in text
    assert (left["opening"], left["untold"]) == (None, ["s1"])


@pytest.mark.req("R-05", "R-06")
@pytest.mark.parametrize("kind", [ReportKind.STATEMENT, ReportKind.TRADES])
def test_a_report_that_nobody_can_make_again_is_not_called_changed(
    cut: Cut, kind: ReportKind, capsys: pytest.CaptureFixture[str]
) -> None:
    path = cut.make(kind, day_named(LATER, "24x7"))
    assert cut.run("report", "verify", str(path)) == 0
    capsys.readouterr()
    first_n = cut.cut()
    assert cut.run("report", "verify", str(path)) == Exit.UNHEALTHY
    text = capsys.readouterr().out
    assert "its hash is recorded, but the beginning of the record is gone: it begins with" in text
    assert f"record {first_n} of 2027-01-04 00:00:00 UTC" in text
    assert "the record was changed" not in text
    assert cut.run("report", "verify", str(path), "--json") == Exit.UNHEALTHY
    told = json.loads(capsys.readouterr().out)
    assert (told["is_recorded"], told["is_same"]) == (True, None)
    assert told["begins"] == {"record": first_n, "at_ns": BEGIN_NS + LATER_NS}


@pytest.mark.req("R-05", "R-06")
def test_a_report_of_what_is_left_is_verified_and_one_that_differs_is_called_so(
    cut: Cut, capsys: pytest.CaptureFixture[str]
) -> None:
    cut.cut()
    day = day_named(LATER, "24x7")
    path = cut.make(ReportKind.STATEMENT, day)
    assert cut.run("report", "verify", str(path)) == 0
    [other] = made_of([ReportKind.ORDERS], folded_day(cut.data_dir, ACCOUNT, day), day)
    path.write_bytes(b"another page")
    cut.recorded.add(made(other._replace(data=b"another page"), day))
    capsys.readouterr()
    assert cut.run("report", "verify", str(path)) == Exit.UNHEALTHY
    assert "the release is another one, or the record was changed" in capsys.readouterr().out


@pytest.mark.req("R-05", "R-06")
def test_of_reports_before_the_cut_nothing_is_known(
    cut: Cut, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    page.write_bytes(b"a page")
    cut.cut()
    assert cut.run("report", "verify", str(page)) == Exit.UNHEALTHY
    assert "of reports that were made before, nothing is known" in capsys.readouterr().out
    assert cut.run("report", "list") == 0
    assert "of reports that were made before, nothing is known" in capsys.readouterr().out


@pytest.mark.req("R-05", "R-06")
def test_without_terms_it_is_said_that_the_beginning_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = Cut(tmp_path)
    cut.cut()
    for path in segments(tmp_path / "record"):
        kept = [each for each in path.read_bytes().splitlines(True) if b"TermsDecl" not in each]
        path.write_bytes(b"".join(kept))
    assert cut.run("figures") == 2
    assert "no account; the beginning of the record is gone" in capsys.readouterr().err


@pytest.mark.req("R-05", "R-06")
def test_a_statement_of_what_is_left_names_it_and_makes_up_no_profit(cut: Cut) -> None:
    first_n, day = cut.cut(), day_named(LATER, "24x7")
    page = statement_of(folded_day(cut.data_dir, ACCOUNT, day), LATER)
    assert page.begins == f"entry {first_n + 1} of 2027-01-04T00:00:00.000000000Z"
    assert (page.profit, page.realized, page.unrealized) == (None, None, None)
    assert [trade.held_before for trade in page.trades] == [None, None, None]
    assert page.fees == dec(1)
    text = cut.make(ReportKind.STATEMENT, day).read_text()
    assert f"what is left begins with entry {first_n + 1} of 2027-01-04T00:00" in text
    sold = cut.make(ReportKind.TRADES, day).read_text().splitlines()
    header = sold[0].split(",")
    assert sold[1].split(",")[header.index("short_selling")] == "not available"


@pytest.mark.req("R-05", "R-06")
def test_fees_of_a_day_are_its_own_where_the_book_was_told_within_it(cut: Cut) -> None:
    cut.cut()
    view = PositionView(instrument=ALPHA, quantity=dec(0), average_price=dec(0))
    told_ns = NOON_NS + LATER_NS + 3_600 * S_NS
    cash, fees = dec("100105.1"), dec("2.9")
    book = BookReported(at_ns=told_ns, account=ACCOUNT, cash=cash, fees=fees, positions=(view,))
    cut.recorded.add(book)
    page = statement_of(folded_day(cut.data_dir, ACCOUNT, day_named(LATER, "24x7")), LATER)
    assert (page.closing.cash, page.fees) == (cash, dec(1))


# the calendar of then


@pytest.mark.req("R-05")
@pytest.mark.parametrize("is_told", [True, False])
def test_a_report_is_verified_by_the_day_that_it_was_made_of(
    tmp_path: Path, is_told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it says itself; of one that says nothing, by the terms that held then."""
    recorded, day = Recorded(tmp_path), day_named(DAY, "XNYS" if is_told else "24x7")
    recorded.add(terms(), created(), *a_day())
    [report] = made_of([ReportKind.STATEMENT], folded_day(tmp_path, ACCOUNT, day), day)
    said = made(report, day)
    if is_told:
        said = replace(said, from_ns=day.from_ns, until_ns=day.until_ns, calendar="XNYS")
    path = write(tmp_path, report)
    newest = replace(terms(said.at_ns + S_NS), calendar="XNYS")
    recorded.add(said, *([] if is_told else [newest]))
    assert run(["report", "verify", str(path), "--data-dir", str(tmp_path)]) == 0
    assert "make the same bytes again" in capsys.readouterr().out
