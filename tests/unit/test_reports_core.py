"""What the reports service decides."""

import pytest
from msgspec.structs import replace

from schemas.base import Event, SessionId
from schemas.control import ControlAnswered
from schemas.errors import FieldError
from schemas.health import AlertRaised
from schemas.reports import (
    ReportAsked,
    ReportKind,
    ReportMade,
    ReportRequest,
    ReportsDue,
    ReportWanted,
    ReportWritten,
    ResultsWanted,
    ResultsWritten,
    StoreMarked,
    TermsDeclared,
    UptimeMeasured,
)
from schemas.sessions import SessionState, SessionStateChanged
from services.core import tell
from services.recorder.queries.core import ReportsCore
from tests.builders import ACCOUNT, S_NS, SESSION
from tests.control_rig import only
from tests.report_rig import DAY, terms

pytestmark = pytest.mark.req("R-05")
REQUEST = ReportRequest(operator="kim", kind=ReportKind.ORDERS, day=DAY, account=ACCOUNT)
MADE = ReportMade(
    at_ns=0,
    kind=ReportKind.ORDERS,
    day=DAY,
    account=ACCOUNT,
    file="reports/2026-11-25/orders-paper.csv",
    sha256="ab" * 32,
    size_bytes=7,
    until_seq=42,
)
NO_DAY = FieldError(path="$.day", found="nothing recorded", wanted="a day")


def core() -> ReportsCore:
    return ReportsCore(replace(terms(), at_ns=0), uptime_every_s=60)


def written(
    request_id: str = "r1", made: ReportMade | None = None, error: FieldError | None = None
) -> ReportWritten:
    kind = ReportKind.ORDERS
    return ReportWritten(at_ns=1, request_id=request_id, kind=kind, day=DAY, made=made, error=error)


def test_the_terms_are_declared_before_anything_else() -> None:
    made = core()
    assert tell(made, None, 5) == [replace(terms(), at_ns=5)]
    assert isinstance(only(UptimeMeasured, tell(made, None, 5 + 60 * S_NS)), UptimeMeasured)


@pytest.mark.req("R-06")
def test_the_terms_are_declared_again_on_each_day_of_utc() -> None:
    made, day_ns = core(), 86_400 * S_NS
    declared: list[int] = []
    for at_ns in (5, day_ns - S_NS, day_ns + 59 * S_NS, 2 * day_ns - S_NS, 3 * day_ns):
        said = tell(made, None, at_ns)
        declared += [each.at_ns for each in said if isinstance(each, TermsDeclared)]
        assert sum(isinstance(each, UptimeMeasured) for each in said) == (at_ns > 5)
    assert declared == [5, day_ns + 59 * S_NS, 3 * day_ns]


def asked(made: ReportsCore, event: Event) -> list[Event]:
    tell(made, None, 1)
    return list(tell(made, event, 2))


def test_a_report_that_is_asked_for_is_made_recorded_and_answered() -> None:
    made = core()
    ask = ReportAsked(at_ns=2, request_id="r1", request=REQUEST)
    assert asked(made, ask) == [ReportWanted(at_ns=2, request_id="r1", request=REQUEST)]
    said = tell(made, written(made=MADE), 3)
    assert said[0] == replace(MADE, at_ns=3)
    answer = only(ControlAnswered, said)
    assert (answer.request_id, answer.is_ok, answer.errors) == ("r1", True, ())
    assert MADE.sha256 in answer.message
    assert made.describe(4).made == (MADE,)


def test_a_report_that_cannot_be_made_is_answered_with_the_reason() -> None:
    [answer] = asked(core(), written(error=NO_DAY))
    assert isinstance(answer, ControlAnswered)
    assert (answer.is_ok, answer.errors) == (False, (NO_DAY,))


def test_a_scheduled_report_that_cannot_be_made_alerts() -> None:
    made = core()
    due = ReportsDue(at_ns=2, requests=(REQUEST,))
    assert asked(made, due) == [ReportWanted(at_ns=2, request_id="", request=REQUEST)]
    [alert] = tell(made, written(request_id="", error=NO_DAY), 3)
    assert isinstance(alert, AlertRaised)
    assert alert.code == "SLU-145"
    assert "the orders report of 2026-11-25 could not be made" in alert.message


@pytest.mark.req("R-02")
@pytest.mark.parametrize("state", [SessionState.STOPPED, SessionState.FAILED])
def test_a_session_that_ends_has_its_results_written(state: SessionState) -> None:
    made, session = core(), SessionId("s1")
    changed = SessionStateChanged(
        at_ns=2, session=SESSION, strategy="x", account=ACCOUNT, state=state
    )
    assert asked(made, changed) == [ResultsWanted(at_ns=2, session=session)]
    [alert] = tell(made, ResultsWritten(at_ns=3, session=session, error="no room"), 3)
    assert isinstance(alert, AlertRaised)
    assert "no room" in alert.message


@pytest.mark.req("R-04")
def test_a_store_that_cannot_follow_alerts_once_and_is_not_ready() -> None:
    made = core()
    broken = StoreMarked(at_ns=2, recorded_count=0, lag_bytes=0, detail="the disk is full")
    assert len(asked(made, broken)) == 1
    assert list(tell(made, broken, 3)) == []
    assert made.why_not_ready() == "the disk is full"
    tell(made, StoreMarked(at_ns=4, recorded_count=9, lag_bytes=0), 4)
    assert made.why_not_ready() == ""
