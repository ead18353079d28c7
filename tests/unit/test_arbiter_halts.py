"""A halt has one number, stands until a person clears that number, and outlives every restart."""

import msgspec
import pytest

from schemas.control import (
    BreakerState,
    BreakerStateChanged,
    BreakerTripped,
    ControlAnswered,
    ControlRecordRead,
    EpochEnded,
    HaltAcknowledged,
    Response,
)
from schemas.errors import FieldError
from schemas.health import ArbiterReported, LinkChanged
from schemas.restrictions import Level
from services.breaker.arbiter import Arbiter
from services.breaker.config import BreakerConfig
from services.breaker.control_log import ControlLog
from services.breaker.state import ControlState
from services.breaker.watch import Roster
from tests.builders import S_NS
from tests.control_rig import (
    HASH,
    ControlRig,
    boot,
    halt,
    kinds,
    only,
    own,
    reset,
    restriction,
    start,
)

pytestmark = pytest.mark.req("B-05", "B-06")


def running() -> ControlRig:
    rig = ControlRig().ready()
    rig.run()
    return rig


def report(rig: ControlRig) -> ArbiterReported:
    return rig.core.describe(rig.now_ns)


def test_a_halt_is_acknowledged_before_anything_else_is_said() -> None:
    assert running().tell(halt()) == [
        HaltAcknowledged(
            at_ns=S_NS, component="breaker", boot_id=boot("breaker"), halts=1, fence=1
        ),
        BreakerStateChanged(
            at_ns=S_NS,
            previous=BreakerState.NORMAL,
            state=BreakerState.MANUALLY_HALTED,
            reason="fat finger",
            operator="kim",
            halt=1,
        ),
        EpochEnded(at_ns=S_NS, epoch=1, reason="halt 1 is open (by kim: fat finger)"),
    ]


def test_every_halt_has_its_own_number() -> None:
    rig = running()
    rig.tell(halt("one"), halt("two"), halt("two"))
    found = report(rig)
    assert (found.halts, found.halt_reason, found.halt_operator) == (3, "two", "kim")


def test_a_further_halt_is_acknowledged_and_changes_no_word() -> None:
    rig = running()
    rig.tell(halt())
    assert kinds(rig.tell(halt())) == ["HaltAcknowledged"]


def test_a_halt_heard_and_then_read_from_the_stream_counts_once() -> None:
    rig = running()
    rig.tell(halt())
    rig.ask()
    assert report(rig).halts == 1


def test_halts_of_our_own_that_come_back_in_one_process_count_once_each() -> None:
    state, said = ControlState(), [own(halt("one", at_ns=1)), own(halt("two", at_ns=1))]
    for each in [*said, *said]:
        state.apply(each)
    assert (state.halts, str(state.open_halt)) == (2, "halt 2 is open (by kim: two)")


def test_the_same_words_of_our_own_at_another_time_are_another_halt() -> None:
    state = ControlState()
    for at_ns in (1, 2):
        state.apply(own(halt("one", at_ns=at_ns)))
    assert state.halts == 2


def test_a_halt_read_from_the_stream_and_then_heard_counts_once() -> None:
    rig = running()
    rig.log.handle(halt(at_ns=rig.now_ns), rig.now_ns)
    rig.ask()
    rig.log.hears = frozenset()
    said = rig.tell(halt(at_ns=rig.now_ns))
    assert (kinds(said), report(rig).halts) == (["HaltAcknowledged"], 1)


def test_the_same_halt_two_seconds_later_is_another_one() -> None:
    rig = running()
    rig.log.handle(halt(at_ns=rig.now_ns), rig.now_ns)
    rig.ask()
    rig.tell(halt(at_ns=rig.now_ns + 2 * S_NS))
    assert report(rig).halts == 2


def test_a_halt_that_was_only_stored_counts_too() -> None:
    rig = running()
    rig.log.handle(halt("unheard"), rig.now_ns)
    said = rig.tell(LinkChanged(at_ns=0, is_up=True))
    assert only(BreakerStateChanged, said).reason == "unheard"
    assert only(EpochEnded, said).epoch == 1


def test_a_lost_link_alone_reads_nothing() -> None:
    assert running().tell(LinkChanged(at_ns=0, is_up=False)) == []


