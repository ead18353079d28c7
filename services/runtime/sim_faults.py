"""What may go wrong in a simulation, how often it did, and the chance it hangs on."""

import random

import msgspec

from schemas.base import NS_PER_MS, NS_PER_S


class Faults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may go wrong. The default is a slow bus and nothing else.

    Probabilities are of one message, or of one step of a process that says something; rates are
    means, of one process or one wire.
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

    cut_ns_max: int = 3 * NS_PER_S
    notice_ns_max: int = 800 * NS_PER_MS
    """Longest time until a process notices that a connection was lost, in ns."""

    wire_cuts_per_s: float = 0.0
    """Two processes lose the connection of their own; what is under way on it is lost."""

    pauses_per_s: float = 0.0
    """A process stands still, as if stopped by the kernel; what comes meanwhile waits."""

    pause_ns_max: int = 3 * NS_PER_S
    kills_per_s: float = 0.0
    """A process dies between two steps, and comes back with its journal."""

    crash_probability: float = 0.0
    """A process dies within a step: before it has journalled what it decided, after that and
    before it has said it, or with a part of it said."""

    tail_loss_probability: float = 0.0
    """With a death, whatever of the journal was not forced to the disk is lost as well."""

    down_ns_max: int = 2 * NS_PER_S
    """Longest time until a dead process is back, in ns."""

    clock_offset_ns_max: int = 0
    """How far a process's clock may be off, either way, in ns."""


class FaultCounts(msgspec.Struct, kw_only=True):
    """How often each fault came about. One that never did was not tested."""

    late: int = 0
    reordered: int = 0
    lost: int = 0
    repeated: int = 0
    cuts: int = 0
    lost_by_cut: int = 0
    wire_cuts: int = 0
    lost_by_wire: int = 0
    pauses: int = 0
    kept_waiting: int = 0
    kills: int = 0
    crashes_before_journal: int = 0
    crashes_after_journal: int = 0
    crashes_half_said: int = 0
    tails_lost: int = 0
    lost_by_death: int = 0
    clocks_off: int = 0

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
        self._streams: dict[str, random.Random] = {}

    def stream(self, purpose: str) -> random.Random:
        """Return the stream of one purpose."""
        found = self._streams.get(purpose)
        if found is None:
            found = self._streams[purpose] = random.Random(f"{self._seed}:{purpose}")
        return found

    def happens(self, purpose: str, probability: float) -> bool:
        """Return whether something that is this likely happens now."""
        return probability > 0 and self.stream(purpose).random() < probability

    def between(self, purpose: str, least: int, most: int) -> int:
        """Return a whole number from `least` to `most`, both included."""
        return self.stream(purpose).randint(least, max(least, most))

    def wait_ns(self, purpose: str, per_s: float) -> int:
        """Return the time until something comes that comes `per_s` times a second on average."""
        return 1 + int(self.stream(purpose).expovariate(per_s) * NS_PER_S)
