"""Collections of Python's: short while anything may be sent, whole when nothing may."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from services.runtime import collector as collectors
from services.runtime.collector import Collector
from services.runtime.meter import Latencies

pytestmark = pytest.mark.req("O-04", "O-07")


class Circle:
    """Holds itself: only a collection frees it."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def _nothing_aside() -> Iterator[None]:
    gc.collect()
    gc.disable()  # so that only what a test asks for is collected
    yield
    gc.enable()
    gc.unfreeze()


def test_while_trading_a_collection_looks_only_at_what_came_since_the_last() -> None:
    Collector.tend(is_trading=True)
    old, new = Circle(), Circle()
    seen_old, seen_new = weakref.ref(old), weakref.ref(new)
    del new
    Collector.tend(is_trading=True)
    assert (seen_new(), seen_old()) == (None, old)
    aside_count = gc.get_freeze_count()
    assert aside_count > 10_000  # all of this test run, pytest included
    assert not any(each is old for each in gc.get_objects())
    del old
    Collector.tend(is_trading=True)
    assert seen_old() is not None  # it was aside: nobody looked
    Collector.tend(is_trading=False)
    assert seen_old() is None


def test_what_is_aside_and_held_by_nobody_is_freed_at_once() -> None:
    line = [Circle.__new__(Circle)]
    seen = weakref.ref(line[0])
    Collector.tend(is_trading=True)
    line.clear()
    assert seen() is None


async def _kept(collector: Collector, until: "asyncio.Event") -> None:
    keeping = asyncio.create_task(collector.keep())
    async with asyncio.timeout(10):
        await until.wait()
    keeping.cancel()
    await asyncio.wait([keeping])


@pytest.mark.parametrize("is_trading", [True, False])
def test_a_service_asks_each_time_whether_anything_may_be_sent(
    is_trading: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()
    told: list[bool] = []

    def tend(*, is_trading: bool) -> None:
        told.append(is_trading)
        asked.set()

    monkeypatch.setattr(collectors, "EVERY_S", 0.001)
    monkeypatch.setattr(Collector, "tend", staticmethod(tend))
    asyncio.run(_kept(Collector(lambda: is_trading, Latencies()), asked))
    assert set(told) == {is_trading}


def test_every_collection_counts_as_a_pause_and_an_end_leaves_nothing_behind() -> None:
    pauses = Latencies()
    callbacks = gc.callbacks.copy()
    with Collector(None, pauses).timed():
        gc.collect()
        gc.freeze()
        gc.collect(0)
    assert gc.get_freeze_count() == 0  # asked first: a collection of 3.12 freezes some by itself
    gc.collect()
    assert sum(pauses.counts) == 2
    assert pauses.sum_ns > 0
    assert gc.callbacks == callbacks
