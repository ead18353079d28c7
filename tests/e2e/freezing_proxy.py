"""Between a service and its bus: a connection that can be made half open, without a word."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class FreezingProxy:
    """Passes bytes on; once frozen, a connection stays up and nothing passes, either way.

    Args:
        port: of the server behind it.
        freezes: what the name of a connection must contain for `freeze` to reach it.
    """

    def __init__(self, port: int, freezes: str = "") -> None:
        self._behind, self._freezes = port, freezes
        self._server: asyncio.Server | None = None
        self._flows = asyncio.Event()
        self._flows.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def freeze(self) -> None:
        self._flows.clear()

    def thaw(self) -> None:
        self._flows.set()

    async def close(self) -> None:
        self._flows.set()
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        async with _closing(writer):
            try:
                await self._join(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                pass  # one end is gone before the other was there
            except asyncio.CancelledError:
                return  # closed while it stood

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        async with _closing(server_writer):
            writer.write(await server_reader.readuntil(b"\r\n"))  # INFO
            hello = await reader.readuntil(b"\r\n")  # CONNECT, with the connection's name
            server_writer.write(hello)
            can_freeze = self._freezes.encode() in hello
            ways = [
                asyncio.ensure_future(self._pass(reader, server_writer, can_freeze)),
                asyncio.ensure_future(self._pass(server_reader, writer, can_freeze)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, can_freeze: bool
    ) -> None:
        while data := await source.read(1 << 16):
            if can_freeze:
                await self._flows.wait()
            sink.write(data)
            await sink.drain()


@contextlib.asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await writer.wait_closed()
