"""Run one service as one process: from its configuration file to its last log line."""

import argparse
import asyncio
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from schemas.base import BootId
from schemas.control import HaltRequested
from schemas.errors import BusError, SluiceError, StateError, UserError
from schemas.health import AlertRaised, Severity
from services.control import ControlGuard
from services.core import Core
from services.runtime.clock import Clock
from services.runtime.config import BusConfig
from services.runtime.connect import connect
from services.runtime.fastpath import BusConnection
from services.runtime.health import HEALTH_EVERY_S, Vitals, announce
from services.runtime.journal import Journal
from services.runtime.keys import load_seed
from services.runtime.link import ControlLink
from services.runtime.live import Adapter, Live
from services.runtime.log import configure, logger
from services.runtime.outbound import Outbox
from services.runtime.requests import RequestKind
from services.runtime.rights import check_rights, rights_needed
from services.runtime.settings import Settings, load_settings

PARENT_VARIABLE = "SLUICE_PARENT_FD"
"""Holds the number of a pipe's reading end; the pipe closes when the parent is gone."""

STOP_TIMEOUT_S = 5.0
"""How long an orderly stop may take before the process ends without one."""

THREAD_SWITCH_S = 0.001
"""How long the main loop may keep the interpreter from a halt that has arrived."""

EXIT_STOPPED, EXIT_BROKEN, EXIT_USER, EXIT_BUS, EXIT_STATE = 0, 1, 2, 3, 4


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a service is built from.

    Attributes:
        name: the service's name, which is its bus user too.
        settings: the resolved configuration.
        boot_id: random, of this very process.
        clock: returns now, in ns since the epoch; never goes backwards.
        lock: the barrier between a halt and a send: hold it around the last check and the write.
        connection: the service's own connection to the bus.
        connect: opens a further connection of this service; its argument says what for.
        keys: folder of the keys; None where the bus asks for none.
    """

    name: str
    settings: Settings
    boot_id: BootId
    clock: Callable[[], int]
    lock: threading.Lock
    connection: BusConnection
    connect: Callable[[str], Awaitable[BusConnection]]
    keys: Path | None


@dataclass(frozen=True, kw_only=True)
class Service:
    """What a service is made of.

    Attributes:
        core: the pure part.
        adapter: the impure part, if it has one.
        requests: subject -> what is decoded there and what it becomes.
        guard: of those on the order path; gets the control link, and the core reads it.
        why_not_ready: returns what keeps it from its work, for its health; empty when nothing does.
    """

    core: Core
    adapter: Adapter | None = None
    requests: Mapping[str, RequestKind] = field(default_factory=dict)
    guard: ControlGuard | None = None
    why_not_ready: Callable[[], str] = str


def serve(name: str, build: Callable[[Context], Service]) -> None:
    """Serve until told to stop, then exit.

    The exit code is 0 on SIGTERM, SIGINT or when the parent is gone; 1 on a broken invariant; 2
    for a configuration that a person must mend; 3 when the bus is away or refuses a right; 4 when
    our own files are not what we wrote.
    """
    parser = argparse.ArgumentParser(prog=f"python -m services.{name}", description=f"sluice {name}")
    parser.add_argument("--config", type=Path, required=True, help="the resolved configuration")
    file = parser.parse_args().config
    boot_id = BootId(secrets.token_hex(8))
    try:
        configure(name, boot_id)
        settings = load_settings(file)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_Process(name, settings, boot_id).run(build))
    except asyncio.CancelledError:
        logger().info("stopped")
        sys.exit(EXIT_STOPPED)
    except Exception as error:
        sys.exit(_exit_code(error))


def _exit_code(error: Exception) -> int:
    """Return the code of this end, and log why; only what nobody foresaw shows where it was."""
    if not isinstance(error, SluiceError):
        logger().critical("broke", error=repr(error), exc_info=error)
        return EXIT_BROKEN
    logger().critical("cannot serve", error=str(error), next_step=error.entry.resolution)
    by_class = {UserError: EXIT_USER, BusError: EXIT_BUS, StateError: EXIT_STATE}
    return by_class.get(type(error), EXIT_BROKEN)


class _Process:
    """One service's life: connected, checked, restored, serving, stopped."""

    def __init__(self, name: str, settings: Settings, boot_id: BootId) -> None:
        self._name = name
        self._settings = settings
        self._boot_id = boot_id
        self._bus = settings.section("bus", BusConfig)
        self._clock = Clock()
        self._started_ns = self._clock()
        self._lock = threading.Lock()

    async def run(self, build: Callable[[Context], Service]) -> None:
        """Serve until cancelled."""
        stop = _Stop()
        stop.listen()
        logger().info("starting", pid=os.getpid(), limits_hash=self._settings.limits_hash)
        if self._bus.keys_dir is not None:
            load_seed(self._bus.keys_dir, self._name)  # refuses one that others can read
        connection = await self._connect("")
        try:
            service = build(self._context(connection))
            await self._check_rights(connection, service)
            await self._serve(connection, service)
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
        """Go on only with every right that the service needs; halt everything otherwise."""
        needed = rights_needed(
            self._name, service.core.hears, requests=service.requests, guard=service.guard
        )
        try:
            if not await check_rights(connection, self._name, needed):
                logger().warning("the bus is not guarded: anybody who reaches it may do anything")
        except BusError as error:
            self._cry(connection, error)
            raise

    def _cry(self, connection: BusConnection, error: BusError) -> None:
        """A service that is deaf or mute is a danger: halt, and tell a person."""
        now_ns, name = self._clock(), self._name
        reason = f"{name}: {error}"[:500]
        Outbox(connection, f"{name}-{self._boot_id}").publish(
            [
                HaltRequested(at_ns=now_ns, reason=reason, operator=name),
                AlertRaised(
                    at_ns=now_ns,
                    severity=Severity.CRITICAL,
                    component=name,
                    code=error.code,
                    message=str(error),
                    fields=error.fields,
                ),
            ]
        )

    async def _serve(self, connection: BusConnection, service: Service) -> None:
        journal = self._restored(service.core)
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
            self._report_cut(live, journal)
            await announce(connection, self._name, self._boot_id)
            health = self._tell_health(connection, live, service)
            if service.guard is None:
                await _until_first_ends(live.run(), health)
            else:
                await self._serve_guarded(service.guard, live, health)
        finally:
            if journal is not None:
                journal.close()

    async def _serve_guarded(
        self, guard: ControlGuard, live: Live, health: Coroutine[Any, Any, None]
    ) -> None:
        sys.setswitchinterval(THREAD_SWITCH_S)
        loop = asyncio.get_running_loop()
        link = ControlLink(
            guard,
            lambda: self._connect("control"),
            post=lambda event: _ignore(loop.call_soon_threadsafe(live.post, event)),
            clock=self._clock,
            lock=self._lock,
        )
        try:
            await link.open()
            ended = asyncio.wrap_future(link.ended)
            await _until_first_ends(live.run(frozenset({HaltRequested})), health, _wait(ended))
        finally:
            await link.close()

    def _restored(self, core: Core) -> Journal | None:
        """Fold the journal back into the core; None for a core that keeps nothing."""
        if not core.keeps:
            return None
        journal = Journal(self._settings.data_dir / "state" / f"{self._name}.jsonl")
        count = 0
        for event in journal.read():
            core.restore(event)
            count += 1
        logger().info("restored", events=count, journal=str(journal.path))
        return journal
