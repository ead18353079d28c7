"""`sluice reconcile`: our book and the venue's side by side, and what a person makes of it."""

import asyncio
from typing import Annotated

from cyclopts import Parameter

from schemas import subjects
from schemas.errors import UserError
from schemas.reconciliation import ReconcileAction, ReconcileRequest
from services.cli.asking import exit_of_answer, is_confirmed, put, silent
from services.cli.desk import at_desk
from services.cli.exits import Exit
from services.cli.locate import Place
from services.cli.operators import operator_name
from services.cli.output import Output

MEANINGS = {
    ReconcileAction.ADOPT: "the venue's side becomes ours",
    ReconcileAction.FLATTEN: "the venue's side becomes ours, and is then closed",
    ReconcileAction.IGNORE: "both stay as they are, until the difference changes",
}


def reconcile(
    action: Annotated[
        str | None, Parameter(help="adopt, flatten or ignore; without, show the differences.")
    ] = None,
    difference: Annotated[str | None, Parameter(help="Its id, as shown.")] = None,
    *,
    reason: Annotated[str, Parameter(help="For the record.")] = "",
    yes: Annotated[bool, Parameter(negative=(), help="Do not ask.")] = False,
    operator: Annotated[str | None, Parameter(help="Who decides; else $USER.")] = None,
    place: Place | None = None,
) -> Exit:
    """Show where our book and the venue's differ, or decide about one difference."""
    where = place or Place()
    if action is None:
        return asyncio.run(_show(where))
    request = ReconcileRequest(
        operator=operator or operator_name(),
        reason=reason,
        difference=_given(difference),
        action=_action(action),
    )
    return asyncio.run(_decide(where, request, yes))


def _action(text: str) -> ReconcileAction:
    try:
        return ReconcileAction(text)
    except ValueError as error:
        wanted = ", ".join(ReconcileAction)
        raise UserError("SLU-103", path="reconcile", found=repr(text), wanted=wanted) from error


def _given(difference: str | None) -> str:
    if difference is None:
        wanted = "the id of a difference, as `sluice reconcile` shows it"
        raise UserError("SLU-103", path="reconcile", found="no difference", wanted=wanted)
    return difference


async def _show(place: Place) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        arbiter, book = await desk.arbiter(), await desk.book()
    output.banner(arbiter)
    if book is None:
        return silent(output, "executor", {"differences": None})
    output.data({"is_reconciled": book.is_reconciled, "differences": book.differences})
    rows = [(d.id, d.name, d.ours, d.theirs, _standing(d.ignored_by)) for d in book.differences]
    if rows:
        columns = ("id", "what", "ours", "the venue's", "")
        output.table(f"account {book.account}", columns, rows)
        for each, meaning in MEANINGS.items():
            output.line(f"  sluice reconcile {each} ID --reason WHY: {meaning}")
    elif book.is_reconciled:
        output.line("our book and the venue's agree")
    else:
        output.line(f"not compared with the venue: {book.detail or 'no reason given'}")
    output.next_step("sluice positions", "sluice status")
    return Exit.OK if book.is_reconciled else Exit.UNHEALTHY


def _standing(ignored_by: str) -> str:
    return f"ignored by {ignored_by}" if ignored_by else "in the way"


async def _decide(place: Place, request: ReconcileRequest, is_sure: bool) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        output.banner(await desk.arbiter())
        book = await desk.book()
        for each in book.differences if book else ():
            if each.id == request.difference:
                output.line(f"{each.name}: {each.both}")
        question = f"{request.action}: {MEANINGS[request.action]}. Sure?"
        if not is_confirmed(question, is_sure, output):
            output.line("nothing was decided")
            return Exit.REFUSED
        answer = await put(desk, output, subjects.RECONCILE, request, "executor")
    output.next_step("sluice reconcile", "sluice unlock --reason WHY", "sluice status")
    return exit_of_answer(answer)
