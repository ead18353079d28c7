"""One simulated process: its cores, its journal, its clock, and what it lives through."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from schemas.base import BootId, Event
from schemas.health import HealthReported
from services.core import Core, tell
from services.runtime.sequence import Sequences

Acted = tuple[Sequence[Event], Sequence[Event]]
"""What leaves on a wire, and what is posted back to the cores right after the step."""


@dataclass(frozen=True, kw_only=True)
class Body:
    """What one start of a process makes.

    Attributes:
        cores: told in this order; they hear each other at once.
        act: stands for the adapter: told each internal event that a core says. Without it, the
            event leaves on the wire to whoever hears it.
    """

    cores: tuple[Core, ...]
    act: Callable[[Event, int], Acted] | None = None


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process of the simulated system.

    Attributes:
        name: its bus user.
        make: makes its cores anew, at each start, for that start's boot id.
        urgent: events with a connection of their own, which nothing else can hold up.
        notices: for each process it has a wire to, the event that tells of the wire's state.
        queries: events that ask another process for its report, and whom they ask.
        is_mortal: whether it can be paused, cut off and killed.
        has_health: whether it publishes its health each second.
        can_lose_tail: whether its journal can lose its end with the power.
    """

    name: str
    make: Callable[[BootId], Body]
    urgent: frozenset[type[Event]] = frozenset()
    notices: Mapping[str, Callable[[bool, int], Event]] = field(default_factory=dict)
    queries: Mapping[type[Event], str] = field(default_factory=dict)
    is_mortal: bool = True
    has_health: bool = True
    can_lose_tail: bool = True


class Host:
    """A process as it stands.

    Attributes:
        number: its place in the list of processes; orders all that happens at one moment.
        boot: how often it was started.
        life: differs from one life to the next; what is under way to another finds nobody.
        is_up: whether it runs (or is paused).
        is_cut: whether it is cut off the bus.
        offset_ns: its clock minus the true time.
        paused_until_ns: true time until which it stands still.
        waiting: what came while it stood still, oldest first.
        kept: its journal: which core, and what.
        durable_count: how much of the journal is certainly on the disk.
        alarm_ns: true time that its next waking is booked for.
    """

    def __init__(self, process: Process, number: int, offset_ns: int) -> None:
        self.process = process
        self.number = number
        self.boot = self.life = 0
        self.is_up = self.is_cut = False
        self.offset_ns = offset_ns
        self.paused_until_ns = 0
        self.waiting: list[Callable[[], None]] = []
        self.kept: list[tuple[int, Event]] = []
        self.durable_count = 0
        self.alarm_ns: int | None = None
        self.body = Body(cores=())
        self.sequences = Sequences()
        self.said_counts: dict[str, int] = {}
        self._fresh: list[tuple[int, Event]] = []

    @property
    def name(self) -> str:
        """The process's name."""
        return self.process.name

    @property
    def boot_id(self) -> BootId:
        """Of the present start."""
        return BootId(f"{self.name}-{self.boot}")

    @property
    def wake_at_ns(self) -> int | None:
        """The earliest deadline of its cores, by its own clock."""
        due = [core.wake_at_ns for core in self.body.cores if core.wake_at_ns is not None]
        return min(due, default=None)

    def hears(self, kind: type[Event]) -> bool:
        """Return whether a core of it hears this kind of event."""
        return any(kind in core.hears for core in self.body.cores)

    def start(self) -> None:
        """Begin anew: new cores, and what the journal has."""
        self.boot += 1
        self.life += 1
        self.is_up, self.alarm_ns = True, None
        self.body = self.process.make(self.boot_id)
        self.sequences, self.said_counts = Sequences(), {}
        for number, event in self.kept:
            self.body.cores[number].restore(event)

    def die(self, kept_count: int) -> None:
        """End without a word; only so much of the journal is left."""
        self.is_up = False
        self.life += 1
        self._fresh.clear()
        self.waiting.clear()
        self.paused_until_ns = 0
        del self.kept[kept_count:]
        self.durable_count = len(self.kept)

    def told(self, event: Event | None, now_ns: int) -> list[Event]:
        """Return what all its cores say to the event; they tell each other at once."""
        said: list[Event] = []
        queue: deque[tuple[int, Event | None]] = deque([(-1, event)])
        while queue:
            speaker, each = queue.popleft()
            for number, core in enumerate(self.body.cores):
                is_told = each is None or (number != speaker and type(each) in core.hears)
                if not is_told:
                    continue
                answers = self._tell(number, each, now_ns)
                said += answers
                if len(self.body.cores) > 1:
                    queue.extend((number, answer) for answer in answers)
        return said

    def keep(self) -> None:
        """Write what this step has changed into the journal."""
        forced = False
        for number, event in self._fresh:
            forced |= type(event) in getattr(self.body.cores[number], "fsyncs", ())
        self.kept += self._fresh
        self._fresh.clear()
        if forced:
            self.durable_count = len(self.kept)

    def health(self, now_ns: int) -> HealthReported:
        """Return that it is alive."""
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
        if event is not None and type(event) in core.keeps:
            self._fresh.append((number, event))
        self._fresh += [(number, each) for each in answers if type(each) in core.keeps]
        return answers
