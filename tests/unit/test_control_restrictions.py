"""Halts of a part, and REDUCE, as one component keeps them; safeguards removed to see the harm."""

from collections.abc import Sequence

import msgspec
import pytest

from schemas import wire
from schemas.base import AccountId, BootId, Event, InstrumentId, SessionId
from schemas.control import (
    EpochStarted,
    HaltRequested,
    LeaseAnswered,
    Member,
    TradingState,
)
from schemas.restrictions import (
    Level,
    Lock,
    LocksChanged,
    Restriction,
    RestrictionAcknowledged,
    RestrictionRequested,
)
from services.control import ControlGuard
from tests.builders import ACCOUNT, ALPHA, BETA, SESSION

BOOT = BootId("boot-1")
SCOPES = ("account.paper", "session.s1", "venue.sim", "symbol.sim.ALPHA")
pytestmark = pytest.mark.req("G-09", "O-05")


def epoch(
    number: int = 1, *, halts: int = 0, restriction_count: int = 0, **fields: object
) -> EpochStarted:
    member = Member(boot_id=BOOT, halts=halts, restriction_count=restriction_count)
    return EpochStarted(
        at_ns=0,
        epoch=number,
        start_id="s",
        operator="kim",
        members={"gate": member},
        **fields,  # type: ignore[arg-type]
    )


def answer(number: int = 1, *restrictions: Restriction, is_granted: bool = True) -> LeaseAnswered:
    return LeaseAnswered(
        at_ns=0,
        component="gate",
        boot_id=BOOT,
        epoch=number,
        asked_ns=0,
        is_granted=is_granted,
        restrictions=restrictions,
    )


def running(kind: type[ControlGuard] = ControlGuard) -> ControlGuard:
    guard = kind("gate", BOOT, "hash")
    guard.handle(epoch(), 0)
    guard.handle(answer(), 0)
    assert guard.permits(1) == ""
    return guard


def restriction(scope: str, level: Level = Level.HALT, number: int = 1) -> Restriction:
    return Restriction(scope=scope, level=level, number=number)


def on(guard: ControlGuard, instrument: InstrumentId = ALPHA) -> Restriction | None:
    return guard.restriction_on(ACCOUNT, SESSION, instrument)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("level", Level)
def test_a_restriction_is_on_what_it_names_and_the_epoch_goes_on(scope: str, level: Level) -> None:
    guard = running()
    guard.restrict(scope, level)
    assert on(guard) == Restriction(scope=scope, level=level)
    assert (guard.permits(1), guard.halts, guard.restriction_count) == ("", 0, 1)


@pytest.mark.parametrize(
    ("account", "session", "instrument"),
    [("other", "s2", "other:ALPHA"), ("other", "s2", "sim2:BETA")],
)
def test_a_restriction_leaves_everything_else_alone(
    account: str, session: str, instrument: str
) -> None:
    guard = running()
    for scope in SCOPES:
        guard.restrict(scope, Level.HALT)
    assert (
        guard.restriction_on(AccountId(account), SessionId(session), InstrumentId(instrument))
        is None
    )


def test_the_strongest_of_several_restrictions_is_told() -> None:
    guard = running()
    guard.restrict("all", Level.REDUCE)
    guard.restrict("symbol.sim.ALPHA", Level.HALT)
    found = {name: on(guard, name) for name in (ALPHA, BETA)}
    assert found == {
        ALPHA: Restriction(scope="symbol.sim.ALPHA", level=Level.HALT),
        BETA: Restriction(scope="all", level=Level.REDUCE),
    }


UNKNOWN = ("", "planet.mars", "symbol.ALPHA", "account", "session.a.b", "venue.", "symbol.sim.A.B")


@pytest.mark.parametrize("scope", [*UNKNOWN, "all"])
def test_a_halt_of_a_scope_nobody_knows_halts_all(scope: str) -> None:
    guard = running()
    guard.restrict(scope, Level.HALT)
    assert (guard.permits(1), guard.halts) == ("halted", 1)


@pytest.mark.parametrize("scope", [*UNKNOWN, "all"])
def test_a_reduction_of_a_scope_nobody_knows_reduces_all(scope: str) -> None:
    guard = running()
    guard.restrict(scope, Level.REDUCE)
    assert guard.trading_state(1) is TradingState.REDUCING
    assert on(guard, InstrumentId("any:THING")) is not None


def test_a_heard_restriction_is_acknowledged_once_it_is_in_force() -> None:
    guard = running()
    asked = RestrictionRequested(at_ns=5, level=Level.REDUCE, scope="venue.sim")
    assert guard.handle(asked, 5) == [
        RestrictionAcknowledged(
            at_ns=5, component="gate", boot_id=BOOT, scope="venue.sim", level=Level.REDUCE
        )
    ]
    assert on(guard) is not None


