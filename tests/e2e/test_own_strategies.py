"""A strategy of one's own is found in `strategy.folders` by every command that runs one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.req("S-05", "S-10")

SOURCE = """
from services.strategy.library.ema_cross import EmaCross


class Mine(EmaCross):
    \"\"\"A strategy that lies beside the configuration, and nowhere else.\"\"\"
"""
FEW = ("--hours", "0.01", "--symbols", "ALPHA", "--json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of a person's own: a configuration, and a folder with a strategy."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine_alone.py").write_text(SOURCE)
    named = '[strategy]\nfolders = ["own"]\n[strategy.classes]\nmine = "mine_alone:Mine"\n'
    (tmp_path / "sluice.toml").write_text(f'{named}[up]\nstrategy = "mine"\n')
    return tmp_path


def sluice(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as a person does: nothing but the configuration names the folder."""
    outside = {name: each for name, each in os.environ.items() if not name.startswith("SLUICE_")}
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        cwd=folder,
        env={**outside, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("name", ["mine", "mine_alone:Mine"])
def test_a_backtest_finds_it(folder: Path, name: str) -> None:
    done = sluice(folder, "backtest", name, *FEW)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["result"]["terms"]["strategy"] == name


def test_the_processes_of_a_sweep_find_it(folder: Path) -> None:
    done = sluice(folder, "backtest", "mine", *FEW, "--sweep", "fast=3,5", "--jobs", "2")
    assert (done.returncode, done.stderr) == (0, "")
    tried = json.loads(done.stdout)["tried"]
    assert sorted(each["parameters"]["fast"] for each in tried) == [3, 5]
    assert [bool(each["figures"]) for each in tried] == [True, True]


def test_a_check_of_the_configuration_finds_it(folder: Path) -> None:
    done = sluice(folder, "config", "check")
    assert (done.returncode, done.stderr) == (0, "")
