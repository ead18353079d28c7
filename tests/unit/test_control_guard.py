"""The control protocol as one component keeps it; safeguards are removed to see the harm."""

from collections.abc import Sequence

import pytest

from schemas.base import BootId, Event
from schemas.control import (
    EpochEnded,
    EpochStarted,
    HaltAcknowledged,
    HaltRequested,
    LeaseAnswered,
    LeaseAsked,
    Member,
    TradingState,
)
from schemas.health import HealthReported, LinkChanged
from services.control import ASK_EVERY_NS, LEASE_NS, LEASE_UNLIMITED_NS, ControlGuard
from services.core import tell
from tests.builders import MS_NS, S_NS

BOOT = BootId("boot-1")
OTHER = BootId("boot-2")


def guard(kind: type[ControlGuard] = ControlGuard) -> ControlGuard:
    return kind("gate", BOOT, "hash")


def epoch(number: int = 1, *, boot: BootId = BOOT, halts: int = 0, token: int = 7) -> EpochStarted:
    return EpochStarted(
        at_ns=0,
        epoch=number,
        start_id="start-1",
        operator="kim",
        members={"gate": Member(boot_id=boot, halts=halts)},
        gate_token=token,
    )


def answer(
    asked_ns: int = 0,
    *,
    number: int = 1,
    is_granted: bool = True,
    boot: BootId = BOOT,
    component: str = "gate",
) -> LeaseAnswered:
    return LeaseAnswered(
        at_ns=asked_ns,
        component=component,
        boot_id=boot,
        epoch=number,
        asked_ns=asked_ns,
        is_granted=is_granted,
    )


def question(at_ns: int, *, number: int = 1, halts: int = 0) -> LeaseAsked:
    return LeaseAsked(at_ns=at_ns, component="gate", boot_id=BOOT, epoch=number, halts=halts)


def acknowledgement(at_ns: int, *, halts: int, fence: int) -> HaltAcknowledged:
    return HaltAcknowledged(at_ns=at_ns, component="gate", boot_id=BOOT, halts=halts, fence=fence)


def link(is_up: bool) -> LinkChanged:
    return LinkChanged(at_ns=0, is_up=is_up)


def running(kind: type[ControlGuard] = ControlGuard) -> ControlGuard:
    it = guard(kind)
    it.handle(epoch(), 0)
    it.handle(answer(), 0)
    assert it.permits(1) == ""
    return it


def let_pass(it: ControlGuard, until_ns: int) -> list[Event]:
    """Wake the guard at each of its deadlines up to `until_ns`; return what it said."""
    said: list[Event] = []
    while it.wake_at_ns is not None and it.wake_at_ns <= until_ns:
        said += tell(it, None, it.wake_at_ns)
    return said


def test_every_process_boots_halted() -> None:
    it = guard()
    assert (it.permits(0), it.trading_state(0)) == ("halted", TradingState.HALTED)


def test_an_epoch_that_names_this_boot_arms_and_asks_for_the_lease() -> None:
    it = guard()
    assert it.handle(epoch(), 5) == [question(5)]
    assert (it.permits(5), it.trading_state(5)) == ("no lease", TradingState.ARMED)
    assert (it.epoch, it.gate_token) == (1, 7)


def test_the_first_yes_turns_armed_into_running() -> None:
    it = guard()
    it.handle(epoch(), 0)
    it.handle(answer(), 1)
    assert (it.permits(2), it.trading_state(2)) == ("", TradingState.RUNNING)


@pytest.mark.parametrize(
    "start",
    [epoch(boot=OTHER), epoch(halts=1), epoch(0)],
    ids=["of another boot", "with halts it has not heard", "that is not higher"],
)
def test_an_epoch_for_somebody_else_starts_nothing(start: EpochStarted) -> None:
    it = guard()
    assert list(it.handle(start, 0)) == []
    it.handle(answer(number=start.epoch), 0)
    assert it.permits(1) == "halted"


def test_an_epoch_that_does_not_name_it_is_only_remembered() -> None:
    it = ControlGuard("executor", BOOT)
    assert list(it.handle(epoch(9), 0)) == []
    assert (it.epoch, it.epoch_max, it.is_halted) == (0, 9, True)


