"""Which processes make a system, in the order in which they start."""

import os
import sys
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from schemas.errors import UserError
from services.cli.config_types import did_you_mean
from services.cli.exits import Exit
from services.cli.locate import Place, data_dir_of
from services.runtime.keys import SYNC_ALWAYS, SYNC_DEFAULT, ensure_keys, server_environment
from services.runtime.log_file import LOG_COPY
from services.runtime.store_key import ensure_store_key
from services.runtime.supervisor_process import ProcessSpec
from services.runtime.supervisor_server import ServerPlan, server_spec

MODULES: dict[str, str] = {
    "recorder": "services.recorder",
    "venue": "services.executor.venues.paper",
    "breaker": "services.breaker",
    "executor": "services.executor",
    "gate": "services.gate",
    "strategy": "services.strategy",
    "feed": "services.feed",
    "reports": "services.recorder.queries",
}
"""Service -> what `python -m` runs."""

BUS = "nats"

STAGES: tuple[tuple[str, ...], ...] = (
    ("recorder", "venue"),
    ("breaker", "executor", "gate", "strategy"),
    ("feed", "reports"),
)
"""The recorder first, so that all is recorded; the feed last, so that all hear it from the start.
They are stopped in the reverse order."""


def stages(config_file: Path, log_dir: Path, log_level: str) -> list[list[ProcessSpec]]:
    """Return the processes of a system, stage by stage."""
    return [
        [
            ProcessSpec(
                name=name,
                command=command(name, config_file),
                environment={"SLUICE_LOG_LEVEL": log_level},
                log_file=log_dir / f"{name}.log",
            )
            for name in stage
        ]
        for stage in STAGES
    ]


def command(name: str, config_file: Path) -> tuple[str, ...]:
    """Return the command line of one service."""
    return (sys.executable, "-m", MODULES[name], "--config", str(config_file))


def service(
    name: Annotated[str, Parameter(help="recorder, venue, breaker, executor, gate, ...")],
    *,
    config: Annotated[
        Path | None, Parameter(help="The resolved configuration; else run/config.json.")
    ] = None,
    place: Place | None = None,
) -> Exit:
    """Run one service in the foreground, in place of this command.

    What it logs goes to standard error and, for `sluice logs`, into the data folder's log too; the
    bus, which is not ours, says all on its own output only.

    It ends with the service's own code: 0 stopped, 1 broken, 2 something that a person must mend,
    3 the bus, 4 its own files: not as it wrote them, or in use by another process, which runs it
    already.

    Raises:
        UserError: SLU-103 there is no such service; SLU-102 there is no configuration.
    """
    data_dir = data_dir_of(place or Place())
    if name == BUS:
        _become_bus(data_dir)
    if name not in MODULES:
        known = [*MODULES, BUS]
        wanted = did_you_mean(name, known) or ", ".join(known)
        raise UserError("SLU-103", path="service", found=name, wanted=wanted)
    file = config or data_dir / "run" / "config.json"
    if not file.is_file():
        wanted = "the resolved configuration; `sluice up` and `sluice config write` make it"
        raise UserError("SLU-102", path=file, found="no such file", wanted=wanted)
    line = command(name, file)
    copy = {LOG_COPY: str(data_dir / "log" / f"{name}.log")}
    os.execve(line[0], line, {**os.environ, **copy})


def _become_bus(data_dir: Path) -> None:
    """Become the nats-server that knows the users of this data folder."""
    from services.cli.config_resolve import load_config
    from services.cli.config_write import public_keys_file

    config = load_config()
    file = public_keys_file(data_dir)
    if file.is_file():
        public_keys = msgspec.json.decode(file.read_bytes(), type=dict[str, str])
    else:
        public_keys = ensure_keys(config.keys_dir)
    sync_interval = SYNC_ALWAYS if config.bus.is_durable else SYNC_DEFAULT
    server = ServerPlan(
        host=config.bus.host,
        port=config.bus.port,
        monitor_port=config.bus.monitor_port,
        store_dir=data_dir / "nats",
        environment=server_environment(
            public_keys,
            sync_interval=sync_interval,
            store_key=ensure_store_key(config.store_key_file, data_dir / "nats"),
        ),
    )
    spec = server_spec(server, data_dir / "log" / "nats.log")
    os.execve(spec.command[0], spec.command, {**os.environ, **spec.environment})
