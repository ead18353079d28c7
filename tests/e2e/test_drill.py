"""The restore drill, as an operator runs it: everything is lost but a backup and the anchors."""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.e2e.system import free_ports


@pytest.mark.req("R-07", "I12")
@pytest.mark.long  # nine processes, twice: CI runs the drill itself (.ci/run)
@pytest.mark.timeout(240)
def test_what_was_lost_comes_back_halted_and_trades_again(tmp_path: Path) -> None:
    port, monitor_port = free_ports()
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("SLUICE_", "BASIS_"))}
    ports = {"SLUICE_BUS__PORT": str(port), "SLUICE_BUS__MONITOR_PORT": str(monitor_port)}
    began_s = int(time.time())
    done = subprocess.run(
        [str(ROOT / "ops" / "drill"), str(tmp_path / "drill")],
        cwd=tmp_path,
        env=keep | ports | {"USER": "kim"},
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    epochs = re.search(r"drill: epoch (\d+) before, (\d+) after", done.stdout)
    assert epochs is not None
    assert int(epochs[2]) > max(int(epochs[1]) + 1_000_000, began_s)
    assert re.search(r"drill: PASSED: from the loss to trading again: \d+ ms", done.stdout)
