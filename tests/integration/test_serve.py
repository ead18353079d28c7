"""One service as one process, from the outside: how it starts, how it is, and how it ends."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from schemas import wire
from schemas.base import Event
from schemas.control import HaltAcknowledged, HaltRequested, TradingState
from schemas.health import AlertRaised, GateReported, HealthReported, Severity
from schemas.orders import SignalDecided
from schemas.subjects import HALT, subject_of
from services.runtime.fastpath import BusConnection
from services.runtime.tether import PARENT_FD
from tests.builders import signal as raised
from tests.conftest import ROOT
from tests.integration.guarded import GuardedServer, without_right
from tests.integration.small_service import BREAK, DEGRADED, OVERSTEP, STICK

WAIT_S = 10.0


class Gate:
    """The small service as a process, and a bus around it.

    Attributes:
        heard: what it said, in order.
    """

    def __init__(self, folder: Path, server: GuardedServer, **changed: Any) -> None:
        self.folder = folder
        self.server = server
        self.heard: list[Event] = []
        self.config = folder / "config.json"
        self.journal = folder / "var" / "state" / "gate.jsonl"
        resolved = {
            "bus": {"url": server.url, "keys_dir": str(server.bus.keys_dir)},
            "account": {"id": "paper", "currency": "USD", "initial_cash": "1"},
            "instruments": [],
            "paths": {"data_dir": str(folder / "var")},
            **changed,
        }
        self.config.write_text(json.dumps(resolved))
        self.process: subprocess.Popen[bytes]
        self.viewer: BusConnection
        self.strategy: BusConnection
        self.die: Callable[[], None]

    def start(self, **options: Any) -> None:
        """Start the process; options are those of Popen."""
        command = [sys.executable, "-m", "tests.integration.small_service"]
        with (self.folder / "gate.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--config", str(self.config)], cwd=ROOT, stderr=log, **options
            )

    async def connect(self) -> None:
        self.viewer = await self.server.connect("viewer")
        self.strategy = await self.server.connect("strategy")
        for subject in (HALT, "health.*", "alert.*", "control.ack.*", "risk.decision.*"):
            await self.viewer.take(subject, self._hear)
        await self.viewer.flush()

    def _hear(self, subject: str, data: bytes, reply: str) -> None:
        if data:
            self.heard += wire.decode(data, subject=subject)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.heard if isinstance(event, kind)]

    async def until(self, is_so: Callable[[], object]) -> None:
        """Return once it is so; what another process does cannot be awaited."""
        for _ in range(int(WAIT_S / 0.01)):
            if is_so():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"not so within {WAIT_S} s: {self.heard}\n{self.log_text()}")

    async def ready(self) -> HealthReported:
        await self.until(lambda: any(health.is_ready for health in self.of(HealthReported)))
        found: HealthReported = self.of(HealthReported)[-1]
        return found

    async def ended(self) -> int:
        """Return the exit code."""
        await self.until(lambda: self.process.poll() is not None)
        return self.process.returncode

    def say(self, event: Event) -> None:
        self.strategy.send(subject_of(event), wire.encode(event))

    async def report(self) -> GateReported:
        answer = await self.viewer.request("query.gate", b"", timeout=WAIT_S)
        [found] = wire.decode(answer.data, subject="query.gate")
        assert isinstance(found, GateReported)
        return found

    def log_text(self) -> str:
        return (self.folder / "gate.log").read_text()

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_text().splitlines()]

    async def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        await self.viewer.close()
        await self.strategy.close()


@asynccontextmanager
async def gate(
    folder: Path, server: GuardedServer, *, is_ready: bool = True, **changed: Any
) -> AsyncIterator[Gate]:
    it = Gate(folder, server, **changed)
    await it.connect()
    it.start()
    try:
        if is_ready:
            await it.ready()
        yield it
    finally:
        await it.close()


def run(what: Coroutine[Any, Any, None]) -> None:
    uvloop.run(asyncio.wait_for(what, 4 * WAIT_S))


@pytest.mark.req("O-02")
def test_a_service_reports_its_health_each_second(server: GuardedServer, tmp_path: Path) -> None:
    async def main() -> None:
        async with gate(tmp_path, server) as it:
            await it.until(lambda: sum(h.is_ready for h in it.of(HealthReported)) >= 2)
            first, second = [h for h in it.of(HealthReported) if h.is_ready][:2]
            assert (second.service, second.pid) == ("gate", it.process.pid)
            assert second.trading_state is TradingState.HALTED
            assert second.boot_id == first.boot_id != ""
            assert second.rss_bytes > 1_000_000
            assert 0.5 < second.uptime_s - first.uptime_s < 1.9
            assert second.seq == first.seq + 1
            assert second.detail == DEGRADED  # ready, with less

    run(main())


@pytest.mark.req("O-02")
@pytest.mark.parametrize("verb", ["PING", "INFO", "STATS"])
def test_the_tools_of_nats_find_the_service(
    server: GuardedServer, tmp_path: Path, verb: str
) -> None:
    async def main() -> None:
        async with gate(tmp_path, server) as it:
            operator = await server.connect("operator")
            for subject in (f"$SRV.{verb}", f"$SRV.{verb}.gate"):
                answer = json.loads((await operator.request(subject, b"", timeout=WAIT_S)).data)
                assert answer["type"] == f"io.nats.micro.v1.{verb.lower()}_response"
                assert answer["name"] == "gate"
                assert answer["metadata"]["pid"] == str(it.process.pid)
            await operator.close()

    run(main())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_order(
    server: GuardedServer, tmp_path: Path, number: signal.Signals
) -> None:
    async def main() -> None:
        async with gate(tmp_path, server) as it:
            it.process.send_signal(number)
            assert await it.ended() == 0
            assert [line["event"] for line in it.log()][-2:] == ["stopping", "stopped"]

    run(main())


@asynccontextmanager
async def gate_with_a_parent(folder: Path, server: GuardedServer) -> AsyncIterator[Gate]:
    """The process with a pipe for its parent: `it.die` is the parent's death."""
    it = Gate(folder, server)
    await it.connect()
    reading, writing = os.pipe()
    it.start(pass_fds=(reading,), env={**os.environ, PARENT_FD: str(reading)})
    os.close(reading)
    it.die = lambda: os.close(writing)
    try:
        await it.ready()
        yield it
    finally:
        await it.close()


