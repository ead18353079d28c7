"""Whatever operators ask and the market does: nothing is ever looser than its cap, or exceeded."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.base import AccountId, InstrumentId
from schemas.control import AccountMarked
from schemas.limits import LimitsAsked, LimitsTightened
from schemas.orders import OrderApproved, Side
from services.gate import state
from services.gate.config import GateConfig
from services.gate.config_portfolio import PortfolioLimits
from services.gate.dynamic_limits import (
    ACCOUNT_LIMITS,
    INSTRUMENT_LIMITS,
    DynamicLimits,
    is_scaled,
)
from services.gate.dynamic_limits_changes import LimitChanges
from services.gate.dynamic_limits_paths import Limit, cap_of, limit_at
from services.gate.limits import LimitMissingError
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, dec
from tests.gate_rig import INSTRUMENTS, NOW_NS, Rig, assert_sums_follow
from tests.limits_rig import (
    DRAWDOWN_STEPS,
    GROSS,
    OWN_POSITION,
    POSITION,
    LimitsRig,
    asked,
    marked,
    with_hard,
    with_portfolio,
)

pytestmark = pytest.mark.req("G-12", "I8")
FILE: GateConfig = with_hard(
    with_portfolio(PortfolioLimits(drawdown_steps=DRAWDOWN_STEPS)),
    position_quantity_max=dec(300),
)
PATHS = [
    GROSS,
    POSITION,
    OWN_POSITION,
    "gate.accounts.paper.message_window_ms",
    "gate.accounts.paper.session_messages_max",
    'gate.instruments."sim:BETA".price_collar_bps',
    "gate.default.position_notional_max",
]
numbers = st.one_of(st.none(), st.integers(0, 40_000), st.integers(0, 400).map(str))
changes = st.dictionaries(st.sampled_from(PATHS), numbers, min_size=1, max_size=3)
drawdowns = st.decimals(0, dec("0.3"), places=3).map(lambda share: marked(str(share)))
steps = st.lists(
    st.one_of(changes.map(asked), drawdowns, st.just("restart"), st.just("silence")), max_size=25
)


def _limits() -> list[tuple[InstrumentId, Limit, Decimal | int]]:
    """Return every limit of every lane, with its cap."""
    found: list[tuple[InstrumentId, Limit, Decimal | int]] = []
    for key in INSTRUMENTS:
        for path in (
            *(f'gate.instruments."{key}".{name}' for name in INSTRUMENT_LIMITS),
            *(f"gate.accounts.{ACCOUNT}.{name}" for name in ACCOUNT_LIMITS),
        ):
            limit = limit_at(path, FILE, INSTRUMENTS)
            cap = cap_of(FILE, limit) if isinstance(limit, Limit) else None
            if isinstance(limit, Limit) and cap is not None:
                found.append((key, limit, cap))
    assert len(found) > 2 * 10
    return found


LIMITS = _limits()


def in_force(rig: LimitsRig, key: InstrumentId, limit: Limit) -> Decimal | int | None:
    """Return what checks compare with now; None where it is missing, and so denies."""
    try:
        found: Decimal | int = getattr(
            rig.accounts[ACCOUNT].lanes[key].limits, limit.tokens[-1]
        ).value
    except LimitMissingError:
        return None
    return found


@settings(deadline=None)
@given(steps)
def test_no_limit_in_force_is_ever_looser_than_its_cap(told: list[Any]) -> None:
    rig = LimitsRig(FILE)
    now_ns = NOW_NS
    for step in told:
        if step == "restart":
            kept = rig.kept
            rig = LimitsRig(FILE)
            for event in kept:
                rig.tell(event)
        elif step == "silence":
            now_ns += 60 * S_NS
        elif isinstance(step, LimitsAsked):
            rig.ask(step.request.changes)
        else:
            rig.tell(step, now_ns)
        said = rig.wake(now_ns)
        assert all(0 <= e.factor <= 1 for e in said if isinstance(e, LimitsTightened))
        assert 0 <= rig.dynamic.factor(ACCOUNT, ALPHA) <= 1
        for key, limit, cap in LIMITS:
            value, chosen = in_force(rig, key, limit), rig.dynamic.changes.in_force(limit)
            if value is None:
                assert chosen is None
                continue
            assert chosen is not None
            assert not limit.is_looser(value, cap), limit.path
            factor = rig.dynamic.factor(ACCOUNT) if is_scaled(limit.tokens[-1]) else 1
            assert value == chosen * factor, limit.path


@settings(deadline=None)
@given(steps)
def test_a_restart_finds_every_change_that_was_answered_with_yes(told: list[Any]) -> None:
    rig = LimitsRig(FILE)
    for step in told:
        if isinstance(step, LimitsAsked):
            rig.ask(step.request.changes)
    again = LimitsRig(FILE)
    for event in rig.kept:
        again.tell(event)
    assert again.dynamic.changes.config == rig.dynamic.changes.config


signals = st.tuples(
    st.sampled_from([Side.BUY, Side.SELL]),
    st.integers(1, 120).map(str),
    st.sampled_from([ALPHA, BETA]),
    st.booleans(),
)
trading = st.lists(st.one_of(signals, changes.map(asked), drawdowns), max_size=40)


def trade(rig: Rig, told: list[Any], holds: Callable[[Rig, OrderApproved, Decimal], None]) -> None:
    """Tell a gate all of it; `holds` looks at each approval."""
    for number, step in enumerate(told):
        if isinstance(step, LimitsAsked | AccountMarked):
            rig.tell(step)
            continue
        side, quantity, key, is_filled = step
        before = rig.gate.state.accounts[ACCOUNT].lanes[key].worst
        raised = rig.signal(f"s{number}", side=side, quantity=quantity, instrument=key)
        for event in rig.tell(raised):
            if isinstance(event, OrderApproved):
                holds(rig, event, before)
                if is_filled:
                    rig.fill(event.order, quantity, f"x{number}")
    assert_sums_follow(rig.gate)


def is_within(rig: Rig, approved: OrderApproved, before: Decimal) -> None:
    """Assert that an approval which raised the worst case left it within what is in force."""
    account = rig.gate.state.accounts[ACCOUNT]
    lane = account.lanes[approved.order.instrument]
    if lane.worst > before:
        assert lane.worst <= lane.limits.position_quantity_max.value
        assert lane.notional <= lane.limits.position_notional_max.value
        assert account.totals.gross <= lane.limits.gross_notional_max.value


@settings(max_examples=60, deadline=None)
@given(trading)
def test_no_approval_ever_exceeds_a_limit_that_moves(told: list[Any]) -> None:
    trade(Rig(FILE), told, is_within)


def rule_at_six_percent() -> str:
    """Return what a second order is answered that would fill the untightened limit."""
    rig = Rig(FILE)
    rig.tell(marked("0"))
    rig.tell(marked("0.06"))
    rig.approve("a", quantity="90")
    return rig.rule("b", quantity="90")


def test_a_gate_that_does_not_tighten_lets_a_breach_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    class StiffLimits(DynamicLimits):
        """The moving limits without what makes them move by themselves."""

        def factor(self, account: AccountId, instrument: InstrumentId | None = None) -> Decimal:
            return dec(1)

    assert rule_at_six_percent() == "position_quantity"
    monkeypatch.setattr(state, "DynamicLimits", StiffLimits)
    assert rule_at_six_percent() == "all"


def test_without_caps_an_operator_could_ask_for_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not LimitsRig(FILE).ask({POSITION: "301"}).is_ok
    monkeypatch.setattr(LimitChanges, "_too_loose", lambda self, values: [])
    rig = LimitsRig(FILE)
    [error] = rig.ask({POSITION: "301"}).errors
    assert "hard cap 300" in error.found, "a second line: the whole is checked as a file is"
    assert rig.ask({GROSS: "999999"}).is_ok, "where there is no hard cap, only this holds it"
