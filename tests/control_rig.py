"""A breaker core with its control stream and scripted members: scenarios, event by event."""

from collections import deque
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from schemas.base import BootId, Event, SessionId
from schemas.control import (
    ControlAnswered,
    EpochStarted,
    HaltRequested,
    LeaseAnswered,
    LeaseAsked,
    PrepareAsked,
    Prepared,
    ResetAsked,
    ResetRequest,
    StartAsked,
    StartRequest,
)
from schemas.errors import FieldError
from schemas.executions import BookReported, PositionView
from schemas.health import HealthReported
from schemas.restrictions import (
    Level,
    LockRequested,
    Restriction,
    RestrictionRequested,
    UnlockAsked,
    UnlockRequest,
)
from services.breaker.config import BreakerConfig
from services.breaker.control_log import ControlLog
from services.breaker.core import BreakerCore
from services.breaker.drawdown import AccountTerms
from services.breaker.watch import Roster
from services.core import Core, tell
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, instrument

HASH = "limits-1"
MEMBERS = ("gate", "executor", "strategy")
TERMS = AccountTerms(
    id=ACCOUNT,
    initial_cash=Decimal(100_000),
    instruments={ALPHA: instrument(ALPHA), BETA: instrument(BETA, multiplier="2")},
)
_E = TypeVar("_E", bound=Event)
_F = TypeVar("_F", HaltRequested, RestrictionRequested)


def boot(component: str, generation: int = 1) -> BootId:
    return BootId(f"{component}-{generation}")


def halt(reason: str = "fat finger", operator: str = "kim", at_ns: int = 0) -> HaltRequested:
    return HaltRequested(at_ns=at_ns, reason=reason, operator=operator)


def own(fact: _F) -> _F:
    """Return a halt or restriction as the breaker service itself asks for it."""
    return msgspec.structs.replace(fact, src="breaker")


def health(
    service: str, *, generation: int = 1, is_ready: bool = True, detail: str = ""
) -> HealthReported:
    return HealthReported(
        at_ns=0,
        service=service,
        boot_id=boot(service, generation),
        pid=1,
        uptime_s=1.0,
        is_ready=is_ready,
        detail=detail,
    )


def start(start_id: str = "start-1", operator: str = "kim", **fields: Any) -> StartAsked:
    request = StartRequest(operator=operator, **fields)
    return StartAsked(at_ns=0, start_id=start_id, request=request)


def reset(
    number: int, *, operator: str = "kim", reason: str = "looked", request_id: str = "reset-1"
) -> ResetAsked:
    request = ResetRequest(operator=operator, reason=reason, halt=number)
    return ResetAsked(at_ns=0, request_id=request_id, request=request)


def restriction(
    scope: str = "symbol.sim.ALPHA",
    level: Level = Level.HALT,
    *,
    reason: str = "odd prices",
    operator: str = "kim",
) -> RestrictionRequested:
    return RestrictionRequested(at_ns=0, scope=scope, level=level, reason=reason, operator=operator)


def lock(reason: str = "one id, two orders", component: str = "executor") -> LockRequested:
    return LockRequested(at_ns=0, component=component, code="SLU-133", reason=reason)


def unlock(
    number: int, *, operator: str = "kim", reason: str = "looked", request_id: str = "unlock-1"
) -> UnlockAsked:
    request = UnlockRequest(operator=operator, reason=reason, lock=number)
    return UnlockAsked(at_ns=0, request_id=request_id, request=request)


def prepared(
    component: str,
    start_id: str = "start-1",
    *,
    generation: int = 1,
    halts: int = 0,
    epoch_max: int = 0,
    limits_hash: str | None = None,
    is_reconciled: bool = True,
    errors: Iterable[FieldError] = (),
    session: str | None = None,
    unconfirmed: Iterable[Restriction] = (),
) -> Prepared:
    own_hash = "" if component == "strategy" else HASH
    return Prepared(
        at_ns=0,
        start_id=start_id,
        component=component,
        boot_id=boot(component, generation),
        limits_hash=own_hash if limits_hash is None else limits_hash,
        halts=0 if component == "strategy" else halts,
        epoch_max=epoch_max,
        is_reconciled=is_reconciled,
        errors=tuple(errors),
        session=None if session is None else SessionId(session),
        unconfirmed=tuple(unconfirmed),
    )


def question(
    component: str = "gate", *, epoch: int = 1, generation: int = 1, halts: int = 0, at_ns: int = 0
) -> LeaseAsked:
    return LeaseAsked(
        at_ns=at_ns,
        component=component,
        boot_id=boot(component, generation),
        epoch=epoch,
        halts=halts,
    )


def book(cash: str = "100000", **quantities: str) -> BookReported:
    """Return the executor's book; `ALPHA="10"` holds ten of it."""
    return BookReported(
        at_ns=0,
        account=ACCOUNT,
        cash=Decimal(cash),
        positions=tuple(
            PositionView(instrument={"ALPHA": ALPHA, "BETA": BETA}[name], quantity=Decimal(q))
            for name, q in quantities.items()
        ),
    )


