"""compose.yaml: every service, shut in, and ready only when it says so."""

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from schemas.users import USERS
from services.cli.processes import BUS, MODULES, STAGES
from tests.conftest import ROOT

FILE = ROOT / "compose.yaml"
LOOPBACK = "127.0.0.1:"
OUTSIDERS = {"prometheus": "65534:65534", "grafana": "472:0"}
"""Programs of others, and whom they run as; they start only when asked for by their profile."""


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"]
    return found


def test_every_service_has_a_container_that_runs_it(services: dict[str, Any]) -> None:
    running = {name for name, each in services.items() if each.get("command", [""])[0] == "service"}
    assert running == {*MODULES, BUS}
    for name in running:
        assert services[name]["command"] == ["service", name]


def test_every_container_is_shut_in(services: dict[str, Any]) -> None:
    for name, each in services.items():
        assert each["user"] == OUTSIDERS.get(name, "10001:10001"), name
        assert each["read_only"] is True, name
        assert each["cap_drop"] == ["ALL"], name
        assert each["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in each, name
        assert each["mem_limit"], name
        assert each["cpus"], name
        assert each["pids_limit"], name


def test_ports_are_on_loopback_and_no_service_of_ours_has_any(services: dict[str, Any]) -> None:
    for name, each in services.items():
        ports = each.get("ports", [])
        assert bool(ports) is (name == BUS or name in OUTSIDERS), name
        assert all(port.startswith(LOOPBACK) for port in ports), name


def test_a_container_is_healthy_only_when_its_service_says_so(services: dict[str, Any]) -> None:
    for name in (*MODULES, BUS):
        check = services[name]["healthcheck"]["test"]
        assert check[:5] == ["CMD", "python", "-m", "services.runtime.ready", name]
        assert services[name]["restart"] == "unless-stopped"


def test_each_service_is_handed_its_own_key_and_no_other(services: dict[str, Any]) -> None:
    handed = dict.fromkeys(volume for volume in services["init"]["volumes"])
    for name in MODULES:
        keys = [volume for volume in services[name]["volumes"] if ":/keys" in volume]
        assert keys == [f"key-{name}:/keys:ro"]
        assert f"key-{name}:/split/{name}" in handed
        assert name in USERS


def test_every_user_has_a_folder_for_its_key_that_init_can_write(services: dict[str, Any]) -> None:
    splits = [volume for volume in services["init"]["volumes"] if ":/split/" in volume]
    assert sorted(splits) == sorted(f"key-{user}:/split/{user}" for user in USERS)
    text = (ROOT / "ops" / "docker" / "Dockerfile").read_text()
    [made] = re.findall(r"for user in ([a-z ]+); do", text)  # else the volume would be root's
    assert sorted(made.split()) == sorted(USERS)


def test_services_start_in_the_order_of_the_supervisor(services: dict[str, Any]) -> None:
    earlier: set[str] = {BUS}
    for stage in STAGES:
        for name in stage:
            needs = services[name]["depends_on"]
            assert set(needs) <= earlier, name
            assert {each["condition"] for each in needs.values()} == {"service_healthy"}
        earlier |= set(stage)
    assert set(services["feed"]["depends_on"]) == set(STAGES[1])


def test_every_volume_is_declared(services: dict[str, Any]) -> None:
    declared = set(yaml.safe_load(FILE.read_text())["volumes"])
    used = {
        volume.split(":")[0]
        for each in services.values()
        for volume in each.get("volumes", [])
        if not volume.startswith(("$", "./"))  # a folder of the host is no volume
    }
    assert used == declared


def test_docker_itself_accepts_the_file() -> None:
    if shutil.which("docker") is None:
        pytest.skip("SKIPPED LOUDLY: no docker command here to check compose.yaml with")
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode != 0:
        pytest.skip("SKIPPED LOUDLY: docker has no compose plugin here to check compose.yaml with")
    done = subprocess.run(
        ["docker", "compose", "--file", str(FILE), "--profile", "operator", "config", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
