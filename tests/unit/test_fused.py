"""All cores in one process: the same feed gives the same run, in the order it happened."""

from collections.abc import Sequence

from schemas.base import Event
from schemas.health import GapSeen
from schemas.market import FeedEnded, QuoteReceived
from services.core import NOTHING, tell
from services.runtime.fused import Fused
from tests.builders import quote


def ended(feed: str, at_ns: int) -> FeedEnded:
    return FeedEnded(at_ns=at_ns, feed=feed, counts={})


class Echo:
    """Answers every quote once, and a second time when its alarm rings."""

    hears: frozenset[type[Event]] = frozenset({QuoteReceived})
    keeps: frozenset[type[Event]] = frozenset()

    def __init__(self, name: str, alarm_ns: int | None = None) -> None:
        self.name = name
        self.alarm_ns = alarm_ns
        self.wake_at_ns: int | None = None

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        if self.alarm_ns is not None:
            self.wake_at_ns = now_ns + self.alarm_ns
        return [ended(f"{self.name} heard", now_ns)]

    def wake(self, now_ns: int) -> Sequence[Event]:
        self.wake_at_ns = None
        return [ended(f"{self.name} rang", now_ns)]

    def restore(self, event: Event) -> None:
        raise AssertionError("keeps nothing")

    def describe(self, now_ns: int) -> Event:
        return ended(self.name, now_ns)


class Listener(Echo):
    """Hears what the others say, and says nothing."""

    hears = frozenset({FeedEnded})

    def __init__(self) -> None:
        super().__init__("listener")
        self.heard: list[Event] = []

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        self.heard.append(event)
        return NOTHING


def test_every_core_hears_the_event_before_any_answer_is_delivered() -> None:
    journal: list[Event] = []
    Fused([Echo("a"), Echo("b"), Listener()], journal.append).run([quote(at_ns=5)])
    assert journal == [quote(at_ns=5), ended("a heard", 5), ended("b heard", 5)]


def test_a_deadline_between_two_events_rings_at_its_own_time() -> None:
    journal: list[Event] = []
    fused = Fused([Echo("a", alarm_ns=3)], journal.append)
    fused.run([quote(at_ns=10), quote(at_ns=20)])
    fused.finish(100)
    assert journal == [
        quote(at_ns=10),
        ended("a heard", 10),
        ended("a rang", 13),
        quote(at_ns=20),
        ended("a heard", 20),
        ended("a rang", 23),
    ]


def test_a_clock_that_runs_backwards_is_held_still() -> None:
    journal: list[Event] = []
    Fused([Echo("a")], journal.append).run([quote(at_ns=10), quote(at_ns=4)])
    assert journal[-1] == ended("a heard", 10)


def test_events_that_nobody_hears_are_journalled_all_the_same() -> None:
    journal: list[Event] = []
    gap = GapSeen(at_ns=1, subject="s", publisher="p", expected_seq=1, got_seq=3)
    Fused([Echo("a")], journal.append).run([gap])
    assert journal == [gap]


def test_a_deadline_that_is_due_speaks_before_the_event() -> None:
    core = Echo("a")
    core.wake_at_ns = 5
    assert list(tell(core, quote(), 6)) == [ended("a rang", 6), ended("a heard", 6)]
    assert list(tell(core, None, 6)) == []
