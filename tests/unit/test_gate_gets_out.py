"""A session gets out although its limit is full; and no further than what it holds.

What no session accounts for may be anybody's: a short position of nobody's counts against each
session that sells. It must not lock a session in that only closes what it bought itself.
"""

import pytest

from schemas.base import SessionId
from schemas.orders import Side
from services.gate.checks import groups
from services.gate.core import GateCore
from tests.builders import ACCOUNT, ALPHA, SESSION, dec
from tests.gate_rig import Rig, book, config
from tests.unit.test_gate_ablations import without
from tests.unit.test_gate_groups import S2, created

S3 = SessionId("s3")
LIMIT = dec(1_000)
"""Of a session's position: ten units."""


def crowded(kind: type[GateCore] = GateCore, held: str = "5") -> Rig:
    """Return a gate where three sessions hold 10 each; nobody knows who sold the rest."""
    rig = Rig(config(session_position_notional_max=LIMIT), kind)
    for session in (SESSION, S2, S3):
        rig.tell(created(session))
        rig.fill(rig.approve("in", quantity="10", session=session), "10", f"e-{session}")
    rig.tell(book(held={ALPHA: held}, at_ns=rig.now_ns + 1))
    return rig


def sells(rig: Rig, name: str, quantity: str, session: SessionId = SESSION) -> str:
    """Return the rule that decides on a reduce-only sell."""
    return rig.rule(name, side=Side.SELL, quantity=quantity, session=session, is_reduce_only=True)


@pytest.mark.req("G-11", "G-01")
def test_what_is_nobodys_locks_no_session_in_that_closes_what_it_holds() -> None:
    rig = crowded()
    assert rig.rule("may open", side=Side.SELL, quantity="1") == "session_position"
    assert sells(rig, "gets out", "5") == "all"


@pytest.mark.req("G-11")
def test_without_the_let_out_a_session_cannot_close_a_single_unit_of_what_it_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(groups.session_position, "lets_out", None)
    rig = crowded()
    assert [sells(rig, "one", "1"), sells(rig, "all", "5")] == ["session_position"] * 2


@pytest.mark.req("G-11", "G-01")
@pytest.mark.parametrize(("held", "room"), [("5", 5), ("12", 10), ("0", 0), ("-5", 0)])
def test_who_is_let_out_sells_no_more_than_session_and_account_hold(held: str, room: int) -> None:
    rules = {quantity: sells(crowded(held=held), "c", str(quantity)) for quantity in range(1, 13)}
    assert rules == {
        quantity: "all" if quantity <= room else "reduce_only" for quantity in range(1, 13)
    }


@pytest.mark.req("G-11")
def test_what_is_being_closed_already_is_not_let_out_again() -> None:
    rig = crowded()
    rules = [sells(rig, "c", "3"), sells(rig, "d", "3"), sells(rig, "e", "3", S2)]
    assert rules == ["all", "reduce_only", "reduce_only"]
    assert sells(rig, "f", "2", S2) == "all"


@pytest.mark.req("G-11")
def test_without_the_bound_who_is_let_out_goes_short_beyond_its_limit() -> None:
    rig = crowded(without("reduce_only"))
    order = rig.approve("c", side=Side.SELL, quantity="60", is_reduce_only=True)
    rig.now_ns += 2
    rig.fill(order, "60", "e-c")
    account = rig.gate.state.accounts[ACCOUNT]
    own = account.holders.sessions[SESSION].lanes[ALPHA]
    assert (account.lanes[ALPHA].position, own.position) == (dec(-55), dec(-50))
    assert own.notional > LIMIT
