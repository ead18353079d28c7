"""`sluice streams`: how the bus keeps what is said, and to bring that to what is configured."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter
from nats.errors import Error as NatsError

from schemas.errors import BusError, UserError
from schemas.streams import StreamSpec
from services.cli.desk import CONNECT_TIMEOUT_S, at_desk
from services.cli.exits import Exit
from services.cli.locate import Place, data_dir_of, locate
from services.cli.output import Output
from services.cli.system import config_file
from services.runtime.connect import connect
from services.runtime.fastpath import BusConnection

if TYPE_CHECKING:
    from services.recorder.config import RecorderConfig

KEEPER = "supervisor"
"""The user that may change a stream. No service that runs uses that right."""

MISSING = "there is none: the recorder makes it when it starts"
AS_CONFIGURED = "as configured"


def streams(
    *,
    apply: Annotated[
        bool, Parameter(negative=(), help="Change the streams to what is configured.")
    ] = False,
    place: Place | None = None,
) -> Exit:
    """Show what each stream has otherwise than configured; ends with 6 where one has.

    `--apply` needs the supervisor's key. It changes how long and where messages are kept; none is
    deleted by it, and no stream. `sluice up` does it by itself.
    """
    found = place or Place()
    output = Output(found.as_json)
    told = asyncio.run(_asked(found, is_applied=apply))
    output.data({"is_applied": apply, "streams": told})
    rows = [(name, each) for name, texts in told.items() for each in texts or [AS_CONFIGURED]]
    output.table("", ("stream", "differs in"), rows)
    if not any(told.values()):
        return Exit.OK
    output.next_step("sluice status" if apply else "sluice streams --apply")
    return Exit.UNHEALTHY


async def mend(connection: BusConnection, config: "RecorderConfig") -> list[str]:
    """Bring the streams there are to what is configured; return what stays otherwise."""
    try:
        told = await _each(connection, config, is_applied=True)
    except (BusError, NatsError) as error:
        return [f"the streams could not be looked at: {error}"]
    return [each for texts in told.values() for each in texts if each != MISSING]


async def _asked(place: Place, *, is_applied: bool) -> dict[str, list[str]]:
    config = configured(data_dir_of(place))
    if not is_applied:
        async with at_desk(place) as desk:
            return await _each(desk.connection, config, is_applied=False)
    bus = locate(place)
    connection = await connect(KEEPER, bus, what_for="streams", timeout_s=CONNECT_TIMEOUT_S)
    try:
        return await _each(connection, config, is_applied=True)
    finally:
        await connection.close()


async def _each(
    connection: BusConnection, config: "RecorderConfig", *, is_applied: bool
) -> dict[str, list[str]]:
    from services.recorder.profile import wanted_streams

    return {
        spec.name: await _differences(connection, spec, config, is_applied=is_applied)
        for spec in wanted_streams(config)
    }


async def _differences(
    connection: BusConnection, spec: StreamSpec, config: "RecorderConfig", *, is_applied: bool
) -> list[str]:
    from services.recorder.jetstream import found_stream, mend_stream
    from services.recorder.profile import differences, stream_config

    found = await found_stream(connection, spec)
    if found is None:
        return [MISSING]
    if is_applied:
        return await mend_stream(connection, spec, config)
    return differences(found, stream_config(spec, config))


def configured(data_dir: Path) -> "RecorderConfig":
    """Return the recorder's section as the last run was told it.

    Raises:
        UserError: SLU-102 there is no such file, or it cannot be read.
    """
    from services.recorder.config import RecorderConfig

    path = config_file(data_dir)
    try:
        section = msgspec.json.decode(path.read_bytes())["recorder"]
        return msgspec.convert(section, RecorderConfig)
    except (OSError, msgspec.MsgspecError, KeyError, TypeError) as error:
        wanted = "the configuration of a run: `sluice up`, or `sluice config write`"
        raise UserError("SLU-102", path=path, found=error, wanted=wanted) from error
