"""One simulated process: its cores, its journal, its clock, and what it lives through."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from schemas.base import BootId, Event
from schemas.health import HealthReported
from schemas.subjects import INTERNAL
from services.core import Core, tell
from services.runtime.sequence import Sequences

Acted = tuple[Sequence[Event], Sequence[Event]]
"""What leaves on a wire, and what is posted back to the cores right after the step."""

MILLION = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Body:
    """What one start of a process makes.

    Attributes:
        cores: told in this order; they hear each other at once.
        act: stands for the adapter: told each internal event that a core says. Without it, the
            event leaves on the wire to whoever hears it.
        health: returns what the cores add to the health of the process.
    """

    cores: tuple[Core, ...]
    act: Callable[[Event, int], Acted] | None = None
    health: Callable[[int], HealthReported] | None = None


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process of the simulated system.

    Attributes:
        name: its bus user.
        make: makes its cores anew, at each start, for that start's boot id.
        urgent: events with a connection of their own, which nothing else can hold up.
        is_for_it: whether it subscribes to the subject of this very event; None means to all.
        notices: for each process it has a wire to, the event that tells of the wire's state.
        queries: events that ask another process for its report, and whom they ask.
        writes: internal events that do something outside which cannot be taken back.
        unruly: reports that it may make late, twice, and not in order.
        answers: reports on its wires that only who asked gets, in the step of the question.
        damage: called with a journal of which a byte is to be changed and a seed; raises unless
            that is found.
        after_outage: called when the bus comes back, with a seed; returns how many records of
            what it had stored it has lost.
        is_mortal: whether it can be paused, cut off and killed.
        can_stall: whether it can stand still although no other fault befalls it.
        can_double: whether it can be replaced while it is still there.
        has_health: whether it publishes its health each second.
        can_lose_tail: whether its journal can lose its end with the power.
    """

    name: str
    make: Callable[[BootId], Body]
    urgent: frozenset[type[Event]] = frozenset()
    is_for_it: Callable[[Event], bool] | None = None
    notices: Mapping[str, Callable[[bool, int], Event]] = field(default_factory=dict)
    queries: Mapping[type[Event], str] = field(default_factory=dict)
    writes: frozenset[type[Event]] = frozenset()
    unruly: frozenset[type[Event]] = frozenset()
    answers: frozenset[type[Event]] = frozenset()
    damage: Callable[[Sequence[Event], int], None] | None = None
    after_outage: Callable[[int], int] | None = None
    is_mortal: bool = True
    can_stall: bool = False
    can_double: bool = False
    has_health: bool = True
    can_lose_tail: bool = True


