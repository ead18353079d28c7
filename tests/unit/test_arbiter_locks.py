"""Locks: nothing is reset or started until a person took the newest away, by number and reason."""

import msgspec
import pytest

from schemas.control import (
    BreakerState,
    ControlRecordRead,
    ControlSequenceRead,
    HaltRequested,
    TradingState,
)
from schemas.errors import FieldError
from schemas.health import AlertRaised, ArbiterReported, GapSeen, Severity
from schemas.restrictions import Lock, LockRequested, LocksChanged
from services.breaker.locks import Unlocks
from services.breaker.preparations import Preparations
from tests.control_rig import (
    HASH,
    ControlRig,
    halt,
    kinds,
    lock,
    only,
    prepared,
    reset,
    start,
    unlock,
)

UNLOCK = '`sluice unlock --lock 2 --reason "what you found"`'
pytestmark = pytest.mark.req("B-12", "O-06")


def running() -> ControlRig:
    rig = ControlRig().ready()
    rig.run()
    rig.said.clear()
    return rig


def locked() -> ControlRig:
    """Halt 1, as the one who found it says first, and then lock 2."""
    rig = running()
    rig.tell(halt("one id, two orders", "executor"), lock())
    rig.said.clear()
    return rig


def report(rig: ControlRig) -> ArbiterReported:
    return rig.core.describe(rig.now_ns)


def known(number: int = 2, reason: str = "one id, two orders") -> Lock:
    return Lock(number=number, component="executor", code="SLU-133", reason=reason, at_ns=0)


def test_a_lock_is_numbered_told_and_alerted_with_the_command_to_type() -> None:
    rig = running()
    said = [*rig.tell(halt("one id, two orders", "executor")), *rig.tell(lock())]
    assert said[-2:] == [
        LocksChanged(at_ns=rig.now_ns, locks=(known(),), reason="one id, two orders"),
        AlertRaised(
            at_ns=rig.now_ns,
            severity=Severity.CRITICAL,
            component="breaker",
            code="SLU-158",
            message=f"LOCKED by executor: one id, two orders; look into it, then {UNLOCK}",
            fields={"lock": "2", "code": "SLU-133"},
        ),
    ]
    assert report(rig).trading_state is TradingState.LOCKED
    assert report(rig).locks == (known(),)


def test_a_lock_that_comes_without_its_halt_halts_first() -> None:
    rig = running()
    said = rig.tell(lock())
    first = said[0]
    assert isinstance(first, HaltRequested)
    assert first.reason == "locked by executor: one id, two orders"
    assert report(rig).breaker_state is not BreakerState.NORMAL
    assert not rig.ask().is_granted


@pytest.mark.parametrize("request_name", ["start", "reset"])
def test_while_locked_nothing_is_reset_or_started(request_name: str) -> None:
    rig = locked()
    asked = {"start": start("start-9"), "reset": reset(1)}[request_name]
    answer = rig.answer_of(rig.tell(asked))
    assert not answer.is_ok
    assert answer.errors[0] == FieldError(
        path="breaker",
        found="lock 2 by executor: one id, two orders",
        wanted=f"no lock: look into it, then {UNLOCK}",
    )


def test_an_unlock_takes_the_locks_away_and_leaves_the_halt() -> None:
    rig = locked()
    answer = rig.unlock(2, operator="lee", reason="the fill was entered by hand")
    assert (answer.is_ok, answer.message) == (
        True,
        "lock 2 taken away by lee: the fill was entered by hand. Nothing was reset or started: "
        "`sluice reset --halt 1`",
    )
    found = report(rig)
    assert (found.locks, found.breaker_state) == ((), BreakerState.MANUALLY_HALTED)
    assert found.trading_state is TradingState.HALTED
    assert rig.reset(1).is_ok
    assert rig.run().epoch == 2


def test_an_unlock_is_on_record_with_who_and_why() -> None:
    rig = locked()
    rig.unlock(2, operator="lee", reason="the fill was entered by hand")
    assert only(LocksChanged, rig.said) == LocksChanged(
        at_ns=rig.now_ns,
        locks=(),
        reason="the fill was entered by hand",
        operator="lee",
        control_seq=3,
    )
    audit = only(AlertRaised, rig.said)
    assert (audit.code, audit.fields) == (
        "SLU-157",
        {"lock": "2", "operator": "lee", "reason": "the fill was entered by hand"},
    )


