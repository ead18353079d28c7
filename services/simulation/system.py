"""The processes of the whole system, for a simulation: the real cores, put together as live."""

from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from schemas.base import NS_PER_S, AccountId, BootId, Event
from schemas.control import (
    BookWanted,
    EpochEnded,
    EpochStarted,
    HaltRequested,
    LeaseAnswered,
    StartRequest,
)
from schemas.executions import OutcomeRecorded
from schemas.health import HealthReported, LinkChanged
from schemas.venue import (
    OrderPlaced,
    VenueAccepted,
    VenueBook,
    VenueCanceled,
    VenueFilled,
    VenueLinkChanged,
    VenueOrderStatus,
)
from services.breaker.config import BreakerConfig
from services.breaker.core import BreakerCore
from services.breaker.drawdown import AccountTerms
from services.control import ControlGuard
from services.executor.config import ExecutorConfig, VenueConfig
from services.executor.core import ExecutorCore
from services.executor.venues.matching import REQUESTS, VenueCore
from services.feed.core import FeedCore, FeedPlan
from services.gate.config import AccountLimits, GateConfig, InstrumentLimits
from services.gate.config_compliance import (
    ComplianceRules,
    DayTrading,
    Locate,
    SelfTrade,
    WashSale,
)
from services.gate.config_market import DEFAULT, LockedMarket, MarketRules
from services.gate.core import GateCore
from services.runtime.sim_host import Acted, Body, Process
from services.simulation.damage import spoil_journal
from services.simulation.market import INSTRUMENTS, Market
from services.simulation.people import Auditor, Operator, SessionsWanted, StatusWanted
from services.simulation.plan import Plan
from services.simulation.stream import StoredLog, Stream
from services.simulation.trading_halts import TradingHalts
from services.strategy.config import UNHELD, StrategyConfig
from services.strategy.core import StrategyCore

ACCOUNT = AccountId("paper")
CASH = Decimal(1_000_000)
HASH = "simulated"
STALE_AFTER_NS = 10 * NS_PER_S
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
        stale_after_ms=5_000,
        period_collar_bps=Decimal(1_000),
        session_period_quantity_max=Decimal(10_000),
        account_period_quantity_max=Decimal(20_000),
    ),
    accounts={
        ACCOUNT: AccountLimits(
            gross_notional_max=Decimal(50_000),
            net_notional_max=Decimal(50_000),
            session_position_notional_max=Decimal(20_000),
            session_gross_notional_max=Decimal(50_000),
            session_messages_max=500,
            account_messages_max=1_000,
            message_window_ms=1_000,
            signal_life_ms_max=10_000,
            period_ms=10_000,
            session_period_notional_max=Decimal(1_000_000),
            account_period_notional_max=Decimal(2_000_000),
            strategy_messages_max=1_000,
            venue_messages_max=1_000,
            cancel_messages_reserved=100,
            duplicate_window_ms=0,
            strategy_executions_max=10_000,
            execution_window_ms=1_000,
            credit_limit_max=Decimal(100_000),
            currency_values={"USD": Decimal(1)},
        )
    },
    compliance={
        ACCOUNT: ComplianceRules(
            day_trading=DayTrading.NONE,
            wash_sale=WashSale.NONE,
            short_locate=Locate.NONE,
            self_trade=SelfTrade.NONE,
        )
    },
    market={
        DEFAULT: MarketRules(
            locked_market=LockedMarket.ALLOW,
            jump_bps_max=Decimal(1_000),
            jump_quotes_min=2,
            clock_offset_ms_max=0,
        )
    },
)
BREAKERS = BreakerConfig(order_count_max=10_000, error_count_max=10_000)
"""So many orders and errors in a minute are what a simulation is for."""

CLASSES = {
    "restless": "services.simulation.strategies:Restless",
    "greedy": "services.simulation.strategies:Greedy",
}


def session(strategy: str, symbol: str) -> StartRequest:
    """Return the start of one session."""
    return StartRequest(
        operator="kim", strategy=strategy, symbols=(symbol,), initial_capital=Decimal(100_000)
    )


SCOPES = (
    "all",
    "account.paper",
    "venue.sim",
    "session.restless-1",
    "session.greedy-2",
    "symbol.sim.ALPHA",
    "symbol.sim.BETA",
    "desk.7",
)
"""What people halt, restrict and flatten; of the last one nobody knows what it is."""

