"""Who holds what after takeovers, in whatever order the gate hears of them."""

from decimal import Decimal

import msgspec
import pytest

from schemas.base import ExecutionId, SessionId
from schemas.executions import PositionView
from schemas.ids import is_flatten
from schemas.orders import Order, Side
from schemas.sessions import PositionsAdopted
from services.gate.exposure import ZERO
from tests.builders import ACCOUNT, ALPHA, BETA, SESSION, dec
from tests.gate_rig import NOW_NS, Rig, book, config
from tests.unit.test_gate_groups import S2, created

S3 = SessionId("s3")


def adopted(
    session: SessionId,
    quantity: str,
    taken_from: SessionId | None = None,
    execution: str | None = None,
    *,
    is_told: bool = False,
) -> PositionsAdopted:
    view = PositionView(instrument=ALPHA, quantity=dec(quantity), average_price=dec(100))
    return PositionsAdopted(
        at_ns=NOW_NS,
        session=session,
        positions=(view,),
        taken_from=taken_from,
        execution_id=None if execution is None else ExecutionId(execution),
        is_told=is_told,
    )


def bought(**quantities: str) -> Rig:
    """Return a gate where sessions have bought."""
    rig = Rig(config())
    for name, quantity in quantities.items():
        session = SessionId(name)
        rig.tell(created(session))
        rig.fill(
            rig.approve(f"b-{name}", quantity=quantity, session=session), quantity, f"e-{name}"
        )
    return rig


def closed(rig: Rig, name: str, quantity: str) -> Order:
    """Return the order of a flatten that is approved, and may fill."""
    flatten = SessionId(name)
    return rig.approve(
        name, side=Side.SELL, quantity=quantity, session=flatten, is_reduce_only=True
    )


def held(rig: Rig) -> dict[SessionId, Decimal]:
    sessions = rig.gate.state.accounts[ACCOUNT].holders.sessions.items()
    lanes = {name: each.lanes.get(ALPHA) for name, each in sessions}
    return {
        name: lane.position
        for name, lane in lanes.items()
        if lane is not None and not is_flatten(name)
    }


def closes(rig: Rig, name: str, quantity: str, session: SessionId) -> str:
    return rig.rule(name, side=Side.SELL, quantity=quantity, session=session, is_reduce_only=True)


@pytest.mark.req("S-02", "G-11")
@pytest.mark.parametrize("is_restarted", [False, True])
def test_what_a_session_takes_over_from_an_ended_one_it_can_close(is_restarted: bool) -> None:
    rig = bought(s1="10")
    rig.tell(created(S2))
    for _ in range(2):  # told again, it counts once
        rig.tell(adopted(S2, "10", SESSION))
    if is_restarted:
        rig.restart()
        rig.tell(book(held={ALPHA: "10"}, at_ns=NOW_NS + 1))
        rig.quote()
    assert held(rig) == {SESSION: ZERO, S2: dec(10)}
    assert closes(rig, "x", "10", S2) == "all"
    assert closes(rig, "y", "1", SESSION) == "reduce_only"


@pytest.mark.req("G-11", "G-01")
def test_a_close_that_nobody_claims_lets_a_session_out_of_what_it_holds() -> None:
    """The strategy service was away, and what two sessions share nobody can tell."""
    rig = bought(s1="10", s2="10", s3="1")
    rig.fill(closed(rig, "flatten-1", "15"), "15", "e-f")
    limit = rig.gate.state.accounts[ACCOUNT].lanes[ALPHA].limits.session_position_notional_max
    assert limit.value > 0
    assert closes(rig, "x", "1", S3) == "all"
    assert closes(rig, "y", "2", S3) == "reduce_only"


@pytest.mark.req("G-11")
def test_what_was_told_is_claimed_at_once_or_of_the_book_that_is_waited_for() -> None:
    rig = bought(s1="5", s2="1")
    rig.tell(adopted(SESSION, "5", is_told=True))  # the gate had heard of all five
    rig.tell(created(S3))
    rig.fill(rig.approve("b", quantity="3", session=S3), "3", "e3")
    rig.fill(closed(rig, "flatten-1", "3"), "3", "e-f")
    assert held(rig) == {SESSION: dec(5), S2: dec(1), S3: dec(3)}
    rig.tell(adopted(S3, "-3", SessionId("flatten-1"), "e-f"))
    rig.restart()  # nobody told this process of the two that follow
    rig.tell(adopted(SESSION, "2", is_told=True))
    rig.tell(book(held={ALPHA: "8"}, at_ns=NOW_NS + 1))
    assert held(rig)[SESSION] == dec(7)
    account = rig.gate.state.accounts[ACCOUNT]
    assert not any(account.holders._claims.values()), "nothing waits for what never comes"


@pytest.mark.req("G-11")
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 0, 3, 2), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_in_whatever_order_executions_and_takeovers_come_each_holds_its_own(
    order: tuple[int, ...],
) -> None:
    """Two closes, one of each side: together they are nothing that anybody could claim."""
    rig = bought(s1="10")
    rig.tell(created(S2))
    first = closed(rig, "flatten-1", "4")
    rig.fill(rig.approve("s", side=Side.SELL, quantity="4", session=S2), "4", "e-s2")
    second = rig.approve("f2", quantity="4", session=SessionId("flatten-2"))
    steps = (
        lambda: rig.fill(first, "4", "f1"),
        lambda: rig.fill(second, "4", "f2"),
        lambda: rig.tell(adopted(SESSION, "-4", first.session, "f1")),
        lambda: rig.tell(adopted(S2, "4", second.session, "f2")),
    )
    for number in order:
        steps[number]()
    assert held(rig) == {SESSION: dec(6), S2: ZERO}
    assert rig.gate.state.accounts[ACCOUNT].lanes[ALPHA].owned == dec(6)


@pytest.mark.req("G-11", "S-16")
def test_what_one_flatten_closed_unheard_of_two_instruments_counts_for_both() -> None:
    """Neither takeover names an execution: the strategy service was away, and read the book."""
    rig = bought(s1="10")
    rig.quote(instrument=BETA)
    rig.fill(rig.approve("other", quantity="5", instrument=BETA), "5", "e-other")
    for instrument, quantity in ((ALPHA, "-10"), (BETA, "-5")):
        view = PositionView(instrument=instrument, quantity=dec(quantity), average_price=dec(100))
        taken = adopted(SESSION, "0", SessionId("flatten-1"))
        for _ in range(2):  # told again, it counts once
            rig.tell(msgspec.structs.replace(taken, positions=(view,)))
    lanes = rig.gate.state.accounts[ACCOUNT].holders.session(SESSION).lanes
    assert [lanes[key].position for key in (ALPHA, BETA)] == [ZERO, ZERO]
