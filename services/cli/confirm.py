"""`sluice awaiting` and `sluice confirm`: signals that wait for a person (S-09)."""

import asyncio
import time
from typing import Annotated

from cyclopts import Parameter

from schemas.base import NS_PER_S, SignalId
from schemas.confirmations import AwaitingView, ConfirmRequest
from schemas.subjects import CONFIRM
from services.cli.asking import put, silent
from services.cli.desk import Desk, at_desk, gather
from services.cli.exits import Exit
from services.cli.locate import Place
from services.cli.operators import operator_name
from services.cli.output import UNKNOWN, Output

COLUMNS = ("signal", "instrument", "side", "quantity", "price then", "now", "left", "why")


def awaiting(*, place: Place | None = None) -> Exit:
    """Show the signals that wait for a person's confirmation, and how long they still do."""
    return asyncio.run(_awaiting(place or Place()))


def confirm(
    *signals: Annotated[str, Parameter(help="Ids, as `sluice awaiting` shows them.")],
    refuse: Annotated[bool, Parameter(negative=(), help="Drop them for good.")] = False,
    reason: Annotated[str, Parameter(help="For the record.")] = "",
    operator: Annotated[str | None, Parameter(help="Who confirms; else $USER.")] = None,
    place: Place | None = None,
) -> Exit:
    """Let signals that wait go to the gate, once each; or drop them with --refuse."""
    requests = [
        ConfirmRequest(
            operator=operator or operator_name(),
            signal=SignalId(each),
            is_refused=refuse,
            reason=reason,
        )
        for each in signals
    ]
    return asyncio.run(_confirm(place or Place(), requests))


async def _awaiting(place: Place) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        arbiter, told = await gather(desk.arbiter(), desk.sessions())
    output.banner(arbiter)
    if told is None:
        return silent(output, "strategy", {"awaiting": None})
    now_ns = time.time_ns()
    output.data({"awaiting": told.awaiting, "now_ns": now_ns})
    output.table("", COLUMNS, [_row(each, now_ns) for each in told.awaiting])
    if told.awaiting:
        first = told.awaiting[0].awaiting.signal.signal_id
        output.next_step(f"sluice confirm {first}", f"sluice confirm --refuse {first}")
    else:
        output.line("nothing waits for a person")
    return Exit.OK


async def _confirm(place: Place, requests: list[ConfirmRequest]) -> Exit:
    output = Output(place.as_json)
    if not requests:
        output.line("no signal named")
        output.next_step("sluice awaiting")
        return Exit.BAD_INPUT
    async with at_desk(place) as desk:
        output.banner(await desk.arbiter())
        answers = [await _asked(desk, output, each) for each in requests]
    output.next_step("sluice awaiting", "sluice orders")
    return Exit.OK if all(answers) else Exit.REFUSED


async def _asked(desk: Desk, output: Output, request: ConfirmRequest) -> bool:
    return (await put(desk, output, CONFIRM, request, "strategy")).is_ok


def _row(each: AwaitingView, now_ns: int) -> tuple[object, ...]:
    held = each.awaiting
    signal = held.signal
    return (
        signal.signal_id,
        signal.instrument,
        signal.side,
        signal.quantity,
        held.price if held.price is not None else UNKNOWN,
        each.price_now if each.price_now is not None else UNKNOWN,
        left_text(held.expires_at_ns - now_ns),
        signal.why,
    )


def left_text(left_ns: int) -> str:
    """Return how long a signal can still be confirmed, for people."""
    return f"{left_ns // NS_PER_S} s" if left_ns > 0 else "expired"
