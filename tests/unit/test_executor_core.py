"""The executor's life of an order: each state an event, each id at most once."""

from typing import Any

import pytest

from schemas.base import Event, OrderId, SessionId
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
from schemas.health import AlertRaised, GapSeen, LinkChanged
from schemas.orders import OrderApproved
from schemas.reconciliation import FenceRaised
from schemas.venue import (
    BookQueried,
    CancelPlaced,
    OrderPlaced,
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
from tests.builders import ACCOUNT, ALPHA, MS_NS, S_NS, dec, order
from tests.executor_builders import EPOCH, TOKEN, approved, executor, filled, guard, say
from tests.executor_rig import (
    NAMES,
    O1,
    accepted,
    cancel_wish,
    only,
    outcome,
    resting,
    status,
    submitted,
)


@pytest.mark.req("X-01")
def test_the_life_of_a_market_order_is_told_state_by_state() -> None:
    core, one = executor(), order()
    assert say(core, approved(one)) == [
        IntentRecorded(at_ns=1, order=one, epoch=EPOCH, gate_token=TOKEN),
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
            VenueCanceled(at_ns=1, order_id=O1, leaves=dec(10), reason="as asked"),
            (OrderCanceled, {"leaves": dec(10), "reason": "as asked"}),
            OrderStatus.CANCELED,
        ),
        (
            VenueExpired(at_ns=1, order_id=O1, leaves=dec(10)),
            (OrderExpired, {"leaves": dec(10)}),
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


def test_a_cancel_is_wished_for_still_after_a_part_has_filled() -> None:
    core = resting()
    say(core, cancel_wish())
    say(core, filled(quantity="4", leaves="6"))
    say(core, VenueLinkChanged(at_ns=2, is_up=False))
    again = say(core, VenueLinkChanged(at_ns=3, is_up=True))
    assert only(again, CancelPlaced) == [CancelPlaced(at_ns=3, order_id=O1)]


def test_a_report_about_an_order_nobody_here_sent_stops_the_sending() -> None:
    core = executor()
    said = say(core, filled("foreign"))
    assert [type(each) for each in said] == [AlertRaised, BookQueried]
    assert [each.code for each in said if isinstance(each, AlertRaised)] == ["SLU-136"]
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


def test_a_lost_venue_is_in_the_next_report() -> None:
    core = executor(ExecutorConfig(report_every_ms=250, reconcile_every_s=0))
    say(core, VenueLinkChanged(at_ns=S_NS, is_up=False))
    assert core.wake_at_ns == S_NS + 1
    [book] = tell(core, None, S_NS + 1)
    assert isinstance(book, BookReported)
    assert not book.is_reconciled


def test_a_lost_bus_is_told_nothing() -> None:
    assert say(executor(), LinkChanged(at_ns=1, is_up=False)) == []


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
    assert core.fsyncs == {FenceRaised, IntentRecorded, OutcomeRecorded}
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