@pytest.mark.parametrize(
    ("number", "operator", "reason", "paths"),
    [
        (1, "kim", "looked", ["$.lock"]),
        (2, " ", "looked", ["$.operator"]),
        (2, "kim", "", ["$.reason"]),
        (9, "", "", ["$.operator", "$.reason", "$.lock"]),
    ],
)
def test_an_unlock_without_number_name_or_reason_unlocks_nothing(
    number: int, operator: str, reason: str, paths: list[str]
) -> None:
    rig = locked()
    answer = rig.unlock(number, operator=operator, reason=reason)
    assert [each.path for each in answer.errors] == paths
    assert report(rig).locks == (known(),)


def test_an_unlock_with_nothing_locked_is_refused_and_says_what_to_do() -> None:
    answer = running().unlock(1)
    assert answer.errors == (
        FieldError(
            path="breaker",
            found="nothing is locked",
            wanted="a lock; to permit a start, `sluice reset`",
        ),
    )


def test_an_unlock_over_a_lock_stored_and_unseen_is_refused() -> None:
    rig = locked()
    rig.log.handle(lock("the chain is broken", "recorder"), rig.now_ns)
    answer = rig.unlock(2)
    assert not answer.is_ok
    head = "the newest lock's number: lock 3 by recorder: the chain is broken (1 more"
    assert answer.errors[0].wanted.startswith(head)
    assert len(report(rig).locks) == 2


def test_two_unlocks_at_once_are_not_mixed_up() -> None:
    rig = locked()
    rig.log.hears = frozenset()
    rig.tell(unlock(2))
    answer = rig.answer_of(rig.tell(unlock(2, operator="lee", request_id="unlock-2")))
    assert answer.errors[0].found == "an unlock by kim is under way"


def test_an_unlock_that_no_read_answers_is_given_up_and_the_lock_stands() -> None:
    rig = locked()
    rig.log.hears = frozenset()
    rig.tell(unlock(2))
    answer = rig.answer_of(rig.wait(3_000_000_000))
    assert answer.errors[0].path == "control stream"
    assert report(rig).locks == (known(),)


def test_locks_survive_a_restart_of_the_arbiter_and_so_does_an_unlock() -> None:
    rig = locked()
    rig.restart()
    rig.ready()
    assert report(rig).locks == (known(),)
    assert rig.unlock(2).is_ok
    rig.restart()
    rig.ready()
    assert report(rig).locks == ()


def test_a_lock_stored_while_the_arbiter_was_away_is_read_at_the_start() -> None:
    rig = running()
    rig.log.handle(lock(), rig.now_ns)
    rig.restart()
    rig.ready()
    answer = rig.answer_of(rig.tell(start("start-9")))
    assert not answer.is_ok
    assert [each.component for each in report(rig).locks] == ["executor"]


def test_a_lock_heard_and_stored_has_one_number() -> None:
    rig = locked()
    rig.ask()
    rig.ask("executor")
    assert report(rig).locks == (known(),)


def test_a_lock_ends_a_reset_and_a_start_that_are_under_way() -> None:
    rig = ControlRig().ready()
    rig.are_members_up = False
    rig.tell(start())
    said = rig.tell(lock())
    [error] = rig.answer_of(said).errors
    assert error == FieldError(
        path="breaker",
        found="lock 1 by executor: one id, two orders",
        wanted='no lock: look into it, then `sluice unlock --lock 1 --reason "what you found"`',
    )


def test_a_lock_refuses_the_reset_of_a_halt_that_is_under_way() -> None:
    rig = running()
    rig.tell(halt())
    rig.log.hears = frozenset()
    rig.tell(reset(1))
    [error] = rig.answer_of(rig.tell(lock())).errors
    assert (error.path, error.found) == ("breaker", "lock 2 by executor: one id, two orders")