SESSIONS = (session("restless", "ALPHA"), session("greedy", "BETA"))


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the system is made of; a test takes a safeguard out by putting another in its place."""

    guard: type[ControlGuard] = ControlGuard
    gate: type[GateCore] = GateCore
    executor: type[ExecutorCore] = ExecutorCore
    breaker: type[BreakerCore] = BreakerCore
    stream: type[StoredLog] = StoredLog
    venue: type[VenueCore] = VenueCore
    strategy: type[StrategyCore] = StrategyCore


@dataclass(frozen=True, kw_only=True)
class Cast:
    """Those who are there in every run, and outlive everybody else.

    Attributes:
        operator: the person at the terminal.
        auditor: asks for reports when all is over.
        stream: the server's control stream.
    """

    operator: Operator
    auditor: Auditor
    stream: Stream


def processes(seed: int, cast: Cast, plan: Plan, parts: Parts) -> list[Process]:
    """Return every process of the system.

    Args:
        seed: of the market.
        cast: who outlives every fault.
        plan: how busy the market is, and whether a second gate stands by.
        parts: what the processes are made of.
    """
    gates = ["gate-1", "gate-2"] if plan.has_standby else ["gate"]
    return [
        *_immortals(cast),
        Process(name="recorder", make=lambda _: Body(cores=())),
        Process(name="feed", make=partial(_feed, seed, plan)),
        _venue(parts),
        Process(name="strategy", make=partial(_strategy, parts), damage=spoil_journal),
        *(_gate_process(name, parts) for name in gates),
        Process(
            name="executor",
            make=partial(_executor, parts),
            urgent=CONTROL_LINK,
            is_for_it=partial(_is_for, "executor"),
            notices={"venue": _venue_link_changed},
            writes=frozenset({OrderPlaced}),
            damage=spoil_journal,
            can_double=True,
        ),
        Process(
            name="breaker",
            make=partial(_breaker, parts),
            queries={BookWanted: "executor"},
            damage=spoil_journal,
        ),
    ]


def _feed(seed: int, plan: Plan, boot_id: BootId) -> Body:
    """Return the feed: the real one, where the venue says what is open."""
    every_ns = plan.quote_every_ns
    if not plan.trading_halts_per_s:
        return Body(cores=(Market(seed, boot_id, every_ns),))
    halts = TradingHalts(INSTRUMENTS, seed, plan.trading_halts_per_s, plan.seconds)
    feed = FeedCore(
        FeedPlan(source="sim", stale_after_ns=STALE_AFTER_NS, instruments=tuple(INSTRUMENTS))
    )
    cores = (Market(seed, boot_id, every_ns, halts), feed)
    return Body(cores=cores, act=lambda event, now_ns: ((), ()))


def _venue(parts: Parts) -> Process:
    """Return the exchange. It loses nothing: what it would forget, nobody could tell us.

    What it says of an order may be late, come twice, and pass other reports; what it answers to a
    question is in order, and goes to who asked.
    """
    make = partial(parts.venue, VenueConfig(), INSTRUMENTS, CASH)
    return Process(
        name="venue",
        make=lambda _: Body(cores=(make(),)),
        can_lose_tail=False,
        unruly=frozenset({VenueAccepted, VenueFilled, VenueCanceled}),
        answers=frozenset({VenueBook, VenueOrderStatus}),
    )


def _gate_process(name: str, parts: Parts) -> Process:
    return Process(
        name=name,
        make=partial(_gate, parts),
        urgent=CONTROL_LINK,
        is_for_it=partial(_is_for, "gate"),
        queries={BookWanted: "executor"},
        damage=spoil_journal,
        can_double=True,
    )


def _is_for(component: str, event: Event) -> bool:
    """Return whether a component listens on the event's subject: to its own leases alone."""
    return not isinstance(event, LeaseAnswered) or event.component == component


def _is_worth_a_look(event: Event) -> bool:
    """Return whether the person looks at it: of health, only that of gates and executor."""
    return not isinstance(event, HealthReported) or event.trading_state is not None


def _immortals(cast: Cast) -> list[Process]:
    """Return those that no fault befalls: the people, and the server with its stream."""
    person, auditor, server = (
        Body(cores=(core,)) for core in (cast.operator, cast.auditor, cast.stream)
    )
    return [
        Process(
            name="operator",
            make=lambda _: person,
            queries={StatusWanted: "breaker"},
            is_for_it=_is_worth_a_look,
            is_mortal=False,
            has_health=False,
        ),
        Process(
            name="auditor",
            make=lambda _: auditor,
            queries={StatusWanted: "breaker", BookWanted: "executor", SessionsWanted: "strategy"},
            is_for_it=lambda event: False,
            is_mortal=False,
            has_health=False,
        ),
        Process(
            name="stream",
            make=lambda _: server,
            notices={"breaker": _link_changed},
            after_outage=cast.stream.lose_tail,
            is_mortal=False,
            can_stall=True,
            has_health=False,
        ),
    ]


def _strategy(parts: Parts, boot_id: BootId) -> Body:
    config = StrategyConfig(classes=CLASSES, sessions_max=20, execution=UNHELD)
    return Body(cores=(parts.strategy(config, ACCOUNT, INSTRUMENTS, boot_id=boot_id),))


def _gate(parts: Parts, boot_id: BootId) -> Body:
    guard = parts.guard("gate", boot_id, HASH)
    core = parts.gate(LIMITS, INSTRUMENTS, guard)
    return Body(cores=(guard, core), health=guard.describe)


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

    return Body(cores=(guard, core), act=act, health=guard.describe)


def _breaker(parts: Parts, boot_id: BootId) -> Body:
    terms = AccountTerms(id=ACCOUNT, initial_cash=CASH, instruments=INSTRUMENTS)
    core = parts.breaker(BREAKERS, terms, boot_id=boot_id, limits_hash=HASH)
    return Body(cores=(core,))


def _link_changed(is_up: bool, now_ns: int) -> Event:
    return LinkChanged(at_ns=now_ns, is_up=is_up)


def _venue_link_changed(is_up: bool, now_ns: int) -> Event:
    return VenueLinkChanged(at_ns=now_ns, is_up=is_up)
