"""Restrictions at the arbiter: numbered, kept, in every epoch and lease, and reset by number."""

from collections.abc import Sequence

import pytest

from schemas.base import Event
from schemas.control import (
    BreakerState,
    BreakerStateChanged,
    BreakerTripped,
    ControlRecordRead,
    LeaseAnswered,
    Response,
    TradingState,
)
from schemas.errors import FieldError
from schemas.health import ArbiterReported
from schemas.restrictions import (
    Level,
    Restriction,
    RestrictionAcknowledged,
    RestrictionRequested,
    RestrictionsChanged,
)
from services.breaker.arbiter import Arbiter
from services.breaker.config import BreakerConfig
from services.breaker.control_log import ControlLog
from services.breaker.state import ControlState
from services.breaker.watch import Roster
from tests.control_rig import (
    HASH,
    ControlRig,
    boot,
    halt,
    kinds,
    only,
    own,
    prepared,
    question,
    reset,
    restriction,
    start,
)

SCOPE = "symbol.sim.ALPHA"
pytestmark = pytest.mark.req("G-09", "O-05")


def running() -> ControlRig:
    rig = ControlRig().ready()
    rig.run()
    rig.said.clear()
    return rig


def report(rig: ControlRig) -> ArbiterReported:
    return rig.core.describe(rig.now_ns)


def known(number: int = 1, level: Level = Level.HALT, scope: str = SCOPE) -> Restriction:
    return Restriction(
        scope=scope, level=level, number=number, reason="odd prices", operator="kim", at_ns=0
    )


def test_a_restriction_is_numbered_acknowledged_and_told_and_ends_no_epoch() -> None:
    rig = running()
    said = rig.tell(restriction())
    assert said == [
        RestrictionAcknowledged(
            at_ns=rig.now_ns,
            component="breaker",
            boot_id=boot("breaker"),
            scope=SCOPE,
            level=Level.HALT,
        ),
        RestrictionsChanged(
            at_ns=rig.now_ns, restrictions=(known(),), reason="odd prices", operator="kim"
        ),
    ]
    assert report(rig).breaker_state is BreakerState.NORMAL


def test_leases_go_on_behind_restrictions_and_carry_all_of_them() -> None:
    rig = running()
    rig.tell(restriction(), restriction("venue.sim", Level.REDUCE))
    answer = rig.ask()
    assert (answer.is_granted, answer.reason) == (True, "")
    assert answer.restrictions == (known(1), known(2, Level.REDUCE, "venue.sim"))


def test_a_restriction_that_was_only_stored_is_in_the_next_lease() -> None:
    rig = running()
    rig.log.handle(restriction(), rig.now_ns)
    answer = rig.ask()
    assert answer.is_granted
    assert [each.scope for each in answer.restrictions] == [SCOPE]


def test_a_halt_stored_between_restrictions_is_not_overlooked() -> None:
    rig = running()
    rig.tell(restriction())
    rig.log.handle(halt("unheard"), rig.now_ns)
    rig.log.handle(restriction("venue.sim"), rig.now_ns)
    answer = rig.ask()
    assert (answer.is_granted, answer.reason) == (
        False,
        "halt 2 is open (by kim: unheard)",
    )


def test_a_restriction_heard_and_stored_has_one_number() -> None:
    rig = running()
    rig.tell(restriction())
    rig.ask()
    rig.ask("executor")
    assert [each.number for each in report(rig).restrictions] == [1]


def test_halts_and_restrictions_are_counted_together() -> None:
    rig = running()
    rig.tell(restriction(), halt(), restriction("venue.sim"))
    found = report(rig)
    assert [each.number for each in found.restrictions] == [1, 3]
    assert found.halts == 2, "the number that a reset must name is the open halt's"


def test_an_epoch_carries_what_is_restricted() -> None:
    rig = running()
    rig.tell(restriction())
    epoch = rig.run()
    assert epoch.restrictions == (known(),)


class Late(ControlLog):
    """A control stream that takes an epoch just when somebody restricts."""

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        said = super().handle(event, now_ns)
        return [restriction(), *said] if kinds(said) == ["EpochStored"] else said


def test_a_restriction_that_comes_while_the_epoch_is_stored_is_announced_with_it() -> None:
    rig = ControlRig(log=Late()).ready()
    assert rig.run().restrictions == (known(),)


def test_restrictions_survive_a_restart_of_the_arbiter_with_their_numbers() -> None:
    rig = running()
    rig.tell(restriction(), halt(), restriction("venue.sim", Level.REDUCE))
    before = report(rig)
    rig.restart()
    assert report(rig).restrictions == before.restrictions
    assert report(rig).halts == before.halts


def test_a_restriction_stored_while_the_arbiter_was_away_is_read_at_the_start() -> None:
    rig = running()
    rig.log.handle(restriction(), rig.now_ns)
    rig.restart()
    rig.ready()
    assert [each.scope for each in rig.run().restrictions] == [SCOPE]


