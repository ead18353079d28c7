"""Orders whose answer is missing: asked for until their end is known, and never sent again."""

import msgspec
import pytest

from schemas.base import Event, OrderId
from schemas.executions import (
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderMarkedUnknown,
    OrderRejected,
    OrderReplaced,
    OrderStatus,
)
from schemas.health import AlertRaised, Severity
from schemas.orders import Side
from schemas.venue import (
    BookQueried,
    OrderQueried,
    VenueBook,
    VenueCanceled,
    VenueLinkChanged,
    VenueOpenOrder,
    VenueOrderStatus,
)
from services.core import NOTHING, tell
from services.executor.core import ExecutorCore
from services.executor.fates import Fates
from tests.builders import ALPHA, MS_NS, S_NS, dec, order
from tests.executor_builders import CASH, approved, filled, say
from tests.executor_rig import (
    NAMES,
    O1,
    accepted,
    cancel_wish,
    only,
    outcome,
    refused,
    resting,
    status,
    submitted,
    unknown,
)


@pytest.mark.req("X-10")
def test_an_order_without_an_answer_is_of_unknown_fate_and_asked_for_never_sent_again() -> None:
    core = submitted()
    assert core.wake_at_ns == 1 + 1_000 * MS_NS
    now_ns = 1 + 1_000 * MS_NS
    reason = "the venue has not answered"
    assert list(tell(core, None, now_ns)) == [
        unknown(reason, now_ns),
        AlertRaised(
            at_ns=now_ns,
            severity=Severity.WARNING,
            component="executor",
            code="SLU-132",
            message="the venue has not answered: o1",
        ),
        BookQueried(at_ns=now_ns, request_id="round-1", since_ns=0),
        OrderQueried(at_ns=now_ns, order_id=O1),
    ]
    assert core.wake_at_ns == now_ns + 1_000 * MS_NS
    again = list(tell(core, None, now_ns + 1_000 * MS_NS))
    assert [type(each) for each in again] == [BookQueried, OrderQueried]
    assert core.may_send(order(), now_ns) == "repeat: it is unknown already"


def test_an_answer_in_time_leaves_nothing_to_wait_for() -> None:
    core = submitted()
    say(core, accepted())
    assert core.wake_at_ns is None


def lost() -> ExecutorCore:
    """One order, unanswered for too long."""
    core = submitted()
    tell(core, None, 1 + 1_000 * MS_NS)
    return core


def answer(state: OrderStatus | None, detail: str = "", filled: str = "0") -> VenueOrderStatus:
    return VenueOrderStatus(
        at_ns=2 * S_NS, order_id=O1, status=state, filled=dec(filled), detail=detail
    )


@pytest.mark.parametrize(
    ("state", "detail", "kind"),
    [
        (OrderStatus.ACCEPTED, "", OrderAccepted),
        (OrderStatus.CANCELED, "as asked", OrderCanceled),
        (OrderStatus.REJECTED, "no", OrderRejected),
        (OrderStatus.EXPIRED, "", OrderExpired),
        (OrderStatus.REPLACED, "o2", OrderReplaced),
    ],
)
def test_an_unknown_order_becomes_what_the_venue_says_it_is(
    state: OrderStatus, detail: str, kind: type[Event]
) -> None:
    core = lost()
    [fact] = say(core, answer(state, detail))
    assert type(fact) is kind
    assert status(core) is state
    assert say(core, answer(state, detail)) == []


@pytest.mark.parametrize("state", [OrderStatus.PENDING, OrderStatus.SUBMITTED])
def test_a_venue_that_does_not_know_yet_is_asked_again(state: OrderStatus) -> None:
    core = lost()
    assert say(core, answer(state)) == []
    assert status(core) is OrderStatus.UNKNOWN


