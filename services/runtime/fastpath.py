"""The one place that touches private parts of nats-py: write at once, take in the read path.

nats-py hands a publish to a task that writes in the next turn of the loop, and a message through
a queue to another task: two turns a hop. Here both happen in the step they belong to. The rest
of this class keeps the client from going deaf or late. `tests/integration/test_fastpath.py`
fails when nats-py changes under it.
"""

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport
from nats.errors import Error, StaleConnectionError, UnexpectedEOF
from nats.protocol import parser

from schemas.errors import BusError
from services.runtime.ending import end, to_its_end

EVENTS_BEFORE_YIELD = 32
"""What a burst may handle before timers and other tasks get their turn."""

TURN_BYTES_MAX = 65_536
"""What may gather for the end of a turn."""

MAX_PINGS = "max_outstanding_pings"
READ_FIRST_S = 0.05
"""What an answer that already waits in our own socket is given to be read."""

CLOSE_TIMEOUT_S = 1.0
LINGER_NONE = struct.pack("ii", 1, 0)
"""For SO_LINGER: closing forgets what the kernel has not sent yet."""

COPY = b"(a copy that a stream or a consumer of the server published; its bytes are left out)"
"""What is taken in its place: no event, so a dead letter; where any bytes halt, a halt.

The server publishes copies with its own rights, wherever whoever has the right to make or read a
stream asks it to: on `order.>` too. Nobody here is sent one but in answer, on an inbox of its own.
"""

ONCE = ("$JS.ACK.", "_INBOX.")
"""Subjects that are published on once, and not worth remembering: the recorder answers on a new
one for every message, and 65,536 of them are 25 MB."""

_TOKEN, _GAP = rb"([^ \t\r\n]+)", rb"[ \t]+"
_HEAD = _TOKEN + _GAP + _TOKEN + _GAP + b"(" + _TOKEN + _GAP + b")?"
parser.MSG_RE = re.compile(rb"\AMSG" + _GAP + _HEAD + rb"(\d+)\r\n")
parser.HMSG_RE = re.compile(rb"\AHMSG" + _GAP + _HEAD + rb"(\d+)" + _GAP + rb"(\d+)\r\n")
"""As the server has it: blanks and tabs part a line. nats-py parts it at other bytes too, which a
subject may hold: it then loses the connection, or takes the message to another subscription."""

Taker = Callable[[str, bytes, str], int | None]
"""Called with (subject, data, reply); may return how many events it handled, if not one."""


@lru_cache(maxsize=65_536)
def _publish_head(subject: str) -> bytes:
    """Return the start of the line that publishes on `subject`; refuses what would break it."""
    if not subject or any(each.isspace() for each in subject):
        raise BusError("SLU-101", path="subject", found=repr(subject), wanted="no spaces")
    return f"PUB {subject} ".encode()


def _text(subject: bytes) -> str:
    """Return a subject that was received; never raises.

    The server lets any bytes through, and to fail at one would leave us deaf to what it says. What
    is no UTF-8 is shown in hex, and stands below the same roots.
    """
    return subject.decode("utf-8", "backslashreplace")


def _is_copy(reply: bytes, headers: bytes | None) -> bool:
    """Whether JetStream delivered or republished it."""
    return reply.startswith(b"$JS.ACK.") or (headers is not None and b"Nats-Stream:" in headers)


