"""A process that answers what somebody wrote: it may use so much memory, and is killed when late.

It is started by the first question and kept for the next. Of its own it looks at the clock, too;
but what a planner folds or one function does with one value goes on until it is done.
"""

import contextlib
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from schemas.errors import StateError
from schemas.reports import QueryAnswer, QueryRequest
from services.recorder.queries.asking import late, refused
from services.recorder.queries.opening import SPILL_FOLDER, Limits

MODULE = "services.recorder.queries.answering"
START_S, OPEN_S = 30.0, 10.0
"""Longest waits for a process, and for the file that it opens: a busy machine takes long."""

GRACE_S = 0.5
"""How long after its time a question may still be answered by itself."""

PIPE_BYTES = 65_536
STAYS, GOES = b"+", b"-"
"""What an answer begins with: whether its process waits for the next question."""


class Apart:
    """One such process at the most; one question at a time, while the file is its own."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self._process: subprocess.Popen[bytes] | None = None
        self._read = b""

    def begin(self) -> None:
        """Start the process where there is none; returns when it waits for a question.

        It ends with the thread that calls this: of a service one that lives as long as it does.

        Raises:
            StateError: SLU-141 it cannot be started.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        numbers = (str(self._limits.memory_mb), str(self._limits.threads))
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(self._folder), *numbers],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # it may die loudly; what became of it is the answer
            )
            self._line(START_S)
        except (OSError, EOFError) as error:
            self.close()
            found, wanted = f"no process for a query: {error}", "room for one more process"
            raise StateError("SLU-141", path=self._folder, found=found, wanted=wanted) from error

    def ask(self, request: QueryRequest) -> QueryAnswer:
        """Return the answer to a question; a process that is late or dies is the reason for none.

        Raises:
            StateError: SLU-141 no process takes it.
        """
        try:
            self._put(msgspec.json.encode(request) + b"\n")
            self._line(OPEN_S)
            told = self._line(request.timeout_ms / 1_000 + GRACE_S)
            answer = msgspec.json.decode(told[1:], type=QueryAnswer)
        except TimeoutError:
            self.close()
            return late(request)
        except (OSError, EOFError, msgspec.DecodeError, RecursionError):
            self.close()
            found = "a query that ended the process that was to answer it"
            return refused("sql", found, "less at once: of memory, or of depth")
        if told[:1] != STAYS:
            self.close()
        return answer

    def close(self) -> None:
        """End the process, whatever it is at, and remove what it left on the disk."""
        process, self._process, self._read = self._process, None, b""
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None, "a pipe was asked for"
                with contextlib.suppress(OSError):  # what was not read yet is for nobody
                    pipe.close()
        shutil.rmtree(self._folder / SPILL_FOLDER, ignore_errors=True)

    def _put(self, line: bytes) -> None:
        assert self._process is not None, "it was begun"
        assert self._process.stdin is not None, "a pipe was asked for"
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def _line(self, within_s: float) -> bytes:
        """Return the next line that the process writes.

        Raises:
            EOFError: it has ended.
            TimeoutError: there was none in this time.
        """
        assert self._process is not None, "it was begun"
        assert self._process.stdout is not None, "a pipe was asked for"
        output, until_s = self._process.stdout.fileno(), time.monotonic() + within_s
        poll = select.poll()
        poll.register(output, select.POLLIN)
        while b"\n" not in self._read:
            left_ms = (until_s - time.monotonic()) * 1_000
            if left_ms <= 0 or not poll.poll(left_ms):
                raise TimeoutError
            part = os.read(output, PIPE_BYTES)
            if not part:
                raise EOFError
            self._read += part
        line, _, self._read = self._read.partition(b"\n")
        return line