def test_inside_an_epoch_nothing_takes_a_restriction_away() -> None:
    guard = running()
    guard.restrict("venue.sim", Level.HALT)
    guard.handle(answer(), 1)
    guard.handle(LocksChanged(at_ns=1, locks=(), reason=""), 1)
    assert on(guard) is not None


def test_a_restriction_that_was_missed_comes_with_the_next_lease() -> None:
    guard = running()
    missed = restriction("session.s1", number=4)
    guard.handle(answer(1, missed, is_granted=False), 1)
    assert on(guard) == missed


def test_a_lease_of_another_epoch_brings_no_restriction_of_its_time() -> None:
    guard = running()
    guard.handle(epoch(2), 1)
    guard.handle(answer(1, restriction("session.s1")), 2)
    assert on(guard) is None


def test_an_epoch_brings_its_restrictions_before_the_first_lease() -> None:
    guard = ControlGuard("gate", BOOT, "hash")
    guard.handle(epoch(restrictions=(restriction("venue.sim"),)), 0)
    assert on(guard) == restriction("venue.sim")


def test_a_new_epoch_is_without_what_a_person_has_reset() -> None:
    guard = running()
    guard.restrict("venue.sim", Level.HALT)
    guard.handle(epoch(2, restriction_count=1), 1)
    assert (guard.epoch, dict(guard.restrictions)) == (2, {})


def heard_since_prepared(kind: type[ControlGuard]) -> bool:
    """Prepared, then restricted, then the epoch comes that was decided without it."""
    guard = running(kind)
    guard.restrict("venue.sim", Level.HALT)
    guard.handle(epoch(2, restriction_count=0), 1)
    assert guard.epoch == 2
    return on(guard) is not None


class TakesOverOnlyTheEpochs(ControlGuard):
    """A guard that believes an epoch to know of everything."""

    def _restrict_anew(self, event: EpochStarted, member: Member) -> None:
        super()._restrict_anew(
            event, Member(boot_id=BOOT, halts=0, restriction_count=self.restriction_count)
        )


def test_without_the_count_of_restrictions_a_start_loses_one_heard_after_prepare() -> None:
    assert heard_since_prepared(ControlGuard)
    assert not heard_since_prepared(TakesOverOnlyTheEpochs)


class DeafToLeases(ControlGuard):
    """A guard that takes permission from a lease, and nothing else."""

    def _on_lease(self, event: LeaseAnswered) -> None:
        super()._on_lease(answer(event.epoch))


def test_without_restrictions_in_leases_a_missed_one_is_never_known() -> None:
    missed = answer(1, restriction("session.s1"))
    found: list[bool] = []
    for kind in (ControlGuard, DeafToLeases):
        guard = running(kind)
        guard.handle(missed, 1)
        found.append(on(guard) is not None)
    assert found == [True, False]


class DeafToEpochs(ControlGuard):
    """A guard that begins every epoch free."""

    def _restrict_anew(self, event: EpochStarted, member: Member) -> None:
        super()._restrict_anew(epoch(), member)


def test_without_restrictions_in_epochs_a_restarted_component_starts_free() -> None:
    stored = epoch(restrictions=(restriction("venue.sim"),))
    found: list[bool] = []
    for kind in (ControlGuard, DeafToEpochs):
        guard = kind("gate", BOOT, "hash")
        guard.handle(stored, 0)
        found.append(on(guard) is not None)
    assert found == [True, False]


def test_an_epoch_or_lease_that_restricts_all_to_nothing_halts() -> None:
    everything = restriction("all")
    guard = running()
    guard.handle(answer(1, everything), 1)
    assert guard.permits(1) == "halted"
    assert guard.handle(epoch(2, halts=1, restrictions=(everything,)), 2) == ()
    assert guard.permits(2) == "halted"


def test_the_number_of_a_restriction_is_learnt_from_a_lease() -> None:
    guard = running()
    guard.restrict("venue.sim", Level.HALT)
    guard.handle(answer(1, restriction("venue.sim", number=9)), 1)
    found = on(guard)
    assert found is not None
    assert found.number == 9


def test_a_reader_on_another_thread_never_sees_a_table_change_under_it() -> None:
    guard = running()
    guard.restrict("venue.sim", Level.HALT)
    seen = guard.restrictions
    guard.restrict("session.s1", Level.HALT)
    assert (len(seen), len(guard.restrictions)) == (1, 2)


