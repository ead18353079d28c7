"""The main of every service: one name, one way to build it, one process."""

import argparse
import asyncio
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

import uvloop

from schemas.base import BootId
from schemas.errors import BusError, SluiceError, StateError, UserError
from services.runtime.log import configure, logger
from services.runtime.process import Process
from services.runtime.service import Context, Service
from services.runtime.settings import load_settings

__all__ = ["Context", "Service", "serve"]

EXIT_STOPPED, EXIT_BROKEN, EXIT_USER, EXIT_BUS, EXIT_STATE = 0, 1, 2, 3, 4
_EXIT_BY_CLASS = {UserError: EXIT_USER, BusError: EXIT_BUS, StateError: EXIT_STATE}


def serve(name: str, build: Callable[[Context], Service], *, niceness: int = 0) -> None:
    """Serve until told to stop, then exit.

    Args:
        name: of the service, and of its bus user.
        build: makes it.
        niceness: of a service that orders do not wait for: where cores are few, the order path
            goes first.

    The exit code is 0 on SIGTERM, SIGINT or when the parent is gone; 1 on a broken invariant; 2
    for what a person must mend; 3 when the bus is away or refuses a right; 4 when our own files
    are not what we wrote.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m services.{name}", description=f"sluice {name}"
    )
    parser.add_argument("--config", type=Path, required=True, help="the resolved configuration")
    file = parser.parse_args().config
    boot_id = BootId(secrets.token_hex(8))
    os.nice(niceness)
    try:
        configure(name, boot_id)
        process = Process(name, load_settings(file), boot_id)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(process.run(build))
    except asyncio.CancelledError:
        logger().info("stopped")
        sys.exit(EXIT_STOPPED)
    except Exception as error:
        sys.exit(_exit_code(error))


def _exit_code(error: Exception) -> int:
    """Return the code of this end, and log why; only what nobody foresaw shows where it was."""
    if not isinstance(error, SluiceError):
        logger().critical("broke", error=repr(error), exc_info=error)
        return EXIT_BROKEN
    logger().critical("cannot serve", error=str(error), next_step=error.entry.resolution)
    return _EXIT_BY_CLASS.get(type(error), EXIT_BROKEN)
