"""The people of a simulated system: somebody who halts it, and somebody who starts it again."""

import re
from collections.abc import Callable, Mapping, Sequence
from random import Random

from schemas.base import NS_PER_MS, NS_PER_S, BootId, Event
from schemas.control import (
    ControlAnswered,
    ResetAsked,
    ResetRequest,
    StartAsked,
    StartRequest,
    TradingState,
)
from schemas.health import ArbiterReported, HealthReported
from schemas.restrictions import (
    FlattenAsked,
    FlattenRequest,
    Level,
    RestrictionRequested,
    UnlockAsked,
    UnlockRequest,
)
from schemas.sessions import SessionState, SessionStateChanged
from schemas.subjects import HALT, subject_of
from schemas.wire import halt_from

HALTS, RESTRICTIONS, FLATTENS = "halts", "restrictions", "flattens"
"""What people do by chance, each at a rate of its own."""

LIFTS = 0.1
"""How likely a restriction is looked after at each look around."""

TRADING = (TradingState.RUNNING, TradingState.REDUCING)
OPEN_HALT = re.compile(r"halt (\d+) is open")
LOOK_EVERY_NS = 700 * NS_PER_MS
ALIVE_WITHIN_NS = 2_500 * NS_PER_MS
UNREADABLE = (
    b"",
    b"\x00\xff\xfe",
    b'{"halt": false}',
    b'{"reason": 7}',
    b"[" * 2_000,
    b"\xf0\x9f" * 3_000,
    b"null",
)
"""What may stand on `control.halt` and halts all the same."""


class StatusWanted(Event, frozen=True, kw_only=True):
    """Somebody types `sluice status`: the breaker service's report is asked for."""


class SessionsWanted(Event, frozen=True, kw_only=True):
    """Somebody types `sluice session list`: the strategy service's report is asked for."""


