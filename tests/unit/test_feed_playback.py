"""Playback keeps the recording's time, hurries nobody, and forgets nothing."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.base import Event
from schemas.control import EpochStarted
from schemas.health import AlertRaised, LinkChanged
from schemas.market import (
    FeedEnded,
    InstrumentStatusChanged,
    MarketEvent,
    PlaybackMarked,
    QuoteReceived,
)
from schemas.subjects import INTERNAL
from services.core import tell
from services.feed.config import FeedConfig
from services.feed.core import FeedCore, FeedPlan
from services.feed.opening import open_recording
from services.feed.playback import UNANSWERED_NS, Playback
from services.feed.source import Source
from tests.builders import MS_NS, S_NS
from tests.feed_builders import SPOT_TICKER, capture

START_NS = 1_700_000_000 * S_NS
TURN_NS = 1_000


class Player:
    """A feed without a bus: its core, its playback, and a clock that only sleeping moves."""

    def __init__(self, source: Source, config: FeedConfig, run: str = "r") -> None:
        self.now_ns = START_NS
        self.core = FeedCore(
            FeedPlan(
                source="test", stale_after_ns=5 * S_NS, run=run, is_recording=source.is_recording
            )
        )
        self.said: list[Event] = []
        self.kept: list[Event] = []
        self.steps: list[int] = []
        self.asked: list[tuple[str, int]] = []
        self.silent: set[str] = set()
        self.slept_s: list[float] = []
        self.is_over = asyncio.Event()
        self.has_enough = asyncio.Event()
        self.enough_count = 0
        self.playback = Playback(
            source,
            config,
            clock=lambda: self.now_ns,
            ask=self.ask,
            mark=lambda: self.core.mark,
            sleep=self.sleep,
        )

    async def sleep(self, delay_s: float) -> None:
        self.now_ns += round(delay_s * S_NS) or TURN_NS
        if delay_s:
            self.slept_s.append(delay_s)
        await asyncio.sleep(0)

    async def ask(self, name: str) -> bool:
        self.asked.append((name, len(self.quotes)))
        return name not in self.silent

    def post(self, *events: Event) -> None:
        before = len(self.quotes)
        for event in events:
            for said in tell(self.core, event, self.now_ns):
                if type(said) in self.core.keeps:
                    self.kept.append(said)
                if type(said) in INTERNAL:
                    self.playback.act(said, self.now_ns)
                else:
                    self.said.append(said)
        if len(self.quotes) > before:
            self.steps.append(len(self.quotes) - before)
        if len(self.quotes) >= self.enough_count:
            self.has_enough.set()
        if any(map(is_last, self.said)):
            self.is_over.set()

    @property
    def quotes(self) -> list[QuoteReceived]:
        return [event for event in self.said if isinstance(event, QuoteReceived)]

    async def play(self) -> None:
        await self.playback.open(self.post)
        await self.is_over.wait()
        await self.playback.close()


def is_last(event: Event) -> bool:
    is_failure = isinstance(event, AlertRaised) and event.code == "SLU-110"
    return is_failure or isinstance(event, FeedEnded)


def config(**fields: object) -> FeedConfig:
    return FeedConfig(**{"waits_for_start": False, "speed": "max", **fields})  # type: ignore[arg-type]


def recording(tmp_path: Path, count: int) -> Source:
    """Return a recording of `count` quotes, one a millisecond."""
    return open_recording(capture(tmp_path / "a.gz", *[SPOT_TICKER % n for n in range(count)]))


def played(tmp_path: Path, count: int, **fields: object) -> Player:
    async def main() -> Player:
        player = Player(recording(tmp_path, count), config(**fields))
        await player.play()
        return player

    return asyncio.run(main())


@pytest.mark.req("M-01")
def test_every_message_is_played_and_the_counts_are_the_files(tmp_path: Path) -> None:
    player = played(tmp_path, 1_000)
    assert [each.update_id for each in player.quotes] == list(range(1_000))
    ended = player.said[-1]
    assert isinstance(ended, FeedEnded)
    assert (ended.feed, ended.counts) == ("a.gz", {"quote": 1_000, "total": 1_000})


def test_an_event_is_stamped_when_it_is_published_and_keeps_its_recorded_time(
    tmp_path: Path,
) -> None:
    player = played(tmp_path, 2, speed="1x")
    assert [(each.at_ns, each.venue_ns) for each in player.quotes] == [
        (START_NS, 1_000),
        (player.quotes[1].at_ns, 1_000 + MS_NS),
    ]
    assert player.quotes[1].at_ns >= START_NS + MS_NS


@pytest.mark.parametrize(("speed", "expected_s"), [("1x", 0.999), ("10x", 0.0999), ("0.5x", 1.998)])
def test_a_recording_lasts_as_long_as_its_speed_says(
    tmp_path: Path, speed: str, expected_s: float
) -> None:
    player = played(tmp_path, 1_000, speed=speed)
    lasted_ns = player.quotes[-1].at_ns - player.quotes[0].at_ns
    assert lasted_ns == pytest.approx(expected_s * S_NS, rel=0.01)


def test_at_max_speed_nothing_is_waited_for_but_the_others(tmp_path: Path) -> None:
    assert played(tmp_path, 1_000).slept_s == []


def test_what_is_ready_is_handed_on_together(tmp_path: Path) -> None:
    assert played(tmp_path, 1_000, frame_max=64).steps == [64] * 15 + [40]
    assert set(played(tmp_path, 100, speed="1x").steps) == {1}


def test_a_long_silence_is_cut_short(tmp_path: Path) -> None:
    rows = "".join(f"{START_NS + n * 100 * S_NS},x:Y,1,1,2,1\n" for n in (1, 2, 900))
    path = tmp_path / "a.csv"
    path.write_text("time,instrument,bid,bid_size,ask,ask_size\n" + rows)

    async def main() -> Player:
        player = Player(open_recording(path), config(speed="1x", silence_s_max=120))
        await player.play()
        return player

    player = asyncio.run(main())
    lasted_s = (player.quotes[-1].at_ns - START_NS) / S_NS
    assert lasted_s == pytest.approx(100 + 120, abs=0.1)


@pytest.mark.req("M-01")
def test_at_max_speed_the_feed_waits_for_everybody_now_and_then(tmp_path: Path) -> None:
    player = played(tmp_path, 1_000, sync_every=300, frame_max=50, sync_with=("gate", "venue"))
    assert [name for name, _ in player.asked] == ["gate", "venue"] * 5
    behind = [count for name, count in player.asked if name == "gate"]
    assert behind == [0, 300, 600, 900, 1_000]


def test_without_waiting_a_slow_listener_would_have_everything_before_it(tmp_path: Path) -> None:
    player = played(tmp_path, 1_000, sync_every=1_000_000, sync_with=("gate",))
    assert [count for _, count in player.asked] == [0, 1_000]


def test_a_feed_that_is_on_time_asks_nobody(tmp_path: Path) -> None:
    player = played(tmp_path, 1_000, speed="1x", sync_every=1)
    assert {count for _, count in player.asked} == {0, 1_000}


def test_who_does_not_answer_is_not_waited_for_again_soon(tmp_path: Path) -> None:
    async def main() -> Player:
        player = Player(recording(tmp_path, 1_000), config(sync_every=10, frame_max=10))
        player.silent.add("gate")
        await player.play()
        return player

    player = asyncio.run(main())
    asked = [name for name, _ in player.asked]
    assert asked.count("venue") > 50
    assert player.now_ns - START_NS < UNANSWERED_NS
    assert asked.count("gate") == 1


@pytest.mark.req("M-01")
def test_a_recording_waits_for_the_first_start_of_trading(tmp_path: Path) -> None:
    async def main() -> None:
        player = Player(recording(tmp_path, 10), config(waits_for_start=True))
        await player.playback.open(player.post)
        for _ in range(10):
            await asyncio.sleep(0)
        assert player.said == []
        player.post(EpochStarted(at_ns=START_NS, epoch=1, start_id="s", operator="kim", members={}))
        await player.is_over.wait()
        assert len(player.quotes) == 10
        await player.playback.close()

    asyncio.run(main())


def test_the_market_stands_still_while_the_bus_is_away(tmp_path: Path) -> None:
    async def main() -> None:
        player = Player(recording(tmp_path, 1_000), config(frame_max=10))
        player.post(LinkChanged(at_ns=START_NS, is_up=False))
        await player.playback.open(player.post)
        for _ in range(50):
            await asyncio.sleep(0)
        assert player.quotes == []
        player.post(LinkChanged(at_ns=START_NS, is_up=True))
        await player.is_over.wait()
        assert len(player.quotes) == 1_000
        await player.playback.close()

    asyncio.run(main())


@pytest.mark.req("O-04")
def test_a_killed_feed_goes_on_where_it_was_and_leaves_nothing_out(tmp_path: Path) -> None:
    async def main() -> tuple[Player, Player]:
        source = recording(tmp_path, 2_000)
        first = Player(source, config())
        first.enough_count = 1_300
        await first.playback.open(first.post)
        await first.has_enough.wait()
        await first.playback.close()
        second = Player(source, config(waits_for_start=True))
        for event in first.kept:
            second.core.restore(event)
        await second.play()
        return first, second

    first, second = asyncio.run(main())
    resumed = second.quotes[0].update_id
    assert 0 < resumed <= first.quotes[-1].update_id + 1, "no hole"
    assert len(first.quotes) - resumed <= 2 * 512 + 64, "and little is told twice"
    assert [each.update_id for each in second.quotes] == list(range(resumed, 2_000))
    ended = second.said[-1]
    assert isinstance(ended, FeedEnded)
    assert ended.counts == {"quote": 2_000, "total": 2_000}


def test_another_run_begins_the_recording_anew(tmp_path: Path) -> None:
    async def main() -> Player:
        player = Player(recording(tmp_path, 10), config(), run="today")
        player.core.restore(PlaybackMarked(at_ns=1, run="yesterday", position_count=9))
        await player.play()
        return player

    assert len(asyncio.run(main()).quotes) == 10


class Broken:
    """A source that fails after its first event."""

    name, is_recording, silence_ns = "broken", True, 0
    counts: dict[str, int] = {}

    def __init__(self, source: Source, error: Exception) -> None:
        self._source, self._error = source, error
        self.instruments = source.instruments

    def __iter__(self) -> Iterator[MarketEvent]:
        yield next(iter(self._source))
        raise self._error

    def after(self, mark: PlaybackMarked) -> Iterator[MarketEvent]:
        return iter(self)


@pytest.mark.parametrize("text", ["what happened", ""])
def test_a_source_that_breaks_is_told_to_people_and_is_not_an_end(
    tmp_path: Path, text: str
) -> None:
    async def main() -> Player:
        player = Player(Broken(recording(tmp_path, 5), RuntimeError(text)), config(frame_max=1))
        await player.play()
        return player

    said = asyncio.run(main()).said
    assert [type(each) for each in said] == [InstrumentStatusChanged, QuoteReceived, AlertRaised]
    alert = said[-1]
    assert isinstance(alert, AlertRaised)
    assert (alert.code, alert.message) == (
        "SLU-110",
        f"a fault in the feed: RuntimeError({text!r})",
    )


def test_a_torn_recording_is_played_to_where_it_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    row = f"{START_NS},x:Y,1,1"
    path.write_text(f"time,instrument,bid,bid_size,ask,ask_size\n{row},2,1\n{row}\n")

    async def main() -> Player:
        player = Player(open_recording(path), config(frame_max=1))
        await player.play()
        return player

    said = asyncio.run(main()).said
    assert [type(each) for each in said] == [InstrumentStatusChanged, QuoteReceived, AlertRaised]
    alert = said[-1]
    assert isinstance(alert, AlertRaised)
    assert f"{path}:3" in alert.message
