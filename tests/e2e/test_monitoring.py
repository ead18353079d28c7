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
HOLD_HERE = {"SluiceNotDurable", "SluiceDiskLow"}
"""Rules of the machine: a test's server is not durable, and its disk may be full."""

MAY_BE_UNKNOWN = {"sluice_session_sharpe_ratio"}
"""What no system knows in its first minutes: the family is there, without a sample."""


IN_WINDOW = re.compile(r"\b(?:increase|rate)\((?P<series>\w+(?:\{[^}]*\})?)\[(?P<window>\w+)\]\)")
BORN_AT_0 = {
    *("sluice_messages_received_total", "sluice_dead_letters_total", "sluice_sequence_gaps_total"),
    *("sluice_events_lost_total", "sluice_process_restarts_total", "sluice_fills_total"),
    *("sluice_process_cpu_seconds_total", "process_cpu_seconds_total"),
    *("sluice_signals_decided_total", "sluice_orders_approved_total"),
    "sluice_session_signals_total",
}
"""Counters that are there before there is anything to count."""


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
        refuse_something(system)
        yield watching
    finally:
        if watching is not None:
            watching.close()
        system.close()


def refuse_something(system: System) -> None:
    """Have a request and signals refused: what is counted of that is there from the first one."""
    assert system.run("stop", "nobody-9").returncode
    limit = 'gate.instruments."sim:ALPHA".order_quantity_max=1'
    done = system.run("limits", "set", limit, "--reason", "so that signals are rejected")
    assert done.returncode == 0, done.stdout + done.stderr


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
    asked = every_panel()
    wanted = {t: expr for t, expr in asked.items() if not names_in(expr) & MAY_BE_UNKNOWN}
    assert len(wanted) > 55
    assert len(asked) - len(wanted) == len(MAY_BE_UNKNOWN)
    assert until_all_answer(prometheus, wanted) == {}


def test_a_panel_of_what_no_system_knows_at_first_asks_for_what_is_exposed(
    prometheus: Prometheus,
) -> None:
    asked = {name for expr in every_panel().values() for name in names_in(expr)}
    assert asked >= MAY_BE_UNKNOWN
    assert asked - families(prometheus) == set()


def test_in_containers_each_process_tells_itself_what_the_supervisor_tells_elsewhere(
    prometheus: Prometheus,
) -> None:
    titles = ("Resident memory", "Processor", "File handles", "Restarts nobody asked for")
    asked = {t: expr for t, expr in every_panel().items() if any(f": {n}:" in t for n in titles)}
    alone = {title: expr.partition(" or ")[2] for title, expr in asked.items()}
    assert len(alone) == len(titles)
    own = {title: expr.removeprefix("on (process) ") for title, expr in alone.items()}
    assert until_all_answer(prometheus, own) == {}


def test_every_metric_that_a_rule_asks_for_is_exposed(prometheus: Prometheus) -> None:
    asked = set(re.findall(r"\b(?:sluice|process)_\w+", _expressions()))
    assert len(asked) > 12
    assert until_all_answer(prometheus, {name: name for name in asked}) == {}


def test_a_system_that_is_well_wakes_nobody(prometheus: Prometheus) -> None:
    """No rule holds all the time, however long it waits before it fires: each is asked itself."""
    assert until_all_answer(prometheus, {"up": f"sum(up) == {len(METERED)}"}) == {}
    silent = {
        rule["alert"]: f"vector(1) unless on () ({rule['expr']})"
        for rule in rules()
        if rule["alert"] not in HOLD_HERE
    }
    assert len(silent) > 20
    assert until_all_answer(prometheus, silent) == {}


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
    tests = yaml.safe_load((RULES.parent / "rules-test.yml").read_text())["tests"]
    tested = [
        (c["alertname"], bool(c["exp_alerts"])) for t in tests for c in t.get("alert_rule_test", ())
    ]
    assert len(rules()) > 20
    assert {(rule["alert"], fires) for rule in rules() for fires in (True, False)} == set(tested)


def test_what_is_born_with_its_first_event_counts_with_its_value_in_rules_and_panels() -> None:
    """`increase` and `rate` see nothing in a series that was not there before."""
    exprs = [*every_panel().values(), *(rule["expr"] for rule in rules())]
    asked = [each for expr in exprs for each in IN_WINDOW.finditer(expr)]
    lazy = [each for each in asked if re.sub(r"\{.*", "", each["series"]) not in BORN_AT_0]
    blind = [
        each["series"]
        for each in lazy
        if "({series} unless {series} offset {window})".format(**each.groupdict())
        not in each.string[: each.start()]
    ]
    assert len(lazy) > 15
    assert blind == []


def test_the_panels_that_promtool_tests_are_those_that_are_shown() -> None:
    tests = yaml.safe_load((RULES.parent / "rules-test.yml").read_text())["tests"]
    tested = [each["expr"] for t in tests for each in t.get("promql_expr_test", ())]
    shown = [expr + OR_ZERO for expr in every_panel().values()]
    of_panels = [expr for expr in tested if "ALERTS" not in expr]
    assert len(of_panels) == 2
    assert [expr for expr in of_panels if expr not in shown] == []


def test_every_runbook_that_a_rule_names_is_there() -> None:
    named = set(re.findall(r"ops/runbooks/[\w-]+\.md", RULES.read_text()))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    return found


def _expressions() -> str:
    return " ".join(re.findall(r"^\s+expr: (.*)$", RULES.read_text(), re.MULTILINE))
