"""Python's collector of cycles, kept from stopping a process that trades.

A collection of all there is holds the interpreter, the control link's thread included: with a day's
orders in memory for a tenth of a second and more, in which no halt is heard. So what has outlived a
while is put aside (`gc.freeze`), and a collection looks only at what came after. What is put aside
is still freed as soon as nobody holds it; what holds itself in a circle waits until nothing may be
sent anyway: then all of it is looked at again.
"""

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.runtime.clock import elapsed_ns
from services.runtime.meter import Latencies

EVERY_S = 60.0
"""Between two times of putting aside, in seconds."""


class Collector:
    """Tends the collector of this process.

    Args:
        is_trading: whether a long pause would do harm now; None for a service that no halt waits
            for: of its memory only what the start left is put aside.
        pauses: the time of every collection goes there.
    """

    def __init__(self, is_trading: Callable[[], bool] | None, pauses: Latencies) -> None:
        self._is_trading = is_trading
        self._pauses = pauses
        self._began_ns = 0

    async def keep(self) -> None:
        """Put aside what the start left in memory, then what comes, until cancelled."""
        with self.timed():
            gc.collect()
            gc.freeze()
            while True:
                await asyncio.sleep(EVERY_S)
                if self._is_trading is not None:
                    self.tend(is_trading=self._is_trading())

    @staticmethod
    def tend(*, is_trading: bool) -> None:
        """Collect what came since the last time, or all there is, and put aside what is left."""
        if not is_trading:
            gc.unfreeze()
        gc.collect()
        gc.freeze()

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Note how long each collection takes; at the end nothing is aside any more."""
        gc.callbacks.append(self._on_phase)
        try:
            yield
        finally:
            gc.callbacks.remove(self._on_phase)
            gc.unfreeze()

    def _on_phase(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._began_ns = elapsed_ns()
        else:
            self._pauses.add(elapsed_ns() - self._began_ns)
