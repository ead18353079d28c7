"""The day's statement lists who halted, reduced, flattened, locked, reset and unlocked what."""

import re

import msgspec
import pytest

from schemas.base import AccountId, Event, SessionId
from schemas.control import BreakerState, BreakerStateChanged, ControlAnswered, HaltRequested
from schemas.reports import ReportKind
from schemas.restrictions import (
    FlattenAsked,
    FlattenReported,
    FlattenRequest,
    Level,
    Lock,
    LocksChanged,
    Restriction,
    RestrictionRequested,
    RestrictionsChanged,
)
from services.reports.render import render
from tests.builders import S_NS
from tests.report_rig import BEGIN_NS, DAY, NOON_NS, created, terms
from tests.unit.test_reports_corrections import day_of, page_of

pytestmark = pytest.mark.req("R-05", "G-09")
SCOPE = "symbol.sim.ALPHA"
ODD = Restriction(scope=SCOPE, level=Level.HALT, number=1, reason="odd", operator="kim")
THIN = Restriction(scope="all", level=Level.REDUCE, number=2, reason="thin", operator="lee")
BOOKS = Lock(
    number=4, component="executor", code="SLU-130", reason="books differ", at_ns=NOON_NS + 6 * S_NS
)


def restricted(second: int, scope: str, level: Level = Level.HALT) -> RestrictionRequested:
    return RestrictionRequested(
        at_ns=NOON_NS + second * S_NS, level=level, scope=scope, reason="odd", operator="kim"
    )


def in_force(second: int, *those: Restriction, reason: str = "", who: str = "") -> Event:
    return RestrictionsChanged(
        at_ns=NOON_NS + second * S_NS, restrictions=those, reason=reason, operator=who
    )


def word(second: int, previous: BreakerState, state: BreakerState) -> BreakerStateChanged:
    return BreakerStateChanged(
        at_ns=NOON_NS + second * S_NS,
        previous=previous,
        state=state,
        reason="seen",
        operator="ann",
        halt=3,
    )


ASKED = FlattenRequest(operator="kim", reason="get out", scope="venue.sim")
A_DAY: tuple[Event, ...] = (
    restricted(0, SCOPE),
    in_force(0, ODD, reason="odd", who="kim"),
    in_force(1, ODD, THIN, reason="thin", who="lee"),
    in_force(2, THIN, reason="calm again", who="ann"),
    HaltRequested(at_ns=NOON_NS + 3 * S_NS, reason="stop", operator="kim", scope="bogus"),
    word(4, BreakerState.MANUALLY_HALTED, BreakerState.RESETTING),
    word(5, BreakerState.RESETTING, BreakerState.NORMAL),
    LocksChanged(at_ns=NOON_NS + 6 * S_NS, locks=(BOOKS,), reason="books differ"),
    LocksChanged(at_ns=NOON_NS + 7 * S_NS, locks=(), reason="compared", operator="ann"),
    FlattenAsked(at_ns=NOON_NS + 8 * S_NS, request_id="", request=ASKED),
    FlattenReported(
        at_ns=NOON_NS + 9 * S_NS, request_id="f", scope="venue.sim", is_flat=False, is_ended=False
    ),
    FlattenReported(
        at_ns=NOON_NS + 10 * S_NS,
        request_id="f",
        scope="venue.sim",
        is_flat=True,
        is_ended=True,
        detail="nothing is held",
    ),
    ControlAnswered(
        at_ns=NOON_NS + 11 * S_NS,
        request_id="g",
        request="flatten",
        is_ok=False,
        message="nothing was done",
    ),
    ControlAnswered(
        at_ns=NOON_NS + 12 * S_NS, request_id="h", request="start", is_ok=False, message="no"
    ),
)


def told(*events: Event) -> list[tuple[int, str, str, str, str]]:
    """Return the seconds after noon, what, where, by whom, and why."""
    page = page_of(terms(), *events)
    return [
        ((each.at_ns - NOON_NS) // S_NS, each.what, each.scope, each.operator, each.reason)
        for each in page.interventions
    ]


def test_each_is_told_with_its_time_its_scope_who_and_why() -> None:
    assert told(*A_DAY) == [
        (0, "halt", SCOPE, "kim", "odd"),
        (2, "reset of halt 1", SCOPE, "ann", "calm again"),
        (3, "halt", "all", "kim", "stop"),
        (5, "reset of halt 3", "all", "ann", "seen"),
        (6, "lock 4", "all", "executor", "SLU-130 books differ"),
        (7, "unlock of 4", "all", "ann", "compared"),
        (8, "flatten", "venue.sim", "kim", "get out"),
        (10, "flatten ended, flat", "venue.sim", "executor", "nothing is held"),
        (11, "flatten refused", "", "executor", "nothing was done"),
    ]


def test_what_was_restricted_on_an_earlier_day_is_known_when_it_is_reset() -> None:
    before = msgspec.structs.replace(in_force(0, ODD), at_ns=BEGIN_NS - S_NS)
    locked = LocksChanged(at_ns=BEGIN_NS - S_NS, locks=(BOOKS,), reason="x")
    assert told(before, locked, in_force(1, reason="calm", who="ann")) == [
        (1, "reset of halt 1", SCOPE, "ann", "calm")
    ]


def test_a_list_with_what_was_locked_before_the_day_locks_nothing_anew() -> None:
    old = msgspec.structs.replace(BOOKS, at_ns=BEGIN_NS - S_NS)
    again = LocksChanged(at_ns=NOON_NS, locks=(old,), reason="another")
    assert told(again) == []


def test_what_another_account_was_forbidden_is_no_matter_of_this_one() -> None:
    other = created(session=SessionId("theirs"))
    other = msgspec.structs.replace(other, account=AccountId("other"))
    scopes = ("account.other", "session.theirs", "session.unknown")
    events = [restricted(n, scope, Level.REDUCE) for n, scope in enumerate(scopes)]
    mine = f"account.{page_of(terms()).account}"
    found = [scope for _, _, scope, _, _ in told(other, *events, restricted(9, mine))]
    assert found == ["session.unknown", mine]


def test_the_page_shows_all_of_them_and_no_secret_that_somebody_typed() -> None:
    secret = HaltRequested(at_ns=NOON_NS, operator="kim", reason="password=hunter2 is out")
    halts = [msgspec.structs.replace(secret, at_ns=NOON_NS + n * S_NS) for n in range(9)]
    text = render(ReportKind.STATEMENT, day_of(terms(), *halts, *A_DAY), DAY).decode()
    assert "hunter2" not in text
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", line) for line in text.splitlines()]
    found = [row for row in rows if len(row) == 6 and row[1] in ("halt", "flatten refused")]
    assert len(found) == 9 + 3
    assert found[-1][1:] == [
        "flatten refused",
        "not known",
        "executor",
        "nothing was done",
        str(1 + 9 + 13),
    ]
    assert render(ReportKind.STATEMENT, day_of(terms()), DAY).decode().count(">Scope<") == 0
