"""The real services as processes, a venue of foreign code behind them, and its log to judge by."""

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from schemas.control import ControlAnswered, EpochStarted, HaltAcknowledged
from schemas.health import ArbiterReported
from schemas.subjects import HALT, RESET, START, SUBJECTS
from schemas.wire import decode
from services.bench.gate import ACCOUNT, gate_config, instruments
from services.bench.stand import UNWATCHED
from tests.conftest import NatsServer
from tests.e2e.freezing_proxy import FreezingProxy

SERVICES = ("recorder", "breaker", "executor", "gate", "strategy")
STRATEGY = "services.bench.strategies:EveryTenthTick"
SYMBOL = "bench:S0000"
CASH = "1000000000"
PROGRAM = Path(__file__).with_name("recording_venue.py")
PATIENCE_S = 45.0
EPOCH_NS = 1_600_000_000_000_000_000


def boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Proof:
    """A running system; everything is judged by what the venue wrote down."""

    def __init__(self, folder: Path, modules: Mapping[str, str]) -> None:
        self.folder, self._modules = folder, modules
        self.data_dir, self.log = folder / "var", folder / "venue.log"
        self.server = NatsServer(folder)
        parts = urlsplit(self.server.url)
        self.proxy = FreezingProxy(parts.port or 0, freezes="executor control")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.acknowledged: asyncio.Queue[HaltAcknowledged] = asyncio.Queue()
        self.epochs: list[EpochStarted] = []
        self.bus: Client
        self._marks: socket.socket
        self._names = 0

    async def open(self) -> None:
        await self.proxy.open()
        self._spawn("venue", [str(PROGRAM), str(self.data_dir), str(self.log), CASH])
        address = self.data_dir / "run" / "venue.json"
        await self.until(address.exists, "a venue")
        port = json.loads(address.read_text())["marks"]
        self._marks = socket.create_connection(("127.0.0.1", port), timeout=10)
        for name in SERVICES:
            proxied = f"nats://127.0.0.1:{self.proxy.port}"
            url = proxied if name == "executor" else self.server.url
            config = self.folder / f"{name}.json"
            config.write_bytes(self._config(url))
            module = self._modules.get(name, f"services.{name}")
            self._spawn(name, ["-m", module, "--config", str(config)])
        self.bus = await nats.connect(self.server.url)
        await self.bus.subscribe(SUBJECTS[HaltAcknowledged], cb=self._on_message)
        await self.bus.subscribe(SUBJECTS[EpochStarted], cb=self._on_message)
        await self.bus.flush()

    async def close(self) -> None:
        with contextlib.suppress(Exception):
            await self.bus.close()
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._marks.close()
        await self.proxy.close()
        self.server.process.send_signal(signal.SIGCONT)
        self.server.process.kill()
        self.server.process.wait()

    def noise(self, quotes_per_s: int) -> None:
        """Begin to publish a market that keeps everybody busy."""
        self._spawn("noise", ["-m", "services.bench.noise", self.server.url, str(quotes_per_s)])

    async def start(self) -> EpochStarted:
        """Start trading, for the first time with a session; return the epoch."""
        request: dict[str, Any] = {"operator": "kim"}
        if not self.epochs:
            request |= {"strategy": STRATEGY, "symbols": [SYMBOL], "initial_capital": "1000000"}
        while not self.acknowledged.empty():
            self.acknowledged.get_nowait()  # of a halt before
        before, answer = len(self.epochs), None
        deadline_s = time.monotonic() + PATIENCE_S
        while answer is None or not answer.is_ok:
            assert time.monotonic() < deadline_s, f"no start: {answer}"
            if (report := await self.arbiter()) is not None and report.halt_at_ns:
                reset = {"operator": "kim", "reason": "proof", "halt": report.halts}
                await self.ask(RESET, reset)
            answer = await self.ask(START, request)
        await self.until(lambda: len(self.epochs) > before, "an epoch")
        return self.epochs[-1]

    async def ask(self, subject: str, request: dict[str, Any]) -> ControlAnswered | None:
        try:
            message = await self.bus.request(subject, msgspec.json.encode(request), timeout=5)
        except nats.errors.Error:
            await asyncio.sleep(0.05)
            return None
        [answer] = decode(message.data, subject=message.subject)
        assert isinstance(answer, ControlAnswered)
        return answer

    async def arbiter(self) -> ArbiterReported | None:
        try:
            message = await self.bus.request("query.breaker", b"", timeout=1)
        except nats.errors.Error:
            return None
        [report] = decode(message.data, subject="query.breaker")
        assert isinstance(report, ArbiterReported)
        return report

    async def acknowledgement(self, component: str) -> HaltAcknowledged:
        """Return the next acknowledgement of this component."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = await self.acknowledged.get()
                if found.component == component:
                    return found

    async def halt_until_heard(self) -> None:
        """Halt, and again while the executor is on its way back to the bus and cannot hear it."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            with contextlib.suppress(nats.errors.Error):
                await self.bus.publish(HALT, b"")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await self.acknowledgement("executor")
                    return
        raise AssertionError("the executor never acknowledged a halt")

    async def orders_flow(self, count: int = 3) -> None:
        """Return once the venue has written down so many orders more."""
        before = len(self.orders())
        await self.until(lambda: len(self.orders()) >= before + count, "orders at the venue")

    def mark(self, name: str) -> None:
        """Have the venue write this down, after everything that has reached its socket."""
        self._marks.sendall(name.encode() + b"\n")
        assert self._marks.recv(16) == b"ok\n"

    def entries(self) -> list[tuple[int, str, Any]]:
        """Return the venue's log: marks, and what the executor wrote, decoded."""
        found = []
        for line in self.log.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                at_ns, kind, what = json.loads(line)
                found.append((at_ns, kind, json.loads(what) if kind == "line" else what))
        return found

    def orders(self) -> list[tuple[int, dict[str, Any]]]:
        """Return every order that reached the venue, and when."""
        return [
            (at_ns, said["order"])
            for at_ns, kind, said in self.entries()
            if kind == "line" and said.get("type") == "OrderPlaced"
        ]

    def orders_between(self, first: str, second: str) -> list[str]:
        """Return the ids of the orders between two marks."""
        found, is_between = [], False
        for _, kind, what in self.entries():
            if kind == "mark":
                is_between = what == first or (is_between and what != second)
            elif is_between and what.get("type") == "OrderPlaced":
                found.append(what["order"]["order_id"])
        return found

    def judge(self) -> None:
        """Check what must hold of every log: no id twice, none older than its expiry."""
        orders = self.orders()
        ids = [order["order_id"] for _, order in orders]
        assert len(ids) == len(set(ids)), "an order was sent twice"
        offset_ns = time.time_ns() - boottime_ns()
        late = [order["order_id"] for at, order in orders if at + offset_ns > expiry_ns(order)]
        assert late == [], "an order was sent after its expiry"

    def pause(self, name: str) -> None:
        self._process(name).send_signal(signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        self._process(name).send_signal(signal.SIGCONT)

    async def until(self, is_so: Any, what: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < deadline_s, f"waited in vain for {what}"
            await asyncio.sleep(0.01)

    def _process(self, name: str) -> "subprocess.Popen[bytes]":
        return self.server.process if name == "nats" else self.processes[name]

    def _spawn(self, name: str, words: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    async def _on_message(self, message: Msg) -> None:
        for event in decode(message.data, subject=message.subject):
            if isinstance(event, HaltAcknowledged):
                self.acknowledged.put_nowait(event)
            elif isinstance(event, EpochStarted):
                self.epochs.append(event)

    def _config(self, url: str) -> bytes:
        made: dict[str, Any] = {
            "bus": {"url": url},
            "account": {"id": ACCOUNT, "currency": "USD", "initial_cash": CASH},
            "instruments": list(instruments(10).values()),
            "paths": {"data_dir": str(self.data_dir)},
            "gate": gate_config(),
            "breaker": {"levels": {name: [] for name in UNWATCHED}},
        }
        empty = ("feed", "strategy", "executor", "venue", "breaker", "recorder")
        return msgspec.json.encode({key: {} for key in empty} | made)


def expiry_ns(order: dict[str, Any]) -> int:
    """Return until when the order may be sent, ns since the epoch."""
    found: int = order["expires_at_ns"]
    assert found > EPOCH_NS
    return found


@contextlib.asynccontextmanager
async def proof(folder: Path, **modules: str) -> AsyncIterator[Proof]:
    """Yield a running system; `modules` run in the place of services by their names."""
    found = Proof(folder, modules)
    try:
        await found.open()
        yield found
    finally:
        await found.close()