def test_a_reset_by_number_clears_one_restriction_from_the_next_start_on() -> None:
    rig = running()
    rig.tell(restriction(), restriction("venue.sim"))
    answer = rig.reset(1)
    assert (answer.is_ok, answer.message) == (
        True,
        "restriction 1 (halt of symbol.sim.ALPHA) is cleared from the next start on; until then "
        "it stands. Start again: `sluice start`",
    )
    assert [(each.reason, each.is_ending) for each in report(rig).restrictions] == [
        ("odd prices", False),
        ("odd prices", True),
    ]
    assert [each.number for each in rig.run().restrictions] == [2]
    assert [each.number for each in report(rig).restrictions] == [2]


def test_a_reset_without_an_epoch_clears_a_restriction_at_once() -> None:
    rig = ControlRig().ready()
    rig.tell(restriction())
    answer = rig.reset(1)
    assert answer.message == (
        "restriction 1 (halt of symbol.sim.ALPHA) is cleared. Nothing was started: `sluice start`"
    )
    assert report(rig).restrictions == ()


def test_a_reset_says_who_and_why_for_the_record() -> None:
    rig = running()
    rig.tell(restriction())
    rig.said.clear()
    rig.reset(1, operator="lee", reason="prices are fine")
    assert only(RestrictionsChanged, rig.said) == RestrictionsChanged(
        at_ns=rig.now_ns, restrictions=(), reason="prices are fine", operator="lee"
    )


def test_a_reset_survives_a_restart_of_the_arbiter() -> None:
    rig = running()
    rig.tell(restriction())
    rig.reset(1)
    rig.restart()
    rig.ready()
    assert report(rig).restrictions == ()


def test_a_restriction_asked_for_again_is_not_cleared_by_its_older_number() -> None:
    rig = running()
    rig.tell(restriction(), restriction(reason="still odd", operator="lee"))
    answer = rig.reset(1)
    assert not answer.is_ok
    assert answer.errors[0].wanted == (
        "a number that is open: restriction 2 is open (halt of symbol.sim.ALPHA by lee: "
        "still odd): `sluice reset --halt 2`"
    )


def test_a_reset_with_another_number_names_all_that_could_be_meant() -> None:
    rig = running()
    rig.tell(restriction(), halt())
    answer = rig.reset(9)
    assert answer.errors[0].wanted == (
        "a number that is open: "
        "halt 2 is open (by kim: fat finger): look at it, then `sluice reset --halt 2`; "
        "restriction 1 is open (halt of symbol.sim.ALPHA by kim: odd prices): "
        "`sluice reset --halt 1`"
    )


def test_the_reset_of_a_halt_leaves_restrictions_and_the_reverse() -> None:
    rig = running()
    rig.tell(restriction(), halt())
    assert rig.reset(2).is_ok
    assert [each.number for each in report(rig).restrictions] == [1]
    rig.tell(halt("again"))
    assert rig.reset(1).is_ok
    found = report(rig)
    assert (found.restrictions, found.breaker_state) == ((), BreakerState.MANUALLY_HALTED)


def test_a_reset_of_a_restriction_over_one_stored_and_unseen_is_refused() -> None:
    rig = running()
    rig.tell(restriction())
    rig.log.handle(restriction(reason="worse", operator="lee"), rig.now_ns)
    assert not rig.reset(1).is_ok
    assert [each.number for each in report(rig).restrictions] == [2]


def trip(response: Response) -> BreakerTripped:
    return BreakerTripped(
        at_ns=0, breaker="drawdown", reason="down", value="-6 %", limit="-5 %", response=response
    )


def arbiter() -> Arbiter:
    return Arbiter(
        BreakerConfig(),
        boot_id=boot("breaker"),
        limits_hash=HASH,
        roster=Roster(is_recorder_watched=False),
    )


@pytest.mark.req("B-08")
@pytest.mark.parametrize("response", [Response.REDUCE, Response.FLATTEN])
def test_a_breaker_that_reduces_restricts_all_before_anything_else(response: Response) -> None:
    it = arbiter()
    said = it.trip(trip(response), 5)
    reduced = RestrictionRequested(
        at_ns=5, src="breaker", level=Level.REDUCE, reason="down", operator="breaker.drawdown"
    )
    assert said[:2] == [reduced, trip(response)]
    assert kinds(said[2:]) == ["BreakerStateChanged", "RestrictionsChanged", "AlertRaised"]
    assert it.state.word is BreakerState.TRIPPED
    assert it.state.open_halt is None


@pytest.mark.req("B-08")
def test_a_trip_that_reduces_is_reset_by_its_number_and_then_all_is_normal() -> None:
    rig = running()
    reduced = own(restriction("all", Level.REDUCE, operator="breaker.drawdown"))
    rig.tell(reduced)
    tripped = report(rig)
    assert (tripped.breaker_state, tripped.trading_state) == (
        BreakerState.TRIPPED,
        TradingState.REDUCING,
    )
    assert rig.ask().is_granted, "an epoch goes on while it may only reduce"
    rig.said.clear()
    assert rig.reset(1).is_ok
    assert [e.state for e in rig.said if isinstance(e, BreakerStateChanged)] == [
        BreakerState.RESETTING,
        BreakerState.NORMAL,
    ]


