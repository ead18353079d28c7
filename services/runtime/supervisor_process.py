"""Start and stop one process of the system."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schemas.masking import masked
from services.runtime.log_file import LOG_FILE, put_aside, put_aside_if_old, utc_day
from services.runtime.tether import PARENT_FD, die_with_parent

STOP_TIMEOUT_S = 5.0
"""How long a process may take to end by itself before it is killed."""

LOOK_AT_DAY_EVERY_S = 10.0
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
        is_ours: a python process that watches the parent's pipe by itself; others are tethered,
            for where the kernel does not end them.
        until_up: returns once the process works; None where its health on the bus says so.
        log_option: of a program that is not ours, names its log file. It writes that by itself
            then, and opens it anew on SIGUSR1; else it goes on in one file until it ends.
    """

    name: str
    command: tuple[str, ...]
    log_file: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    is_ours: bool = True
    until_up: Callable[[], Awaitable[None]] | None = None
    log_option: str = ""


async def spawn(spec: ProcessSpec, parent_fd: int) -> asyncio.subprocess.Process:
    """Return the started process; it ends with us, stopped or not, however we end.

    Where the kernel does not see to that, it watches for the end of `parent_fd`.

    Raises:
        OSError: the program is not there, or the log cannot be written.
    """
    command = spec.command
    if spec.log_option:
        command = (*command, spec.log_option, str(spec.log_file))
    if not spec.is_ours:
        command = (sys.executable, "-m", "services.runtime.tether", *command)
    spec.log_file.parent.mkdir(parents=True, exist_ok=True)
    put_aside_if_old(spec.log_file, time.time_ns())
    places = {LOG_FILE: str(spec.log_file), PARENT_FD: str(parent_fd)}
    with spec.log_file.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **spec.environment, **places},
            pass_fds=(parent_fd,),
            start_new_session=True,  # a terminal's Ctrl-C reaches the supervisor alone
            preexec_fn=die_with_parent,
        )


async def stop(process: asyncio.subprocess.Process) -> bool:
    """End the process; return False when it had to be killed, as one that is stopped has."""
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


async def turn_daily(
    spec: ProcessSpec, process: asyncio.subprocess.Process, clock: Callable[[], int]
) -> None:
    """Put the log of a program that is not ours aside at the end of each UTC day, for ever.

    Between the new name and the signal it writes on, under that name: nothing is lost.
    """
    day = utc_day(clock())
    while True:
        await asyncio.sleep(LOOK_AT_DAY_EVERY_S)
        today = utc_day(clock())
        if today > day:
            with contextlib.suppress(OSError):  # the disk is full: it goes on in the old file
                put_aside(spec.log_file, day)
                process.send_signal(signal.SIGUSR1)
            day = today


def last_words(log_file: Path) -> str:
    """Return the last thing a process said in its log, for a person; empty if nothing.

    What looks like a secret is masked: they go into an alert, and what wrote them may have been an
    interpreter or a library that masks nothing.
    """
    try:
        with log_file.open("rb") as log:
            log.seek(max(0, log_file.stat().st_size - TAIL_BYTES))
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return masked(_plain(lines[-1].strip()))[:WORDS_CHARS_MAX] if lines else ""


def _plain(line: str) -> str:
    """Return a structured log line as a person would say it; any other line as it is."""
    try:
        fields = json.loads(line)
        said = str(fields["event"])
    except (ValueError, KeyError, TypeError):
        return line
    error = fields.get("error")
    return f"{said}: {error}" if error else said
