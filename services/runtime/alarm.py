"""A core's deadline as a timer of the event loop."""

import asyncio
from collections.abc import Callable

from schemas.base import NS_PER_MS


class Alarm:
    """Rings at the earliest deadline it was set to.

    It may ring early, for a deadline that has moved since: whoever hears it looks at the time
    and sets it anew. So a deadline that moves with every message costs no timer every time.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._at_ns = 0

    def set(self, at_ns: int | None, now_ns: int) -> None:
        """Ring at `at_ns` at the latest; `None` asks for nothing."""
        if at_ns is None or (self._timer is not None and self._at_ns <= at_ns):
            return
        self.cancel()
        self._at_ns = at_ns
        # Whole milliseconds, upwards and never zero: uvloop rounds, and a timer that fires
        # before the deadline would be set again and again until it has come.
        wait_ms = max(1, -((now_ns - at_ns) // NS_PER_MS))
        self._timer = self._loop.call_later(wait_ms / 1_000, self._on_time)

    def cancel(self) -> None:
        """Do not ring."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_time(self) -> None:
        self._timer = None
        self._ring()
