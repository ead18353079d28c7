"""What commands that need no bus show of the system, if one runs here."""

import asyncio

from schemas.errors import SluiceError
from schemas.health import GateReported
from services.cli.locate import Place, is_served
from services.cli.output import Output

TIMEOUT_S = 0.5
"""How long a bus is looked for that the command itself does not need, in seconds."""


def quick_banner(place: Place, output: Output) -> None:
    """Say first that trading is halted, where a system runs; say nothing where none does."""
    if not is_served(place):
        return
    try:
        asyncio.run(_banner(place, output))
    except SluiceError:
        output.banner(None)


def quick_gate(place: Place) -> GateReported | None:
    """Return what the gate that runs here says of itself; None where none does, or answers."""
    if not is_served(place):
        return None
    try:
        return asyncio.run(_gate(place))
    except SluiceError:
        return None


async def _gate(place: Place) -> GateReported | None:
    from services.cli.desk import at_desk

    async with at_desk(place, timeout_s=TIMEOUT_S) as desk:
        return await desk.gate()


async def _banner(place: Place, output: Output) -> None:
    from services.cli.desk import at_desk

    async with at_desk(place, timeout_s=TIMEOUT_S) as desk:
        output.banner(await desk.arbiter())
