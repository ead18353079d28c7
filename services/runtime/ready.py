"""Say by exit code whether one service is ready: the health check of a container.

    python -m services.runtime.ready gate --config run/config.json

Ready is what the service says of itself on the bus, not that a process is there. Exit codes: 0 it
is ready; 1 it is not, or says nothing; 3 the bus is away.
"""

import argparse
import asyncio
import sys
from pathlib import Path

from schemas.errors import SluiceError, WireError
from schemas.health import HealthReported
from schemas.wire import decode
from services.runtime.config import BusConfig
from services.runtime.connect import connect
from services.runtime.settings import load_settings

USER = "viewer"
"""May look, and may not trade: every container holds this key beside its own."""

BUS = "nats"
LISTEN_S = 2.5
"""Longer than two reports of a living service take."""

EXIT_READY, EXIT_NOT_READY, EXIT_NO_BUS = 0, 1, 3


def main() -> None:
    """Exit with the answer."""
    parser = argparse.ArgumentParser(description="is a service ready?")
    parser.add_argument("name", help=f"the service, or {BUS}")
    parser.add_argument("--config", type=Path, required=True, help="the resolved configuration")
    given = parser.parse_args()
    try:
        bus = load_settings(given.config).section("bus", BusConfig)
        why_not = asyncio.run(why_not_ready(given.name, bus))
    except SluiceError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EXIT_NO_BUS)
    sys.stderr.write(f"{why_not or 'ready'}\n")
    sys.exit(EXIT_NOT_READY if why_not else EXIT_READY)


async def why_not_ready(name: str, bus: BusConfig, timeout_s: float = LISTEN_S) -> str:
    """Return why the service is not ready; empty when it is.

    Raises:
        BusError: the bus cannot be reached, or does not let us in.
    """
    connection = await connect(USER, bus, what_for="ready", timeout_s=timeout_s)
    if name == BUS:
        await connection.close()
        return ""
    heard: asyncio.Future[HealthReported] = asyncio.get_running_loop().create_future()

    def take(subject: str, data: bytes, _reply: str) -> None:
        try:
            [event] = decode(data, subject=subject)
        except (WireError, ValueError):
            return  # its sender is told by those it concerns
        if isinstance(event, HealthReported) and not heard.done():
            heard.set_result(event)

    try:
        await connection.take(f"health.{name}", take)
        event = await asyncio.wait_for(heard, timeout_s)
    except TimeoutError:
        return f"{name} said nothing for {timeout_s:g} s"
    finally:
        await connection.close()
    return "" if event.is_ready else event.detail or "not ready, and says not why"


if __name__ == "__main__":
    main()
