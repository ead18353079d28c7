"""The executor's life of an order: each state an event, each id at most once."""

from typing import Any

import pytest

from schemas.base import Event, InstrumentId, OrderId, SessionId
from schemas.control import HaltRequested
from schemas.executions import (
    BookReported,
    CancelRejected,
    IntentRecorded,
    Liquidity,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderMarkedUnknown,
    OrderRefused,
    OrderRejected,
    OrderReplaced,
    OrderStatus,
    OrderSubmitted,
    OrderTriggered,
    OrderView,
    OutcomeRecorded,
    PositionView,
)
from schemas.health import AlertRaised, GapSeen, LinkChanged, Severity
from schemas.orders import CancelApproved, Order, OrderApproved, OrderType
from schemas.venue import (
    BookQueried,
    CancelPlaced,
    OrderPlaced,
    OrderQueried,
    VenueAccepted,
    VenueBook,
    VenueCanceled,
    VenueCancelRejected,
    VenueExpired,
    VenueFilled,
    VenueLinkChanged,
    VenueMessage,
    VenueOrderStatus,
    VenueRejected,
    VenueReplaced,
    VenueTriggered,
)
from services.core import tell
from services.executor.config import ExecutorConfig
from services.executor.core import ExecutorCore
from tests.builders import ACCOUNT, ALPHA, MS_NS, S_NS, SESSION, dec, order
from tests.executor_builders import CASH, EPOCH, approved, executor, filled, guard, say, start

O1 = OrderId("o1")
NAMES: dict[str, Any] = {
    "account": ACCOUNT,
    "session": SESSION,
    "instrument": ALPHA,
    "order_id": O1,
}


def outcome(
    order_id: OrderId = O1, *, is_sent: bool = True, detail: str = "", at_ns: int = 1
) -> OutcomeRecorded:
    return OutcomeRecorded(at_ns=at_ns, order_id=order_id, is_sent=is_sent, detail=detail)


def accepted(order_id: OrderId = O1, at_ns: int = 1) -> VenueAccepted:
    return VenueAccepted(at_ns=at_ns, order_id=order_id, venue_order_id="V1")


def submitted(core: ExecutorCore | None = None, one: Order | None = None) -> ExecutorCore:
    core, one = core or executor(), one or order()
    say(core, approved(one))
    say(core, outcome(one.order_id))
    return core


def resting(core: ExecutorCore | None = None, one: Order | None = None) -> ExecutorCore:
    one = one or order(order_type=OrderType.LIMIT, limit="99.00")
    core = submitted(core, one)
    say(core, accepted(one.order_id))
    return core


def cancel_wish(order_id: OrderId = O1) -> CancelApproved:
    return CancelApproved(at_ns=1, account=ACCOUNT, instrument=ALPHA, order_id=order_id)


def status(core: ExecutorCore, order_id: OrderId = O1) -> OrderStatus:
    return core.orders.records[order_id].status


def refused(rule: str, detail: str = "", order_id: OrderId = O1, at_ns: int = 1) -> OrderRefused:
    return OrderRefused(
        at_ns=at_ns,
        account=ACCOUNT,
        session=SESSION,
        instrument=ALPHA,
        order_id=order_id,
        rule=rule,
        detail=detail,
    )


def unknown(reason: str, at_ns: int) -> OrderMarkedUnknown:
    return OrderMarkedUnknown(
        at_ns=at_ns,
        account=ACCOUNT,
        session=SESSION,
        instrument=ALPHA,
        order_id=O1,
        reason=reason,
    )


@pytest.mark.req("X-01")
def test_the_life_of_a_market_order_is_told_state_by_state() -> None:
    core, one = executor(), order()
    assert say(core, approved(one)) == [
        IntentRecorded(at_ns=1, order=one, epoch=EPOCH),
        OrderPlaced(at_ns=1, order=one),
    ]
    assert core.may_send(one, 1) == ""
    assert say(core, outcome()) == [OrderSubmitted(at_ns=1, order=one, epoch=EPOCH, **NAMES)]
    assert say(core, accepted()) == [OrderAccepted(at_ns=1, venue_order_id="V1", **NAMES)]
    part = filled(quantity="4", leaves="6", fee="0.1", at_ns=2)
    rest = filled(number=2, quantity="6", fee="0.2", at_ns=3)
    assert [*say(core, part), *say(core, rest)] == [
        OrderFilled(
            at_ns=at_ns,
            execution_id=report.execution_id,
            side=one.side,
            price=dec("100.01"),
            quantity=report.quantity,
            leaves=report.leaves,
            fee=report.fee,
            liquidity=Liquidity.TAKER,
            status=state,
            venue_ns=at_ns,
            **NAMES,
        )
        for at_ns, report, state in (
            (2, part, OrderStatus.PARTIALLY_FILLED),
            (3, rest, OrderStatus.FILLED),
        )
    ]
    assert status(core) is OrderStatus.FILLED