def test_a_locked_system_says_so_in_every_state_word_until_the_next_epoch() -> None:
    guard = running()
    guard.handle(HaltRequested(at_ns=1), 1)
    lock = Lock(number=1, component="executor", code="SLU-131", reason="books differ")
    guard.handle(LocksChanged(at_ns=1, locks=(lock,), reason="books differ"), 1)
    locked = guard.trading_state(1)
    guard.handle(LocksChanged(at_ns=2, locks=(), reason="looked"), 2)
    assert (locked, guard.trading_state(2)) == (TradingState.LOCKED, TradingState.HALTED)


def test_a_halt_of_an_epoch_begun_after_a_lock_is_not_told_as_that_lock() -> None:
    guard = running()
    guard.handle(HaltRequested(at_ns=1), 1)
    lock = Lock(number=1, component="executor", code="SLU-131", reason="books differ")
    guard.handle(LocksChanged(at_ns=1, locks=(lock,), reason="books differ"), 1)
    guard.handle(epoch(2, halts=1), 2)  # that the lock is gone was not heard, and is implied
    guard.handle(HaltRequested(at_ns=3), 3)
    assert guard.trading_state(3) is TradingState.HALTED


SUBJECTS = {
    "control.halt": ("all", Level.HALT),
    "control.halt.all": ("all", Level.HALT),
    "control.halt.planet.mars": ("all", Level.HALT),
    "control.halt.symbol.ALPHA": ("all", Level.HALT),
    "control.halt.symbol.sim.ALPHA": ("symbol.sim.ALPHA", Level.HALT),
    "control.halt.account.paper": ("account.paper", Level.HALT),
    "control.halt.session.s1": ("session.s1", Level.HALT),
    "control.halt.venue.sim": ("venue.sim", Level.HALT),
    "control.reduce": ("all", Level.REDUCE),
    "control.reduce.planet.mars": ("all", Level.REDUCE),
    "control.reduce.venue.sim": ("venue.sim", Level.REDUCE),
}
NARROWING = (
    b'{"scope": "venue.nowhere"}',
    b'{"level": "reduce", "scope": "session.x"}',
    b"",
    b"\xff",
    b'[{"scope": "venue.nowhere"}, {}]',
    b"[]",
)


@pytest.mark.parametrize("data", NARROWING)
@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_subject_alone_says_scope_and_level(subject: str, data: bytes) -> None:
    scope, level = SUBJECTS[subject]
    said = wire.halt_from(data, subject=subject, at_ns=1)
    assert wire.forbidden_by(subject) == (scope, level)
    if (scope, level) == ("all", Level.HALT):
        assert isinstance(said, HaltRequested)
    else:
        assert isinstance(said, RestrictionRequested)
        assert (said.scope, said.level) == (scope, level)


class BelievesThePayload(ControlGuard):
    """A guard that looks at what was written before it restricts."""

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        if isinstance(event, HaltRequested) and event.scope != "all":
            return super().handle(
                RestrictionRequested(at_ns=now_ns, level=Level.HALT, scope=event.scope), now_ns
            )
        return super().handle(event, now_ns)


def test_without_the_subject_deciding_a_payload_narrows_a_halt_to_nothing() -> None:
    written = b'{"scope": "venue.nowhere"}'
    halt = wire.halt_from(written, subject="control.halt", at_ns=1)
    found: list[str] = []
    for kind in (ControlGuard, BelievesThePayload):
        guard = running(kind)
        guard.handle(halt, 1)
        found.append(guard.permits(1))
    assert found == ["halted", ""]


def test_what_the_arbiter_has_not_told_of_is_named_until_it_has() -> None:
    guard = running()
    assert guard.unconfirmed() == ()
    guard.restrict("symbol.sim.ALPHA", Level.HALT)
    heard = Restriction(scope="symbol.sim.ALPHA", level=Level.HALT)
    assert guard.unconfirmed() == (heard,)
    guard.handle(answer(1, restriction("symbol.sim.ALPHA")), 0)
    assert guard.unconfirmed() == ()


@pytest.mark.parametrize("member", ["gate", "executor"])
def test_an_epoch_is_the_last_word_on_what_was_heard_before_it(member: str) -> None:
    guard = running()
    guard.restrict("symbol.sim.ALPHA", Level.HALT)
    mine = epoch(2, restriction_count=1)
    theirs = msgspec.structs.replace(mine, members={member: mine.members["gate"]})
    guard.handle(theirs, 0)
    assert guard.unconfirmed() == ()
    guard.restrict("venue.sim", Level.REDUCE)
    assert guard.unconfirmed() == (Restriction(scope="venue.sim", level=Level.REDUCE),)


def test_what_was_heard_after_preparing_is_named_at_the_next_start() -> None:
    guard = running()
    guard.restrict("symbol.sim.ALPHA", Level.HALT)
    guard.handle(epoch(2, restriction_count=0), 0)
    assert guard.unconfirmed() == (Restriction(scope="symbol.sim.ALPHA", level=Level.HALT),)
