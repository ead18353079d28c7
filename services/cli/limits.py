"""`sluice limits`: what the gate compares with now, and a change of it while it runs."""

import asyncio
import json
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from cyclopts import App, Parameter

from schemas import subjects
from schemas.bounds import WANTED_NUMBER, is_bounded
from schemas.errors import UserError
from schemas.limits import LimitsRequest, LimitView
from services.cli.asking import exit_of_answer, put, silent
from services.cli.desk import at_desk
from services.cli.exits import Exit
from services.cli.locate import Place
from services.cli.operators import operator_name
from services.cli.output import UNKNOWN, Output

UNITS = (
    (("_notional_max", "credit_limit_max", "value_at_risk"), "currency"),
    (("_quantity_max",), "units"),
    (("_bps", "_bps_max"), "bps"),
    (("_ms", "_ms_max"), "ms"),
    (("_messages_max", "_messages_reserved"), "messages"),
    (("_executions_max",), "executions"),
    (("_ratio_min",), "ratio"),
)
"""What a limit counts in, by how its name ends."""

MISSING = "missing"
"""What the gate says of a limit that nobody has chosen."""

COUNTED_IN = "currency: the account's   units: the instrument's   bps: hundredths of a percent"

limits_app = App(name="limits", help="The gate's limits: in force now, and changed while it runs.")


@limits_app.command(name="list")
def show(*, place: Place | None = None) -> Exit:
    """Show each limit in force, who or what moved it, and how far it is."""
    return asyncio.run(_show(place or Place()))


@limits_app.command(name="set")
def change(
    *changes: Annotated[str, Parameter(help="PATH=VALUE; `null` takes a value away.")],
    reason: Annotated[str, Parameter(help="For the record.")] = "",
    operator: Annotated[str | None, Parameter(help="Who asks; else $USER.")] = None,
    place: Place | None = None,
) -> Exit:
    """Change limits while the gate runs: all of the changes, or none. Never above a hard one."""
    request = LimitsRequest(
        operator=operator or operator_name(), reason=reason, changes=_changes(changes)
    )
    return asyncio.run(_change(place or Place(), request))


def _changes(texts: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in texts:
        path, equals, value = text.rpartition("=")
        if not equals or not path:
            wanted = "PATH=VALUE, like gate.default.order_quantity_max=100"
            raise UserError("SLU-103", path="limits set", found=repr(text), wanted=wanted)
        found[path] = _value(value)
        if (number := _number(value)) is not None and not is_bounded(number):
            raise UserError("SLU-103", path=f"limits set {path}", found=value, wanted=WANTED_NUMBER)
    if not found:
        raise UserError("SLU-103", path="limits set", found="nothing", wanted="PATH=VALUE")
    return found


def _value(text: str) -> Any:
    """Return a whole number or null as such; an amount stays text, exact to its last digit."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if value is None or isinstance(value, int) else text


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


async def _show(place: Place) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        arbiter, gate = await desk.arbiter(), await desk.gate()
    output.banner(arbiter)
    if gate is None:
        return silent(output, "gate", {"limits": None})
    output.data({"limits": gate.in_force, "limits_change_seq": gate.limits_change_seq})
    output.line(f"changes by operators so far: {gate.limits_change_seq}")
    for title, views in _groups(gate.in_force).items():
        output.table(title, ("limit", "in force", "value", "distance"), map(_row, views))
        for view in views:
            if view.why:
                output.beside(f" {view.name}   ", view.why)
    output.line(COUNTED_IN)
    output.next_step("sluice explain gate", "sluice limits set PATH=VALUE --reason WHY")
    return Exit.OK


def _groups(views: Sequence[LimitView]) -> dict[str, list[LimitView]]:
    """Return them by what they hold for: with that in each row none would fit a terminal."""
    found: dict[str, list[LimitView]] = {}
    for view in views:
        of_one = f", {view.instrument}" if view.instrument else ""
        found.setdefault(f"account {view.account}{of_one}", []).append(view)
    return found


def _row(view: LimitView) -> tuple[str, ...]:
    in_force = view.in_force
    if in_force != MISSING:
        in_force = f"{in_force} {unit_of(view.name)}"
    return (view.name, in_force, view.value, view.distance)


def unit_of(name: str) -> str:
    """Return what a limit counts in; a newer gate's, which is not known here, says so."""
    return next((unit for ends, unit in UNITS if name.endswith(ends)), UNKNOWN)


async def _change(place: Place, request: LimitsRequest) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        output.banner(await desk.arbiter())
        answer = await put(desk, output, subjects.LIMITS, request, "gate")
    output.next_step("sluice limits list", "sluice status")
    return exit_of_answer(answer)
