"""What the server does to a service that reads too slowly, and how the service learns of it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from schemas.base import Event
from schemas.health import GapSeen, LinkChanged
from schemas.market import FeedEnded
from schemas.wire import encode
from services.core import NOTHING
from tests.bus import Bare, Probe, run, serving, silent
from tests.conftest import NatsServer

ENDED = "feed.ended"
LARGE = "x" * 200_000
FLOOD = 200
"""Events of a flood: 40 MB, more than the kernel and the server keep for one reader."""


def numbered(seq: int) -> bytes:
    return encode(FeedEnded(at_ns=0, feed=LARGE, counts={}, src="feed-1", seq=seq))


async def after_a_flood(url: str, *, is_cut: bool) -> tuple[list[bool], int, int]:
    """Flood a service that stands still; return its link's changes, what it missed and heard."""
    links: asyncio.Queue[bool] = asyncio.Queue()
    has_heard_last = asyncio.Event()

    def on_link(event: LinkChanged, now_ns: int) -> Sequence[Event]:
        links.put_nowait(event.is_up)
        return NOTHING

    def on_ended(event: FeedEnded, now_ns: int) -> Sequence[Event]:
        if event.seq > FLOOD:
            has_heard_last.set()
        return NOTHING

    core = Probe({FeedEnded: on_ended, LinkChanged: on_link, GapSeen: silent})
    async with serving(url, core) as live:
        bare = Bare(url)
        bare.publish(ENDED, *[numbered(seq) for seq in range(1, FLOOD + 1)])
        bare.settle()
        changes = [await links.get(), await links.get()] if is_cut else []
        await live._connection.flush()  # the answer comes behind all that was kept for us
        bare.publish(ENDED, numbered(FLOOD + 1))
        await has_heard_last.wait()
        bare.close()
    gaps = [event for event in core.heard if isinstance(event, GapSeen)]
    missed_count = sum(gap.got_seq - gap.expected_seq for gap in gaps)
    heard_count = sum(isinstance(event, FeedEnded) for event in core.heard)
    return changes, missed_count, heard_count


@pytest.mark.parametrize("is_cut", [True, False], ids=["cut off", "dropped in silence"])
def test_what_a_slow_reader_missed_is_told_as_a_hole(tmp_path: Path, is_cut: bool) -> None:
    """With `no_fast_producer_stall` the server drops for a slow reader, and says nothing at all."""
    rules = tmp_path / "server.conf"
    rules.write_text(f"max_pending: 1MB\nno_fast_producer_stall: {str(not is_cut).lower()}\n")
    server = NatsServer(tmp_path, "-c", str(rules))
    try:
        changes, missed_count, heard_count = run(after_a_flood(server.url, is_cut=is_cut))
    finally:
        server.stop()
    assert changes == ([False, True] if is_cut else [])
    assert missed_count > 0
    assert heard_count + missed_count == FLOOD + 1
