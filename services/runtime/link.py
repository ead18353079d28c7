"""The control link: a component's guard on a thread, a loop and a connection of its own.

A halt must never queue behind market data or behind a main loop that is busy. What arrives here is
taken in the reader itself, and the guard halts, or restricts, before one byte is decoded. Then a
send that is under way is waited out, and only then the halt is acknowledged: after the
acknowledgement nothing of an earlier epoch is written to a venue (I1, I3, I10).
"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Container
from concurrent.futures import Future

import uvloop

from schemas import wire
from schemas.base import Event
from schemas.control import EpochEnded, EpochStarted, HaltAcknowledged, HaltRequested, LeaseAnswered
from schemas.errors import BusError, WireError
from schemas.health import LinkChanged
from schemas.restrictions import (
    ALL,
    Level,
    LocksChanged,
    RestrictionAcknowledged,
    RestrictionRequested,
)
from schemas.subjects import HALT, REDUCE, SUBJECTS, subjects_of
from services.control import ControlGuard
from services.core import tell
from services.runtime.alarm import Alarm
from services.runtime.fastpath import BusConnection
from services.runtime.inbound import dead_letter, read_events
from services.runtime.outbound import Outbox
from services.runtime.requests import REPLY_PREFIX

STOP_TIMEOUT_S = 2.0


class ControlLink:
    """Tells one guard what is on the control subjects, and says what the guard says.

    Args:
        guard: the component's; told on the link's thread alone, read from any.
        open_connection: opens the link's own connection; called on the link's thread.
        post: hands a halt to the main core; called on the link's thread, so safe to call there.
        clock: returns now, in ns since the epoch.
        lock: the barrier: whoever writes to a venue holds it around the last check and the write.
    """

    def __init__(
        self,
        guard: ControlGuard,
        open_connection: Callable[[], Awaitable[BusConnection]],
        *,
        post: Callable[[Event], object],
        clock: Callable[[], int],
        lock: threading.Lock,
    ) -> None:
        self._ended: Future[None] = Future()
        self._opened: Future[None] = Future()
        self._guard = guard
        self._open_connection = open_connection
        self._post = post
        self._clock = clock
        self._lock = lock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="control-link", daemon=True)
        guard.handle(LinkChanged(at_ns=clock(), is_up=False), clock())

    async def open(self) -> None:
        """Start the thread; return once every control subject is heard.

        Raises:
            BusError: the bus cannot be reached, or does not let us in.
        """
        self._thread.start()
        await asyncio.wrap_future(self._opened)

    async def close(self) -> None:
        """End the thread. The component stays halted from here on."""
        if self._loop is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # its loop may have ended by itself just now
                self._loop.call_soon_threadsafe(self._end, None)
            await asyncio.to_thread(self._thread.join, STOP_TIMEOUT_S)

    async def wait(self) -> None:
        """Wait for the thread to end.

        Raises:
            Exception: what ended it, if it was not asked to.
        """
        await asyncio.wrap_future(self._ended)

    def _run(self) -> None:
        """The thread, from its first step to its last."""
        error: BaseException | None = None
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        except BaseException as broken:
            error = broken
        self._guard.halt()  # whoever cannot hear must not act, for whatever reason
        for future in (self._opened, self._ended):
            if not future.done() and error is None:
                future.set_result(None)
            elif not future.done():
                future.set_exception(error)

    async def _serve(self) -> None:
        self._stopped = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(lambda: self._step(None))
        self._connection = await self._open_connection()
        try:
            source = f"{self._guard.component}-{self._guard.boot_id}"
            self._outbox = Outbox(self._connection, source)
            self._connection.on_link.append(self._on_link)
            await self._listen(self._connection)
            self._step(LinkChanged(at_ns=self._clock(), is_up=True))
            self._opened.set_result(None)
            await self._stopped
        finally:
            await self._connection.close()

    async def _listen(self, connection: BusConnection) -> None:
        """Subscribe to what the guard lives by: halts, epochs, and answers about its own lease."""
        leased = SUBJECTS[LeaseAnswered].replace("*", self._guard.component)
        for subject in (HALT, f"{HALT}.>", REDUCE, f"{REDUCE}.>"):
            await connection.take(subject, self._on_halt)
        for subject in (*subjects_of(EpochStarted, EpochEnded, LocksChanged), leased):
            await connection.take(subject, self._on_message)
        await connection.flush()

    def _on_halt(self, subject: str, data: bytes, reply: str) -> None:
        """Halt, wait out a send that is under way, acknowledge; only then look at the bytes.

        The subject alone says what is forbidden: of everything a halt, of a part a restriction.
        """
        guard = self._guard
        scope, level = wire.forbidden_by(subject)
        is_full = scope == ALL and level is Level.HALT
        guard.halt() if is_full else guard.restrict(scope, level)
        try:
            now_ns = self._clock()
            if is_full:
                self._acknowledge(guard.acknowledgement(now_ns), reply)
            else:
                self._acknowledge(guard.restriction_acknowledgement(scope, level, now_ns), reply)
            self._post(wire.halt_from(data, subject=subject, at_ns=self._clock()))
        except Exception as error:
            self._end(error)

    def _on_message(self, subject: str, data: bytes, reply: str) -> None:
        now_ns = self._clock()
        try:
            events = read_events(data, subject=subject, now_ns=now_ns)
        except WireError as error:
            name = self._guard.component
            self._outbox.publish([dead_letter(data, error, component=name, now_ns=now_ns)])
            return
        for event in events:
            if type(event) in self._guard.hears:
                self._step(event)

    def _on_link(self, is_up: bool, detail: str) -> None:
        self._step(LinkChanged(at_ns=self._clock(), is_up=is_up, detail=detail))
        if self._connection.is_closed:
            wanted = "a control connection: without it nothing may be sent"
            self._end(BusError("SLU-122", found=detail, wanted=wanted))

    def _step(self, event: Event | None) -> None:
        """Tell the guard, and say what it says. A guard that breaks halts its component."""
        try:
            now_ns = self._clock()
            before = self._guard.restrictions
            for said in tell(self._guard, event, now_ns):
                if isinstance(said, HaltAcknowledged):
                    self._acknowledge(said, "")
                    continue
                self._outbox.publish([said])
                if isinstance(said, HaltRequested):
                    self._post(said)
            self._learn(before, now_ns)
            self._alarm.set(self._guard.wake_at_ns, now_ns)
        except Exception as error:
            self._guard.halt()
            self._end(error)

    def _learn(self, before: Container[tuple[str, Level]], now_ns: int) -> None:
        """Hand on restrictions that came with an epoch or a lease: their message was missed."""
        for (scope, level), each in self._guard.restrictions.items():
            if (scope, level) in before:
                continue
            self._acknowledge(self._guard.restriction_acknowledgement(scope, level, now_ns), "")
            missed = RestrictionRequested(
                at_ns=now_ns,
                level=level,
                scope=scope,
                reason=each.reason,
                operator=each.operator,
            )
            self._post(missed)

    def _acknowledge(
        self, acknowledgement: HaltAcknowledged | RestrictionAcknowledged, reply: str
    ) -> None:
        """Say that nothing more is sent: true once whoever holds the lock has let go of it."""
        with self._lock:
            pass
        self._outbox.publish([acknowledgement])
        if reply.startswith(REPLY_PREFIX):
            self._outbox.reply(reply, acknowledgement)

    def _end(self, error: Exception | None) -> None:
        """Let `_serve` end, well or with an error. On the link's thread only."""
        if self._stopped.done():
            return
        if error is None:
            self._stopped.set_result(None)
        else:
            self._stopped.set_exception(error)
