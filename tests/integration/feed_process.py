"""The feed as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import ROOT


@contextmanager
def feed_process(config: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the feed with this configuration; what it writes is in `feed.log` beside it."""
    log = (config.parent / "feed.log").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", "services.feed", "--config", str(config)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=log,
        stdout=log,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=5)
        log.close()
