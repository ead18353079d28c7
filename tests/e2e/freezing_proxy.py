"""Between a service and its bus: a connection that can be made half open, without a word."""

import asyncio
import contextlib


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
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        writer.write(await server_reader.readuntil(b"\r\n"))  # INFO
        hello = await reader.readuntil(b"\r\n")  # CONNECT, with the connection's name
        server_writer.write(hello)
        is_frozen_too = self._freezes.encode() in hello
        for source, sink in ((reader, server_writer), (server_reader, writer)):
            task = asyncio.ensure_future(self._pass(source, sink, is_frozen_too))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, can_freeze: bool
    ) -> None:
        try:
            while data := await source.read(1 << 16):
                if can_freeze:
                    await self._flows.wait()
                sink.write(data)
                await sink.drain()
        except OSError:
            pass  # the other end is gone: so is this one
        finally:
            sink.close()
            with contextlib.suppress(OSError):
                await sink.wait_closed()
