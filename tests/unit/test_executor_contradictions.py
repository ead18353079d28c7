"""What a venue says that cannot be: seen late, twice, after the end, with another position."""

from typing import Any

import msgspec
import pytest

from schemas.base import Event, OrderId
from schemas.control import EpochStarted, HaltRequested, Member
from schemas.executions import (
    IntentRecorded,
    OrderAccepted,
    OrderFilled,
    OrderRefused,
    OrderStatus,
)
from schemas.health import AlertRaised
from schemas.orders import Side
from schemas.reconciliation import FenceRaised
from schemas.restrictions import LockRequested
from schemas.venue import (
    BookQueried,
    CancelPlaced,
    OrderPlaced,
    VenueAccepted,
    VenueBook,
    VenueCanceled,
    VenueCancelRejected,
    VenueExpired,
    VenueOpenOrder,
    VenueOrderStatus,
)
from services.executor.config import ExecutorConfig
from services.executor.contradictions import Contradictions
from services.executor.core import ExecutorCore
from services.executor.last_check import LastCheck
from services.executor.orders import Record
from tests.builders import ALPHA, MS_NS, S_NS, dec, order, quote
from tests.executor_builders import (
    BOOT,
    CASH,
    EPOCH,
    TOKEN,
    approved,
    executor,
    filled,
    guard,
    say,
    start,
)
from tests.executor_pair import linked
from tests.executor_rig import O1, accepted, bid, outcome, resting, status, submitted


def kinds(said: list[Event]) -> list[type[Event]]:
    return [type(each) for each in said]


def held_up(core: ExecutorCore) -> str:
    """Return why the next order is not sent."""
    [fact] = say(core, approved(order("next")))
    assert isinstance(fact, OrderRefused)
    return fact.rule


@pytest.mark.req("S-16")
def test_after_each_execution_the_position_is_compared_with_the_venues() -> None:
    core = resting()
    assert kinds(say(core, filled(quantity="4", leaves="6", position="4"))) == [OrderFilled]
    said = say(core, filled(number=2, quantity="6", position="11"))
    assert kinds(said) == [OrderFilled, BookQueried]
    assert held_up(core) == "not reconciled"


class Trusting(Contradictions):
    """The executor that takes its own sum for what is held."""

    def _held(self, fill: Any, now_ns: int) -> list[Event]:
        return []


@pytest.mark.req("S-16")
def test_without_the_tight_comparison_it_would_go_on_sending_on_a_wrong_position(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Contradictions, "_held", Trusting._held)
    core = resting()
    say(core, filled(position="99"))
    assert kinds(say(core, approved(order("next"))))[0] is IntentRecorded


@pytest.mark.req("S-16", "X-10")
def test_executions_out_of_order_stop_the_sending_only_until_the_books_are_compared() -> None:
    core = resting()
    late = filled(quantity="4", leaves="6", position="4", fee="0", at_ns=3)
    early = filled(number=2, quantity="6", position="10", fee="0", at_ns=4)
    [_, whole, question] = say(core, early)
    assert whole == BookQueried(at_ns=4, request_id="round-1", since_ns=0)
    assert isinstance(question, BookQueried)
    assert core.why_not_ready() == "our book and the venue's are not known to agree"
    book = VenueBook(
        at_ns=5,
        request_id=whole.request_id,
        cash=CASH - dec("1000.10"),
        fees=dec(0),
        positions={ALPHA: dec(10)},
        executions=(late, early),
    )
    said = say(core, book)
    assert [each.execution_id for each in said if isinstance(each, OrderFilled)] == ["o1-1"]
    assert core.why_not_ready() == ""


@pytest.mark.req("S-16", "X-10")
def test_an_execution_older_than_the_newest_known_is_asked_for_before_anything_is_concluded() -> (
    None
):
    core = resting()
    late = filled(quantity="4", leaves="6", fee="0", at_ns=3)
    early = filled(number=2, quantity="3", leaves="3", position="7", fee="0", at_ns=4)
    [_, question] = say(core, early)
    assert isinstance(question, BookQueried)
    book = VenueBook(
        at_ns=5,
        request_id=question.request_id,
        cash=CASH - dec("700.07"),
        fees=dec(0),
        positions={ALPHA: dec(7)},
        open_orders=(
            VenueOpenOrder(
                order_id=O1,
                venue_order_id="V1",
                instrument=ALPHA,
                side=Side.BUY,
                leaves=dec(3),
            ),
        ),
        executions=(early,),  # all since the newest that we have
    )
    [again] = say(core, book)
    assert again == BookQueried(at_ns=5, request_id=question.request_id, since_ns=0)
    said = say(core, msgspec.structs.replace(book, executions=(late, early)))
    assert [each.execution_id for each in said if isinstance(each, OrderFilled)] == ["o1-1"]
    assert core.why_not_ready() == ""


