"""A process that somebody stopped (SIGSTOP) ends with its supervisor all the same."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from services.runtime import supervisor_process
from services.runtime.supervisor_process import ProcessSpec
from tests.integration.test_supervisor import is_gone, killed_system, wait_gone

pytestmark = [
    pytest.mark.req("O-04"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel of Linux does it"),
]

SLEEPS = (sys.executable, "-c", "import signal; signal.pause()")


def stop(pid: int) -> None:
    """Stop the process as a debugger or an operator does: it hears nothing from now on."""
    os.kill(pid, signal.SIGSTOP)
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        os.sched_yield()


def test_a_killed_supervisor_takes_stopped_processes_with_it(tmp_path: Path) -> None:
    pids = killed_system(tmp_path, "tethered", stop)
    assert set(pids) == {"nats", "sleeper"}
    wait_gone(list(pids.values()))


def test_without_the_kernel_they_would_be_orphans(tmp_path: Path) -> None:
    pids = killed_system(tmp_path, "loose", stop)
    try:
        assert [is_gone(pid) for pid in pids.values()] == [False, False]
        for pid in pids.values():
            assert psutil.Process(pid).status() == psutil.STATUS_STOPPED
    finally:
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        wait_gone(list(pids.values()))


def test_a_supervisor_that_stops_kills_what_is_stopped_after_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_process, "STOP_TIMEOUT_S", 0.2)

    async def main() -> tuple[bool, int | None]:
        reading, writing = os.pipe()
        spec = ProcessSpec(name="gate", command=SLEEPS, log_file=tmp_path / "gate.log")
        process = await supervisor_process.spawn(spec, reading)
        stop(process.pid)
        was_orderly = await supervisor_process.stop(process)
        os.close(reading)
        os.close(writing)
        return was_orderly, process.returncode

    assert asyncio.run(main()) == (False, -signal.SIGKILL)
