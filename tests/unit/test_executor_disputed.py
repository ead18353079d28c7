"""An order that has ended ends here too, whatever the venue counts of it and cannot show."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from schemas.base import Event, OrderId
from schemas.executions import OrderCanceled, OrderFilled, OrderMarkedUnknown, OrderStatus
from schemas.health import AlertRaised, Severity
from schemas.venue import (
    BookQueried,
    VenueBook,
    VenueCanceled,
    VenueFilled,
    VenueLinkChanged,
    VenueMessage,
    VenueOrderStatus,
    VenueReplaced,
)
from services.core import NOTHING
from services.executor import facts
from services.executor.core import ExecutorCore
from services.executor.facts import Fact, reported
from services.executor.fates import Fates
from services.executor.orders import Record
from tests.builders import MS_NS, dec, order
from tests.executor_builders import CASH, filled, say
from tests.executor_rig import NAMES, O1, only, resting, status

pytestmark = pytest.mark.req("X-10")

LATE_NS = order().expires_at_ns + 2_000 * MS_NS
AGAIN_NS = LATE_NS + 1_000 * MS_NS
REASON = "it is {} at the venue, which counts {} as filled and shows executions of {}"


def shown(core: ExecutorCore, question: Event, *executions: VenueFilled) -> list[Event]:
    """Let the venue answer with a flat book."""
    assert isinstance(question, BookQueried)
    return say(
        core,
        VenueBook(
            at_ns=question.at_ns,
            request_id=question.request_id,
            cash=CASH,
            fees=dec(0),
            positions={},
            executions=executions,
        ),
    )


def told(
    core: ExecutorCore, state: OrderStatus, counted: str, at_ns: int = LATE_NS
) -> Sequence[Event]:
    """Let the venue say what became of the order."""
    said = VenueOrderStatus(at_ns=at_ns, order_id=O1, status=state, filled=dec(counted))
    return list(core.handle(said, at_ns))


def taken_back() -> ExecutorCore:
    """An order of which 4 filled; the venue has taken that back while the link was down."""
    core = resting()
    say(core, filled(quantity="4", leaves="6"))
    say(core, VenueLinkChanged(at_ns=5, is_up=False, detail="gone"))
    [question] = only(say(core, VenueLinkChanged(at_ns=6, is_up=True)), BookQueried)
    said = shown(core, question)
    assert [type(each) for each in said[:1]] == [OrderMarkedUnknown]
    return core


def closed(state: str, counted: str, known: str, leaves: str) -> list[Event]:
    """Return what is said when it is given up."""
    reason = REASON.format(state, counted, known)
    return [
        OrderCanceled(**NAMES, at_ns=AGAIN_NS, leaves=dec(leaves), reason=reason),
        AlertRaised(
            at_ns=AGAIN_NS,
            severity=Severity.WARNING,
            component="executor",
            code="SLU-136",
            message=f"o1: {reason}",
        ),
    ]


@pytest.mark.parametrize("state", [OrderStatus.CANCELED, OrderStatus.EXPIRED, OrderStatus.FILLED])
def test_an_order_whose_execution_was_taken_back_ends_once_all_of_them_were_shown(
    state: OrderStatus,
) -> None:
    core = taken_back()
    [question] = told(core, state, "0")
    assert isinstance(question, BookQueried)
    assert question.since_ns == 0
    assert [type(each) for each in told(core, state, "0", AGAIN_NS)] == [BookQueried], "no answer"
    shown(core, question)
    *said, books = told(core, state, "0", AGAIN_NS)
    assert (said, type(books)) == (closed(state, "0", "4", "6"), BookQueried)
    assert (status(core), core.describe(LATE_NS).open_orders) == (OrderStatus.CANCELED, ())
    assert core.why_not_ready() == "our book and the venue's are not known to agree"


def test_what_is_left_is_a_difference_that_a_person_can_decide() -> None:
    core = taken_back()
    [question] = told(core, OrderStatus.CANCELED, "0")
    shown(core, question)
    *_, books = told(core, OrderStatus.CANCELED, "0", AGAIN_NS)
    for _ in range(3):  # once more, and then with every execution there is
        books = [*only(shown(core, books), BookQueried), books][0]
    report = core.describe(LATE_NS)
    assert [each.name for each in report.differences] == ["cash", "fees", "position sim:ALPHA"]


def test_an_execution_that_is_counted_and_never_shown_holds_an_order_up_no_longer() -> None:
    core = resting()
    *_, first, _ = say(core, VenueCanceled(at_ns=1, order_id=O1, leaves=dec(5)))
    shown(core, first)
    [question] = told(core, OrderStatus.CANCELED, "5")
    shown(core, question)
    *said, _ = told(core, OrderStatus.CANCELED, "5", AGAIN_NS)
    assert said == closed("canceled", "5", "0", "10")


def test_before_its_deadline_has_passed_an_execution_may_still_come() -> None:
    core, early_ns = taken_back(), order().expires_at_ns - 1_000 * MS_NS
    [question] = told(core, OrderStatus.CANCELED, "0", early_ns)
    shown(core, question)
    said = told(core, OrderStatus.CANCELED, "0", order().expires_at_ns)
    assert ([type(each) for each in said], status(core)) == ([BookQueried], OrderStatus.UNKNOWN)


def test_an_order_that_has_not_ended_is_never_given_up() -> None:
    core = taken_back()
    [question] = told(core, OrderStatus.PARTIALLY_FILLED, "0")
    shown(core, question)
    said = told(core, OrderStatus.PARTIALLY_FILLED, "0", AGAIN_NS)
    assert ([type(each) for each in said], status(core)) == ([BookQueried], OrderStatus.UNKNOWN)


def test_another_count_asks_for_all_executions_again() -> None:
    core = taken_back()
    [question] = told(core, OrderStatus.CANCELED, "0")
    shown(core, question)
    [again] = told(core, OrderStatus.CANCELED, "2", AGAIN_NS)
    assert isinstance(again, BookQueried)
    shown(core, again)
    said = told(core, OrderStatus.CANCELED, "2", AGAIN_NS + 1_000 * MS_NS)
    assert type(said[0]) is OrderCanceled


def test_what_an_order_was_asked_for_is_forgotten_with_it() -> None:
    core = resting()
    *_, first, _ = say(core, VenueCanceled(at_ns=1, order_id=O1, leaves=dec(5)))
    shown(core, first)
    [question] = told(core, OrderStatus.CANCELED, "5")
    assert list(core._fates._disputes) == [O1]
    shown(core, question, filled(quantity="5", leaves="5", at_ns=1))
    told(core, OrderStatus.CANCELED, "5")
    shown(core, question)
    assert (status(core), core._fates._disputes) == (OrderStatus.CANCELED, {})


def test_a_venue_may_count_an_execution_for_a_while_before_it_shows_it() -> None:
    """Its deadline is long over: the order rested. To close it now would free what was bought."""
    core = resting()
    *_, first, _ = say(core, VenueCanceled(at_ns=LATE_NS, order_id=O1, leaves=dec(5)))
    shown(core, first)
    [question] = told(core, OrderStatus.CANCELED, "5")
    shown(core, question)
    said = told(core, OrderStatus.CANCELED, "5", AGAIN_NS - 1)
    assert [type(each) for each in said] == [BookQueried]
    assert counted(core) == (["10"], False)
    shown(core, said[0], filled(quantity="5", leaves="5", at_ns=AGAIN_NS))
    [fact] = told(core, OrderStatus.CANCELED, "5", AGAIN_NS)
    assert isinstance(fact, OrderCanceled)
    assert (fact.leaves, status(core)) == (dec(5), OrderStatus.CANCELED)


def test_without_its_time_a_dispute_ends_before_the_venue_shows_what_it_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A gate that adopts this book knows of nothing, and 5 were bought."""
    assert counted(asked_again_at_once()) == (["10"], False)
    whole = Fates._disputed

    def hasty(self: Fates, record: Record, report: VenueOrderStatus, now_ns: int) -> Any:
        for each in self._disputes.values():
            each.since_ns = now_ns - self._answer_ns
        return whole(self, record, report, now_ns)

    monkeypatch.setattr(Fates, "_disputed", hasty)
    core = asked_again_at_once()
    book = core.describe(2)
    assert (status(core), book.open_orders, book.positions) == (OrderStatus.CANCELED, (), ())
    [fact, *_] = say(core, filled(quantity="5", leaves="5", at_ns=AGAIN_NS))
    assert isinstance(fact, OrderFilled)
    assert core.orders.portfolio.quantity(order().instrument) == 5