@pytest.mark.req("X-10")
def test_an_order_given_up_as_never_sent_and_seen_late_is_cancelled_and_compared() -> None:
    """Field notes, row 11: an ambiguous submit."""
    core = submitted()
    core.wake(S_NS + 1)
    at_ns = order().expires_at_ns + 1_000 * MS_NS
    say(core, VenueOrderStatus(at_ns=at_ns, order_id=O1, status=None))
    assert status(core) is OrderStatus.REFUSED
    said = say(core, accepted(at_ns=at_ns + 1))
    assert kinds(said) == [CancelPlaced, AlertRaised, BookQueried]
    assert core.may_send(order(), at_ns).startswith("repeat")
    fill = say(core, filled(at_ns=at_ns + 2))
    assert kinds(fill)[0] is OrderFilled
    assert core.orders.portfolio.quantity(ALPHA) == 10


@pytest.mark.req("X-10", "S-16")
@pytest.mark.parametrize("kind", [VenueCanceled, VenueExpired])
def test_a_late_end_that_speaks_of_untold_executions_stops_the_sending_until_the_books_are_compared(
    kind: type[VenueCanceled | VenueExpired],
) -> None:
    """Given up as never sent; then the venue ends it with 6 of 10 left: 4 have traded."""
    core = submitted()
    core.wake(S_NS + 1)
    at_ns = order().expires_at_ns + 1_000 * MS_NS
    say(core, VenueOrderStatus(at_ns=at_ns, order_id=O1, status=None))
    assert status(core) is OrderStatus.REFUSED
    assert say(core, kind(at_ns=at_ns + 1, order_id=O1, leaves=dec(10))) == [], "nothing traded"
    said = say(core, kind(at_ns=at_ns + 2, order_id=O1, leaves=dec(6)))
    assert kinds(said) == [AlertRaised, BookQueried]
    assert core.why_not_ready() != ""


@pytest.mark.req("X-10", "S-16")
@pytest.mark.parametrize("kind", [VenueCanceled, VenueExpired])
def test_without_heeding_such_an_end_it_would_go_on_sending_on_a_wrong_position(
    monkeypatch: pytest.MonkeyPatch, kind: type[VenueCanceled | VenueExpired]
) -> None:
    """The venue holds 4 that nobody told of; the next order is measured by a position of 0."""
    assert sent_after_a_late_end(kind) == [OrderRefused]
    whole = Contradictions.after

    def heedless(self: Contradictions, record: Record, report: Any, *rest: Any, **more: Any) -> Any:
        is_end = isinstance(report, VenueCanceled | VenueExpired)
        return [] if is_end else whole(self, record, report, *rest, **more)

    monkeypatch.setattr(Contradictions, "after", heedless)
    assert sent_after_a_late_end(kind) == [IntentRecorded, OrderPlaced]


def sent_after_a_late_end(kind: type[VenueCanceled | VenueExpired]) -> list[type[Event]]:
    """Return what becomes of the next order once a refused one ended with 4 of 10 traded."""
    core = submitted()
    core.wake(S_NS + 1)
    at_ns = order().expires_at_ns + 1_000 * MS_NS
    say(core, VenueOrderStatus(at_ns=at_ns, order_id=O1, status=None))
    say(core, kind(at_ns=at_ns + 1, order_id=O1, leaves=dec(6)))
    assert core.orders.portfolio.quantity(ALPHA) == 0
    return kinds(say(core, approved(order("next"))))


@pytest.mark.req("X-10")
@pytest.mark.parametrize("number", ["V1", ""])
def test_an_order_that_is_acknowledged_twice_is_one_order(number: str) -> None:
    core = resting()
    again = VenueAccepted(at_ns=2, order_id=O1, venue_order_id=number)
    assert say(core, again) == []


@pytest.mark.req("X-10")
def test_an_order_acknowledged_under_two_ids_locks() -> None:
    core = resting()
    said = say(core, VenueAccepted(at_ns=2, order_id=O1, venue_order_id="V2"))
    assert kinds(said) == [AlertRaised, HaltRequested, LockRequested]
    lock = said[-1]
    assert isinstance(lock, LockRequested)
    assert (lock.code, lock.reason) == ("SLU-133", "the venue has o1 twice, as V1 and as V2")


@pytest.mark.req("X-10")
def test_one_id_of_the_venue_for_two_orders_locks() -> None:
    core = resting()
    submitted(core, bid("o2"))
    said = say(core, accepted(OrderId("o2")))
    assert kinds(said)[1:] == [AlertRaised, HaltRequested, LockRequested]
    assert held_up(core) == "not reconciled"


def test_an_id_of_the_venue_may_be_used_again_once_its_order_has_ended() -> None:
    core = resting()
    say(core, VenueCanceled(at_ns=1, order_id=O1, leaves=dec(10)))
    submitted(core, bid("o2"))
    assert [type(each).__name__ for each in say(core, accepted(OrderId("o2")))] == ["OrderAccepted"]


def test_a_cancel_said_again_for_an_order_nobody_sent_is_no_contradiction() -> None:
    core = executor()
    no = VenueCancelRejected(at_ns=1, order_id=OrderId("zz"), reason="never seen here")
    assert say(core, no) == []
    assert core.why_not_ready() == ""


