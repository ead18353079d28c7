"""One process's line: bounded both ways, never waited for, and timed."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable

from services.strategy.isolated.forking import Child
from services.strategy.isolated.frames import ANSWER_BYTES_MAX, Reader

UNANSWERED_MAX = 64
"""Frames that a process may have unanswered; more wait here. A count."""

PASSED_OVER_S_MAX = 1.0
"""How long newer quotes may push one behind all else; then one of them keeps its place."""

READ_BYTES = 65_536


class Line:
    """Frames to one process, in the order of time, and its answers.

    Attributes:
        pid: of the process.
        on_answer: called with each answer.
        on_lost: called once, with the reason, when the process ended, was late, fell behind or
            broke the rules.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, child: Child, answer_ms_max: int, behind_max: int
    ) -> None:
        self.pid = child.pid
        self.on_answer: Callable[[bytes], None] = lambda _data: None
        self.on_lost: Callable[[str], None] = lambda _why: None
        self._loop, self._child = loop, child
        self._answer_ms_max, self._behind_max = answer_ms_max, behind_max
        self._reader = Reader(ANSWER_BYTES_MAX)
        self._due_s: deque[float] = deque()
        self._waiting: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._turns: dict[str, tuple[int, float]] = {}
        self._number = self._behind = 0
        self._unsent = bytearray()
        self._is_open = True
        child.socket.setblocking(False)
        loop.add_reader(child.socket.fileno(), self._read)

    @property
    def is_idle(self) -> bool:
        """Whether everything it was told is answered."""
        return not (self._due_s or self._waiting)

    def begin(self, frame: bytes, load_ms_max: int) -> None:
        """Send the first frame, which may take longer to be answered."""
        self._send(frame, load_ms_max)

    def tell(self, frame: bytes, conflated: str = "") -> None:
        """Send a frame, or have it wait; of conflated ones the older is dropped, wherever it is.

        The newer does not take its place: time would run backwards for the process.
        """
        if not self._is_open:
            return
        if len(self._due_s) < UNANSWERED_MAX and not self._waiting:
            self._send(frame, self._answer_ms_max)
            return
        if conflated:
            self._waiting[conflated, self._turn(conflated)] = frame
            return
        self._number += 1
        self._waiting["", self._number] = frame
        self._behind += 1
        if self._behind > self._behind_max:
            self._lose(f"it fell behind by more than {self._behind_max} events")

    def _turn(self, conflated: str) -> int:
        """Return which of two places a newer frame waits in, the older one taken away.

        Who moves more often than the process answers would be pushed back for ever: after a while
        one keeps its place as it is, and the newer ones wait in the other.
        """
        turn, since_s = self._turns.get(conflated, (0, 0.0))
        now_s = self._loop.time()
        if (conflated, turn) not in self._waiting:
            since_s = now_s
        elif now_s - since_s < PASSED_OVER_S_MAX or (conflated, 1 - turn) in self._waiting:
            del self._waiting[conflated, turn]
        else:
            turn, since_s = 1 - turn, now_s
        self._turns[conflated] = turn, since_s
        return turn

    def look(self) -> None:
        """Lose the process if its oldest answer is overdue."""
        if self._due_s and self._loop.time() > self._due_s[0]:
            self._lose("it did not answer in time")

    def close(self) -> None:
        """Kill the process, and forget what it was still to be told."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._child.socket.fileno())
            self._loop.remove_writer(self._child.socket.fileno())
            self._child.kill()

    def _send(self, frame: bytes, limit_ms: int) -> None:
        # Each has its time from when the one before was due: a process takes them one by one.
        self._due_s.append(self._loop.time() + limit_ms / 1_000)
        self._unsent += frame
        self._write()

    def _write(self) -> None:
        try:
            sent = self._child.socket.send(self._unsent)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            return  # its end is read where its answers are
        del self._unsent[:sent]
        fileno = self._child.socket.fileno()
        if self._unsent:
            self._loop.add_writer(fileno, self._write)
        else:
            self._loop.remove_writer(fileno)

    def _read(self) -> None:
        try:
            data = self._child.socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._lose("its process ended")
            return
        try:
            frames = self._reader.feed(data)
        except ValueError as error:
            self._lose(f"it sent {error}")
            return
        for frame in frames:
            if not self._is_open:
                return
            if not self._due_s:
                self._lose("it spoke without being told anything")
                return
            self._due_s.popleft()
            self._advance()
            self.on_answer(frame)

    def _advance(self) -> None:
        now_s = self._loop.time()
        if self._due_s:  # the next one begins only now
            self._due_s[0] = max(self._due_s[0], now_s + self._answer_ms_max / 1_000)
        while self._waiting and len(self._due_s) < UNANSWERED_MAX:
            (conflated, _), frame = self._waiting.popitem(last=False)
            self._behind -= not conflated
            self._send(frame, self._answer_ms_max)

    def _lose(self, why: str) -> None:
        on_lost = self.on_lost
        self.close()
        on_lost(why)
