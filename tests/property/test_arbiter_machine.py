"""Whatever happens in whatever order: what the arbiter must never do, it never does."""

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from schemas.base import Event
from schemas.control import BreakerState, EpochStarted, HaltRequested, LeaseAnswered
from schemas.health import LinkChanged
from services.breaker.state import SAME_HALT_NS
from services.control import LEASE_NS
from tests.builders import MS_NS
from tests.control_rig import MEMBERS, ControlRig, halt, health, question, start

TRADERS = st.sampled_from(["gate", "executor"])
NAMES = st.sampled_from(["", "kim", "lee"])
REASONS = st.sampled_from(["", "fat finger", "feed is wrong"])


class ArbiterMachine(RuleBasedStateMachine):
    """A rig, and beside it the few facts that decide what may be: no code in common."""

    @initialize()
    def begin(self) -> None:
        self.rig = ControlRig().ready()
        self.halt_count = 0  # halts that happened, heard or stored or both
        self.halts_when_looked = 0
        self.number_when_looked = 0
        self.halts_cleared = 0
        self.halts_at_start = -1  # -1: nothing was started since the last restart
        self.epochs: list[int] = []
        self.start_count = 0

    def next_halt(self, operator: str, reason: str) -> HaltRequested:
        """A halt that happens later than any other, so that it is none of them."""
        self.halt_count += 1
        self.rig.now_ns += SAME_HALT_NS
        self.tell(health("recorder"))
        return halt(reason, operator, at_ns=self.rig.now_ns)

    def happened(self, event: Event) -> None:
        """Check every event the arbiter says against the facts."""
        if isinstance(event, EpochStarted):
            assert not self.epochs or event.epoch > max(self.epochs), "an epoch was reused"
            assert self.halt_count == self.halts_cleared, "a start over an open halt"
            self.epochs.append(event.epoch)
            self.halts_at_start = self.halt_count
        if isinstance(event, LeaseAnswered) and event.is_granted:
            assert self.halts_at_start == self.halt_count, "a lease after a halt"
            assert event.epoch == self.epochs[-1], "a lease of an older epoch"

    def tell(self, *events: Event) -> None:
        for event in events:
            for said in self.rig.tell(event):
                self.happened(said)

    @rule(operator=NAMES, reason=REASONS)
    def a_halt_is_heard_and_stored(self, operator: str, reason: str) -> None:
        self.tell(self.next_halt(operator, reason))

    @rule(operator=NAMES, reason=REASONS)
    def a_halt_is_stored_and_not_heard(self, operator: str, reason: str) -> None:
        self.rig.log.handle(self.next_halt(operator, reason), self.rig.now_ns)

    @rule(operator=NAMES, reason=REASONS)
    def a_halt_is_heard_and_not_stored(self, operator: str, reason: str) -> None:
        heard = self.next_halt(operator, reason)
        self.rig.kept.append(heard)
        for said in self.rig.core.handle(heard, self.rig.now_ns):
            self.rig.said.append(said)
            self.rig.kept += [said] if type(said) in self.rig.core.keeps else []
            self.happened(said)

    @rule()
    def somebody_looks(self) -> None:
        self.number_when_looked = self.rig.core.describe(self.rig.now_ns).halts
        self.halts_when_looked = self.halt_count

    @rule(guess=st.integers(-1, 1))
    def a_reset_is_asked_for(self, guess: int) -> None:
        if self.rig.reset(self.number_when_looked + guess).is_ok:
            is_seen = self.halts_when_looked == self.halt_count
            assert guess != 0 or is_seen, "a reset cleared a halt nobody had seen"
            self.halts_cleared = self.halt_count

    @rule(strategy=st.sampled_from([None, "ema_cross"]))
    def a_start_is_asked_for(self, strategy: str | None) -> None:
        self.start_count += 1
        self.tell(start(f"start-{self.start_count}", strategy=strategy))

    @rule(component=TRADERS)
    def a_lease_is_asked_for(self, component: str) -> None:
        epoch = self.epochs[-1] if self.epochs else 0
        generation = self.rig.generations[component]
        self.tell(question(component, epoch=epoch, generation=generation, at_ns=self.rig.now_ns))

    @rule(member=st.sampled_from(MEMBERS))
    def a_member_restarts(self, member: str) -> None:
        if member == "gate":  # one that asked for its lease just now lives: the other is a standby
            self.time_passes(LEASE_NS // MS_NS)
        self.rig.generations[member] += 1
        self.tell(health(member, generation=self.rig.generations[member]))
        self.halts_at_start = -1

    @rule()
    def the_breaker_restarts(self) -> None:
        before = self.rig.core.describe(0)
        self.rig.restart()
        after = self.rig.core.describe(0)
        assert after.halts == before.halts
        was_open = before.breaker_state is not BreakerState.NORMAL
        assert (after.breaker_state is not BreakerState.NORMAL) == was_open
        assert (after.halt_reason, after.halt_operator) == (
            before.halt_reason,
            before.halt_operator,
        )
        self.halts_at_start = -1
        self.tell(health("recorder"))

    @rule(pause_ms=st.integers(1, 4_000))
    def time_passes(self, pause_ms: int) -> None:
        for said in self.rig.wait(pause_ms * MS_NS):
            self.happened(said)
        self.tell(health("recorder"))

    @precondition(lambda self: self.halt_count > 0)
    @rule()
    def the_link_comes_back(self) -> None:
        self.tell(LinkChanged(at_ns=0, is_up=True))

    @invariant()
    def leasing_is_never_reported_while_a_known_halt_is_open(self) -> None:
        if hasattr(self, "rig"):
            found = self.rig.core.describe(self.rig.now_ns)
            is_open = found.breaker_state is not BreakerState.NORMAL
            assert not (is_open and found.is_leasing)


ArbiterMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


TestArbiter = pytest.mark.req("B-06")(ArbiterMachine.TestCase)
