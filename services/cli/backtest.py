"""`sluice backtest`: a strategy on recordings, with the cores of the live system."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from schemas.errors import FieldError
from services.backtest.run import Outcome, Plan, Progress, run
from services.backtest.sweep import FIGURES, Sweep, Tried, grid
from services.cli.backtest_plan import Wish, assumptions, parameters_of, plan_of
from services.cli.backtest_view import document_of, show, show_sweep
from services.cli.config_resolve import Config, ConfigError
from services.cli.encrypting import unwritable
from services.cli.exits import Exit
from services.cli.locate import Place
from services.cli.output import Output, time_of
from services.cli.private_files import make_folder

SWEEPS = "sweeps"
"""Folder of the results of sweeps, in the data folder."""

COMBINATIONS_MAX = 100_000


def backtest(
    strategy: Annotated[str, Parameter(help="By name, or module:Class.")],
    *,
    wish: Wish | None = None,
    sweep: Annotated[
        list[str] | None, Parameter(negative=(), help="PARAMETER=A,B,C: try every combination.")
    ] = None,
    jobs: Annotated[int, Parameter(help="Processes of a sweep.")] = 1,
    by: Annotated[str, Parameter(help="Figure that a sweep is ordered by.")] = "sharpe",
    html: Annotated[Path | None, Parameter(help="Write a page with pictures to this file.")] = None,
    place: Place | None = None,
) -> Exit:
    """Run a strategy on a recording: gate, breakers, executor and paper exchange as live.

    The same data, parameters and seed give the same bytes: the hash of the journal says so. The
    result is stored; a start with real money asks for it.

    Raises:
        ConfigError: something is wished that cannot be; it names what.
    """
    found = place or Place()
    plan, loaded = plan_of(strategy, wish or Wish(), found)
    output = Output(found.as_json)
    if not sweep:
        return _single(plan, loaded, output, html)
    if by not in FIGURES:
        raise _wrong("--by", by, "one of " + ", ".join(FIGURES))
    folder = loaded.data_dir / SWEEPS
    return _sweep(Sweep(plan, _combinations(plan, sweep), folder), jobs, by, output)


def _single(plan: Plan, config: Config, output: Output, html: Path | None) -> Exit:
    if html is not None and not html.parent.is_dir():
        raise _wrong("--html", str(html), "a file in a folder that is there")
    with _progress(plan, output) as progress:
        outcome = run(plan, progress)
    result = msgspec.structs.replace(outcome.result, recorded_ns=time.time_ns())
    asyncio.run(_store(config, msgspec.structs.replace(outcome, result=result)))
    if html is not None:
        _write_page(plan, outcome, html)
    output.data(document_of(plan, outcome, result.id))
    show(plan, outcome, output, assumptions(plan))
    output.line(f"stored as {result.id}")
    if html is not None:
        output.line(f"page: {html}")
    if outcome.failure:
        print(f"sluice: the strategy ended early: {outcome.failure}", file=sys.stderr)
    return Exit.FAILED if outcome.failure else Exit.OK


async def _store(config: Config, outcome: Outcome) -> None:
    """Keep the result where the prerequisites of real money are read from (S-05)."""
    from services.repository.config import RepositoryConfig, opened
    from services.repository.kinds import BACKTESTS

    make_folder(config.data_dir)
    chosen = msgspec.convert(config.merged.values["repository"], RepositoryConfig)
    repository = await opened(chosen, config.data_dir)
    try:
        await repository.put(BACKTESTS.row(outcome.result))
    finally:
        await repository.close()


def _write_page(plan: Plan, outcome: Outcome, path: Path) -> None:
    """Write the page in one step: whoever interrupts it leaves the old one, or none."""
    from services.cli.backtest_page import page_of

    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_text(page_of(plan, outcome), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):  # a disk that is read only refuses even to look for it
            temporary.unlink(missing_ok=True)


def _combinations(plan: Plan, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return what a sweep tries.

    Raises:
        ConfigError: a text is none of `parameter=a,b,c`.
    """
    choices: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        each = [value.strip() for value in values.split(",") if value.strip()]
        if not (equals and name.strip() and each):
            raise _wrong("--sweep", repr(text), "parameter=a,b,c")
        typed = (
            parameters_of(plan.strategy, plan.strategies, [f"{name}={value}"]) for value in each
        )
        choices[name.strip()] = [value for one in typed for value in one.values()]
    found = grid(choices)
    if len(found) > COMBINATIONS_MAX:
        raise _wrong("--sweep", f"{len(found)} combinations", f"at most {COMBINATIONS_MAX}")
    return found


def _sweep(sweep: Sweep, jobs: int, by: str, output: Output) -> Exit:
    """Try what is left, and show everything; what was interrupted is gone on with."""
    done = len(sweep) - len(sweep.left)
    if done:
        output.line(f"{done} of {len(sweep)} were tried before, and are in {sweep.file}")
    with _sweep_progress(len(sweep), done, output) as advance:
        for tried in sweep.work(jobs):
            advance(tried)
    ranked = sweep.ranked(by)
    output.data({"by": by, "file": str(sweep.file), "tried": ranked})
    show_sweep(ranked, by, output)
    output.line(f"kept in {sweep.file}")
    return Exit.OK if any(each.figures for each in ranked) else Exit.FAILED


@contextmanager
def _progress(plan: Plan, output: Output) -> Iterator[Progress | None]:
    """Show how far it is on a terminal: of the dates where both are named, else that it goes on."""
    if output.is_json or not sys.stdout.isatty():
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    data = plan.data
    is_known = data.from_ns > 0 and data.to_ns < 1 << 62
    with Progress(
        BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), transient=True
    ) as bar:
        task = bar.add_task("", total=data.to_ns - data.from_ns if is_known else None)

        def advance(at_ns: int, count: int) -> None:
            done = at_ns - data.from_ns if is_known else 0
            bar.update(task, completed=done, description=f"{time_of(at_ns)}, {count} events")

        yield advance


@contextmanager
def _sweep_progress(count: int, done: int, output: Output) -> Iterator[Callable[[Tried], None]]:
    """Show on a terminal how many are done."""
    if output.is_json or not sys.stdout.isatty():
        yield lambda tried: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    with Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), transient=True) as bar:
        task = bar.add_task("", total=count, completed=done)
        yield lambda tried: bar.advance(task)


def _wrong(path: str, found: str, wanted: str) -> ConfigError:
    return ConfigError([FieldError(path=path, found=found, wanted=wanted)])