@pytest.mark.req("X-01")
@pytest.mark.parametrize(
    ("report", "fact", "state"),
    [
        (
            VenueCanceled(at_ns=1, order_id=O1, leaves=dec(7), reason="as asked"),
            (OrderCanceled, {"leaves": dec(7), "reason": "as asked"}),
            OrderStatus.CANCELED,
        ),
        (
            VenueExpired(at_ns=1, order_id=O1, leaves=dec(7)),
            (OrderExpired, {"leaves": dec(7)}),
            OrderStatus.EXPIRED,
        ),
        (VenueTriggered(at_ns=1, order_id=O1), (OrderTriggered, {}), OrderStatus.ACCEPTED),
        (
            VenueReplaced(at_ns=1, order_id=O1, by=OrderId("o2")),
            (OrderReplaced, {"by": OrderId("o2")}),
            OrderStatus.REPLACED,
        ),
    ],
)
def test_every_report_of_the_venue_becomes_a_fact(
    report: VenueMessage, fact: tuple[type[Event], dict[str, Any]], state: OrderStatus
) -> None:
    core = resting()
    kind, fields = fact
    assert say(core, report) == [kind(at_ns=1, **NAMES, **fields)]
    assert status(core) is state


@pytest.mark.req("X-01")
def test_a_rejection_by_the_venue_closes_the_order() -> None:
    core = submitted()
    [fact] = say(core, VenueRejected(at_ns=1, order_id=O1, reason="no"))
    assert isinstance(fact, OrderRejected)
    assert (fact.reason, status(core)) == ("no", OrderStatus.REJECTED)


@pytest.mark.req("X-10")
def test_an_approval_that_comes_twice_is_sent_once() -> None:
    core = executor()
    say(core, approved(order()))
    assert say(core, approved(order())) == []
    assert say(core, approved(order(quantity="99"))) == []
    say(core, outcome())
    assert core.may_send(order(), 1) == "repeat: it is submitted already"


class Repeats(ExecutorCore):
    """The executor without its repeat guard."""

    def handle(self, event: Event, now_ns: int) -> list[Event]:
        if isinstance(event, OrderApproved):
            self.orders.records.pop(event.order.order_id, None)
        return list(super().handle(event, now_ns))


def test_without_the_repeat_guard_an_order_would_be_sent_twice() -> None:
    sent = []
    for kind in (ExecutorCore, Repeats):
        core = executor(kind=kind)
        said = [*say(core, approved(order())), *say(core, approved(order()))]
        sent.append(sum(isinstance(each, OrderPlaced) for each in said))
    assert sent == [1, 2]


def late(one: Order) -> OrderApproved:
    return approved(one, at_ns=one.expires_at_ns)


@pytest.mark.req("X-01")
@pytest.mark.parametrize(
    ("approval", "rule", "detail"),
    [
        (approved(order(), epoch=6), "epoch", "approved in 6, and it is 7"),
        (approved(order(), gate_token=2), "gate token", "2, and the gate's is 3"),
        (late(order()), "expired", "it was to be sent before 10000000000"),
        (approved(order(quantity="0")), "quantity", "0 is not positive"),
    ],
)
def test_an_order_that_may_not_go_is_refused_before_anything_is_written(
    approval: OrderApproved, rule: str, detail: str
) -> None:
    assert say(executor(), approval) == [refused(rule, detail, at_ns=approval.at_ns)]


def test_an_order_of_another_account_or_instrument_is_refused() -> None:
    [fact] = say(executor(), approved(order(instrument=InstrumentId("sim:GAMMA"))))
    assert isinstance(fact, OrderRefused)
    assert (fact.rule, fact.detail) == ("scope", "paper and sim:GAMMA are not traded here")


@pytest.mark.req("O-05")
def test_nothing_is_sent_while_halted() -> None:
    assert say(executor(made=guard(is_running=False)), approved(order())) == [refused("halted")]


def test_nothing_is_sent_while_the_venue_cannot_be_reached_or_was_not_compared() -> None:
    core = executor(is_linked=False)
    assert say(core, approved(order("a"))) == [refused("venue link down", "", OrderId("a"))]
    say(core, VenueLinkChanged(at_ns=1, is_up=True))
    why = refused("not reconciled", "the venue's book comes first", OrderId("b"))
    assert say(core, approved(order("b"))) == [why]


