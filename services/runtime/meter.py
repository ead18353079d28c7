"""What one process counts while it works: plain numbers, added to in place, read when scraped.

Nothing here waits, locks or allocates for each event: the hot path pays a bisect and two additions.
Another thread reads the numbers as they stand; one that is half a step old is as good.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

from schemas.base import NS_PER_S, Event, OrderId
from schemas.control import ControlAnswered, HaltRequested
from schemas.executions import OrderAccepted, OrderRefused, OrderRejected, OrderSubmitted
from schemas.health import AlertRaised
from schemas.orders import Outcome, SignalDecided
from schemas.restrictions import RestrictionRequested

LATENCY_BOUNDS_S = (
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005,
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Upper ends of the buckets, in seconds: from a decision in one process to a bus that was away."""

_BOUNDS_NS = tuple(round(each * NS_PER_S) for each in LATENCY_BOUNDS_S)
UNANSWERED_MAX = 10_000
"""Orders whose acceptance is waited for, a count; of more the oldest is forgotten, not measured."""

REFUSALS_MAX = 500
"""Kinds of refusals that are counted apart, a count; what is of another kind is `other`."""

OTHER, VENUE = "other", "venue"
"""Codes of refusals: no field was named; the venue said no, in words of its own."""

_FIELD = re.compile(r"[$.]*([A-Za-z_]\w*)")

STAMPED_HERE: frozenset[type[Event]] = frozenset({HaltRequested, RestrictionRequested})
"""What is made of any bytes as they arrive, with the time of that: how old they were is unknown."""

STEPS_PER_SAMPLE = 16
"""One step in so many is timed: reading the clock at each would cost the market data dearly."""


class Latencies:
    """A histogram of times.

    Attributes:
        counts: how many fell into each bucket of `LATENCY_BOUNDS_S`, and last, above them all.
        sum_ns: of all that were added.
    """

    __slots__ = ("counts", "sum_ns")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BOUNDS_NS) + 1)
        self.sum_ns = 0

    def add(self, took_ns: int, times: int = 1) -> None:
        """Add one time, or the same time for each of several events."""
        self.counts[bisect_left(_BOUNDS_NS, took_ns)] += times
        self.sum_ns += took_ns * times


class Meter:
    """The counts of one process.

    Attributes:
        ages: event type -> age of those taken in, from the time its maker stamped.
        said: event type -> how many were handed to the server's socket.
        alerts: (severity, code) -> how many were raised, whether anybody could be told or not.
        steps: time of one step in sixteen, from the core's being told to all being published.
        syncs: time of each write to the journal that waited for the disk.
        decisions: time of each decision on a signal.
        accepts: time from each order's being sent until the venue's word that it has it.
        pauses: time of each collection of Python's, in which nothing else runs.
        refusals: (what was refused, by which check or for which field) -> how many.
    """

    def __init__(self) -> None:
        self.ages: dict[type[Event], Latencies] = {}
        self.said: dict[type[Event], int] = {}
        self.alerts: dict[tuple[str, str], int] = {}
        self.steps, self.syncs, self.decisions = Latencies(), Latencies(), Latencies()
        self.accepts, self.pauses = Latencies(), Latencies()
        self.refusals: dict[tuple[str, str], int] = {}
        self._sent_ns: dict[OrderId, int] = {}
        self._looks: dict[type[Event], Callable[[Any], None]] = {
            AlertRaised: self._alert,
            ControlAnswered: self._answer,
            OrderSubmitted: self._sent,
            OrderAccepted: self._accepted,
            SignalDecided: self._decided,
            OrderRefused: self._last_check,
            OrderRejected: self._at_venue,
        }

    def took_in(self, events: Sequence[Event], now_ns: int) -> None:
        """Count the events of one message, each under its own type and age."""
        if len(events) > 1:
            self._took_in_frame(events, now_ns)
            return
        event = events[0]
        found = self.ages.get(type(event)) or self._born(type(event))
        if found is not None:
            found.add(max(0, now_ns - event.at_ns))

    def _took_in_frame(self, events: Sequence[Event], now_ns: int) -> None:
        """Count a frame; what stands together in it and is alike costs one look."""
        kind, made_ns, times = type(events[0]), events[0].at_ns, 0
        for event in events:
            if event.at_ns == made_ns and type(event) is kind:
                times += 1
                continue
            self._age(kind, now_ns - made_ns, times)
            kind, made_ns, times = type(event), event.at_ns, 1
        self._age(kind, now_ns - made_ns, times)

    def _age(self, kind: type[Event], age_ns: int, times: int) -> None:
        found = self.ages.get(kind) or self._born(kind)
        if found is not None:
            found.add(max(0, age_ns), times)

    def _born(self, kind: type[Event]) -> Latencies | None:
        """Return the new histogram of one type; None where no age is known."""
        return None if kind in STAMPED_HERE else self.ages.setdefault(kind, Latencies())

    def lost(self, events: Sequence[Event]) -> None:
        """Look at the events of a frame that nobody could be sent: they happened all the same."""
        looks = self._looks
        for event in events:
            if type(event) in looks:
                looks[type(event)](event)

    def published(self, events: Sequence[Event]) -> None:
        """Count the events of one frame that is on its way."""
        said, looks = self.said, self._looks
        for event in events:
            kind = type(event)
            said[kind] = said.get(kind, 0) + 1
            if kind in looks:
                looks[kind](event)

    def _alert(self, event: AlertRaised) -> None:
        key = (str(event.severity), event.code)
        self.alerts[key] = self.alerts.get(key, 0) + 1

    def _answer(self, event: ControlAnswered) -> None:
        if not event.is_ok:
            codes = dict.fromkeys(_code_of(each.path) for each in event.errors)
            for code in codes or (OTHER,):
                self._refuse(event.request, code)

    def _decided(self, event: SignalDecided) -> None:
        if event.outcome is Outcome.REJECTED:
            self._refuse("signal", event.rule)

    def _last_check(self, event: OrderRefused) -> None:
        self._refuse("order", event.rule)

    def _at_venue(self, event: OrderRejected) -> None:
        self._refuse("order", VENUE)

    def _refuse(self, what: str, code: str) -> None:
        key = (what, code)
        if key not in self.refusals and len(self.refusals) >= REFUSALS_MAX:
            key = (what, OTHER)  # whoever asks chooses names of fields: they must not fill us
        self.refusals[key] = self.refusals.get(key, 0) + 1

    def _sent(self, event: OrderSubmitted) -> None:
        self._sent_ns[event.order_id] = event.at_ns
        if len(self._sent_ns) > UNANSWERED_MAX:
            del self._sent_ns[next(iter(self._sent_ns))]

    def _accepted(self, event: OrderAccepted) -> None:
        sent_ns = self._sent_ns.pop(event.order_id, None)
        if sent_ns is not None:
            self.accepts.add(max(0, event.at_ns - sent_ns))


def _code_of(path: str) -> str:
    """Return the field or the component that a refusal names, without what lies below it."""
    found = _FIELD.match(path)
    return OTHER if found is None else found[1]
