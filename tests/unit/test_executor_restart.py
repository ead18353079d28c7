"""Cut off, killed and started again: no order is lost, doubled or sent late."""

import pytest

from schemas.base import ExecutionId, OrderId
from schemas.control import Prepared
from schemas.errors import FieldError
from schemas.executions import (
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderMarkedUnknown,
    OrderRefused,
    OrderStatus,
    OutcomeRecorded,
)
from schemas.health import AlertRaised
from schemas.venue import (
    CancelPlaced,
    OrderPlaced,
)
from services.executor.core import ExecutorCore
from tests.builders import ACCOUNT, ALPHA, S_NS, dec, order, quote
from tests.executor_builders import EPOCH, approved, executor, say, start
from tests.executor_pair import Pair
from tests.executor_rig import (
    O1,
    bid,
    offer,
    only,
    outcome,
    prepare,
    prepared,
    status,
    trading,
)


@pytest.mark.req("X-10", "S-16")
def test_what_happened_while_the_link_was_down_is_learned_when_it_is_back() -> None:
    pair = trading(bid("filled"), bid("canceled"), bid("partial", quantity="8"))
    pair.link(is_up=False)
    say(pair.venue, quote(bid="80.00", ask="90.00", ask_size="14"))
    pair.venue.handle(_cancel("canceled"), 1)
    said = pair.link(is_up=True)
    fills = [each for each in said if isinstance(each, OrderFilled)]
    assert [(each.execution_id, each.quantity) for each in fills] == [
        (ExecutionId("filled-1"), dec(10)),
        (ExecutionId("canceled-1"), dec(4)),
    ]
    assert [type(each) for each in said[2:]] == [OrderMarkedUnknown, AlertRaised, OrderCanceled]
    assert pair.agrees()
    assert pair.executor.describe(1).is_reconciled


def _cancel(order_id: str) -> CancelPlaced:
    return CancelPlaced(at_ns=1, order_id=OrderId(order_id))


@pytest.mark.req("X-10")
def test_an_order_sent_and_never_answered_is_found_resting_when_the_link_is_back() -> None:
    pair = trading()
    pair.hears_reports = False
    pair.approve(bid())
    pair.link(is_up=False)
    assert pair.executor.orders.records[OrderId("bid")].status is OrderStatus.UNKNOWN
    said = pair.link(is_up=True)
    assert [type(each) for each in said] == [OrderAccepted]
    assert pair.sent == ["bid"]


@pytest.mark.req("X-10")
def test_a_restart_knows_every_order_position_and_id_again() -> None:
    pair = trading(order(), bid(), offer())
    pair.market(quote(bid="80.00", ask="90.00", ask_size="4"))
    before = pair.executor.describe(1)
    pair.restart_executor()
    after = pair.executor.describe(1)
    assert before.is_reconciled
    assert not after.is_reconciled
    assert (after.cash, after.fees, after.positions) == (before.cash, before.fees, before.positions)
    assert (after.open_orders, after.recent_orders) == (before.open_orders, before.recent_orders)
    said = pair.link(is_up=True)
    assert [getattr(each, "order_id", "") for each in said] == ["bid"], "halted: it would buy"
    assert pair.executor.describe(1).is_reconciled
    start(pair.guard, EPOCH + 1)
    assert pair.approve(order(), bid()) == []


class CrashError(Exception):
    """The process is gone."""


class DiesAfterTheWrite(Pair):
    """The executor is killed when the order is on the wire and the outcome not yet on the disk."""

    def _write(self, event: OrderPlaced) -> None:
        super()._write(event)
        self._settle_venue_only()
        raise CrashError

    def _settle_venue_only(self) -> None:
        self.hears_reports = False
        while self._queue:
            whom, event = self._queue.popleft()
            if whom == "venue":
                self._hear_venue(say(self.venue, event), event)


def crashed(pair: Pair) -> Pair:
    """Return the pair restarted after its executor was killed right after a write."""
    pair.link(is_up=True)
    pair.market(quote())
    with pytest.raises(CrashError):
        pair.approve(order())
    pair.restart_executor()
    return pair


