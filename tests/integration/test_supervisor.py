"""The supervisor, real processes and a real bus: order, restarts, crash loops, no orphans."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from schemas.errors import StateError
from schemas.health import AlertRaised, SupervisorReported
from schemas.wire import decode
from services.runtime import supervisor as supervisor_module
from services.runtime import supervisor_process
from services.runtime.config import BusConfig
from services.runtime.connect import connect
from services.runtime.supervisor import Plan, Supervisor
from services.runtime.supervisor_process import ProcessSpec
from services.runtime.supervisor_server import free_port, server_binary
from tests.integration.fake_system import FAKE

DEADLINE_S = 20.0


class Bench:
    """A bus without keys, fake services on it, and what they noted."""

    def __init__(self, url: str, folder: Path) -> None:
        self.bus, self.folder = BusConfig(url=url), folder
        self.ledger = folder / "ledger"
        self.ledger.touch()
        self.notes: list[str] = []

    def spec(self, name: str, mode: str = "ok") -> ProcessSpec:
        command = (sys.executable, FAKE, name, self.bus.url, str(self.ledger), mode)
        return ProcessSpec(name=name, command=command, log_file=self.folder / f"{name}.log")

    @asynccontextmanager
    async def running(self, *stages: list[ProcessSpec]) -> AsyncIterator[Supervisor]:
        plan = Plan(bus=self.bus, server=None, stages=stages)
        supervisor = Supervisor(plan, self.notes.append)
        try:
            await supervisor.start()
            yield supervisor
        finally:
            await supervisor.stop()

    def noted(self) -> list[str]:
        return self.ledger.read_text().splitlines()


@pytest.fixture
def bench(nats_url: str, tmp_path: Path) -> Bench:
    return Bench(nats_url, tmp_path)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(DEADLINE_S * 2):
            await test()

    asyncio.run(limited())


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for what no event tells: another process's state."""
    async with asyncio.timeout(DEADLINE_S):
        for _ in iter(is_so, True):
            await asyncio.sleep(0.01)


def state(supervisor: Supervisor, name: str) -> str:
    return supervisor.roster.state(name)


@pytest.mark.req("O-04")
def test_stages_start_in_order_and_stop_in_the_reverse(bench: Bench) -> None:
    async def test() -> None:
        stages = [[bench.spec("recorder")], [bench.spec("gate")], [bench.spec("feed")]]
        async with bench.running(*stages) as supervisor:
            assert [view.state for view in supervisor.report().services] == ["running"] * 3
            assert bench.noted() == ["start recorder", "start gate", "start feed"]

    run(test)
    assert bench.noted()[3:] == ["stop feed", "stop gate", "stop recorder"]


@pytest.mark.req("O-04", "O-02")
def test_a_killed_process_comes_back_and_the_bus_hears_of_it(bench: Bench) -> None:
    async def test() -> None:
        watcher = await connect("watcher", bench.bus)
        alerts: list[AlertRaised] = []

        def take(subject: str, data: bytes, _reply: str) -> None:
            alerts.extend(e for e in decode(data, subject=subject) if isinstance(e, AlertRaised))

        await watcher.take("alert.*", take)
        await watcher.flush(2)
        async with bench.running([bench.spec("gate")]) as supervisor:
            [before] = supervisor.report().services
            os.kill(before.pid, signal.SIGKILL)
            await until(lambda: supervisor.report().services[0].pid not in (0, before.pid))
            await until(lambda: state(supervisor, "gate") == "running")
            answer = await watcher.request("query.supervisor", b"", timeout=2)
            [report] = decode(answer.data, subject="query.supervisor")
            assert isinstance(report, SupervisorReported)
            [after] = report.services
            assert (after.name, after.state, after.restarts) == ("gate", "running", 1)
            await until(lambda: bool(alerts))
        await watcher.close()
        [alert] = alerts
        assert (alert.component, alert.code) == ("gate", "SLU-162")
        assert "killed by signal 9" in alert.message

    run(test)


def test_a_crash_loop_ends_the_start_with_the_last_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.runtime.supervisor_roster.BACKOFF_MIN_NS", 1_000_000)

    async def test() -> None:
        with pytest.raises(StateError) as caught:
            async with bench.running([bench.spec("gate", "crash")]):
                pass
        assert caught.value.code == "SLU-160"
        assert "the disk is on fire" in caught.value.fields["found"]
        assert len([note for note in bench.notes if "started again" in note]) == 5

    run(test)


