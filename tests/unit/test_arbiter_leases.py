"""A lease is given only while nothing speaks against it, and runs from when it was asked for."""

import msgspec
import pytest

from schemas.base import Event
from schemas.control import (
    ControlSequenceRead,
    EpochEnded,
    EpochProposed,
    LeaseAnswered,
)
from schemas.health import AlertRaised, ArbiterReported, Severity
from services.breaker import leases
from services.breaker.control_log import ControlLog
from tests.builders import ALPHA, MS_NS, S_NS, quote
from tests.control_rig import (
    ControlRig,
    book,
    boot,
    halt,
    health,
    only,
    prepared,
    question,
    start,
)


def running() -> ControlRig:
    """Return a rig in epoch 1."""
    rig = ControlRig().ready()
    rig.run()
    return rig


def test_a_member_of_the_newest_epoch_gets_its_lease() -> None:
    rig = running()
    assert rig.ask("gate") == LeaseAnswered(
        at_ns=S_NS,
        component="gate",
        boot_id=boot("gate"),
        epoch=1,
        asked_ns=S_NS,
        is_granted=True,
    )


def test_a_lease_names_the_time_it_was_asked_at() -> None:
    rig = running()
    said = rig.tell(question("executor", at_ns=777))
    assert only(LeaseAnswered, said).asked_ns == 777


def test_a_question_is_answered_only_after_a_read_that_began_after_it() -> None:
    rig = running()
    rig.log.hears = frozenset()
    rig.tell(question("gate"))
    late = ControlSequenceRead(at_ns=0, last_seq=1, epoch=1, disk_free_bytes=1 << 40)
    assert rig.tell(late) == []  # of an earlier read: a halt may have been stored since


@pytest.mark.parametrize("component", ["gate", "executor"])
def test_no_lease_is_given_while_a_halt_is_open(component: str) -> None:
    rig = running()
    rig.tell(halt())
    answer = rig.ask(component)
    assert (answer.is_granted, answer.reason) == (False, "halt 1 is open (by kim: fat finger)")


def test_no_lease_is_given_after_a_halt_that_was_only_stored() -> None:
    rig = running()
    rig.log.handle(halt("unheard"), rig.now_ns)
    assert rig.ask().reason == "halt 1 is open (by kim: unheard)"


def test_no_lease_is_given_without_an_epoch() -> None:
    answer = ControlRig().ready().ask(epoch=0)
    assert answer.reason == "no epoch is in force: start with `sluice start`"


def test_no_lease_is_given_for_an_older_epoch() -> None:
    rig = running()
    rig.run()
    assert rig.ask(epoch=1).reason == "epoch 1 is not in force, epoch 2 is"


def test_a_question_of_an_older_epoch_does_not_end_the_newer_one() -> None:
    rig = running()
    rig.run()
    assert not rig.ask("executor", epoch=1, generation=2, halts=3).is_granted
    assert rig.ask("executor", epoch=2).is_granted


def test_a_stranger_gets_no_lease_and_ends_nothing() -> None:
    rig = running()
    answer = rig.ask("console")
    assert answer.reason == "console has no part in epoch 1: start again with `sluice start`"
    assert rig.ask("gate").is_granted


def test_a_member_that_restarted_ends_the_epoch_for_all() -> None:
    rig = running()
    said = rig.tell(question("executor", generation=2))
    ended = EpochEnded(at_ns=S_NS, epoch=1, reason="executor restarted")
    assert said[0] == ended
    assert only(AlertRaised, said) == AlertRaised(
        at_ns=S_NS,
        severity=Severity.WARNING,
        component="breaker",
        code="SLU-153",
        message="epoch 1 ended: executor restarted; start again: `sluice start`",
        fields={"epoch": "1", "reason": "executor restarted"},
    )
    assert not rig.ask("gate").is_granted


def test_a_member_that_heard_a_halt_nobody_else_did_ends_the_epoch() -> None:
    rig = running()
    said = rig.tell(question("executor", halts=1))
    assert only(EpochEnded, said).reason == "executor has heard 1 halts; at the start it was 0"


