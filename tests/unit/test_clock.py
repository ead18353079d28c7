"""The clock of a live process: it starts at the wall clock's time, and then only goes on."""

import runpy
import time

import pytest

from services.runtime import clock
from services.runtime.clock import Clock, elapsed_ns
from tests.builders import S_NS


def test_the_clock_starts_at_the_time_of_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 5_000 * S_NS)
    monkeypatch.setattr(clock, "elapsed_ns", lambda: 70)
    assert Clock()() == 5_000 * S_NS


def test_a_wall_clock_set_back_does_not_turn_time_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = Clock()
    before_ns = now()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert now() >= before_ns


def test_the_time_that_has_elapsed_is_added_whatever_the_wall_clock_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    elapsed = iter([10, 10 + 3 * S_NS])
    monkeypatch.setattr(clock, "elapsed_ns", lambda: next(elapsed))
    monkeypatch.setattr(time, "time_ns", lambda: 1_000 * S_NS)
    now = Clock()
    monkeypatch.setattr(time, "time_ns", lambda: 1)
    assert now() == 1_003 * S_NS


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this system has no CLOCK_BOOTTIME")
def test_elapsed_time_counts_the_time_that_the_machine_slept() -> None:
    before_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    found_ns = elapsed_ns()
    assert before_ns <= found_ns <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def test_a_system_without_boot_time_falls_back_to_the_monotonic_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    assert runpy.run_path(str(clock.__file__))["elapsed_ns"] is time.monotonic_ns
