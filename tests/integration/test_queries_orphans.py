"""A process that answers questions ends with its service, also where somebody stopped it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT
from tests.integration.test_supervisor import is_gone, wait_gone
from tests.integration.test_supervisor_orphans import stop

pytestmark = [
    pytest.mark.req("R-04"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel of Linux does it"),
]

SERVICE = """
import pathlib, sys, threading
from concurrent.futures import ThreadPoolExecutor
from services.recorder.queries import apart
from services.recorder.queries.opening import Limits
apart.MODULE = sys.argv[2]
asked = apart.Apart(pathlib.Path(sys.argv[1]), Limits(64, 1))
asker = ThreadPoolExecutor(1, "ask")
asker.submit(asked.begin).result()
print(asked._process.pid, flush=True)
threading.Event().wait()
"""
"""It starts the process as the reports service does: in its one thread for questions."""


def killed_over_stopped(folder: Path, module: str) -> int:
    """Start a service and its process, stop the process, kill the service; return the process."""
    command = [sys.executable, "-c", SERVICE, str(folder), module]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as service:
        assert service.stdout is not None
        pid = int(service.stdout.readline())
        stop(pid)
        service.kill()
    return pid


def test_a_killed_service_takes_a_stopped_process_with_it(tmp_path: Path) -> None:
    wait_gone([killed_over_stopped(tmp_path, "services.recorder.queries.answering")])


def test_without_the_kernel_it_would_have_the_file_open_for_ever(tmp_path: Path) -> None:
    pid = killed_over_stopped(tmp_path, "tests.integration.loose_answering")
    try:
        assert not is_gone(pid)
        assert psutil.Process(pid).status() == psutil.STATUS_STOPPED
    finally:
        os.kill(pid, signal.SIGKILL)
        wait_gone([pid])


def test_one_whose_service_is_gone_before_it_begins_ends_at_once(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "services.recorder.queries.answering",
        str(tmp_path),
        "64",
        "1",
    ]
    reading, writing = os.pipe()
    os.close(writing)
    try:
        done = subprocess.run(command, stdin=reading, capture_output=True, cwd=ROOT, check=False)
    finally:
        os.close(reading)
    assert (done.returncode, done.stdout) == (0, b""), "it is not even ready"
