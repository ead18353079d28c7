"""Whole systems, started by the installed command."""

import pytest

from tests.e2e.system import SLUICE


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, loudly, what drives a command that is not installed."""
    if SLUICE.exists():
        return
    skip = pytest.mark.skip(reason=f"SKIPPED LOUDLY: no {SLUICE}: run ./ops/setup --dev")
    for item in items:
        if "tests/e2e/" in item.path.as_posix():
            item.add_marker(skip)
