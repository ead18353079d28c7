"""The recorder's hands: streams made sure of, messages written and synced, in order, once."""

import asyncio
import contextlib
import heapq
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from nats.errors import Error as NatsError

from schemas.base import Event
from schemas.errors import BusError, StateError
from schemas.recording import (
    DurabilityRead,
    RecordingChanged,
    RecordingLagged,
    RecordingMarked,
    RecordsMissed,
)
from schemas.streams import MARKET
from services.recorder import jetstream
from services.recorder.anchoring import Anchoring
from services.recorder.chain import Message
from services.recorder.checkpoints import RecordKey
from services.recorder.config import RecorderConfig
from services.recorder.continuity import Continuity
from services.recorder.events_log import EventsLog
from services.recorder.journal import Journal, Place
from services.recorder.own import HOLE, STREAM
from services.recorder.profile import durability, recorded_streams, wanted_streams
from services.recorder.pull import Pull
from services.recorder.retiring import Retiring, failed
from services.recorder.witness import Witness
from services.repository.config import RepositoryConfig
from services.runtime.ending import end, to_its_end
from services.runtime.fastpath import BusConnection
from services.runtime.live import Post

RETRY_S = 0.5
LOOK_EVERY_S = 1.0
ASK_ROOM_EVERY_S = 5.0
"""How often the server's monitoring is asked for its room: it is nearly full for long before it is
full."""

UNACKNOWLEDGED_PORTIONS = 4
"""Most portions that may be on their way and not on the disk; beyond that the server waits."""

IN_DATA_DIR = RepositoryConfig()
RECORD_FOLDER = "record"
EVENTS_FOLDER = "events"
_T = TypeVar("_T")
_AWAY = (NatsError, BusError, OSError, asyncio.TimeoutError)