def test_executions_come_before_the_status_that_counts_them() -> None:
    core = lost()
    [question] = say(core, answer(OrderStatus.CANCELED, filled="4"))
    assert isinstance(question, BookQueried)
    assert question.since_ns == 0
    say(core, filled(quantity="4", leaves="6"))
    assert status(core) is OrderStatus.PARTIALLY_FILLED


@pytest.mark.req("X-10")
def test_an_order_the_venue_never_saw_is_closed_only_once_it_can_no_longer_arrive() -> None:
    core, deadline_ns = lost(), order().expires_at_ns
    later_ns = deadline_ns + 1_000 * MS_NS
    early, late = (
        VenueOrderStatus(at_ns=at_ns, order_id=O1, status=None) for at_ns in (deadline_ns, later_ns)
    )
    assert list(core.handle(early, deadline_ns)) == []
    assert list(core.handle(early, later_ns)) == []  # by its own clock the venue may still take it
    assert status(core) is OrderStatus.UNKNOWN
    detail = "the venue has never seen it, and its deadline has passed"
    closed = refused("never sent", detail, at_ns=later_ns)
    assert list(core.handle(late, later_ns)) == [closed]


@pytest.mark.req("X-10")
def test_what_the_venue_had_and_forgot_is_not_taken_for_never_sent() -> None:
    """We never heard that it was taken: what the venue says now is the first word of it."""
    core, late_ns = lost(), order().expires_at_ns + 1_000 * MS_NS
    forgotten = VenueOrderStatus(at_ns=late_ns, order_id=O1, status=OrderStatus.UNKNOWN)
    said = list(core.handle(forgotten, late_ns))
    assert [type(each) for each in said] == [OrderCanceled, AlertRaised, BookQueried]


@pytest.mark.req("X-10")
def test_an_order_the_venue_had_and_forgot_was_sent_and_the_books_come_first() -> None:
    core, late_ns = resting(), order().expires_at_ns + 2_000 * MS_NS
    say(core, VenueLinkChanged(at_ns=5, is_up=False, detail="gone"))
    say(core, VenueLinkChanged(at_ns=6, is_up=True))
    empty = VenueBook(at_ns=6, request_id="round-1", cash=CASH, fees=dec(0), positions={})
    say(core, empty)
    assert status(core) is OrderStatus.UNKNOWN
    forgotten = VenueOrderStatus(at_ns=late_ns, order_id=O1, status=None)
    reason = "the venue had it, knows it no more, and shows it nowhere"
    assert list(core.handle(forgotten, late_ns)) == [
        OrderCanceled(**NAMES, at_ns=late_ns, leaves=dec(10), reason=reason),
        AlertRaised(
            at_ns=late_ns,
            severity=Severity.WARNING,
            component="executor",
            code="SLU-136",
            message=f"o1: {reason}",
        ),
        BookQueried(at_ns=late_ns, request_id="round-3", since_ns=0),
    ]
    assert core.why_not_ready() == "our book and the venue's are not known to agree"


@pytest.mark.req("X-10")
def test_nothing_is_sent_after_an_order_was_forgotten_until_the_books_were_compared() -> None:
    core, late_ns = resting(), order().expires_at_ns + 2_000 * MS_NS
    empty = VenueBook(at_ns=6, request_id="round-1", cash=CASH, fees=dec(0), positions={})
    say(core, empty)
    assert (status(core), core.why_not_ready()) == (OrderStatus.UNKNOWN, "")
    say(core, VenueOrderStatus(at_ns=late_ns, order_id=O1, status=None))
    apart = "our book and the venue's are not known to agree"
    assert (status(core), core.why_not_ready()) == (OrderStatus.CANCELED, apart)


