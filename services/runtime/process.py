"""One service's life as a process: connected, checked, restored, serving, stopped."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from schemas.base import BootId, Event
from schemas.control import HaltRequested
from schemas.errors import BusError, SluiceError
from schemas.health import AlertRaised, Severity
from schemas.masking import masked
from schemas.restrictions import RestrictionRequested
from services.control import ControlGuard
from services.core import Core
from services.runtime.clock import Clock
from services.runtime.collector import Collector
from services.runtime.config import BusConfig, MetricsConfig
from services.runtime.connect import connect
from services.runtime.fastpath import BusConnection
from services.runtime.health import HEALTH_EVERY_S, Vitals, announce
from services.runtime.journal import Journal
from services.runtime.keys import load_seed
from services.runtime.link import ControlLink
from services.runtime.live import Live
from services.runtime.log import logger, masked_fields
from services.runtime.metrics import Endpoint
from services.runtime.outbound import Outbox
from services.runtime.rights import check_rights, rights_needed
from services.runtime.service import Context, Service
from services.runtime.settings import Settings
from services.runtime.stop import Stop

STATE_FOLDER = "state"
"""Below the data folder: one journal a service."""

RESTORED_BEFORE_YIELD = 1_000
"""Events of a journal folded back before the connection's pings get their turn."""

THREAD_SWITCH_S = 0.0001
"""How long the main loop may keep the interpreter from a halt that has arrived.

A busy main loop gives it up no sooner, and a halt needs it at least twice: an answer of a thread
beside one takes a third of a millisecond so, and 1.8 ms with 0.001."""

_COME_BY_LINK: frozenset[type[Event]] = frozenset({HaltRequested, RestrictionRequested})
"""What a guarded component's core is told by its control link, and not by its subscriptions."""

READY_LOOKS_PER_REPORT = 20
"""How often a process that is not ready looks whether it is, between two reports."""

REASON_CHARS_MAX = 500
RIGHT_REFUSED = "SLU-121"


