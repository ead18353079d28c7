"""Start processes for sessions: a warm parent of theirs, and what is held of each child."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys

from services.strategy.isolated.frames import ANSWER_BYTES_MAX, Opening, Reader, framed

FORK_TIMEOUT_S = 2.0
READY_TIMEOUT_S = 20.0
READ_BYTES = 65_536
KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "HOME")
"""Of the service's environment, which may hold secrets, only these go on."""


class Child:
    """One process, and our end of its socket.

    Attributes:
        pid: of the process.
        socket: ours; not blocking.
    """

    def __init__(self, pid: int, ours: socket.socket) -> None:
        self.pid, self.socket = pid, ours
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:  # it has ended already
            self._pidfd = -1

    def kill(self) -> None:
        """End it, and what it started, at once and for certain; close our end."""
        self.socket.close()
        if self._pidfd < 0:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if not select.select([self._pidfd], [], [], 0)[0]:  # its id is still its own
                os.killpg(self.pid, signal.SIGKILL)
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        os.close(self._pidfd)
        self._pidfd = -1


class Zygote:
    """The warm parent. It is made by exec, and holds nothing of ours."""

    def __init__(self) -> None:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with its:
            command = [sys.executable, "-m", "services.strategy.isolated.zygote", str(its.fileno())]
            kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
            self._process = subprocess.Popen(
                command, pass_fds=(its.fileno(),), env=kept, stdin=subprocess.DEVNULL
            )
        ours.settimeout(READY_TIMEOUT_S)  # the first fork waits until it is warm
        self._socket = ours

    def fork(self) -> Child:
        """Return a new process, which waits for its first frame.

        Raises:
            OSError: the warm parent has gone.
        """
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with its:
            socket.send_fds(self._socket, [b"f"], [its.fileno()])
        answer = self._socket.recv(4)
        if len(answer) < 4:
            ours.close()
            raise OSError("the parent of session processes has ended")
        self._socket.settimeout(FORK_TIMEOUT_S)
        return Child(int.from_bytes(answer, "little"), ours)

    def close(self) -> None:
        """End it; the kernel ends every child with it."""
        self._socket.close()
        self._process.kill()
        self._process.wait()


def ask(child: Child, opening: Opening, timeout_s: float) -> bytes:
    """Return the one answer to an opening, for before the service serves; then end the child.

    Raises:
        OSError: it ended, or did not answer in time.
        ValueError: its answer is too long.
    """
    reader = Reader(ANSWER_BYTES_MAX)
    try:
        child.socket.settimeout(timeout_s)
        child.socket.sendall(framed(opening))
        while data := child.socket.recv(READ_BYTES):
            if frames := reader.feed(data):
                return frames[0]
        raise OSError("it ended while loading")
    finally:
        child.kill()
