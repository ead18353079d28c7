"""One stream as the recorder drinks it: asked for in portions, taken in the read path, in order."""

from collections.abc import Callable

import msgspec

from schemas.base import NS_PER_S
from services.recorder.chain import Message
from services.runtime.fastpath import BusConnection

EXPIRES_S = 5
QUICK_NS = NS_PER_S
"""A request that the server ends sooner than this, with nothing, has nobody to answer it."""

ACKNOWLEDGED = b"+ACK"
DELIVERED = "$JS.ACK."
_SHORT_TOKENS = 9
"""A delivery's reply subject without domain and account: $JS.ACK.stream.consumer.5 numbers."""


class Pull:
    """Ask for messages and hold those that came, as long as they follow each other.

    Attributes:
        stream: whose messages.
        is_broken: messages are missing, or nobody answers: it must be opened anew.
    """

    def __init__(
        self,
        connection: BusConnection,
        stream: str,
        consumer: str,
        *,
        batch_max: int,
        clock: Callable[[], int],
        on_message: Callable[[], None],
    ) -> None:
        self.stream = stream
        self.is_broken = False
        self._connection = connection
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = f"_INBOX.recorder.{consumer}"
        self._batch_max = batch_max
        self._clock = clock
        self._on_message = on_message
        self._held: list[Message] = []
        self._newest_seq = 0  # 0: none came yet, and the first may be any
        self._due_count = 0  # of the requests that stand
        self._asked_ns = 0
        self._newest_reply = self._taken_reply = ""

    async def open(self) -> None:
        """Listen for what the server will send."""
        self._subscription = await self._connection.take(self._inbox, self._take)

    async def close(self) -> None:
        """Listen no more."""
        await self._subscription.unsubscribe()

    def ask(self, now_ns: int) -> None:
        """Ask for the next portion, unless most of one is still on its way.

        Raises:
            BusError: the connection is down.
        """
        is_lost = now_ns - self._asked_ns > (EXPIRES_S + 1) * NS_PER_S
        if is_lost:
            self._due_count = 0
        if self._due_count > self._batch_max // 2:
            return
        wanted = self._batch_max - self._due_count
        self._due_count, self._asked_ns = self._batch_max, now_ns
        body = msgspec.json.encode({"batch": wanted, "expires": EXPIRES_S * NS_PER_S})
        self._connection.send(self._subject, body, reply=self._inbox)

    def take_held(self) -> list[Message]:
        """Return what came since the last time, in the stream's order."""
        held, self._held = self._held, []
        if held:
            self._taken_reply = self._newest_reply
        return held

    def acknowledge(self) -> None:
        """Tell the server that all that was taken is on our own disk.

        Raises:
            BusError: the connection is down.
        """
        reply, self._taken_reply = self._taken_reply, ""
        if reply:
            self._connection.send(reply, ACKNOWLEDGED)

    def _take(self, subject: str, data: bytes, reply: str) -> int:
        now_ns = self._clock()
        self._on_message()
        if not reply.startswith(DELIVERED):  # a word about the request itself: it is over
            self.is_broken |= now_ns - self._asked_ns < QUICK_NS and self._is_unanswered
            self._due_count = 0
            return 1
        tokens = reply.split(".")
        at = 2 if len(tokens) == _SHORT_TOKENS else 4
        seq, stored_ns = int(tokens[at + 3]), int(tokens[at + 5])
        self.is_broken |= self._newest_seq not in (0, seq - 1)
        if not self.is_broken:
            self._newest_seq, self._newest_reply = seq, reply
            self._held.append(Message(self.stream, seq, subject, stored_ns, data, now_ns))
        self._due_count = max(0, self._due_count - 1)
        return 1

    @property
    def _is_unanswered(self) -> bool:
        return self._due_count == self._batch_max
