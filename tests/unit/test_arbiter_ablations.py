"""Each safeguard of the arbiter, removed: the harm it prevents then happens."""

from collections.abc import Sequence

import pytest

from schemas.base import Event
from schemas.control import (
    BreakerStateChanged,
    ControlRecordRead,
    ControlSequenceRead,
    EpochProposed,
    EpochStarted,
    HaltRequested,
    LeaseAnswered,
    LeaseAsked,
)
from services.breaker import leases, resets
from services.breaker.control_log import ControlLog
from services.breaker.leases import Leases
from services.breaker.resets import Resets
from services.breaker.starts import Starts
from services.breaker.state import ControlState
from tests.control_rig import ControlRig, halt, health, only, prepared, question, start

ROOM = 1 << 40


def running(log: ControlLog | None = None) -> ControlRig:
    rig = ControlRig(log=log).ready()
    rig.run()
    return rig


def newest(last_seq: int, read_id: int, epoch: int) -> ControlSequenceRead:
    return ControlSequenceRead(
        at_ns=0, last_seq=last_seq, read_id=read_id, epoch=epoch, disk_free_bytes=ROOM
    )


def granted_on_a_stale_read() -> bool:
    """A read begins, a halt is stored, a lease is asked for, the read is answered."""
    rig = running()
    rig.log.hears = frozenset()
    rig.tell(question())
    said = rig.tell(newest(last_seq=1, read_id=1, epoch=1))
    return any(isinstance(e, LeaseAnswered) and e.is_granted for e in said)


def test_without_a_fresh_read_a_stored_halt_is_overlooked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not granted_on_a_stale_read()
    fresh = Leases.on_read

    def any_read(self: Leases, read: ControlSequenceRead, now_ns: int) -> list[Event]:
        return fresh(self, newest(read.last_seq, 1 << 30, read.epoch), now_ns)

    monkeypatch.setattr(Leases, "on_read", any_read)
    assert granted_on_a_stale_read()


def granted_over_a_newer_record() -> bool:
    """The control stream has moved past the epoch's record, and nobody knows with what."""
    rig = running()
    rig.log.hears = frozenset()
    rig.tell(question())
    return only(LeaseAnswered, rig.tell(newest(last_seq=2, read_id=2, epoch=0))).is_granted


def test_without_the_sequence_check_a_newer_record_is_overlooked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not granted_over_a_newer_record()
    strict = leases.why_no_lease

    def careless(asked: LeaseAsked, read: ControlSequenceRead, state: ControlState) -> str:
        epoch = state.epoch
        assert epoch is not None
        return strict(asked, newest(epoch.stream_seq, read.read_id, epoch.epoch), state)

    monkeypatch.setattr(leases, "why_no_lease", careless)
    assert granted_over_a_newer_record()


class BlindLog(ControlLog):
    """A control stream that stores an epoch whatever came before it."""

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        if isinstance(event, EpochProposed):
            event = EpochProposed(at_ns=0, start=event.start, expected_last_seq=len(self._records))
        return super().handle(event, now_ns)


def started_over_an_unseen_halt(log: ControlLog) -> bool:
    rig = ControlRig(log=log).ready()
    rig.are_members_up = False
    rig.tell(start(), prepared("gate"), prepared("executor"))
    rig.log.handle(halt("unseen"), rig.now_ns)
    return any(isinstance(e, EpochStarted) for e in rig.tell(prepared("strategy")))


def test_without_the_expected_sequence_a_start_overtakes_a_halt() -> None:
    assert not started_over_an_unseen_halt(ControlLog())
    assert started_over_an_unseen_halt(BlindLog())


def cleared_a_halt_by_an_older_number() -> bool:
    rig = running()
    rig.tell(halt("one"), halt("two"))
    return rig.reset(1).is_ok


def test_without_the_number_a_reset_clears_a_halt_nobody_has_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not cleared_a_halt_by_an_older_number()
    monkeypatch.setattr(Resets, "_complaints", lambda self, request: [])
    assert cleared_a_halt_by_an_older_number()


