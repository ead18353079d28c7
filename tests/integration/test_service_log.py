"""Whoever starts a service: what it logs is found by `sluice logs` (O-03)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.processes import MODULES

pytestmark = pytest.mark.req("O-03")
SLUICE = Path(sys.executable).with_name("sluice")


def sluice(data_dir: Path, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("SLUICE_", "BASIS_"))}
    return subprocess.run(
        [str(SLUICE), *arguments],
        env=keep | {"SLUICE_PATHS__DATA_DIR": str(data_dir)},
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", MODULES)
def test_a_service_in_a_container_logs_to_its_output_and_into_the_data_folder(
    tmp_path: Path, name: str
) -> None:
    config = tmp_path / "run" / "config.json"
    config.parent.mkdir()
    config.write_text("nothing")
    done = sluice(tmp_path, "service", name)
    assert done.returncode == 2, done.stderr
    [line] = [json.loads(each) for each in done.stderr.splitlines()]
    assert (line["service"], line["event"]) == (name, "cannot serve")
    assert (tmp_path / "log" / f"{name}.log").read_bytes() == done.stderr


def test_sluice_logs_finds_what_a_service_in_a_container_broke_on(tmp_path: Path) -> None:
    config = tmp_path / "run" / "config.json"
    config.parent.mkdir()
    config.write_text("nothing")
    sluice(tmp_path, "service", "gate")
    found = sluice(tmp_path, "logs", "gate", "--level", "error", "--since", "1h", "--json")
    [line] = [json.loads(each) for each in found.stdout.splitlines()]
    assert (line["level"], line["service"], line["event"]) == ("critical", "gate", "cannot serve")
