"""A small warm process that forks a session's process in milliseconds.

    python -m services.strategy.isolated.zygote FD

It is made by exec, so that it has no descriptor, no key and no environment of the service; it runs
no strategy itself. Each message on the socket FD brings one end of a socket pair; the answer is
the process id of the child that now listens there. Its own end, however it comes, ends every
child: the kernel sees to it.
"""

import contextlib
import ctypes
import gc
import os
import signal
import socket
import sys
import traceback

from services.strategy.isolated import child

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Fork until the service has gone."""
    control = socket.socket(fileno=int(sys.argv[1]))
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the service's affair
    signal.signal(signal.SIGCHLD, _reap)
    gc.collect()
    gc.freeze()  # a child's collector writes to none of it, so that all children share the pages
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            sys.exit(0)
        [descriptor] = descriptors
        pid = os.fork()
        if pid == 0:
            control.close()
            _be_child(descriptor)
        os.close(descriptor)
        control.sendall(pid.to_bytes(4, "little"))


def _be_child(descriptor: int) -> None:
    """Never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()  # what it starts can be ended with it
    _die_with_parent()
    try:
        child.run(socket.socket(fileno=descriptor))
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)  # the manager has gone, or wants nothing more
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _die_with_parent() -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _reap(_number: int, _frame: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    main()
