"""What may go wrong in a simulation, how often it did, and the chance it hangs on."""

import math
import random
from collections.abc import Callable

import msgspec

from schemas.base import NS_PER_MS, NS_PER_S


class Faults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may go wrong. The default is a slow bus and nothing else.

    Probabilities are of one message, or of one step of a process that says something; rates are
    means, of one process or one wire (of the whole system, where it says so).
    """

    delay_ns_min: int = 50_000
    """Shortest way from one process to another, in ns."""

    delay_ns_max: int = 400_000
    """Longest way that is not a fault, in ns."""

    late_probability: float = 0.0
    late_ns_max: int = 0
    """How much later than its delay a message may come; those behind it wait, in ns."""

    reorder_probability: float = 0.0
    """A message that goes its own way: late, and not in order with those of its publisher."""

    loss_probability: float = 0.0
    repeat_probability: float = 0.0
    cuts_per_s: float = 0.0
    """A process loses the bus for a while; it notices late, and what it says meanwhile is lost."""

    one_way_cuts_per_s: float = 0.0
    """The same in one direction: it goes on hearing, or it goes on being heard."""

    cut_ns_max: int = 3 * NS_PER_S
    notice_ns_max: int = 800 * NS_PER_MS
    """Longest time until a process notices that a connection was lost, in ns."""

    wire_cuts_per_s: float = 0.0
    """Two processes lose the connection of their own; what is under way on it is lost."""

    half_open_wires_per_s: float = 0.0
    """A connection of two processes carries nothing in one direction until it breaks as a whole."""

    report_late_probability: float = 0.0
    """A report that its process holds back, while later ones pass it (`Process.unruly`)."""

    report_late_ns_max: int = 2 * NS_PER_S
    report_repeat_probability: float = 0.0
    """A report that its process makes twice."""

    pauses_per_s: float = 0.0
    """A process stands still, as if stopped by the kernel; what comes meanwhile waits."""

    pause_ns_max: int = 3 * NS_PER_S
    stalls_per_s: float = 0.0
    """The same of a server that no other fault befalls (`Process.can_stall`)."""

    kills_per_s: float = 0.0
    """A process dies between two steps, and comes back with its journal."""

    doubles_per_s: float = 0.0
    """A process stands still, is taken for dead and replaced; then it goes on beside its successor
    for a while (`Process.can_double`)."""

    crash_probability: float = 0.0
    """A process dies within a step: before it has journalled what it decided, after that and
    before it has said it, with a part of it said, or with all of it said and what came of it not
    yet taken in."""

    write_crash_probability: float = 0.0
    """The same, of steps that write to another process (`Process.writes`) alone."""

    tail_loss_probability: float = 0.0
    """With a death, whatever of the journal was not forced to the disk is lost as well."""

    damage_probability: float = 0.0
    """With a start, that a byte of the journal was changed before it was read again."""

    down_ns_max: int = 2 * NS_PER_S
    """Longest time until a dead process is back, in ns."""

    clock_offset_ns_max: int = 0
    """How far a process's clock may be off at the beginning, either way, in ns."""

    clock_drift_ppm_max: int = 0
    """How much faster or slower than the true time a clock may go, in millionths."""

    clock_jumps_per_s: float = 0.0
    clock_jump_ns_max: int = 500 * NS_PER_MS
    """How far a clock may jump, in ns: forward at once, back with the next start of its process,
    since no process ever sees its own clock go back."""

    disk_fulls_per_s: float = 0.0
    """The disk of the whole system is full for a while: nothing can be kept or stored."""

    disk_full_ns_max: int = 3 * NS_PER_S
    outages_per_s: float = 0.0
    """The bus of the whole system is down for a while; a server (`Process.after_outage`) may come
    back without the last of what it stored."""

    outage_ns_max: int = 2 * NS_PER_S


class FaultCounts(msgspec.Struct, kw_only=True):
    """How often each fault came about. One that never did was not tested."""

    late: int = 0
    reordered: int = 0
    lost: int = 0
    repeated: int = 0
    cuts: int = 0
    deaf: int = 0
    mute: int = 0
    lost_by_cut: int = 0
    wire_cuts: int = 0
    half_open_wires: int = 0
    lost_by_wire: int = 0
    late_reports: int = 0
    repeated_reports: int = 0
    pauses: int = 0
    stalls: int = 0
    kept_waiting: int = 0
    kills: int = 0
    doubles: int = 0
    crashes_before_journal: int = 0
    crashes_after_journal: int = 0
    crashes_half_said: int = 0
    crashes_after_saying: int = 0
    crashes_before_write: int = 0
    crashes_after_write: int = 0
    tails_lost: int = 0
    bytes_changed: int = 0
    lost_by_death: int = 0
    clocks_off: int = 0
    clocks_drifting: int = 0
    clock_jumps: int = 0
    disk_fulls: int = 0
    writes_failed: int = 0
    outages: int = 0
    stored_tails_lost: int = 0

    def fired(self) -> list[str]:
        """Return the faults that came about at least once."""
        return [name for name in self.__struct_fields__ if getattr(self, name)]

    def add(self, other: "FaultCounts") -> None:
        """Add the counts of another run."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Chance:
    """Random numbers from one seed, a stream of its own for each purpose.

    One more draw for one purpose moves nothing for any other, so that a change in one place does
    not make another world of a seed.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._draws: dict[str, Callable[[], float]] = {}

    def stream(self, purpose: str) -> Callable[[], float]:
        """Return what gives numbers from 0 up to 1 for one purpose."""
        found = self._draws.get(purpose)
        if found is None:
            found = self._draws[purpose] = random.Random(f"{self._seed}:{purpose}").random
        return found

    def draw(self, purpose: str) -> float:
        """Return a number from 0 up to 1 from the stream of one purpose."""
        return self.stream(purpose)()

    def happens(self, purpose: str, probability: float) -> bool:
        """Return whether something that is this likely happens now."""
        return probability > 0 and self.draw(purpose) < probability

    def between(self, purpose: str, least: int, most: int) -> int:
        """Return a whole number from `least` to `most`, both included."""
        return least + int(self.draw(purpose) * (max(least, most) + 1 - least))

    def wait_ns(self, purpose: str, per_s: float) -> int:
        """Return the time until something comes that comes `per_s` times a second on average."""
        return 1 + int(-math.log(1.0 - self.draw(purpose)) / per_s * NS_PER_S)
