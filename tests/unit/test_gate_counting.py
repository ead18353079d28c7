"""An approval leaves the gate before it is counted, and nothing is decided in between (ADR 25)."""

from collections.abc import Sequence

import pytest

from schemas.base import Event, InstrumentId
from schemas.executions import BookReported
from schemas.market import QuoteReceived
from schemas.orders import OrderApproved, SignalDecided
from services.core import tell
from services.gate.core import GateCore
from tests.builders import ALPHA, dec, quote
from tests.gate_rig import INSTRUMENTS, NOW_NS, Rig, book, config, in_auto, only, running_guard

pytestmark = pytest.mark.req("G-01", "G-08")


class Forgetful(GateCore):
    """Counts nothing that it approved."""

    def _book(self) -> None:
        self._unbooked = ()


def gate_of(kind: type[GateCore]) -> GateCore:
    """Return a gate in which 15 may be held of ALPHA."""
    gate = kind(config(position_quantity_max=dec(15)), INSTRUMENTS, running_guard())
    for event in (book(), quote("99.90", "100.00", at_ns=NOW_NS)):
        tell(gate, event, NOW_NS)
    in_auto(gate, Rig().signal().session)
    return gate


def rule_of(said: Sequence[Event]) -> str:
    return only(SignalDecided, said).rule


def twice(gate: GateCore, between: Event | None = None, now_ns: int = NOW_NS) -> list[str]:
    """Return the rules by which two orders of 10 were decided on, one right after the other."""
    rig = Rig()
    first = tell(gate, rig.signal("a", quantity=dec(10)), NOW_NS)
    if between is not None:
        gate.handle(between, now_ns)
    second = gate.handle(rig.signal("b", quantity=dec(10)), now_ns)
    return [rule_of(first), rule_of(second)]


BETWEEN = {
    "nothing": None,
    "a quote": quote("99.90", "100.00", at_ns=NOW_NS),
    "a quote of another": quote(
        "99.90", "100.00", instrument=InstrumentId("test:NONE"), at_ns=NOW_NS
    ),
    "a book": book(is_reconciled=False),
}


@pytest.mark.parametrize("between", BETWEEN.values(), ids=BETWEEN.keys())
@pytest.mark.parametrize("now_ns", [NOW_NS, NOW_NS - 1], ids=["", "clock set back"])
def test_the_next_order_is_measured_beside_the_one_before(
    between: QuoteReceived | BookReported | None, now_ns: int
) -> None:
    assert twice(gate_of(GateCore), between, now_ns) == ["all", "position_quantity"]


def test_without_the_counting_the_limit_is_exceeded() -> None:
    assert twice(gate_of(Forgetful)) == ["all", "all"]


def test_it_is_counted_at_a_deadline_that_is_due_at_once() -> None:
    gate = gate_of(GateCore)
    tell(gate, None, NOW_NS)
    before_ns = gate.wake_at_ns
    said = tell(gate, Rig().signal("a", quantity=dec(10)), NOW_NS)
    assert [type(each) for each in said] == [SignalDecided, OrderApproved]
    assert gate.wake_at_ns == NOW_NS
    assert tell(gate, None, NOW_NS) == []
    assert gate.wake_at_ns == before_ns
    [account] = gate.state.accounts.values()
    assert account.lanes[ALPHA].buys == dec(10)


def test_a_denial_is_counted_at_once_and_asks_for_no_deadline() -> None:
    gate = gate_of(GateCore)
    tell(gate, None, NOW_NS)
    before_ns = gate.wake_at_ns
    tell(gate, Rig().signal("a", quantity=dec(16)), NOW_NS)
    assert gate.wake_at_ns == before_ns
    assert gate.describe(NOW_NS).rejected_by_rule == {"position_quantity": 1}


def test_whoever_looks_sees_what_has_left() -> None:
    gate = gate_of(GateCore)
    tell(gate, Rig().signal("a", quantity=dec(10)), NOW_NS)
    assert gate.describe(NOW_NS).decided_count == 1
    [account] = gate_after_approval().state.accounts.values()
    assert [each.leaves for each in account.orders.values()] == [dec(10)]


def gate_after_approval() -> GateCore:
    """Return one that has approved an order of 10, and was told nothing since."""
    gate = gate_of(GateCore)
    tell(gate, Rig().signal("a", quantity=dec(10)), NOW_NS)
    return gate
