"""Keep processes alive: start each again when it ends, with growing pauses, until asked to stop."""

import asyncio
import os
from collections.abc import Callable

from schemas.base import NS_PER_S
from schemas.health import AlertRaised
from services.runtime.ending import end
from services.runtime.supervisor_process import ProcessSpec, last_words, spawn, stop, turn_daily
from services.runtime.supervisor_roster import Roster

OnEnd = Callable[[ProcessSpec, AlertRaised], None]


class Keeper:
    """Owns the processes, and the pipe whose closing ends them all.

    Args:
        roster: told how the processes are; says whether and when one is started again.
        clock: returns now, in ns.
        on_end: told of every end that nobody asked for.
        on_change: called whenever a process was started, works, or ended.
    """

    def __init__(
        self,
        roster: Roster,
        clock: Callable[[], int],
        on_end: OnEnd,
        on_change: Callable[[], None],
    ) -> None:
        self._roster, self._clock = roster, clock
        self._on_end, self._on_change = on_end, on_change
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        # Nobody ever writes. Only we hold the writing end, so it closes when we are gone.
        self._reading_end, self._writing_end = os.pipe()

    def keep(self, spec: ProcessSpec) -> None:
        """Start the process now, and again whenever it ends."""
        self._tasks[spec.name] = asyncio.create_task(self._keep(spec), name=f"keep {spec.name}")

    async def stop(self, name: str) -> None:
        """End one process for good; what does not end in time is killed."""
        task = self._tasks.pop(name, None)
        if task is None:
            return
        await end(task)  # first, so that the end is not taken for a crash
        process = self._processes.pop(name, None)
        was_orderly = process is None or await stop(process)
        self._roster.on_stopped(name, "" if was_orderly else "did not end in time: killed")
        self._on_change()

    def close(self) -> None:
        """Let go of the pipe; a process that is still there ends now."""
        os.close(self._writing_end)
        os.close(self._reading_end)

    async def _keep(self, spec: ProcessSpec) -> None:
        wait_ns: int | None = 0
        while wait_ns is not None:
            await asyncio.sleep(wait_ns / NS_PER_S)
            exit_code, words = await self._run_once(spec)
            now_ns = self._clock()
            wait_ns = self._roster.on_ended(spec.name, exit_code, words, now_ns)
            self._on_end(spec, self._roster.alert(spec.name, now_ns))
            self._on_change()

    async def _run_once(self, spec: ProcessSpec) -> tuple[int, str]:
        """Return how the process ended, and its last words."""
        try:
            process = await spawn(spec, self._reading_end)
        except OSError as error:
            return 1, f"cannot start {spec.command[0]}: {error.strerror}"
        self._processes[spec.name] = process
        self._roster.on_started(spec.name, process.pid, self._clock())
        self._on_change()
        beside = [asyncio.create_task(self._until_up(spec))]
        if spec.log_option:
            beside.append(asyncio.create_task(turn_daily(spec, process, self._clock)))
        try:
            return await process.wait(), last_words(spec.log_file)
        finally:
            for task in beside:
                task.cancel()

    async def _until_up(self, spec: ProcessSpec) -> None:
        if spec.until_up is not None:
            await spec.until_up()
            self._roster.on_ready(spec.name)
            self._on_change()
