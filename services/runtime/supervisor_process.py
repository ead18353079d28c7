"""Start and stop one process of the system."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.runtime.tether import PARENT_FD

STOP_TIMEOUT_S = 5.0
"""How long a process may take to end by itself before it is killed."""

LOG_BYTES_MAX = 16 * 1024 * 1024
"""A log that is larger when its process starts is moved to `.1` first."""

TAIL_BYTES = 4_096
WORDS_CHARS_MAX = 500


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """What one process is.

    Attributes:
        name: of the service; unique.
        command: program and arguments.
        environment: variables beside those of the supervisor itself.
        log_file: where its standard output and error go.
        is_ours: a python process that watches the parent's pipe by itself; others are tethered.
        until_up: returns once the process works; None where its health on the bus says so.
    """

    name: str
    command: tuple[str, ...]
    log_file: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    is_ours: bool = True
    until_up: Callable[[], Awaitable[None]] | None = None


async def spawn(spec: ProcessSpec, parent_fd: int) -> asyncio.subprocess.Process:
    """Return the started process; it ends when the last writing end of `parent_fd` is closed.

    Raises:
        OSError: the program is not there, or the log cannot be written.
    """
    command = spec.command
    if not spec.is_ours:
        command = (sys.executable, "-m", "services.runtime.tether", *command)
    _rotate(spec.log_file)
    with spec.log_file.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **spec.environment, PARENT_FD: str(parent_fd)},
            pass_fds=(parent_fd,),
            start_new_session=True,  # a terminal's Ctrl-C reaches the supervisor alone
        )


async def stop(process: asyncio.subprocess.Process) -> bool:
    """End the process; return False when it had to be killed."""
    if process.returncode is not None:
        return True
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        return False
    return True


def last_words(log_file: Path) -> str:
    """Return the last thing a process said in its log, for a person; empty if nothing."""
    try:
        with log_file.open("rb") as log:
            log.seek(max(0, log_file.stat().st_size - TAIL_BYTES))
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return _plain(lines[-1].strip())[:WORDS_CHARS_MAX] if lines else ""


def _plain(line: str) -> str:
    """Return a structured log line as a person would say it; any other line as it is."""
    try:
        fields = json.loads(line)
        said = str(fields["event"])
    except (ValueError, KeyError, TypeError):
        return line
    error = fields.get("error")
    return f"{said}: {error}" if error else said


def _rotate(log_file: Path) -> None:
    log_file.parent.mkdir(parents=True, exist_ok=True)
    if log_file.exists() and log_file.stat().st_size > LOG_BYTES_MAX:
        log_file.replace(log_file.with_suffix(".log.1"))
