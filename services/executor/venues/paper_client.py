"""The executor's way to the paper exchange: one TCP connection, and no buffer of ours.

What is said is written in the same step, or it is not written. An order is checked for the last
time under the lock that a halt waits for, so once a halt is acknowledged nothing is on its way
from here. A connection that takes only a part of a line has ended: the order on it is of unknown
fate, and is asked for on the next one.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from schemas import wire
from schemas.base import NS_PER_S, Event, OrderId
from schemas.errors import SluiceError, VenueError
from schemas.executions import OutcomeRecorded
from schemas.orders import Order
from schemas.venue import OrderPlaced, VenueLinkChanged, VenueMessage
from services.executor.config import ExecutorConfig
from services.executor.venues.matching import REQUESTS
from services.executor.venues.protocol import REPORT_BYTES_MAX, Lines, Post
from services.runtime.ending import end
from services.venue_door import Hello, Welcome, read_address

CONNECT_S_MAX = 2.0
READ_BYTES = 262_144
COMPLAIN_AFTER_NS = 5 * NS_PER_S
"""A venue that cannot be reached for so long after the start is said to be away."""

WRITTEN_MAX = 100_000
"""Ids remembered as written, for a core that says the same order twice in one breath."""

MaySend = Callable[[Order, int], str]
Clock = Callable[[], int]


class PaperClient:
    """The adapter of the executor.

    Args:
        config: how soon to connect again.
        address_file: where the exchange writes its address.
        may_send: the core's last check; returns why not, empty when the order may be written.
        lock: held around that check and the write; a halt takes it before it acknowledges.
        clock: returns now, in ns since the epoch.
    """

    def __init__(
        self,
        config: ExecutorConfig,
        address_file: Path,
        *,
        may_send: MaySend,
        lock: AbstractContextManager[object],
        clock: Clock,
    ) -> None:
        self._config = config
        self._address_file = address_file
        self._may_send = may_send
        self._lock = lock
        self._clock = clock
        self._post: Post | None = None
        self._socket: socket.socket | None = None
        self._lines = Lines(REPORT_BYTES_MAX)
        self._written: dict[OrderId, None] = {}
        self._outcomes: list[Event] = []
        self._lost = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self, post: Post) -> None:
        """Connect, and go on connecting whenever the connection is lost."""
        self._post = post
        self._task = asyncio.create_task(self._stay_connected(), name="venue link")

    def act(self, event: Event, now_ns: int) -> None:
        """Write an order after its last check, or any other request at once."""
        if isinstance(event, OrderPlaced):
            self._send_order(event)
        elif isinstance(event, REQUESTS) and isinstance(event, VenueMessage):
            self._send(event)

    async def close(self) -> None:
        """Hang up."""
        if self._task is not None:
            await end(self._task)
        self._hang_up()

    def _send_order(self, placed: OrderPlaced) -> None:
        order_id = placed.order.order_id
        with self._lock:
            checked_ns = self._clock()
            why = self._may_send(placed.order, checked_ns)
            if not why and order_id in self._written:
                why = "repeat: it was written already"
            if not why:
                self._remember(order_id)
                why = self._write(wire.encode(placed) + b"\n")
        if not self._outcomes:
            asyncio.get_running_loop().call_soon(self._tell)
        self._outcomes.append(
            OutcomeRecorded(at_ns=checked_ns, order_id=order_id, is_sent=not why, detail=why)
        )

    def _remember(self, order_id: OrderId) -> None:
        """Note what was written; of the oldest the core knows by now, from their outcome."""
        self._written[order_id] = None
        if len(self._written) > WRITTEN_MAX:
            del self._written[next(iter(self._written))]

    def _send(self, request: VenueMessage) -> None:
        """Write a request that is safe to repeat: the core says it again on the next link."""
        if self._socket is not None and (why := self._write(wire.encode(request) + b"\n")):
            self._break(why)

    def _write(self, line: bytes) -> str:
        """Return why nothing of the line was written; empty when it is on its way, or part of it.

        A part can never become an order: its end is missing, and nothing is written after it.
        """
        if self._socket is None:
            return "venue link down"
        try:
            written = self._socket.send(line)
        except BlockingIOError:
            return "venue link full: the exchange does not read"
        except OSError as error:
            self._break(str(error))
            return f"venue link lost: {error}"
        if written < len(line):
            self._break(f"it took {written} of {len(line)} bytes")
        return ""

    async def _stay_connected(self) -> None:
        wait_ms, started_ns, has_complained = self._config.reconnect_min_ms, self._clock(), False
        while True:
            try:
                await self._connect()
                wait_ms = self._config.reconnect_min_ms
                await self._lost.wait()
            except (OSError, VenueError, TimeoutError) as error:
                is_late = self._clock() - started_ns > COMPLAIN_AFTER_NS
                if is_late and not has_complained:
                    self._tell_link(is_up=False, detail=str(error) or type(error).__name__)
                has_complained = has_complained or is_late
            await asyncio.sleep(wait_ms / 1_000)
            wait_ms = min(wait_ms * 2, self._config.reconnect_max_ms)

    async def _connect(self) -> None:
        """Connect and introduce ourselves.

        Raises:
            VenueError: there is no address, or we are not welcome.
            OSError: nobody listens there.
            TimeoutError: nobody answers there.
        """
        address = read_address(self._address_file)
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        found = socket.socket(family, socket.SOCK_STREAM)
        try:
            found.setblocking(False)
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(CONNECT_S_MAX):
                loop = asyncio.get_running_loop()
                await loop.sock_connect(found, (address.host, address.port))
                hello = Hello(
                    token=address.token,
                    client="executor",
                    cancel_on_disconnect=self._config.cancel_on_disconnect,
                )
                await loop.sock_sendall(found, msgspec.json.encode(hello) + b"\n")
                self._lines, reports = Lines(REPORT_BYTES_MAX), await _welcome(found)
        except BaseException:
            found.close()
            raise
        self._socket = found
        self._lost.clear()
        loop.add_reader(found, self._on_readable)
        self._tell_link(is_up=True, detail=f"{address.host}:{address.port}")
        self._take(reports)

    def _on_readable(self) -> None:
        if self._socket is None:
            return
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._drop(str(error))
            return
        if data:
            self._take(data)
        else:
            self._drop("the exchange hung up")

    def _take(self, data: bytes) -> None:
        """Tell the core what came, all of it as one step; what cannot be read ends the link."""
        reports: list[Event] = []
        why = ""
        try:
            for line in self._lines.feed(data):
                reports.append(_report(line))
        except SluiceError as error:
            why = str(error)
        if reports:
            self._tell(*reports)
        if why:
            self._drop(why)

    def _drop(self, why: str) -> None:
        """End the connection and say so; the task connects again."""
        if self._socket is not None:
            self._hang_up()
            self._tell_link(is_up=False, detail=why)

    def _break(self, why: str) -> None:
        """End the connection in the middle of a step; say so after the step's own outcome."""
        if self._socket is not None:
            self._hang_up()
            loop = asyncio.get_running_loop()
            loop.call_soon(lambda: self._tell_link(is_up=False, detail=why))

    def _hang_up(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        self._lost.set()

    def _tell_link(self, *, is_up: bool, detail: str) -> None:
        self._tell(VenueLinkChanged(at_ns=self._clock(), is_up=is_up, detail=detail))

    def _tell(self, *events: Event) -> None:
        """Tell the core, as one step; the outcomes of what was written come first.

        Outcomes of one turn of the loop are told together: their journal is synced once.
        """
        assert self._post is not None, "acted before it was opened"
        outcomes, self._outcomes = self._outcomes, []
        if outcomes or events:
            self._post(*outcomes, *events)


async def _welcome(found: socket.socket) -> bytes:
    """Return what came after the exchange's welcome.

    Raises:
        VenueError: it said no, or hung up, or speaks another language.
    """
    data = b""
    while b"\n" not in data:
        more = await asyncio.get_running_loop().sock_recv(found, READ_BYTES)
        if not more:
            raise VenueError("SLU-130", found="the exchange hung up", wanted="a welcome")
        data += more
    line, _, rest = data.partition(b"\n")
    try:
        welcome = msgspec.json.decode(line, type=Welcome)
    except msgspec.MsgspecError as error:
        raise VenueError("SLU-130", found=error, wanted="a welcome") from error
    if not welcome.is_ok:
        raise VenueError("SLU-130", found=welcome.detail, wanted="a welcome")
    return rest


def _report(line: bytes) -> Event:
    """Return the report on a line.

    Raises:
        SluiceError: it is none; last words of the exchange are the reason then.
    """
    try:
        event = wire.decode_kept(line, where="the paper exchange's connection")
    except SluiceError:
        with contextlib.suppress(msgspec.MsgspecError):
            words = msgspec.json.decode(line, type=Welcome)
            raise VenueError("SLU-130", found=words.detail, wanted="reports") from None
        raise
    if not isinstance(event, VenueMessage) or isinstance(event, REQUESTS):
        raise VenueError("SLU-130", found=type(event).__name__, wanted="reports of the venue")
    return event
