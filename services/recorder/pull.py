"""One stream as the recorder drinks it: asked for in portions, taken in the read path, in order.

Several requests stand at a time, and the server serves the oldest first. Each has an inbox of its
own, so that a word that ends one is not taken for the end of another: an old one that expires just
after a new one was sent would look like a server that nobody answers for.
"""

from collections import deque
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


class _Request:
    """One that stands: its number, when it was sent, and how many messages it still brings."""

    __slots__ = ("asked_ns", "is_served", "left_count", "number")

    def __init__(self, number: int, asked_ns: int, wanted: int) -> None:
        self.number = number
        self.asked_ns = asked_ns
        self.left_count = wanted
        self.is_served = False


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
        self._requests: deque[_Request] = deque()
        self._asked_count = 0
        self._newest_reply = self._taken_reply = ""

    async def open(self) -> None:
        """Listen for what the server will send."""
        self._subscription = await self._connection.take(f"{self._inbox}.*", self._take)

    async def close(self) -> None:
        """Listen no more."""
        await self._subscription.unsubscribe()

    def ask(self, now_ns: int) -> None:
        """Ask for the next portion, unless most of one is still on its way.

        Raises:
            BusError: the connection is down.
        """
        expired_ns = now_ns - (EXPIRES_S + 1) * NS_PER_S
        if self._requests and self._requests[-1].asked_ns < expired_ns:  # its end was lost
            self._requests.clear()
        due_count = sum(each.left_count for each in self._requests)
        if due_count > self._batch_max // 2:
            return
        wanted = self._batch_max - due_count
        self._asked_count += 1
        self._requests.append(_Request(self._asked_count, now_ns, wanted))
        body = msgspec.json.encode({"batch": wanted, "expires": EXPIRES_S * NS_PER_S})
        self._connection.send(self._subject, body, reply=f"{self._inbox}.{self._asked_count}")

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
            self._end(int(subject.rpartition(".")[2]), now_ns)
            return 1
        tokens = reply.split(".")
        at = 2 if len(tokens) == _SHORT_TOKENS else 4
        seq, stored_ns = int(tokens[at + 3]), int(tokens[at + 5])
        self.is_broken |= self._newest_seq not in (0, seq - 1)
        if not self.is_broken:
            self._newest_seq, self._newest_reply = seq, reply
            self._held.append(Message(self.stream, seq, subject, stored_ns, data, now_ns))
        self._count()
        return 1

    def _count(self) -> None:
        """Count a message as one of the oldest request that still brings any."""
        if self._requests:
            oldest = self._requests[0]
            oldest.is_served = True
            oldest.left_count -= 1
            if not oldest.left_count:
                self._requests.popleft()

    def _end(self, number: int, now_ns: int) -> None:
        """Forget a request that the server ended, and those before it."""
        while self._requests and self._requests[0].number <= number:
            ended = self._requests.popleft()
            is_quick = now_ns - ended.asked_ns < QUICK_NS
            self.is_broken |= ended.number == number and is_quick and not ended.is_served