@pytest.mark.parametrize("service", ["gate", "executor", "strategy"])
def test_health_of_another_process_than_the_member_ends_the_epoch(service: str) -> None:
    rig = running()
    said = rig.tell(health(service, generation=2))
    assert only(EpochEnded, said).reason == f"{service} restarted"


@pytest.mark.parametrize("service", ["feed", "recorder", "venue", "console"])
def test_a_restart_off_the_order_path_ends_nothing(service: str) -> None:
    rig = running()
    assert rig.tell(health(service, generation=2)) == []
    assert rig.ask().is_granted


def test_a_breaker_that_restarted_ends_the_epoch_of_the_one_before() -> None:
    rig = running()
    rig.restart()
    assert rig.wait(0)[0] == EpochEnded(at_ns=S_NS, epoch=1, reason="the breaker service restarted")
    rig.tell(health("recorder"))
    assert not rig.ask().is_granted


def test_an_epoch_that_somebody_else_stored_ends_ours() -> None:
    rig = running()
    other = msgspec.structs.replace(rig.run(), epoch=7)
    rig.log.handle(EpochProposed(at_ns=0, start=other, expected_last_seq=2), rig.now_ns)
    said = rig.tell(question("gate", epoch=2))
    assert only(EpochEnded, said).reason == (
        "record 3 of the control stream starts another epoch, 7"
    )
    assert rig.run().epoch == 8


def test_no_lease_is_given_once_the_recorder_is_silent() -> None:
    rig = running()
    rig.now_ns += 3_000 * MS_NS
    assert rig.ask().is_granted
    rig.now_ns += MS_NS
    assert rig.ask().reason == "recorder: silent for 3001 ms"
    rig.tell(health("recorder"))
    assert rig.ask().is_granted


def test_no_lease_is_given_while_the_recorder_cannot_record() -> None:
    rig = running()
    rig.tell(health("recorder", is_ready=False, detail="disk full"))
    assert rig.ask().reason == "recorder: not ready: disk full"


class FullLog(ControlLog):
    """A control stream on a disk that is nearly full, or whose room nobody knows."""

    def __init__(self, free_bytes: int) -> None:
        super().__init__()
        self.free_bytes = free_bytes

    def handle(self, event: Event, now_ns: int) -> list[Event]:
        return [self._with_room(each) for each in super().handle(event, now_ns)]

    def _with_room(self, event: Event) -> Event:
        if not isinstance(event, ControlSequenceRead):
            return event
        return ControlSequenceRead(
            at_ns=event.at_ns,
            last_seq=event.last_seq,
            read_id=event.read_id,
            epoch=event.epoch,
            disk_free_bytes=self.free_bytes,
        )


@pytest.mark.parametrize(
    ("free_bytes", "reason", "told"),
    [(1_000, "disk: 1000 bytes free", 1_000), (-1, "disk: not known", None)],
)
def test_no_lease_is_given_without_room_on_the_disk(
    free_bytes: int, reason: str, told: int | None
) -> None:
    log = FullLog(1 << 40)
    rig = ControlRig(log=log).ready()
    rig.run()
    log.free_bytes = free_bytes
    assert rig.ask().reason == reason
    report = rig.core.describe(rig.now_ns)
    assert isinstance(report, ArbiterReported)
    assert report.disk_free_bytes == told


def test_no_lease_is_given_when_the_breakers_are_blind_for_long() -> None:
    rig = running()
    rig.tell(book(ALPHA="10"))  # and no price of it
    assert rig.ask().is_granted
    rig.now_ns += 5_001 * MS_NS
    rig.tell(health("recorder"))
    assert rig.ask().reason == "breaker.drawdown: equity unknown for 5001 ms"
    rig.tell(quote(instrument=ALPHA))
    assert rig.ask().is_granted


def test_a_new_epoch_gives_the_breakers_time_to_see_again() -> None:
    rig = running()
    rig.tell(book(ALPHA="10"))
    rig.ask()
    rig.now_ns += 9 * S_NS
    rig.tell(health("recorder"))
    rig.run()
    assert rig.ask(epoch=2).is_granted


