"""The halt banner of commands that need no bus: shown if a system runs here."""

import asyncio

from schemas.errors import SluiceError
from services.cli.locate import Place, data_dir_of, running_system
from services.cli.output import Output


def quick_banner(place: Place, output: Output) -> None:
    """Say first that trading is halted, where a system runs; say nothing where none does."""
    system = running_system(data_dir_of(place))
    if system is None:
        return
    try:
        asyncio.run(_banner(place, output))
    except SluiceError:
        output.banner(None)


async def _banner(place: Place, output: Output) -> None:
    from services.cli.desk import at_desk

    async with at_desk(place) as desk:
        output.banner(await desk.arbiter())