def different_limits(rig: ControlRig) -> list[str]:
    rig.are_members_up = False
    rig.tell(start(), prepared("executor"), prepared("strategy"))
    return kinds(rig.tell(prepared("gate", limits_hash="others")))


def test_components_with_other_limits_than_ours_lock_everything() -> None:
    rig = ControlRig().ready()
    assert different_limits(rig)[:2] == ["HaltRequested", "LockRequested"]
    [found] = report(rig).locks
    assert (found.component, found.code) == ("breaker", "SLU-155")
    assert found.reason == (
        f"limits differ: breaker has {HASH}, gate has others, executor has {HASH}"
    )


def test_without_comparing_limits_a_gate_with_other_limits_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Preparations, "different_limits", lambda self: "")
    assert different_limits(ControlRig().ready())[-2:] == ["EpochStarted", "ControlAnswered"]


def gap(expected_seq: int, got_seq: int) -> GapSeen:
    return GapSeen(
        at_ns=0,
        subject="exec.sim.paper",
        publisher="executor-1",
        expected_seq=expected_seq,
        got_seq=got_seq,
    )


def test_a_publisher_that_counts_backwards_locks_everything() -> None:
    rig = running()
    rig.tell(gap(9, 4))
    [found] = report(rig).locks
    assert (found.code, found.reason) == (
        "SLU-156",
        "executor-1 went on at 4 on exec.sim.paper, where 9 was due",
    )


def test_a_hole_in_what_a_publisher_says_is_no_lock() -> None:
    rig = running()
    rig.tell(gap(4, 9))
    assert report(rig).locks == ()


def shorter(last_seq: int = 0) -> ControlSequenceRead:
    return ControlSequenceRead(at_ns=0, last_seq=last_seq, read_id=99, disk_free_bytes=1 << 40)


def test_a_lost_tail_locks_once_however_often_it_is_read() -> None:
    rig = running()
    first = rig.tell(shorter())
    again = rig.tell(shorter())
    assert kinds(first)[:2] == ["HaltRequested", "LockRequested"]
    assert again == []
    assert [each.code for each in report(rig).locks] == ["SLU-154"]


@pytest.mark.req("B-06", "G-09")
def test_another_record_in_the_place_of_the_newest_locks_once_and_after_a_restart_too() -> None:
    rig = running()
    assert rig.ask().is_granted  # it has read its own epoch's record
    seq, stored_ns = rig.core.control_place
    assert (seq, stored_ns) == (1, rig.now_ns)
    same = ControlRecordRead(at_ns=0, stream_seq=seq, stored_ns=stored_ns, epoch=1)
    assert kinds(rig.tell(same)) == []
    rig.restart()
    other = ControlRecordRead(at_ns=0, stream_seq=seq, stored_ns=stored_ns + 1, halt=halt("lost"))
    said = rig.tell(other)
    assert kinds(said).count("LockRequested") == 1
    [lock] = report(rig).locks
    assert (lock.code, lock.reason) == (
        "SLU-154",
        "record 1 of the control stream is another than was read there:"
        " its tail is lost, and was written anew",
    )
    assert rig.tell(msgspec.structs.replace(other, stored_ns=stored_ns + 2)) == []


def test_an_unlock_accepts_a_stream_that_is_empty_now() -> None:
    rig = running()
    rig.log = type(rig.log)()
    rig.log.hears = frozenset()
    rig.tell(shorter())
    rig.tell(unlock(2))
    said = rig.tell(shorter())
    assert rig.answer_of(said).is_ok
    assert rig.core.control_place[0] == 0
    assert rig.tell(shorter()) == [], "what was accepted does not lock again"


class TakesAnyNumber(Unlocks):
    """An unlock that does not ask what was seen."""

    def _complaints(self, request: object) -> list[FieldError]:
        return []


def test_without_the_number_an_unlock_takes_away_a_lock_nobody_has_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unlocked_blindly() -> bool:
        rig = locked()
        rig.tell(LockRequested(at_ns=0, component="recorder", code="SLU-140", reason="broken"))
        return rig.unlock(2).is_ok

    assert not unlocked_blindly()
    monkeypatch.setattr("services.breaker.arbiter.Unlocks", TakesAnyNumber)
    assert unlocked_blindly()