def test_two_components_that_ask_at_once_are_both_answered() -> None:
    rig = running()
    rig.log.hears = frozenset()
    rig.tell(question("gate"), question("executor"))
    read = ControlSequenceRead(at_ns=0, last_seq=1, read_id=3, epoch=1, disk_free_bytes=1 << 40)
    said = rig.tell(read)
    assert [(e.component, e.is_granted) for e in said if isinstance(e, LeaseAnswered)] == [
        ("gate", True),
        ("executor", True),
    ]


def test_a_control_stream_that_lost_its_tail_locks_everything() -> None:
    rig = running()
    rig.run()
    shorter = ControlSequenceRead(at_ns=0, last_seq=1, read_id=9, epoch=1, disk_free_bytes=1 << 40)
    reason = "the control stream ends at record 1, and record 2 was seen: its tail is lost"
    rig.log.hears = frozenset()
    rig.tell(question("gate", epoch=2))
    said = rig.tell(shorter)
    answer = only(LeaseAnswered, said)
    assert answer.reason == f"lock 2 by breaker: {reason}"


class ForgetfulArbiterLog(ControlLog):
    """A stream whose newest record is gone, so that an older epoch seems to be the newest."""

    def cut(self) -> None:
        self._records.pop()
        self._told_count = len(self._records)


@pytest.mark.req("B-06")
def test_after_a_lost_tail_a_person_decides_and_epochs_still_grow() -> None:
    log = ForgetfulArbiterLog()
    rig = ControlRig(log=log).ready()
    rig.run()
    rig.run()
    log.cut()
    rig.ask(epoch=2)
    assert not rig.answer_of(rig.tell(start("start-9"))).is_ok
    assert not rig.reset(1).is_ok
    assert rig.unlock(2).is_ok
    assert rig.reset(1).is_ok
    assert rig.run().epoch == 3


def test_a_lease_question_wakes_no_reset_and_no_start() -> None:
    rig = running()
    rig.ask()
    silence_ns = 5 * S_NS  # of the recorder: the only thing that is waited for
    assert rig.core.wake_at_ns == S_NS + silence_ns
    assert rig.tell(prepared("gate")) == []


def replaced(component: str = "executor") -> ControlRig:
    """Return a rig in epoch 2: one member had its lease in epoch 1, and is another process now."""
    rig = running()
    assert rig.ask("gate").is_granted
    assert rig.ask(component).is_granted
    rig.generations[component] = 2
    rig.tell(health(component, generation=2))
    assert rig.run().epoch == 2
    return rig


@pytest.mark.req("G-09")
@pytest.mark.parametrize("component", ["gate", "executor"])
def test_a_member_that_was_replaced_may_live_on_so_its_successor_waits_for_its_lease(
    component: str,
) -> None:
    rig = replaced(component)
    refused = rig.ask(component, epoch=2, generation=2)
    assert (refused.is_granted, refused.reason) == (
        False,
        f"{component} {boot(component)} may still hold the lease it was given",
    )
    other = "gate" if component == "executor" else "executor"
    assert rig.ask(other, epoch=2).is_granted, "whoever stayed need not wait"
    rig.wait(leases.LIFE_NS - 1)
    rig.tell(health("recorder"))
    assert not rig.ask(component, epoch=2, generation=2).is_granted
    rig.wait(1)
    assert rig.ask(component, epoch=2, generation=2).is_granted


@pytest.mark.req("G-09")
def test_who_was_given_a_lease_by_the_breaker_before_is_unknown_so_everybody_waits() -> None:
    rig = running()
    rig.restart()
    rig.ready()
    assert rig.run().epoch == 2
    refused = rig.ask(epoch=2)
    assert (refused.is_granted, refused.reason) == (
        False,
        "a lease given before the breaker service restarted may not have lapsed yet",
    )
    rig.wait(leases.LIFE_NS)
    rig.tell(health("recorder"))
    assert rig.ask(epoch=2).is_granted


def test_without_the_wait_two_processes_hold_the_lease_of_one_component(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leases.Leases, "_why_wait", lambda self, question, now_ns: "")
    assert replaced().ask("executor", epoch=2, generation=2).is_granted
