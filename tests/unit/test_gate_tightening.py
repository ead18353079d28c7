"""Limits that tighten by themselves, with drawdown and with volatility, and never loosen."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.limits import LimitsTightened
from services.gate.config import AccountLimits, InstrumentLimits
from services.gate.config_portfolio import ONE, PortfolioLimits, Sampling, TighteningStep
from services.gate.dynamic_limits import Ladder, is_scaled
from services.gate.dynamic_limits_paths import numbers_in
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, dec, quote
from tests.gate_rig import NOW_NS, Rig
from tests.limits_rig import DRAWDOWN_STEPS, GROSS, LimitsRig, marked, with_portfolio

pytestmark = pytest.mark.req("G-12")
DRAWDOWN = PortfolioLimits(drawdown_steps=DRAWDOWN_STEPS)
VOLATILITY = PortfolioLimits(volatility_steps=(TighteningStep(at=dec("1.5"), factor=dec("0.5")),))


def test_limits_halve_from_the_first_step_of_drawdown_on() -> None:
    rig = LimitsRig(with_portfolio(DRAWDOWN))
    rig.tell(marked("0"))
    rig.tell(marked("0.0499"))
    assert rig.limit("gross_notional_max") == 30_000
    rig.tell(marked("0.05"))
    assert rig.limit("gross_notional_max") == 15_000
    assert rig.limit("position_quantity_max", BETA) == 100
    rig.tell(marked("0.20"))
    assert rig.limit("position_notional_max") == 5_000


def test_a_step_is_left_only_well_below_it() -> None:
    rig = LimitsRig(with_portfolio(DRAWDOWN))
    gross = []
    for drawdown in ("0", "0.05", "0.049", "0.04", "0.0399", "0.05"):
        rig.tell(marked(drawdown))
        gross.append(rig.limit("gross_notional_max"))
    assert gross == [30_000, 15_000, 15_000, 15_000, 30_000, 15_000]


def test_until_the_drawdown_is_known_limits_are_at_their_tightest() -> None:
    rig = LimitsRig(with_portfolio(DRAWDOWN))
    assert rig.limit("gross_notional_max") == 7_500
    rig.tell(marked("0"))
    assert rig.limit("gross_notional_max") == 30_000
    rig.tell(marked("0", unmarked=("sim:ALPHA",)))
    assert rig.limit("gross_notional_max") == 7_500


def test_a_valuation_that_no_longer_comes_tightens_while_something_is_held() -> None:
    rig = Rig(with_portfolio(DRAWDOWN))
    rig.tell(marked("0"))
    limits = rig.gate.state.accounts[ACCOUNT].lanes[ALPHA].limits
    gross = []
    for second in range(60):
        if second == 30:
            rig.fill(rig.approve("a"), "10", "x1")
        rig.now_ns += S_NS
        rig.quote()
        gross.append(limits.gross_notional_max.value)
    assert gross == [30_000] * 40 + [7_500] * 20, "nothing held: nothing to value anew"


def test_what_is_tightened_is_said_with_the_reason_and_once() -> None:
    rig = LimitsRig(with_portfolio(DRAWDOWN))
    rig.tell(marked("0"))
    rig.tell(marked("0.06"))
    assert rig.dynamic.wake_at_ns == NOW_NS, "at once, not at the next second"
    said = rig.wake(NOW_NS + 1)
    assert said[-1] == LimitsTightened(
        at_ns=NOW_NS,
        account=ACCOUNT,
        cause="drawdown",
        factor=dec("0.5"),
        before=ONE,
        why="0.0600, step 0.05",
    )
    assert [type(each) for each in said] == [LimitsTightened, LimitsTightened]
    rig.tell(marked("0.06"))
    assert rig.wake(NOW_NS + S_NS) == []


def test_an_operators_change_is_tightened_like_the_files_own() -> None:
    rig = LimitsRig(with_portfolio(DRAWDOWN))
    rig.tell(marked("0.06"))
    rig.ask({GROSS: "20000"})
    assert rig.limit("gross_notional_max") == 10_000
    rig.tell(marked("0"))
    assert rig.limit("gross_notional_max") == 20_000


def test_limits_of_single_orders_and_of_time_are_not_tightened() -> None:
    names = (*numbers_in(InstrumentLimits), *numbers_in(AccountLimits))
    assert not [n for n in names if is_scaled(n) and n.startswith("order_")]
    rig = LimitsRig(with_portfolio(DRAWDOWN))
    assert rig.limit("order_quantity_max") == 100
    assert rig.limit("session_messages_max") == 20


def volatile(rig: LimitsRig, swings: list[float], start: int = 0) -> int:
    """Let the price of ALPHA move by each swing in turn, a second apart."""
    price, now_ns = 100.0, NOW_NS + start * S_NS
    for swing in swings:
        price *= 1 + swing
        now_ns += S_NS
        text = f"{price:.6f}"
        rig.markets[ALPHA].take(quote(text, text), now_ns)
        rig.wake(now_ns)
    return len(swings) + start


def test_an_instrument_that_turns_wild_gets_smaller_limits_and_no_other() -> None:
    rig = LimitsRig(with_portfolio(VOLATILITY), Sampling(every_s=1, samples_min=10))
    assert rig.limit("position_quantity_max") == 100, "not known yet"
    at = volatile(rig, [0.001, -0.001] * 50)
    assert rig.limit("position_quantity_max") == 200
    at = volatile(rig, [0.01, -0.01] * 10, at)
    assert rig.limit("position_quantity_max") == 100
    assert rig.limit("gross_notional_max") == 30_000
    assert rig.limit("position_quantity_max", BETA) == 100, "never quoted, so not known"
    volatile(rig, [0.001, -0.001] * 200, at)
    assert rig.limit("position_quantity_max") == 200


drawdowns = st.lists(
    st.one_of(st.none(), st.decimals(0, 1, places=4, allow_nan=False)), max_size=30
)


@settings(deadline=None)
@given(drawdowns)
def test_a_factor_is_never_above_one_whatever_the_drawdowns(values: list[object]) -> None:
    ladder = Ladder(DRAWDOWN_STEPS, dec("0.8"))
    for value in values:
        ladder.take(None if value is None else dec(str(value)))
        assert 0 <= ladder.factor <= 1


@settings(deadline=None)
@given(st.decimals(0, 1, places=4, allow_nan=False), drawdowns)
def test_a_factor_is_never_wider_than_its_step_allows(last: object, before: list[object]) -> None:
    ladder = Ladder(DRAWDOWN_STEPS, dec("0.8"))
    for value in before:
        ladder.take(None if value is None else dec(str(value)))
    ladder.take(dec(str(last)))
    allowed = min((s.factor for s in DRAWDOWN_STEPS if s.at <= dec(str(last))), default=ONE)
    assert ladder.factor <= allowed


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([{"at": "0.1", "factor": "1.1"}], "factor: found 1.1, wanted 0 to 1"),
        ([{"at": "0", "factor": "0.5"}], "at: found 0, wanted a number above 0"),
        (
            [{"at": "0.1", "factor": "0.5"}, {"at": "0.05", "factor": "0.2"}],
            "wanted each step further along and tighter",
        ),
        (
            [{"at": "0.1", "factor": "0.5"}, {"at": "0.2", "factor": "0.5"}],
            "wanted each step further along and tighter",
        ),
    ],
)
def test_steps_that_would_loosen_are_refused(steps: list[dict[str, str]], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert({"drawdown_steps": steps}, PortfolioLimits)