def asked_again_at_once() -> ExecutorCore:
    """Return one whose venue counts 5 as filled, twice in a moment, and has shown none of them."""
    core = resting()
    *_, first, _ = say(core, VenueCanceled(at_ns=LATE_NS, order_id=O1, leaves=dec(5)))
    shown(core, first)
    [question] = told(core, OrderStatus.CANCELED, "5")
    shown(core, question)
    told(core, OrderStatus.CANCELED, "5", LATE_NS + 1)
    return core


def test_an_order_that_the_venue_made_smaller_ends_when_it_is_filled() -> None:
    core = resting()
    [question] = only(say(core, filled(quantity="6", leaves="0", at_ns=2)), BookQueried)
    shown(core, question)
    assert status(core) is OrderStatus.UNKNOWN
    [again] = told(core, OrderStatus.FILLED, "6")
    shown(core, again)
    *said, _ = told(core, OrderStatus.FILLED, "6", AGAIN_NS)
    assert said == closed("filled", "6", "6", "4")
    assert core.describe(AGAIN_NS).open_orders == ()


def test_an_answer_of_before_the_link_was_lost_shows_nothing() -> None:
    core = taken_back()
    [question] = told(core, OrderStatus.CANCELED, "0")
    shown(core, question)
    say(core, VenueLinkChanged(at_ns=7, is_up=False, detail="gone"))
    say(core, VenueLinkChanged(at_ns=8, is_up=True))
    said = told(core, OrderStatus.CANCELED, "0", AGAIN_NS)
    assert ([type(each) for each in said], status(core)) == ([BookQueried], OrderStatus.UNKNOWN)


