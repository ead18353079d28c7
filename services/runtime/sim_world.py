"""What all parts of a simulation share: the true time, what is due, chance, and who is there."""

import heapq
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from schemas.base import NS_PER_S, Event
from schemas.subjects import SUBJECTS
from services.runtime.sim_faults import Chance, FaultCounts, Faults
from services.runtime.sim_host import Host

BEGIN_NS = 1_704_205_800 * NS_PER_S
"""When simulated time begins: 2 January 2024, 14:30 UTC."""


class Moment(NamedTuple):
    """One event passing into or out of one process."""

    true_ns: int
    local_ns: int
    """By that process's own clock."""

    process: str
    boot_id: str
    is_said: bool
    """Whether it left the process; otherwise its cores were told it."""

    event: Event


class Observer(Protocol):
    """Sees what happens, and changes nothing.

    One that has a method `wants(process, is_said, kind)` is shown only what it wants.
    """

    def __call__(self, moment: Moment) -> None:
        """Take one moment in."""


class World:
    """The true time and all that hangs on it.

    Attributes:
        now_ns: the true time.
        faults: what may go wrong from now on.
        counts: how often each fault came about.
        chance: what decides.
        hosts: the processes, by name, in the order given.
        ghosts: processes that go on although another has taken their place.
        is_disk_full: whether nothing can be written.
        observers: who sees everything.
    """

    def __init__(self, faults: Faults, seed: int, observers: Sequence[Observer]) -> None:
        self.now_ns = BEGIN_NS
        self.faults = faults
        self.counts = FaultCounts()
        self.chance = Chance(seed)
        self.hosts: dict[str, Host] = {}
        self.ghosts: list[Host] = []
        self.is_disk_full = False
        self.observers = tuple(observers)
        self._watching: dict[tuple[str, bool, type[Event]], tuple[Observer, ...]] = {}
        self._delay, self._is_late = self.chance.stream("delay"), self.chance.stream("is late")
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._booked_count = 0
        self._hearers: dict[type[Event], tuple[Host, ...]] = {}
        self._last_ns: dict[tuple[str, str, str], int] = {}

    @property
    def everybody(self) -> list[Host]:
        """Every process there is, ghosts last."""
        return [*self.hosts.values(), *self.ghosts]

    def changed(self) -> None:
        """Note that there are other processes than before."""
        self._hearers.clear()

    def book(self, at_ns: int, happen: Callable[[], None]) -> None:
        """Let something happen at a true time; what is booked for one moment, in that order."""
        self._booked_count += 1  # ties go by order of booking, never by comparing events
        now_ns = self.now_ns
        heapq.heappush(self._due, (at_ns if at_ns > now_ns else now_ns, self._booked_count, happen))

    def run(self, until_ns: int) -> None:
        """Let everything happen that is due by then."""
        due, pop = self._due, heapq.heappop
        while due and due[0][0] <= until_ns:
            self.now_ns, _, happen = pop(due)
            happen()
        self.now_ns = until_ns

    def arrival_ns(self) -> int:
        """Return when what is sent now arrives: after a delay, and sometimes late."""
        faults = self.faults
        least_ns = faults.delay_ns_min
        delay_ns = least_ns + int(self._delay() * (faults.delay_ns_max + 1 - least_ns))
        if faults.late_probability and self._is_late() < faults.late_probability:
            self.counts.late += 1
            delay_ns += self.chance.between("late", 0, faults.late_ns_max)
        return self.now_ns + delay_ns

    def in_order(self, link: tuple[str, str, str], at_ns: int) -> int:
        """Return `at_ns`, or later: not before anything that was sent earlier on this link."""
        last_ns = self._last_ns.get(link, 0)
        if at_ns < last_ns:
            return last_ns
        self._last_ns[link] = at_ns
        return at_ns

    def hearers(self, kind: type[Event]) -> tuple[Host, ...]:
        """Return the processes that this kind of event comes to.

        An event of the bus comes to all who listen on its subjects, whether they hear this very
        kind or only another one there: a hole in a publisher's sequence is a hole in a subject.
        """
        found = self._hearers.get(kind)
        if found is None:
            pattern = SUBJECTS.get(kind)
            alike = [other for other in SUBJECTS if SUBJECTS[other] == pattern]
            kinds = frozenset(alike if kind in SUBJECTS else [kind])
            found = tuple(host for host in self.everybody if host.heard & kinds)
            self._hearers[kind] = found
        return found

    def observe(self, host: Host, event: Event, local_ns: int, *, is_said: bool) -> None:
        """Show one event that passes into or out of a process."""
        key = (host.name, is_said, type(event))
        watching = self._watching.get(key)
        if watching is None:
            watching = self._watching[key] = tuple(
                each for each in self.observers if _is_wanted(each, *key)
            )
        if watching:
            moment = Moment(self.now_ns, local_ns, host.name, host.boot_id, is_said, event)
            for observer in watching:
                observer(moment)

    def add_observer(self, observer: Observer) -> None:
        """Show everything from now on to one more observer, before the others."""
        self.observers = (observer, *self.observers)
        self._watching.clear()


def _is_wanted(observer: Observer, process: str, is_said: bool, kind: type[Event]) -> bool:
    wants = getattr(observer, "wants", None)
    return wants is None or bool(wants(process, is_said, kind))
