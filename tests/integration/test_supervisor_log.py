"""The supervisor's own log: what it started, what ended and why, in the form of the others."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import StateError
from services.cli.locate import Place
from services.cli.logs import logs
from services.runtime.config import BusConfig
from services.runtime.supervisor import Plan, Supervisor
from services.runtime.supervisor_process import ProcessSpec
from tests.integration.fake_system import FAKE

pytestmark = pytest.mark.req("O-03", "O-04")
DEADLINE_S = 40.0


class Bench:
    """A supervisor of one fake service, and what it told the person at the terminal."""

    def __init__(self, url: str, folder: Path, mode: str) -> None:
        self.notes: list[str] = []
        self.log = folder / "log" / "supervisor.log"
        gate = folder / "log" / "gate.log"
        command = (sys.executable, FAKE, "gate", url, str(folder / "ledger"), mode)
        spec = ProcessSpec(name="gate", command=command, log_file=gate)
        plan = Plan(bus=BusConfig(url=url), server=None, stages=[[spec]])
        self.supervisor = Supervisor(plan, self.notes.append)

    def run(self) -> None:
        """Start it, and stop it."""
        asyncio.run(self._run())

    async def _run(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            try:
                await self.supervisor.start()
            finally:
                await self.supervisor.stop()

    def said(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def test_the_supervisor_logs_what_it_starts_and_ends(nats_url: str, tmp_path: Path) -> None:
    bench = Bench(nats_url, tmp_path, "ok")
    bench.run()
    assert [(each["level"], each["event"], each.get("process")) for each in bench.said()] == [
        ("info", "starting", None),
        ("info", "process started", "gate"),
        ("info", "started", None),
        ("info", "stopping", None),
        ("info", "process ended", "gate"),
        ("info", "stopped", None),
    ]
    assert {(each["service"], len(each["boot_id"])) for each in bench.said()} == {("supervisor", 8)}
    assert bench.notes == []


def test_an_end_that_nobody_asked_for_is_logged_and_told_to_the_person_as_before(
    nats_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(nats_url, tmp_path, "mend")
    with pytest.raises(StateError):
        bench.run()
    [end] = [each for each in bench.said() if each["level"] == "critical"]
    message = "gate ended (exit code 2: cannot serve: SLU-100 feed.speed) and is not started again"
    assert (end["event"], end["process"], end["code"]) == (message, "gate", "SLU-160")
    assert bench.notes == [f"{message}; its log is {tmp_path / 'log' / 'gate.log'}"]
    logs(["supervisor"], level="error", place=Place(data_dir=tmp_path, as_json=True))
    [shown] = capsys.readouterr().out.splitlines()
    assert (json.loads(shown)["service"], json.loads(shown)["event"]) == ("supervisor", message)
