"""Sessions side by side in one gate: what one of them does changes nothing for another (G-11).

Two gates are told the same of session A. The other one is also told of B and its like, which flood,
send nonsense, name what does not exist, trade the same instruments, and are halted. The limits that
are the account's own are out of the way: those are shared by their very purpose.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.base import AccountId, InstrumentId, OrderId, SessionId
from schemas.orders import CancelRequested, OrderApproved, OrderType, Reading, Side, SignalDecided
from schemas.restrictions import Level
from services.bench.open_limits import open_limits
from services.gate.config import GateConfig
from services.gate.core import GateCore
from tests.builders import ACCOUNT, ALPHA, BETA, MS_NS, SESSION, dec
from tests.gate_rig import Rig

NOISY = [SessionId(f"b{number}") for number in range(3)]
OWN = ("session_position", "session_gross", "session_order", "session_messages")
"""The readings that are a session's alone."""

Act = tuple[str, dict[str, Any]]
SIDES = st.sampled_from(list(Side))
KEYS = st.sampled_from([ALPHA, BETA])
MINE = st.builds(
    lambda quantity, side, key: ("mine", {"quantity": quantity, "side": side, "instrument": key}),
    st.sampled_from(["1", "30", "60"]),
    SIDES,
    KEYS,
)
FILLS: st.SearchStrategy[Act] = st.just(("fill", {}))
NOISE = st.builds(
    lambda session, quantity, side, key, more: (
        "noise",
        {"session": session, "quantity": quantity, "side": side, "instrument": key, **more},
    ),
    st.sampled_from([*NOISY, SessionId("a b"), SessionId("")]),
    st.sampled_from(["1", "50", "0", "-3", "NaN", "Infinity", "1e30", "0.5"]),
    SIDES,
    st.sampled_from([ALPHA, BETA, InstrumentId("sim:OMEGA"), InstrumentId("nonsense")]),
    st.sampled_from(
        [
            {},
            {"account": AccountId("other")},
            {"is_reduce_only": True},
            {"order_type": OrderType.LIMIT, "limit": "NaN"},
            {"expires_in_ns": -1},
        ]
    ),
)
OTHERS: st.SearchStrategy[Act] = st.sampled_from(
    [("halt", {}), ("reduce", {}), ("cancel", {}), ("fill_noise", {})]
)
ACTS = st.lists(st.one_of(MINE, MINE, FILLS, NOISE, NOISE, NOISE, OTHERS), max_size=40)


def roomy() -> GateConfig:
    """Return limits of sessions within reach, and none of the account's."""
    return open_limits(
        ACCOUNT,
        session_position_notional_max=dec(9_000),
        session_gross_notional_max=dec(15_000),
        session_messages_max=10,
    )


class Told:
    """One gate, and what it said to A."""

    def __init__(self, kind: type[GateCore] = GateCore) -> None:
        self.rig = Rig(roomy(), kind)
        self.rig.quote(instrument=BETA)
        self.said: list[tuple[object, ...]] = []
        self.orders: dict[SessionId, list[Any]] = {}
        self.count = 0

    def play(self, acts: Sequence[Act], *, is_noisy: bool) -> list[tuple[object, ...]]:
        """Tell everything, or only what is of A; return what A was told."""
        for number, (name, more) in enumerate(acts):
            self.rig.now_ns += MS_NS
            if name == "mine":
                self.said.append(self.ask(f"a{number}", SESSION, more))
            elif name == "fill":
                self.fill(SESSION, f"ea{number}")
            elif is_noisy:
                self.disturb(name, number, more)
        return self.said

    def ask(self, signal_id: str, session: SessionId, more: dict[str, Any]) -> tuple[object, ...]:
        raised = self.rig.signal(signal_id, **({"session": session} | more))
        decided, *orders = self.rig.tell(raised)
        assert isinstance(decided, SignalDecided)
        for order in orders:
            if isinstance(order, OrderApproved):
                self.orders.setdefault(order.order.session, []).append(order.order)
        readings = tuple(own(each) for each in decided.readings)
        return (decided.outcome, decided.rule, decided.approved_quantity, readings)

    def fill(self, session: SessionId, execution_id: str) -> None:
        for order in self.orders.get(session, [])[-1:]:
            self.rig.fill(order, "1", execution_id)

    def disturb(self, name: str, number: int, more: dict[str, Any]) -> None:
        session = NOISY[number % len(NOISY)]
        if name == "noise":
            self.ask(f"b{number}", session, more)
        elif name == "fill_noise":
            self.fill(session, f"eb{number}")
        elif name == "cancel":
            gone = OrderId(f"no-{number}")
            self.rig.tell(
                CancelRequested(
                    at_ns=0, account=ACCOUNT, session=session, instrument=ALPHA, order_id=gone
                )
            )
        else:
            level = Level.HALT if name == "halt" else Level.REDUCE
            self.rig.guard.restrict(f"session.{session}", level)


def own(each: Reading) -> Reading:
    """Return a reading without its numbers, where those are not the session's alone."""
    return each if each.check in OWN else Reading(each.check, each.is_ok)


@pytest.mark.req("G-11")
@given(acts=ACTS)
@settings(max_examples=150, deadline=None)
def test_what_a_session_is_told_does_not_depend_on_the_others(acts: list[Act]) -> None:
    assert Told().play(acts, is_noisy=True) == Told().play(acts, is_noisy=False)


@pytest.mark.req("G-11")
def test_a_check_that_raises_for_one_session_denies_that_one_only() -> None:
    class Fragile(GateCore):
        checks = tuple(
            msgspec.structs.replace(each, read=_raises_for_b)
            if each.name == "session_order"
            else each
            for each in GateCore.checks
        )

    noise: Act = ("noise", {"session": NOISY[0], "quantity": "1", "instrument": ALPHA})
    mine: Act = ("mine", {"quantity": "30", "side": Side.BUY, "instrument": ALPHA})
    acts = [noise, mine, noise, noise, mine, noise, mine, noise, mine]
    told = Told(Fragile).play(acts, is_noisy=True)
    assert told == Told(Fragile).play(acts, is_noisy=False)
    assert [said[1] for said in told] == ["all", "all", "all", "session_position"]


def _raises_for_b(case: Any) -> tuple[bool, str, str]:
    if case.signal.session in NOISY:
        raise ZeroDivisionError("a mistake")
    return (True, "", "")
