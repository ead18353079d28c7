"""The processes of the whole system, for a simulation: the real cores, put together as live."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

import msgspec

from schemas.base import AccountId, BootId, Event
from schemas.control import (
    BookWanted,
    ControlSequenceAsked,
    EpochEnded,
    EpochStarted,
    HaltRequested,
    LeaseAnswered,
    StartRequest,
)
from schemas.executions import OutcomeRecorded
from schemas.health import LinkChanged
from schemas.venue import OrderPlaced, VenueLinkChanged
from services.breaker.config import BreakerConfig
from services.breaker.control_log import ControlLog
from services.breaker.core import BreakerCore
from services.breaker.drawdown import AccountTerms
from services.control import ControlGuard
from services.executor.config import ExecutorConfig, VenueConfig
from services.executor.core import ExecutorCore
from services.executor.venues.matching import REQUESTS, VenueCore
from services.gate.config import AccountLimits, GateConfig, InstrumentLimits
from services.gate.core import GateCore
from services.runtime.sim_host import Acted, Body, Process
from services.simulation.market import INSTRUMENTS, Market
from services.simulation.people import Operator, StatusWanted
from services.strategy.config import StrategyConfig
from services.strategy.core import StrategyCore

ACCOUNT = AccountId("paper")
CASH = Decimal(1_000_000)
HASH = "simulated"
POSITION_MAX = Decimal(60)
CONTROL_LINK: frozenset[type[Event]] = frozenset(
    {HaltRequested, EpochStarted, EpochEnded, LeaseAnswered}
)
"""What gate and executor hear on a connection of its own."""

LIMITS = GateConfig(
    default=InstrumentLimits(
        order_quantity_max=Decimal(50),
        order_notional_max=Decimal(10_000),
        position_quantity_max=POSITION_MAX,
        position_notional_max=Decimal(20_000),
        price_collar_bps=Decimal(500),
        spread_bps_max=Decimal(100),
        stale_after_ms=1_000,
    ),
    accounts={
        ACCOUNT: AccountLimits(
            gross_notional_max=Decimal(50_000),
            session_messages_max=500,
            account_messages_max=1_000,
            message_window_ms=1_000,
            signal_life_ms_max=10_000,
            currency_values={"USD": Decimal(1)},
        )
    },
)
CLASSES = {
    "restless": "services.simulation.strategies:Restless",
    "greedy": "services.simulation.strategies:Greedy",
}


def session(strategy: str, symbol: str) -> StartRequest:
    """Return the start of one session."""
    return StartRequest(
        operator="kim", strategy=strategy, symbols=(symbol,), initial_capital=Decimal(100_000)
    )


SESSIONS = (session("restless", "ALPHA"), session("greedy", "BETA"))


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the system is made of; a test takes a safeguard out by putting another in its place."""

    guard: type[ControlGuard] = ControlGuard
    gate: type[GateCore] = GateCore
    executor: type[ExecutorCore] = ExecutorCore
    breaker: type[BreakerCore] = BreakerCore
    stream: type[ControlLog] = ControlLog
    venue: type[VenueCore] = VenueCore
    strategy: type[StrategyCore] = StrategyCore


