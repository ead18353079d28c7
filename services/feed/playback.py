"""Play a source at its speed: the only part of the feed that waits."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from msgspec.structs import force_setattr

from schemas.base import NS_PER_MS, NS_PER_S, Event
from schemas.errors import SluiceError
from schemas.health import LinkChanged
from schemas.market import (
    BookChanged,
    FeedEnded,
    MarketEvent,
    MarketRead,
    PlaybackMarked,
    PlaybackReleased,
    QuoteReceived,
    TradeReceived,
)
from services.feed.config import FeedConfig
from services.feed.source import Source
from services.runtime.live import Post

Ask = Callable[[str], Awaitable[bool]]
"""Asks a service for its report; returns once it answered, or nobody is there: True. False: it is
there and did not answer in time."""

HAS_VENUE_TIME = (QuoteReceived, TradeReceived, BookChanged)
UNANSWERED_NS = 10 * NS_PER_S
"""How long a service that did not answer in time is not waited for."""

BEHIND_NS = 50 * NS_PER_MS
"""Lag from which playback counts as behind its own clock: others may be behind then, too."""


class Playback:
    """Read a source, wait for each event's moment, and hand what is ready to the core.

    At `max` speed, and whenever it is behind, playback goes no faster than the slowest of
    `sync_with`: every `sync_every` events it asks each of them something, one after the other, and
    waits for the answers. They answer in the order they are told things, so by then they have taken
    in all that was published, and the server need not cut anybody off for being slow.

    Args:
        source: what to play.
        config: how fast.
        clock: returns now, in ns since the epoch.
        ask: asks one service for its report.
        mark: where an earlier process of the same run had come; None at the beginning.
        sleep: waits, in seconds.
    """

    def __init__(
        self,
        source: Source,
        config: FeedConfig,
        *,
        clock: Callable[[], int],
        ask: Ask,
        mark: Callable[[], PlaybackMarked | None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._source = source
        self._config = config
        self._clock = clock
        self._ask = ask
        self._mark = mark
        self._sleep = sleep
        self._released = asyncio.Event()
        self._link_is_up = asyncio.Event()
        self._link_is_up.set()
        self._unanswered_until_ns: dict[str, int] = {}
        self._failure = ""
        self._position_count = 0
        self._unsynced_count = 0
        self._task: asyncio.Task[None] | None = None

    async def open(self, post: Post) -> None:
        """Begin to play, now or when trading is started."""
        self._task = asyncio.create_task(self._play(post), name="playback")

    def act(self, event: Event, now_ns: int) -> None:
        """Let a recording begin; stand still while the bus is away."""
        match event:
            case PlaybackReleased():
                self._released.set()
            case LinkChanged(is_up=True):
                self._link_is_up.set()
            case LinkChanged():
                self._link_is_up.clear()

    async def close(self) -> None:
        """Stop playing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _play(self, post: Post) -> None:
        """Play to the end, or to where the source fails: then it is over, and goes stale."""
        mark = self._mark()
        if mark is None and self._source.is_recording and self._config.waits_for_start:
            await self._released.wait()
        await self._sync()
        await self._play_events(self._events(mark), post)
        if self._failure:
            post(self._read((), self._failure))
            return
        counts = self._source.counts
        ended = FeedEnded(at_ns=self._clock(), feed=self._source.name, counts=counts)
        post(self._read((ended,)))

    def _events(self, mark: PlaybackMarked | None) -> Iterator[MarketEvent]:
        """Yield what the source tells; it ends where the source fails, which is remembered."""
        try:
            if mark is None:
                yield from self._source
            else:
                self._position_count = mark.position_count
                yield from self._source.after(mark)
        except SluiceError as error:
            self._failure = str(error)
        except Exception as error:  # whatever it is, people must hear of it, and trading must stop
            self._failure = f"a fault in the feed: {error!r}"

    async def _play_events(self, events: Iterator[MarketEvent], post: Post) -> None:
        """Collect what is due into batches; wait when nothing is."""
        frame_max, clock = self._config.frame_max, self._clock
        pace = _Pace(self._config, clock())
        batch: list[MarketEvent] = []
        now_ns = clock()
        for event in events:
            due_ns = pace.due_ns(event.at_ns)
            if batch and (due_ns > now_ns or len(batch) >= frame_max):
                await self._hand_over(batch, post)
                batch = []
                now_ns = clock()
            if due_ns > now_ns:
                self._unsynced_count = 0  # it had to wait: nobody was rushed
                await self._sleep((due_ns - now_ns) / NS_PER_S)
                now_ns = clock()
            elif now_ns - due_ns > BEHIND_NS and self._unsynced_count >= self._config.sync_every:
                await self._sync()
                now_ns = clock()
            batch.append(event)
        if batch:
            await self._hand_over(batch, post)
        await self._sync()

    async def _hand_over(self, batch: list[MarketEvent], post: Post) -> None:
        """Stamp the batch with this moment, tell the core, and let others run."""
        await self._link_is_up.wait()  # the market stands still while there is no bus
        now_ns = self._clock()
        for event in batch:
            if isinstance(event, HAS_VENUE_TIME) and not event.venue_ns:
                force_setattr(event, "venue_ns", event.at_ns)
            force_setattr(event, "at_ns", now_ns)
        self._position_count += len(batch)
        self._unsynced_count += len(batch)
        post(self._read(tuple(batch)))
        await self._sleep(0)

    def _read(self, events: tuple[MarketEvent, ...], failure: str = "") -> MarketRead:
        return MarketRead(
            at_ns=self._clock(),
            events=events,
            position_count=self._position_count,
            counts=self._source.counts,
            failure=failure,
        )

    async def _sync(self) -> None:
        """Wait until everybody has taken in what was published."""
        self._unsynced_count = 0
        for name in self._config.sync_with:
            if self._unanswered_until_ns.get(name, 0) > self._clock():
                continue
            if not await self._ask(name):
                self._unanswered_until_ns[name] = self._clock() + UNANSWERED_NS


class _Pace:
    """When a recorded moment is due."""

    def __init__(self, config: FeedConfig, now_ns: int) -> None:
        self._factor = config.factor
        self._silence_ns_max = config.silence_s_max * NS_PER_S
        self._due_ns = now_ns
        self._recorded_ns: int | None = None

    def due_ns(self, recorded_ns: int) -> int:
        """Return when to publish what was recorded at `recorded_ns`; long silences are cut."""
        if self._factor is None:
            return 0
        if self._recorded_ns is not None:
            silence_ns = min(max(recorded_ns - self._recorded_ns, 0), self._silence_ns_max)
            self._due_ns += int(silence_ns / self._factor)
        self._recorded_ns = recorded_ns
        return self._due_ns
