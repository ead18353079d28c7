"""Whether this process is well: told each second, and to whoever asks with `nats micro`."""

import os
from collections.abc import Callable
from importlib import metadata

import psutil
from msgspec.structs import replace
from nats.micro import add_service

from schemas.base import NS_PER_MS, NS_PER_S, BootId
from schemas.health import HealthReported
from services.control import ControlGuard
from services.runtime.fastpath import BusConnection
from services.runtime.live import Live
from services.runtime.metrics import Sight

HEALTH_EVERY_S = 1.0
MS_PER_S = 1_000


class Vitals:
    """What one process says of itself.

    Args:
        why_not_ready: returns what keeps the service from its work; empty while nothing does.
        guard: of those on the order path; its part of the report comes from there.
        degraded: returns what works with less; empty while nothing does.
    """

    def __init__(
        self,
        name: str,
        boot_id: BootId,
        *,
        started_ns: int,
        why_not_ready: Callable[[], str],
        guard: ControlGuard | None = None,
        degraded: Callable[[], str] = str,
    ) -> None:
        self._name = name
        self._boot_id = boot_id
        self._started_ns = started_ns
        self._why_not_ready = why_not_ready
        self._guard = guard
        self._degraded = degraded
        self._process = psutil.Process()

    def report(self, live: Live, now_ns: int) -> HealthReported:
        """Return how it is now; not ready until its core is told what happens."""
        why_not, age_ns = self.why_not(live), live.take_age_ns()
        return replace(
            self._control_part(now_ns),
            pid=os.getpid(),
            uptime_s=round((now_ns - self._started_ns) / NS_PER_S, 3),
            is_ready=not why_not,
            received_count=live.received_count,
            published_count=live.outbox.published_count,
            dead_letter_count=live.dead_letter_count,
            gap_count=live.sequences.gap_count,
            rss_bytes=self._process.memory_info().rss,
            lag_ms=None if age_ns is None else round(age_ns / NS_PER_MS, 3),
            memory_used_share=round(psutil.virtual_memory().percent / 100, 3),
            detail=why_not or self._degraded(),
        )

    def sight(self, connection: BusConnection, live: Live) -> Sight:
        """Return what a scrape of this process sees now; only from its event loop."""
        now_ns = live.now_ns()
        control = self._control_part(now_ns)
        levels = {
            "ready": float(not self.why_not(live)),
            "uptime_seconds": (now_ns - self._started_ns) / NS_PER_S,
            "queue_steps": float(live.waiting_count),
            "unsent_bytes": float(connection.unsent_bytes),
        }
        counts = {
            "messages_received": live.received_count,
            "dead_letters": live.dead_letter_count,
            "sequence_gaps": live.sequences.gap_count,
            "events_lost": live.outbox.lost_count,
        }
        if self._guard is not None:
            levels["epoch"] = float(control.epoch)
            counts["halts_heard"] = control.halts
        if control.lease_age_ms is not None:
            levels["lease_age_seconds"] = control.lease_age_ms / MS_PER_S
        return Sight(
            service=self._name,
            boot_id=self._boot_id,
            counts=counts,
            levels=levels,
            reports=(control, live.describe()),
        )

    def why_not(self, live: Live) -> str:
        """Return what keeps it from its work; empty when nothing does."""
        return self._why_not_ready() if live.listening.is_set() else "starting"

    def _control_part(self, now_ns: int) -> HealthReported:
        if self._guard is not None:
            return self._guard.describe(now_ns)
        return HealthReported(
            at_ns=now_ns,
            service=self._name,
            boot_id=self._boot_id,
            pid=0,
            uptime_s=0.0,
            is_ready=False,
        )


async def announce(connection: BusConnection, name: str, boot_id: BootId) -> None:
    """Answer PING, INFO and STATS of `nats micro` from now on."""
    await add_service(
        connection,
        name=name,
        version=_version(),
        description=f"sluice {name}",
        metadata={"boot_id": boot_id, "pid": str(os.getpid())},
    )


def _version() -> str:
    try:
        return metadata.version("sluice")
    except metadata.PackageNotFoundError:
        return "0.0.0"
