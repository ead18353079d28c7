"""The gate's only I/O of its own: it asks the executor for its book when exposure is not known."""

import contextlib

from schemas.base import Event
from schemas.control import BookWanted
from schemas.errors import BusError, WireError
from schemas.executions import BookReported
from schemas.subjects import QUERY
from schemas.wire import decode
from services.runtime.fastpath import BusConnection
from services.runtime.live import Post

BOOK_INBOX = "_INBOX.gate.book"


class BookQuery:
    """Turns `BookWanted` into a query of the executor, and its answer into `BookReported`.

    The answer is taken in the read path of the connection that carries the executions, so that
    the core hears both in the order in which the executor said them.
    """

    def __init__(self, connection: BusConnection) -> None:
        self._connection = connection

    async def open(self, post: Post) -> None:
        """Listen for answers."""
        self._post = post
        await self._connection.take(BOOK_INBOX, self._take)

    def act(self, event: Event, now_ns: int) -> None:
        """Ask. Without a bus or an executor nothing comes back, and the core asks again."""
        if isinstance(event, BookWanted):
            with contextlib.suppress(BusError):
                self._connection.send(f"{QUERY}.executor", b"", reply=BOOK_INBOX)

    async def close(self) -> None:
        """Nothing to let go of: the connection is the runtime's."""

    def _take(self, subject: str, data: bytes, reply: str) -> int:
        with contextlib.suppress(WireError):  # not an answer; the core asks again
            self._post(*(e for e in decode(data, subject=subject) if isinstance(e, BookReported)))
        return 1