def test_a_trip_while_its_reset_is_under_way_refuses_that_reset() -> None:
    rig = running()
    rig.tell(own(restriction("all", Level.REDUCE, operator="breaker.drawdown")))
    rig.log.hears = frozenset()
    rig.tell(reset(1))
    said = rig.tell(
        own(restriction("all", Level.REDUCE, reason="more", operator="breaker.drawdown"))
    )
    assert not rig.answer_of(said).is_ok
    assert report(rig).breaker_state is BreakerState.TRIPPED


def test_a_trip_beside_an_open_halt_says_its_own_reason() -> None:
    rig = running()
    rig.tell(halt())
    rig.log.hears = frozenset()
    rig.tell(reset(1))
    said = rig.tell(
        own(restriction("all", Level.REDUCE, reason="more", operator="breaker.drawdown"))
    )
    assert only(BreakerStateChanged, said) == BreakerStateChanged(
        at_ns=rig.now_ns,
        previous=BreakerState.RESETTING,
        state=BreakerState.MANUALLY_HALTED,
        reason="more",
        operator="breaker.drawdown",
        halt=2,
    )


def test_a_restriction_of_all_to_nothing_is_a_halt_like_any_other() -> None:
    rig = running()
    rig.tell(restriction("planet.mars"))
    found = report(rig)
    assert (found.breaker_state, found.restrictions) == (BreakerState.MANUALLY_HALTED, ())
    assert not rig.ask().is_granted


class TellsNobody(ControlState):
    """An arbiter that keeps restrictions to itself."""

    @property
    def in_force(self) -> tuple[Restriction, ...]:
        return ()


def test_without_them_in_leases_and_epochs_a_missed_restriction_is_never_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def known_to_members() -> tuple[int, int]:
        rig = running()
        rig.log.handle(restriction(), rig.now_ns)
        leased = len(rig.ask().restrictions)
        return leased, len(rig.run().restrictions)

    assert known_to_members() == (1, 1)
    monkeypatch.setattr("services.breaker.arbiter.ControlState", TellsNobody)
    assert known_to_members() == (0, 0)


class GivesUpAtAnyRecord(ControlState):
    """An arbiter to which every record after the epoch's own ends the epoch."""

    def _read(self, record: ControlRecordRead) -> None:
        super()._read(record)
        self.seq_leased = 0


def test_without_following_the_records_one_restriction_stops_everybody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def goes_on() -> bool:
        rig = running()
        rig.tell(restriction())
        return rig.ask().is_granted

    assert goes_on()
    monkeypatch.setattr("services.breaker.arbiter.ControlState", GivesUpAtAnyRecord)
    assert not goes_on()


def test_a_lease_answers_what_was_known_when_the_stream_was_read() -> None:
    rig = running()
    rig.log.hears = frozenset()
    rig.tell(question(at_ns=rig.now_ns))
    rig.tell(restriction())
    rig.log.hears = ControlLog.hears
    said = rig.tell(question("executor", at_ns=rig.now_ns))
    answers = [e for e in said if isinstance(e, LeaseAnswered)]
    assert [len(each.restrictions) for each in answers] == [1, 1]


HEARD = Restriction(scope=SCOPE, level=Level.HALT)
"""As a component has it that nobody has told of its number."""


def test_one_that_only_a_member_has_heard_refuses_the_start_and_is_in_the_next() -> None:
    rig = ControlRig().ready()
    rig.members_unconfirmed = (HEARD,)
    refused = rig.answer_of(rig.tell(start()))
    found = f"halt of {SCOPE}, which gate alone had heard"
    wanted = "a look at it (it is in force): `sluice status`, then start again"
    error = FieldError(path="restrictions", found=found, wanted=wanted)
    assert (refused.is_ok, refused.errors) == (False, (error,))
    reason = "gate has it in force, and it was not heard here"
    again = only(RestrictionRequested, rig.said)
    assert (again.scope, again.level, again.reason) == (SCOPE, Level.HALT, reason)
    rig.restart()
    rig.ready()
    made = Restriction(
        scope=SCOPE,
        level=Level.HALT,
        number=1,
        reason=reason,
        operator="breaker.gate",
        at_ns=rig.now_ns,
    )
    assert rig.run().restrictions == (made,)


def test_one_that_was_heard_and_reset_since_the_epoch_refuses_nothing() -> None:
    rig = running()
    rig.tell(restriction())
    assert rig.reset(1).is_ok
    rig.members_unconfirmed = (HEARD,)
    rig.restart()
    rig.ready()
    assert rig.run().restrictions == ()


def test_a_late_answer_to_an_older_start_restricts_nothing() -> None:
    rig = running()
    assert rig.tell(prepared("gate", "start-0", unconfirmed=[HEARD])) == []
    assert report(rig).restrictions == ()
