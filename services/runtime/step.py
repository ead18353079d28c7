"""One step of a core: told, then journalled, then acted on, then published."""

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec.structs import force_setattr

from schemas.base import Event
from schemas.control import ControlAnswered
from schemas.orders import SignalDecided
from schemas.subjects import INTERNAL
from services.core import NOTHING, Core, tell
from services.runtime.meter import STEPS_PER_SAMPLE, Meter
from services.runtime.outbound import Outbox
from services.runtime.requests import Requests


class Post(Protocol):
    """Tell the core: from the event loop's thread only."""

    def __call__(self, *events: Event) -> None:
        """Tell these events as one step: at once, or right after the step that is running.

        What the core says to several events on one subject leaves as one frame, so an adapter
        that has several ready posts them together.
        """


class Adapter(Protocol):
    """The impure part of a service, if it has one."""

    async def open(self, post: Post) -> None:
        """Start; from now on `post` may be called, from the event loop's thread only."""

    def act(self, event: Event, now_ns: int) -> None:
        """Do what the core said with an internal event, at once; may post, never awaits."""

    async def close(self) -> None:
        """Stop, and let go of everything held."""


class Journal(Protocol):
    """Where the kept events go before anything is published."""

    def append(self, events: Sequence[Event], *, fsync: bool) -> None:
        """Write the events; with `fsync` they are on the disk when this returns."""


class Stepper:
    """Takes a core through its steps.

    What must be on the disk before anything follows from it (`Core.fsyncs`) is committed in
    groups: such a step, and all after it, wait for one write and one fsync at the end of the
    loop's turn. One alone waits for no other; a burst shares the disk.

    Args:
        core: the service.
        clock: read before each event that is told.
        outbox: publishes what the core says.
        requests: knows who waits for which answer.
        adapter: does what the core says with internal events.
        journal: keeps what the core's state is a fold of.
        commit_soon: asks the shell to call `commit` at the end of the loop's turn.
        meter: counts how long things take.
    """

    def __init__(
        self,
        core: Core,
        clock: Callable[[], int],
        outbox: Outbox,
        requests: Requests,
        adapter: Adapter | None,
        journal: Journal | None,
        commit_soon: Callable[[], None],
        meter: Meter,
    ) -> None:
        self._core, self._clock, self._outbox, self._requests = core, clock, outbox, requests
        self._adapter, self._journal = adapter, journal
        self._hears, self._keeps = core.hears, core.keeps
        self._fsyncs: frozenset[type[Event]] = getattr(core, "fsyncs", frozenset())
        self._kept: list[Event] = []
        self._held: list[tuple[Sequence[Event], int]] = []  # said, and waiting for the disk
        self._commit_soon = commit_soon
        self._meter, self._step_count = meter, 0

    def step(self, events: Sequence[Event]) -> int:
        """Tell the events that the core hears, or (none given) that time has passed.

        Return when the clock was last read.
        """
        now_ns = self._clock()
        said = NOTHING if events else self._told(None, now_ns)
        is_first = True
        for event in events:
            if type(event) in self._hears:
                now_ns = now_ns if is_first else self._clock()
                is_first = False
                answers = self._told(event, now_ns)
                said = [*said, *answers] if said else answers
        if self._held or any(type(event) in self._fsyncs for event in self._kept):
            if not self._held:
                self._commit_soon()
            self._held.append((said, now_ns))
            return now_ns
        if self._kept:
            self._write_journal(fsync=False)
        if said:
            self.emit(said, now_ns)
        self._step_count += 1
        if self._step_count % STEPS_PER_SAMPLE == 0:
            self._meter.steps.add(self._clock() - now_ns)
        return now_ns

    def commit(self) -> None:
        """Put on the disk what is kept, and then let out what was said, in that order."""
        held, self._held = self._held, []
        if held:
            self._write_journal(fsync=True)
        for said, now_ns in held:
            self.emit(said, now_ns)

    def emit(self, said: Sequence[Event], now_ns: int) -> None:
        """Do what is internal at once, in the order said; then publish the rest."""
        public: list[Event] = []
        for event in said:
            if type(event) not in INTERNAL:
                public.append(event)
            elif self._adapter is not None:
                self._adapter.act(event, now_ns)
        if public:
            self._outbox.publish(public)
        for event in public:
            if isinstance(event, ControlAnswered) and (to := self._requests.reply_for(event)):
                self._outbox.reply(to, event)

    def _told(self, event: Event | None, now_ns: int) -> Sequence[Event]:
        due_ns = self._core.wake_at_ns
        if event is not None and due_ns is not None and due_ns <= now_ns:
            # Told apart, so that the journal has both in the order in which they changed the state.
            return [*self._told(None, now_ns), *self._told(event, now_ns)]
        answers = tell(self._core, event, now_ns)
        if self._keeps:
            if event is not None and type(event) in self._keeps:
                self._kept.append(event)
            self._kept += [each for each in answers if type(each) in self._keeps]
        for each in answers:
            if type(each) is SignalDecided:
                took_ns = self._clock() - now_ns
                force_setattr(each, "took_ns", took_ns)
                self._meter.decisions.add(took_ns)
        return answers

    def _write_journal(self, *, fsync: bool) -> None:
        kept, self._kept = self._kept, []
        if self._journal is None or not kept:
            return
        if not fsync:
            self._journal.append(kept, fsync=False)
            return
        before_ns = self._clock()
        self._journal.append(kept, fsync=True)
        self._meter.syncs.add(self._clock() - before_ns)
