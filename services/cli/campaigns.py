"""`sluice bench` and `sluice sim`: how fast it is, and what it survives."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from services.cli.exits import Exit
from services.cli.locate import Place
from services.cli.output import Output
from services.cli.quick_banner import quick_banner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.simulation.campaign import Tally
    from services.simulation.run import Run

PROGRESS_EVERY = 10
"""How many runs between two lines of progress, where there is no terminal."""


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
    seed: Annotated[
        int | None, Parameter(help="Replay this one alone; with --hours: begin with it.")
    ] = None,
    hours: Annotated[
        float | None, Parameter(help="A campaign: simulated hours to run, seed after seed.")
    ] = None,
    jobs: Annotated[int, Parameter(help="How many processes work on it.")] = 1,
    keep_going: Annotated[
        bool, Parameter(help="Go on after a violation, and list them all at the end.")
    ] = False,
    place: Place | None = None,
) -> Exit:
    """Run the whole system on a bus that loses, delays and repeats; every invariant must hold.

    The same seed is the same run. Ends at the first violation, and says how to see it again. A
    campaign (--hours) in which some fault never came about has not tested it: it is void.
    """
    output = Output((place or Place()).as_json)
    quick_banner(place or Place(), output)
    tally = _tally(_seeds(seeds, seed, hours), jobs, is_patient=keep_going, output=output)
    never = tally.never() if hours is not None and not tally.violations else []
    _show(tally, never, output)
    return Exit.FAILED if tally.violations or never else Exit.OK


def _seeds(count: int, seed: int | None, hours: float | None) -> "Sequence[int]":
    from services.simulation.campaign import seeds_for

    if hours is not None:
        return seeds_for(hours, seed or 0)
    return range(count) if seed is None else (seed,)


def _tally(seeds: "Sequence[int]", jobs: int, *, is_patient: bool, output: Output) -> "Tally":
    from services.simulation.campaign import Tally

    tally = Tally()
    with _progress(len(seeds), output) as advance:
        for run in _runs(seeds, jobs):
            tally.add(run)
            advance(tally)
            if run.violation and not is_patient:
                break
    return tally


def _runs(seeds: "Sequence[int]", jobs: int) -> "Iterator[Run]":
    from services.simulation.campaign import campaign
    from services.simulation.run import simulate

    return campaign(seeds, jobs) if jobs > 1 else map(simulate, seeds)


@contextmanager
def _progress(count: int, output: Output) -> "Iterator[Callable[[Tally], None]]":
    """Show how far it is: a bar on a terminal, else a line now and then."""
    if output.is_json or not sys.stdout.isatty():
        yield lambda tally: _line(tally, output)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns: tuple[Any, ...] = (
        BarColumn(),
        TextColumn("{task.completed} of {task.total} runs, {task.description}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task("", total=count)
        yield lambda tally: bar.update(task, advance=1, description=_so_far(tally))


def _line(tally: "Tally", output: Output) -> None:
    if tally.runs % PROGRESS_EVERY == 0:
        output.line(f"{tally.runs} runs, {_so_far(tally)}")


def _so_far(tally: "Tally") -> str:
    held = f"{len(tally.violations)} violations" if tally.violations else "all held"
    return f"{tally.hours:.2f} simulated hours, {tally.order_count} orders: {held}"


def _show(tally: "Tally", never: list[str], output: Output) -> None:
    faults = tally.faults()
    first = tally.violations[0] if tally.violations else (None, "")
    document = {
        "runs": tally.runs,
        "hours": round(tally.hours, 3),
        "orders": tally.order_count,
        "per_hour": {name: round(value, 1) for name, value in tally.per_hour().items()},
        "faults": faults,
        "never": never,
        "violation": first[1],
        "seed": first[0],
        "violations": [{"seed": seed, "violation": text} for seed, text in tally.violations],
    }
    output.data(document)
    output.table("what came about", ("what", "times"), sorted(faults.items()))
    output.line(", ".join(f"{value:,.0f} {name}" for name, value in tally.per_hour().items()))
    output.line("in one simulated hour")
    for seed, text in tally.violations:
        output.line(f"VIOLATION with seed {seed}: {text}")
        output.next_step(f"sluice sim --seed {seed}")
    if never:
        output.line(f"VOID: never came about, and so was not tested: {', '.join(never)}")
        output.next_step("sluice sim with more --hours")
    elif not tally.violations:
        held = f"{tally.hours:.2f} simulated hours, {tally.order_count} orders"
        output.line(f"{tally.runs} runs, {held}: every invariant held")
