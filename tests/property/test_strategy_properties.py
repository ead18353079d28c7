"""For all streams: averages are talipp's, a restart loses nothing, sessions do not meet."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from talipp.indicators import EMA

from schemas.orders import Outcome, SignalRaised
from services.strategy.library.ema import FlatEmas
from tests.builders import S_NS, quote
from tests.strategy_rig import StrategyRig, decision, every

PRICES = some.floats(min_value=1e-6, max_value=1e9)
STEPS = some.lists(
    some.sampled_from(["quote", "approve", "reject", "fill", "part", "repeat", "pause", "resume"]),
    max_size=40,
)


@given(
    fast=some.integers(1, 20), more=some.integers(1, 20), prices=some.lists(PRICES, max_size=120)
)
def test_the_flat_averages_are_talipps_to_the_last_bit(
    fast: int, more: int, prices: list[float]
) -> None:
    flat, shorter, longer = FlatEmas(fast, fast + more), EMA(fast), EMA(fast + more)
    for price in prices:
        shorter.add(price)
        longer.add(price)
        above = flat.add(price)
        is_warm = longer[-1] is not None
        assert (flat.slow, above is not None) == (longer[-1], is_warm)
        assert flat.fast == shorter[-1]
        assert above is None or above == shorter[-1] - longer[-1]


@pytest.mark.req("S-13")
@settings(max_examples=60, deadline=None)
@given(steps=STEPS, strategy=some.sampled_from(["buyeachquote", "ema_cross", "buy_and_hold"]))
def test_a_restart_at_any_point_rebuilds_what_was_there(steps: list[str], strategy: str) -> None:
    rig = StrategyRig()
    rig.start(strategy)
    for step in steps:
        _take(rig, step)
        before = rig.core.describe(0)
        rig.restart()
        assert rig.core.describe(0) == before
        rig.start(None)


@pytest.mark.req("S-13")
@settings(max_examples=60, deadline=None)
@given(steps=STEPS, crashes=some.sets(some.integers(0, 39)))
def test_no_signal_id_is_ever_used_twice(steps: list[str], crashes: set[int]) -> None:
    rig = StrategyRig()
    rig.start("buyeachquote")
    for number, step in enumerate(steps):
        _take(rig, step)
        if number in crashes:
            rig.restart()
            rig.start(None)
    ids = [signal.signal_id for signal in every(SignalRaised, rig.said)]
    assert len(ids) == len(set(ids))


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, fails=some.booleans())
def test_a_session_is_the_same_with_and_without_a_neighbour(steps: list[str], fails: bool) -> None:
    alone, beside = StrategyRig(), StrategyRig()
    own = [
        rig.start("ema_cross", config_overrides={"fast": 1, "slow": 2}) for rig in (alone, beside)
    ]
    beside.start("failsatthird" if fails else "buyeachquote")
    for rig in (alone, beside):
        for step in steps:
            _take(rig, step)
    signals = [
        [e for e in every(SignalRaised, rig.said) if e.session == own[0]] for rig in (alone, beside)
    ]
    assert own[0] == own[1]
    assert signals[0] == signals[1]


def _take(rig: StrategyRig, step: str) -> None:
    """Let one thing happen: to the newest signal of the first session, if it concerns one."""
    now_ns = rig.now_ns + S_NS // 4
    first = next(iter(rig.core.sessions))
    signals = [each for each in every(SignalRaised, rig.said) if each.session == first]
    if step == "quote":
        price = 100 + (now_ns // S_NS) % 7 * (-1 if now_ns // S_NS % 3 else 1)
        rig.tell(quote(str(price - 1), str(price + 1), at_ns=now_ns), now_ns)
    elif step in ("pause", "resume"):
        rig.ask(step, first)
    elif signals:
        newest = signals[-1]
        if step == "repeat":
            for again in [each for each in rig.kept if type(each).__name__ == "OrderFilled"][-1:]:
                rig.tell(again)
        elif step in ("fill", "part"):
            rig.tell(rig.fill(newest, None if step == "fill" else str(newest.quantity / 2)))
        else:
            rig.tell(decision(newest, Outcome(f"{step}ed".replace("approveed", "approved"))))
    assert rig.core.sessions[first].book.portfolio.cash > Decimal("-1e12")
