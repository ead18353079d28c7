"""Books compared and starts prepared: the executor's rounds with its venue."""

from collections.abc import Sequence

import msgspec
import pytest

from schemas.base import Event, OrderId
from schemas.control import HaltRequested, PrepareAsked, Prepared
from schemas.errors import FieldError
from schemas.executions import (
    BookReported,
)
from schemas.health import AlertRaised, Severity
from schemas.reconciliation import Difference, DifferenceKind, ReconciliationReported
from schemas.restrictions import LockRequested
from schemas.venue import (
    BookQueried,
    VenueBook,
    VenueCanceled,
    VenueLinkChanged,
)
from services.core import NOTHING
from services.executor.config import ExecutorConfig
from services.executor.core import ExecutorCore
from services.executor.rounds import NEXT
from tests.builders import ACCOUNT, BETA, S_NS, dec, order
from tests.executor_builders import CASH, executor, placed, say
from tests.executor_rig import (
    LIMIT,
    bid,
    only,
    prepare,
    prepared,
    trading,
)

NO_LINK = FieldError(
    path="executor.venue",
    found="the link to it is down",
    wanted="its book: check `sluice status` and the venue's log",
)


@pytest.mark.req("S-16")
def test_a_start_is_prepared_by_comparing_the_whole_book_with_the_venue() -> None:
    pair = trading(order(), bid())
    book, answer = pair.tell(prepare())
    assert answer == prepared()
    assert isinstance(book, BookReported)
    assert (book.request_id, book.is_reconciled) == ("s1", True)
    assert [view.order.order_id for view in book.open_orders] == ["bid"]


@pytest.mark.req("S-16")
def test_a_start_without_a_venue_is_refused_with_what_is_missing_once_it_waited() -> None:
    core = executor(is_linked=False)
    assert say(core, prepare()) == []
    assert core.wake_at_ns == 1 + 1_500_000_000
    book, answer = core.wake(core.wake_at_ns)
    assert answer == prepared((NO_LINK,), at_ns=1 + 1_500_000_000)
    assert isinstance(book, BookReported)
    assert (book.request_id, book.is_reconciled) == ("s1", False)


@pytest.mark.req("S-16", "X-10")
def test_a_start_goes_on_where_the_link_to_the_venue_comes_back_while_it_waits() -> None:
    core = executor(is_linked=False)
    say(core, prepare())
    asked = only(say(core, VenueLinkChanged(at_ns=2, is_up=True)), BookQueried)
    assert asked == [
        BookQueried(at_ns=2, request_id=name, since_ns=0) for name in ("round-1", "s1")
    ]
    found = VenueBook(at_ns=3, request_id="s1", cash=CASH, fees=dec(0), positions={})
    assert only(say(core, found), Prepared) == [prepared(at_ns=3)]
    assert only(core.wake(2 * S_NS), Prepared) == []  # it is answered once


@pytest.mark.req("S-16", "X-10")
def test_without_the_wait_a_start_is_refused_over_a_link_that_is_about_to_be_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A reset and a start after a halt come while the venue is being connected to again."""
    whole = ExecutorCore._on_prepare

    def hasty(self: ExecutorCore, event: PrepareAsked, now_ns: int) -> Sequence[Event]:
        said = whole(self, event, now_ns)
        return said if self.rounds.is_linked else self._prepare_late(now_ns)

    answers: list[list[Event]] = []
    for is_hasty in (False, True):
        with monkeypatch.context() as patch:
            if is_hasty:
                patch.setattr(ExecutorCore, "_on_prepare", hasty)
            core = executor(is_linked=False)
            said = say(core, prepare())
            said += say(core, VenueLinkChanged(at_ns=2, is_up=True))
            found = VenueBook(at_ns=3, request_id="s1", cash=CASH, fees=dec(0), positions={})
            answers.append(only([*said, *say(core, found)], Prepared))
    assert answers == [[prepared(at_ns=3)], [prepared((NO_LINK,))]]


@pytest.mark.req("S-16")
def test_without_an_end_to_the_wait_a_start_that_has_no_venue_is_never_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever asked for it is never told what is missing."""
    monkeypatch.setattr(ExecutorCore, "_prepare_late", lambda *given: NOTHING)
    core = executor(is_linked=False)
    assert say(core, prepare()) == []
    assert core.wake_at_ns is not None
    assert [*core.wake(core.wake_at_ns), *core.wake(60 * S_NS)] == []
    assert core.wake_at_ns is None


@pytest.mark.req("S-16", "X-10")
def test_a_start_asks_again_where_the_link_was_lost_with_its_question() -> None:
    core = executor()
    say(core, prepare())
    say(core, VenueLinkChanged(at_ns=2, is_up=False))
    asked = only(say(core, VenueLinkChanged(at_ns=3, is_up=True)), BookQueried)
    assert asked == [
        BookQueried(at_ns=3, request_id=name, since_ns=0) for name in ("round-2", "s1")
    ]


