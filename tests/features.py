"""A pytest plugin: which requirements are shown by tests that passed (`--features FILE`)."""

import json
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the file to write."""
    parser.addoption("--features", default=None, help="write requirement -> outcomes to this file")


def pytest_configure(config: pytest.Config) -> None:
    """Collect outcomes where the reports come together: not in the workers of xdist."""
    if config.getoption("--features") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Collector(Path(config.getoption("--features"))))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the requirements of a test where its report carries them, across processes too."""
    for item in items:
        for mark in item.iter_markers("req"):
            item.user_properties += [("req", str(each)) for each in mark.args]


class Collector:
    """Counts, per requirement, the tests that passed and those that did not."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.outcomes: dict[str, dict[str, int]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test once: its call, or the set-up that kept it from being called."""
        if report.when != "call" and not (report.when == "setup" and not report.passed):
            return
        for name, requirement in report.user_properties:
            if name == "req":
                counts = self.outcomes.setdefault(str(requirement), {})
                counts[report.outcome] = counts.get(report.outcome, 0) + 1

    def pytest_sessionfinish(self) -> None:
        """Write what was counted."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(self.outcomes, indent=1, sort_keys=True) + "\n")