def test_a_reset_permits_a_start_and_starts_nothing() -> None:
    rig = running()
    rig.tell(halt())
    said = rig.tell(reset(1))
    assert kinds(said) == [
        "BreakerStateChanged",
        "ControlSequenceAsked",
        "BreakerStateChanged",
        "ControlAnswered",
    ]
    assert [e.state for e in said if isinstance(e, BreakerStateChanged)] == [
        BreakerState.RESETTING,
        BreakerState.NORMAL,
    ]
    assert rig.answer_of(said) == ControlAnswered(
        at_ns=S_NS,
        request_id="reset-1",
        request="reset",
        is_ok=True,
        message="halt 1 is cleared. Nothing was started: `sluice start`",
    )
    assert not rig.ask().is_granted
    assert rig.run().epoch == 2


def test_a_reset_must_name_the_newest_halt() -> None:
    rig = running()
    rig.tell(halt("one"), halt("two"))
    assert rig.reset(1).errors == (
        FieldError(
            path="$.halt",
            found="1",
            wanted="a number that is open: halt 2 is open (by kim: two): look at it, then "
            "`sluice reset --halt 2`",
        ),
    )
    assert report(rig).breaker_state is BreakerState.MANUALLY_HALTED


def test_a_reset_needs_somebody_and_a_reason() -> None:
    rig = running()
    rig.tell(halt())
    answer = rig.reset(1, operator="", reason=" ")
    assert [each.path for each in answer.errors] == ["$.operator", "$.reason"]


def test_a_reset_with_nothing_open_is_refused() -> None:
    [error] = running().reset(0).errors
    assert (error.found, error.wanted) == (
        "no halt is open",
        "an open halt or a restriction; to trade, `sluice start`",
    )


def test_a_reset_does_not_clear_a_halt_that_was_stored_unseen() -> None:
    rig = running()
    rig.tell(halt("seen"))
    rig.log.handle(halt("unseen"), rig.now_ns)
    answer = rig.reset(1)
    assert answer.errors[0].found == "halt 2 is open (by kim: unseen)"
    assert report(rig).breaker_state is BreakerState.MANUALLY_HALTED


def test_a_halt_during_a_reset_refuses_the_reset() -> None:
    rig = running()
    rig.tell(halt("one"))
    rig.log.hears = frozenset()
    rig.tell(reset(1))
    assert report(rig).breaker_state is BreakerState.RESETTING
    said = rig.tell(halt("two"))
    assert rig.answer_of(said).errors[0].found == "halt 2 is open (by kim: two)"
    assert report(rig).breaker_state is BreakerState.MANUALLY_HALTED


def test_a_reset_that_the_control_stream_does_not_answer_clears_nothing() -> None:
    rig = running()
    rig.tell(halt())
    rig.log.hears = frozenset()
    rig.tell(reset(1))
    said = rig.wait(3 * S_NS)
    assert only(BreakerStateChanged, said).state is BreakerState.MANUALLY_HALTED
    assert rig.answer_of(said).errors[0].found == "no answer within 3000 ms"


def test_a_second_reset_waits_for_the_first() -> None:
    rig = running()
    rig.tell(halt())
    rig.log.hears = frozenset()
    rig.tell(reset(1))
    [error] = rig.answer_of(rig.tell(reset(1, operator="lee", request_id="reset-2"))).errors
    assert error.found == "a reset by kim is under way"


def test_records_that_could_not_be_read_refuse_a_reset() -> None:
    rig = running()
    rig.tell(halt())
    rig.log.handle(halt("never told"), rig.now_ns)
    assert isinstance(rig.log, ControlLog)
    rig.log._told_count = 3
    [error] = rig.reset(1).errors
    assert error.found == "it ends at record 3; 0 was read last"


def test_a_restart_does_not_clear_a_halt() -> None:
    rig = running()
    rig.tell(halt())
    before = report(rig)
    rig.restart()
    after = report(rig)
    assert (after.breaker_state, after.halts, after.halt_reason, after.halt_at_ns) == (
        before.breaker_state,
        1,
        "fat finger",
        before.halt_at_ns,
    )


def test_a_restart_in_the_middle_of_a_reset_leaves_the_halt() -> None:
    rig = running()
    rig.tell(halt())
    rig.log.hears = frozenset()
    rig.tell(reset(1))
    rig.restart()
    assert report(rig).breaker_state is BreakerState.MANUALLY_HALTED


def test_a_halt_stored_while_the_breaker_was_down_stands_afterwards() -> None:
    rig = running()
    rig.log.handle(halt("nobody home"), rig.now_ns)
    rig.restart()
    rig.ready()
    answer = rig.answer_of(rig.tell(start()))
    assert answer.errors[0].found == "halt 1 is open (by kim: nobody home)"