class Recording:
    """Record until told to stop; whatever ends it is told, and tried anew.

    The streams hold what is not recorded yet, and the journal on the disk says where each goes
    on: a crash at any point loses nothing and records nothing twice.
    """

    def __init__(
        self,
        connect: Callable[[str], Awaitable[BusConnection]],
        *,
        clock: Callable[[], int],
        config: RecorderConfig,
        data_dir: Path,
        key: RecordKey,
        monitor_urls: Sequence[str] = (),
        repository: RepositoryConfig = IN_DATA_DIR,
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._config = config
        self._key = key
        self._repository = repository
        self._data_dir = data_dir
        self._record_dir = data_dir / RECORD_FOLDER
        self._events_dir = data_dir / config.logs_dir / EVENTS_FOLDER
        self._monitor_urls = monitor_urls
        self._something = asyncio.Event()
        self._pulls: list[Pull] = []
        self._told: frozenset[str] = frozenset()
        self._continuity = Continuity()  # outlives an outage, which is when holes come
        self._why_full, self._ask_room_at = "", 0.0

    async def open(self, post: Post) -> None:
        """Begin; the streams are made as soon as the server lets us."""
        self._post = post
        places = self._data_dir, self._events_dir, self._repository
        self._retiring = Retiring(self._config, self._key, *places, self._clock, post)
        self._loop = asyncio.get_running_loop()
        self._connection = await self._connect("recording")
        self._connection.on_link.append(self._on_link)
        self._task = asyncio.create_task(self._serve())

    def act(self, event: Event, now_ns: int) -> None:
        """Do nothing: the recorder's core asks for nothing."""

    async def close(self) -> None:
        """Stop; what is not on the disk is still in its stream."""
        await end(self._task)
        await self._connection.close()

    def _on_link(self, is_up: bool, detail: str) -> None:
        """Open everything anew after an outage: nobody answers what was asked before it."""
        for pull in self._pulls:
            pull.is_broken = True
        self._something.set()

    async def _serve(self) -> None:
        while True:
            try:
                await self._record()
            except StateError as error:
                self._impeded(error.code, str(error))
            except _AWAY as error:
                self._impeded("SLU-122", f"the bus: {str(error) or type(error).__name__}")
            except Exception as error:  # a fault of ours: nobody would see that we had ended
                self._impeded("SLU-161", f"the recording broke: {error!r}")
            await asyncio.sleep(RETRY_S)

    async def _record(self) -> None:
        """Open everything and record.

        Raises:
            StateError: our own files cannot be read or written, or are not what we wrote.
            BusError: the server, its JetStream or a stream is away.
        """
        journal, events, witness = await asyncio.to_thread(self._open_files)
        self._witness = witness
        self._retiring.begin(journal)
        self._anchoring = Anchoring(
            witness, self._post, self._clock, every_s=self._config.anchor_every_s
        )
        try:
            await self._prepare_streams()
            await self._look(journal)
            async with contextlib.AsyncExitStack() as stack:
                self._pulls = [
                    await self._open_pull(s.name, journal, stack) for s in self._recorded
                ]
                await self._check_room()
                await self._drink(journal, events)
        finally:
            try:
                with contextlib.suppress(StateError):  # then they are told when we are back
                    self._note_holes(journal, is_last=True)
            finally:  # a folder that stays locked could not be recorded in again
                journal.close()
                events.close()
            await self._sign_last(journal)

    def _open_files(self) -> tuple[Journal, EventsLog, Witness]:
        """Find the end of the journal, and write what a crash kept out of the JSON Lines."""
        config = self._config
        journal = Journal(self._record_dir, file_bytes_max=config.max_chain_file_bytes)
        try:
            return journal, *self._open_beside(journal)
        except BaseException:
            journal.close()
            raise

    def _open_beside(self, journal: Journal) -> tuple[EventsLog, Witness]:
        config = self._config
        witness = Witness(self._record_dir, self._key, config)
        witness.check(journal.head)
        events = EventsLog(self._events_dir, self._continuity)
        unlogged = [
            (n, Message(r.stream, r.stream_seq, r.subject, r.stored_ns, r.data, r.recv_ns))
            for n, r in journal.since(journal.logged_n)
            if r.stream != STREAM  # our own: nobody published it
        ]
        events.repair(unlogged, self._clock())
        journal.note(journal.head.n)
        return events, witness

    async def _sign_last(self, journal: Journal) -> None:
        """Sign the end and tell it to the other places: nothing comes after it for a while."""
        with contextlib.suppress(StateError, TimeoutError):
            self._witness.look(journal.head, self._clock(), is_last=True)
            await self._anchoring.close()

    async def _prepare_streams(self) -> None:
        problems: list[str] = []
        self._recorded = recorded_streams(self._config)
        for spec in wanted_streams(self._config):
            try:
                problems += await jetstream.ensure_stream(self._connection, spec, self._config)
            except jetstream.JetStreamError as error:
                if not spec.is_limited:
                    raise
                problems.append(f"{spec.name} is not kept: {error.fields['found']}")
                self._recorded = tuple(each for each in self._recorded if each is not spec)
        longer = await jetstream.kept_longer(self._connection, self._config)
        servers = await asyncio.to_thread(jetstream.read_servers, self._monitor_urls)
        found = durability(problems, servers, replicas=self._config.replicas, longer=longer)
        read = DurabilityRead(at_ns=self._clock(), is_durable=found.is_durable, detail=found.detail)
        self._post(read)

    async def _open_pull(
        self, stream: str, journal: Journal, stack: contextlib.AsyncExitStack
    ) -> Pull:
        consumer = f"recorder-{self._clock():x}"
        start = await self._start(stream, journal.places.get(stream))
        await jetstream.create_consumer(
            self._connection,
            stream,
            consumer,
            start,
            unacknowledged_max=UNACKNOWLEDGED_PORTIONS * self._config.batch_max,
        )
        pull = Pull(
            self._connection,
            stream,
            consumer,
            batch_max=self._config.batch_max,
            clock=self._clock,
            on_message=self._something.set,
        )
        await pull.open()
        stack.push_async_callback(_close_quietly, pull)
        return pull

    async def _start(self, stream: str, place: Place | None) -> jetstream.Start:
        """Return where to go on: behind what is recorded, unless its number was used again."""
        if place is None or place.seq == 0:
            return jetstream.Start(1)
        stored_ns = await jetstream.stored_ns(self._connection, stream, place.seq)
        if stored_ns in (place.stored_ns, None):
            return jetstream.Start(place.seq + 1)
        return jetstream.Start(place.seq + 1, after_ns=place.stored_ns)

    async def _drink(self, journal: Journal, events: EventsLog) -> None:
        loop = asyncio.get_running_loop()
        look_at = loop.time() + LOOK_EVERY_S
        while True:
            for pull in self._pulls:
                if pull.is_broken:
                    raise BusError(
                        "SLU-122",
                        stream=pull.stream,
                        found="messages are missing or nobody answers",
                    )
                pull.ask(self._clock())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(look_at):
                    await self._something.wait()
            self._something.clear()
            messages = _merged([pull.take_held() for pull in self._pulls])
            if messages:
                await self._commit(journal, events, messages)
                for pull in self._pulls:
                    pull.acknowledge()
            if loop.time() >= look_at:
                look_at = loop.time() + LOOK_EVERY_S
                await self._look(journal)
                await self._check_room()
                await to_its_end(asyncio.to_thread(self._sign, journal))
                self._anchoring.turn()
                self._tell_troubles(events)
                await self._retiring.turn(journal)

    async def _commit(self, journal: Journal, events: EventsLog, messages: list[Message]) -> None:
        """Write and sync a group, in a thread: a halt must not wait for a disk.

        What is missed is told before anything else can fail: the journal would not see it again.
        """

        def write() -> None:
            made, misses = journal.append(messages)
            now_ns = self._clock()
            missed = [
                RecordsMissed(
                    at_ns=now_ns, stream=m.stream, expected_seq=m.expected_seq, got_seq=m.got_seq
                )
                for m in misses
                if m.stream != MARKET.name or m.got_seq < m.expected_seq  # the old ones leave it
            ]
            if missed:
                self._loop.call_soon_threadsafe(self._post, *missed)
            events.write(made, now_ns)
            journal.note(journal.head.n)
            self._sign(journal)

        await to_its_end(asyncio.to_thread(write))
        self._post(self._mark(journal))

    def _sign(self, journal: Journal) -> None:
        """Record the holes that are due, and then sign where the journal stands. In a thread."""
        self._note_holes(journal)
        self._witness.look(journal.head, self._clock())

    def _note_holes(self, journal: Journal, *, is_last: bool = False) -> None:
        """Record the holes that are due, and tell of them.

        Raises:
            StateError: SLU-141, the disk did not take it.
        """
        now_ns = self._clock()
        found = self._continuity.due(now_ns, is_last=is_last)
        if found is None:
            return
        n = journal.head.n
        try:
            journal.append_own(HOLE, msgspec.json.encode(found), now_ns)
        finally:
            if journal.head.n > n:  # it is in the record, whatever failed after that
                self._continuity.note_told(now_ns)
                self._loop.call_soon_threadsafe(self._post, found)

    def _tell_troubles(self, events: EventsLog) -> None:
        """Alert when a file of the JSON Lines begins to fail, or what signs is not as it was."""
        found = {
            name: ("SLU-141", f"events are in the journal, and not in {why}")
            for name, why in events.troubles.items()
        }
        if back_s := self._witness.set_back_s:
            why = f"the clock stands {back_s} s before the newest checkpoint: was it set back?"
            found["clock"] = ("SLU-146", why)
        if replaced := self._witness.replaced:
            found["key"] = ("SLU-171", replaced)
        for name in found.keys() - self._told:
            self._post(failed(*found[name], self._clock()))
        self._told = frozenset(found)

    async def _look(self, journal: Journal) -> None:
        """See how far behind we are, whether a stream became shorter, and what room is left."""
        at_ns = self._clock()
        lag_count, behind, newest = 0, dict[str, int](), dict[str, int]()
        for spec in self._recorded:
            newest[spec.name] = last_seq = await jetstream.last_seq(self._connection, spec.name)
            place = journal.places.get(spec.name)
            recorded_seq = 0 if place is None else place.seq
            if last_seq < recorded_seq:
                missed = RecordsMissed(
                    at_ns=self._clock(),
                    stream=spec.name,
                    expected_seq=recorded_seq + 1,
                    got_seq=last_seq + 1,
                )
                self._post(missed)
                journal.rebase(spec.name, last_seq)
            if last_seq > recorded_seq:
                behind[spec.name], lag_count = recorded_seq, lag_count + last_seq - recorded_seq
        lagged = RecordingLagged(
            at_ns=at_ns,
            lag_count=lag_count,
            behind=behind,
            newest=newest,
            kept=self._continuity.kept(),
        )
        self._post(lagged, self._mark(journal))

    async def _check_room(self) -> None:
        """Warn while there is room left: what is halted in time can still be recorded."""
        if self._loop.time() >= self._ask_room_at:
            self._ask_room_at = self._loop.time() + ASK_ROOM_EVERY_S
            self._why_full = await asyncio.to_thread(jetstream.why_full, self._monitor_urls)
        free_bytes = shutil.disk_usage(self._record_dir).free
        least = self._config.disk_free_bytes_min
        if self._why_full:
            self._impeded("SLU-141", self._why_full)
        elif free_bytes < least:
            wanted = f"at least {least} on the disk of {self._record_dir}: free some"
            self._impeded("SLU-141", f"{free_bytes} bytes free, wanted {wanted}")
        else:
            self._post(RecordingChanged(at_ns=self._clock(), is_recording=True))

    def _mark(self, journal: Journal) -> RecordingMarked:
        return RecordingMarked(
            at_ns=self._clock(), recorded_count=journal.head.n, chain_head=journal.head.hash
        )

    def _impeded(self, code: str, detail: str) -> None:
        changed = RecordingChanged(
            at_ns=self._clock(), is_recording=False, code=code, detail=detail
        )
        self._post(changed)


def _merged(held: list[list[Message]]) -> list[Message]:
    """Return the messages of all streams by the time of their storing, each stream's in order."""
    parts = [part for part in held if part]
    if len(parts) == 1:
        return parts[0]
    return list(heapq.merge(*parts, key=lambda message: message.stored_ns))


async def _close_quietly(pull: Pull) -> None:
    """Stop listening; a connection that is gone has stopped by itself."""
    with contextlib.suppress(NatsError):
        await pull.close()