def test_a_service_whose_parent_died_ends_by_itself(server: GuardedServer, tmp_path: Path) -> None:
    async def main() -> None:
        async with gate_with_a_parent(tmp_path, server) as it:
            it.die()
            assert await it.ended() == 0
            assert "the parent is gone" in it.log_text()

    run(main())


def test_a_service_that_is_stuck_dies_with_its_parent_all_the_same(
    server: GuardedServer, tmp_path: Path
) -> None:
    async def main() -> None:
        async with gate_with_a_parent(tmp_path, server) as it:
            it.say(raised(quantity=str(STICK)))
            await it.strategy.flush()
            answer = await it.viewer.request(HALT, b"", timeout=WAIT_S)
            assert isinstance(wire.decode(answer.data, subject=HALT)[0], HaltAcknowledged)
            it.die()
            assert await it.ended() == 1
            assert "could not stop in order" in it.log_text()

    run(main())


@pytest.mark.req("S-13")
def test_state_is_rebuilt_from_the_journal_after_a_kill(
    server: GuardedServer, tmp_path: Path
) -> None:
    async def main() -> None:
        async with gate(tmp_path, server) as it:
            for number in range(3):
                it.say(raised(f"s{number}"))
            await it.until(lambda: len(it.of(SignalDecided)) == 3)
            it.process.kill()
            await it.ended()
            it.heard.clear()
            it.start()
            await it.ready()
            assert (await it.report()).decided_count == 3

    run(main())


def test_a_journal_cut_short_is_mended_and_told(server: GuardedServer, tmp_path: Path) -> None:
    async def main() -> None:
        async with gate(tmp_path, server) as it:
            it.say(raised())
            await it.until(lambda: it.of(SignalDecided))
            it.process.kill()
            await it.ended()
            it.journal.write_bytes(it.journal.read_bytes() + b'{"crc":"00')
            it.heard.clear()
            it.start()
            await it.ready()
            [alert] = it.of(AlertRaised)
            assert (alert.code, alert.severity) == ("SLU-140", Severity.WARNING)
            assert (await it.report()).decided_count == 1

    run(main())


