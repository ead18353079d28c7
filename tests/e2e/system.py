"""A whole system in a folder of its own, driven only from the outside: by the command line."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SLUICE = Path(sys.executable).with_name("sluice")
START_TIMEOUT_S = 60.0


def free_ports() -> tuple[int, int]:
    """Return two ports that nobody listens on."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(other.getsockname()[1])


class System:
    """`sluice up` as a user starts it. The folder outlives a stop, as a machine's disk does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "var"
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("SLUICE_", "BASIS_"))}
        port, monitor_port = free_ports()
        self.environment = keep | {
            "SLUICE_PATHS__DATA_DIR": str(self.data_dir),
            "SLUICE_BUS__PORT": str(port),  # not the usual one: tests run side by side
            "SLUICE_BUS__MONITOR_PORT": str(monitor_port),
            "USER": "kim",
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.output = folder / "up.log"

    def up(self, *arguments: str) -> "System":
        """Start it and return at once; `wait_until` says when it is where a test needs it."""
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [str(SLUICE), "up", *arguments],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run one `sluice` command to its end."""
        return subprocess.run(
            [str(SLUICE), *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def json(self, *arguments: str) -> dict[str, Any]:
        """Return what a command prints under `--json`; empty while there is no system to ask."""
        done = self.run(*arguments, "--json")
        found: dict[str, Any] = json.loads(done.stdout) if done.stdout.strip() else {}
        return found

    def status(self) -> dict[str, Any]:
        return self.json("status")

    def wait_until(
        self,
        is_so: Callable[[dict[str, Any]], bool],
        *,
        command: str = "status",
        timeout_s: float = START_TIMEOUT_S,
    ) -> dict[str, Any]:
        """Return the first answer of which `is_so` holds; fail with the last one otherwise."""
        deadline_s = time.monotonic() + timeout_s
        status: dict[str, Any] = {}
        while time.monotonic() < deadline_s:
            assert self.process is None or self.process.poll() is None, self.output.read_text()
            status = self.json(command)
            if status and is_so(status):
                return status
        raise AssertionError(
            f"not within {timeout_s} s: {status}\n{self.output.read_text()[-3000:]}"
        )

    def wait_for_fills(self, count: int = 1) -> dict[str, Any]:
        return self.wait_until(lambda s: (s.get("fills") or 0) >= count)

    def kill(self, service: str) -> int:
        """`kill -9` one service; return the process id it had."""
        pid = int(self.status()["services"][service]["pid"])
        os.kill(pid, signal.SIGKILL)
        return pid

    def stop(self) -> int:
        """Ask it to stop, as Ctrl-C does; return its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        code = self.process.wait(timeout=30)
        self.process = None
        return code

    def close(self) -> None:
        """Leave nothing behind, whatever the test did."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
