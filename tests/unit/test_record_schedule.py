"""What somebody asked for during a day does not take the place of the report of the whole day."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from schemas.reports import ReportKind, ReportMade, ReportRequest, ReportWanted
from services.recorder.queries.config import ReportsConfig
from services.recorder.queries.keeper import Keeper
from services.recorder.queries.making import folded_day, made_of
from services.reports.days import day_named
from tests.builders import ACCOUNT, S_NS
from tests.report_rig import BEGIN_NS, DAY, DAY_NS, NOON_NS, Recorded, a_day, created, terms

pytestmark = pytest.mark.req("R-05")
KIND = ReportKind.ORDERS
CONFIG = ReportsConfig(scheduled=(KIND,), delay_s=60)
END_NS = BEGIN_NS + DAY_NS


def made(data_dir: Path, at_ns: int, *, is_scheduled: bool = False) -> ReportMade:
    """Return what the record says of a report of the day that was made at this time."""
    day = day_named(DAY, "24x7")
    [report] = made_of([KIND], folded_day(data_dir, ACCOUNT, day), day)
    return replace(report.made(is_scheduled=is_scheduled, operator="kim"), at_ns=at_ns)


def due(data_dir: Path, *wanted: ReportWanted) -> Sequence[tuple[str, str]]:
    """Return what is due some minutes after the day, where these had been made."""
    keeper = Keeper(data_dir, CONFIG, ACCOUNT)
    keeper.is_wanted = True
    assert keeper.feed(0).detail == ""
    for each in wanted:
        keeper.on_made(each)
    found = [(each.kind, each.day) for each in keeper.due(END_NS + 300 * S_NS)]
    keeper.close()
    return found


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    found = Recorded(tmp_path)
    found.add(terms(), created(), *a_day())
    return found


@pytest.mark.parametrize(
    ("at_ns", "is_scheduled", "is_due"),
    [
        (NOON_NS + S_NS, False, True),
        (END_NS, False, True),
        (END_NS + 60 * S_NS, False, False),
        (END_NS + 1, True, False),
    ],
)
def test_the_report_of_a_day_is_due_until_one_of_the_whole_day_was_made(
    recorded: Recorded, at_ns: int, is_scheduled: bool, is_due: bool
) -> None:
    recorded.add(made(recorded.data_dir, at_ns, is_scheduled=is_scheduled))
    assert due(recorded.data_dir) == ([(KIND, DAY)] if is_due else [])


def test_a_report_of_a_release_that_did_not_say_how_far_its_day_goes_is_taken_for_whole(
    recorded: Recorded,
) -> None:
    recorded.add(replace(made(recorded.data_dir, NOON_NS), until_ns=0, from_ns=0))
    assert due(recorded.data_dir) == []


def test_a_day_that_ends_when_no_day_does_keeps_no_report_from_being_made(
    recorded: Recorded,
) -> None:
    recorded.add(replace(made(recorded.data_dir, NOON_NS), until_ns=(1 << 63) - 1))
    assert due(recorded.data_dir) == [(KIND, DAY)]


@pytest.mark.parametrize(("request_id", "is_due"), [("", False), ("r1", True)])
def test_only_what_the_schedule_wanted_counts_before_the_record_says_so(
    recorded: Recorded, request_id: str, is_due: bool
) -> None:
    request = ReportRequest(operator="kim", kind=KIND, day=DAY, account=ACCOUNT)
    wanted = ReportWanted(at_ns=NOON_NS, request_id=request_id, request=request)
    assert due(recorded.data_dir, wanted) == ([(KIND, DAY)] if is_due else [])
