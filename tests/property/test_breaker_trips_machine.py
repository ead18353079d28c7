"""Whatever trips, restricts, halts and is reset in whatever order: no breaker is ever left dead."""

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from schemas.base import Event
from schemas.breakers import BreakerAsked, BreakerRequest
from schemas.control import BreakerState, BreakerTripped, HighWaterMarkSet, Response
from schemas.health import ArbiterReported, BreakerView
from schemas.restrictions import ALL, Level
from services.breaker.config import BreakerConfig
from tests.breaker_rig import levels, submitted
from tests.builders import S_NS
from tests.control_rig import ControlRig, book, breaker_core, halt, health, own, restriction, start

CONFIG = BreakerConfig(
    levels={
        "drawdown": levels(("0.04", "reduce"), ("0.06", "flatten"), ("0.10", "halt")),
        "daily_loss": levels(("0.30", "flatten")),
        "order_rate": levels(("3", "reduce"), ("5", "halt")),
    }
)
CHANGES = (
    (("0.04", "halt"),),
    (("0.04", "flatten"), ("0.10", "halt")),
    (("0.04", "reduce"), ("0.06", "flatten"), ("0.10", "halt")),
    (("0.06", "halt"),),
)
STRICTER = {Response.REDUCE: 1, Response.FLATTEN: 2, Response.HALT: 3}
MEASURED = "measured anew from now on: "


class TripMachine(RuleBasedStateMachine):
    """A rig, and what anybody can see of it: reports, answers, and what was said."""

    @initialize()
    def begin(self) -> None:
        self.rig = ControlRig(breaker_core(CONFIG), now_ns=100 * 86_400 * S_NS).ready()
        self.start_count, self.order_count, self.word_count = 0, 0, 0
        self.cash = "100000"
        self.awaits_mark = False

    def tell(self, *events: Event) -> None:
        before = len(self.rig.said)
        self.rig.tell(*events)
        self.rig.wait(S_NS)
        self.rig.tell(health("recorder"))
        self.heard(self.rig.said[before:])

    def heard(self, said: list[Event]) -> None:
        """Check that a mark falls only where a person's reset had named the drawdown breaker."""
        anew = [e for e in said if isinstance(e, HighWaterMarkSet) and e.reason != "new high"]
        assert len(anew) == self.awaits_mark, f"{anew}, awaited: {self.awaits_mark}"
        self.awaits_mark = False

    def why(self) -> str:
        """Return a reason that was never given before."""
        self.word_count += 1
        return f"reason {self.word_count}"

    def report(self) -> ArbiterReported:
        return self.rig.core.describe(self.rig.now_ns)

    def views(self) -> list[BreakerView]:
        return [each for each in self.report().breakers if each.name in CONFIG.levels]

    def in_force(self) -> list[int]:
        """Return the numbers of the restrictions that no reset has taken away."""
        found = self.report().restrictions
        return [each.number for each in found if "(reset: ends" not in each.reason]

    def is_reducing(self) -> bool:
        numbers = self.in_force()
        every = [each for each in self.report().restrictions if each.number in numbers]
        return any((each.scope, each.level) == (ALL, Level.REDUCE) for each in every)

    @rule(cash=st.integers(55, 110))
    def it_is_worth(self, cash: int) -> None:
        self.cash = str(cash * 1_000)
        self.tell(book(self.cash))

    @rule(count=st.integers(1, 3))
    def orders_are_sent(self, count: int) -> None:
        names = [f"o{self.order_count + each}" for each in range(count)]
        self.order_count += count
        self.tell(*(submitted(each) for each in names))

    @rule()
    def a_start_is_asked_for(self) -> None:
        self.start_count += 1
        self.tell(start(f"start-{self.start_count}"))

    @rule()
    def a_person_halts(self) -> None:
        self.tell(halt(self.why(), at_ns=self.rig.now_ns))

    @rule(scope=st.sampled_from([ALL, "symbol.sim.ALPHA"]), level=st.sampled_from(Level))
    def a_person_restricts(self, scope: str, level: Level) -> None:
        self.tell(restriction(scope, level, reason=self.why()))

    @rule()
    def a_member_restricts(self) -> None:
        self.tell(own(restriction("symbol.sim.BETA", reason=self.why(), operator="breaker.gate")))

    @rule(steps=st.sampled_from(CHANGES))
    def a_person_changes_levels(self, steps: tuple[tuple[str, str], ...]) -> None:
        request = BreakerRequest(
            operator="kim", reason="nerves", breaker="drawdown", levels=levels(*steps)
        )
        self.tell(BreakerAsked(at_ns=0, request_id="r1", request=request))

    @rule(which=st.integers(0, 3))
    def a_person_resets(self, which: int) -> None:
        """Reset something that is open, and compare what was promised with what was answered."""
        found = self.report()
        open_halt = [found.halts] if found.halt_reason else []
        numbers = [*open_halt, *self.in_force()]
        if not numbers:
            return
        number = numbers[which % len(numbers)]
        only = f"(only by `sluice reset --halt {number}`)"
        told = [text for text in found.rebases if text.endswith(only) or len(numbers) == 1]
        promised = sorted(text.partition(":")[0] for text in told)
        answer = self.rig.reset(number)
        assert answer.is_ok, answer.message
        named = answer.message.partition(MEASURED)[2].partition(".")[0]
        assert sorted(named.split(", ") if named else []) == promised
        self.awaits_mark = "drawdown" in promised
        self.tell(book(self.cash))

    @rule()
    def the_breaker_restarts(self) -> None:
        before = self.views()
        word = self.report().breaker_state
        self.rig.restart(config=CONFIG)
        self.rig.tell(health("recorder"), book(self.cash))
        after = self.views()
        assert [(v.name, v.is_tripped, v.levels) for v in after] == [
            (v.name, v.is_tripped, v.levels) for v in before
        ]
        assert self.report().breaker_state is word
        self.tell()

    @invariant()
    def no_breaker_stays_tripped_that_no_reset_could_bring_back(self) -> None:
        if not hasattr(self, "rig"):
            return
        tripped = [each.name for each in self.views() if each.is_tripped]
        is_held = bool(self.report().halt_reason) or self.is_reducing()
        assert is_held or not tripped, f"{tripped} tripped, and nothing is open"

    @invariant()
    def what_is_reached_has_been_done(self) -> None:
        """What a level calls for is in force while the value is past it."""
        if not hasattr(self, "rig"):
            return
        strictest = 3 if self.report().halt_reason else 1 if self.is_reducing() else 0
        if strictest == 1 and any(
            isinstance(each, BreakerTripped) and each.response is Response.FLATTEN
            for each in self.rig.said
        ):
            strictest = 2
        for each in self.views():
            for level in each.levels:
                wanted = STRICTER[level.response] if level.is_reached else 0
                assert wanted <= strictest, f"{each.name}: {level}, and nothing stricter is done"

    @invariant()
    def the_word_says_tripped_only_while_something_is_open(self) -> None:
        if hasattr(self, "rig") and self.report().breaker_state is not BreakerState.NORMAL:
            assert self.report().halt_reason or self.in_force()


TripMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)


TestTrips = pytest.mark.req("B-06", "B-08")(TripMachine.TestCase)