class ToldLateLog(ControlLog):
    """A control stream whose records are told to nobody: only its end is known."""

    def _read(self, read_id: int, now_ns: int) -> list[Event]:
        return super()._read(read_id, now_ns)[-1:]


def cleared_a_stored_halt() -> bool:
    rig = running(ToldLateLog())
    rig.tell(halt("seen"))
    rig.log.handle(halt("unseen"), rig.now_ns)
    return rig.reset(1).is_ok


def test_without_reading_the_stream_a_reset_clears_a_stored_halt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not cleared_a_stored_halt()
    monkeypatch.setattr(resets, "unread_records", lambda read, state: [])
    assert cleared_a_stored_halt()


class DeafLog(ControlLog):
    """A control stream that stores epochs and no halt."""

    hears = ControlLog.hears - {HaltRequested}


def trades_after_a_restart(*forgotten: type[Event]) -> bool:
    """A breaker process dies while halted; its journal lacks some kinds of event."""
    rig = running(DeafLog())
    rig.tell(halt())
    rig.kept = [event for event in rig.kept if not isinstance(event, forgotten)]
    rig.restart()
    rig.ready()
    return rig.answer_of(rig.tell(start("start-9"))).is_ok


def test_without_the_journal_of_halts_a_restart_clears_a_halt() -> None:
    assert not trades_after_a_restart()
    assert trades_after_a_restart(HaltRequested, BreakerStateChanged)


def leased_after_a_member_restarted() -> bool:
    rig = running()
    return rig.ask("executor", generation=2).is_granted


def test_without_the_boot_id_a_restarted_executor_goes_on_trading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not leased_after_a_member_restarted()
    monkeypatch.setattr(leases, "why_epoch_is_over", lambda question, epoch: "")
    assert leased_after_a_member_restarted()


def leased_after_the_breaker_restarted() -> bool:
    rig = running()
    rig.restart()
    rig.ready()
    rig.wait(leases.LIFE_NS)
    rig.tell(health("recorder"))
    return rig.ask().is_granted


def test_without_ending_the_old_epoch_a_restarted_breaker_resumes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not leased_after_the_breaker_restarted()
    monkeypatch.setattr(ControlState, "end_epoch", lambda self, reason, now_ns: [])
    assert leased_after_the_breaker_restarted()


class CutLog(ControlLog):
    """A control stream that loses its newest record, as an unsynced disk can."""

    def cut(self) -> None:
        self._records.pop()
        self._told_count = len(self._records)


def leased_after_the_stream_lost_a_halt() -> bool:
    log = CutLog()
    rig = ControlRig(log=log).ready()
    rig.run()
    rig.log.handle(halt("stored, never heard on the bus"), rig.now_ns)
    rig.log.hears = frozenset()
    rig.tell(ControlRecordRead(at_ns=0, stream_seq=2))  # something newer was there
    rig.log.hears = ControlLog.hears
    log.cut()
    return rig.ask().is_granted


def test_without_remembering_the_highest_sequence_a_lost_tail_goes_unseen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not leased_after_the_stream_lost_a_halt()
    remembering = ControlState.apply

    def forgetful(self: ControlState, event: Event) -> None:
        remembering(self, event)
        self.seq_max = 0

    monkeypatch.setattr(ControlState, "apply", forgetful)
    assert leased_after_the_stream_lost_a_halt()


def started_during_a_halt() -> bool:
    rig = ControlRig().ready()
    rig.tell(halt())
    return rig.answer_of(rig.tell(start())).is_ok


def test_without_the_check_of_open_halts_a_start_runs_over_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not started_during_a_halt()
    monkeypatch.setattr(Starts, "_complaints", lambda self, asked, now_ns: [])
    assert started_during_a_halt()


def numbers_of_one_halt() -> int:
    rig = running()
    rig.tell(halt())
    rig.ask()
    return rig.core.describe(0).halts


def test_without_matching_record_and_message_one_halt_has_two_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert numbers_of_one_halt() == 1
    remembering = ControlState._hear

    def forgetful(self: ControlState, heard: HaltRequested) -> None:
        remembering(self, heard)
        self._heard.clear()

    monkeypatch.setattr(ControlState, "_hear", forgetful)
    assert numbers_of_one_halt() == 2
