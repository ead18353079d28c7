"""Many seeds, one after the other or several at once, and what they went through together."""

import gc
from collections.abc import Iterator, Sequence

import msgspec

from services.runtime.sim_faults import FaultCounts
from services.runtime.workers import shared
from services.simulation.plan import SECONDS
from services.simulation.run import AFTER_NS, Run, simulate
from services.simulation.sights import SightCounts

RUN_S = SECONDS + AFTER_NS / 1e9
"""How long one seed is, in simulated seconds."""

COLLECT_EVERY = 5
"""How many runs one process goes through before it looks for garbage: that is not free."""


class Tally(msgspec.Struct, kw_only=True):
    """What all runs of a campaign came to.

    Attributes:
        violations: seed and what broke.
    """

    runs: int = 0
    seconds: float = 0.0
    """Simulated seconds."""

    order_count: int = 0
    fill_count: int = 0
    counts: FaultCounts = msgspec.field(default_factory=FaultCounts)
    seen: SightCounts = msgspec.field(default_factory=SightCounts)
    violations: list[tuple[int, str]] = msgspec.field(default_factory=list)

    def add(self, run: Run) -> None:
        """Add one run."""
        self.runs += 1
        self.seconds += run.seconds
        self.order_count += run.sent_count
        self.fill_count += run.fill_count
        self.counts.add(run.counts)
        self.seen.add(run.seen)
        if run.violation:
            self.violations.append((run.seed, run.violation))

    @property
    def hours(self) -> float:
        """Simulated hours."""
        return self.seconds / 3_600

    def faults(self) -> dict[str, int]:
        """Return how often everything came about, by name."""
        found: dict[str, int] = {}
        for part in (self.counts, self.seen):
            found |= {name: int(getattr(part, name)) for name in part.__struct_fields__}
        return found

    def never(self) -> list[str]:
        """Return what never came about: without it a campaign has proven nothing about it."""
        return [name for name, count in self.faults().items() if not count]

    def per_hour(self) -> dict[str, float]:
        """Return orders, fills, halts, starts and faults of one simulated hour."""
        hours = self.hours or 1.0
        faults = sum(int(getattr(self.counts, n)) for n in self.counts.__struct_fields__)
        return {
            "orders": self.order_count / hours,
            "fills": self.fill_count / hours,
            "halts": self.seen.halts / hours,
            "starts": self.seen.starts / hours,
            "faults": faults / hours,
        }


def seeds_for(hours: float, first_seed: int = 0) -> range:
    """Return the seeds that take so many simulated hours."""
    return range(first_seed, first_seed + max(1, -int(-hours * 3_600 // RUN_S)))


def campaign(seeds: Sequence[int], jobs: int = 1) -> Iterator[Run]:
    """Yield the run of each seed, in their order, however many processes work on them."""
    if jobs <= 1:
        yield from map(simulate, seeds)
        return
    yield from shared(_simulate, seeds, jobs, begin=_begin, is_ordered=True)


def _begin() -> None:
    gc.disable()


def _simulate(seed: int) -> Run:
    if seed % COLLECT_EVERY == 0:
        gc.collect()
    return simulate(seed)