class BusConnection(Client):
    """A nats-py client whose publishes leave at once and whose messages are taken as they are read.

    Attributes:
        on_link: called with (is_up, detail) whenever the connection is lost or comes back. When it
            is lost for good, `is_closed` is True in that call.
        refusals: rights that the server refused us, in its words, oldest first.
        lost_because: what ended the last connection; empty while there was no loss.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_link: list[Callable[[bool, str], None]] = []
        self.refusals: list[str] = []
        self.lost_because = ""
        self._takers: dict[int, Taker] = {}
        self._inboxes: set[int] = set()
        self._handled_since_yield = 0
        self._has_written_this_turn = False
        self._is_turn_end_awaited = False
        self._stream: asyncio.WriteTransport | None = None  # None while there is no connection
        self._rescue: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the server has not read yet; a flood waits (`flush`) while they grow."""
        waiting_bytes = self._stream.get_write_buffer_size() if self._stream is not None else 0
        return waiting_bytes + self._pending_data_size

    @property
    def has_more_read(self) -> bool:
        """Whether bytes of further messages were read together with the one being taken."""
        return bool(self._ps.buf)

    def send(
        self, subject: str, data: bytes, reply: str = "", *, is_more_coming: bool = False
    ) -> None:
        """Send one message. The first of a turn of the loop leaves now, in this very step.

        What else is sent in that turn leaves in one write at its end, which is near: a write costs
        as much as handling an event. While the server is away nothing is kept for later.

        Args:
            subject: where to.
            data: the message.
            reply: where an answer goes.
            is_more_coming: this very step sends more; they leave together.

        Raises:
            BusError: SLU-122 the connection is down; SLU-124 the message is too large for the bus.
        """
        stream = self._stream
        if stream is None or stream.is_closing():
            raise BusError("SLU-122", subject=subject, found="no connection; nothing was sent")
        size = len(data)
        if size > self._max_payload:
            wanted = f"at most {self._max_payload} bytes"
            raise BusError("SLU-124", subject=subject, found=f"{size} bytes", wanted=wanted)
        is_once = subject.startswith(ONCE)
        head = (_publish_head.__wrapped__ if is_once else _publish_head)(subject)
        if reply:
            head += reply.encode() + b" "
        line = b"%b%d\r\n%b\r\n" % (head, size, data)
        self.stats["out_msgs"] += 1
        self.stats["out_bytes"] += size
        self._pending.append(line)  # behind what the client has queued: that was said earlier
        self._pending_data_size += len(line)
        has_to_wait = is_more_coming or self._has_written_this_turn
        if not has_to_wait or self._pending_data_size > TURN_BYTES_MAX:
            self._write_pending()
            self._has_written_this_turn = True
        if not self._is_turn_end_awaited:
            self._is_turn_end_awaited = True
            asyncio.get_running_loop().call_soon(self._on_turn_end)

    def _on_turn_end(self) -> None:
        self._has_written_this_turn = self._is_turn_end_awaited = False
        if self.is_connected:
            self._write_pending()

    def _write_pending(self) -> None:
        queued = self._pending
        if queued and self._stream is not None and not self._stream.is_closing():
            self._stream.write(queued[0] if len(queued) == 1 else b"".join(queued))
            self._pending = []
        if not self._pending:
            self._pending_data_size = 0

    async def take(self, subject: str, taker: Taker, queue: str = "") -> Subscription:
        """Subscribe; `taker` is called inside the read path, at once, and must not block.

        Every 32 events the reader lets timers and other tasks run.
        """
        self._takers[self._sid + 1] = taker  # before a message can come
        if subject.startswith("_INBOX."):
            self._inboxes.add(self._sid + 1)
        unused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # A subscription that has a future gets neither a task nor an iterator of its own.
        return await self.subscribe(subject, queue=queue, future=unused)

    async def close(self) -> None:
        """Close for good; a server that reads no more is waited for one second.

        Whoever comes second, or is cancelled meanwhile, leaves when it is closed as well: nats-py's
        own closing leaves the socket open to both, and a loop that ends with it breaks.
        """
        if self._closing is None:
            asker = asyncio.current_task()
            self._closing = asyncio.get_running_loop().create_task(self._close_for_good(asker))
        await to_its_end(self._closing)

    async def _close_for_good(self, asker: "asyncio.Task[Any] | None") -> None:
        timer = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self._abandon_stream)
        try:
            if (reconnecting := self._reconnection_task) is not None and reconnecting is not asker:
                with contextlib.suppress(Exception):  # nats-py cancels it once, and it can go on
                    await end(reconnecting)
            if self._stream is None:
                self._forget_unsent()  # nats-py would write it to the connection that is gone
            await super().close()
        finally:
            timer.cancel()
            self._abandon_stream()
            opening = self._transport
            if isinstance(opening, TcpTransport) and opening._io_writer is not None:
                opening._io_writer.close()

    async def settle(self, timeout_s: int) -> None:
        """Wait until the server has all that was sent; not longer, and not while it is away."""
        if self.is_connected:
            with contextlib.suppress(Error):
                await self.flush(timeout_s)

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        taker = self._takers.get(sid)
        if taker is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            count = None
        else:
            self.stats["in_msgs"] += 1
            self.stats["in_bytes"] += len(data)
            if (headers or reply) and sid not in self._inboxes and _is_copy(reply, headers):
                data, reply = COPY, b""
            count = taker(_text(subject), data, _text(reply) if reply else "")
        self._handled_since_yield += count or 1
        if self._handled_since_yield >= EVENTS_BEFORE_YIELD:
            self._handled_since_yield = 0
            await asyncio.sleep(0)

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        self._takers.pop(sid, None)
        self._inboxes.discard(sid)
        super()._remove_sub(sid, max_msgs)

    async def _flush_pending(self, force_flush: bool = False) -> Any:
        """Write what is queued now: nothing waits for the flusher's turn."""
        if not force_flush and self._stream is not None and self.is_connected:
            self._write_pending()
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done
        return await super()._flush_pending(force_flush)

    async def _send_ping(self, future: "asyncio.Future[Any] | None" = None) -> None:
        """Ping behind everything sent so far: that makes `flush()` a barrier."""
        if self.is_connected:
            self._write_pending()
        await super()._send_ping(future)

    async def _ping_interval(self) -> None:
        """Leave a server that does not answer; not one whose answer waits behind a backlog.

        nats-py looks at the answers alone. Behind 50,000 messages an answer is half a second late,
        and to reconnect would lose them all.
        """
        interval_s, unanswered_max = self.options["ping_interval"], self.options[MAX_PINGS]
        while True:
            await asyncio.sleep(interval_s)
            if not self.is_connected:
                continue
            if self._pings_outstanding >= unanswered_max:
                before_count = self.stats["in_msgs"]
                await asyncio.sleep(READ_FIRST_S)
                if self._pings_outstanding and self.stats["in_msgs"] == before_count:
                    await self._process_op_err(StaleConnectionError())
                    return
            self._pings_outstanding += 1
            await self._send_ping()

    async def _process_pong(self) -> None:
        """Skip the PONG of a `flush()` that gave up: nats-py's reader dies of it."""
        if self._pongs and self._pongs[0].done():
            self._pongs.pop(0)
            self._pings_outstanding = 0
            return
        await super()._process_pong()

    async def _process_connect_init(self) -> None:
        await super()._process_connect_init()
        assert isinstance(self._transport, TcpTransport), "WebSocket writes in a later turn"
        assert self._transport._io_writer is not None
        self._stream = self._transport._io_writer.transport
        for task in self._vital_tasks():
            task.add_done_callback(self._on_vital_end)

    def _vital_tasks(self) -> list["asyncio.Task[None]"]:
        found = (self._reading_task, self._ping_interval_task, self._flusher_task)
        return [task for task in found if task is not None]

    def _on_vital_end(self, task: "asyncio.Task[None]") -> None:
        """Reconnect when a task of a standing connection ends: the client would be deaf."""
        why = None if task.cancelled() else task.exception()
        if self.is_connected and task in self._vital_tasks():
            error = why if isinstance(why, Exception) else UnexpectedEOF()
            self._rescue = asyncio.get_running_loop().create_task(self._process_op_err(error))

    async def _process_op_err(self, e: Exception) -> None:
        """Leave a lost connection at once, and with it all that it had not sent.

        nats-py would wait for a frozen server to read the rest: for as long as it is frozen.
        """
        if self.is_closed or self.is_reconnecting:
            return
        self.lost_because = str(e) or type(e).__name__
        self._abandon_stream()
        await super()._process_op_err(e)
        self._forget_unsent()
        if self._reconnection_task is not None:
            self._reconnection_task.add_done_callback(self._on_reconnection_end)

    def _abandon_stream(self) -> None:
        """Let go of the socket, and of the bytes that the kernel still holds for it."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        sock = stream.get_extra_info("socket")
        if sock is not None and not stream.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
        stream.abort()

    def _forget_unsent(self) -> None:
        self._pending = []
        self._pending_data_size = 0

    def _on_reconnection_end(self, task: "asyncio.Task[None]") -> None:
        """Close for good when the reconnection itself broke: nothing would ever try again."""
        broke = None if task.cancelled() else task.exception()
        if broke is not None and not self.is_closed:
            self.lost_because = f"reconnecting broke: {broke!r}"
            self._rescue = asyncio.get_running_loop().create_task(self.close())
