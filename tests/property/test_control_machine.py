"""Arbiter and guards together, on a bus that loses and delays: what never may be, never is.

Beside them stand only the facts: what was halted, restricted or locked, when it was stored, and
what a person had seen. The invariants are I1, I3, I4, I6, I7 and I12, for restrictions as for
halts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from schemas.base import Event
from schemas.control import (
    EpochEnded,
    EpochStarted,
    HaltRequested,
    LeaseAnswered,
    LeaseAsked,
    PrepareAsked,
    Prepared,
)
from schemas.restrictions import Level, LocksChanged, RestrictionRequested
from services.breaker.state import SAME_HALT_NS
from services.control import LEASE_NS, ControlGuard
from services.core import tell
from tests.builders import ACCOUNT, ALPHA, MS_NS, SESSION
from tests.control_rig import (
    HASH,
    ControlRig,
    boot,
    halt,
    health,
    lock,
    prepared,
    restriction,
    start,
)

TRADERS = ("gate", "executor")
SCOPES = ("session.s1", "symbol.sim.ALPHA", "venue.other", "planet.mars")
TO_GUARDS = (EpochStarted, EpochEnded, LeaseAnswered, LocksChanged)
HEARERS = st.sets(st.sampled_from(("breaker", *TRADERS)))


class Fact(NamedTuple):
    """Something that forbids, stored on the control stream."""

    stored_ns: int
    is_full: bool
    """Whether it stops everything; else only what the order here is in."""


class ControlRigOfGuards(ControlRig):
    """A rig whose gate and executor are guards: they prepare with what they have heard."""

    guards: dict[str, ControlGuard]

    def _follow(self, said: Event) -> list[Event]:
        if isinstance(said, PrepareAsked):
            traders = [self._prepared(said, name) for name in TRADERS]
            return [*traders, prepared("strategy", said.start_id)]
        return super()._follow(said)

    def _prepared(self, asked: PrepareAsked, name: str) -> Prepared:
        guard = self.guards[name]
        return Prepared(
            at_ns=self.now_ns,
            start_id=asked.start_id,
            component=name,
            boot_id=guard.boot_id,
            limits_hash=HASH,
            halts=guard.halts,
            restriction_count=guard.restriction_count,
            epoch_max=guard.epoch_max,
            is_reconciled=True,
        )


class ControlMachine(RuleBasedStateMachine):
    """One arbiter, two guards, one order that is in session s1 and symbol sim:ALPHA."""

    kind: type[ControlGuard] = ControlGuard
    """What the guards are; an ablation puts another in its place."""

    @initialize()
    def begin(self) -> None:
        self.rig = ControlRigOfGuards()
        self.generation = dict.fromkeys(TRADERS, 1)
        self.rig.guards = {name: self.kind(name, boot(name), HASH) for name in TRADERS}
        self.rig.ready()
        self.facts: list[Fact] = []
        self.locks_standing = 0
        self.seen_count = 0
        self.number_seen = 0
        self.network: list[Event] = []
        self.epochs: list[int] = []
        self.halted_at: dict[str, int] = {}
        self.start_count = 0

    def happened(self, said: list[Event]) -> None:
        for event in said:
            if isinstance(event, EpochStarted):
                assert event.epoch > max(self.epochs, default=0), "I12: an epoch was reused"
                assert not any(fact.is_full for fact in self.facts), "I7: a start over a halt"
                assert not self.locks_standing, "a start over a lock"
                self.epochs.append(event.epoch)
            if isinstance(event, TO_GUARDS):
                self.network.append(event)

    def tell(self, *events: Event) -> None:
        self.happened(self.rig.tell(health("recorder"), *events))

    def store(self, fact: HaltRequested | RestrictionRequested, hearers: set[str]) -> None:
        """Store it, and let these hear it; the arbiter reads what it does not hear."""
        self.rig.log.handle(fact, self.rig.now_ns)
        if "breaker" in hearers:
            self.rig.kept.append(fact)
            for said in tell(self.rig.core, fact, self.rig.now_ns):
                self.rig.kept += [said] if type(said) in self.rig.core.keeps else []
                self.happened([said])
        for name in TRADERS:
            if name in hearers:
                self.tell_guard(name, fact)
        self.nothing_is_sent_that_must_not_be()
        self.rig.now_ns += SAME_HALT_NS  # so that no two are taken for one

    def tell_guard(self, name: str, event: Event | None) -> None:
        guard = self.rig.guards[name]
        before = guard.halts
        for said in tell(guard, event, self.rig.now_ns):
            if isinstance(said, LeaseAsked):
                self.network.append(said)
        if guard.halts > before:
            self.halted_at[name] = guard.epoch

    @rule(hearers=HEARERS)
    def somebody_halts(self, hearers: set[str]) -> None:
        self.facts.append(Fact(self.rig.now_ns, True))
        self.store(halt("fat finger", "kim", at_ns=self.rig.now_ns), hearers)

    @rule(hearers=HEARERS, scope=st.sampled_from(SCOPES))
    def somebody_halts_a_part(self, hearers: set[str], scope: str) -> None:
        if scope != "venue.other":
            self.facts.append(Fact(self.rig.now_ns, scope == "planet.mars"))
        asked = restriction(scope, Level.HALT)
        self.store(msgspec.structs.replace(asked, at_ns=self.rig.now_ns), hearers)

    @rule(is_stored_only=st.booleans())
    def somebody_locks(self, is_stored_only: bool) -> None:
        self.rig.now_ns += SAME_HALT_NS
        asked = lock(f"found at {self.rig.now_ns}")
        if is_stored_only:
            self.rig.log.handle(asked, self.rig.now_ns)
        else:
            self.tell(asked)
        self.locks_standing += 1
        self.facts.append(Fact(self.rig.now_ns, True))

    @rule()
    def somebody_looks(self) -> None:
        self.tell(start(f"look-{self.rig.now_ns}", operator=""))  # refused, and reads nothing
        found = self.rig.core.describe(self.rig.now_ns)
        self.seen_count = len(self.facts)
        self.number_seen = found.locks[-1].number if found.locks else found.halts

    @rule(guess=st.integers(-1, 1))
    def a_person_unlocks_and_resets(self, guess: int) -> None:
        if self.rig.unlock(self.number_seen + guess).is_ok:
            self.locks_standing = 0
        found = self.rig.core.describe(self.rig.now_ns)
        is_halt = found.halts not in [each.number for each in found.restrictions]
        if is_halt and self.rig.reset(found.halts).is_ok:
            self.facts = [fact for fact in self.facts if not fact.is_full]

    @rule()
    def a_start_is_asked_for(self) -> None:
        self.start_count += 1
        self.tell(start(f"start-{self.start_count}"))

    @rule()
    def everything_new_is_delivered_in_order(self) -> None:
        """What happens on a good day: the epoch, the question about it, the lease."""
        for _ in range(3):
            arrived, self.network = self.network[-12:], []
            for event in arrived:
                self.deliver(event)

    def deliver(self, event: Event) -> None:
        if isinstance(event, LeaseAsked):
            self.tell(event)
            return
        for name in TRADERS:
            self.tell_guard(name, event)

    @rule(data=st.data())
    def the_network_delivers_anything_it_has(self, data: st.DataObject) -> None:
        if not self.network:
            return
        self.deliver(data.draw(st.sampled_from(self.network[-12:])))

    @rule(pause_ms=st.integers(1, 1_500))
    def time_passes(self, pause_ms: int) -> None:
        self.happened(self.rig.wait(pause_ms * MS_NS))
        for name in TRADERS:
            self.tell_guard(name, None)

    @rule(name=st.sampled_from(TRADERS))
    def a_component_restarts(self, name: str) -> None:
        self.generation[name] += 1
        self.rig.guards[name] = self.kind(name, boot(name, self.generation[name]), HASH)
        self.halted_at.pop(name, None)

    @rule()
    def the_arbiter_restarts(self) -> None:
        before = self.rig.core.describe(0)
        self.rig.restart()
        after = self.rig.core.describe(0)
        assert (after.locks, after.halts) == (before.locks, before.halts)
        assert [e.number for e in after.restrictions if "ends with" not in e.reason] == [
            e.number for e in before.restrictions if "ends with" not in e.reason
        ]
        self.tell()

    @invariant()
    def nothing_is_sent_that_must_not_be(self) -> None:
        if not hasattr(self, "rig"):
            return
        now_ns = self.rig.now_ns
        for name, guard in self.rig.guards.items():
            if guard.permits(now_ns):
                continue
            assert self.halted_at.get(name) != guard.epoch, "I1: a fenced epoch is served"
            found = guard.restriction_on(ACCOUNT, SESSION, ALPHA)
            for fact in self.facts:
                is_late = now_ns >= fact.stored_ns + LEASE_NS
                is_forbidden = fact.is_full or found is None
                assert not (is_late and is_forbidden), f"I6: {name} still sends after {fact}"


HOW = settings(max_examples=100, stateful_step_count=40, deadline=None)
ControlMachine.TestCase.settings = HOW

TestControl = pytest.mark.req("B-06", "G-09", "S-16")(ControlMachine.TestCase)


class Forgetful(ControlGuard):
    """A guard that knows only what it hears by itself."""

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        if isinstance(event, EpochStarted | LeaseAnswered):
            event = msgspec.structs.replace(event, restrictions=())
        return super().handle(event, now_ns)


class Unfenced(ControlGuard):
    """A guard whose halt stops nothing."""

    def halt(self) -> None:
        self.halts += 1


class LeasedFromNow(ControlGuard):
    """A guard whose lease never ends."""

    def permits(self, now_ns: int) -> str:
        return "halted" if self.is_halted or not self.lease_until_ns else ""


@pytest.mark.parametrize("kind", [Forgetful, Unfenced, LeasedFromNow])
def test_a_guard_without_one_safeguard_is_found_out(kind: type[ControlGuard]) -> None:
    class Machine(ControlMachine):
        pass

    Machine.kind = kind
    how = settings(
        HOW, max_examples=2_000, database=None, derandomize=True, report_multiple_bugs=False
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Machine, settings=settings(how, phases=(Phase.generate,)))
