"""What tests of the live runtime share: a core to serve, a tap on the wire, a bare client."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import uvloop

from schemas.base import BootId, Event
from schemas.control import TradingState
from schemas.health import GateReported
from schemas.wire import decode
from services.core import NOTHING
from services.runtime.clock import Clock
from services.runtime.config import BusConfig
from services.runtime.connect import connect
from services.runtime.fastpath import BusConnection
from services.runtime.live import Live

T = TypeVar("T")
Answers = Mapping[type[Event], Callable[[Any, int], Sequence[Event]]]
CLOCK = Clock()
"""What everything served here takes for the time."""

GIVE_UP_S = 30.0
"""Far beyond what any of these takes; only so that a failure is a failure and not a hang."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run on the loop that services run on."""

    async def bounded() -> T:
        async with asyncio.timeout(GIVE_UP_S):
            return await main

    return uvloop.run(bounded())


async def first_of(*waits: Awaitable[Any]) -> object:
    """Return what comes first, and wait for the others no more."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    return done.pop().result()


class Probe:
    """A core that answers as the test says, and remembers what it was told."""

    def __init__(self, answers: Answers, keeps: Sequence[type[Event]] = ()) -> None:
        self.hears: frozenset[type[Event]] = frozenset(answers)
        self.keeps: frozenset[type[Event]] = frozenset(keeps)
        self.fsyncs: frozenset[type[Event]] = frozenset()
        self.wake_at_ns: int | None = None
        self.heard: list[Event] = []
        self.on_wake: Callable[[int], Sequence[Event]] = lambda now_ns: NOTHING
        self._answers = answers

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        self.heard.append(event)
        return self._answers[type(event)](event, now_ns)

    def wake(self, now_ns: int) -> Sequence[Event]:
        self.wake_at_ns = None
        return self.on_wake(now_ns)

    def restore(self, event: Event) -> None:
        raise AssertionError("nothing is restored here")

    def describe(self, now_ns: int) -> Event:
        return report(now_ns)


def report(now_ns: int) -> GateReported:
    return GateReported(
        at_ns=now_ns,
        trading_state=TradingState.HALTED,
        epoch=0,
        limits_hash="",
        decided_count=0,
        approved_count=0,
    )


def silent(event: Event, now_ns: int) -> Sequence[Event]:
    """Answer nothing."""
    return NOTHING


class Ear:
    """Hears subjects with a connection of its own; messages wait here in the order they came."""

    def __init__(self, connection: BusConnection) -> None:
        self.connection = connection
        self._messages: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def listen(self, *subjects: str) -> None:
        for subject in subjects:
            await self.connection.take(subject, self._take)
        await self.connection.flush()

    async def message(self) -> tuple[str, bytes]:
        return await self._messages.get()

    async def data(self) -> bytes:
        return (await self.message())[1]

    async def frame(self) -> tuple[Event, ...]:
        subject, data = await self._messages.get()
        return decode(data, subject=subject)

    async def event(self) -> Event:
        [event] = await self.frame()
        return event

    @property
    def waiting_count(self) -> int:
        return self._messages.qsize()

    def _take(self, subject: str, data: bytes, reply: str) -> None:
        self._messages.put_nowait((subject, data))


@contextlib.asynccontextmanager
async def ear(url: str, *subjects: str) -> AsyncIterator[Ear]:
    connection = await connect("watcher", BusConfig(url=url))
    try:
        found = Ear(connection)
        await found.listen(*subjects)
        yield found
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def serving(url: str, core: Probe, **options: Any) -> AsyncIterator[Live]:
    """Serve `core` as `gate` with boot id `b1` until the block ends."""
    elsewhere = options.pop("elsewhere", frozenset())
    connection = await connect("gate", BusConfig(url=url))
    live = Live(core, connection, name="gate", boot_id=BootId("b1"), clock=CLOCK, **options)
    task = asyncio.create_task(live.run(elsewhere))
    await started(live, task)
    try:
        yield live
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await connection.close()


async def started(live: Live, task: "asyncio.Task[None]") -> None:
    """Wait until the server has every subscription of `live`."""
    listening = asyncio.ensure_future(live.listening.wait())
    await asyncio.wait((listening, task), return_when=asyncio.FIRST_COMPLETED)
    listening.cancel()
    if task.done():
        await task


class Bare:
    """A NATS client on a blocking socket: what it does needs no turn of the event loop."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((str(parts.hostname), parts.port or 0), timeout=20)
        self._buffer = b""
        self._until(b"\r\n")
        self.write(b'CONNECT {"verbose":false}\r\n')
        self.settle()

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def settle(self) -> None:
        """Return when the server has taken in everything written so far."""
        self.write(b"PING\r\n")
        self._until(b"PONG\r\n")

    def subscribe(self, subject: str) -> None:
        self.write(f"SUB {subject} 1\r\n".encode())
        self.settle()

    def publish(self, subject: str, *messages: bytes) -> None:
        lines = (b"PUB %b %d\r\n%b\r\n" % (subject.encode(), len(m), m) for m in messages)
        self.write(b"".join(lines))

    def message(self) -> bytes:
        """Return the data of the next message; blocks until it is there."""
        head = self._until(b"\r\n")
        while not head.startswith(b"MSG"):
            head = self._until(b"\r\n")
        size = int(head.split()[-1])
        while len(self._buffer) < size + 2:
            self._read()
        data, self._buffer = self._buffer[:size], self._buffer[size + 2 :]
        return data

    def close(self) -> None:
        self._socket.close()

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._read()
        head, self._buffer = self._buffer.split(mark, 1)
        return head

    def _read(self) -> None:
        data = self._socket.recv(1 << 20)
        assert data, "the server closed the connection"
        self._buffer += data


class Tap:
    """A wire between clients and the real server that can be read, held up and cut."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._to = (str(parts.hostname), parts.port or 0)
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._flows = asyncio.Event()
        self._flows.set()
        self._is_cut = False
        self.seen = bytearray()
        """All bytes that clients have sent."""

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._on_client, "127.0.0.1", 0)
        self.url = f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Break every connection, and every new one, until `mend`."""
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def mend(self) -> None:
        self._is_cut = False

    def hold(self) -> None:
        """Let nothing from the server through until `release`."""
        self._flows.clear()

    def release(self) -> None:
        self._flows.set()

    async def close(self) -> None:
        self.cut()
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        from_server, to_server = await asyncio.open_connection(*self._to)
        self._writers += [writer, to_server]
        for pump in (self._pump_up(reader, to_server), self._pump_down(from_server, writer)):
            task = asyncio.create_task(self._quietly(pump))
            self._tasks.add(task)

    async def _pump_up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            self.seen += data
            writer.write(data)
            await writer.drain()
        writer.close()

    async def _pump_down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            await self._flows.wait()
            writer.write(data)
            await writer.drain()
        writer.close()

    @staticmethod
    async def _quietly(pump: Awaitable[None]) -> None:
        with contextlib.suppress(OSError):
            await pump


@contextlib.asynccontextmanager
async def tapped(url: str) -> AsyncIterator[Tap]:
    tap = Tap(url)
    await tap.open()
    try:
        yield tap
    finally:
        await tap.close()


class Links:
    """What a connection says of its link, in order."""

    def __init__(self, connection: BusConnection) -> None:
        self._changes: asyncio.Queue[bool] = asyncio.Queue()
        connection.on_link.append(lambda is_up, detail: self._changes.put_nowait(is_up))

    async def next(self) -> bool:
        return await self._changes.get()
