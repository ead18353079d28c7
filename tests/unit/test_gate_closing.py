"""A reduce-only order closes what its session holds, and may take the place of another such."""

from decimal import Decimal
from itertools import count
from typing import Any

import msgspec
import pytest

from schemas.base import OrderId, SessionId
from schemas.orders import Order, OrderType, Side
from services.gate.config_groups import GroupLimits, OnExcess
from tests.builders import ALPHA, SESSION, dec
from tests.gate_rig import Rig, book, config
from tests.unit.test_gate_groups import S2, created

SELL = Side.SELL
NUMBERS = count()
STOP: dict[str, Any] = {"side": SELL, "order_type": OrderType.STOP, "stop": "95.00"}


def two_sessions(first: str = "10", second: str = "10", **limits: Any) -> Rig:
    """Return a gate where both sessions have bought."""
    rig = Rig(config(**limits))
    for name, session, quantity in (("a", SESSION, first), ("b", S2, second)):
        rig.tell(created(session))
        rig.fill(rig.approve(name, quantity=quantity, session=session), quantity, f"e-{name}")
    return rig


def closes(rig: Rig, name: str, quantity: str, session: SessionId = SESSION) -> str:
    return rig.rule(name, side=SELL, quantity=quantity, session=session, is_reduce_only=True)


@pytest.mark.req("G-11", "G-01")
def test_a_reduce_only_order_closes_what_its_own_session_holds_and_no_others() -> None:
    rig = two_sessions()
    rules = [closes(rig, "c", "11"), closes(rig, "d", "10"), closes(rig, "e", "1")]
    assert rules == ["reduce_only", "all", "reduce_only"]
    assert closes(rig, "f", "10", S2) == "all"


def test_without_it_a_session_closes_what_another_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "services.gate.checks.exposure._room_to_close",
        lambda case: case.lane.room(case.signal.side),
    )
    assert closes(two_sessions(), "c", "20") == "all"


@pytest.mark.req("G-11")
def test_what_is_nobodys_may_be_the_sessions_and_a_flatten_closes_anybodys() -> None:
    rig = two_sessions()
    rig.tell(book(held={ALPHA: "25"}, at_ns=rig.now_ns + 1))
    assert [closes(rig, "c", "16"), closes(rig, "d", "15")] == ["reduce_only", "all"]
    assert closes(rig, "e", "10", SessionId("flatten-1")) == "all"


def protected(**limits: Any) -> tuple[Rig, Order]:
    """Return a session that holds ten with a protective stop of ten, and the stop."""
    rig = two_sessions(**limits)
    return rig, rig.approve("stop", quantity="10", is_reduce_only=True, **STOP)


def moved(rig: Rig, old: OrderId, quantity: str = "10", **fields: Any) -> str:
    """Return the rule that decides on another stop in the place of one."""
    wanted: dict[str, Any] = STOP | {"stop": "97.00", "is_reduce_only": True} | fields
    raised = rig.signal(f"moved-{next(NUMBERS)}", quantity=quantity, **wanted)
    return rig.decide(msgspec.structs.replace(raised, replaces=old)).rule


@pytest.mark.req("G-01", "X-03")
def test_a_protective_stop_is_moved_by_another_in_its_place() -> None:
    rig, stop = protected()
    assert closes(rig, "c", "1") == "reduce_only", "all of it is being closed"
    assert moved(rig, stop.order_id, "11") == "reduce_only"
    assert moved(rig, stop.order_id) == "all"


@pytest.mark.req("G-01")
def test_an_order_in_the_place_of_one_that_may_open_counts_beside_it() -> None:
    """The old one may fill before the venue hears: only what is reduce-only both times is not."""
    rig = two_sessions(position_quantity_max=dec(30))
    resting = rig.approve("rests", quantity="10", order_type=OrderType.LIMIT, limit="99.00")
    again = rig.signal("again", quantity="10", order_type=OrderType.LIMIT, limit="99.10")
    decided = rig.decide(msgspec.structs.replace(again, replaces=resting.order_id))
    assert decided.rule == "position_quantity"
    rig, stop = protected()
    assert moved(rig, stop.order_id, is_reduce_only=False) == "all", "as any order that may open"
    assert moved(rig, stop.order_id, session=S2) == "replaces_own"


@pytest.mark.req("G-01", "G-02")
def test_what_fits_into_a_strategys_net_is_measured_by_what_it_holds_itself() -> None:
    """Another strategy's long position is no room for this one's short one."""
    rows = {"default": GroupLimits(gross_notional_max=dec(10**9), net_notional_max=dec(500))}
    rig = Rig(config(strategies=rows, on_excess=OnExcess.REDUCE))
    rig.tell(created(SESSION, "trend"))
    rig.tell(created(S2, "basis"))
    rig.fill(rig.approve("a", quantity="5", session=S2), "5", "e1")
    decided = rig.decide(rig.signal("b", side=SELL, quantity="9"))
    assert (decided.rule, decided.approved_quantity) == ("strategy_net", Decimal(5))
