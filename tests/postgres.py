"""A real PostgreSQL server of the test's own, where one is installed."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = "nobody"
ABSENT = Path(__file__).parents[1] / "var" / "peers-absent"
"""What `./ops/peers` could not install where it ran."""


def binaries() -> Path | None:
    """Return the folder of the newest installed server's programs; None without one."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


class Postgres:
    """One server on a socket of its own; nothing listens on the network.

    Attributes:
        url: of its database.
    """

    def __init__(self, folder: Path, programs: Path) -> None:
        self._programs = programs
        self._data, self._folder = folder / "data", folder
        self.url = f"postgresql://postgres@/postgres?host={folder}"
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        self._run("initdb", "-D", str(self._data), *options)

    def start(self) -> None:
        """Start it; return when it can be used."""
        options = f"-k {self._folder} -c listen_addresses='' -c fsync=off"
        log = str(self._folder / "log")
        self._run("pg_ctl", "-D", str(self._data), "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """End it at once, as a crash would."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        user = NOBODY if os.geteuid() == 0 else None  # it refuses to run as root
        done = subprocess.run(
            command, user=user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert done.returncode == 0, done.stderr.decode()


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running server. Where none is installed the test is skipped, and in CI it fails.

    But for a machine of which `./ops/peers` has said aloud that none can be had.
    """
    programs = binaries()
    if programs is None:
        if os.environ.get("CI") and not ABSENT.exists():  # nobody would see a skip there
            pytest.fail("no PostgreSQL server in CI: ./ops/peers installs it")
        pytest.skip("SKIPPED LOUDLY: no PostgreSQL server: ./ops/peers installs it")
    folder = Path(tempfile.mkdtemp(prefix="sluice-pg-"))  # the path of a socket must be short
    try:
        if os.geteuid() == 0:
            os.chown(folder, pwd.getpwnam(NOBODY).pw_uid, -1)
        server = Postgres(folder, programs)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
