"""Reports handed over: into every folder that wants them, once, whole, and told."""

import hashlib
from pathlib import Path

import pytest

from schemas.errors import UserError
from schemas.health import AlertRaised
from schemas.reports import DeliveriesLooked, ReportDelivered
from services.core import tell
from services.recorder.queries.core import ReportsCore
from services.recorder.queries.delivering import deliver, refuse_bad_folders
from tests.report_rig import terms

pytestmark = pytest.mark.req("R-05")
DAYS = ("2026-11-23", "2026-11-24", "2026-11-25")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data folder with a statement for each of three days, and one that is being written."""
    folder = tmp_path / "var"
    for day in DAYS:
        path = folder / "reports" / day / "statement-paper.html"
        path.parent.mkdir(parents=True)
        path.write_text(day)
    (folder / "reports" / DAYS[-1] / ".trades-paper.csv.7").write_text("half")
    return folder


def delivered(day: str, to: Path) -> ReportDelivered:
    digest = hashlib.sha256(day.encode()).hexdigest()
    file = f"reports/{day}/statement-paper.html"
    return ReportDelivered(at_ns=5, file=file, sha256=digest, to=str(to))


def test_each_report_of_the_last_days_is_put_into_each_folder_once(
    data_dir: Path, tmp_path: Path
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    looked = deliver(data_dir, [str(one), str(other)], 2, 5)
    wanted = tuple(delivered(day, to) for to in (one, other) for day in DAYS[-2:])
    assert looked == DeliveriesLooked(at_ns=5, delivered=wanted)
    files = sorted(str(p.relative_to(one)) for p in one.rglob("*") if p.is_file())
    assert files == [f"{day}/statement-paper.html" for day in DAYS[-2:]]
    assert (other / DAYS[-1] / "statement-paper.html").read_text() == DAYS[-1]
    assert deliver(data_dir, [str(one), str(other)], 2, 6) == DeliveriesLooked(at_ns=6)


def test_what_was_made_anew_or_taken_away_is_delivered_again(
    data_dir: Path, tmp_path: Path
) -> None:
    to = tmp_path / "to"
    deliver(data_dir, [str(to)], 9, 5)
    (data_dir / "reports" / DAYS[0] / "statement-paper.html").write_text("more is known")
    (to / DAYS[1] / "statement-paper.html").unlink()
    looked = deliver(data_dir, [str(to)], 9, 6)
    assert [each.file.split("/")[1] for each in looked.delivered] == [*DAYS[:2]]
    assert (to / DAYS[0] / "statement-paper.html").read_text() == "more is known"


def test_a_folder_that_is_away_is_told_and_keeps_nothing_from_another(
    data_dir: Path, tmp_path: Path
) -> None:
    away, here = tmp_path / "away", tmp_path / "here"
    away.write_text("a file, where a folder should be")
    looked = deliver(data_dir, [str(away), str(here)], 1, 5)
    assert looked.delivered == (delivered(DAYS[-1], here),)
    assert looked.trouble.startswith(f"{away}: statement-paper.html: ")
    away.unlink()
    again = deliver(data_dir, [str(away), str(here)], 1, 5)
    assert again == DeliveriesLooked(at_ns=5, delivered=(delivered(DAYS[-1], away),))


@pytest.mark.parametrize("text", ["relative", "{data_dir}/reports"])
def test_a_folder_that_is_no_other_place_is_refused(data_dir: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"reports\.deliver_to"):
        refuse_bad_folders([text.format(data_dir=data_dir)], data_dir)


def test_what_was_delivered_is_recorded_and_trouble_is_told_once(tmp_path: Path) -> None:
    core = ReportsCore(terms(), uptime_every_s=60)
    tell(core, None, 1)  # the terms come first
    there = delivered(DAYS[0], tmp_path)
    assert tell(core, DeliveriesLooked(at_ns=1, delivered=(there,)), 5) == [there]
    trouble = DeliveriesLooked(at_ns=2, trouble="share: x: no such host")
    [alert] = tell(core, trouble, 6)
    assert isinstance(alert, AlertRaised)
    assert "share: x: no such host" in alert.message
    assert list(tell(core, trouble, 7)) == []
    assert list(tell(core, DeliveriesLooked(at_ns=3), 8)) == []
    assert len(tell(core, trouble, 9)) == 1


def test_what_begins_to_fail_while_something_else_does_is_alerted_too() -> None:
    core = ReportsCore(terms(), uptime_every_s=60)
    tell(core, None, 1)  # the terms come first
    mail, share = "mail by host: refused", "share: x: no such host"
    looks = [mail, mail, f"{share}; {mail}", mail, f"{share}; {mail}"]
    said = [tell(core, DeliveriesLooked(at_ns=2, trouble=each), 2) for each in looks]
    told = [[each.message for each in part if isinstance(each, AlertRaised)] for part in said]
    begins = "a report was not delivered, and is tried again: "
    assert told == [[begins + mail], [], [begins + share], [], [begins + share]]


def test_one_place_is_alerted_once_however_its_words_change() -> None:
    core = ReportsCore(terms(), uptime_every_s=60)
    tell(core, None, 1)  # the terms come first
    waits = [f"mail by host: kim@example.com: a.html: 451 wait {each} s" for each in (300, 240, 9)]
    both = f"{waits[2]}; lee@example.com: a.html: 451 wait 9 s"
    looks = [*waits, both, both.replace("9 s", "8 s"), both.replace("a.html", "b.html")]
    said = [tell(core, DeliveriesLooked(at_ns=2, trouble=each), 2) for each in looks]
    told = [[each.message for each in part if isinstance(each, AlertRaised)] for part in said]
    begins = "a report was not delivered, and is tried again: "
    lee = "lee@example.com: a.html: 451 wait 9 s"
    assert told == [[begins + waits[0]], [], [], [begins + lee], [], []]