def test_a_halt_that_a_reset_cleared_is_not_read_again_after_a_restart() -> None:
    rig = running()
    rig.tell(halt())
    rig.reset(1)
    rig.restart()
    rig.ready()
    assert rig.run().epoch == 2


def test_the_core_tells_where_to_read_the_control_stream_on() -> None:
    rig = running()
    rig.tell(halt())
    rig.ask()
    rig.restart()
    assert rig.core.control_place[0] == 2


def test_an_epoch_record_of_a_lost_journal_still_counts() -> None:
    rig = ControlRig().ready()
    rig.tell(ControlRecordRead(at_ns=0, stream_seq=0, epoch=41))
    assert rig.run().epoch == 42


def test_a_trip_during_the_reset_of_a_persons_halt_leaves_that_halt_in_front() -> None:
    rig = running()
    rig.tell(halt())
    rig.log.hears = frozenset()
    rig.tell(reset(1))
    said = rig.tell(own(halt("a trip", "breaker.other")))
    found = report(rig)
    assert (found.breaker_state, found.halts) == (BreakerState.MANUALLY_HALTED, 2)
    assert not rig.answer_of(said).is_ok


def test_a_trip_during_the_reset_of_a_trip_leaves_it_tripped() -> None:
    rig = running()
    rig.tell(own(halt("one", "breaker.other")))
    rig.log.hears = frozenset()
    rig.tell(reset(1))
    rig.tell(own(halt("another one", "breaker.other")))
    found = report(rig)
    assert (found.breaker_state, found.halts) == (BreakerState.TRIPPED, 2)


OPERATOR = "breaker.drawdown"
"""What a person may call themselves as well."""


def test_a_person_who_is_called_like_a_breaker_halts_by_hand() -> None:
    rig = running()
    rig.tell(halt("odd prices", OPERATOR))
    for _ in range(2):
        found = report(rig)
        assert found.breaker_state is BreakerState.MANUALLY_HALTED
        assert next(each for each in found.breakers if each.name == "manual").is_tripped
        rig.restart()


def test_a_person_who_says_what_a_breaker_said_halts_as_well() -> None:
    rig = running()
    rig.tell(own(halt("down", OPERATOR)))
    rig.tell(halt("down", OPERATOR, at_ns=rig.now_ns))
    found = report(rig)
    assert next(each for each in found.breakers if each.name == "manual").is_tripped
    assert found.halts == 2


def test_a_stored_halt_by_a_person_who_is_called_like_a_breaker_is_by_hand() -> None:
    rig = running()
    rig.tell(ControlRecordRead(at_ns=0, stream_seq=9, halt=halt("odd prices", OPERATOR)))
    assert report(rig).breaker_state is BreakerState.MANUALLY_HALTED


def test_a_reduction_by_a_person_who_is_called_like_a_breaker_is_no_trip() -> None:
    rig = running()
    rig.tell(restriction("all", Level.REDUCE, operator=OPERATOR))
    assert report(rig).breaker_state is BreakerState.NORMAL


def test_what_the_service_itself_asked_for_is_its_own_after_a_restart_too() -> None:
    rig = running()
    rig.tell(own(restriction("all", Level.REDUCE, operator=OPERATOR)))
    rig.restart()
    rig.tell(restriction("symbol.sim.ALPHA"))
    rig.reset(2)
    assert report(rig).breaker_state is BreakerState.TRIPPED, "the trip holds"


@pytest.mark.parametrize("response", [Response.HALT, Response.REDUCE])
@pytest.mark.parametrize("is_halted_by_hand", [False, True])
def test_a_trip_that_an_earlier_version_kept_without_a_signature_is_no_halt_by_hand(
    response: Response, is_halted_by_hand: bool
) -> None:
    state = ControlState()
    if is_halted_by_hand:
        state.apply(halt(at_ns=4))
    asked = Arbiter(BreakerConfig(), boot_id=boot("breaker"), limits_hash=HASH, roster=Roster())
    trip = BreakerTripped(
        at_ns=5, breaker="drawdown", response=response, value="9", limit="8", reason="down"
    )
    for fact in asked.trip(trip, 5)[:2]:
        state.apply(msgspec.structs.replace(fact, src=""))
    word = BreakerState.MANUALLY_HALTED if is_halted_by_hand else BreakerState.TRIPPED
    assert (state.word, state.is_manual) == (word, is_halted_by_hand)
    assert state.own == {1 + is_halted_by_hand}
