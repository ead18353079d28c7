"""A session on a market that swings, whose news of executions takes its time to reach it."""

from collections import deque
from collections.abc import Sequence
from decimal import Decimal

from schemas.base import NS_PER_MS, Event, SessionId
from schemas.control import StartRequest
from schemas.executions import ExecutionEvent
from schemas.subjects import subject_of
from schemas.wire import decode_kept, encode
from services.cli.parity import rows_of
from services.core import NOTHING, Core
from services.parity.compare import Row
from services.parity.replay import ReplayTerms
from services.parity.tape import Noted, Tape, tape_of
from services.runtime.fused import Fused, Journal
from services.strategy.catalogue import Catalogue
from services.strategy.config import StrategyConfig
from services.strategy.core import StrategyCore
from services.system import FusedSystem, FusedTerms
from tests.builders import ACCOUNT, ALPHA, S_NS, quote
from tests.fused_rig import CASH, GATE
from tests.strategy_rig import INSTRUMENTS

START_NS = 1_000 * S_NS
SESSION = SessionId("ema_cross-1")
LATE_MS = 251
SWING = (0, 1, 2, 1, 0, 3, 0, 1, 3, 2, 0, 2, 1, 3)
"""Which side is above changes within the time that news of a fill takes, and outside it."""


class Late:
    """The strategy service behind an executor that tells what it did when the disk has it."""

    def __init__(self, core: Core, late_ms: int) -> None:
        self.hears, self.keeps = core.hears, core.keeps
        self.wake_at_ns = core.wake_at_ns
        self._core, self._late_ns = core, late_ms * NS_PER_MS
        self._under_way: deque[tuple[int, Event]] = deque()

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        if isinstance(event, ExecutionEvent) and self._late_ns:
            self._under_way.append((now_ns + self._late_ns, event))
            said: Sequence[Event] = NOTHING
        else:
            said = self._core.handle(event, now_ns)
        self._set_alarm()
        return said

    def wake(self, now_ns: int) -> Sequence[Event]:
        said: list[Event] = []
        while self._under_way and self._under_way[0][0] <= now_ns:
            said += self._core.handle(self._under_way.popleft()[1], now_ns)
        due_ns = self._core.wake_at_ns
        if due_ns is not None and due_ns <= now_ns:
            said += self._core.wake(now_ns)
        self._set_alarm()
        return said

    def _set_alarm(self) -> None:
        due = (self._core.wake_at_ns, *(at_ns for at_ns, _ in self._under_way))
        self.wake_at_ns = min((each for each in due if each is not None), default=None)

    def restore(self, event: Event) -> None:
        self._core.restore(event)

    def describe(self, now_ns: int) -> Event:
        return self._core.describe(now_ns)


def lived(late_ms: int) -> list[Event]:
    """Return what was said in a run in which the strategy heard of executions so much later."""
    journal: list[bytes] = []

    def late(core: Core) -> Core:
        return Late(core, late_ms) if isinstance(core, StrategyCore) else core

    def runtime(cores: Sequence[Core], keep: Journal | None) -> Fused:
        return Fused([late(each) for each in cores], keep)

    terms = FusedTerms(
        account=ACCOUNT,
        initial_cash=CASH,
        instruments=INSTRUMENTS,
        gate=GATE,
        strategy=StrategyConfig(),
    )
    system = FusedSystem(terms, journal=lambda e: journal.append(encode(e)), runtime=runtime)
    request = StartRequest(
        operator="kim",
        strategy="ema_cross",
        symbols=(ALPHA,),
        initial_capital=Decimal(100_000),
        config_overrides={"fast": 1, "slow": 2},
    )
    system.run(_market(), request)
    return [decode_kept(line, where="journal") for line in journal]


def _market() -> list[Event]:
    return [
        quote(
            f"{100 + SWING[n % len(SWING)]}.00",
            f"{100 + SWING[n % len(SWING)]}.02",
            at_ns=START_NS + n * 100 * NS_PER_MS,
        )
        for n in range(600)
    ]


def messages(events: Sequence[Event], late_ms: int = 0) -> list[Noted]:
    """Return the record: what the executor said was stored so much later than said."""
    found: list[Noted] = []
    for event in events:
        try:
            subject = subject_of(event)
        except KeyError:
            continue  # between a core and its shell: on no stream
        late_ns = late_ms * NS_PER_MS if isinstance(event, ExecutionEvent) else 0
        found.append(Noted(subject, event.at_ns + late_ns, encode(event)))
    return found


def taped(events: Sequence[Event], late_ms: int = 0) -> Tape:
    """Return the session's tape."""
    return tape_of(SESSION, messages(events, late_ms), [])


def decided_again(tape: Tape) -> list[Row]:
    """Return its decisions, both sides."""
    terms = ReplayTerms(
        account=ACCOUNT,
        currency="USD",
        instruments=INSTRUMENTS,
        gate=GATE,
        strategy=StrategyConfig(),
    )
    return rows_of(tape, terms, Catalogue())
