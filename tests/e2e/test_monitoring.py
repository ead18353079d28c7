"""A real Prometheus scrapes a real system: every panel has its answer, every rule its metric."""

import contextlib
import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.config_sections import METERED
from tests.conftest import ROOT
from tests.e2e.system import System, free_ports

pytestmark = [
    pytest.mark.req("O-02"),
    pytest.mark.skipif(
        shutil.which("prometheus") is None,
        reason="SKIPPED LOUDLY: no prometheus: ./ops/peers installs it",
    ),
]

RULES = ROOT / "ops" / "prometheus" / "rules.yml"
DASHBOARDS = sorted((ROOT / "ops" / "grafana" / "dashboards").glob("*.json"))
ANSWER_WITHIN_S = 60.0
POLL_S = 0.3
OR_ZERO = " or vector(0)"
MAY_BE_UNKNOWN = {"sluice_session_sharpe_ratio"}
"""What no system knows in its first minutes: the family is there, without a sample."""


class Prometheus:
    """The program itself, on a port of its own, finding its targets as an operator's would."""

    def __init__(self, folder: Path, data_dir: Path) -> None:
        folder.mkdir()
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                {
                    "job_name": "sluice",
                    "file_sd_configs": [
                        {"files": [f"{data_dir}/run/metrics/*.json"], "refresh_interval": "1s"}
                    ],
                }
            ],
        }
        file = folder / "prometheus.yml"
        file.write_text(json.dumps(config))  # JSON is YAML
        self.port = free_ports()[0]
        self.log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def ask(self, path: str, **query: str) -> Any:
        address = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            return json.load(answer)["data"]

    def result_of(self, expression: str) -> list[Any]:
        found: list[Any] = self.ask("query", query=expression)["result"]
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("monitoring")
    system = System(folder)
    watching = None
    try:
        system.up("--set", "feed.quotes_per_s=100")
        watching = Prometheus(folder / "prometheus", system.data_dir)
        system.wait_for_fills()
        assert system.run("stop", "nobody-9").returncode  # refused: there is something to count
        yield watching
    finally:
        if watching is not None:
            watching.close()
        system.close()


def panels(file: Path) -> Iterator[tuple[str, str]]:
    for panel in json.loads(file.read_text())["panels"]:
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            yield f"{file.stem}: {panel['title']}", target["expr"]


def until_all_answer(prometheus: Prometheus, wanted: dict[str, str]) -> dict[str, str]:
    """What still has no answer when the time is up."""
    deadline_s = time.monotonic() + ANSWER_WITHIN_S
    left = dict(wanted)
    while left and time.monotonic() < deadline_s:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):  # it is still starting
            left = {title: expr for title, expr in left.items() if not prometheus.result_of(expr)}
        time.sleep(POLL_S)  # a scrape cannot be waited for in any other way
    return left


def every_panel() -> dict[str, str]:
    """What each panel asks, without the 0 that it shows in the place of nothing at all."""
    found = {f"{title}: {expr}": expr for file in DASHBOARDS for title, expr in panels(file)}
    return {title: expr.removesuffix(OR_ZERO) for title, expr in found.items()}


def families(prometheus: Prometheus) -> set[str]:
    """What the processes expose, by the names of their TYPE lines: those without a sample too."""
    found: set[str] = set()
    for target in prometheus.ask("targets")["activeTargets"]:
        with urllib.request.urlopen(target["scrapeUrl"], timeout=10) as answer:
            found |= set(re.findall(r"^# TYPE (\S+) ", answer.read().decode(), re.MULTILINE))
    return found


def names_in(expression: str) -> set[str]:
    """The families that an expression asks."""
    found = re.findall(r"\b(?:sluice|process)_\w+", expression)
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in found}


def test_every_panel_of_every_dashboard_is_answered(prometheus: Prometheus) -> None:
    wanted = {
        title: expr
        for title, expr in every_panel().items()
        if f"{expr}{OR_ZERO}" not in title and not names_in(expr) & MAY_BE_UNKNOWN
    }
    assert len(wanted) > 50
    assert until_all_answer(prometheus, wanted) == {}


def test_every_metric_that_a_panel_asks_for_is_exposed_even_if_it_would_show_a_0(
    prometheus: Prometheus,
) -> None:
    asked = {name for expr in every_panel().values() for name in names_in(expr)}
    assert asked >= {"sluice_alerts_total", "sluice_signals_rejected_total", "sluice_breaker_known"}
    assert asked >= MAY_BE_UNKNOWN
    assert until_all_answer(prometheus, {"venue": "sluice_venue_accept_seconds_count"}) == {}
    assert asked - families(prometheus) == set()


def test_every_metric_that_a_rule_asks_for_is_exposed(prometheus: Prometheus) -> None:
    asked = set(re.findall(r"\b(?:sluice|process)_\w+", _expressions()))
    assert len(asked) > 12
    assert until_all_answer(prometheus, {name: name for name in asked}) == {}


def test_a_system_that_is_well_wakes_nobody(prometheus: Prometheus) -> None:
    assert until_all_answer(prometheus, {"up": f"sum(up) == {len(METERED)}"}) == {}
    firing = {
        each["labels"]["alertname"]
        for each in prometheus.ask("alerts")["alerts"]
        if each["state"] == "firing" and each["labels"]["severity"] == "critical"
    }
    assert firing == set()


def test_promtool_accepts_configuration_and_rules_and_their_own_tests_pass() -> None:
    folder = RULES.parent
    for command in (
        ("check", "config", "--syntax-only", "prometheus.yml"),
        ("check", "config", "--syntax-only", "prometheus-compose.yml"),
        ("check", "rules", "rules.yml"),
        ("test", "rules", "rules-test.yml"),
    ):
        done = subprocess.run(
            ["promtool", *command], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"promtool {command}: {done.stdout}{done.stderr}"


def test_every_rule_is_tested_with_what_fires_it_and_with_what_does_not() -> None:
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    tests = yaml.safe_load((RULES.parent / "rules-test.yml").read_text())["tests"]
    tested = [
        (c["alertname"], bool(c["exp_alerts"])) for t in tests for c in t.get("alert_rule_test", ())
    ]
    assert len(rules) > 20
    assert {(rule["alert"], fires) for rule in rules for fires in (True, False)} == set(tested)


def test_every_runbook_that_a_rule_names_is_there() -> None:
    named = set(re.findall(r"ops/runbooks/[\w-]+\.md", RULES.read_text()))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def _expressions() -> str:
    return " ".join(re.findall(r"^\s+expr: (.*)$", RULES.read_text(), re.MULTILINE))
