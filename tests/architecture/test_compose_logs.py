"""compose.yaml: the logs of all containers are in the data folder, where `sluice logs` looks."""

from typing import Any

import pytest
import yaml

from services.cli.processes import BUS, MODULES
from tests.conftest import ROOT

pytestmark = pytest.mark.req("O-03")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return found


def test_every_service_may_write_its_log_into_the_data_folder(services: dict[str, Any]) -> None:
    for name in MODULES:
        assert "data:/data" in services[name]["volumes"], name  # not :ro
        assert services[name]["user"] == services["operator"]["user"], name


def test_a_person_may_read_them_and_may_not_change_them(services: dict[str, Any]) -> None:
    assert "data:/data:ro" in services["operator"]["volumes"]


def test_docker_keeps_what_every_container_says_too(services: dict[str, Any]) -> None:
    for name in (*MODULES, BUS):
        assert services[name]["logging"]["driver"] == "json-file", name
