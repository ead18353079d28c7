"""What a service is built from, and what it is made of."""

import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from schemas.base import BootId
from services.control import ControlGuard
from services.core import Core
from services.runtime.fastpath import BusConnection
from services.runtime.live import Adapter
from services.runtime.requests import RequestKind
from services.runtime.settings import Settings


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
        degraded: returns what works with less (S-14), for its health; empty when nothing does.
    """

    core: Core
    adapter: Adapter | None = None
    requests: Mapping[str, RequestKind] = field(default_factory=dict)
    guard: ControlGuard | None = None
    why_not_ready: Callable[[], str] = str
    degraded: Callable[[], str] = str
