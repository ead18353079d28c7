"""What takes long shows a bar to a person at a terminal, and nothing to a program."""

import contextlib
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.report_rig import Recorded, a_day, created, terms

pytestmark = pytest.mark.req("S-05", "R-03")
ROOT = Path(__file__).parents[2]
QUICK = ("ema_cross", "--hours", "0.02", "--symbols", "ALPHA")
BAR, ESCAPE = "━", "\x1b["
COLOURS = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")
COMMANDS = {
    "backtest": (("backtest", *QUICK), " events "),
    "sweep": (("backtest", *QUICK, "--sweep", "fast=3,9"), " 2/2 "),
    "export": (("export", "events", "--csv", "events.csv"), "exporting events "),
}
"""Command, and what stands beside its bar."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a record in it, to be exported."""
    Recorded(tmp_path / "var").add(terms(), created(), *a_day())
    return tmp_path


@contextlib.contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """Yield our end of a terminal and the command's."""
    ours, its = pty.openpty()
    try:
        yield ours, its
    finally:
        os.close(ours)


SLUICE = (sys.executable, "-m", "services.cli")


def environment(folder: Path) -> dict[str, str]:
    kept = {name: each for name, each in os.environ.items() if name not in ("CI", "NO_COLOR")}
    paths = {"PYTHONPATH": str(ROOT), "SLUICE_PATHS__DATA_DIR": str(folder / "var")}
    return kept | paths | {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}


def shown_on_a_terminal(words: tuple[str, ...], folder: Path) -> tuple[int, str]:
    """Return how the command ended, and everything it wrote where a person looks."""
    with terminal() as (ours, its):
        process = subprocess.Popen(
            [*SLUICE, *words],
            cwd=folder,
            env=environment(folder),
            stdin=its,
            stdout=its,
            stderr=its,
            start_new_session=True,
        )
        os.close(its)
        written = bytearray()
        with contextlib.suppress(OSError):  # the other end has gone
            while data := os.read(ours, 65_536):
                written += data
        return process.wait(), written.decode()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_bar_is_shown_on_a_terminal_and_gone_at_the_end(name: str, folder: Path) -> None:
    words, beside = COMMANDS[name]
    code, written = shown_on_a_terminal(words, folder)
    assert code == 0, written
    drawn = [line for line in written.replace("\r", "\n").splitlines() if BAR in line]
    assert drawn, written
    assert beside in COLOURS.sub("", f"{drawn[-1]} ")
    after = written[written.rindex(BAR) :]
    assert f"{ESCAPE}2K" in after, "its line is wiped"


@pytest.mark.parametrize("name", COMMANDS)
def test_no_bar_is_shown_where_nobody_looks(name: str, folder: Path) -> None:
    words, _ = COMMANDS[name]
    done = subprocess.run(
        [*SLUICE, *words],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout
    assert done.stderr == ""
    assert BAR not in done.stdout
    assert ESCAPE not in done.stdout