@pytest.mark.req("X-10")
def test_a_fill_that_crossed_its_cancel_counts_and_the_books_are_compared() -> None:
    core = resting()
    say(core, VenueCanceled(at_ns=1, order_id=O1, leaves=dec(10)))
    said = say(core, filled(position="10"))
    assert kinds(said) == [OrderFilled, AlertRaised, BookQueried]


# fencing


@pytest.mark.req("S-16")
def test_a_venue_that_gives_no_ids_has_no_order_twice() -> None:
    core = submitted(submitted(), order("o2"))
    said = [
        each
        for order_id in (O1, OrderId("o2"))
        for each in say(core, VenueAccepted(at_ns=1, order_id=order_id, venue_order_id=""))
    ]
    assert kinds(said) == [OrderAccepted, OrderAccepted]
    assert core.why_not_ready() == ""


def epoch(token: int, number: int = EPOCH + 1) -> EpochStarted:
    members = {"executor": Member(boot_id=BOOT, halts=0)}
    return EpochStarted(
        at_ns=1, epoch=number, start_id="s", operator="kim", members=members, gate_token=token
    )


def restored(kept: list[Event], token: int, kind: type[ExecutorCore] = ExecutorCore) -> str:
    """Return why an order of a gate with `token` is not sent after a restart."""
    made = guard(is_running=False)
    core = executor(made=made, kind=kind)
    for event in kept:
        core.restore(event)
    start(made, EPOCH + 1)
    made.gate_token = token
    said = say(core, approved(order("new"), epoch=EPOCH + 1, gate_token=token))
    refusals = [f"{e.rule}: {e.detail}" for e in said if isinstance(e, OrderRefused)]
    return "".join(refusals)


@pytest.mark.req("O-04")
def test_no_order_of_a_lower_gate_token_is_sent_after_a_restart_either() -> None:
    core = executor()
    kept = [each for each in say(core, approved(order())) if type(each) in core.keeps]
    [raised] = say(core, epoch(5))
    assert raised == FenceRaised(at_ns=1, gate_token=5, epoch=EPOCH + 1)
    assert say(core, epoch(5)) == say(core, epoch(4)) == []
    why = "gate token: 4, and one of 5 was seen before"
    assert restored([*kept, raised], 4) == why
    assert restored([*kept, raised], 5) == restored([*kept, raised], 6) == ""
    assert restored(kept, TOKEN - 1) == f"gate token: 2, and one of {TOKEN} was seen before"


@pytest.mark.req("O-04")
def test_without_the_kept_fence_an_old_gate_would_be_served_after_a_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    core = executor()
    [raised] = say(core, epoch(5))
    whole = LastCheck._fenced

    def without(self: LastCheck, record: Record) -> str:
        self._orders.gate_token_max = 0
        return whole(self, record)

    monkeypatch.setattr(LastCheck, "_fenced", without)
    assert restored([raised], 4) == ""


# memory


def test_of_orders_that_closed_long_ago_only_the_ids_are_kept() -> None:
    core = executor(ExecutorConfig(report_every_ms=0, reconcile_every_s=0, closed_orders_max=3))
    for number in range(10):
        one = order(f"o{number}")
        submitted(core, one)
        say(core, filled(one.order_id, quantity="10"))
    assert list(core.orders.records) == ["o7", "o8", "o9"]
    assert core.orders.count == core.describe(1).order_count == 10
    assert say(core, approved(order("o0"))) == []
    assert core.may_send(order("o0"), 1) == "approval: the gate has not approved this very order"


def test_a_restart_forgets_as_much_and_knows_the_same_ids() -> None:
    config = ExecutorConfig(report_every_ms=0, reconcile_every_s=0, closed_orders_max=2)
    pair = linked(config)
    pair.approve(*(order(f"o{number}") for number in range(5)))
    before = (list(pair.executor.orders.records), pair.executor.orders.count)
    pair.restart_executor()
    assert (list(pair.executor.orders.records), pair.executor.orders.count) == before
    start(pair.guard, EPOCH + 1)
    pair.link(is_up=True)
    assert pair.approve(order("o0")) == []


def test_a_report_of_an_order_that_is_forgotten_is_compared_and_no_difference() -> None:
    config = ExecutorConfig(report_every_ms=0, reconcile_every_s=0, closed_orders_max=1)
    pair = linked(config)
    pair.market(quote())
    pair.approve(*(order(f"o{number}", quantity="1") for number in range(4)))
    pair.link(is_up=False)
    pair.link(is_up=True)
    assert pair.executor.describe(1).is_reconciled
    say(pair.executor, filled("o0", quantity="1"))
    assert held_up(pair.executor) == "not reconciled"


def test_an_unsent_order_is_closed_like_any_other() -> None:
    core = executor()
    say(core, approved(order()))
    say(core, outcome(is_sent=False, detail="halted"))
    assert core.orders.open == {}