def breaker_core(
    config: BreakerConfig | None = None, *, generation: int = 1, roster: Roster | None = None
) -> BreakerCore:
    return BreakerCore(
        config or BreakerConfig(),
        TERMS,
        boot_id=boot("breaker", generation),
        limits_hash=HASH,
        roster=roster or Roster(),
    )


class ControlRig:
    """Tell the core, carry what it says to the control stream and back; answer prepares.

    Attributes:
        said: everything the core has said, in order.
        kept: its journal.
        members_halts: what gate and executor say they have heard, in their answers.
        members_unconfirmed: the restrictions that the gate names in its own.
    """

    def __init__(
        self, core: BreakerCore | None = None, log: Core | None = None, now_ns: int = S_NS
    ) -> None:
        self.core = core or breaker_core()
        self.log = log or ControlLog()
        self.now_ns = now_ns
        self.said: list[Event] = []
        self.kept: list[Event] = []
        self.members_halts = 0
        self.members_unconfirmed: tuple[Restriction, ...] = ()
        self.are_members_up = True
        self.generations = dict.fromkeys(MEMBERS, 1)
        self.start_count = 0
        self.reset_count = 0

    def tell(self, *events: Event) -> list[Event]:
        """Return what the core says to the events, and to what follows from them."""
        before = len(self.said)
        for event in events:
            queue: deque[Event] = deque([event])
            while queue:
                queue.extend(self._one(queue.popleft()))
        return self.said[before:]

    def wait(self, nanoseconds: int) -> list[Event]:
        """Let time pass; return what the core says meanwhile, each at its own deadline."""
        before, until_ns = len(self.said), self.now_ns + nanoseconds
        while self.core.wake_at_ns is not None and self.core.wake_at_ns <= until_ns:
            self.now_ns = max(self.now_ns, self.core.wake_at_ns)
            for said in self._note(tell(self.core, None, self.now_ns)):
                self._carry(said)
        self.now_ns = until_ns
        return self.said[before:]

    def ready(self) -> "ControlRig":
        """Return itself, with a recorder that is alive and a book that is known."""
        self.tell(health("recorder"), book())
        self.wait(0)
        self.said.clear()
        return self

    def run(self, **fields: Any) -> EpochStarted:
        """Start, and return the epoch that came of it."""
        self.start_count += 1
        self.tell(start(f"start-{self.start_count}", **fields))
        [epoch] = [e for e in self.said[-2:] if isinstance(e, EpochStarted)]
        return epoch

    def ask(self, component: str = "gate", **fields: Any) -> LeaseAnswered:
        """Return the answer to a lease asked for now."""
        said = self.tell(question(component, at_ns=self.now_ns, **fields))
        [answer] = [e for e in said if isinstance(e, LeaseAnswered)]
        return answer

    def reset(self, number: int, **fields: Any) -> ControlAnswered:
        """Return the answer to a reset that names this halt."""
        said = self.tell(reset(number, **fields))
        [answer] = [e for e in said if isinstance(e, ControlAnswered)]
        return answer

    def unlock(self, number: int, **fields: Any) -> ControlAnswered:
        """Return the answer to an unlock that names this lock."""
        said = self.tell(unlock(number, **fields))
        [answer] = [e for e in said if isinstance(e, ControlAnswered)]
        return answer

    def restart(self, generation: int = 2, config: BreakerConfig | None = None) -> None:
        """The breaker process dies and comes back: only its journal is left."""
        self.core = breaker_core(config, generation=generation)
        for event in self.kept:
            self.core.restore(event)

    def answer_of(self, said: Sequence[Event]) -> ControlAnswered:
        """Return the one control answer among `said`."""
        [answer] = [e for e in said if isinstance(e, ControlAnswered)]
        return answer

    def _one(self, event: Event) -> list[Event]:
        follows: list[Event] = []
        if type(event) in self.log.hears:
            follows += self.log.handle(event, self.now_ns)
        if type(event) in self.core.hears:
            if type(event) in self.core.keeps:
                self.kept.append(event)
            for said in self._note(tell(self.core, event, self.now_ns)):
                follows += self._follow(said)
        return follows

    def _carry(self, event: Event) -> None:
        for each in self._follow(event):
            self.tell(each)

    def _follow(self, said: Event) -> list[Event]:
        follows: list[Event] = []
        if type(said) in self.log.hears:
            follows += self.log.handle(said, self.now_ns)
        if isinstance(said, PrepareAsked) and self.are_members_up:
            follows += [
                prepared(
                    name,
                    said.start_id,
                    halts=self.members_halts,
                    generation=self.generations[name],
                    unconfirmed=self.members_unconfirmed if name == "gate" else (),
                )
                for name in MEMBERS
            ]
        return follows

    def _note(self, said: Sequence[Event]) -> list[Event]:
        self.said += said
        self.kept += [event for event in said if type(event) in self.core.keeps]
        return list(said)


def only(kind: type[_E], said: Sequence[Event]) -> _E:
    """Return the one event of this kind."""
    [found] = [event for event in said if isinstance(event, kind)]
    return found


def kinds(said: Sequence[Event]) -> list[str]:
    """Return the names of the events, in order."""
    return [type(event).__name__ for event in said]
