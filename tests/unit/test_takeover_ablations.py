"""A takeover that is told again counts once. Each safeguard is taken out, and the harm seen."""

from decimal import Decimal

import msgspec
import pytest

from schemas.base import SessionId
from schemas.orders import Side
from schemas.restrictions import Level
from schemas.sessions import PositionsAdopted
from services.distinct import Distinct
from tests.builders import ACCOUNT, ALPHA, SESSION, dec, order
from tests.gate_rig import NOW_NS, Rig, config
from tests.strategy_rig import only
from tests.unit.test_executor_restrictions import of, refusals, sell, trading
from tests.unit.test_gate_groups import S2, created
from tests.unit.test_gate_takeovers import S3, adopted
from tests.unit.test_strategy_flatten import closing, rig_with

FLATTEN = SessionId("flatten-1")


class Forgetful(Distinct):
    """Takes whatever it is given for new."""

    def add(self, each: str) -> bool:
        super().add(each)
        return True


def gate_with(session: SessionId) -> Rig:
    """Return a gate where this session has bought ten, and S3 as many."""
    rig = Rig(config())
    for each in (session, S3):
        rig.tell(created(each))
        rig.fill(rig.approve(f"b-{each}", quantity="10", session=each), "10", f"e-{each}")
    return rig


def rule_of_a_close(rig: Rig, quantity: str, session: SessionId) -> str:
    return rig.rule("x", side=Side.SELL, quantity=quantity, session=session, is_reduce_only=True)


@pytest.mark.req("S-02", "G-11")
def test_without_knowing_a_takeover_again_the_gate_lets_a_session_close_what_another_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rule() -> str:
        rig = gate_with(SESSION)
        rig.tell(created(S2))
        for _ in range(2):
            rig.tell(adopted(S2, "10", SESSION))
        return rule_of_a_close(rig, "20", S2)

    assert rule() == "reduce_only"
    monkeypatch.setattr("services.gate.holders.Distinct", Forgetful)
    assert rule() == "all", "ten of them are the third session's"


@pytest.mark.req("G-11", "G-01")
def test_without_knowing_an_execution_again_the_gate_keeps_a_session_from_closing_what_it_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A flatten has closed four of ten: six are left, and taken off twice it would be two."""

    def held_and_rule() -> tuple[Decimal, str]:
        rig = gate_with(S2)
        flatten = rig.approve(
            "f", side=Side.SELL, quantity="4", session=FLATTEN, is_reduce_only=True
        )
        rig.fill(flatten, "4", "e-f")
        for _ in range(2):
            rig.tell(adopted(S2, "-4", FLATTEN, "e-f"))
        lane = rig.gate.state.accounts[ACCOUNT].holders.sessions[S2].lanes[ALPHA]
        return lane.position, rule_of_a_close(rig, "6", S2)

    assert held_and_rule() == (dec(6), "all")
    monkeypatch.setattr("services.gate.holders.Distinct", Forgetful)
    assert held_and_rule()[0] == dec(2), "four are taken for nobody's"


@pytest.mark.req("S-02", "G-09", "G-11")
def test_without_knowing_a_takeover_again_the_executor_sells_what_another_session_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused_and_left() -> tuple[list[str], Decimal]:
        pair = trading(of("s1", order("first")), of("s3", order("third")))
        for _ in range(2):
            pair.executor.handle(adopted(S2, "10", SessionId("s1")), NOW_NS)
        pair.restrict(f"session.{S2}", Level.REDUCE)
        said = pair.approve(of(S2, sell("out", "20")))
        return list(refusals(said)), pair.executor.orders.portfolio.quantity(ALPHA)

    assert refused_and_left() == (["out"], dec(20))
    monkeypatch.setattr("services.executor.shares.Distinct", Forgetful)
    assert refused_and_left() == ([], dec(0)), "ten of them were the third session's"


@pytest.mark.req("S-02", "G-11")
def test_without_knowing_an_execution_again_a_flatten_closes_more_of_a_session_than_it_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def left() -> Decimal:
        rig, [session] = rig_with()
        fill = closing(rig, "4")
        taken = only(PositionsAdopted, rig.tell(fill))
        assert taken.execution_id == fill.execution_id
        rig.tell(msgspec.structs.replace(fill, seq=9))
        return rig.core.sessions[session].book.portfolio.quantity(ALPHA)

    assert left() == dec(6)
    monkeypatch.setattr("services.strategy.holdings.Distinct", Forgetful)
    assert left() == dec(2), "the executor holds six for it"