@pytest.mark.req("X-10")
def test_a_link_that_came_back_is_not_sent_over_before_the_books_were_compared() -> None:
    core = executor()
    say(core, VenueLinkChanged(at_ns=1, is_up=False))
    say(core, VenueLinkChanged(at_ns=1, is_up=True))
    [fact] = say(core, approved(order()))
    assert fact == refused("not reconciled", "the venue's book comes first")
    agreed = VenueBook(at_ns=1, request_id="round-1", cash=CASH, fees=dec(0), positions={})
    say(core, agreed)
    assert [type(each) for each in say(core, approved(order("o2")))] == [
        IntentRecorded,
        OrderPlaced,
    ]


@pytest.mark.req("O-05")
@pytest.mark.parametrize("moment", ["halt", "epoch", "expiry", "link"])
def test_the_last_check_sees_what_changed_after_the_approval(moment: str) -> None:
    made = guard()
    core, one, now_ns = executor(made=made), order(), 2
    say(core, approved(one))
    if moment == "halt":
        made.halt()
    elif moment == "epoch":
        start(made, EPOCH + 1)
    elif moment == "link":
        say(core, VenueLinkChanged(at_ns=1, is_up=False))
    else:
        now_ns = one.expires_at_ns
    wanted = {
        "halt": "halted",
        "epoch": "epoch: approved in 7, and it is 8",
        "expiry": "expired: it was to be sent before 10000000000",
        "link": "venue link down",
    }
    assert core.may_send(one, now_ns) == wanted[moment]


def test_the_last_check_wants_the_very_order_that_was_approved() -> None:
    core = executor()
    say(core, approved(order()))
    why = "approval: the gate has not approved this very order"
    assert core.may_send(order(quantity="11"), 1) == why
    assert core.may_send(order("zz"), 1) == why


def test_an_order_that_was_not_written_is_refused_with_the_reason() -> None:
    core = executor()
    say(core, approved(order()))
    said = say(core, outcome(is_sent=False, detail="halted"))
    assert said == [refused("halted")]
    assert status(core) is OrderStatus.REFUSED
    assert say(core, outcome()) == []


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
    core, never = lost(), answer(None)
    deadline_ns = order().expires_at_ns
    assert list(core.handle(never, deadline_ns)) == []
    assert status(core) is OrderStatus.UNKNOWN
    later_ns = deadline_ns + 1_000 * MS_NS
    detail = "the venue has never seen it, and its deadline has passed"
    closed = refused("never sent", detail, at_ns=later_ns)
    assert list(core.handle(never, later_ns)) == [closed]


def test_a_fill_settles_an_unknown_order_like_any_other() -> None:
    core = lost()
    [fact] = say(core, filled())
    assert isinstance(fact, OrderFilled)
    assert status(core) is OrderStatus.FILLED


@pytest.mark.req("X-01")
def test_an_execution_that_is_reported_twice_counts_once() -> None:
    core = resting()
    assert len(say(core, filled(quantity="4", leaves="6"))) == 1
    assert say(core, filled(quantity="4", leaves="6")) == []
    assert core.orders.portfolio.quantity(ALPHA) == 4


def test_a_cancel_goes_to_the_venue_and_comes_back_as_a_fact() -> None:
    core = resting()
    assert say(core, cancel_wish()) == [CancelPlaced(at_ns=1, order_id=O1)]
    [fact] = say(core, VenueCanceled(at_ns=1, order_id=O1, leaves=dec(10), reason="as asked"))
    assert isinstance(fact, OrderCanceled)


@pytest.mark.req("O-05")
def test_a_cancel_passes_while_halted_and_for_orders_nobody_here_knows() -> None:
    core = resting(executor(made=(made := guard())))
    made.halt()
    assert say(core, cancel_wish()) == [CancelPlaced(at_ns=1, order_id=O1)]
    zz = OrderId("zz")
    assert say(core, cancel_wish(zz)) == [CancelPlaced(at_ns=1, order_id=zz)]
    no = VenueCancelRejected(at_ns=1, order_id=zz, reason="never seen here")
    assert say(core, no) == [
        CancelRejected(
            at_ns=1,
            account=ACCOUNT,
            session=SessionId(""),
            instrument=ALPHA,
            order_id=zz,
            reason="never seen here",
        )
    ]


def test_a_cancel_of_a_closed_order_is_answered_at_once() -> None:
    core = resting()
    say(core, filled())
    [fact] = say(core, cancel_wish())
    assert isinstance(fact, CancelRejected)
    assert fact.reason == "it is filled"


def test_a_cancel_wished_while_the_link_is_down_is_said_when_it_is_back() -> None:
    core = resting()
    say(core, VenueLinkChanged(at_ns=1, is_up=False))
    say(core, cancel_wish())
    said = say(core, VenueLinkChanged(at_ns=2, is_up=True))
    assert CancelPlaced(at_ns=2, order_id=O1) in said


