"""What the tests ask of a simulated run; the named checks are in services.simulation."""

from collections.abc import Collection, Iterable

from services.runtime.sim_faults import FaultCounts, Faults
from services.simulation.run import CHAOS, HALTS_PER_S, SECONDS, Run, simulate
from services.simulation.system import Parts


def replay(seed: int) -> str:
    """Return how to see this run again."""
    return f"replay: pytest tests/sim --seed={seed}"


def check(run: Run) -> FaultCounts:
    """Require that every invariant held; return the faults that came about."""
    assert not run.violation, f"{run.violation}\n  {replay(run.seed)}"
    return run.counts


def first_violation(
    seeds: Iterable[int],
    wanted: Collection[str],
    parts: Parts,
    faults: Faults = CHAOS,
    halts_per_s: float = HALTS_PER_S,
) -> Run | None:
    """Return the first run in which one of the wanted invariants broke."""
    for seed in seeds:
        run = simulate(seed, SECONDS, faults, parts, halts_per_s)
        if run.invariant in wanted:
            return run
    return None
