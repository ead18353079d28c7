"""Whatever is heard, a restart at any point leaves every breaker as if there had been none."""

from collections.abc import Sequence
from decimal import Decimal

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from schemas.base import Event
from schemas.control import BreakerTripped, HaltRequested
from schemas.health import BreakerView
from services.breaker.config import BreakerConfig
from tests.breaker_rig import alert, levels, rejected, submitted, unanswered
from tests.builders import S_NS
from tests.control_rig import ControlRig, book, breaker_core, halt

HOUR_NS = 3_600 * S_NS
CONFIG = BreakerConfig(
    levels={
        "drawdown": levels(("0.04", "warn"), ("0.10", "halt")),
        "daily_loss": levels(("0.03", "warn"), ("0.06", "halt")),
        "daily_loss_amount": levels(("7000", "halt")),
        "order_rate": levels(("2", "warn"), ("4", "halt")),
        "order_errors": levels(("3", "halt")),
        "broker_errors": levels(("3", "halt")),
        "data_errors": levels(("3", "halt")),
        "reconciliation": levels(("2", "halt")),
    }
)
"""All whose state is a fold; what is read anew each second has nothing to keep."""

KEPT = tuple(CONFIG.levels)
NAMES = st.sampled_from("abcdef")
STEPS = st.lists(
    st.one_of(
        st.builds(lambda n: ("event", submitted(n)), NAMES),
        st.builds(lambda n: ("event", rejected(n)), NAMES),
        st.builds(lambda n: ("event", unanswered(n)), NAMES),
        st.builds(lambda n: ("event", alert("SLU-112", at_ns=ord(n))), NAMES),
        st.builds(lambda n: ("event", alert("SLU-131", "executor", at_ns=ord(n))), NAMES),
        st.builds(lambda cash: ("event", book(str(cash))), st.integers(85_000, 115_000)),
        st.just(("event", halt())),
        st.builds(lambda s: ("wait", s * S_NS), st.sampled_from((1, 20, 59, 60, 61))),
        st.builds(lambda h: ("wait", h * HOUR_NS), st.sampled_from((1, 11, 24))),
        st.just(("reset", None)),
    ),
    max_size=25,
)
Step = tuple[str, object]


class Twin:
    """One breaker service; the other is the same with restarts in between."""

    def __init__(self) -> None:
        self.rig = ControlRig(breaker_core(CONFIG), now_ns=100 * 24 * HOUR_NS + 7)
        self.cash: Event = book("100000")
        self.rig.tell(self.cash)
        self.rig.wait(S_NS)

    def do(self, step: Step) -> None:
        match step:
            case ("event", Event() as event):
                self.cash = event if type(event) is type(self.cash) else self.cash
                self.rig.tell(event)
                self.rig.wait(S_NS)
            case ("wait", int(length_ns)):
                self.rig.wait(length_ns)
            case _:
                self.rig.reset(self.rig.core.describe(self.rig.now_ns).halts)
                self.rig.wait(S_NS)

    def restart(self) -> None:
        """Only the journal is left; the executor tells its book again at once."""
        self.rig.restart(config=CONFIG)
        self.rig.tell(self.cash)
        self.rig.wait(0)

    def views(self) -> list[BreakerView]:
        """Return what people see, but for the moment: the account is valued each 250 ms."""
        found = self.rig.core.describe(self.rig.now_ns).breakers
        return [_without_moments(each) for each in found if each.name in KEPT]

    def halts(self) -> list[str]:
        return [each.operator for each in self.rig.said if isinstance(each, HaltRequested)]


def _without_moments(view: BreakerView) -> BreakerView:
    timeless = tuple(replace(each, since_ns=bool(each.since_ns)) for each in view.levels)
    return replace(view, since_ns=bool(view.since_ns), levels=timeless)


@pytest.mark.req("B-06", "B-01", "B-02", "B-03", "B-04")
@settings(max_examples=120, deadline=None)
@given(steps=STEPS, cuts=st.sets(st.integers(0, 25)))
def test_a_restart_at_any_point_leaves_the_same_state(
    steps: Sequence[Step], cuts: frozenset[int]
) -> None:
    steady, restarted = Twin(), Twin()
    for at, step in enumerate(steps):
        for twin in (steady, restarted):
            twin.do(step)
        if at in cuts:
            restarted.restart()
        assert restarted.views() == steady.views()
    assert restarted.halts() == steady.halts()


@pytest.mark.req("B-03", "B-04")
@settings(max_examples=120, deadline=None)
@given(gaps=st.lists(st.integers(0, 40 * S_NS), min_size=1, max_size=40), limit=st.integers(2, 6))
def test_the_window_trips_exactly_when_that_many_came_within_it(
    gaps: Sequence[int], limit: int
) -> None:
    config = BreakerConfig(levels={"order_rate": levels((str(limit), "halt"))})
    rig = ControlRig(breaker_core(config))
    times: list[int] = []
    for number, gap_ns in enumerate(gaps):
        rig.now_ns += gap_ns
        times.append(rig.now_ns)
        said = rig.tell(submitted(f"o{number}"))
        inside = sum(rig.now_ns - each < 60 * S_NS for each in times)
        is_past = any(isinstance(each, BreakerTripped) for each in said)
        assert is_past == (inside >= limit)
        if is_past:
            return


@pytest.mark.req("B-01", "B-02")
@settings(max_examples=120, deadline=None)
@given(worths=st.lists(st.integers(50_000, 150_000), min_size=1, max_size=30))
def test_no_fall_past_a_limit_goes_without_a_halt(worths: Sequence[int]) -> None:
    """The oracle is a loop over plain numbers: the highest so far, and the first of the day."""
    config = BreakerConfig(
        levels={
            "drawdown": levels(("0.10", "halt")),
            "daily_loss": levels(("0.05", "halt")),
        }
    )
    rig = ControlRig(breaker_core(config), now_ns=100 * 24 * HOUR_NS)
    peak, first = Decimal(100_000), Decimal(worths[0])
    wanted: dict[str, None] = {}
    for worth in worths:
        rig.tell(book(str(worth)))
        rig.wait(S_NS)
        peak = max(peak, Decimal(worth))
        if peak - worth >= peak / 10:
            wanted["drawdown"] = None
        if first - worth >= first / 20:
            wanted["daily_loss"] = None
        found = [each.breaker for each in rig.said if isinstance(each, BreakerTripped)]
        assert sorted(found) == sorted(wanted)
