"""What the tests ask of a simulated run; the named checks are in services.simulation."""

from collections.abc import Collection, Iterable

import msgspec

from schemas.base import NS_PER_MS
from services.runtime.sim_faults import Faults
from services.simulation.plan import CHAOS, Plan
from services.simulation.run import Run, simulate
from services.simulation.system import Parts

SHORT = Plan(
    seconds=20.0,
    quote_every_ns=40 * NS_PER_MS,
    halts_per_s=0.2,
    restrictions_per_s=0.0,
    flattens_per_s=0.0,
)
"""Busy and short: for tests that look for one thing."""


def under(faults: Faults = CHAOS, halts_per_s: float = 0.2, seconds: float = 20.0) -> Plan:
    """Return a busy, short plan with these faults."""
    return msgspec.structs.replace(SHORT, faults=faults, halts_per_s=halts_per_s, seconds=seconds)


HALTING = msgspec.structs.replace(under(seconds=40.0), trading_halts_per_s=0.1)
"""A market in which the venue halts instruments again and again."""


def replay(seed: int) -> str:
    """Return how to see this run again."""
    return f"replay: pytest tests/sim --seed={seed}, or (its own plan): sluice sim --seed {seed}"


def check(run: Run) -> Run:
    """Require that every invariant held; return the run."""
    assert not run.violation, f"seed {run.seed}: {run.violation}\n  {replay(run.seed)}"
    return run


def first_violation(
    seeds: Iterable[int], wanted: Collection[str], parts: Parts, plan: Plan | None = SHORT
) -> Run | None:
    """Return the first run in which one of the wanted invariants broke."""
    for seed in seeds:
        run = simulate(seed, plan, parts)
        if run.invariant in wanted:
            return run
    return None
