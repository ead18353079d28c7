"""Breakers that count what happens in a sliding window: orders, errors by kind, mismatches."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import takewhile

import msgspec

from schemas.base import NS_PER_S, Event
from schemas.breakers import BreakerCounted, LevelSetting
from schemas.executions import OrderMarkedUnknown, OrderRejected, OrderSubmitted
from schemas.health import AlertRaised, DeadLettered
from schemas.restrictions import LockRequested
from services.breaker.breaker import About, Breaker
from services.breaker.levels import count
from services.core import NOTHING

KEPT_MAX = 100_000
"""Most entries of one window; beyond it the oldest goes early. Every level lies far below."""

BROKER_CODES = frozenset({"SLU-130"})
"""Alerts that say the broker or the way to it failed."""

DATA_CODES = frozenset({"SLU-110", "SLU-111", "SLU-112"})
"""Alerts that say market data is missing, wrong or late."""

MISMATCH_CODES = frozenset({"SLU-131"})
"""Alerts that say our book and the venue's differ."""

_EMPTIED = "the window is emptied: counting begins anew"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What one event adds to a window."""

    key: str
    source: str = ""
    about: str = ""


Reader = Callable[[Event], Entry | None]
"""Returns what an event adds to the window; None if nothing."""


class Counting(Breaker):
    """Distinct entries of the last `window_ns`: one of age `window_ns` exactly is out.

    Attributes:
        window_ns: length of the window.
        entries: key -> what was counted, oldest first; some may have left the window by time.
    """

    keeps = frozenset({BreakerCounted})

    def __init__(
        self,
        about: About,
        levels: Sequence[LevelSetting],
        window_s: int,
        read: dict[type[Event], Reader],
    ) -> None:
        super().__init__(about, levels)
        self.hears = frozenset(read)
        self.window_ns = window_s * NS_PER_S
        self.entries: dict[str, BreakerCounted] = {}
        self._is_by_source = False  # whether any entry says who reported it
        self._read = read

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Count what is distinct; a repeat, and what is none of it, counts for nothing."""
        entry = self._read[type(event)](event)
        if entry is None:
            return NOTHING
        before = self.entries.get(entry.key)
        if before is not None and self._is_inside(before, now_ns):
            return NOTHING
        counted = BreakerCounted(
            at_ns=now_ns,
            breaker=self.name,
            key=entry.key,
            source=entry.source,
            about=entry.about,
        )
        self.apply(counted)
        return (counted,)

    def apply(self, event: Event) -> None:
        """Fold one entry in, and let go of those that have left the window by its time."""
        if not isinstance(event, BreakerCounted) or event.breaker != self.name:
            return
        self.entries.pop(event.key, None)
        self.entries[event.key] = event
        self._is_by_source = self._is_by_source or bool(event.source)
        while len(self.entries) > 1:
            key, oldest = next(iter(self.entries.items()))
            if len(self.entries) <= KEPT_MAX and self._is_inside(oldest, event.at_ns):
                break
            del self.entries[key]

    def rebase(self) -> None:
        """Empty the window."""
        self.entries.clear()

    def inside(self, now_ns: int) -> list[BreakerCounted]:
        """Return what is in the window now, oldest first."""
        return [entry for entry in self.entries.values() if self._is_inside(entry, now_ns)]

    def value(self, now_ns: int) -> Decimal | None:
        """Return how many there are; of what several report, the most that one of them told.

        Entries are in the order of their times, so only those that have left are looked at.
        """
        if not self._is_by_source:
            entries = self.entries.values()
            gone = sum(1 for _ in takewhile(lambda e: not self._is_inside(e, now_ns), entries))
            return Decimal(len(self.entries) - gone)
        plain, by_source = 0, dict[str, int]()
        for entry in self.inside(now_ns):
            if entry.source:
                by_source[entry.source] = by_source.get(entry.source, 0) + 1
            else:
                plain += 1
        return Decimal(plain + max(by_source.values(), default=0))

    def inputs(self, now_ns: int) -> dict[str, str]:
        """Return the length of the window, its newest entry, and when its oldest leaves it."""
        found = {"window": f"{self.window_ns // NS_PER_S} s"}
        inside = self.inside(now_ns)
        if inside:
            leaves_ns = inside[0].at_ns + self.window_ns - now_ns
            found["newest"] = inside[-1].about or inside[-1].key
            found["oldest leaves in"] = f"{leaves_ns / NS_PER_S:.1f} s"
        return found

    def why_unknown(self, now_ns: int) -> str:
        """Return nothing: a count is always known."""
        return ""

    def reason(self, level: LevelSetting, now_ns: int) -> str:
        """Return count, window and the newest entry in words."""
        inside = self.inside(now_ns)
        assert inside, "an empty window has reached nothing"
        newest = inside[-1].about or inside[-1].key
        return (
            f"{self.value(now_ns)} {self.about.title} in {self.window_ns // NS_PER_S} s, "
            f"newest: {newest}; the limit is {self.about.level_text(level.at)}"
        )

    def what_reset_does(self, now_ns: int) -> str:
        """Return how many entries the window would lose."""
        return f"{self.name}: the window, {self.value(now_ns)} now, is emptied"

    def _is_inside(self, entry: BreakerCounted, now_ns: int) -> bool:
        return now_ns - entry.at_ns < self.window_ns