@pytest.mark.req("X-10")
def test_an_order_that_has_traded_was_sent_although_nobody_told_that_it_was_taken() -> None:
    core, late_ns = submitted(), order().expires_at_ns + 2_000 * MS_NS
    say(core, filled(quantity="4", leaves="6"))
    held = {ALPHA: dec(4)}
    cash, fees = core.orders.portfolio.cash, core.orders.portfolio.fees
    say(core, VenueBook(at_ns=6, request_id="r", cash=cash, fees=fees, positions=held))
    assert status(core) is OrderStatus.UNKNOWN
    said = say(core, VenueOrderStatus(at_ns=late_ns, order_id=O1, status=None))
    reason = "the venue had it, knows it no more, and shows it nowhere"
    assert only(said, OrderCanceled) == [
        OrderCanceled(**NAMES, at_ns=late_ns, leaves=dec(6), reason=reason)
    ]


def test_a_cancel_of_an_order_that_was_forgotten_is_not_sent_again() -> None:
    core, late_ns = lost(), order().expires_at_ns + 2_000 * MS_NS
    say(core, cancel_wish())
    core.handle(VenueOrderStatus(at_ns=late_ns, order_id=O1, status=None), late_ns)
    say(core, VenueLinkChanged(at_ns=5, is_up=False, detail="gone"))
    said = say(core, VenueLinkChanged(at_ns=6, is_up=True))
    assert [type(each) for each in said] == [BookQueried]


def test_a_fill_settles_an_unknown_order_like_any_other() -> None:
    core = lost()
    [fact] = say(core, filled())
    assert isinstance(fact, OrderFilled)
    assert status(core) is OrderStatus.FILLED


def test_a_lost_link_makes_every_unanswered_order_unknown_and_says_so_once() -> None:
    core = submitted()
    said = say(core, VenueLinkChanged(at_ns=5, is_up=False, detail="gone"))
    assert said[0] == unknown("its answer was lost with a link or process", 5)
    assert [each.code for each in said if isinstance(each, AlertRaised)] == ["SLU-132", "SLU-130"]
    up = say(core, VenueLinkChanged(at_ns=6, is_up=True))
    assert up == [BookQueried(at_ns=6, request_id="round-1", since_ns=0)]


@pytest.mark.req("X-10")
def test_what_a_cancel_says_was_filled_counts_until_its_execution_is_told() -> None:
    core = resting()
    say(core, VenueCanceled(at_ns=1, order_id=O1, leaves=dec(1)))  # 9 of 10 were filled before
    book = core.describe(2)
    counted = [view.order.quantity - view.filled for view in book.open_orders]
    assert (counted, book.is_reconciled) == ([dec(10)], False)


def test_without_counting_the_untold_a_reconciled_book_hides_what_was_filled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Fates, "of_untold", lambda *given: NOTHING)
    core = resting()
    say(core, VenueCanceled(at_ns=1, order_id=O1, leaves=dec(1)))
    book = core.describe(2)  # a gate that adopts this knows of nothing, and 9 were bought
    assert (book.open_orders, book.positions, book.is_reconciled) == ((), (), True)


@pytest.mark.req("X-10")
def test_the_answer_to_one_order_leaves_another_waited_for() -> None:
    core = submitted(submitted(), order("o2"))
    say(core, accepted(OrderId("o2")))
    late_ns = 1 + 1_000 * MS_NS
    assert core.wake_at_ns == late_ns
    said = list(tell(core, None, late_ns))
    assert only(said, OrderMarkedUnknown) == [unknown("the venue has not answered", late_ns)]


def written(core: ExecutorCore, order_id: str, at_ns: int) -> ExecutorCore:
    say(core, approved(order(order_id), at_ns=at_ns))
    say(core, outcome(OrderId(order_id), at_ns=at_ns))
    return core


def test_of_two_orders_each_has_its_whole_time_for_an_answer() -> None:
    first_ns, then_ns = 1 + 1_000 * MS_NS, 1 + 1_400 * MS_NS
    core = written(submitted(), "o2", 1 + 400 * MS_NS)
    said = list(tell(core, None, first_ns))
    reason = "the venue has not answered"
    assert only(said, OrderMarkedUnknown) == [unknown(reason, first_ns)]
    assert (status(core), status(core, OrderId("o2"))) == (
        OrderStatus.UNKNOWN,
        OrderStatus.SUBMITTED,
    )
    assert core.wake_at_ns == then_ns
    said = list(tell(core, None, then_ns))
    late = msgspec.structs.replace(unknown(reason, then_ns), order_id=OrderId("o2"))
    assert only(said, OrderMarkedUnknown) == [late]