class Host:
    """A process as it stands.

    Attributes:
        name: the process's name.
        key: its name, and which of the processes of that name it is.
        number: its place in the list of processes; orders all that happens at one moment.
        boot: how often it was started.
        boot_id: of the present start.
        life: differs from one life to the next; what is under way to another finds nobody.
        is_up: whether it runs (or is paused).
        is_ghost: whether another process has taken its place.
        is_deaf: whether nothing of the bus comes to it.
        is_mute: whether nothing it says gets out on the bus.
        paused_until_ns: true time until which it stands still.
        waiting: what came while it stood still, oldest first.
        kept: its journal: which core, and what.
        durable_count: how much of the journal is certainly on the disk.
        alarm_ns: true time that its next waking is booked for.
        heard: every kind of event that a core of it hears.
        internal: every kind of event that never goes over the bus.
    """

    def __init__(self, process: Process, number: int, key: str = "") -> None:
        self.process = process
        self.name = process.name
        self.key = key or process.name
        self.number = number
        self.boot = self.life = 0
        self.boot_id = BootId("")
        self.is_up = self.is_ghost = self.is_deaf = self.is_mute = False
        self.paused_until_ns = 0
        self.waiting: list[Callable[[], None]] = []
        self.kept: list[tuple[int, Event]] = []
        self.durable_count = 0
        self.alarm_ns: int | None = None
        self.body = Body(cores=())
        self.heard: frozenset[type[Event]] = frozenset()
        self.internal = INTERNAL | frozenset(process.queries)
        self.sequences = Sequences()
        self.said_counts: dict[str, int] = {}
        self._hearers: dict[type[Event], tuple[int, ...]] = {}
        self._fresh: list[tuple[int, Event]] = []
        self._offset_ns = self._set_back_ns = self._since_ns = 0
        self._drift_ppm = 0

    # the clock

    def set_clock(self, offset_ns: int, drift_ppm: int, true_ns: int) -> None:
        """Let its clock be off by so much, and from now on go so much faster than the truth."""
        self._offset_ns, self._drift_ppm, self._since_ns = offset_ns, drift_ppm, true_ns

    def jump(self, by_ns: int, true_ns: int) -> None:
        """Set its clock: forward at once, back with its next start."""
        drifted_ns = self.local_ns(true_ns) - true_ns
        self.set_clock(drifted_ns + max(by_ns, 0), self._drift_ppm, true_ns)
        self._set_back_ns = min(by_ns, 0)

    def local_ns(self, true_ns: int) -> int:
        """Return the time by its own clock."""
        ahead_ns = true_ns + self._offset_ns
        if not self._drift_ppm:
            return ahead_ns
        return ahead_ns + (true_ns - self._since_ns) * self._drift_ppm // MILLION

    def true_ns(self, local_ns: int) -> int:
        """Return a true time at which its own clock shows `local_ns`, or just after."""
        at_ns = local_ns - self._offset_ns
        if not self._drift_ppm:
            return at_ns
        passed_ns = at_ns - self._since_ns
        return self._since_ns + passed_ns * MILLION // (MILLION + self._drift_ppm) + 1

    # what it is

    @property
    def wake_at_ns(self) -> int | None:
        """The earliest deadline of its cores, by its own clock."""
        earliest: int | None = None
        for core in self.body.cores:
            due_ns = core.wake_at_ns
            if due_ns is not None and (earliest is None or due_ns < earliest):
                earliest = due_ns
        return earliest

    # its lives

    def start(self, true_ns: int = 0) -> None:
        """Begin anew: new cores, and what the journal has."""
        if self._set_back_ns:
            self.set_clock(self._offset_ns + self._set_back_ns, self._drift_ppm, true_ns)
            self._set_back_ns = 0
        self.boot += 1
        self.life += 1
        self.boot_id = BootId(f"{self.name}-{self.boot}")
        self.is_up, self.alarm_ns = True, None
        self.body = self.process.make(self.boot_id)
        cores = list(enumerate(self.body.cores))
        self.heard = frozenset(kind for _, core in cores for kind in core.hears)
        self._hearers = {
            kind: tuple(number for number, core in cores if kind in core.hears)
            for kind in sorted(self.heard, key=lambda kind: kind.__name__)
        }
        self.sequences, self.said_counts = Sequences(), {}
        for number, event in self.kept:
            self.body.cores[number].restore(event)

    def die(self, kept_count: int) -> None:
        """End without a word; only so much of the journal is left."""
        self.is_up = self.is_deaf = self.is_mute = False
        self.life += 1
        self._fresh.clear()
        self.waiting.clear()
        self.paused_until_ns = 0
        del self.kept[kept_count:]
        self.durable_count = len(self.kept)

    def successor(self, number: int) -> "Host":
        """Return a process of the same name with a copy of this one's journal, not yet started."""
        other = Host(self.process, number, f"{self.name}#{number}")
        other.boot, other.life = self.boot, self.life
        other.kept, other.durable_count = list(self.kept), self.durable_count
        other._offset_ns, other._set_back_ns = self._offset_ns, self._set_back_ns
        other._since_ns, other._drift_ppm = self._since_ns, self._drift_ppm
        self.is_ghost = True
        return other

    # its steps

    def told(self, event: Event | None, now_ns: int) -> list[Event]:
        """Return what all its cores say to the event; they tell each other at once."""
        said: list[Event] = []
        queue: list[tuple[int, Event | None]] = [(-1, event)]
        for speaker, each in queue:  # which grows by what is answered
            if each is None:
                hearers: Iterable[int] = range(len(self.body.cores))
            else:
                hearers = self._hearers.get(type(each), ())
            for number in hearers:
                if number != speaker:
                    answers = self._tell(number, each, now_ns)
                    if answers:
                        said += answers
                        queue += [(number, answer) for answer in answers]
        return said

    @property
    def has_changed(self) -> bool:
        """Whether this step has something to write into the journal."""
        return bool(self._fresh)

    def keep(self) -> None:
        """Write what this step has changed into the journal."""
        cores, forced = self.body.cores, False
        for number, event in self._fresh:
            forced |= type(event) in getattr(cores[number], "fsyncs", ())
        self.kept += self._fresh
        self._fresh.clear()
        if forced:
            self.durable_count = len(self.kept)

    def health(self, now_ns: int) -> HealthReported:
        """Return that it is alive, and what its cores have to say of themselves."""
        if self.body.health is not None:
            return msgspec.structs.replace(self.body.health(now_ns), service=self.name)
        return HealthReported(
            at_ns=now_ns,
            service=self.name,
            boot_id=self.boot_id,
            pid=0,
            uptime_s=0.0,
            is_ready=True,
        )

    def _tell(self, number: int, event: Event | None, now_ns: int) -> Sequence[Event]:
        """Tell one core; a deadline that is due speaks first, and is journalled first."""
        core = self.body.cores[number]
        due_ns = core.wake_at_ns
        if event is not None and due_ns is not None and due_ns <= now_ns:
            return [*self._tell(number, None, now_ns), *self._tell(number, event, now_ns)]
        answers = tell(core, event, now_ns)
        keeps = core.keeps
        if keeps:
            if event is not None and type(event) in keeps:
                self._fresh.append((number, event))
            for each in answers:
                if type(each) in keeps:
                    self._fresh.append((number, each))
        return answers
