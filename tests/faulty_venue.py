"""A paper exchange that behaves as venues do on a bad day, behind the real door, and its caller."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from schemas.base import NS_PER_S, Event, OrderId
from schemas.orders import Order
from schemas.venue import VenueAccepted, VenueCanceled, VenueFilled, VenueMessage
from services.core import tell
from services.executor.config import ExecutorConfig, VenueConfig
from services.executor.core import ExecutorCore
from services.executor.venues.matching import REQUESTS, VenueCore
from services.executor.venues.paper_client import PaperClient
from services.executor.venues.paper_server import PaperServer
from tests.builders import quote
from tests.executor_builders import approved, executor, guard, venue

WAIT_S = 10.0
QUICK = ExecutorConfig(
    answer_timeout_ms=100,
    query_every_ms=50,
    reconcile_every_s=0,
    report_every_ms=0,
    reconnect_min_ms=10,
    reconnect_max_ms=20,
)


class Faults(msgspec.Struct):
    """What is wrong with it; each counts how often it came about."""

    is_mute: bool = False
    """It does what is asked, and answers no order or cancel: only questions."""

    acknowledges_twice: bool = False
    fills_after_cancel: bool = False
    """The report of a cancel overtakes the execution that came before it."""

    is_disordered: bool = False
    """Of two executions of an order, the second is reported first."""

    came_about_count: int = 0


class FaultyVenue:
    """The real matching and the real socket; in between, reports are bent.

    Attributes:
        core: what the venue holds, and that is the truth.
        faults: may be changed while it runs.
    """

    def __init__(self, folder: Path, config: VenueConfig | None = None) -> None:
        self.core: VenueCore = venue(config)
        self.faults = Faults()
        self.file = folder / "run" / "venue.json"
        self.server = PaperServer(config or VenueConfig(), self.file)
        self._held: list[VenueMessage] = []

    def post(self, *events: Event) -> None:
        """Tell the venue, as its door does; what it says goes out bent."""
        for event in events:
            said = tell(self.core, event, time.time_ns())
            for report in self._bent([e for e in said if isinstance(e, VenueMessage)]):
                self.server.act(report, 1)

    def _bent(self, said: Sequence[VenueMessage]) -> list[VenueMessage]:
        faults, sent = self.faults, list(said)
        before = list(sent)
        told = (VenueAccepted, VenueFilled, VenueCanceled)
        if faults.is_mute:
            sent = [each for each in sent if not isinstance(each, told)]
        if faults.acknowledges_twice:
            sent = [e for each in sent for e in [each] * (1 + isinstance(each, VenueAccepted))]
        if faults.fills_after_cancel:
            sent = self._overtaken(sent)
        fills = [each for each in sent if isinstance(each, VenueFilled)]
        if faults.is_disordered and len(fills) > 1:
            turned = deque(reversed(fills))
            sent = [turned.popleft() if isinstance(each, VenueFilled) else each for each in sent]
        faults.came_about_count += sent != before
        return sent

    def _overtaken(self, sent: list[VenueMessage]) -> list[VenueMessage]:
        """Hold executions back until a cancel has passed them."""
        self._held += [each for each in sent if isinstance(each, VenueFilled)]
        out = [each for each in sent if not isinstance(each, VenueFilled)]
        if any(isinstance(each, VenueCanceled) for each in out):
            out, self._held = [*out, *self._held], []
        return out


class Caller:
    """An executor with its real client and clock; its bus is a list.

    Attributes:
        bus: what it said to the bus.
        sent: ids written to the venue.
    """

    def __init__(self, file: Path, config: ExecutorConfig = QUICK) -> None:
        self.guard = guard()
        self.core: ExecutorCore = executor(config, self.guard, is_linked=False)
        self.client = PaperClient(
            config,
            file,
            may_send=self.core.may_send,
            lock=threading.Lock(),
            clock=time.time_ns,
        )
        self.bus: list[Event] = []
        self._inbox: deque[Event | None] = deque()
        self._is_busy = False
        self._timer: asyncio.TimerHandle | None = None

    def post(self, *events: Event) -> None:
        """Tell the core these events, one after the other."""
        self._inbox.extend(events)
        self._work()

    def approve(self, *orders: Order) -> None:
        """Let the gate approve orders."""
        self.post(*(approved(each) for each in orders))

    def order(self, order_id: str, one: Callable[..., Order], **options: object) -> Order:
        """Return an order that may be sent for a second from now."""
        return one(order_id, expires_at_ns=time.time_ns() + NS_PER_S, **options)

    def of(self, kind: type[Event]) -> list[Event]:
        """Return what was said of one kind."""
        return [each for each in self.bus if isinstance(each, kind)]

    async def until(self, is_so: Callable[[], object]) -> None:
        """Return once it is so."""
        for _ in range(int(WAIT_S / 0.005)):
            if is_so():
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"not so within {WAIT_S} s: {self.bus[-20:]}")

    async def is_ready(self) -> None:
        """Return once the books agree and nothing is of unknown fate."""
        await self.until(lambda: self.core.describe(0).is_reconciled)

    def status(self, order_id: str) -> str:
        """Return what an order is by the executor's book."""
        record = self.core.orders.records.get(OrderId(order_id))
        return "" if record is None else str(record.status)

    def _work(self) -> None:
        if self._is_busy:
            return
        self._is_busy = True
        while self._inbox:
            event = self._inbox.popleft()
            if event is None or type(event) in self.core.hears:
                self._emit(tell(self.core, event, time.time_ns()))
        self._is_busy = False
        if self._timer is not None:
            self._timer.cancel()
        due_ns = self.core.wake_at_ns
        if due_ns is not None:
            delay_s = max(0.0, (due_ns - time.time_ns()) / NS_PER_S)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._wake)

    def _wake(self) -> None:
        self._inbox.append(None)
        self._work()

    def _emit(self, said: Sequence[Event]) -> None:
        for event in said:
            if isinstance(event, REQUESTS):
                self.client.act(event, time.time_ns())
            else:
                self.bus.append(event)

    async def close(self) -> None:
        """Hang up."""
        if self._timer is not None:
            self._timer.cancel()
        await self.client.close()


@asynccontextmanager
async def bad_day(folder: Path) -> AsyncIterator[tuple[FaultyVenue, Caller]]:
    """An executor and a venue on a real socket, with a market and books that agree."""
    there = FaultyVenue(folder)
    await there.server.open(there.post)
    there.post(quote(at_ns=time.time_ns()))
    caller = Caller(there.file)
    await caller.client.open(caller.post)
    try:
        await caller.is_ready()
        yield there, caller
    finally:
        await caller.close()
        await there.server.close()
