"""The feed as a process on a real nats-server: all of a recording arrives, once and in order."""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.errors import NoRespondersError

from schemas.base import Event
from schemas.control import EpochStarted
from schemas.health import AlertRaised, FeedReported
from schemas.market import BookChanged, FeedEnded, QuoteReceived, TradeReceived
from schemas.wire import decode, encode
from services.runtime.config import BusConfig
from services.runtime.connect import connect
from services.runtime.fastpath import BusConnection
from tests.bus import run
from tests.feed_builders import SPOT_TICKER, capture
from tests.integration.feed_process import feed_process

MARKET = (QuoteReceived, TradeReceived, BookChanged)


def settings(folder: Path, url: str, **feed: object) -> Path:
    """Write the resolved configuration of one process."""
    account = {"id": "paper", "currency": "USDT", "initial_cash": "100000"}
    paths = {"data_dir": str(folder)}
    path = folder / "config.json"
    path.write_text(
        json.dumps({"bus": {"url": url}, "account": account, "feed": feed, "paths": paths})
    )
    return path


class Watcher:
    """Everything the feed publishes, in the order it came."""

    def __init__(self, connection: BusConnection) -> None:
        self.connection = connection
        self.events: list[Event] = []
        self._counts: Counter[type[Event]] = Counter()
        self._wanted: tuple[type[Event], int] = (Event, 0)
        self._has_wanted = asyncio.Event()

    async def listen(self) -> None:
        for subject in ("market.>", "feed.ended", "alert.>"):
            await self.connection.take(subject, self._take)
        await self.connection.flush()

    def of_kind(self, *kinds: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kinds)]

    async def until(self, kind: type[Event], count: int = 1) -> None:
        self._wanted = kind, count
        self._has_wanted.clear()
        if self._counts[kind] < count:
            await self._has_wanted.wait()

    async def report(self) -> FeedReported:
        answer = await self.connection.request("query.feed", b"", timeout=5)
        [event] = decode(answer.data, subject="query.feed")
        assert isinstance(event, FeedReported)
        return event

    def _take(self, subject: str, data: bytes, reply: str) -> int:
        events = decode(data, subject=subject)
        self.events += events
        self._counts.update(map(type, events))
        kind, count = self._wanted
        if self._counts[kind] >= count:
            self._has_wanted.set()
        return len(events)


@asynccontextmanager
async def watcher(url: str) -> AsyncIterator[Watcher]:
    connection = await connect("watcher", BusConfig(url=url))
    try:
        found = Watcher(connection)
        await found.listen()
        yield found
    finally:
        await connection.close()


async def is_answering(bus: Watcher) -> bool:
    try:
        await bus.report()
    except NoRespondersError:
        return False
    return True


@pytest.mark.req("M-01")
def test_a_whole_recording_arrives_at_full_speed(
    data_dir: Path, tmp_path: Path, nats_url: str
) -> None:
    source = f"replay:{data_dir / 'binance/usdm/btcusdt_20240808.gz'}"
    config = settings(tmp_path, nats_url, source=source, speed="max", waits_for_start=False)

    async def main() -> tuple[Watcher, FeedReported]:
        async with watcher(nats_url) as bus:
            with feed_process(config) as process:
                await bus.until(FeedEnded)
                report = await bus.report()
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=10) == 0
        return bus, report

    bus, report = run(main())
    [ended] = bus.of_kind(FeedEnded)
    assert isinstance(ended, FeedEnded)
    counts = {"quote": 66_089, "trade": 21_313, "book": 6_552, "total": 93_954}
    assert ended.counts == report.counts == counts
    assert len(bus.of_kind(*MARKET)) == 93_954
    for kind in MARKET:
        numbers = [event.seq for event in bus.of_kind(kind)]
        assert numbers == list(range(1, len(numbers) + 1))
    assert bus.of_kind(AlertRaised) == []
    assert (report.top_checks_count > 500, report.top_differs_count) == (True, 0)


@pytest.mark.req("M-01")
def test_a_recording_waits_for_a_start_on_the_bus(tmp_path: Path, nats_url: str) -> None:
    path = capture(tmp_path / "a.gz", *[SPOT_TICKER % number for number in range(50)])
    config = settings(tmp_path, nats_url, source=f"replay:{path}", speed="max")

    async def main() -> None:
        async with watcher(nats_url) as bus:
            with feed_process(config):
                while not await is_answering(bus):
                    pass
                assert bus.events == []
                started = EpochStarted(at_ns=1, epoch=1, start_id="s", operator="kim", members={})
                bus.connection.send("control.epoch", encode(started))
                await bus.until(FeedEnded)
            assert len(bus.of_kind(QuoteReceived)) == 50

    run(main())


@pytest.mark.req("O-04")
def test_a_feed_killed_while_it_plays_leaves_no_hole(tmp_path: Path, nats_url: str) -> None:
    total = 20_000
    path = capture(tmp_path / "a.gz", *[SPOT_TICKER % number for number in range(total)])
    source = f"replay:{path}"
    config = settings(tmp_path, nats_url, source=source, speed="10x", waits_for_start=False)

    async def main() -> Watcher:
        async with watcher(nats_url) as bus:
            with feed_process(config) as first:
                await bus.until(QuoteReceived, 4_000)
                first.kill()
                first.wait(timeout=5)
            with feed_process(config):
                await bus.until(FeedEnded)
        return bus

    bus = run(main())
    ids = [quote.update_id for quote in bus.events if isinstance(quote, QuoteReceived)]
    assert sorted(set(ids)) == list(range(total)), "nothing was left out"
    assert len(ids) - total < 3_000, "and it did not begin anew"
    [ended] = bus.of_kind(FeedEnded)
    assert isinstance(ended, FeedEnded)
    assert ended.counts == {"quote": total, "total": total}


def test_a_recording_that_is_not_there_is_an_error_of_the_user(
    tmp_path: Path, nats_url: str
) -> None:
    config = settings(tmp_path, nats_url, source=f"replay:{tmp_path / 'no.gz'}")
    with feed_process(config) as process:
        assert process.wait(timeout=20) == 2
    assert "SLU-102" in (tmp_path / "feed.log").read_text()