def _order(event: Event) -> Entry | None:
    assert isinstance(event, OrderSubmitted)
    about = f"{event.order.side} {event.order.quantity} {event.instrument} of {event.session}"
    return Entry(key=event.order_id, about=about)


def _rejection(event: Event) -> Entry | None:
    assert isinstance(event, OrderRejected)
    return Entry(key=event.order_id, about=f"{event.instrument}: {event.reason}")


def _unknown_fate(event: Event) -> Entry | None:
    assert isinstance(event, OrderMarkedUnknown)
    return Entry(key=event.order_id, about=f"{event.instrument}: {event.reason}")


def _alert(codes: frozenset[str]) -> Reader:
    def read(event: Event) -> Entry | None:
        assert isinstance(event, AlertRaised)
        if event.code not in codes:
            return None
        number = event.seq or event.message  # in one process nothing is numbered, nor repeated
        key = f"{event.src or event.component} {event.code} {event.at_ns} {number}"
        return Entry(key=key, about=f"{event.code} {event.message}")

    return read


def _dead_letter(event: Event) -> Entry | None:
    assert isinstance(event, DeadLettered)
    if not event.subject.startswith("market."):
        return None
    key = f"{event.src or event.component} {event.subject} {event.at_ns} {event.seq}"
    about = f"{event.component} cannot read {event.subject}: {event.reason}"
    return Entry(key=key, source=event.component, about=about)


def _lock(event: Event) -> Entry | None:
    assert isinstance(event, LockRequested)
    if event.code not in MISMATCH_CODES:
        return None
    key = f"{event.src or event.component} {event.code} {event.at_ns} lock"
    return Entry(key=key, about=event.reason)


ORDER_RATE: dict[type[Event], Reader] = {OrderSubmitted: _order}
ORDER_ERRORS: dict[type[Event], Reader] = {OrderRejected: _rejection}
BROKER_ERRORS: dict[type[Event], Reader] = {
    OrderMarkedUnknown: _unknown_fate,
    AlertRaised: _alert(BROKER_CODES),
}
DATA_ERRORS: dict[type[Event], Reader] = {
    AlertRaised: _alert(DATA_CODES),
    DeadLettered: _dead_letter,
}
MISMATCHES: dict[type[Event], Reader] = {
    AlertRaised: _alert(MISMATCH_CODES),
    LockRequested: _lock,
}

ABOUT_ORDER_RATE = About(
    name="order_rate",
    title="orders sent",
    formula="distinct orders written to the venue in the window",
    unit="orders in order_window_s",
    reads="OrderSubmitted",
    on_reset=_EMPTIED,
    show=count,
)
ABOUT_ORDER_ERRORS = About(
    name="order_errors",
    title="orders rejected by the venue",
    formula="distinct orders that the venue rejected in the window",
    unit="errors in error_window_s",
    reads="OrderRejected",
    on_reset=_EMPTIED,
    show=count,
)
ABOUT_BROKER_ERRORS = About(
    name="broker_errors",
    title="broker errors",
    formula="orders without an answer, and alerts SLU-130, in the window",
    unit="errors in error_window_s",
    reads="OrderMarkedUnknown, AlertRaised",
    on_reset=_EMPTIED,
    show=count,
)
ABOUT_DATA_ERRORS = About(
    name="data_errors",
    title="data errors",
    formula="alerts SLU-110, SLU-111, SLU-112, and unreadable market data as counted by the reader "
    "that saw most of it, in the window",
    unit="errors in error_window_s",
    reads="AlertRaised, DeadLettered",
    on_reset=_EMPTIED,
    show=count,
)
ABOUT_MISMATCHES = About(
    name="reconciliation",
    title="differences between our book and the venue's",
    formula="alerts SLU-131, or locks for it, in the window",
    unit="differences in error_window_s",
    reads="AlertRaised, LockRequested",
    on_reset=_EMPTIED,
    show=count,
)