class Operator:
    """Halt now and then; look, reset and start whenever somebody cannot trade for a while.

    It knows no more than a person at a terminal would: what was heard on the bus, late or never.
    It names the newest halt that it has seen, and may well be told that there is a newer one.

    Attributes:
        start_count: starts that were answered with yes.
    """

    hears: frozenset[type[Event]] = frozenset(
        {HealthReported, ArbiterReported, ControlAnswered, SessionStateChanged}
    )
    keeps: frozenset[type[Event]] = frozenset()

    def __init__(
        self,
        seed: int,
        sessions: Sequence[StartRequest],
        scopes: Sequence[str],
        rates_per_s: Mapping[str, float],
    ) -> None:
        self.wake_at_ns: int | None = 0
        self.start_count = 0
        self._random = Random(f"{seed}:operator")
        self._wanted = list(sessions)
        self._sessions = {str(each.strategy): each for each in sessions}
        self._scopes = scopes
        self._rates_per_s = dict(rates_per_s)
        self._does: dict[str, Callable[[int], Event]] = {
            HALTS: self._halt,
            RESTRICTIONS: self._restrict,
            FLATTENS: self._flatten,
        }
        self._is_restricted = False
        self._running_ns = {"gate": 0, "executor": 0}
        self._request_count = self._halt_count = 0
        self._begun: dict[str, StartRequest] = {}

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Note what was heard; act on what `sluice status` shows."""
        match event:
            case _ if self.wake_at_ns is None:
                pass
            case HealthReported(service=service, trading_state=state) if state in TRADING:
                self._running_ns[service.partition("-")[0]] = now_ns
            case ArbiterReported():
                return self._act(event, now_ns)
            case ControlAnswered(request="start", is_ok=True, request_id=start_id):
                self.start_count += 1
                started = self._begun.pop(start_id, None)
                if started in self._wanted:
                    self._wanted.remove(started)
            case SessionStateChanged(state=SessionState.STOPPED, strategy=strategy):
                self._wanted.append(self._sessions[strategy])  # a new one, in its place
        return ()

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Halt by chance; else look, if something is to be started."""
        self.wake_at_ns = now_ns + LOOK_EVERY_NS
        for name, per_s in self._rates_per_s.items():
            if self._random.random() < per_s * LOOK_EVERY_NS / NS_PER_S:
                return [self._does[name](now_ns)]
        is_trading = now_ns < min(self._running_ns.values()) + ALIVE_WITHIN_NS
        is_content = is_trading and not self._wanted and not self._lifts()
        return () if is_content else [StatusWanted(at_ns=now_ns)]

    def leave(self) -> None:
        """Do nothing any more."""
        self.wake_at_ns = None

    def stop_halting(self) -> None:
        """Halt and restrict no more: the simulation comes to rest."""
        self._rates_per_s.clear()

    def restore(self, event: Event) -> None:
        """A person keeps nothing."""
        raise AssertionError("the operator keeps nothing")

    def describe(self, now_ns: int) -> HealthReported:
        """Return that somebody is there."""
        return HealthReported(
            at_ns=now_ns, service="operator", boot_id=BootId(""), pid=0, uptime_s=0.0, is_ready=True
        )

    def _halt(self, now_ns: int) -> Event:
        """Return a halt as its bytes become one wherever they arrive."""
        return halt_from(self._bytes(), subject=HALT, at_ns=now_ns)

    def _bytes(self) -> bytes:
        """Return what somebody publishes to forbid something: readable or not."""
        self._halt_count += 1
        if self._random.random() < 0.5:
            return self._random.choice(UNREADABLE)
        return b'{"reason":"drill %d","operator":"kim"}' % self._halt_count

    def _lifts(self) -> bool:
        """Return whether to look now after a restriction: at once only when all is to rest."""
        is_time = not self._rates_per_s or self._random.random() < LIFTS
        return self._is_restricted and is_time

    def _restrict(self, now_ns: int) -> Event:
        """Halt a part, or let exposure only become less."""
        self._is_restricted = True
        level = self._random.choice((Level.HALT, Level.REDUCE))
        scope = self._random.choice(self._scopes)
        asked = RestrictionRequested(at_ns=now_ns, level=level, scope=scope)
        return halt_from(self._bytes(), subject=subject_of(asked), at_ns=now_ns)

    def _flatten(self, now_ns: int) -> Event:
        """Close everything in a scope."""
        self._is_restricted = True
        request = FlattenRequest(
            operator="kim", reason="enough", scope=self._random.choice(self._scopes)
        )
        self._request_count += 1
        request_id = f"request-{self._request_count}"
        return FlattenAsked(at_ns=now_ns, request_id=request_id, request=request)

    def _act(self, report: ArbiterReported, now_ns: int) -> Sequence[Event]:
        self._request_count += 1
        request_id = f"request-{self._request_count}"
        if report.locks:
            unlock = UnlockRequest(
                operator="kim", reason="looked into it", lock=report.locks[-1].number
            )
            return [UnlockAsked(at_ns=now_ns, request_id=request_id, request=unlock)]
        number = _to_reset(report, self._lifts())
        if number:
            reset = ResetRequest(operator="kim", reason="looked", halt=number)
            return [ResetAsked(at_ns=now_ns, request_id=request_id, request=reset)]
        self._is_restricted = bool(report.restrictions)
        start = self._wanted[0] if self._wanted else StartRequest(operator="kim")
        self._begun[request_id] = start
        return [StartAsked(at_ns=now_ns, start_id=request_id, request=start)]


def _to_reset(report: ArbiterReported, is_lifting: bool) -> int:
    """Return the number to name in a reset, as a person reads it; 0 where nothing is open."""
    found = OPEN_HALT.search(report.detail)
    if found:
        return int(found[1])
    open_ones = [each.number for each in report.restrictions if not each.is_ending]
    return open_ones[-1] if open_ones and is_lifting else 0


class AuditWanted(Event, frozen=True, kw_only=True):
    """The run is over: everybody is asked for a report."""


class Auditor:
    """Ask everybody for a report over the bus, and keep the answers."""

    keeps: frozenset[type[Event]] = frozenset()

    def __init__(self, hears: frozenset[type[Event]], questions: Sequence[Event]) -> None:
        self.hears = hears | {AuditWanted}
        self.wake_at_ns: int | None = None
        self.answers: dict[type[Event], Event] = {}
        self._questions = questions

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Ask, or note an answer."""
        if isinstance(event, AuditWanted):
            self.answers.clear()
            return self._questions
        self.answers[type(event)] = event
        return ()

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Nothing is ever due."""
        return ()

    def restore(self, event: Event) -> None:
        """Nothing is kept."""
        raise AssertionError("the auditor keeps nothing")

    def describe(self, now_ns: int) -> HealthReported:
        """Return that somebody is there."""
        return HealthReported(
            at_ns=now_ns, service="auditor", boot_id=BootId(""), pid=0, uptime_s=0.0, is_ready=True
        )
