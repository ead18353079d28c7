"""A deadline becomes a timer that rings in time, and costs nothing while it only moves back."""

import asyncio
from collections.abc import Callable

import uvloop

from services.runtime.alarm import Alarm
from services.runtime.clock import Clock
from tests.builders import MS_NS, S_NS

CLOCK = Clock()


async def rings(set_up: Callable[[Alarm, int], None]) -> list[int]:
    """Return how many ns after the start each ring came, until the first that is due."""
    rung: asyncio.Queue[int] = asyncio.Queue()
    start_ns = CLOCK()
    alarm = Alarm(lambda: rung.put_nowait(CLOCK() - start_ns))
    set_up(alarm, start_ns)
    found = [await rung.get()]
    alarm.cancel()
    return found


def test_a_deadline_less_than_a_millisecond_away_does_not_ring_before() -> None:
    """Where timers are rounded it would ring at once, and be set again, in a spin."""
    due_ns = 400_000
    [rung_ns] = uvloop.run(rings(lambda alarm, now_ns: alarm.set(now_ns + due_ns, now_ns)))
    assert rung_ns >= due_ns


def test_a_deadline_in_the_past_rings_in_the_next_millisecond() -> None:
    uvloop.run(rings(lambda alarm, now_ns: alarm.set(now_ns - S_NS, now_ns)))


def test_an_earlier_deadline_takes_the_place_of_a_later_one() -> None:
    def set_up(alarm: Alarm, now_ns: int) -> None:
        alarm.set(now_ns + 3_600 * S_NS, now_ns)
        alarm.set(now_ns + MS_NS, now_ns)

    uvloop.run(rings(set_up))


def test_a_later_deadline_or_none_leaves_the_timer_as_it_is() -> None:
    def set_up(alarm: Alarm, now_ns: int) -> None:
        alarm.set(now_ns + MS_NS, now_ns)
        timer = alarm._timer
        alarm.set(now_ns + 3_600 * S_NS, now_ns)
        alarm.set(None, now_ns)
        assert alarm._timer is timer

    uvloop.run(rings(set_up))


def test_a_cancelled_alarm_does_not_ring() -> None:
    async def main() -> list[str]:
        heard: list[str] = []
        done = asyncio.Event()
        alarm, later = Alarm(lambda: heard.append("cancelled")), Alarm(done.set)
        now_ns = CLOCK()
        alarm.set(now_ns + MS_NS, now_ns)
        alarm.cancel()
        later.set(now_ns + 3 * MS_NS, now_ns)
        await done.wait()
        return heard

    assert uvloop.run(main()) == []