class Stream:
    """The CONTROL stream and the arbiter's shell before it; both outlive the arbiter.

    When the arbiter comes back, what it was not told, or has forgotten, is told first.
    """

    keeps: frozenset[type[Event]] = frozenset()

    def __init__(self, log: ControlLog, position: Callable[[], int]) -> None:
        self.hears = log.hears | {LinkChanged}
        self.wake_at_ns: int | None = None
        self._log = log
        self._position = position

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Store, or read; with the arbiter's return, read by itself, as its shell does."""
        if isinstance(event, HaltRequested):  # the server knows only when it stored it
            return self._log.handle(msgspec.structs.replace(event, at_ns=now_ns), now_ns)
        if not isinstance(event, LinkChanged):
            return self._log.handle(event, now_ns)
        if not event.is_up:
            return ()
        self._log.rewind(self._position())
        return self._log.handle(ControlSequenceAsked(at_ns=now_ns, read_id=0), now_ns)

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Nothing is ever due."""
        return ()

    def restore(self, event: Event) -> None:
        """Nothing is kept: the server outlives everything here."""
        raise AssertionError("the stream keeps no events")

    def describe(self, now_ns: int) -> Event:
        """Return that it is there."""
        return self._log.describe(now_ns)


def processes(
    seed: int, operator: Operator, position: Callable[[], int], parts: Parts
) -> list[Process]:
    """Return every process of the system.

    Args:
        seed: of the market.
        operator: the person at the terminal.
        position: returns the control record that the breaker was told last.
        parts: what the processes are made of.
    """
    venue = partial(parts.venue, VenueConfig(), INSTRUMENTS, CASH)
    return [
        *_immortals(operator, Stream(parts.stream(), position)),
        Process(name="recorder", make=lambda _: Body(cores=())),
        Process(name="feed", make=lambda boot_id: Body(cores=(Market(seed, boot_id),))),
        # A venue loses nothing: what it would forget, nobody could tell us.
        Process(name="venue", make=lambda _: Body(cores=(venue(),)), can_lose_tail=False),
        Process(name="strategy", make=partial(_strategy, parts)),
        Process(
            name="gate",
            make=partial(_gate, parts),
            urgent=CONTROL_LINK,
            queries={BookWanted: "executor"},
        ),
        Process(
            name="executor",
            make=partial(_executor, parts),
            urgent=CONTROL_LINK,
            notices={"venue": _venue_link_changed},
        ),
        Process(name="breaker", make=partial(_breaker, parts), queries={BookWanted: "executor"}),
    ]


def _immortals(operator: Operator, stream: Stream) -> list[Process]:
    """Return those that no fault befalls: the person, and the server with its stream."""
    person, server = Body(cores=(operator,)), Body(cores=(stream,))
    return [
        Process(
            name="operator",
            make=lambda _: person,
            queries={StatusWanted: "breaker"},
            is_mortal=False,
            has_health=False,
        ),
        Process(
            name="stream",
            make=lambda _: server,
            notices={"breaker": _link_changed},
            is_mortal=False,
            has_health=False,
        ),
    ]


def _strategy(parts: Parts, boot_id: BootId) -> Body:
    config = StrategyConfig(classes=CLASSES, sessions_max=20)
    return Body(cores=(parts.strategy(config, ACCOUNT, INSTRUMENTS, boot_id=boot_id),))


def _gate(parts: Parts, boot_id: BootId) -> Body:
    guard = parts.guard("gate", boot_id, HASH)
    return Body(cores=(guard, parts.gate(LIMITS, INSTRUMENTS, guard)))


def _executor(parts: Parts, boot_id: BootId) -> Body:
    guard = parts.guard("executor", boot_id, HASH)
    core = parts.executor(ExecutorConfig(), ACCOUNT, INSTRUMENTS, CASH, guard)

    def act(event: Event, now_ns: int) -> Acted:
        """Check for the last time and write, in one step; the rest of the requests just go out."""
        if isinstance(event, OrderPlaced):
            why = core.may_send(event.order, now_ns)
            outcome = OutcomeRecorded(
                at_ns=now_ns, order_id=event.order.order_id, is_sent=not why, detail=why
            )
            return ((), (outcome,)) if why else ((event,), (outcome,))
        return ((event,), ()) if type(event) in REQUESTS else ((), ())

    return Body(cores=(guard, core), act=act)


def _breaker(parts: Parts, boot_id: BootId) -> Body:
    terms = AccountTerms(id=ACCOUNT, initial_cash=CASH, instruments=INSTRUMENTS)
    core = parts.breaker(BreakerConfig(), terms, boot_id=boot_id, limits_hash=HASH)
    return Body(cores=(core,))


def _link_changed(is_up: bool, now_ns: int) -> Event:
    return LinkChanged(at_ns=now_ns, is_up=is_up)


def _venue_link_changed(is_up: bool, now_ns: int) -> Event:
    return VenueLinkChanged(at_ns=now_ns, is_up=is_up)