def test_a_damaged_journal_stops_the_service_and_tells_a_person(
    server: GuardedServer, tmp_path: Path
) -> None:
    async def main() -> None:
        journal = tmp_path / "var" / "state" / "gate.jsonl"
        journal.parent.mkdir(parents=True)
        journal.write_bytes(b"nothing we wrote\n")
        async with gate(tmp_path, server, is_ready=False) as it:
            assert await it.ended() == 4
            await it.until(lambda: it.of(AlertRaised))
            [alert] = it.of(AlertRaised)
            assert (alert.code, alert.fields["path"]) == ("SLU-140", f"{journal} line 1")
            assert journal.read_bytes() == b"nothing we wrote\n"

    run(main())


def test_a_broken_rule_ends_the_process_after_an_alert(
    server: GuardedServer, tmp_path: Path
) -> None:
    async def main() -> None:
        async with gate(tmp_path, server) as it:
            it.say(raised(quantity=str(BREAK)))
            assert await it.ended() == 1
            [alert] = it.of(AlertRaised)
            assert alert.severity is Severity.CRITICAL
            [broke] = [line for line in it.log() if line["event"] == "broke"]
            assert "a broken rule" in broke["exception"]

    run(main())


@pytest.mark.req("G-09")
def test_a_halt_is_acknowledged_and_told_to_the_core_once(
    server: GuardedServer, tmp_path: Path
) -> None:
    async def main() -> None:
        async with gate(tmp_path, server) as it:
            it.viewer.send(HALT, b"")
            await it.until(lambda: it.of(HaltAcknowledged))
            assert [ack.halts for ack in it.of(HaltAcknowledged)] == [1]
            assert (await it.report()).approved_count == 1

    run(main())


@pytest.mark.req("A-01")
@pytest.mark.parametrize(
    ("right", "missing"),
    [("order.>", "publish order.*.*"), ("control.leased.gate", "subscribe control.leased.gate")],
)
def test_a_refused_right_halts_alerts_and_stops_the_service(
    tmp_path: Path, right: str, missing: str
) -> None:
    server = GuardedServer(tmp_path / "bus", configuration=without_right("gate", right))

    async def main() -> None:
        async with gate(tmp_path, server, is_ready=False) as it:
            assert await it.ended() == 3
            await it.until(lambda: it.of(AlertRaised))
            [halt], [alert] = it.of(HaltRequested), it.of(AlertRaised)
            assert (halt.operator, alert.code) == ("gate", "SLU-121")
            assert missing in alert.fields["found"]
            assert it.of(HealthReported) == []

    try:
        run(main())
    finally:
        server.stop()


@pytest.mark.req("A-01")
def test_a_right_refused_later_halts_as_well(server: GuardedServer, tmp_path: Path) -> None:
    async def main() -> None:
        async with gate(tmp_path, server) as it:
            it.say(raised(quantity=str(OVERSTEP)))
            assert await it.ended() == 3
            [halt] = it.of(HaltRequested)
            assert 'permissions violation for publish to "signal.s1.alpha"' in halt.reason

    run(main())


@pytest.mark.req("A-05")
def test_a_key_that_others_can_read_is_refused_at_the_start(
    server: GuardedServer, tmp_path: Path
) -> None:
    async def main() -> None:
        (server.folder / "keys" / "gate.nk").chmod(0o644)
        async with gate(tmp_path, server, is_ready=False) as it:
            assert await it.ended() == 2
            assert "chmod 600" in it.log()[-1]["error"]

    run(main())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"account": {"id": "paper"}}, "missing required field `currency`"),
        ({"bus": {"ulr": "nats://x"}}, "unknown field `ulr`"),
    ],
)
def test_a_wrong_configuration_is_said_in_one_line_without_a_traceback(
    server: GuardedServer, tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    async def main() -> None:
        async with gate(tmp_path, server, is_ready=False, **changed) as it:
            assert await it.ended() == 2
            [line] = it.log()
            assert said in line["error"]
            assert str(it.config) in line["error"]
            assert line["next_step"] == "mend the field named; `sluice config check`"

    run(main())


@pytest.mark.req("A-05")
def test_no_seed_is_ever_in_the_log(server: GuardedServer, tmp_path: Path) -> None:
    async def main() -> None:
        async with gate(tmp_path, server) as it:
            it.process.terminate()
            await it.ended()
            seed = (server.folder / "keys" / "gate.nk").read_text().strip()
            assert it.log()
            assert seed not in it.log_text()

    run(main())