@pytest.mark.req("X-10")
def test_an_order_written_right_before_a_crash_is_neither_lost_nor_sent_again() -> None:
    pair = crashed(DiesAfterTheWrite())
    assert pair.executor.orders.records[OrderId("o1")].status is OrderStatus.UNKNOWN
    said = pair.link(is_up=True)
    assert [type(each) for each in said] == [OrderMarkedUnknown, AlertRaised, OrderFilled]
    start(pair.guard, EPOCH + 1)
    pair.approve(order())
    assert pair.sent == ["o1"]
    assert pair.agrees()


def test_an_order_written_right_before_a_crash_says_what_is_not_known_of_it() -> None:
    pair = crashed(DiesAfterTheWrite())
    [view] = pair.executor.describe(1).open_orders
    assert (view.order.order_id, view.status, view.detail) == (
        "o1",
        OrderStatus.UNKNOWN,
        "stopped between the intent to send it and the outcome",
    )


@pytest.mark.req("X-10")
def test_an_order_that_was_not_written_is_known_to_be_over_after_a_restart() -> None:
    core = executor()
    [intent, _] = say(core, approved(order()))
    again = executor()
    for event in (intent, outcome(is_sent=False, detail="halted")):
        again.restore(event)
    assert (status(again), again.orders.records[O1].detail) == (OrderStatus.REFUSED, "halted")
    assert again.describe(1).open_orders == ()


class SendsBeforeItIsKept(DiesAfterTheWrite):
    """An executor whose intent reaches the disk after the write, if at all."""

    def restart_executor(self) -> None:
        self.kept = [each for each in self.kept if type(each) not in ExecutorCore.fsyncs]
        super().restart_executor()


def test_without_the_intent_on_disk_before_the_write_an_order_is_sent_twice() -> None:
    pair = crashed(SendsBeforeItIsKept())
    pair.link(is_up=True)
    start(pair.guard, EPOCH + 1)
    pair.executor.rounds.is_compared = True  # the comparison, which halts, is a second line
    with pytest.raises(CrashError):
        pair.approve(order())
    assert pair.sent == ["o1", "o1"]


def test_an_intent_that_never_left_is_closed_once_its_deadline_has_passed() -> None:
    pair = trading()
    pair.kept += [
        each for each in say(pair.executor, approved(order())) if type(each) in pair.executor.keeps
    ]
    pair.restart_executor()
    pair.link(is_up=True)
    said = pair.wait(20 * S_NS)
    assert [each for each in said if isinstance(each, OrderRefused)] == [
        OrderRefused(
            at_ns=11 * S_NS + 1,
            account=ACCOUNT,
            session=order().session,
            instrument=ALPHA,
            order_id=OrderId("o1"),
            rule="never sent",
            detail="the venue has never seen it, and its deadline has passed",
        )
    ]
    assert pair.sent == []


def test_an_order_lost_with_the_link_is_asked_for_however_long_the_link_was_down() -> None:
    pair = trading()
    pair.approve(order("seen"))
    one = order(expires_at_ns=20 * S_NS)
    pair.kept += [
        each for each in say(pair.executor, approved(one)) if type(each) in pair.executor.keeps
    ]
    pair.tell(OutcomeRecorded(at_ns=1, order_id=one.order_id, is_sent=True))
    pair.link(is_up=False)
    pair.wait(10 * S_NS)
    assert pair.link(is_up=True) == []
    assert [type(each) for each in pair.wait(30 * S_NS)] == [OrderRefused]
    assert pair.executor.describe(1).is_reconciled


def test_a_start_is_not_prepared_while_an_order_is_of_unknown_fate() -> None:
    pair = trading()
    pair.kept += [
        each for each in say(pair.executor, approved(order())) if type(each) in pair.executor.keeps
    ]
    pair.restart_executor()
    pair.link(is_up=True)
    [answer] = only(pair.tell(prepare()), Prepared)
    error = FieldError(
        path="executor.orders of unknown fate",
        found="o1",
        wanted="none: they are queried, and closed once their deadline has passed",
    )
    assert answer == prepared((error,), epoch=0)