@pytest.mark.req("G-09", "O-05")
def test_a_halt_is_at_once_and_is_acknowledged_with_its_count() -> None:
    it = running()
    assert it.handle(HaltRequested(at_ns=9), 9) == [acknowledgement(9, halts=1, fence=1)]
    assert (it.permits(9), it.lease_until_ns, it.wake_at_ns) == ("halted", 0, None)


def test_no_start_is_honoured_over_a_halt_heard_after_prepare() -> None:
    it = guard()
    it.halt()
    it.handle(epoch(halts=0), 1)
    assert it.permits(1) == "halted"


class ForgetsHalts(ControlGuard):
    """The guard without its count of halts."""

    def halt(self) -> None:
        super().halt()
        self.halts = 0


def test_without_the_count_of_halts_a_start_is_honoured_over_a_halt() -> None:
    it = guard(ForgetsHalts)
    it.halt()
    it.handle(epoch(halts=0), 1)
    it.handle(answer(1), 1)
    assert it.permits(2) == ""


def test_a_halted_epoch_never_comes_back() -> None:
    it = running()
    it.halt()
    it.handle(epoch(1, halts=1), 1)
    it.handle(answer(1), 1)
    assert it.permits(2) == "halted"
    it.handle(epoch(2, halts=1), 2)
    it.handle(answer(2, number=2), 2)
    assert it.permits(3) == ""


class KeepsNoFence(ControlGuard):
    """The guard that halts by dropping its lease alone."""

    def halt(self) -> None:
        self.halts += 1
        self.lease_until_ns = 0


def test_without_the_fence_a_late_yes_revives_a_halted_epoch() -> None:
    it = running(KeepsNoFence)
    it.halt()
    it.handle(answer(2), 2)
    assert it.permits(3) == ""


def test_a_late_yes_does_not_revive_a_halted_epoch() -> None:
    it = running()
    it.halt()
    it.handle(answer(2), 2)
    assert it.permits(3) == "halted"


def test_a_lease_runs_from_when_it_was_asked_for() -> None:
    it = guard()
    it.handle(epoch(), 0)
    it.handle(answer(0), LEASE_NS - 1)
    assert it.permits(LEASE_NS - 1) == ""
    assert it.permits(LEASE_NS) == "no lease"


class LeasesFromNow(ControlGuard):
    """The guard that counts a lease from its arrival."""

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        if isinstance(event, LeaseAnswered):
            event = answer(now_ns, number=event.epoch)
        return super().handle(event, now_ns)


def test_counted_from_its_arrival_a_delayed_lease_outlives_a_second() -> None:
    it = guard(LeasesFromNow)
    it.handle(epoch(), 0)
    it.handle(answer(0), LEASE_NS - 1)
    assert it.permits(LEASE_NS + 1) == ""


@pytest.mark.parametrize(
    "yes",
    [answer(number=2), answer(boot=OTHER), answer(component="executor")],
    ids=["another epoch", "another boot", "another component"],
)
def test_a_yes_for_something_else_is_no_lease(yes: LeaseAnswered) -> None:
    it = guard()
    it.handle(epoch(), 0)
    it.handle(yes, 0)
    assert it.permits(1) == "no lease"


def test_a_no_ends_the_lease_at_once() -> None:
    it = running()
    it.handle(answer(1, is_granted=False), 1)
    assert it.permits(2) == "no lease"


def test_an_older_yes_does_not_shorten_the_lease() -> None:
    it = running()
    it.handle(answer(300 * MS_NS), 300 * MS_NS)
    it.handle(answer(100 * MS_NS), 300 * MS_NS)
    assert it.lease_until_ns == 300 * MS_NS + LEASE_NS


def test_the_lease_is_asked_for_every_250_ms() -> None:
    it = running()
    said = let_pass(it, 3 * ASK_EVERY_NS)
    assert said == [question(n * ASK_EVERY_NS) for n in (1, 2, 3)]


def lapse(it: ControlGuard, at_ns: int) -> list[Event]:
    """Grant one lease at `at_ns` and let it run out; return what the guard says at its end."""
    it.handle(answer(at_ns), at_ns)
    assert it.permits(at_ns) == ""
    said = let_pass(it, at_ns + LEASE_NS)
    return [event for event in said if not isinstance(event, LeaseAsked)]