def test_an_order_whose_answer_was_lost_with_the_link_is_not_lost_again_with_a_later_one() -> None:
    core = submitted()
    say(core, VenueLinkChanged(at_ns=5, is_up=False, detail="gone"))
    say(core, VenueLinkChanged(at_ns=6, is_up=True))
    say(core, VenueBook(at_ns=6, request_id="round-1", cash=CASH, fees=dec(0), positions={}))
    say(core, VenueOrderStatus(at_ns=7, order_id=O1, status=OrderStatus.ACCEPTED))
    agreed = VenueBook(
        at_ns=7,
        request_id="round-2",
        cash=CASH,
        fees=dec(0),
        positions={},
        open_orders=(
            VenueOpenOrder(
                order_id=O1,
                venue_order_id="V1",
                instrument=ALPHA,
                side=Side.BUY,
                leaves=dec(10),
            ),
        ),
    )
    say(core, agreed)
    assert core.why_not_ready() == ""
    late_ns = 8 + 1_000 * MS_NS
    written(core, "o2", 8)
    said = [each for now_ns in (7 + 1_000 * MS_NS, late_ns) for each in tell(core, None, now_ns)]
    late = msgspec.structs.replace(
        unknown("the venue has not answered", late_ns), order_id=OrderId("o2")
    )
    assert only(said, OrderMarkedUnknown) == [late]


def test_once_its_end_is_known_an_order_is_asked_for_no_more() -> None:
    core = lost()
    say(core, filled())
    due_ns = core.wake_at_ns
    assert due_ns is not None
    assert list(tell(core, None, due_ns)) == []
    assert core.wake_at_ns is None


def test_nothing_is_asked_over_a_link_that_is_down() -> None:
    core = lost()
    say(core, VenueLinkChanged(at_ns=2, is_up=False))
    due_ns = 1 + 2_000 * MS_NS
    assert list(tell(core, None, due_ns)) == []


def test_an_order_that_a_book_does_not_show_is_asked_for_a_second_later() -> None:
    core = resting()
    say(core, VenueBook(at_ns=6, request_id="r", cash=CASH, fees=dec(0), positions={}))
    assert (status(core), core.wake_at_ns) == (OrderStatus.UNKNOWN, 6 + 1_000 * MS_NS)


def test_an_order_of_unknown_fate_that_a_book_shows_has_been_taken() -> None:
    core = lost()
    there = VenueOpenOrder(
        order_id=O1, venue_order_id="V1", instrument=ALPHA, side=Side.BUY, leaves=dec(10)
    )
    shown = VenueBook(
        at_ns=2, request_id="r", cash=CASH, fees=dec(0), positions={}, open_orders=(there,)
    )
    taken = OrderAccepted(**NAMES, at_ns=2, venue_order_id="V1")
    assert only(say(core, shown), OrderAccepted) == [taken]
    assert status(core) is OrderStatus.ACCEPTED


def test_executions_that_an_end_speaks_of_are_asked_for_at_once() -> None:
    core = resting()
    said = say(core, VenueCanceled(at_ns=2, order_id=O1, leaves=dec(6)))
    assert [type(each) for each in said] == [
        OrderMarkedUnknown,
        AlertRaised,
        BookQueried,
        OrderQueried,
    ]


def test_an_answer_of_before_a_fill_asks_for_nothing() -> None:
    core = resting()
    say(core, filled(quantity="4", leaves="6"))
    assert say(core, answer(OrderStatus.ACCEPTED)) == []
