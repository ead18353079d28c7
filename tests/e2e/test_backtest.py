"""`sluice backtest`, as a person or a script uses it."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas.results import BacktestResult
from services.cli.__main__ import run
from services.cli.exits import Exit
from services.repository.config import RepositoryConfig, opened
from services.repository.kinds import BACKTESTS

pytestmark = pytest.mark.req("S-05", "R-03")
LONG = ["backtest", "ema_cross", "--hours", "100"]
SLOW = ["backtest", "ema_cross", "--hours", "0.05", "--symbols", "ALPHA"]
QUICK = ["backtest", "ema_cross", "--hours", "0.02", "--symbols", "ALPHA"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run where there is no configuration but the defaults."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLUICE_PATHS__DATA_DIR", str(tmp_path / "var"))


@pytest.fixture
def spy(data_dir: Path) -> str:
    return str(data_dir.resolve() / "lean" / "equity" / "usa" / "daily" / "spy.zip")


def stored(data_dir: Path) -> list[BacktestResult]:
    async def read() -> list[BacktestResult]:
        repository = await opened(RepositoryConfig(), data_dir)
        try:
            return await repository.find(BACKTESTS)
        finally:
            await repository.close()

    return asyncio.run(read())


def test_a_result_is_shown_stored_and_the_same_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    documents: list[Any] = []
    for _ in range(2):
        assert run([*QUICK, "--json", "--set", "fast=5"]) == Exit.OK
        documents.append(json.loads(capsys.readouterr().out))
    first, second = documents
    assert first == second
    assert len(first["journal_hash"]) == 64
    assert first["result"]["figures"]["fill_count"] > 0
    [kept] = stored(tmp_path / "var")
    assert kept.id == first["id"]
    assert kept.terms.parameters["fast"] == 5
    assert kept.recorded_ns > 0


def test_people_get_figures_refusals_and_where_the_profit_came_from(
    spy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["backtest", "buy_and_hold", "--data", spy, "--from", "2008-01-01"]
    assert run([*words, "--to", "2008-02-29", "--set", "quantity=1500"]) == Exit.OK
    said = capsys.readouterr().out
    for part in (
        "Sharpe",
        "market_wide_halt",
        "drawdown: halt",
        "usa:SPY",
        "no fees",
        "sha256",
        "stored as",
    ):
        assert part in said
    assert "\x1b" not in said, "no bar and no colour where nobody looks"


@pytest.mark.req("S-08")
def test_what_own_limits_blocked_is_shown_beside_what_the_gate_refused(
    spy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["backtest", "buy_and_hold", "--data", spy, "--from", "2008-01-01"]
    words += ["--to", "2008-02-29", "--set", "quantity=10000", "--capital", "10000000"]
    assert run([*words, "--html", "page.html"]) == Exit.OK
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    title = lines.index("blocked by own limits")
    assert lines[title + 2].split() == ["rule", "signals"]
    assert lines[title + 4].split() == ["position_size_limit", "41"]
    assert "read: 41 bars, 41 closing prices, 82 quotes, 41 trades" in lines
    page = (tmp_path / "page.html").read_text()
    section = page.split("<h2>Blocked by own limits</h2>")[1].split("</table>")[0]
    assert re.findall("<td[^>]*>(.*?)</td>", section) == ["position_size_limit", "41"]
    assert "Refused by the gate" not in page
    assert run([*words, "--json"]) == Exit.OK
    document = json.loads(capsys.readouterr().out)
    assert document["result"]["figures"]["blocked"] == {"position_size_limit": 41}
    assert {each["rule"] for each in document["blocked"]} == {"position_size_limit"}
    assert len(document["blocked"]) == 41
    assert sum(document["read"].values()) == 205


def test_the_page_needs_nothing_else_and_believes_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "<script>alert(1)</script>"
    module = "class_of_evil"
    (tmp_path / f"{module}.py").write_text(
        "from services.strategy.interface import Strategy\n"
        "class Evil(Strategy):\n"
        "    def on_quote(self, quote):\n"
        f"        raise RuntimeError('{evil}')\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        code = run(["backtest", f"{module}:Evil", *QUICK[2:], "--html", "page.html"])
    finally:
        sys.path.remove(str(tmp_path))
    assert code == Exit.FAILED
    assert "ended early" in capsys.readouterr().err
    page = (tmp_path / "page.html").read_text()
    assert "&lt;script&gt;alert(1)" in page
    assert evil not in page
    assert "Plotly.newPlot" in page
    assert 'src="http' not in page
    assert "<link" not in page.split("<body>")[0]
    assert [each.name for each in tmp_path.iterdir() if "page" in each.name] == ["page.html"]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["backtest", "ema_crss"], "did you mean ema_cross"),
        (["backtest", "ema_cross", "--set", "fst=5", "--hours", "0.01"], "did you mean fast"),
        (["backtest", "ema_cross", "--set", "fast"], "name=value"),
        (["backtest", "ema_cross", "--from", "2020-02-30"], "a date like"),
        (["backtest", "ema_cross", "--from", "2020-02-02", "--to", "2020-02-01"], "before --to"),
        (["backtest", "ema_cross", "--from", "2030-02-02"], "SLU-110"),
        (["backtest", "ema_cross", "--capital", "-5"], "above 0"),
        (["backtest", "ema_cross", "--data", "nowhere.zip"], "SLU-102"),
        (["backtest", "ema_cross", "--data", "empty"], "SLU-110"),
        (["backtest", "ema_cross", "--symbols", "GAMA"], "GAMMA"),
        (["backtest", "ema_cross", "--html", "no/such/page.html"], "a folder that is there"),
        (["backtest", "ema_cross", "--sweep", "fast"], "parameter=a,b,c"),
        (["backtest", "ema_cross", "--sweep", "fast=3,4", "--by", "luck"], "sharpe"),
        (["backtest", "ema_cross", "--setting", "gate.nothing=1"], "nothing"),
    ],
)
def test_what_makes_no_sense_is_an_error_that_says_what_is_wanted(
    words: list[str], wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert run(words) == Exit.BAD_INPUT
    said = capsys.readouterr()
    assert wanted in said.err
    assert "Traceback" not in said.err
    assert said.out == ""
    assert [each.name for each in tmp_path.iterdir()] == ["empty"], "nothing was left half written"


def test_a_sweep_is_shown_best_first_and_not_run_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [*QUICK, "--sweep", "fast=3,9", "--by", "total_return"]
    assert run([*words, "--json"]) == Exit.OK
    tried = json.loads(capsys.readouterr().out)["tried"]
    returns = [each["figures"]["total_return"] for each in tried]
    assert returns == sorted(returns, reverse=True)
    assert run(words) == Exit.OK
    assert "2 of 2 were tried before" in capsys.readouterr().out


def test_ctrl_c_leaves_no_page_and_no_result(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "services.cli", *LONG, "--html", "page.html"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors == b""
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.long
def test_a_sweep_that_was_killed_goes_on_and_its_workers_are_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SLOW, "--sweep", "fast=2,3,4,5,6,7,8,9", "--jobs", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "services.cli", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        start_new_session=True,
    )
    folder = tmp_path / "var" / "sweeps"
    while not any(file.read_bytes().count(b"\n") for file in folder.glob("*.jsonl")):
        assert process.poll() is None
    process.kill()
    process.wait()
    while _group(process.pid):  # they notice by themselves
        pass
    assert run(words) == Exit.OK
    said = capsys.readouterr().out
    assert "of 8 were tried before" in said
    [file] = folder.glob("*.jsonl")
    lines = [json.loads(line) for line in file.read_bytes().splitlines() if line]
    assert sorted(each["parameters"]["fast"] for each in lines) == list(range(2, 10))


def _group(pid: int) -> bool:
    """Return whether anything of a process group still lives."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True
