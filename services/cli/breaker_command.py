"""`sluice breaker`: the circuit breakers, how far each is from tripping, and their levels."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated

from cyclopts import App, Parameter

from schemas import subjects
from schemas.bounds import WANTED_NUMBER, is_bounded
from schemas.breakers import BreakerRequest, LevelSetting
from schemas.control import Response
from schemas.errors import UserError
from schemas.health import BreakerView
from services.cli.asking import exit_of_answer, put, silent
from services.cli.config_types import did_you_mean
from services.cli.desk import at_desk
from services.cli.exits import Exit
from services.cli.locate import Place
from services.cli.operators import operator_name
from services.cli.output import GAP_COLUMNS, UNKNOWN, Output, time_of

breaker_app = App(name="breaker", help="The circuit breakers: values, distance to trip, levels.")
breaker_app.command("services.cli.control:reset", name="reset", help="As `sluice reset`.")


@breaker_app.command(name="list")
def show(*, place: Place | None = None) -> Exit:
    """Show every breaker: its value, its next level, and how far that is."""
    return asyncio.run(_show(place or Place()))


@breaker_app.command
def explain(
    name: Annotated[str | None, Parameter(help="One breaker; else all.")] = None,
    *,
    place: Place | None = None,
) -> Exit:
    """Explain breakers: formula, inputs as they are now, levels, and what a reset does."""
    return asyncio.run(_explain(place or Place(), name))


@breaker_app.command(name="set")
def change(
    name: str,
    *levels: Annotated[str, Parameter(help="AT=RESPONSE: warn, reduce, halt or flatten.")],
    reason: Annotated[str, Parameter(help="For the record.")] = "",
    operator: Annotated[str | None, Parameter(help="Who asks; else $USER.")] = None,
    place: Place | None = None,
) -> Exit:
    """Put other levels in the place of a breaker's own: all of them, while it runs."""
    request = BreakerRequest(
        operator=operator or operator_name(),
        reason=reason,
        breaker=name,
        levels=tuple(_level(text) for text in levels),
    )
    return asyncio.run(_change(place or Place(), request))


def _level(text: str) -> LevelSetting:
    at, _, response = text.partition("=")
    try:
        level = LevelSetting(at=Decimal(at), response=Response(response))
    except (InvalidOperation, ValueError) as error:
        wanted = "AT=RESPONSE, like 0.10=halt; responses: " + ", ".join(Response)
        raise UserError("SLU-103", path="breaker set", found=repr(text), wanted=wanted) from error
    if not is_bounded(level.at):
        raise UserError("SLU-103", path="breaker set", found=repr(text), wanted=WANTED_NUMBER)
    return level


async def _show(place: Place) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        arbiter = await desk.arbiter()
    output.banner(arbiter)
    if arbiter is None:
        return silent(output, "breaker", {"breakers": None})
    output.data({"breakers": arbiter.breakers})
    rows = [(view.name, _word(view), view.value, _ahead(view)) for view in arbiter.breakers]
    rows.insert(0, ("breaker", "state", "value", "distance"))
    widths = [max(len(row[column]) for row in rows) + GAP_COLUMNS for column in range(3)]
    for *cells, ahead in rows:  # what is prose is folded beside the rest, at any width
        heads = zip(cells, widths, strict=True)
        output.beside("".join(f"{cell:<{width}}" for cell, width in heads), ahead)
    output.next_step("sluice breaker explain NAME", "sluice status")
    return Exit.OK


def _state(view: BreakerView) -> str:
    since = f" {time_of(view.since_ns)}" if view.is_tripped and view.since_ns else ""
    return f"{_word(view)}{since}"


def _word(view: BreakerView) -> str:
    if view.is_tripped:
        return "TRIPPED"
    reached = [level.response for level in view.levels if level.is_reached]
    return f"past {reached[-1]}" if reached else "normal"


def _ahead(view: BreakerView) -> str:
    """Return since when it is tripped, how far its next level is, and where it trips."""
    said = [f"since {time_of(view.since_ns)}"] if view.is_tripped and view.since_ns else []
    said.append(_distance(view))
    if not view.levels:
        said.append(view.limit)
    elif not said[-1].endswith(f" at {view.limit}"):
        said.append(f"trips at {view.limit}")
    return "; ".join(said)


def _distance(view: BreakerView) -> str:
    """Return how far it is from tripping; a breaker without levels is at no distance from any."""
    return view.distance or (UNKNOWN if view.levels else "no level")


async def _explain(place: Place, name: str | None) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        arbiter = await desk.arbiter()
    output.banner(arbiter)
    if arbiter is None:
        return silent(output, "breaker", {"breakers": None})
    chosen = _chosen(arbiter.breakers, name)
    output.data({"breakers": chosen})
    for view in chosen:
        _print(view, output)
    output.next_step("sluice breaker list", 'sluice reset --reason "why"')
    return Exit.OK


def _chosen(views: Sequence[BreakerView], name: str | None) -> list[BreakerView]:
    if name is None:
        return list(views)
    chosen = [view for view in views if view.name == name]
    if not chosen:
        names = [view.name for view in views]
        wanted = did_you_mean(name, names) or ", ".join(names)
        raise UserError("SLU-103", path="breaker explain", found=name, wanted=wanted)
    return chosen


def _print(view: BreakerView, output: Output) -> None:
    output.line(f"\n{view.name}: {_state(view)}")
    output.line(f"  formula   {view.formula}")
    output.line(f"  value     {view.value}   distance {_distance(view)}")
    if view.unit:
        output.line(f"  levels    are set in: {view.unit}")
    for name, value in view.inputs.items():
        output.line(f"    {name} = {value}")
    for level in view.levels:
        mark = "  <- reached" if level.is_reached else ""
        output.line(f"  at {level.at:<10} {level.response}{mark}")
    if view.on_reset:
        output.line(f"  a reset   {view.on_reset}")
    if view.detail:
        output.line(f"  {view.detail}")


async def _change(place: Place, request: BreakerRequest) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        output.banner(await desk.arbiter())
        answer = await put(desk, output, subjects.BREAKER, request, "breaker")
    output.next_step("sluice breaker list", "sluice status")
    return exit_of_answer(answer)
