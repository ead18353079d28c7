"""Run one core on the bus. It carries; it decides nothing."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from schemas.base import BootId, Event
from schemas.control import ControlAnswered
from schemas.errors import BusError, WireError
from schemas.health import LinkChanged
from schemas.subjects import HALTING, QUERY, subjects_of
from services.core import NOTHING, Core
from services.runtime.alarm import Alarm
from services.runtime.fastpath import BusConnection
from services.runtime.inbound import dead_letter, read_events
from services.runtime.outbound import Outbox
from services.runtime.requests import REPLY_PREFIX, RequestKind, Requests
from services.runtime.sequence import Sequences
from services.runtime.step import Adapter, Journal, Post, Stepper
from services.tellers import teller_of

__all__ = ["Adapter", "Journal", "Live", "Post", "RequestKind"]

SETTLE_TIMEOUT_S = 2


class Live:
    """One core on the bus.

    Attributes:
        received_count: messages taken in.
        dead_letter_count: messages nobody could read.
        age_ns_max: age of the oldest event taken in since `take_age_ns`; None: none came.
        outbox: what was published, and what could not be.
        meter: what this process counts while it works.
        sequences: holes seen in what others publish.
        listening: set once the server has every subscription.
    """

    def __init__(
        self,
        core: Core,
        connection: BusConnection,
        *,
        name: str,
        boot_id: BootId,
        clock: Callable[[], int],
        adapter: Adapter | None = None,
        journal: Journal | None = None,
        requests: Mapping[str, RequestKind] | None = None,
    ) -> None:
        src = teller_of(name, boot_id)
        self.received_count = self.dead_letter_count = 0
        self.age_ns_max: int | None = None
        self.outbox, self.sequences = Outbox(connection, src), Sequences(is_listening=False)
        self.meter = self.outbox.meter
        self._requests = Requests(requests or {}, src)
        self._stepper = Stepper(
            core,
            clock,
            self.outbox,
            self._requests,
            adapter,
            journal,
            self._commit_soon,
            self.outbox.meter,
        )
        self._core, self._connection, self._adapter = core, connection, adapter
        self._name, self._clock, self._query = name, clock, f"{QUERY}.{name}"
        self._inbox: deque[Sequence[Event]] = deque()
        self.listening = asyncio.Event()
        self._is_stepping = self._is_serving = self._is_commit_due = False

    async def run(self, elsewhere: frozenset[type[Event]] = frozenset()) -> None:
        """Serve until cancelled; cancelling is the one way to stop.

        Args:
            elsewhere: events the core hears another way (the control link posts them); they are
                not subscribed to.

        Raises:
            BusError: the connection is lost for good.
            Exception: what the core raised, after an alert; the process must end.
        """
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._alarm = Alarm(self.post)
        self._is_serving = True
        self._connection.on_link.append(self._on_link)
        try:
            if self._adapter is not None:
                await self._adapter.open(self.post)
            for subject in self._subjects(elsewhere):
                await self._connection.take(subject, self._take)
            await self._connection.flush()
            self.sequences.is_listening = True
            self.listening.set()
            self.post()  # a deadline that the core has from its restored state
            await self._ended
        finally:
            self._commit()
            if self._adapter is not None:
                await self._adapter.close()
            self._is_serving = False
            self._alarm.cancel()
            self._connection.on_link.remove(self._on_link)
            await self._connection.settle(SETTLE_TIMEOUT_S)  # what was said last is not lost

    def post(self, *events: Event) -> None:
        """Tell the core these events as one step: at once, or right after the one running."""
        self._inbox.append(events)
        if not self._is_stepping:
            self._work(lambda: None)

    def _work(self, first: Callable[[], None]) -> None:
        """Do `first`, then take what is in the inbox; what comes meanwhile waits its turn."""
        self._is_stepping = True
        try:
            first()
            while (self._inbox or self._is_commit_due) and self._is_serving:
                if not self._inbox:
                    self._is_commit_due = False
                    self._stepper.commit()
                    continue
                now_ns = self._stepper.step(self._inbox.popleft())
                due_ns = self._core.wake_at_ns
                if due_ns is not None and due_ns <= now_ns and not self._inbox:
                    self._inbox.append(NOTHING)  # what could wait until the answer had left
                    continue
                self._alarm.set(due_ns, now_ns)
                self.outbox.report_losses(component=self._name, now_ns=now_ns)
        except Exception as error:  # `run` raises it where the process can end
            self._fail(error)
        finally:
            self._is_stepping = False

    def _commit_soon(self) -> None:
        """Commit with what is already read and still to be told; at once where that is nothing."""
        if self._connection.has_more_read:
            asyncio.get_running_loop().call_soon(self._commit)
        else:
            self._is_commit_due = True

    def _commit(self) -> None:
        self._work(self._stepper.commit)

    @property
    def waiting_count(self) -> int:
        """Steps that are read and not yet told."""
        return len(self._inbox)

    def now_ns(self) -> int:
        """Return the time that the core would be told now, in ns since the epoch."""
        return self._clock()

    def describe(self) -> Event:
        """Return the service's own report, as to whoever asks on `query.<service>`."""
        return self._core.describe(self._clock())

    def publish(self, *events: Event) -> None:
        """Publish what the runtime itself has to say (health, alerts), stamped like the rest."""
        self.outbox.publish(events)

    def take_age_ns(self) -> int | None:
        """Return the age of the oldest event since this was last asked; None: none came."""
        found, self.age_ns_max = self.age_ns_max, None
        return found

    def _subjects(self, elsewhere: frozenset[type[Event]]) -> list[str]:
        heard = [event for event in self._core.hears if event not in elsewhere]
        subjects = subjects_of(*heard)
        below = [f"{each}.>" for each in HALTING if each in subjects]
        return [*subjects, *below, *self._requests.kinds, self._query]

    def _take(self, subject: str, data: bytes, reply: str) -> int:
        """Carry one message, in the read path; return how many events it held."""
        self.received_count += 1
        try:
            return self._carry(subject, data, reply, self._clock())
        except Exception as error:
            self._fail(error)
        return 1

    def _carry(self, subject: str, data: bytes, reply: str, now_ns: int) -> int:
        if subject == self._query:
            if reply.startswith(REPLY_PREFIX):
                self.outbox.reply(reply, self._core.describe(now_ns))
            return 1
        if subject in self._requests.kinds:
            event = self._requests.read(data, subject=subject, reply=reply, now_ns=now_ns)
            if isinstance(event, ControlAnswered):
                self._stepper.emit([event], now_ns)
            elif event is not None:
                self.post(event)
            return 1
        try:
            events = read_events(data, subject=subject, now_ns=now_ns)
        except WireError as error:
            self.dead_letter_count += 1
            self.publish(dead_letter(data, error, component=self._name, now_ns=now_ns))
            return 1
        if events and (made_ns := events[0].at_ns):
            age_ns = now_ns - made_ns
            if self.age_ns_max is None or age_ns > self.age_ns_max:
                self.age_ns_max = age_ns
            self.meter.took_in(events, now_ns)
        self.post(*self.sequences.with_gaps(events, subject=subject, now_ns=now_ns))
        return len(events)

    def _on_link(self, is_up: bool, detail: str) -> None:
        if self._connection.is_closed:
            self._fail(BusError("SLU-122", found=f"the connection is lost for good: {detail}"))
            return
        self.post(LinkChanged(at_ns=self._clock(), is_up=is_up, detail=detail))

    def _fail(self, error: Exception) -> None:
        """End: nothing more is told, and `run` raises."""
        self._is_serving = False
        if not self._ended.done():
            self._ended.set_exception(error)
        self.outbox.report_failure(error, component=self._name, now_ns=self._clock())