@pytest.mark.req("O-05")
def test_the_third_lapse_in_a_minute_halts_and_says_so() -> None:
    it = guard()
    it.handle(epoch(), 0)
    assert lapse(it, 0) == []
    assert lapse(it, 10 * S_NS) == []
    at_ns = 21 * S_NS
    reason = "gate: the lease lapsed 3 times in a minute"
    assert lapse(it, 20 * S_NS) == [
        HaltRequested(at_ns=at_ns, reason=reason, operator="gate"),
        acknowledgement(at_ns, halts=1, fence=1),
    ]
    it.handle(answer(at_ns), at_ns)
    assert it.permits(at_ns) == "halted"


def test_lapses_are_counted_alike_at_the_time_of_day_of_a_real_clock() -> None:
    it, now_ns = guard(), 1_800_000_000 * S_NS
    it.handle(epoch(), now_ns)
    said = [lapse(it, now_ns + after_ns) for after_ns in (0, 10 * S_NS, 20 * S_NS)]
    assert [len(each) for each in said] == [0, 0, 2]


def test_epochs_whose_first_lease_never_came_count_no_lapse() -> None:
    it = guard()
    for number in (1, 2, 3, 4):
        now_ns = 2 * number * S_NS
        assert it.handle(epoch(number), now_ns) == [question(now_ns, number=number)]
        assert {type(each) for each in let_pass(it, now_ns + S_NS)} == {LeaseAsked}
    assert (it.halts, it.trading_state(10 * S_NS)) == (0, TradingState.ARMED)


def test_an_epoch_that_is_told_twice_keeps_its_lease() -> None:
    it = running()
    assert list(it.handle(epoch(), 5)) == []
    assert (it.permits(6), it.lease_until_ns) == ("", LEASE_NS)


@pytest.mark.parametrize(
    ("told", "is_so"),
    [
        (answer(boot=OTHER), True),
        (answer(boot=OTHER, is_granted=False), False),
        (answer(boot=OTHER, component="executor"), False),
        (answer(), False),
    ],
    ids=["another of this component", "refused", "another component", "its own"],
)
def test_another_process_has_the_lease_for_a_second_after_it_was_given(
    told: LeaseAnswered, is_so: bool
) -> None:
    it = guard()
    it.handle(told, 10)
    found = [it.is_anothers(now_ns) for now_ns in (10, 9 + LEASE_NS, 10 + LEASE_NS)]
    assert found == [is_so, is_so, False]


def test_three_lapses_in_more_than_a_minute_only_deny_for_their_time() -> None:
    it = guard()
    it.handle(epoch(), 0)
    for at_ns in (0, 30 * S_NS, 60 * S_NS):
        assert lapse(it, at_ns) == []
    it.handle(answer(62 * S_NS), 62 * S_NS)
    assert it.permits(62 * S_NS) == ""


def test_a_lapse_counts_once_however_long_it_lasts() -> None:
    it = running()
    said = let_pass(it, 10 * S_NS)
    assert {type(event) for event in said} == {LeaseAsked}


def test_a_yes_that_comes_again_after_its_lease_ran_out_is_no_lease_to_lapse() -> None:
    it = guard()
    it.handle(epoch(), 0)
    said = lapse(it, 0)
    for again_ns in (2 * S_NS, 4 * S_NS):
        it.handle(answer(0), again_ns)
        assert it.permits(again_ns) == "no lease"
        said += let_pass(it, again_ns + LEASE_NS)
    assert {type(event) for event in said} == {LeaseAsked}
    it.handle(answer(6 * S_NS), 6 * S_NS)
    assert it.permits(6 * S_NS) == ""


def test_a_yes_that_came_late_lapses_at_its_end_and_not_when_it_would_be_asked_for() -> None:
    it = guard()
    it.handle(epoch(), 0)
    late_ns = LEASE_NS - 100 * MS_NS
    assert it.wake(late_ns) == [question(late_ns)]
    it.handle(answer(0), late_ns + 1)
    assert it.wake_at_ns == LEASE_NS


def test_nothing_is_sent_while_the_control_link_is_down() -> None:
    it = running()
    it.handle(link(is_up=False), 1)
    assert it.permits(2) == "control link down"


def test_after_the_link_came_back_only_a_new_lease_counts() -> None:
    it = running()
    it.handle(link(is_up=False), 10)
    it.handle(link(is_up=True), 20)
    assert it.permits(21) == "no lease"
    it.handle(answer(19), 22)  # asked before: its answer may not know of a halt we did not hear
    assert it.permits(23) == "no lease"
    it.handle(answer(24), 25)
    assert it.permits(26) == ""


