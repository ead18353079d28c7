"""The whole system as a user starts it, in a folder of its own, asked over its own bus."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import psutil

from schemas.control import BreakerState, ResetRequest, StartRequest
from schemas.errors import BusError
from schemas.subjects import HALT, RESET, START
from services.cli.desk import Desk, at_desk
from services.cli.locate import Place, RunningSystem, running_system

WAIT_S = 30.0
POLL_S = 0.02
OPERATOR = "bench"
_T = TypeVar("_T")


class Whole:
    """`sluice up`, and an operator's desk at it.

    Attributes:
        desk: asks and requests.
        data_dir: what the system leaves behind.
    """

    def __init__(self, desk: Desk, data_dir: Path, supervisor: psutil.Process) -> None:
        self.desk = desk
        self.data_dir = data_dir
        self._supervisor = supervisor

    async def fills(self) -> int:
        """Return how many executions the executor's book has; 0 while it does not answer."""
        book = await self.desk.book()
        return 0 if book is None else book.fill_count

    async def pid(self, service: str) -> int:
        """Return the process id that a service runs with now; 0 while it does not run."""
        report = await self.desk.supervisor()
        views = () if report is None else report.services
        found = [v.pid for v in views if v.name == service and v.state == "running"]
        return found[0] if found else 0

    async def is_started(self) -> bool:
        """Ask for a start, over a halt that is open if need be; return whether it was granted."""
        arbiter = await self.desk.arbiter()
        if arbiter is None:
            return False
        why = "recovered"
        with contextlib.suppress(BusError):
            if arbiter.breaker_state is not BreakerState.NORMAL:
                reset = ResetRequest(operator=OPERATOR, reason=why, halt=arbiter.halts)
                await self.desk.request(RESET, reset, "breaker")
            start = StartRequest(operator=OPERATOR, reason=why)
            return (await self.desk.request(START, start, "breaker")).is_ok
        return False

    async def halt(self) -> None:
        """Halt everything, as anybody may."""
        await self.desk.connection.publish(HALT, b"")
        await self.desk.connection.flush()

    def processes(self) -> list[psutil.Process]:
        """Return every process of the system, its supervisor first."""
        return [self._supervisor, *self._supervisor.children(recursive=True)]


async def until(
    what: str, ask: Callable[[], Awaitable[_T | None]], timeout_s: float = WAIT_S
) -> _T:
    """Return the first answer that is true.

    Raises:
        BusError: SLU-122 none was in time.
    """
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if found := await ask():
            return found
        await asyncio.sleep(POLL_S)
    raise BusError("SLU-122", found=f"nothing in {timeout_s:g} s", wanted=what)


@contextlib.asynccontextmanager
async def whole(**settings: str) -> AsyncIterator[Whole]:
    """Yield a system that is starting, with these settings from the environment."""
    with TemporaryDirectory(prefix="sluice-whole-") as name:
        folder = Path(name)
        process = _up(folder, settings)
        try:
            system = await until("a system that says where it is", lambda: _where(folder))
            place = Place(nats_url=system.nats_url, keys_dir=system.keys_dir)
            async with at_desk(place) as desk:
                yield Whole(desk, system.data_dir, psutil.Process(process.pid))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=WAIT_S)


async def _where(folder: Path) -> RunningSystem | None:
    return running_system(folder / "var")


def _up(folder: Path, settings: dict[str, str]) -> "subprocess.Popen[bytes]":
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SLUICE_")}
    own = {
        "PATHS__DATA_DIR": str(folder / "var"),
        "BUS__PORT": _free(),
        "BUS__MONITOR_PORT": _free(),
    }
    environment = kept | {f"SLUICE_{key}": value for key, value in {**own, **settings}.items()}
    with (folder / "up.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "services.cli", "up"],
            env=environment | {"PYTHONPATH": os.getcwd()},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _free() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])
