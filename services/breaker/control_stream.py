"""The arbiter's hands: read the CONTROL stream, store an epoch on it, ask for the book."""

import asyncio
import contextlib
import shutil
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from nats.errors import Error as NatsError
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from schemas.base import Event
from schemas.control import (
    BookWanted,
    ControlSequenceAsked,
    ControlSequenceRead,
    EpochProposed,
    EpochRefused,
    EpochStarted,
    EpochStored,
)
from schemas.errors import BusError, WireError
from schemas.executions import BookReported
from schemas.restrictions import FlattenAsked
from schemas.streams import CONTROL
from schemas.subjects import EPOCH_RECORD, FLATTEN, QUERY
from schemas.wire import decode, encode
from services.breaker.control_records import record_from, unreadable
from services.runtime.ending import end
from services.runtime.fastpath import BusConnection
from services.runtime.live import Post

REQUEST_S = 1.0
RETRY_S = 0.1
POLL_S = 0.005
NEWEST = "control.>"
BOOK_INBOX = "_INBOX.breaker.book"
EXPECTED = "Nats-Expected-Last-Sequence"
_AWAY = (NatsError, OSError, asyncio.TimeoutError)
"""What the bus raises while the server, its JetStream or the stream is away; tried again."""


class ControlStream:
    """Keep the arbiter's core told of the CONTROL stream. It decides nothing.

    A read that fails is tried until it is answered: the core has its own patience, and without an
    answer nobody gets a lease. The stream itself is made by the recorder, and waited for.
    """

    def __init__(
        self,
        connection: BusConnection,
        connect: Callable[[str], Awaitable[BusConnection]],
        *,
        clock: Callable[[], int],
        position: Callable[[], tuple[int, int]],
        data_dir: Path,
        store_ms_max: int,
    ) -> None:
        """Take what it needs.

        Args:
            connection: the one that the core hears executions on. The book is asked for on it too,
                so that it comes in its place among them.
            connect: opens a connection of the breaker service; its argument says what for.
            clock: returns now, in ns since the epoch.
            position: returns the record that the core was told last, and when it was stored.
            data_dir: where the journals are, whose disk must have room.
            store_ms_max: how long a write may take, in milliseconds.
        """
        self._main = connection
        self._connect = connect
        self._clock = clock
        self._position = position
        self._data_dir = data_dir
        self._store_s = store_ms_max / 1_000
        self._wanted_id = 0
        self._proposals: deque[EpochProposed] = deque()
        self._something = asyncio.Event()
        self._opened = contextlib.AsyncExitStack()

    async def open(self, post: Post) -> None:
        """Connect, and begin with a read: halts stored while nobody was here come first."""
        self._post = post
        await self._main.take(BOOK_INBOX, self._take_book)
        self._connection = await self._connect("control stream")
        self._opened.push_async_callback(self._connection.close)
        self._stream = self._connection.jetstream(timeout=REQUEST_S)
        self._at, self._at_ns = self._position()
        self._something.set()
        self._task = asyncio.create_task(self._serve())
        self._opened.push_async_callback(end, self._task)

    def act(self, event: Event, now_ns: int) -> None:
        """Note what the core wants; it is done in order, writes before reads."""
        if self._task.done():
            self._task.result()  # it never ends by itself: raises what ended it, and ends us all
        match event:
            case ControlSequenceAsked(read_id=read_id):
                self._wanted_id = read_id
                self._something.set()
            case EpochProposed():
                self._proposals.append(event)
                self._something.set()
            case BookWanted():
                with contextlib.suppress(BusError):  # away: the core asks again in a second
                    self._main.send(f"{QUERY}.executor", b"", reply=BOOK_INBOX)
            case FlattenAsked(request=request):
                with contextlib.suppress(BusError):  # away: what only reduces stands all the same
                    self._main.send(FLATTEN, msgspec.json.encode(request))

    async def close(self) -> None:
        """Stop reading, and close the connection: what of it was opened, and all of that.

        Raises:
            Exception: what the reading had failed with.
        """
        await self._opened.aclose()

    async def _serve(self) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            while self._proposals:
                await self._store(self._proposals.popleft())
            try:
                await self._read()
            except _AWAY:
                self._something.set()
                await asyncio.sleep(RETRY_S)

    async def _read(self) -> None:
        """Tell the core every record it has not been told, and then which is the newest."""
        read_id = self._wanted_id
        newest = await self._newest()
        last_seq = 0 if newest is None or newest.seq is None else newest.seq
        if last_seq < self._at:  # the tail is lost: the newest of what is left is told again
            self._at = max(0, last_seq - 1)
        elif await self._is_rewritten(newest, last_seq):
            self._at -= 1
        for seq in range(self._at + 1, last_seq):
            self._tell(seq, await self._record(seq))
        if newest is not None and self._at < last_seq:
            self._tell(last_seq, newest)
        self._post(
            ControlSequenceRead(
                at_ns=self._clock(),
                last_seq=last_seq,
                read_id=read_id,
                epoch=_epoch_of(newest),
                disk_free_bytes=self._disk_free_bytes(),
            )
        )

    async def _newest(self) -> RawStreamMsg | None:
        """Return the newest record as the stream's leader knows it; None if there is none."""
        try:
            return await self._stream.get_msg(CONTROL.name, subject=NEWEST)
        except NotFoundError:
            await self._stream.stream_info(CONTROL.name)  # raises if it is the stream that is not
            return None

    async def _is_rewritten(self, newest: RawStreamMsg | None, last_seq: int) -> bool:
        """Return whether the record that was told last is another one now."""
        if not self._at or not self._at_ns:
            return False
        record = newest if last_seq == self._at else await self._record(self._at)
        return record is None or _stored_ns(record) not in (0, self._at_ns)

    async def _record(self, seq: int) -> RawStreamMsg | None:
        try:
            return await self._stream.get_msg(CONTROL.name, seq=seq)
        except NotFoundError:
            return None

    def _tell(self, seq: int, record: RawStreamMsg | None) -> None:
        now_ns = self._clock()
        if record is None:
            told = unreadable(seq, "it is missing", now_ns=now_ns)
        else:
            stored_ns = _stored_ns(record) or now_ns
            told = record_from(
                seq, record.subject or "", record.data or b"", stored_ns=stored_ns, now_ns=now_ns
            )
            told = msgspec.structs.replace(told, stored_ns=_stored_ns(record))
        self._at, self._at_ns = seq, told.stored_ns
        self._post(told)

    async def _store(self, proposal: EpochProposed) -> None:
        """Write an epoch behind the record that its start had seen, or tell why it was not.

        The stream sends no acknowledgements, because it also takes requests of people, and they
        would take one for the answer. So the record that took the place is read back.
        """
        epoch, place = proposal.start.epoch, proposal.expected_last_seq + 1
        data = encode(proposal.start)
        try:
            headers = {EXPECTED: str(proposal.expected_last_seq)}
            await self._connection.publish(EPOCH_RECORD, data, headers=headers)
            async with asyncio.timeout(self._store_s):
                taken = await self._record(place)
                while taken is None:
                    await asyncio.sleep(POLL_S)
                    taken = await self._record(place)
        except _AWAY as error:
            detail = f"it did not take the epoch: {str(error) or type(error).__name__}"
            self._post(EpochRefused(at_ns=self._clock(), epoch=epoch, detail=detail))
            return
        if taken.data == data:
            self._post(EpochStored(at_ns=self._clock(), epoch=epoch, stream_seq=place))
            return
        detail = f"record {place} came between, on {taken.subject}: the epoch was not stored"
        self._post(EpochRefused(at_ns=self._clock(), epoch=epoch, detail=detail))

    def _take_book(self, subject: str, data: bytes, reply: str) -> int:
        """Tell the core the executor's answer, in the step in which it came."""
        with contextlib.suppress(WireError):  # no book: the core asks again in a second
            self._post(*(e for e in decode(data, subject=subject) if isinstance(e, BookReported)))
        return 1

    def _disk_free_bytes(self) -> int:
        try:
            return shutil.disk_usage(self._data_dir).free
        except OSError:
            return -1


def _stored_ns(record: RawStreamMsg) -> int:
    """Return when the server stored it, in ns since the epoch; 0 where it does not say."""
    return 0 if record.time is None else int(record.time.timestamp() * 1e9)


def _epoch_of(record: RawStreamMsg | None) -> int:
    """Return the epoch that a record starts; 0 if it starts none."""
    if record is None or record.subject != EPOCH_RECORD or record.data is None:
        return 0
    try:
        [event] = decode(record.data, subject=EPOCH_RECORD)
    except (WireError, ValueError):
        return 0
    return event.epoch if isinstance(event, EpochStarted) else 0
