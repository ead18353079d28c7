"""When a process that ended is started again, and when it is left alone."""

import pytest

from schemas.base import NS_PER_S, BootId
from schemas.health import HealthReported, ServiceView, Severity
from services.runtime import supervisor_roster
from services.runtime.supervisor_roster import (
    BACKOFF,
    BACKOFF_MIN_NS,
    CRASH_LOOP,
    CRASH_WINDOW_NS,
    CRASHES_MAX,
    RUNNING,
    STARTING,
    STOPPED,
    Roster,
)

KILLED = -9


def health(*, pid: int, is_ready: bool = True, detail: str = "") -> HealthReported:
    return HealthReported(
        at_ns=0,
        service="gate",
        boot_id=BootId("b"),
        pid=pid,
        uptime_s=1.0,
        is_ready=is_ready,
        detail=detail,
    )


def started(now_ns: int = 0, pid: int = 7) -> Roster:
    roster = Roster(["gate"])
    roster.on_started("gate", pid, now_ns)
    return roster


def test_a_process_runs_only_once_it_says_it_is_ready() -> None:
    roster = started()
    roster.on_health(health(pid=7, is_ready=False, detail="no venue"))
    assert roster.views(2 * NS_PER_S) == (
        ServiceView(name="gate", state=STARTING, pid=7, uptime_s=2.0, detail="no venue"),
    )
    roster.on_health(health(pid=7))
    assert roster.views(NS_PER_S) == (ServiceView(name="gate", state=RUNNING, pid=7, uptime_s=1.0),)


def test_the_word_of_another_process_is_not_believed() -> None:
    roster = started()
    roster.on_health(health(pid=8))  # the one before, or somebody who runs it by hand
    assert roster.state("gate") == STARTING


@pytest.mark.req("O-04")
def test_pauses_between_restarts_double() -> None:
    roster = started()
    waits = [roster.on_ended("gate", KILLED, "", number) for number in range(CRASHES_MAX - 1)]
    assert waits == [BACKOFF_MIN_NS, 2 * BACKOFF_MIN_NS, 4 * BACKOFF_MIN_NS, 8 * BACKOFF_MIN_NS]
    assert roster.state("gate") == BACKOFF


def test_five_ends_in_a_minute_are_a_crash_loop() -> None:
    roster = started()
    for number in range(CRASHES_MAX - 1):
        assert roster.on_ended("gate", 1, "", number) is not None
    assert roster.on_ended("gate", 1, "broke: KeyError('x')", CRASH_WINDOW_NS - 1) is None
    alert = roster.alert("gate", 0)
    assert (alert.severity, alert.code) == (Severity.CRITICAL, "SLU-160")
    assert "exit code 1: broke: KeyError('x')" in alert.message
    assert roster.state("gate") == CRASH_LOOP


def test_ends_of_an_earlier_minute_are_forgiven() -> None:
    roster = started()
    for number in range(CRASHES_MAX - 1):
        roster.on_ended("gate", 1, "", number)
    assert roster.on_ended("gate", 1, "", 2 * CRASH_WINDOW_NS) == BACKOFF_MIN_NS


def test_without_the_limit_a_crash_loop_goes_on_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_roster, "CRASHES_MAX", 10_000)
    roster = started()
    assert all(roster.on_ended("gate", 1, "", now_ns) is not None for now_ns in range(5))


@pytest.mark.parametrize("exit_code", [2, 4])
def test_what_a_person_must_mend_is_not_tried_again(exit_code: int) -> None:
    roster = started()
    assert roster.on_ended("gate", exit_code, "SLU-100", 0) is None
    assert roster.state("gate") == CRASH_LOOP


def test_a_restart_is_counted_and_told() -> None:
    roster = started()
    roster.on_ended("gate", KILLED, "", 0)
    alert = roster.alert("gate", 0)
    roster.on_started("gate", 9, 0)
    assert (alert.severity, alert.code) == (Severity.WARNING, "SLU-162")
    assert alert.message == "gate ended (killed by signal 9) and is started again"
    assert roster.views(0)[0].restarts == 1
    assert roster.pids() == {"gate": 9}


def test_a_stop_that_was_asked_for_is_no_crash() -> None:
    roster = started()
    roster.on_stopped("gate")
    assert roster.views(0) == (ServiceView(name="gate", state=STOPPED),)
    assert roster.pids() == {}
