"""Which processes make a system, in the order in which they start."""

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from schemas.errors import UserError
from services.cli.config_types import did_you_mean
from services.cli.exits import Exit
from services.cli.locate import Place, data_dir_of
from services.runtime.supervisor_process import ProcessSpec

MODULES: dict[str, str] = {
    "recorder": "services.recorder",
    "venue": "services.executor.venues.paper",
    "breaker": "services.breaker",
    "executor": "services.executor",
    "gate": "services.gate",
    "strategy": "services.strategy",
    "feed": "services.feed",
}
"""Service -> what `python -m` runs."""

STAGES: tuple[tuple[str, ...], ...] = (
    ("recorder", "venue"),
    ("breaker", "executor", "gate", "strategy"),
    ("feed",),
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
    """Run one service in the foreground, in place of this command."""
    if name not in MODULES:
        wanted = did_you_mean(name, list(MODULES)) or ", ".join(MODULES)
        raise UserError("SLU-103", path="service", found=name, wanted=wanted)
    file = config or data_dir_of(place or Place()) / "run" / "config.json"
    if not file.is_file():
        wanted = "the resolved configuration; `sluice up` and `sluice config write` make it"
        raise UserError("SLU-102", path=file, found="no such file", wanted=wanted)
    line = command(name, file)
    os.execv(line[0], line)
