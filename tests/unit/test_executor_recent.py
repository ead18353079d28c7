"""A book shows whose executions a gate may have missed: more orders than people want to see."""

from decimal import Decimal

import msgspec
import pytest

from schemas.base import OrderId, SessionId
from schemas.executions import LATELY_NS, TRADED_MAX, BookReported
from schemas.orders import Order, Side
from schemas.venue import VenueCanceled
from services.executor.core import ExecutorCore
from services.executor.orders import Orders
from tests.builders import ALPHA, order
from tests.executor_builders import executor, filled, say
from tests.executor_rig import outcome, submitted
from tests.gate_rig import Rig

pytestmark = pytest.mark.req("G-01", "X-10")

LONG, SHORT = SessionId("long"), SessionId("short")
COUNT = 30


def ordered(number: int, session: SessionId) -> Order:
    """Return an order of a session: one buys, the other sells, as much in all."""
    side = Side.BUY if session == LONG else Side.SELL
    one = order(f"{session}-{number}", side=side, quantity="1")
    return msgspec.structs.replace(one, session=session)


def traded(core: ExecutorCore, one: Order) -> None:
    submitted(core, one)
    say(core, filled(one.order_id, side=one.side, quantity="1"))


def both_traded(core: ExecutorCore) -> BookReported:
    for number in range(COUNT):
        for session in (LONG, SHORT):
            traded(core, ordered(number, session))
    return core.describe(2)


def held_after(book: BookReported) -> dict[SessionId, Decimal]:
    """Return what each session holds for a gate that heard of no execution, only of the book."""
    rig = Rig()
    rig.gate.state.distrust("the bus connection was lost")
    rig.tell(msgspec.structs.replace(book, at_ns=rig.now_ns + 1, is_reconciled=True))
    sessions = rig.gate.state.accounts[book.account].holders.sessions
    return {key: each.lanes[ALPHA].position for key, each in sessions.items()}


def test_a_gate_that_missed_thirty_orders_of_each_session_knows_what_each_holds() -> None:
    assert held_after(both_traded(executor())) == {LONG: COUNT, SHORT: -COUNT}


def test_without_them_two_sessions_that_hold_as_much_seem_to_hold_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Orders, "ended", lambda self, now_ns: [*self.recent])
    assert held_after(both_traded(executor())) == {LONG: 10, SHORT: -10}


def names(core: ExecutorCore, now_ns: int) -> list[OrderId]:
    return [each.order.order_id for each in core.describe(now_ns).recent_orders]


def ended(core: ExecutorCore, name: str) -> None:
    """Let an order end that never traded."""
    one = order(name)
    submitted(core, one)
    say(core, outcome(one.order_id))
    say(core, VenueCanceled(at_ns=1, order_id=one.order_id, leaves=one.quantity))


def test_what_did_not_trade_is_shown_only_among_the_last() -> None:
    core = executor()
    ended(core, "first")
    traded(core, ordered(0, LONG))
    for number in range(20):
        ended(core, f"c{number}")
    assert names(core, 2) == ["long-0", *(f"c{number}" for number in range(20))]
    assert names(core, 1 + LATELY_NS) == [f"c{number}" for number in range(20)]


def test_an_execution_that_crossed_the_end_of_its_order_is_one_too() -> None:
    core = executor()
    ended(core, "crossed")
    say(core, filled("crossed", quantity="6", number=1))
    say(core, filled("crossed", quantity="4", number=2))
    for number in range(20):
        ended(core, f"c{number}")
    assert names(core, 2)[:2] == ["crossed", "c0"], "shown once"


def test_no_more_are_shown_than_a_report_can_carry_often() -> None:
    core = executor()
    for number in range(TRADED_MAX + 5):
        traded(core, ordered(number, LONG))
    assert names(core, 2) == [f"long-{number}" for number in range(5, TRADED_MAX + 5)]
