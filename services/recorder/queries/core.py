"""What the reports service decides: which report is made, what is said of it, and the uptime."""

from collections import deque
from collections.abc import Sequence

from msgspec.structs import replace

from schemas.base import NS_PER_S, Event
from schemas.control import ControlAnswered
from schemas.errors import FieldError
from schemas.health import AlertRaised, HealthReported, Severity
from schemas.reports import (
    DeliveriesLooked,
    ReportAsked,
    ReportMade,
    ReportsDue,
    ReportsReported,
    ReportWanted,
    ReportWritten,
    ResultsWanted,
    ResultsWritten,
    StoreMarked,
    TermsDeclared,
)
from schemas.sessions import SessionState, SessionStateChanged
from services.core import NOTHING
from services.recorder.queries.uptime import Uptime

SERVICE = "reports"
ENDED = (SessionState.STOPPED, SessionState.COMPLETED, SessionState.FAILED)
DAY_NS = 86_400 * NS_PER_S
MADE_REMEMBERED_MAX = 20
REQUEST = "report"
APART = "; "
"""Stands between troubles of several places."""


class ReportsCore:
    """Decides; the shell reads the record and writes the files.

    The terms are declared first of all, so that the record can be read without our configuration;
    and again every day, so that it still can when retention has taken the beginning of it.
    """

    hears: frozenset[type[Event]] = frozenset(
        {
            HealthReported,
            SessionStateChanged,
            ReportAsked,
            ReportWritten,
            ReportsDue,
            ResultsWritten,
            StoreMarked,
            DeliveriesLooked,
        }
    )
    keeps: frozenset[type[Event]] = frozenset()

    def __init__(self, terms: TermsDeclared, *, uptime_every_s: int) -> None:
        self.wake_at_ns: int | None = 0
        self._terms = terms
        self._every_ns = uptime_every_s * NS_PER_S
        self._uptime = Uptime()
        self._mark = StoreMarked(at_ns=0, recorded_count=0, lag_bytes=0)
        self._undelivered = ""
        self._declared_day = -1
        self._made: deque[ReportMade] = deque(maxlen=MADE_REMEMBERED_MAX)

    def why_not_ready(self) -> str:
        """Return why nothing can be asked; empty while it can."""
        return self._mark.detail

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Take in what happened; return what follows."""
        match event:
            case HealthReported():
                self._uptime.on_health(event, now_ns)
            case StoreMarked():
                return self._marked(event, now_ns)
            case ReportAsked(request_id=request_id, request=request):
                return [ReportWanted(at_ns=now_ns, request_id=request_id, request=request)]
            case ReportsDue(requests=requests):
                return [ReportWanted(at_ns=now_ns, request_id="", request=r) for r in requests]
            case ReportWritten():
                return self._written(event, now_ns)
            case DeliveriesLooked():
                return self._delivered(event, now_ns)
            case SessionStateChanged(session=session, state=state) if state in ENDED:
                return [ResultsWanted(at_ns=now_ns, session=session)]
            case ResultsWritten(session=session, error=error) if error:
                return [_alert(f"the results of {session} were not written: {error}", now_ns)]
        return NOTHING

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Declare the terms at first, and on each day of UTC; tell the uptime of each stretch."""
        is_first = self.wake_at_ns == 0
        self.wake_at_ns = now_ns + self._every_ns
        said: list[Event] = []
        if now_ns // DAY_NS != self._declared_day:
            self._declared_day = now_ns // DAY_NS
            said.append(replace(self._terms, at_ns=now_ns))
        if is_first:
            self._uptime.begin(now_ns)
        else:
            said.append(self._uptime.end(now_ns))
        return said

    def restore(self, event: Event) -> None:
        """Nothing is kept: the record is the state."""
        raise AssertionError("the reports service keeps no events")

    def describe(self, now_ns: int) -> ReportsReported:
        """Return how far queries see, and the newest reports."""
        mark = self._mark
        return ReportsReported(
            at_ns=now_ns,
            recorded_count=mark.recorded_count,
            lag_bytes=mark.lag_bytes,
            detail=mark.detail,
            made=tuple(self._made),
        )

    def _marked(self, mark: StoreMarked, now_ns: int) -> Sequence[Event]:
        """Alert once when the store cannot follow; trading needs it for nothing."""
        previous, self._mark = self._mark, mark
        if not mark.detail or mark.detail == previous.detail:
            return NOTHING
        return [_alert(f"queries do not follow the record: {mark.detail}", now_ns)]

    def _delivered(self, looked: DeliveriesLooked, now_ns: int) -> Sequence[Event]:
        """Tell what was delivered; alert when something begins to be in the way of it."""
        previous, self._undelivered = self._undelivered, looked.trouble
        said: list[Event] = [replace(each, at_ns=now_ns) for each in looked.delivered]
        known = {"", *map(_place, previous.split(APART))}
        if new := [each for each in looked.trouble.split(APART) if _place(each) not in known]:
            what = f"a report was not delivered, and is tried again: {APART.join(new)}"
            said.append(_alert(what, now_ns))
        return said

    def _written(self, written: ReportWritten, now_ns: int) -> Sequence[Event]:
        made, error = written.made, written.error
        said: list[Event] = []
        if made is not None:
            self._made.append(made)
            said.append(replace(made, at_ns=now_ns))
            message = f"{made.file}, {made.size_bytes} bytes, sha256 {made.sha256}"
        else:
            assert error is not None, "a report is made, or there is a reason"
            message = f"no report was made: {error.found}"
        if written.request_id:
            said.append(_answer(written.request_id, message, error, now_ns))
        elif made is None:
            what = f"the {written.kind} report of {written.day} could not be made"
            said.append(_alert(f"{what}: {message}", now_ns))
        return said


def _answer(
    request_id: str, message: str, error: FieldError | None, now_ns: int
) -> ControlAnswered:
    return ControlAnswered(
        at_ns=now_ns,
        request_id=request_id,
        request=REQUEST,
        is_ok=error is None,
        message=message,
        errors=() if error is None else (error,),
    )


def _place(trouble: str) -> str:
    """Return which place a trouble is of: what a server says of one may differ every time."""
    return trouble.partition(": ")[0]


def _alert(message: str, now_ns: int) -> AlertRaised:
    return AlertRaised(
        at_ns=now_ns,
        severity=Severity.WARNING,
        component=SERVICE,
        code="SLU-145",
        message=message,
    )
