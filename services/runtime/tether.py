"""Run a program so that it never outlives us.

    SLUICE_PARENT_FD=5 python -m services.runtime.tether nats-server -c ...

On Linux the kernel ends every process with the supervisor that made it, whatever state it is in.
Elsewhere our own processes watch a pipe that closes when the supervisor is gone, however it went;
for a foreign program, which does not, this process stays and watches.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
from types import FrameType

PARENT_FD = "SLUICE_PARENT_FD"
"""Number of an open pipe's reading end; end of file there means that the parent is gone."""

PR_SET_PDEATHSIG = 1
WATCH_EVERY_MS = 250
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform.startswith("linux") else None
"""Loaded before any fork: a child must not load anything."""


def main() -> None:
    """Become the program that the arguments name, or watch over it."""
    parent_fd, command = int(os.environ.pop(PARENT_FD)), sys.argv[1:]
    if not sys.platform.startswith("linux"):
        sys.exit(_watch_over(command, parent_fd))
    die_with_parent()
    if _is_closed(parent_fd, timeout_ms=0):
        sys.exit("tether: the supervisor ended before its child began")
    os.close(parent_fd)
    os.execvp(command[0], command)


def die_with_parent() -> None:
    """Have the kernel end this process when the thread that made it ends; Linux alone can.

    Called right after the fork, so that there is no moment in which it could be left behind. A
    program that is started in its place keeps it.

    Raises:
        OSError: the kernel refuses.
    """
    # SIGKILL: it works on a stopped process too. What was acknowledged to anybody survives it.
    if _libc is not None and _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _watch_over(command: list[str], parent_fd: int) -> int:
    """Run the program as a child, hand signals on, and end it when the parent is gone."""
    child = subprocess.Popen(command)

    def hand_on(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    signal.signal(signal.SIGTERM, hand_on)
    signal.signal(signal.SIGINT, hand_on)
    signal.signal(signal.SIGUSR1, hand_on)
    while child.poll() is None:
        if _is_closed(parent_fd, timeout_ms=WATCH_EVERY_MS):
            child.kill()
            child.wait()
    return child.returncode


def _is_closed(parent_fd: int, timeout_ms: int) -> bool:
    """Return whether nobody holds the writing end any more; waits that long for it to happen."""
    poll = select.poll()
    poll.register(parent_fd, select.POLLIN | select.POLLHUP)
    return bool(poll.poll(timeout_ms))


if __name__ == "__main__":
    main()