def test_a_configuration_to_mend_is_not_tried_again(bench: Bench) -> None:
    async def test() -> None:
        with pytest.raises(StateError) as caught:
            async with bench.running([bench.spec("gate", "mend")]):
                pass
        assert caught.value.fields["found"] == (
            "crash-loop exit code 2: cannot serve: SLU-100 feed.speed"
        )
        [note] = bench.notes
        assert "is not started again" in note

    run(test)


def test_what_runs_and_is_not_ready_is_told_and_left_to_a_person(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "READY_TIMEOUT_S", 2.0)

    async def test() -> None:
        async with bench.running([bench.spec("gate", "late")]) as supervisor:
            assert state(supervisor, "gate") == "starting"
            assert bench.notes == ["gate is not ready after 2 s: starting waits for nothing"]

    run(test)


def test_what_does_not_stop_when_asked_is_killed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_process, "STOP_TIMEOUT_S", 0.2)

    async def test() -> None:
        async with bench.running([bench.spec("gate", "stubborn")]) as supervisor:
            [view] = supervisor.report().services
        assert not psutil.pid_exists(view.pid)
        [ended] = supervisor.report().services
        assert (ended.state, ended.detail) == ("stopped", "did not end in time: killed")

    run(test)


def is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def wait_gone(pids: list[int]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not all(is_gone(pid) for pid in pids):
        assert time.monotonic() < deadline_s, pids
        time.sleep(0.01)  # the end of somebody else's child cannot be awaited


def killed_system(
    folder: Path, how: str, first: Callable[[int], None] = lambda pid: None
) -> dict[str, int]:
    """Start a supervisor, kill it without a word, and return the processes it had.

    Before that `first` is done to each of them.
    """
    script = Path(__file__).with_name("fake_system.py")
    with subprocess.Popen(
        [sys.executable, str(script), str(folder), how], stdout=subprocess.PIPE
    ) as system:
        assert system.stdout is not None
        pids: dict[str, int] = json.loads(system.stdout.readline())
        for pid in pids.values():
            first(pid)
        system.kill()
    return pids


@pytest.mark.req("O-04")
def test_a_killed_supervisor_leaves_no_orphan(tmp_path: Path) -> None:
    pids = killed_system(tmp_path, "tethered")
    assert set(pids) == {"nats", "sleeper"}
    wait_gone(list(pids.values()))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the tether stays")
def test_without_the_tether_the_bus_would_be_an_orphan(tmp_path: Path) -> None:
    pids = killed_system(tmp_path, "loose")
    try:
        wait_gone([pids["sleeper"]])
        assert not is_gone(pids["nats"])
    finally:
        os.kill(pids["nats"], signal.SIGKILL)


def test_a_taken_port_is_passed_over_for_a_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        assert free_port("127.0.0.1", port) != port
    assert free_port("127.0.0.1", port) == port


@pytest.mark.req("O-03")
def test_the_log_of_a_foreign_program_turns_daily_and_says_what_it_said_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_process, "LOOK_AT_DAY_EVERY_S", 0.02)
    log, old = tmp_path / "nats.log", tmp_path / "nats.log.2023-11-14"
    midnight_ns = 1_700_006_400 * 10**9
    now_ns = midnight_ns - 1
    spec = ProcessSpec(
        name="nats",
        command=(str(server_binary()), "-p", str(free_port("127.0.0.1", 0))),
        log_file=log,
        is_ours=False,
        log_option="-l",
    )

    async def test() -> None:
        nonlocal now_ns
        ours, theirs = os.pipe()
        process = await supervisor_process.spawn(spec, ours)
        turning = asyncio.create_task(supervisor_process.turn_daily(spec, process, lambda: now_ns))
        await until(lambda: "Server is ready" in log.read_text())
        now_ns = midnight_ns
        await until(lambda: log.exists() and "re-opened" in log.read_text())
        turning.cancel()
        assert await supervisor_process.stop(process)
        os.close(ours)
        os.close(theirs)

    run(test)
    assert "Server is ready" in old.read_text()
    assert "Server is ready" not in log.read_text()
    assert "Server Exiting" in log.read_text()