class TrustsItsLease(ControlGuard):
    """The guard that keeps its lease while it is deaf."""

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        if isinstance(event, LinkChanged):
            self.is_link_up = event.is_up
            return ()
        return super().handle(event, now_ns)


def test_a_lease_kept_while_deaf_sends_over_a_halt_that_passed_unheard() -> None:
    it = running(TrustsItsLease)
    it.handle(link(is_up=False), 10)
    it.handle(link(is_up=True), 20)  # the halt came in between
    assert it.permits(21) == ""


def test_the_end_of_its_epoch_halts_and_the_end_of_another_does_not() -> None:
    it = running()
    it.handle(EpochEnded(at_ns=1, epoch=2, reason="other"), 1)
    assert it.permits(2) == ""
    it.handle(EpochEnded(at_ns=2, epoch=1, reason="a member restarted"), 2)
    assert (it.permits(3), it.halts, it.wake_at_ns) == ("halted", 0, None)


@pytest.mark.req("O-04")
def test_an_epoch_of_another_gate_ends_ours_without_a_lapse() -> None:
    it = running()
    it.handle(epoch(2, boot=OTHER), 100)
    assert (it.permits(100), it.wake_at_ns) == ("halted", None)
    assert let_pass(it, 10 * S_NS) == []
    assert it.halts == 0


class Clinging(ControlGuard):
    """The safeguard taken away: it goes on with its epoch although a newer one is another's."""

    def _end_epoch(self, epoch: int) -> None:
        pass


def taken_over_three_times(kind: type[ControlGuard]) -> list[Event]:
    """Serve, be replaced, serve again, three times within a minute; return what was said."""
    it, said = guard(kind), list[Event]()
    for number in (1, 3, 5):
        at_ns = number * 5 * S_NS
        it.handle(epoch(number), at_ns)
        it.handle(answer(at_ns, number=number), at_ns)
        it.handle(epoch(number + 1, boot=OTHER), at_ns + 1)
        said += let_pass(it, at_ns + 2 * S_NS)
    return said


@pytest.mark.req("O-04")
def test_a_gate_that_clings_to_its_epoch_halts_everybody_after_three_takeovers() -> None:
    halts = [
        event for event in taken_over_three_times(Clinging) if isinstance(event, HaltRequested)
    ]
    assert len(halts) == 1
    assert taken_over_three_times(ControlGuard) == []


def test_a_new_epoch_while_running_waits_for_its_own_lease() -> None:
    it = running()
    it.handle(epoch(2, token=8), 5)
    assert (it.permits(5), it.gate_token) == ("no lease", 8)
    it.handle(answer(5, number=1), 6)
    assert it.permits(6) == "no lease"
    it.handle(answer(5, number=2), 7)
    assert it.permits(7) == ""


class Watched(ControlGuard):
    """The guard as a core on another thread may see it: between any two of its steps."""

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        seen = self.__dict__.setdefault("seen", set())
        if hasattr(self, "is_link_up") and hasattr(self, "lease_until_ns"):
            seen.add((self.epoch, self.permits(5)))


def test_no_thread_ever_sees_a_new_epoch_with_the_lease_of_the_old() -> None:
    it = running(Watched)
    it.handle(epoch(2), 5)
    assert (1, "") in it.__dict__["seen"]
    assert (2, "") not in it.__dict__["seen"]


def test_one_yes_is_for_ever_where_no_message_can_be_late() -> None:
    it = ControlGuard("gate", BOOT, lease_ns=LEASE_UNLIMITED_NS)
    it.handle(epoch(), 0)
    it.handle(answer(), 0)
    assert (it.permits(10**18), it.wake_at_ns) == ("", None)
    it.halt()
    assert it.permits(1) == "halted"


def test_health_tells_state_epoch_halts_and_the_age_of_the_lease() -> None:
    it = running()
    assert it.describe(40 * MS_NS) == HealthReported(
        at_ns=40 * MS_NS,
        service="gate",
        boot_id=BOOT,
        pid=0,
        uptime_s=0.0,
        is_ready=True,
        trading_state=TradingState.RUNNING,
        epoch=1,
        lease_age_ms=40.0,
    )


def test_nothing_is_restored_so_nothing_resumes_by_itself() -> None:
    with pytest.raises(AssertionError, match="keeps no events"):
        guard().restore(epoch())
