"""The way to the venue without a network: the last check stands in the step of the write."""

import pytest

from schemas.base import Event, OrderId
from schemas.control import HaltRequested
from schemas.executions import (
    IntentRecorded,
    OrderAccepted,
    OrderFilled,
    OrderRefused,
    OrderSubmitted,
    OutcomeRecorded,
)
from schemas.market import QuoteReceived
from schemas.orders import Order, OrderApproved, OrderType
from schemas.venue import CancelPlaced, OrderPlaced, VenueAccepted, VenueFilled
from services.control import ControlGuard
from services.core import Core
from services.executor.config import ExecutorConfig, VenueConfig, without_rounds
from services.executor.core import ExecutorCore
from services.executor.port import DirectPort
from services.runtime.fused import Fused
from tests.builders import MS_NS, dec, order, quote
from tests.executor_builders import (
    CASH,
    approved,
    executor,
    filled,
    fills_in,
    guard,
    instruments,
    placed,
    say,
)


def yes(order: Order, now_ns: int) -> str:
    return ""


def port(core: ExecutorCore | None = None, config: VenueConfig | None = None) -> DirectPort:
    may_send = yes if core is None else core.may_send
    return DirectPort(config or VenueConfig(), instruments(), CASH, may_send)


def fused(*extra: Core, config: VenueConfig | None = None) -> tuple[Fused, list[Event]]:
    """An executor, its venue and the guard, all in one process, and what happened there."""
    made: ControlGuard = guard()
    core = executor(without_rounds(ExecutorConfig()), made)
    journal: list[Event] = []
    return Fused([made, *extra, core, port(core, config)], journal.append), journal


def kinds(journal: list[Event]) -> list[type[Event]]:
    return [type(each) for each in journal]


@pytest.mark.req("X-01")
def test_a_market_order_lives_its_whole_life_in_one_step() -> None:
    runtime, journal = fused()
    runtime.run([quote(), approved(order())])
    assert kinds(journal) == [
        QuoteReceived,
        OrderApproved,
        IntentRecorded,
        OrderPlaced,
        OutcomeRecorded,
        VenueAccepted,
        VenueFilled,
        OrderSubmitted,
        OrderAccepted,
        OrderFilled,
    ]


def test_latency_lies_between_the_submission_and_the_venues_answer() -> None:
    runtime, journal = fused(config=VenueConfig(latency_ms=3))
    runtime.run([quote(), approved(order())])
    assert kinds(journal)[-1] is OrderSubmitted
    runtime.finish(3 * MS_NS + 1)
    assert kinds(journal)[-2:] == [OrderAccepted, OrderFilled]
    assert journal[-1].at_ns == 3 * MS_NS + 1


class HaltsInBetween:
    """Pulls the cord after the order was placed and before the port has heard of it."""

    hears: frozenset[type[Event]] = frozenset({OrderPlaced})
    keeps: frozenset[type[Event]] = frozenset()
    wake_at_ns: int | None = None

    def __init__(self, made: ControlGuard) -> None:
        self.made = made

    def handle(self, event: Event, now_ns: int) -> list[Event]:
        self.made.halt()
        return []

    def wake(self, now_ns: int) -> list[Event]:
        raise AssertionError("never due")

    def restore(self, event: Event) -> None:
        raise AssertionError("keeps nothing")

    def describe(self, now_ns: int) -> Event:
        return HaltRequested(at_ns=now_ns)


@pytest.mark.req("O-05")
@pytest.mark.parametrize("has_check", [True, False])
def test_a_halt_after_the_placing_keeps_the_order_from_the_venue(has_check: bool) -> None:
    made = guard()
    core = executor(made=made)
    journal: list[Event] = []
    door = port(core if has_check else None)
    Fused([HaltsInBetween(made), core, door], journal.append).run([quote(), approved(order())])
    if has_check:
        assert kinds(journal)[-2:] == [OutcomeRecorded, OrderRefused]
        assert [each for each in journal if isinstance(each, VenueFilled)] == []
    else:  # without the last check, an order of a halted epoch trades
        assert OrderFilled in kinds(journal)


def test_what_the_last_check_refuses_never_comes_to_the_venue() -> None:
    core = executor()
    assert say(port(core), placed(order())) == [
        OutcomeRecorded(
            at_ns=1,
            order_id=OrderId("o1"),
            is_sent=False,
            detail="approval: the gate has not approved this very order",
        )
    ]


def test_cancels_need_no_permission_at_the_door() -> None:
    core = port()
    say(core, quote())
    say(core, placed(order(order_type=OrderType.LIMIT, limit="99.00")))
    [said] = say(core, CancelPlaced(at_ns=1, order_id=OrderId("o1")))
    assert type(said).__name__ == "VenueCanceled"


def test_a_restart_brings_back_only_the_orders_that_passed_the_door() -> None:
    def kept(core: DirectPort, event: Event) -> list[Event]:
        return [e for e in (event, *say(core, event)) if type(e) in core.keeps]

    sender, first = executor(), port()
    say(sender, approved(order("b")))
    first = port(sender)
    say(first, quote())
    journal = kept(first, placed(order("a"))) + kept(first, placed(order("b")))
    again = port(sender)
    for event in journal:
        again.restore(event)
    assert list(again.ledger.orders) == ["b"]
    assert again.ledger.book("x", 0, 1) == first.ledger.book("x", 0, 1)
    assert filled("b", position="10") == first.ledger.book("x", 0, 1).executions[0]


def test_orders_of_one_run_fill_one_after_the_other_against_what_is_left() -> None:
    runtime, journal = fused()
    orders = [approved(order(name, quantity="3")) for name in ("a", "b")]
    runtime.run([quote(ask_size="4"), *orders])
    assert [(each[0], each[3]) for each in fills_in(journal)] == [
        ("a-1", dec(3)),
        ("b-1", dec(1)),
    ]
