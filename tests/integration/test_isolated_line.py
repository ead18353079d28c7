"""A session's process is told things in the order of time, however far behind it is (S-10)."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from services.strategy.isolated import line as line_module
from services.strategy.isolated.forking import Child
from services.strategy.isolated.frames import HEAD, Reader
from services.strategy.isolated.line import UNANSWERED_MAX, Line

pytestmark = pytest.mark.req("S-10", "S-11")
Told = tuple[int, str]
"""When something came to be, and what it is about."""


class Slow:
    """A process that answers when the test says so, at the other end of a real socket.

    Attributes:
        line: to it.
        told: what it has read, in order.
    """

    def __init__(self, line: Line, its: socket.socket) -> None:
        self.line, self.told = line, list[Told]()
        self._its, self._reader = its, Reader(1 << 20)
        self._unanswered = 0

    def tell(self, at_ns: int, about: str, conflated: str = "") -> None:
        body = struct.pack("<q", at_ns) + about.encode()
        self.line.tell(HEAD.pack(len(body)) + body, conflated)

    async def answer(self) -> None:
        """Read what has come, and answer the oldest that has no answer yet."""
        loop = asyncio.get_running_loop()
        while not self._unanswered:
            for frame in self._reader.feed(await loop.sock_recv(self._its, 1 << 16)):
                self.told.append((struct.unpack("<q", frame[:8])[0], frame[8:].decode()))
                self._unanswered += 1
        self._unanswered -= 1
        heard = asyncio.Event()
        self.line.on_answer = lambda _data: heard.set()
        await loop.sock_sendall(self._its, HEAD.pack(2) + b"{}")
        await heard.wait()

    async def catch_up(self) -> None:
        while not self.line.is_idle:
            await self.answer()


@asynccontextmanager
async def slow() -> AsyncIterator[Slow]:
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    its.setblocking(False)
    process = await asyncio.create_subprocess_exec("sleep", "60", start_new_session=True)
    line = Line(asyncio.get_running_loop(), Child(process.pid, ours), 60_000, 1_000)
    try:
        with its:
            yield Slow(line, its)
    finally:
        line.close()
        await process.wait()


def run(test: Callable[[Slow], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20), slow() as process:
            await test(process)

    asyncio.run(main())


def test_what_a_busy_process_is_told_never_runs_backwards_in_time() -> None:
    """Of quotes it gets the newest, and of trades every one."""

    async def test(process: Slow) -> None:
        for at_ns in range(1_000):
            about = ("ALPHA", "BETA", "trade")[at_ns % 3]
            process.tell(at_ns, about, "" if about == "trade" else f"quote {about}")
            if at_ns % 50 == 0:
                await process.answer()
        await process.catch_up()
        times = [at_ns for at_ns, _about in process.told]
        assert times == sorted(times)
        assert [at for at, about in process.told if about == "trade"] == [*range(2, 1_000, 3)]
        assert process.told[-2:] == [(998, "trade"), (999, "ALPHA")]
        assert (997, "BETA") in process.told
        assert len(process.told) < 333 + 2 * UNANSWERED_MAX

    run(test)


def test_an_instrument_that_always_moves_last_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its newest quote goes behind all others: without a turn of its own it would never come."""
    monkeypatch.setattr(line_module, "PASSED_OVER_S_MAX", 0.0)

    async def test(process: Slow) -> None:
        for at_ns in range(0, 1_000, 2):
            process.tell(at_ns, "ALPHA", "quote ALPHA")
            process.tell(at_ns + 1, "BETA", "quote BETA")
            if at_ns >= 2 * UNANSWERED_MAX:
                await process.answer()
        await process.catch_up()
        late = [about for at_ns, about in process.told if 300 < at_ns < 900]
        assert abs(late.count("ALPHA") - late.count("BETA")) <= 2
        times = [at_ns for at_ns, _about in process.told]
        assert times == sorted(times)

    run(test)
