"""Breakers on how the system itself is: recorder, disk, memory, and the age of its messages."""

from collections.abc import Sequence
from decimal import Decimal

from schemas.base import NS_PER_S, Event
from schemas.breakers import LevelSetting
from schemas.control import ControlSequenceRead, EpochEnded, EpochStarted
from schemas.health import HealthReported
from services.breaker.breaker import About, Breaker
from services.breaker.levels import mebibytes, percent, seconds
from services.core import NOTHING, earliest

FRESH_NS = 5 * NS_PER_S
"""A service that has reported nothing for longer is not there, and neither is its memory."""

NOTHING_KEPT = "nothing is kept: it trips again if the cause is still there once trading starts"


class Reports(Breaker):
    """A breaker on what the services report of themselves each second: the worst one counts.

    Attributes:
        newest: the newest report of each service, and when it came.
    """

    hears = frozenset({HealthReported})

    def __init__(self, about: About, levels: Sequence[LevelSetting]) -> None:
        super().__init__(about, levels)
        self.newest: dict[str, tuple[Decimal, int]] = {}

    def figure(self, report: HealthReported) -> Decimal | None:
        """Return the figure of one report; None if it has none."""
        raise NotImplementedError

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Take one report in."""
        assert isinstance(event, HealthReported)
        figure = self.figure(event)
        if figure is None:
            self.newest.pop(event.service, None)
        else:
            self.newest[event.service] = (figure, now_ns)
        return NOTHING

    def worst(self, now_ns: int) -> tuple[str, Decimal] | None:
        """Return the service with the highest figure, of those that still report."""
        found: tuple[str, Decimal] | None = None
        for service, (figure, at_ns) in self.newest.items():
            if now_ns - at_ns <= FRESH_NS and (found is None or figure > found[1]):
                found = (service, figure)
        return found

    def value(self, now_ns: int) -> Decimal | None:
        """Return the highest figure; None while nobody reports one."""
        worst = self.worst(now_ns)
        return None if worst is None else worst[1]

    def inputs(self, now_ns: int) -> dict[str, str]:
        """Return the figure of every service that reports one."""
        return {
            service: self.about.text_of(figure)
            for service, (figure, at_ns) in self.newest.items()
            if now_ns - at_ns <= FRESH_NS
        }

    def why_unknown(self, now_ns: int) -> str:
        """Return that nobody says it."""
        return "no service has reported it in the last 5 s: see `sluice status`"

    def reason(self, level: LevelSetting, now_ns: int) -> str:
        """Return which service it is, its figure and the limit."""
        worst = self.worst(now_ns)
        assert worst is not None, "what is unknown has passed nothing"
        return (
            f"{worst[0]}: {self.about.title} {self.about.text_of(worst[1], like=level.at)}; "
            f"the limit is {self.about.level_text(level.at)}"
        )


class Memory(Reports):
    """Resident memory of the largest service."""

    def figure(self, report: HealthReported) -> Decimal | None:
        """Return its resident bytes; None where they are not told."""
        return Decimal(report.rss_bytes) if report.rss_bytes else None


class SystemMemory(Reports):
    """Memory in use on the machine, as the services read it."""

    def figure(self, report: HealthReported) -> Decimal | None:
        """Return the share in use, 0 to 1; None where it is not told."""
        share = report.memory_used_share
        return None if share is None else Decimal(repr(share))


class Lag(Reports):
    """Age of the oldest event that a service handled since its last report."""

    def figure(self, report: HealthReported) -> Decimal | None:
        """Return it in seconds; None where nothing came."""
        return None if report.lag_ms is None else Decimal(repr(report.lag_ms)) / 1_000


class RecorderStalled(Breaker):
    """Time since the recorder last said that it records. What is not recorded must not trade."""

    hears = frozenset({HealthReported, EpochStarted, EpochEnded})

    def __init__(self, about: About, levels: Sequence[LevelSetting]) -> None:
        super().__init__(about, levels)
        self._well_ns: int | None = None
        self._word = "never heard of"
        self._since_ns: int | None = None

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Note when it was well, and from when on it has to be."""
        match event:
            case HealthReported(service="recorder", is_ready=True):
                self._well_ns, self._word = now_ns, "recording"
            case HealthReported(service="recorder", detail=detail):
                self._word = f"not ready: {detail or 'no detail given'}"
            case EpochStarted():
                self._since_ns = now_ns
            case EpochEnded():
                self._since_ns = None
        return NOTHING

    def value(self, now_ns: int) -> Decimal | None:
        """Return the seconds; from the epoch's start on where it was never well."""
        begin_ns = self._well_ns if self._well_ns is not None else self._since_ns
        return None if begin_ns is None else Decimal(max(0, now_ns - begin_ns)) / NS_PER_S

    def due_ns(self, now_ns: int) -> int | None:
        """Return when the next level would be reached if nothing came."""
        if self._since_ns is None:
            return None
        begin_ns = self._since_ns if self._well_ns is None else self._well_ns
        return next_due_ns(self, begin_ns)

    def inputs(self, now_ns: int) -> dict[str, str]:
        """Return what it said last."""
        return {"recorder": self._word}

    def why_unknown(self, now_ns: int) -> str:
        """Return that it was never heard of."""
        return "the recorder was never heard of: see var/log/recorder.log"


