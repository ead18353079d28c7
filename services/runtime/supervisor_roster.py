"""What state every supervised process is in, and when one that ended is started again. Pure."""

from collections import deque
from collections.abc import Sequence

from schemas.base import NS_PER_MS, NS_PER_S
from schemas.health import AlertRaised, HealthReported, ServiceView, Severity

STARTING, RUNNING, BACKOFF = "starting", "running", "backoff"
CRASH_LOOP, STOPPED = "crash-loop", "stopped"

CRASHES_MAX = 5
CRASH_WINDOW_NS = 60 * NS_PER_S
"""So many ends within so long are a crash loop: another start would not help either."""

BACKOFF_MIN_NS = 200 * NS_PER_MS
"""First wait before a restart; it doubles with every further end within the window."""

EXITS_FOR_GOOD = (2, 4)
"""How a service says that a person must mend its configuration or files: a restart cannot help."""


class _Entry:
    """One process as it stands."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = STARTING
        self.pid = 0
        self.started_ns = 0
        self.starts = 0
        self.detail = ""
        self.ended_at_ns: deque[int] = deque(maxlen=CRASHES_MAX)


class Roster:
    """Every process that is supervised, in the order they are started.

    Args:
        names: of the processes.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._entries = {name: _Entry(name) for name in names}

    def on_started(self, name: str, pid: int, now_ns: int) -> None:
        """Note a new process; it is not ready yet."""
        entry = self._entries[name]
        entry.state, entry.pid, entry.started_ns = STARTING, pid, now_ns
        entry.starts += 1

    def on_ready(self, name: str) -> None:
        """Note that it does its work."""
        entry = self._entries[name]
        if entry.state == STARTING:
            entry.state, entry.detail = RUNNING, ""

    def on_health(self, event: HealthReported) -> None:
        """Believe a health report only of the very process that we started."""
        entry = self._entries.get(event.service)
        if entry is not None and entry.pid == event.pid:
            if event.is_ready:
                self.on_ready(event.service)
            elif entry.state == STARTING:
                entry.detail = event.detail

    def on_ended(self, name: str, exit_code: int, detail: str, now_ns: int) -> int | None:
        """Note an end that nobody asked for; return the ns to wait before a restart, or None.

        None: it is in a crash loop, or its configuration is wrong, and is left alone.
        """
        entry = self._entries[name]
        entry.pid = 0
        entry.detail = f"{exit_text(exit_code)}{': ' if detail else ''}{detail}"
        entry.ended_at_ns.append(now_ns)
        recent = [each for each in entry.ended_at_ns if now_ns - each < CRASH_WINDOW_NS]
        if exit_code in EXITS_FOR_GOOD or len(recent) >= CRASHES_MAX:
            entry.state = CRASH_LOOP
            return None
        entry.state = BACKOFF
        wait_ns: int = BACKOFF_MIN_NS << (len(recent) - 1)
        return wait_ns

    def on_stopped(self, name: str, detail: str = "") -> None:
        """Note an end that we asked for."""
        entry = self._entries[name]
        entry.state, entry.pid, entry.detail = STOPPED, 0, detail

    def state(self, name: str) -> str:
        """Return the state word of one process."""
        return self._entries[name].state

    def alert(self, name: str, now_ns: int) -> AlertRaised:
        """Return what people are told about the newest end of `name`."""
        entry = self._entries[name]
        is_loop = entry.state == CRASH_LOOP
        what = "is not started again" if is_loop else "is started again"
        return AlertRaised(
            at_ns=now_ns,
            severity=Severity.CRITICAL if is_loop else Severity.WARNING,
            component=name,
            code="SLU-160" if is_loop else "SLU-162",
            message=f"{name} ended ({entry.detail}) and {what}",
            fields={"ends_in_60_s": str(len(entry.ended_at_ns)), "starts": str(entry.starts)},
        )

    def views(self, now_ns: int) -> tuple[ServiceView, ...]:
        """Return every process for people."""
        return tuple(self._view(entry, now_ns) for entry in self._entries.values())

    def pids(self) -> dict[str, int]:
        """Return the processes that are alive, by name."""
        return {entry.name: entry.pid for entry in self._entries.values() if entry.pid}

    def _view(self, entry: _Entry, now_ns: int) -> ServiceView:
        return ServiceView(
            name=entry.name,
            state=entry.state,
            pid=entry.pid,
            uptime_s=round((now_ns - entry.started_ns) / NS_PER_S, 1) if entry.pid else 0.0,
            restarts=max(0, entry.starts - 1),
            detail=entry.detail,
        )


def exit_text(exit_code: int) -> str:
    """Return how a process ended, in words."""
    return f"killed by signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
