"""The strategy service as a process on a real bus, minded by the real supervisor."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from schemas.base import Event
from schemas.health import AlertRaised, HealthReported, Severity
from schemas.wire import decode
from services.runtime.supervisor import Plan, Supervisor
from services.runtime.supervisor_process import ProcessSpec
from tests.conftest import ROOT
from tests.integration.guarded import GuardedServer

WAIT_S = 20.0


class Desk:
    """The supervised service, and somebody who listens to the bus.

    Attributes:
        heard: what was said on the bus, in order.
        supervisor: of the service.
    """

    def __init__(self, folder: Path, server: GuardedServer) -> None:
        self._folder, self._server = folder, server
        self.heard: list[Event] = []
        instrument = {"id": "sim:ALPHA", "asset_class": "equity", "currency": "USD"}
        resolved = {
            "bus": {"url": server.url, "keys_dir": str(server.bus.keys_dir)},
            "account": {"id": "paper", "currency": "USD", "initial_cash": "1000"},
            "instruments": [instrument | {"tick_size": "0.01", "lot_size": "1"}],
            "metrics": {"is_on": False},
            "paths": {"data_dir": str(folder / "var")},
        }
        self._config = folder / "config.json"
        self._config.write_text(json.dumps(resolved))

    @asynccontextmanager
    async def running(self, module: str, **environment: str) -> AsyncIterator[None]:
        """Run this module as the strategy service, supervised."""
        spec = ProcessSpec(
            name="strategy",
            command=(sys.executable, "-m", module, "--config", str(self._config)),
            environment={"PYTHONPATH": str(ROOT), **environment},
            log_file=self._folder / "strategy.log",
        )
        self.supervisor = Supervisor(Plan(bus=self._server.bus, server=None, stages=[[spec]]))
        viewer = await self._server.connect("viewer")
        for subject in ("alert.*", "health.strategy"):
            await viewer.take(subject, self._hear)
        await viewer.flush()
        try:
            await self.supervisor.start()
            yield
        finally:
            await self.supervisor.stop()
            await viewer.close()

    def _hear(self, subject: str, data: bytes, _reply: str) -> None:
        self.heard += decode(data, subject=subject)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.heard if isinstance(event, kind)]

    async def until(self, is_so: Callable[[], object]) -> None:
        """Return once it is so; what another process does cannot be awaited."""
        for _ in range(int(WAIT_S / 0.01)):
            if is_so():
                return
            await asyncio.sleep(0.01)
        log = (self._folder / "strategy.log").read_text()[-2_000:]
        raise AssertionError(f"not so within {WAIT_S} s: {self.heard[-3:]}\n{log}")


@pytest.mark.req("S-14", "O-04")
def test_a_critical_error_goes_to_health_and_the_supervisor_starts_the_service_anew(
    tmp_path: Path, server: GuardedServer
) -> None:
    flag = tmp_path / "break"
    flag.touch()
    desk = Desk(tmp_path, server)

    async def main() -> None:
        async with desk.running("tests.integration.breaking_strategy", BREAK_ONCE=str(flag)):
            await desk.until(lambda: desk.supervisor.report().services[0].restarts == 1)
            await desk.until(lambda: desk.supervisor.roster.state("strategy") == "running")
            [view] = desk.supervisor.report().services
            await desk.until(lambda: any(h.pid == view.pid for h in desk.of(HealthReported)))

    asyncio.run(main())
    said = "memory of sessions: LT-003 engine initialisation failed (found: an engine that broke)"
    told = {(each.code, each.severity, each.message) for each in desk.of(AlertRaised)}
    assert ("LT-003", Severity.CRITICAL, said) in told
    [ended] = [each for each in desk.of(AlertRaised) if each.code == "SLU-162"]
    assert ended.message.startswith("strategy ended (exit code 1: cannot serve: LT-003")
    reports = {(each.is_ready, each.detail) for each in desk.of(HealthReported)}
    assert (False, said) in reports
    assert desk.of(HealthReported)[-1].is_ready