class Disk(Breaker):
    """Free space where journals and streams are."""

    hears = frozenset({ControlSequenceRead})

    def __init__(self, about: About, levels: Sequence[LevelSetting]) -> None:
        super().__init__(about, levels)
        self._free_bytes = -1

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Take in what the shell read; it reads with every lease."""
        assert isinstance(event, ControlSequenceRead)
        self._free_bytes = event.disk_free_bytes
        return NOTHING

    def value(self, now_ns: int) -> Decimal | None:
        """Return the free bytes; None while they are not known, and then nobody gets a lease."""
        return None if self._free_bytes < 0 else Decimal(self._free_bytes)

    def inputs(self, now_ns: int) -> dict[str, str]:
        """Return the free space."""
        value = self.value(now_ns)
        return {"free": "unknown" if value is None else mebibytes(value)}

    def why_unknown(self, now_ns: int) -> str:
        """Return that it could not be read."""
        return "the free space of the data folder's disk could not be read: no lease is given"


def next_due_ns(breaker: Breaker, begin_ns: int) -> int | None:
    """Return when a value that counts seconds from `begin_ns` is next at a level to be said."""
    return earliest(
        *(
            max(begin_ns + int(level.at * NS_PER_S), breaker.silent_until_ns(level))
            for level in breaker.unsaid()
        )
    )


ABOUT_RECORDER = About(
    name="recorder",
    title="silence of the recorder",
    formula="now - when the recorder last reported that it records",
    unit="seconds",
    reads="HealthReported of the recorder",
    on_reset=NOTHING_KEPT,
    show=seconds,
    is_for_trading=True,
)
ABOUT_DISK = About(
    name="disk",
    title="free space on the data folder's disk",
    formula="bytes free on the data folder's disk, read with every lease",
    unit="bytes",
    reads="ControlSequenceRead",
    on_reset=NOTHING_KEPT,
    show=mebibytes,
    is_floor=True,
    is_for_trading=True,
)
ABOUT_MEMORY = About(
    name="memory",
    title="resident memory",
    formula="resident bytes of the largest service",
    unit="bytes",
    reads="HealthReported.rss_bytes",
    on_reset=NOTHING_KEPT,
    show=mebibytes,
    is_for_trading=True,
)
ABOUT_SYSTEM_MEMORY = About(
    name="system_memory",
    title="memory in use on the machine",
    formula="1 - available memory / memory of the machine",
    unit="fraction of the machine's memory",
    reads="HealthReported.memory_used_share",
    on_reset=NOTHING_KEPT,
    show=percent,
    below=Decimal(1),
    is_for_trading=True,
)
ABOUT_LAG = About(
    name="message_lag",
    title="age of messages when handled",
    formula="age of the oldest event that a service handled since its last report; the worst one",
    unit="seconds",
    reads="HealthReported.lag_ms",
    on_reset=NOTHING_KEPT,
    show=seconds,
    is_for_trading=True,
)
