"""The parent of all processes: starts them in order, brings them back, and leaves no orphan.

Nobody trades because of it, and nobody trades on for lack of it: when it dies, however it dies,
every process it started ends too. They are started in the order of `Plan.stages`, the feed last,
so that nothing of the market is missed, and stopped in the reverse order, the bus last of all.
"""

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from nats import errors as nats_errors

from schemas.base import BootId, Event
from schemas.errors import StateError, WireError
from schemas.health import AlertRaised, HealthReported, Severity, SupervisorReported
from schemas.subjects import QUERY, SUBJECTS
from schemas.wire import decode
from services.runtime.clock import Clock
from services.runtime.config import BusConfig, MetricsConfig
from services.runtime.connect import connect
from services.runtime.fastpath import BusConnection
from services.runtime.log import file_logger
from services.runtime.metrics import Endpoint, Sight
from services.runtime.outbound import Outbox
from services.runtime.requests import REPLY_PREFIX
from services.runtime.supervisor_keeper import Keeper
from services.runtime.supervisor_process import ProcessSpec
from services.runtime.supervisor_roster import CRASH_LOOP, RUNNING, Roster

NAME = "supervisor"
READY_TIMEOUT_S = 15.0
HEALTH_EVERY_S = 1.0
FLUSH_TIMEOUT_S = 1
NO_METRICS = MetricsConfig(is_on=False)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to run.

    Attributes:
        bus: where the bus is, or will be.
        server: the embedded server; None where one is already there.
        stages: processes; all of one stage are ready before the next is started.
        metrics: where the supervisor serves its own.
        data_dir: below it, where it says so.
    """

    bus: BusConfig
    server: ProcessSpec | None
    stages: Sequence[Sequence[ProcessSpec]]
    metrics: MetricsConfig = NO_METRICS
    data_dir: Path = Path()

    @property
    def specs(self) -> list[ProcessSpec]:
        """Every process, in the order of starting."""
        server = [] if self.server is None else [self.server]
        return [*server, *(spec for stage in self.stages for spec in stage)]

    @property
    def log_file(self) -> Path:
        """Where the supervisor says what it does: beside the logs of its processes."""
        return self.specs[0].log_file.with_name(f"{NAME}.log")


class Supervisor:
    """Runs a plan: `start`, and `stop`; in between it minds the processes by itself.

    Args:
        plan: what to run.
        note: told, in words, what a person at the terminal should know.
        on_pids: called with the living process ids, by name, whenever they have changed.
        on_bus: awaited once the bus is there, before any service is started.
    """

    def __init__(
        self,
        plan: Plan,
        note: Callable[[str], None] = lambda _text: None,
        on_pids: Callable[[dict[str, int]], None] = lambda _pids: None,
        on_bus: Callable[[BusConnection], Awaitable[None]] | None = None,
    ) -> None:
        self._plan, self._note, self._on_pids, self._on_bus = plan, note, on_pids, on_bus
        self._clock, self._boot_id = Clock(), BootId(secrets.token_hex(4))
        self._log = file_logger(NAME, self._boot_id, plan.log_file)
        self._started_s = time.monotonic()
        self.roster = Roster([spec.name for spec in plan.specs])
        self._keeper = Keeper(self.roster, self._clock, self._on_end, self._on_change)
        self._changed = asyncio.Event()
        self._pids: dict[str, int] = {}
        self._connection: BusConnection | None = None
        self._outbox: Outbox | None = None
        self._beat: asyncio.Task[None] | None = None
        self._metrics: Endpoint | None = None

    async def start(self) -> None:
        """Start everything; return when all of it is ready, or told to be not.

        Raises:
            StateError: a process crashes again and again; names it, and its last words.
            BusError: the bus is not there, or does not let us in.
        """
        self._log.info("starting", pid=os.getpid())
        if self._plan.server is not None:
            await self._start_stage([self._plan.server])
        connection = await self._join_bus()
        if self._on_bus is not None:
            await self._on_bus(connection)
        for stage in self._plan.stages:
            await self._start_stage(stage)
        self._log.info("started")

    async def stop(self, *, after: str | None = None) -> None:
        """End everything in reverse order; what does not end in time is killed.

        Args:
            after: end only what was started after this process; it and the rest go on.
        """
        self._log.info("stopping")
        for spec in reversed(self._plan.specs):
            if spec.name == after:
                return
            if spec is self._plan.server:
                await self._leave_bus()
            await self._keeper.stop(spec.name)
            self._log.info("process ended", process=spec.name, how=self._detail(spec.name))
        await self._leave_bus()
        self._keeper.close()
        self._log.info("stopped")

    def report(self) -> SupervisorReported:
        """Return every process as it stands now."""
        now_ns = self._clock()
        return SupervisorReported(at_ns=now_ns, services=self.roster.views(now_ns))

    async def _start_stage(self, stage: Sequence[ProcessSpec]) -> None:
        """Start a stage; what runs and is not ready in time is told, and not waited for.

        Nobody can trade through it: a start asks everyone. A person can look at it, though.
        """
        for spec in stage:
            self._keeper.keep(spec)
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while self._not_ready(stage):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            for name in self._not_ready(stage):
                self._warn(f"{name} is not ready after {READY_TIMEOUT_S:g} s: {self._detail(name)}")

    def _not_ready(self, stage: Sequence[ProcessSpec]) -> list[str]:
        for spec in stage:
            if self.roster.state(spec.name) == CRASH_LOOP:
                raise StateError(
                    "SLU-160", service=spec.name, found=self._detail(spec.name), log=spec.log_file
                )
        return [spec.name for spec in stage if self.roster.state(spec.name) != RUNNING]

    def _detail(self, name: str) -> str:
        [view] = [each for each in self.report().services if each.name == name]
        return f"{view.state} {view.detail}".strip()

    def _warn(self, text: str) -> None:
        self._log.warning(text)
        self._note(text)

    def _on_end(self, spec: ProcessSpec, alert: AlertRaised) -> None:
        say = self._log.critical if alert.severity is Severity.CRITICAL else self._log.warning
        say(alert.message, process=spec.name, code=alert.code, **alert.fields)
        self._note(f"{alert.message}; its log is {spec.log_file}")
        self._publish(alert)

    def _on_change(self) -> None:
        self._changed.set()
        pids = self.roster.pids()
        if pids != self._pids:
            for name, pid in pids.items() - self._pids.items():
                self._log.info("process started", process=name, process_pid=pid)
            self._pids = pids
            self._on_pids(pids)

    async def _join_bus(self) -> BusConnection:
        self._connection = connection = await connect(NAME, self._plan.bus)
        self._outbox = Outbox(connection, f"{NAME}-{self._boot_id}")
        await connection.take(SUBJECTS[HealthReported], self._take_health)
        await connection.take(f"{QUERY}.{NAME}", self._take_query)
        self._beat = asyncio.create_task(self._beat_on(), name="health of the supervisor")
        plan = self._plan
        self._metrics = Endpoint(
            NAME, plan.metrics, plan.data_dir, self._sight, self._outbox.meter, self._warn
        )
        await self._metrics.open()
        return connection

    async def _leave_bus(self) -> None:
        if self._connection is None or self._beat is None:
            return
        self._beat.cancel()
        if self._metrics is not None:
            self._metrics.close()
        with contextlib.suppress(nats_errors.Error):  # what was said last must not be lost
            await self._connection.flush(FLUSH_TIMEOUT_S)
        await self._connection.close()
        self._connection = self._outbox = None

    def _take_health(self, subject: str, data: bytes, _reply: str) -> None:
        try:
            events = decode(data, subject=subject)
        except WireError:
            return  # the services and the recorder hear it too, and dead-letter it
        for event in events:
            if isinstance(event, HealthReported):
                self.roster.on_health(event)
                self._on_change()

    def _take_query(self, _subject: str, _data: bytes, reply: str) -> None:
        if self._outbox is not None and reply.startswith(REPLY_PREFIX):
            self._outbox.reply(reply, self.report())

    async def _beat_on(self) -> None:
        while True:
            self._publish(self._health())
            await asyncio.sleep(HEALTH_EVERY_S)

    def _health(self) -> HealthReported:
        views = self.report().services
        lost = [view.name for view in views if view.state != RUNNING]
        return HealthReported(
            at_ns=self._clock(),
            service=NAME,
            boot_id=self._boot_id,
            pid=os.getpid(),
            uptime_s=round(time.monotonic() - self._started_s, 3),
            is_ready=not lost,
            rss_bytes=psutil.Process().memory_info().rss,
            published_count=0 if self._outbox is None else self._outbox.published_count,
            detail=f"not running: {', '.join(lost)}" if lost else "",
        )

    def _sight(self) -> Sight:
        """Return what a scrape sees: itself, and every process with what it uses."""
        report = self.report()
        lost = [view.name for view in report.services if view.state != RUNNING]
        uptime_s = time.monotonic() - self._started_s
        return Sight(
            service=NAME,
            boot_id=self._boot_id,
            counts={},
            levels={"ready": float(not lost), "uptime_seconds": uptime_s},
            reports=(report,),
        )

    def _publish(self, event: Event) -> None:
        """Publish if there is a bus; the outbox counts what could not be."""
        if self._outbox is not None:
            self._outbox.publish([event])
