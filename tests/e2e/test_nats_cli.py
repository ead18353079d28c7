"""The system obeys the real `nats` command line with an operator's credentials."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.e2e.system import System

Nats = tuple[System, "NatsCli"]


class NatsCli:
    """The real `nats`, with the context that `sluice nats-context` wrote."""

    def __init__(self, binary: str, system: System) -> None:
        self.binary = binary
        self.environment = system.environment | {"XDG_CONFIG_HOME": str(system.folder / "config")}
        self.folder = system.folder
        done = system.run("nats-context", "--output", str(self.folder / "sluice-context.json"))
        assert done.returncode == 0, done.stdout + done.stderr

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.binary, "--context", str(self.folder / "sluice-context.json"), *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


def nats_binary() -> str:
    built = ROOT / "var" / "tools" / "nats"
    found = str(built) if os.access(built, os.X_OK) else shutil.which("nats")
    if found is None:
        pytest.skip("SKIPPED LOUDLY: no nats command line; ./ops/natscli builds it where Go is")
    return found


@pytest.fixture(scope="module")
def trading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    binary = nats_binary()
    folder: Path = tmp_path_factory.mktemp("natscli")
    system = System(folder).up()
    try:
        system.wait_for_fills()
        yield system, NatsCli(binary, system)
    finally:
        system.close()


@pytest.mark.req("G-09", "B-05", "O-05")
def test_a_bare_publish_halts_and_a_request_starts_again(trading: Nats) -> None:
    system, nats = trading
    assert nats.run("pub", "control.halt", "").returncode == 0
    halted = system.wait_until(lambda s: s["breaker_state"] == "MANUALLY_HALTED")
    assert halted["trading_state"] == "HALTED"

    refused = nats.run("req", "control.start", '{"operator":"kim"}', "--raw")
    answer = json.loads(refused.stdout)
    assert (answer["is_ok"], answer["request"]) == (False, "start")

    reset = {"operator": "kim", "reason": "looked", "halt": halted["halts"]}
    assert json.loads(nats.run("req", "control.reset", json.dumps(reset), "--raw").stdout)["is_ok"]
    started = json.loads(nats.run("req", "control.start", '{"operator":"kim"}', "--raw").stdout)
    assert started["is_ok"], started
    system.wait_until(lambda s: s["trading_state"] == "RUNNING")


def test_executions_can_be_watched_by_hand(trading: Nats) -> None:
    _, nats = trading
    done = nats.run("sub", "exec.>", "--count", "1", "--raw", "--timeout", "20s")
    event = json.loads(done.stdout.splitlines()[0])
    first = event[0] if isinstance(event, list) else event
    assert first["type"].startswith("Order")
