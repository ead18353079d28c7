"""Run a program that is not ours so that it never outlives us.

    SLUICE_PARENT_FD=5 python -m services.runtime.tether nats-server -c ...

Our own processes watch a pipe that closes when the supervisor is gone, however it went. A foreign
program does not. On Linux the kernel ends it for us; elsewhere this process stays and watches.
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


def main() -> None:
    """Become the program that the arguments name, or watch over it."""
    parent_fd, command = int(os.environ.pop(PARENT_FD)), sys.argv[1:]
    if not sys.platform.startswith("linux"):
        sys.exit(_watch_over(command, parent_fd))
    # SIGKILL: it works on a stopped process too. What JetStream has acknowledged survives it.
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        sys.exit(f"tether: prctl failed: {os.strerror(ctypes.get_errno())}")
    if _is_closed(parent_fd, timeout_ms=0):
        sys.exit("tether: the supervisor ended before its child began")
    os.close(parent_fd)
    os.execvp(command[0], command)


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
