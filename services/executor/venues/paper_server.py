"""The paper exchange's door: an asyncio TCP server that lets one executor in at a time."""

import asyncio
import hmac
import secrets
from pathlib import Path
from typing import cast

import msgspec

from schemas import wire
from schemas.base import Event
from schemas.errors import SluiceError, VenueError
from schemas.venue import CancelAllPlaced, VenueMessage
from services.executor.config import VenueConfig
from services.executor.venues.matching import REQUESTS
from services.executor.venues.protocol import REQUEST_BYTES_MAX, Lines, Post, write_address
from services.venue_door import HELLO_BYTES_MAX, PROBE, VENUE_KILL, Address, Hello, Welcome

ENVIRONMENT = "paper"
"""What it says of itself at the door: no real money is behind it."""

PROBED = "the paper exchange"
HELLO_S_MAX = 5.0
"""How long a connection may take to say who it is."""

STRANGERS_MAX = 16
"""Connections that have not yet said who they are; more are closed at once."""

UNREAD_BYTES_MAX = 64 * 1024 * 1024
"""Reports an executor may leave unread before its connection is cut; it reads the book then."""


class PaperServer:
    """The adapter of the paper exchange: requests in, reports out to the executor connected now.

    Reports that nobody is connected for are not kept here: the executor asks for the book when it
    is back. A second executor that knows the token takes the place of the first. `venue-kill`
    takes anybody's place, and nobody takes its: nothing new is sent while it cancels.
    """

    def __init__(self, config: VenueConfig, address_file: Path) -> None:
        self._config = config
        self._address_file = address_file
        self.token = secrets.token_urlsafe(32)
        self._post: Post | None = None
        self._server: asyncio.Server | None = None
        self._client: _Connection | None = None
        self._connections: dict[_Connection, None] = {}

    async def open(self, post: Post) -> None:
        """Listen, and write the address where the executor looks for it."""
        self._post = post
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), self._config.host, self._config.port
        )
        host, port = self._server.sockets[0].getsockname()[:2]
        write_address(self._address_file, Address(host=host, port=port, token=self.token))

    def act(self, event: Event, now_ns: int) -> None:
        """Send a report to the executor, if one is connected."""
        if self._client is not None and isinstance(event, VenueMessage):
            self._client.send(event)

    async def close(self) -> None:
        """Hang up, and take the address away; what rests is still there at the next start."""
        self._post = None
        self._address_file.unlink(missing_ok=True)
        for connection in tuple(self._connections):
            connection.end("the exchange is closing")
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def has_room(self, connection: "_Connection") -> bool:
        """Take a new connection in; return whether there is room for one more stranger."""
        self._connections[connection] = None
        return sum(not each.is_known for each in self._connections) <= STRANGERS_MAX

    def admit(self, connection: "_Connection", hello: Hello) -> None:
        """Make this connection the one that reports go to.

        Raises:
            VenueError: a `venue-kill` is at work, and this is none.
        """
        now = self._client
        is_kill = hello.client == VENUE_KILL
        if now is not None and now.is_kill and not is_kill:
            wanted = "its end: nothing is taken from an executor while it cancels"
            raise VenueError("SLU-130", found="a venue-kill is at work", wanted=wanted)
        if now is not None:
            by = VENUE_KILL if is_kill else "another executor"
            now.cancels_at_end = now.cancels_at_end and not is_kill  # it cancels, and says what
            now.end(f"{by} took over this account")
        connection.is_kill = is_kill
        connection.cancels_at_end = hello.cancel_on_disconnect
        self._client = connection

    def forget(self, connection: "_Connection") -> None:
        """Let go of a connection that has ended; cancel what rests, if it asked for that."""
        self._connections.pop(connection, None)
        if self._client is connection:
            self._client = None
            if connection.cancels_at_end and self._post is not None:
                self._post(CancelAllPlaced(at_ns=0))

    def take(self, connection: "_Connection", requests: list[Event]) -> None:
        """Tell the core; what a connection says after another took over is not heard."""
        if requests and connection is self._client and self._post is not None:
            self._post(*requests)


class _Connection(asyncio.Protocol):
    """One TCP connection: a stranger until its first line shows the token."""

    def __init__(self, server: PaperServer) -> None:
        self.is_known = False
        self.is_kill = False
        self.cancels_at_end = False
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._lines = Lines(HELLO_BYTES_MAX)
        self._impatience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast: uvloop's transports are none by class.
        self._transport = cast(asyncio.Transport, transport)
        if not self._server.has_room(self):
            self.end("too many connections that have not said who they are")
            return
        loop = asyncio.get_running_loop()
        self._impatience = loop.call_later(HELLO_S_MAX, self.end, "no hello within 5 s")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._impatience is not None:
            self._impatience.cancel()
        self._transport = None
        self._server.forget(self)

    def data_received(self, data: bytes) -> None:
        """Read what came; whatever is wrong with it is answered, and ends the connection."""
        if self._transport is None:
            return
        requests: list[Event] = []
        try:
            for line in self._lines.feed(data):
                if self.is_known:
                    requests.append(_request(line))
                else:
                    self._greet(line)
        except SluiceError as error:
            self._server.take(self, requests)  # what was whole before it counts
            self.end(str(error))
            return
        self._server.take(self, requests)

    def send(self, report: VenueMessage) -> None:
        """Write one report."""
        if self._transport is None:
            return
        if self._transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
            self._transport.abort()
            return
        self._transport.write(wire.encode(report) + b"\n")

    def end(self, why: str | Welcome) -> None:
        """Say why, and hang up."""
        last = why if isinstance(why, Welcome) else Welcome(is_ok=False, detail=why)
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.write(_line(last))
            transport.close()
        self._server.forget(self)

    def _greet(self, line: bytes) -> None:
        """Let in who knows the token.

        Raises:
            VenueError: it does not.
        """
        try:
            hello = msgspec.json.decode(line, type=Hello)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise VenueError("SLU-130", found=error, wanted="a hello with the token") from error
        if not hmac.compare_digest(hello.token.encode(), self._server.token.encode()):
            wanted = "the token in run/venue.json, which is new at every start of the exchange"
            raise VenueError("SLU-130", found="another token", wanted=wanted)
        if hello.client == PROBE:
            self.end(Welcome(is_ok=True, detail=PROBED, environment=ENVIRONMENT))
            return
        self._server.admit(self, hello)
        self.is_known = True
        self._lines.bytes_max = REQUEST_BYTES_MAX
        if self._impatience is not None:
            self._impatience.cancel()
        assert self._transport is not None, "greeted only while connected"
        self._transport.write(_line(Welcome(is_ok=True)))


def _request(line: bytes) -> Event:
    """Return the request on a line.

    Raises:
        SluiceError: it is none; reports and bus events are not taken from here.
    """
    event = wire.decode_kept(line, where="the executor's connection")
    if not isinstance(event, REQUESTS):
        wanted = ", ".join(kind.__name__ for kind in REQUESTS)
        raise VenueError("SLU-130", found=type(event).__name__, wanted=wanted)
    return event


def _line(words: Welcome) -> bytes:
    return msgspec.json.encode(words) + b"\n"