def test_a_venue_that_does_not_answer_in_time_does_not_let_a_start_through() -> None:
    core = executor()
    assert say(core, prepare()) == [BookQueried(at_ns=1, request_id="s1", since_ns=0)]
    assert core.wake_at_ns == 1 + 1_500_000_000
    _, answer = core.wake(core.wake_at_ns)
    assert isinstance(answer, Prepared)
    assert [each.found for each in answer.errors] == ["no answer in time"]
    late = VenueBook(at_ns=1, request_id="s1", cash=CASH, fees=dec(0), positions={})
    assert say(core, late, 2 * S_NS) == []


def test_the_answer_to_an_earlier_question_prepares_no_start() -> None:
    core = executor()
    say(core, prepare())
    earlier = VenueBook(at_ns=2, request_id="round-1", cash=CASH, fees=dec(0), positions={})
    assert only(say(core, earlier), Prepared) == []
    asked = msgspec.structs.replace(earlier, at_ns=3, request_id="s1")
    assert only(say(core, asked), Prepared) == [prepared(at_ns=3)]


@pytest.mark.req("S-16")
def test_a_difference_alerts_with_both_sides_halts_and_locks() -> None:
    pair = trading(order())
    pair.venue.ledger.portfolio.cash += 7
    book, answer = (said := pair.tell(prepare()))[-2:]
    both = "ours 98999.399950, venue's 99006.399950"
    reason = f"the venue's book differs from ours: cash: {both}"
    found = Difference(
        id="f0a5e8e2",
        kind=DifferenceKind.CASH,
        what="cash",
        ours="98999.399950",
        theirs="99006.399950",
    )
    assert said[:4] == [
        ReconciliationReported(at_ns=1, account=ACCOUNT, is_agreed=False, differences=(found,)),
        AlertRaised(
            at_ns=1,
            severity=Severity.CRITICAL,
            component="executor",
            code="SLU-131",
            message="our book and the venue's differ in cash",
            fields={"cash": both},
        ),
        HaltRequested(at_ns=1, reason=reason, operator="executor"),
        LockRequested(
            at_ns=1,
            component="executor",
            code="SLU-131",
            reason=reason,
            fields={"cash": both, "next": NEXT},
        ),
    ]
    wanted = "equal, or decided: `sluice reconcile adopt f0a5e8e2`, or flatten, or ignore"
    error = FieldError(path="executor.cash", found=both, wanted=wanted)
    assert answer == prepared((error,))
    assert isinstance(book, BookReported)
    assert (book.is_reconciled, book.detail) == (False, f"cash: {both}")


def test_the_same_difference_is_not_told_again_and_again() -> None:
    pair = trading(config=ExecutorConfig(report_every_ms=0, reconcile_every_s=60))
    pair.venue.ledger.portfolio.cash += 7
    pair.guard.halt()
    assert len(only(pair.wait(61 * S_NS), AlertRaised)) == 1
    assert only(pair.wait(200 * S_NS), AlertRaised) == []


@pytest.mark.parametrize(
    ("name", "both"),
    [
        ("position sim:ALPHA", "ours 10, venue's 0"),
        ("order foreign", "ours none, venue's buy 5 sim:BETA"),
        ("order bid", "ours 10, venue's 3"),
    ],
)
def test_every_kind_of_difference_is_named(name: str, both: str) -> None:
    pair = trading(order(), bid())
    if name.startswith("position"):
        pair.venue.ledger.portfolio.positions.clear()
    elif name == "order bid":
        pair.venue.ledger.orders[OrderId("bid")].leaves = dec(3)
    else:
        foreign = order("foreign", quantity="5", order_type=LIMIT, limit="9.00", instrument=BETA)
        say(pair.venue, placed(foreign))
    [alert] = only(pair.tell(prepare()), AlertRaised)
    assert isinstance(alert, AlertRaised)
    assert alert.fields == {name: both}


def test_an_order_that_we_hold_closed_and_the_venue_open_is_a_difference() -> None:
    pair = trading(bid())
    pair.tell(VenueCanceled(at_ns=1, order_id=OrderId("bid"), leaves=dec(10)))
    [alert] = only(pair.tell(prepare()), AlertRaised)
    assert isinstance(alert, AlertRaised)
    assert alert.fields == {"order bid": "ours canceled, venue's open with 10 left"}


@pytest.mark.req("S-16")
def test_the_book_is_compared_every_minute() -> None:
    pair = trading(config=ExecutorConfig(report_every_ms=0, reconcile_every_s=60))
    pair.venue.ledger.portfolio.cash -= 1
    assert only(pair.wait(59 * S_NS), AlertRaised) == []
    assert [type(each) for each in pair.wait(61 * S_NS)] == [
        ReconciliationReported,
        AlertRaised,
        HaltRequested,
        LockRequested,
    ]
