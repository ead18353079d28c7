"""`sluice venue-kill`: cancel everything at the venue itself, when nothing else answers."""

import asyncio
from typing import Annotated

from cyclopts import Parameter

from services.cli.asking import is_confirmed
from services.cli.exits import Exit
from services.cli.locate import Place, data_dir_of
from services.cli.output import Output
from services.executor.kill import KillReport, kill


def venue_kill(
    *,
    yes: Annotated[bool, Parameter(negative=(), help="Do not ask.")] = False,
    timeout: Annotated[float, Parameter(help="How long to try, in seconds.")] = 10.0,
    place: Place | None = None,
) -> Exit:
    """Cancel every order at the venue, without the bus and without any service.

    Positions stay as they are. It does not halt: what still runs may send new orders.
    """
    where = place or Place()
    output = Output(where.as_json)
    question = "Cancel every order at the venue, past all services?"
    if not is_confirmed(question, yes, output):
        output.line("nothing was done")
        return Exit.REFUSED
    report = asyncio.run(kill(data_dir_of(where), timeout))
    output.data(report)
    _print(report, output)
    return Exit.OK if report.is_clear else Exit.NOT_FLAT


def _print(report: KillReport, output: Output) -> None:
    output.line(f"{len(report.cancelled)} cancelled at the venue")
    for order_id in report.cancelled:
        output.line(f"  {order_id}")
    for each in report.resting:
        output.line(f"  STILL RESTS: {each.order_id} {each.side} {each.leaves} {each.instrument}")
    if report.is_clear:
        output.line("the venue shows no order")
    else:
        output.line(f"NOT CLEAR: {report.detail}")
    for instrument, quantity in report.positions.items():
        output.line(f"  held: {instrument} {quantity}")
    output.line("This does not halt: a system that still runs may send new orders.")
    output.next_step('sluice halt "why"', "sluice status")
