"""Fixtures shared by every suite."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.features"]

ROOT = Path(__file__).parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite", action="store_true", help="write golden files anew; read the diff"
    )
    parser.addoption("--seeds", type=int, default=50, help="seeds per simulation test")
    parser.addoption("--seed", type=int, default=None, help="replay this one seed")


LONGEST = "tests/sim/test_simulation.py"
"""Begun last, it would run for three minutes on one core while the other has nothing to do."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; all else stays in its order."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.fixture(scope="session", autouse=True)
def _state_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what a system puts outside its data folder out of the home of whoever runs tests."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture
def seeds(request: pytest.FixtureRequest) -> list[int]:
    """The seeds to try: `--seed N` alone, or the first `--seeds`."""
    one = request.config.getoption("--seed")
    return [one] if one is not None else list(range(request.config.getoption("--seeds")))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real recordings; tests that need it are skipped, and say so, without it."""
    found = Path(os.environ.get("SLUICE_DATA", ROOT.parent / "shared" / "data"))
    if not (found / "README.md").exists():
        pytest.skip(f"no recordings at {found}: set SLUICE_DATA")
    return found


class NatsServer:
    """A real nats-server on free ports, this test's own, without authorisation."""

    def __init__(self, folder: Path, *extra: str) -> None:
        self.folder = folder
        binary = Path(sys.executable).with_name("nats-server")
        command = [str(binary), "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", str(folder)]
        command += ["-js", "-sd", str(folder / "js"), "-l", str(folder / "nats.log"), *extra]
        self.process = subprocess.Popen(command)
        self.url = self._announced_url()

    def _announced_url(self) -> str:
        ports = self.folder / f"nats-server_{self.process.pid}.ports"
        for _ in range(2_000):
            assert self.process.poll() is None, (self.folder / "nats.log").read_text()
            if ports.exists() and (text := ports.read_text()):
                return str(json.loads(text)["nats"][0])
            os.sched_yield()
            self._pause()
        raise AssertionError("nats-server announced no port")

    @staticmethod
    def _pause() -> None:
        import time

        time.sleep(0.005)  # a file's appearance cannot be awaited portably

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(timeout=5)


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A real nats-server with JetStream, alive for one test."""
    folder = tmp_path / "nats"
    folder.mkdir()
    server = NatsServer(folder)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def nats_url(nats_server: NatsServer) -> str:
    """The address of a real nats-server, this test's own, on a free port."""
    return nats_server.url
