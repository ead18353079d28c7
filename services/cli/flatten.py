"""`sluice flatten`: close what is held, and say flat only when the venue says so."""

import asyncio
from typing import Annotated

import msgspec
from cyclopts import Parameter

from schemas import subjects
from schemas.base import Event
from schemas.restrictions import ALL, FlattenReported, FlattenRequest
from services.cli.asking import is_confirmed, print_answer
from services.cli.desk import at_desk
from services.cli.exits import Exit
from services.cli.listening import Listening
from services.cli.locate import Place
from services.cli.operators import operator_name
from services.cli.output import Output
from services.cli.restrict import WANTED, Reason, checked_scope, reason_of

FLAT_TIMEOUT_S = 60.0


class FlattenResult(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `sluice flatten --json`."""

    is_begun: bool
    message: str
    report: FlattenReported | None
    """The newest one of this very flatten; null when none came."""


def flatten(
    *words: Annotated[str, Parameter(help="The reason, for the record; quotes are not needed.")],
    scope: Annotated[str, Parameter(help=f"What to close; else all. {WANTED}.")] = ALL,
    yes: Annotated[bool, Parameter(negative=(), help="Do not ask.")] = False,
    operator: Annotated[str | None, Parameter(help="Who asks; else $USER.")] = None,
    reason: Reason = "",
    place: Place | None = None,
) -> Exit:
    """Cancel what rests and close every position, then verify at the venue."""
    request = FlattenRequest(
        operator=operator or operator_name(),
        reason=reason_of(words, reason) or "no reason given",
        scope=checked_scope(scope),
    )
    return asyncio.run(_flatten(place or Place(), request, yes))


async def _flatten(place: Place, request: FlattenRequest, is_sure: bool) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        output.banner(await desk.arbiter())
        book = await desk.book()
        held = [each for each in book.positions if each.quantity] if book else []
        if book is None:
            output.line("the executor does not answer: what is held is not known")
        for each in held:
            output.line(f"  held: {each.instrument} {each.quantity}")
        what = "every position" if request.scope == ALL else f"every position of {request.scope}"
        if not is_confirmed(f"Close {what}, at the market?", is_sure, output):
            output.line("nothing was done")
            return Exit.REFUSED
        newest: dict[str, FlattenReported] = {}  # by request: whose is ours the answer says

        def note(event: Event) -> None:
            if isinstance(event, FlattenReported):
                newest[event.request_id] = event

        listening = Listening(desk, note)
        await listening.begin(FlattenReported)
        answer = await desk.request(subjects.FLATTEN, request, "executor")
        name = answer.request_id
        if not place.as_json:
            print_answer(answer, output)
        if answer.is_ok:
            output.line(f"waiting for the venue's word, {FLAT_TIMEOUT_S:g} s at the most")
            await listening.until(lambda: name in newest and newest[name].is_ended, FLAT_TIMEOUT_S)
    report = newest.get(name)
    output.data(FlattenResult(is_begun=answer.is_ok, message=answer.message, report=report))
    if not answer.is_ok:
        output.next_step("sluice status", "for what rests at the venue: sluice venue-kill")
        return Exit.REFUSED
    _print(report, output)
    return Exit.OK if report is not None and report.is_flat else Exit.NOT_FLAT


def _print(report: FlattenReported | None, output: Output) -> None:
    if report is None:
        output.line("NOT FLAT: no word of how far it is")
    elif report.is_flat:
        output.line(f"FLAT in {report.scope}: the venue shows no order and no position")
    else:
        output.line(f"NOT FLAT in {report.scope}: {report.detail or 'still closing'}")
        for each in report.positions:
            output.line(f"  held:  {each.instrument} {each.quantity}")
        for order_id in report.resting:
            output.line(f"  rests: {order_id}")
    output.next_step("sluice positions", "sluice orders", "sluice status")