class Process:
    """Builds, checks and runs one service."""

    def __init__(self, name: str, settings: Settings, boot_id: BootId) -> None:
        self._name = name
        self._settings = settings
        self._boot_id = boot_id
        self._bus = settings.section("bus", BusConfig)
        self._clock = Clock()
        self._started_ns = self._clock()
        self._lock = threading.Lock()

    async def run(self, build: Callable[[Context], Service]) -> None:
        """Serve until cancelled.

        Raises:
            SluiceError: what the service needs is missing, or was taken away.
            Exception: what its core raised.
        """
        Stop(os.environ).listen()
        logger().info("starting", pid=os.getpid(), limits_hash=self._settings.limits_hash)
        if self._bus.keys_dir is not None:
            load_seed(self._bus.keys_dir, self._name)  # refuses one that others can read
        connection = await self._connect("")
        try:
            service = build(self._context(connection))
            try:
                await self._check_rights(connection, service)
                await self._serve(connection, service)
            except SluiceError as error:
                self._cry(connection, error)
                raise
        finally:
            await connection.close()

    def _context(self, connection: BusConnection) -> Context:
        return Context(
            name=self._name,
            settings=self._settings,
            boot_id=self._boot_id,
            clock=self._clock,
            lock=self._lock,
            connection=connection,
            connect=self._connect,
            keys=self._bus.keys_dir,
        )

    async def _connect(self, what_for: str) -> BusConnection:
        return await connect(self._name, self._bus, what_for=what_for)

    async def _check_rights(self, connection: BusConnection, service: Service) -> None:
        needed = rights_needed(
            self._name, service.core.hears, requests=service.requests, guard=service.guard
        )
        if not await check_rights(connection, self._name, needed):
            logger().warning("the bus is not guarded: whoever reaches it may do anything")

    def _cry(self, connection: BusConnection, error: SluiceError) -> None:
        """Tell a person; and halt when the bus took a right: deaf or mute is a danger to all."""
        name, text = self._name, masked(str(error))
        said: list[Event] = [self._alert(Severity.CRITICAL, error.code, text, **error.fields)]
        if error.code == RIGHT_REFUSED:
            reason = text[:REASON_CHARS_MAX]
            said.insert(0, HaltRequested(at_ns=self._clock(), reason=reason, operator=name))
        Outbox(connection, f"{name}-{self._boot_id}").publish(said)

    def _alert(self, severity: Severity, code: str, message: str, **fields: str) -> AlertRaised:
        return AlertRaised(
            at_ns=self._clock(),
            severity=severity,
            component=self._name,
            code=code,
            message=masked(message),
            fields=masked_fields(fields),
        )

    async def _serve(self, connection: BusConnection, service: Service) -> None:
        journal = await self._restored(service.core)
        live = Live(
            service.core,
            connection,
            name=self._name,
            boot_id=self._boot_id,
            clock=self._clock,
            adapter=service.adapter,
            journal=journal,
            requests=service.requests,
        )
        try:
            if journal is not None and journal.cut_off:
                logger().warning("the journal's end was cut off", found=journal.cut_off)
                live.publish(self._alert(Severity.WARNING, "SLU-140", journal.cut_off))
            await announce(connection, self._name, self._boot_id)
            await self._side_by_side(connection, live, service)
        finally:
            if journal is not None:
                journal.close()

    async def _side_by_side(self, connection: BusConnection, live: Live, service: Service) -> None:
        """Run loop, health reports, metrics and control link: the end of one is the end of all."""
        vitals = self._vitals(service)
        metrics = Endpoint(
            self._name,
            self._settings.section("metrics", MetricsConfig),
            self._settings.data_dir,
            partial(vitals.sight, connection, live),
            live.meter,
            lambda text: logger().warning(text),
        )
        collector = Collector(self._is_trading(service.guard), live.meter.pauses)
        besides = (
            partial(self._tell_health, connection, live, vitals),
            metrics.serve,
            collector.keep,
        )
        if service.guard is None:
            await until_one_ends(live.run(), *(each() for each in besides))
            return
        link = self._link(service.guard, live)
        try:
            await link.open()
            beside = (each() for each in besides)
            await until_one_ends(live.run(_COME_BY_LINK), link.wait(), *beside)
        finally:
            await link.close()

    def _is_trading(self, guard: ControlGuard | None) -> Callable[[], bool] | None:
        """Return who knows whether anything may be sent; None where that is no affair of ours."""
        return None if guard is None else lambda: not guard.permits(self._clock())

    def _link(self, guard: ControlGuard, live: Live) -> ControlLink:
        sys.setswitchinterval(THREAD_SWITCH_S)
        loop = asyncio.get_running_loop()
        return ControlLink(
            guard,
            lambda: self._connect("control"),
            post=lambda event: loop.call_soon_threadsafe(live.post, event),
            clock=self._clock,
            lock=self._lock,
        )

    def _vitals(self, service: Service) -> Vitals:
        return Vitals(
            self._name,
            self._boot_id,
            started_ns=self._started_ns,
            why_not_ready=service.why_not_ready,
            guard=service.guard,
            degraded=service.degraded,
        )

    async def _tell_health(self, connection: BusConnection, live: Live, vitals: Vitals) -> None:
        """Report each second; end with an error once the server has refused us something."""
        while True:
            report = vitals.report(live, self._clock())
            live.publish(report)
            refused = [text for text in connection.refusals if "_inbox." not in text.lower()]
            if refused:  # but for an answer that came too late for its asker
                raise BusError(RIGHT_REFUSED, user=self._name, found="; ".join(refused))
            if report.is_ready:
                await asyncio.sleep(HEALTH_EVERY_S)
            else:
                await _until_ready_or_due(lambda: vitals.why_not(live))

    async def _restored(self, core: Core) -> Journal | None:
        """Fold the journal back into the core; None for a core that keeps nothing."""
        if not core.keeps:
            return None
        journal = Journal(self._settings.data_dir / STATE_FOLDER / f"{self._name}.jsonl")
        count = 0
        for event in journal.read():
            core.restore(event)
            count += 1
            if count % RESTORED_BEFORE_YIELD == 0:
                await asyncio.sleep(0)
        logger().info("restored", events=count, journal=str(journal.path))
        return journal


async def _until_ready_or_due(why_not: Callable[[], str]) -> None:
    """Wait for the next report; the one that says ready does not wait for its second."""
    for _ in range(READY_LOOKS_PER_REPORT):
        await asyncio.sleep(HEALTH_EVERY_S / READY_LOOKS_PER_REPORT)
        if not why_not():
            return


async def until_one_ends(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run all side by side until one ends; then end the others, and raise what it raised."""
    tasks = [asyncio.ensure_future(each) for each in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
