"""Tasks beside the core that must not end: the end of one is the end of the service (S-14)."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Background:
    """The tasks of one adapter, for as long as it is open.

    A task that nobody awaits dies without a word, and what it looked after is looked after no
    more. Here its end is noticed, stands in one health report, and is raised from the next: the
    process ends with it, and the supervisor starts it anew.
    """

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._broke: Exception | None = None
        self._name = self._said = ""
        self._is_closing = False

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run this until closed."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.append(task)
        task.add_done_callback(self._on_end)

    def why_not_ready(self) -> str:
        """Return, once, which task has ended and why; empty while none has.

        Raises:
            Exception: what it ended with, when that was said before.
        """
        if self._broke is None:
            return ""
        if self._said:
            raise self._broke
        self._said = f"{self._name}: {self._broke}"
        return self._said

    async def close(self) -> None:
        """End all of them."""
        self._is_closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_end(self, task: "asyncio.Task[None]") -> None:
        if self._is_closing or self._broke is not None:
            return
        error = None if task.cancelled() else task.exception()
        self._name = task.get_name()
        # What is no Exception (a SystemExit) ends the loop by itself.
        self._broke = error if isinstance(error, Exception) else RuntimeError("it ended by itself")


def why_not_ready(*parts: Background) -> str:
    """Return which tasks of these have ended; empty while none has. Raises as each part does."""
    return "; ".join(filter(None, [part.why_not_ready() for part in parts]))
