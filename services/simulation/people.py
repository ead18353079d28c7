"""The people of a simulated system: somebody who halts it, and somebody who starts it again."""

from collections.abc import Sequence
from random import Random

from schemas.base import NS_PER_MS, NS_PER_S, BootId, Event
from schemas.control import (
    BreakerState,
    ControlAnswered,
    HaltRequested,
    LeaseAnswered,
    ResetAsked,
    ResetRequest,
    StartAsked,
    StartRequest,
)
from schemas.health import ArbiterReported, HealthReported

LOOK_EVERY_NS = 700 * NS_PER_MS
LEASED_WITHIN_NS = NS_PER_S


class StatusWanted(Event, frozen=True, kw_only=True):
    """Somebody types `sluice status`: the breaker service's report is asked for."""


class Operator:
    """Halt now and then; look, reset and start whenever nobody has had a lease for a while.

    It knows no more than a person at a terminal would: what was heard on the bus, late or never.
    It names the newest halt that it has seen, and may well be told that there is a newer one.

    Attributes:
        start_count: starts that were answered with yes.
    """

    hears: frozenset[type[Event]] = frozenset({LeaseAnswered, ArbiterReported, ControlAnswered})
    keeps: frozenset[type[Event]] = frozenset()

    def __init__(self, seed: int, sessions: Sequence[StartRequest], halts_per_s: float) -> None:
        self.wake_at_ns: int | None = 0
        self.start_count = 0
        self._random = Random(f"{seed}:operator")
        self._wanted = list(sessions)
        self._halts_per_s = halts_per_s
        self._leased_ns = 0
        self._request_count = 0
        self._begun: dict[str, StartRequest] = {}

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Note what was heard; act on what `sluice status` shows."""
        match event:
            case _ if self.wake_at_ns is None:
                pass
            case LeaseAnswered(is_granted=True):
                self._leased_ns = now_ns
            case ArbiterReported():
                return [self._ask(event, now_ns)]
            case ControlAnswered(request="start", is_ok=True, request_id=start_id):
                self.start_count += 1
                started = self._begun.pop(start_id, None)
                if started in self._wanted:
                    self._wanted.remove(started)
        return ()

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Halt by chance; else look, if something is to be started."""
        self.wake_at_ns = now_ns + LOOK_EVERY_NS
        if self._random.random() < self._halts_per_s * LOOK_EVERY_NS / NS_PER_S:
            return [HaltRequested(at_ns=now_ns, reason="drill", operator="kim")]
        is_trading = now_ns < self._leased_ns + LEASED_WITHIN_NS
        return () if is_trading and not self._wanted else [StatusWanted(at_ns=now_ns)]

    def leave(self) -> None:
        """Do nothing any more."""
        self.wake_at_ns = None

    def stop_halting(self) -> None:
        """Halt no more: the simulation comes to rest."""
        self._halts_per_s = 0.0

    def restore(self, event: Event) -> None:
        """A person keeps nothing."""
        raise AssertionError("the operator keeps nothing")

    def describe(self, now_ns: int) -> HealthReported:
        """Return that somebody is there."""
        return HealthReported(
            at_ns=now_ns, service="operator", boot_id=BootId(""), pid=0, uptime_s=0.0, is_ready=True
        )

    def _ask(self, report: ArbiterReported, now_ns: int) -> Event:
        self._request_count += 1
        request_id = f"request-{self._request_count}"
        if report.breaker_state is not BreakerState.NORMAL:
            reset = ResetRequest(operator="kim", reason="looked", halt=report.halts)
            return ResetAsked(at_ns=now_ns, request_id=request_id, request=reset)
        start = self._wanted[0] if self._wanted else StartRequest(operator="kim")
        self._begun[request_id] = start
        return StartAsked(at_ns=now_ns, start_id=request_id, request=start)
