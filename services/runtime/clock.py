"""The one clock of a live process."""

import time


def _boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


elapsed_ns = _boottime_ns if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic_ns
"""Return ns since the machine started. Counts through suspend where the system can tell."""


class Clock:
    """Returns now, in ns since the Unix epoch: the wall clock at the start, plus what has elapsed.

    A wall clock that is set back or jumps does not move it, and it goes on while the machine
    sleeps: a lease must not survive a suspend.
    """

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - elapsed_ns()

    def __call__(self) -> int:
        """Return now; never less than before."""
        return self._offset_ns + elapsed_ns()
