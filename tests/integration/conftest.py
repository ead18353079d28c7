"""What tests on a real bus have in common."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.guarded import GuardedServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GuardedServer]:
    """A guarded bus of the test's own, in the folder `bus` beside what the test writes."""
    started = GuardedServer(tmp_path / "bus")
    try:
        yield started
    finally:
        started.stop()
