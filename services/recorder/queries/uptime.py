"""How long each service was ready, folded from health reports (O-07)."""

from schemas.base import NS_PER_S
from schemas.health import HealthReported
from schemas.reports import UptimeMeasured

ORDER_PATH = ("feed", "strategy", "gate", "executor", "breaker", "recorder")
"""All of these must be ready for the system to be up."""

SILENCE_NS = 3 * NS_PER_S
"""A service that was not heard for so long is not up: it reports each second."""


class Uptime:
    """The stretch that is being measured. Time is what the caller says it is."""

    def __init__(self) -> None:
        self._ready_until_ns: dict[str, int] = {}
        self._ready_ns: dict[str, int] = {}
        self._up_ns = 0
        self._from_ns = self._at_ns = 0

    def begin(self, now_ns: int) -> None:
        """Measure from now on."""
        self._from_ns = self._at_ns = now_ns

    def on_health(self, report: HealthReported, now_ns: int) -> None:
        """Fold one report in: it holds for the next three seconds, or until the next one."""
        self._advance(now_ns)
        until_ns = now_ns + SILENCE_NS if report.is_ready else 0
        self._ready_until_ns[report.service] = until_ns

    def end(self, now_ns: int) -> UptimeMeasured:
        """Return what was measured since `begin`, and begin anew."""
        self._advance(now_ns)
        measured = UptimeMeasured(
            at_ns=now_ns,
            from_ns=self._from_ns,
            until_ns=now_ns,
            up_ns=self._up_ns,
            ready_ns=self._ready_ns,
        )
        self._ready_ns, self._up_ns = {}, 0
        self.begin(now_ns)
        return measured

    def _advance(self, now_ns: int) -> None:
        for name, until_ns in self._ready_until_ns.items():
            ready_ns = max(0, min(now_ns, until_ns) - self._at_ns)
            self._ready_ns[name] = self._ready_ns.get(name, 0) + ready_ns
        all_until_ns = min(self._ready_until_ns.get(name, 0) for name in ORDER_PATH)
        self._up_ns += max(0, min(now_ns, all_until_ns) - self._at_ns)
        self._at_ns = now_ns
