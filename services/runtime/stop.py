"""How a process ends: asked by a signal, or left behind by its parent; never an orphan."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping

from services.runtime.log import logger
from services.runtime.tether import PARENT_FD

STOP_TIMEOUT_S = 5.0
"""How long an orderly stop may take before the process ends without one."""

EXIT_STUCK = 1


class Stop:
    """Cancels the task it was made in, once, when the process is to end.

    A thread watches the parent, so that a busy event loop dies with it all the same.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._parent = environment.get(PARENT_FD, "")
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._is_asked = False

    def listen(self) -> None:
        """Stop on SIGTERM, on SIGINT, and when the parent is gone."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._ask, number.name)
        if self._parent:
            _start(self._watch_parent)

    def _ask(self, why: str) -> None:
        if self._is_asked:
            return
        self._is_asked = True
        logger().info("stopping", why=why)
        _start(self._end_anyway)
        self._task.cancel()

    def _watch_parent(self) -> None:
        try:
            while os.read(int(self._parent), 1):
                pass
        except (OSError, ValueError) as error:
            logger().warning("the parent cannot be watched", found=str(error))
            return
        self._loop.call_soon_threadsafe(self._ask, "the parent is gone")
        self._end_anyway()

    def _end_anyway(self) -> None:
        """End the process after the time an orderly stop may take; a daemon thread's last act."""
        time.sleep(STOP_TIMEOUT_S)
        logger().critical("could not stop in order", after_s=STOP_TIMEOUT_S)
        os._exit(EXIT_STUCK)


def _start(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()
