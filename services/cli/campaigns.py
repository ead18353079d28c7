"""`sluice bench` and `sluice sim`: how fast it is, and what it survives."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from services.cli.exits import Exit
from services.cli.locate import Place
from services.cli.output import Output
from services.cli.quick_banner import quick_banner

if TYPE_CHECKING:
    from services.simulation.run import Run

PROGRESS_EVERY = 10


def bench(
    *names: Annotated[str, Parameter(help="chain, gate, fused, halt, ...; none means all.")],
    json_file: Annotated[
        Path | None, Parameter(name="--json", help="Write the figures to this file.")
    ] = None,
) -> Exit:
    """Measure, each figure beside a yardstick taken in the same run. Never part of the tests."""
    from services.bench.main import run

    return Exit.OK if run(names, json_file) else Exit.FAILED


def sim(
    *,
    seeds: Annotated[int, Parameter(help="How many seeds to try, from 0.")] = 50,
    seed: Annotated[int | None, Parameter(help="Replay this one alone.")] = None,
    hours: Annotated[
        float | None, Parameter(help="Simulated hours to run, seed after seed.")
    ] = None,
    place: Place | None = None,
) -> Exit:
    """Run the whole system on a bus that loses, delays and repeats; every invariant must hold.

    The same seed is the same run. Ends at the first violation, and says how to see it again.
    """
    output = Output((place or Place()).as_json)
    quick_banner(place or Place(), output)
    faults: Counter[str] = Counter()
    runs = sent = 0
    run = None
    for run in _runs(seeds, seed, hours):
        runs, sent = runs + 1, sent + run.sent_count
        faults.update({n: int(v) for n, v in msgspec.to_builtins(run.counts).items()})
        if run.violation:
            break
        if runs % PROGRESS_EVERY == 0:
            output.line(f"{runs} runs, {sent} orders, {sum(faults.values())} faults: all held")
    violation = run.violation if run is not None else ""
    last = run.seed if run is not None and violation else None
    output.data(
        {"runs": runs, "orders": sent, "faults": faults, "violation": violation, "seed": last}
    )
    output.table("faults that came about", ("fault", "times"), sorted(faults.items()))
    if violation:
        output.line(f"VIOLATION with seed {last}: {violation}")
        output.next_step(f"sluice sim --seed {last}")
        return Exit.FAILED
    output.line(f"{runs} runs, {sent} orders: every invariant held")
    return Exit.OK


def _runs(seeds: int, seed: int | None, hours: float | None) -> "Iterator[Run]":
    from services.simulation.run import campaign, simulate

    if seed is not None:
        yield simulate(seed)
    elif hours is not None:
        yield from campaign(hours)
    else:
        yield from map(simulate, range(seeds))
