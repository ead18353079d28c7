"""What the tests ask of a simulated run; the named checks are in services.simulation."""

from collections.abc import Iterable

from services.runtime.sim_faults import FaultCounts, Faults
from services.simulation.run import CHAOS, HALTS_PER_S, Run, simulate
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
    parts: Parts,
    faults: Faults = CHAOS,
    halts_per_s: float = HALTS_PER_S,
    seconds: float = 20.0,
) -> Run | None:
    """Return the first run in which an invariant broke."""
    for seed in seeds:
        run = simulate(seed, seconds, faults, parts, halts_per_s)
        if run.violation:
            return run
    return None
