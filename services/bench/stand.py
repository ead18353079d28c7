"""A test stand: the real services as real processes on a nats-server of their own."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import nats
from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from schemas.base import InstrumentId
from schemas.control import ControlAnswered
from schemas.errors import BusError
from schemas.subjects import QUERY, RESET, START
from schemas.wire import decode
from services.bench.gate import ACCOUNT, gate_config, instruments
from services.bench.server import nats_server
from services.gate.config import GateConfig
from services.strategy.config import UNHELD

SERVICES = ("recorder", "venue", "breaker", "executor", "gate", "strategy")
ORDER_PATH = ("venue", "executor", "gate", "strategy")
MODULES = {"venue": "services.executor.venues.paper"}
UNWATCHED = ("order_rate", "stale_data", "message_lag")
"""Breakers without levels here: a benchmark is meant to send too much, too late."""

READY_TIMEOUT_S = 30.0


class Stand:
    """The running services, and a connection to talk to them as anybody on the bus may."""

    def __init__(self, url: str, folder: Path, bus: Client) -> None:
        self.url = url
        self.folder = folder
        self.bus = bus
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    async def start_trading(self, strategy: str, symbols: Sequence[InstrumentId]) -> None:
        """Start a session, as soon as everything that a start needs has been heard of.

        Raises:
            BusError: the start is still refused after a while; the answer says why.
        """
        request = {"operator": "bench", "strategy": strategy, "symbols": list(symbols)}
        request |= {"initial_capital": "1000000"}
        await self._start(request)

    async def restart_trading(self, halt: int) -> None:
        """Clear a halt and start again, as an operator does."""
        await self.ask(RESET, {"operator": "bench", "reason": "bench", "halt": halt})
        await self._start({"operator": "bench"})

    async def _start(self, request: dict[str, Any]) -> None:
        """Ask until it is granted: a busy component may not answer the first time."""
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while True:
            try:
                await self.ask(START, request)
            except BusError:
                if time.monotonic() > deadline_s:
                    raise
                await asyncio.sleep(0.1)
            else:
                return

    async def ask(self, subject: str, request: dict[str, Any]) -> ControlAnswered:
        """Return the answer to a control request.

        Raises:
            BusError: it was refused, or nobody answered.
        """
        try:
            message = await self.bus.request(subject, msgspec.json.encode(request), timeout=10)
        except NatsTimeoutError as error:
            raise BusError("SLU-122", found="no answer", wanted=f"one to {subject}") from error
        [answer] = decode(message.data, subject=message.subject)
        assert isinstance(answer, ControlAnswered)
        if not answer.is_ok:
            raise BusError("SLU-151", found=f"{answer.message} {answer.errors}", wanted=subject)
        return answer

    async def query(self, service: str) -> bytes:
        """Return what a service answers about itself, once it answers.

        Raises:
            BusError: it did not come up in time; its log says why.
        """
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline_s and self.processes[service].poll() is None:
            with contextlib.suppress(NoRespondersError, NatsTimeoutError):
                return (await self.bus.request(f"{QUERY}.{service}", b"", timeout=1)).data
            await asyncio.sleep(0.02)
        log = (self.folder / f"{service}.log").read_text()[-2_000:]
        raise BusError("SLU-122", found=f"{service} is silent: {log}", wanted="a running service")


@contextlib.asynccontextmanager
async def stand(
    symbols: int,
    services: Sequence[str] = SERVICES,
    strategy: Mapping[str, Any] | None = None,
    gate: GateConfig | None = None,
) -> AsyncIterator[Stand]:
    """Yield a stand with these services up, HALTED; `strategy` and `gate` are their sections."""
    with nats_server() as url, TemporaryDirectory(prefix="sluice-stand-") as name:
        folder = Path(name)
        config = folder / "config.json"
        sections = {"gate": gate or gate_config(), "strategy": strategy or {"execution": UNHELD}}
        config.write_bytes(_config(url, folder, symbols, sections))
        bus = await nats.connect(url)
        found = Stand(url, folder, bus)
        try:
            for service in services:
                found.processes[service] = _spawn(service, folder, config)
            for service in services:
                await found.query(service)
            yield found
        finally:
            await bus.close()
            for process in found.processes.values():
                process.terminate()
            for process in found.processes.values():
                process.wait(timeout=10)


def _spawn(service: str, folder: Path, config: Path) -> "subprocess.Popen[bytes]":
    module = MODULES.get(service, f"services.{service}")
    with (folder / f"{service}.log").open("wb") as log:
        command = [sys.executable, "-m", module, "--config", str(config)]
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def _config(url: str, folder: Path, symbols: int, sections: Mapping[str, Any]) -> bytes:
    listed = list(instruments(symbols).values())
    made: dict[str, Any] = {
        "bus": {"url": url},
        "account": {"id": ACCOUNT, "currency": "USD", "initial_cash": "1000000000"},
        "instruments": listed,
        "paths": {"data_dir": str(folder / "var")},
        "breaker": {"levels": {name: [] for name in UNWATCHED}},
        **sections,
    }
    empty = ("feed", "executor", "venue", "breaker", "recorder")
    return msgspec.json.encode({key: {} for key in empty} | made)