def test_a_lost_link_makes_every_unanswered_order_unknown_and_says_so_once() -> None:
    core = submitted()
    said = say(core, VenueLinkChanged(at_ns=5, is_up=False, detail="gone"))
    assert said[0] == unknown("its answer was lost with a link or process", 5)
    assert [each.code for each in said if isinstance(each, AlertRaised)] == ["SLU-132", "SLU-130"]
    up = say(core, VenueLinkChanged(at_ns=6, is_up=True))
    assert up == [BookQueried(at_ns=6, request_id="round-1", since_ns=0)]


def test_a_report_about_an_order_nobody_here_sent_stops_the_sending() -> None:
    core = executor()
    said = say(core, filled("foreign"))
    assert [type(each) for each in said] == [AlertRaised, BookQueried]
    assert [each.code for each in said if isinstance(each, AlertRaised)] == ["SLU-131"]
    [fact] = say(core, approved(order()))
    assert isinstance(fact, OrderRefused)


def test_a_rejection_of_an_order_that_rests_means_its_id_went_out_twice() -> None:
    core = resting()
    said = say(core, VenueRejected(at_ns=1, order_id=O1, reason="the id was used before"))
    assert isinstance(said[0], AlertRaised)
    assert said[0].message == "VenueRejected for o1, which was accepted"
    assert status(core) is OrderStatus.ACCEPTED


@pytest.mark.req("X-01")
def test_the_book_is_reported_soon_after_a_change_and_not_too_often() -> None:
    core = executor(ExecutorConfig(report_every_ms=250))
    one = order()
    say(core, approved(one, at_ns=S_NS))
    assert core.wake_at_ns == S_NS + 1
    [first] = tell(core, None, S_NS + 1)
    assert isinstance(first, BookReported)
    assert [view.status for view in first.open_orders] == [OrderStatus.PENDING]
    say(core, outcome(at_ns=S_NS + 2))
    say(core, accepted(at_ns=S_NS + 2))
    say(core, filled(fee="0.5", at_ns=S_NS + 2))
    assert core.wake_at_ns == S_NS + 1 + 250 * MS_NS
    now_ns = S_NS + 1 + 250 * MS_NS
    assert list(tell(core, None, now_ns)) == [
        BookReported(
            at_ns=now_ns,
            account=ACCOUNT,
            is_reconciled=True,
            cash=dec("98999.4"),
            fees=dec("0.5"),
            positions=(
                PositionView(
                    instrument=ALPHA,
                    quantity=dec(10),
                    average_price=dec("100.01"),
                    fees=dec("0.5"),
                ),
            ),
            order_count=1,
            fill_count=1,
            recent_orders=(
                OrderView(order=one, status=OrderStatus.FILLED, filled=dec(10), at_ns=S_NS + 2),
            ),
        )
    ]
    assert core.wake_at_ns is None


@pytest.mark.parametrize(
    "event",
    [
        GapSeen(at_ns=1, subject="order.sim.paper", publisher="gate-1", expected_seq=3, got_seq=5),
        LinkChanged(at_ns=1, is_up=True),
    ],
)
def test_after_a_gap_the_whole_book_is_told(event: Event) -> None:
    core = resting()
    assert say(core, event) == [core.describe(1)]


def test_the_executor_keeps_what_its_state_is_made_of_and_syncs_what_must_last() -> None:
    core = executor()
    assert core.fsyncs == {IntentRecorded, OutcomeRecorded}
    assert core.fsyncs < core.keeps
    assert {OrderFilled, OrderAccepted, OrderMarkedUnknown} < core.keeps
    assert {HaltRequested, OrderApproved, VenueFilled} < core.hears


@pytest.mark.parametrize(
    "report",
    [
        accepted(),
        VenueCanceled(at_ns=1, order_id=O1, leaves=dec(0)),
        VenueExpired(at_ns=1, order_id=O1, leaves=dec(0)),
        VenueReplaced(at_ns=1, order_id=O1, by=OrderId("o2")),
        VenueCancelRejected(at_ns=1, order_id=O1, reason="it is filled"),
        VenueOrderStatus(at_ns=1, order_id=O1, status=OrderStatus.CANCELED),
    ],
)
def test_what_is_reported_after_an_order_closed_changes_nothing(report: VenueMessage) -> None:
    core = resting()
    say(core, filled())
    assert say(core, report) == []
    assert status(core) is OrderStatus.FILLED


def test_an_execution_after_an_order_closed_counts_and_is_an_alarm() -> None:
    core = resting()
    say(core, VenueCanceled(at_ns=1, order_id=O1, leaves=dec(10)))
    said = say(core, filled())
    assert [type(each) for each in said] == [OrderFilled, AlertRaised, BookQueried]
    assert core.orders.portfolio.quantity(ALPHA) == 10
    assert core.why_not_ready() == "our book and the venue's are not known to agree"