def test_a_book_that_answers_another_question_shows_nothing() -> None:
    core = taken_back()
    told(core, OrderStatus.CANCELED, "0")
    shown(core, BookQueried(at_ns=LATE_NS, request_id="another", since_ns=0))
    said = told(core, OrderStatus.CANCELED, "0", AGAIN_NS)
    assert ([type(each) for each in said], status(core)) == ([BookQueried], OrderStatus.UNKNOWN)


def test_an_order_that_the_venue_had_and_forgot_long_ago_ends() -> None:
    core = taken_back()
    said = told(core, OrderStatus.UNKNOWN, "0")
    reason = "the venue had it, knows it no more, and shows it nowhere"
    assert said[0] == OrderCanceled(**NAMES, at_ns=LATE_NS, leaves=dec(6), reason=reason)


def test_without_an_end_it_stands_in_the_way_of_every_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Fates, "_give_up", lambda *given: NOTHING)
    core = taken_back()
    for number in range(5):
        at_ns = LATE_NS + number * 1_000 * MS_NS
        for question in only(told(core, OrderStatus.CANCELED, "0", at_ns), BookQueried):
            shown(core, question)
    assert (status(core), core.describe(LATE_NS).is_reconciled) == (OrderStatus.UNKNOWN, False)


def counted(core: ExecutorCore) -> tuple[list[str], bool]:
    book = core.describe(2)
    return [str(each.order.quantity - each.filled) for each in book.open_orders], book.is_reconciled


def test_an_order_whose_last_execution_came_first_counts_until_the_others_are_told() -> None:
    core = resting()
    said = say(core, filled(number=2, quantity="6", leaves="0", at_ns=2))
    assert said[1:] == [BookQueried(at_ns=2, request_id="round-1", since_ns=0)]
    assert counted(core) == (["4"], True)
    [fact] = say(core, filled(number=1, quantity="4", leaves="6", at_ns=2))
    assert isinstance(fact, OrderFilled)
    assert (fact.status, status(core), counted(core)[0]) == (
        OrderStatus.FILLED,
        OrderStatus.FILLED,
        [],
    )


def test_what_is_never_told_of_it_is_asked_for_until_it_has_an_end() -> None:
    core = resting()
    [question] = only(say(core, filled(number=2, quantity="6", leaves="0", at_ns=2)), BookQueried)
    shown(core, question)
    assert status(core) is OrderStatus.UNKNOWN
    [again] = told(core, OrderStatus.FILLED, "10")
    shown(core, again)
    assert type(told(core, OrderStatus.FILLED, "10", AGAIN_NS)[0]) is OrderCanceled


def test_taken_for_filled_it_hides_what_was_bought_from_a_gate_that_missed_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def trusting(record: Record, report: VenueMessage, now_ns: int) -> Fact:
        fact = reported(record, report, now_ns)
        if not isinstance(fact, OrderFilled):
            return fact
        return msgspec.structs.replace(fact, status=OrderStatus.FILLED)

    monkeypatch.setattr(facts, "reported", trusting)
    monkeypatch.setattr(Fates, "after", lambda *given: NOTHING)
    core = resting()
    say(core, filled(number=2, quantity="6", leaves="0", at_ns=2))
    assert counted(core) == ([], True)


def test_what_was_filled_before_an_order_was_replaced_counts_until_it_is_told() -> None:
    core = resting()
    by = OrderId("o2")
    said = say(core, VenueReplaced(at_ns=2, order_id=O1, by=by, leaves=dec(6)))
    assert type(said[0]) is OrderMarkedUnknown
    assert counted(core) == (["10"], False)
    say(core, filled(quantity="4", leaves="6", at_ns=2))
    say(core, VenueReplaced(at_ns=2, order_id=O1, by=by, leaves=dec(6)))
    assert (status(core), counted(core)[0]) == (OrderStatus.REPLACED, [])


def test_where_the_venue_does_not_say_what_was_left_it_is_hidden() -> None:
    core = resting()
    say(core, VenueReplaced(at_ns=2, order_id=O1, by=OrderId("o2")))
    assert counted(core) == ([], True)
