"""How the embedded server is started."""

from dataclasses import replace
from pathlib import Path

import pytest

from services.runtime.supervisor_server import ServerPlan, server_spec

PLAN = ServerPlan(
    host="127.0.0.1",
    port=4222,
    monitor_port=8222,
    store_dir=Path("nats"),
    environment={"SLUICE_SYNC_INTERVAL": "always"},
)


@pytest.mark.req("O-07")
def test_its_memory_is_collected_before_it_has_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOGC", raising=False)
    environment = server_spec(PLAN, Path("nats.log")).environment
    assert environment == {"GOGC": "50", "SLUICE_SYNC_INTERVAL": "always"}


@pytest.mark.req("O-07")
def test_who_says_how_often_it_collects_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOGC", "200")  # it is inherited, as every variable is
    plan = replace(PLAN, environment={})
    assert server_spec(plan, Path("nats.log")).environment == {}
