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
from schemas.limits import LimitsRequest
from services.cli.asking import exit_of_answer, put, silent
from services.cli.desk import at_desk
from services.cli.exits import Exit
from services.cli.locate import Place
from services.cli.operators import operator_name
from services.cli.output import Output

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
    rows = [
        (v.account, v.instrument or "", v.name, v.in_force, v.value, v.distance, v.why)
        for v in gate.in_force
    ]
    columns = ("account", "instrument", "limit", "in force", "value", "distance", "")
    output.table(f"changes by operators so far: {gate.limits_change_seq}", columns, rows)
    output.next_step("sluice explain gate", "sluice limits set PATH=VALUE --reason WHY")
    return Exit.OK


async def _change(place: Place, request: LimitsRequest) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        output.banner(await desk.arbiter())
        answer = await put(desk, output, subjects.LIMITS, request, "gate")
    output.next_step("sluice limits list", "sluice status")
    return exit_of_answer(answer)
