"""From the cause to nothing at the venue, for each breaker, through every core of the system."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal

import msgspec
import pytest

from schemas.base import Event, SignalId
from schemas.control import (
    BreakerTripped,
    ControlSequenceRead,
    HaltRequested,
    StartRequest,
    TradingState,
)
from schemas.executions import OrderSubmitted
from schemas.health import AlertRaised, HealthReported
from schemas.market import QuoteReceived
from schemas.orders import OrderApproved, Outcome, SignalDecided, SignalRaised
from services import system as composition
from services.breaker.config import BreakerConfig
from services.breaker.table import ABOUT
from services.breaker.watch import Roster
from services.executor.config import VenueConfig
from services.strategy.config import UNHELD, StrategyConfig
from services.system import FusedSystem, FusedTerms
from tests.breaker_rig import alert, only
from tests.builders import ACCOUNT, ALPHA, BETA, MS_NS, S_NS, instrument, quote
from tests.control_rig import health, reset
from tests.fused_rig import GATE

T0_NS = 1_800_000_000 * S_NS
CASH = Decimal(100_000)


class Chain:
    """The whole system in one process, trading; what happens is in `journal`.

    Attributes:
        journal: every event, in the order in which it happened.
        now_ns: the time of the market.
    """

    def __init__(self, breaker: BreakerConfig, *, reject_rate: float = 0.0) -> None:
        self.journal: list[Event] = []
        self.now_ns = T0_NS
        terms = FusedTerms(
            account=ACCOUNT,
            initial_cash=CASH,
            instruments={ALPHA: instrument(ALPHA), BETA: instrument(BETA)},
            gate=GATE,
            strategy=StrategyConfig(
                classes={"buyer": "tests.strategy_rig:BuyEachQuote"}, execution=UNHELD
            ),
            venue=VenueConfig(reject_rate=reject_rate),
            breaker=breaker,
        )
        self.system = FusedSystem(terms, journal=self.journal.append)
        self.system.start(
            StartRequest(
                operator="kim",
                strategy="buyer",
                symbols=(ALPHA,),
                initial_capital=CASH,
            ),
            T0_NS,
        )

    def market(self, count: int, price: str = "100", *, step_ns: int = 100 * MS_NS) -> None:
        """Let `count` quotes of both instruments come."""
        self.tell(*self._quotes(count, price, step_ns))

    def tell(self, *events: Event) -> None:
        self.system.fused.run(events)

    def sent(self, after: int = 0) -> int:
        """Return how many orders were written to the venue since the journal had `after`."""
        return sum(isinstance(each, OrderSubmitted) for each in self.journal[after:])

    def trips(self) -> list[str]:
        return [each.breaker for each in self.journal if isinstance(each, BreakerTripped)]

    def rogue_signal(self) -> SignalDecided:
        """Raise a signal as a strategy that heard no halt would; return the gate's word."""
        known = next(each for each in self.journal if isinstance(each, SignalRaised))
        self.now_ns += MS_NS
        signal = msgspec.structs.replace(
            known,
            at_ns=self.now_ns,
            signal_id=SignalId(f"rogue-{self.now_ns}"),
            expires_at_ns=self.now_ns + S_NS,
        )
        self.tell(signal)
        decided = self.journal[::-1]
        return next(each for each in decided if isinstance(each, SignalDecided))

    def rogue_approval(self) -> None:
        """Approve an order as a gate that heard no halt would."""
        known = next(each for each in self.journal if isinstance(each, OrderApproved))
        self.now_ns += MS_NS
        order = msgspec.structs.replace(
            known.order, order_id=f"rogue-{self.now_ns}", expires_at_ns=self.now_ns + S_NS
        )
        self.tell(msgspec.structs.replace(known, at_ns=self.now_ns, order=order))

    def states(self) -> tuple[TradingState | None, TradingState | None]:
        """Return what gate and executor may do."""
        cores = self.system.fused._cores
        found = [c.describe(self.now_ns) for c in cores if type(c).__name__ == "ControlGuard"]
        states = [each.trading_state for each in found if isinstance(each, HealthReported)]
        return states[0], states[1]

    def _quotes(self, count: int, price: str, step_ns: int) -> Iterator[QuoteReceived]:
        for _ in range(count):
            self.now_ns += step_ns
            yield quote(price, price, at_ns=self.now_ns, instrument=BETA)
            yield quote(price, price, at_ns=self.now_ns)


Cause = Callable[[Chain], None]


def falls(chain: Chain) -> None:
    """The price falls while it is held: from 100 to 40 in steps of one."""
    for price in range(99, 39, -1):
        chain.market(3, str(price), step_ns=100 * MS_NS)


def nothing_special(chain: Chain) -> None:
    """It goes on trading as before."""
    chain.market(60)


def told(*events: Event) -> Cause:
    def cause(chain: Chain) -> None:
        stamped = [msgspec.structs.replace(e, at_ns=chain.now_ns + n) for n, e in enumerate(events)]
        chain.tell(*stamped)
        chain.market(10)

    return cause


def no_price_of_what_is_held(chain: Chain) -> None:
    """Another instrument is quoted for a minute; the one that is held is not."""
    for _ in range(60):
        chain.now_ns += S_NS
        chain.tell(quote(at_ns=chain.now_ns, instrument=BETA))


def nobody_records(chain: Chain) -> None:
    """The market goes on for half a minute, and the recorder says nothing."""
    chain.market(30, step_ns=S_NS)


def report(**fields: object) -> HealthReported:
    return msgspec.structs.replace(health("feed"), **fields)


CHAINS: dict[str, tuple[BreakerConfig, Cause]] = {
    "drawdown": (only("drawdown", ("0.001", "halt")), falls),
    "daily_loss": (only("daily_loss", ("0.001", "halt")), falls),
    "daily_loss_amount": (only("daily_loss_amount", ("100", "halt")), falls),
    "order_rate": (only("order_rate", ("40", "halt")), nothing_special),
    "order_errors": (only("order_errors", ("30", "halt")), nothing_special),
    "broker_errors": (
        only("broker_errors", ("3", "halt")),
        told(*(alert("SLU-130", "executor") for _ in range(3))),
    ),
    "data_errors": (
        only("data_errors", ("3", "halt")),
        told(*(alert("SLU-112") for _ in range(3))),
    ),
    "reconciliation": (
        only("reconciliation", ("1", "halt")),
        told(alert("SLU-131", "executor")),
    ),
    "stale_data": (only("stale_data", ("30", "halt")), no_price_of_what_is_held),
    "recorder": (only("recorder", ("15", "halt")), nobody_records),
    "disk": (
        only("disk", ("1000", "halt")),
        told(ControlSequenceRead(at_ns=0, last_seq=1, epoch=1, disk_free_bytes=999)),
    ),
    "memory": (only("memory", ("1000", "halt")), told(report(rss_bytes=1_000))),
    "system_memory": (
        only("system_memory", ("0.95", "halt")),
        told(report(memory_used_share=0.96)),
    ),
    "message_lag": (only("message_lag", ("10", "halt")), told(report(lag_ms=10_500.0))),
}
REQUIREMENTS = ("B-01", "B-02", "B-03", "B-04", "B-06", "O-05", "G-09")


@pytest.fixture(autouse=True)
def _a_recorder_is_awaited(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """In one process nobody records; where the chain is about that, somebody has to."""
    if "recorder" in request.node.name:
        monkeypatch.setattr(composition, "Roster", lambda **_: Roster(members=MEMBERS))


MEMBERS = ("gate", "executor", "strategy")


def trading(config: BreakerConfig, breaker: str) -> Chain:
    """Return a system that holds something and goes on buying."""
    rate = 0.5 if breaker == "order_errors" else 0.0
    chain = Chain.__new__(Chain) if breaker == "recorder" else Chain(config, reject_rate=rate)
    if breaker == "recorder":
        chain = _with_recorder(config)
    chain.market(20)
    assert chain.sent() >= 10
    return chain


def _with_recorder(config: BreakerConfig) -> Chain:
    """Return a chain whose recorder was heard once, just before the start."""
    original = FusedSystem.start

    def start(self: FusedSystem, request: StartRequest, at_ns: int) -> object:
        self.fused.run([msgspec.structs.replace(health("recorder"), at_ns=at_ns)])
        return original(self, request, at_ns)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FusedSystem, "start", start)
        return Chain(config)


def index_of(kind: type[Event], journal: Sequence[Event]) -> int:
    return next(at for at, each in enumerate(journal) if isinstance(each, kind))


def test_there_is_a_chain_for_every_breaker_of_the_table() -> None:
    assert list(CHAINS) == list(ABOUT)


@pytest.mark.req(*REQUIREMENTS)
@pytest.mark.parametrize("breaker", CHAINS)
def test_from_the_cause_to_nothing_more_at_the_venue(breaker: str) -> None:
    config, cause = CHAINS[breaker]
    chain = trading(config, breaker)
    assert chain.states() == (TradingState.RUNNING, TradingState.RUNNING)

    cause(chain)

    assert chain.trips() == [breaker]
    halted_at = index_of(HaltRequested, chain.journal)
    halted = chain.journal[halted_at]
    assert isinstance(halted, HaltRequested)
    assert (halted.operator, halted.scope) == (f"breaker.{breaker}", "all")
    assert isinstance(chain.journal[halted_at + 1], BreakerTripped)
    raised = [each for each in chain.journal if isinstance(each, AlertRaised)]
    assert f"breaker {breaker} tripped" in raised[-1].message
    assert chain.states() == (TradingState.HALTED, TradingState.HALTED)
    chain.market(20)
    decided = chain.rogue_signal()
    assert decided.outcome is Outcome.REJECTED
    chain.rogue_approval()
    assert chain.sent(after=halted_at) == 0


@pytest.mark.parametrize("breaker", CHAINS)
def test_without_the_breaker_the_same_cause_lets_orders_go_on(breaker: str) -> None:
    """Ablation: the breaker is there and has no level; the harm is orders after the cause."""
    _, cause = CHAINS[breaker]
    chain = trading(only(breaker), breaker)
    cause(chain)
    before = len(chain.journal)
    chain.market(20, "40" if cause is falls else "100")
    assert chain.trips() == []
    assert chain.sent(after=before) > 0


@pytest.mark.req("B-05", "O-05")
def test_a_person_halts_by_the_same_chain() -> None:
    chain = trading(BreakerConfig(levels=dict.fromkeys(ABOUT, ())), "manual")
    at = len(chain.journal)
    chain.tell(HaltRequested(at_ns=chain.now_ns, reason="fat finger", operator="kim"))
    chain.market(20)
    assert chain.rogue_signal().outcome is Outcome.REJECTED
    chain.rogue_approval()
    assert (chain.sent(after=at), chain.states()[1]) == (0, TradingState.HALTED)


@pytest.mark.req("B-06")
def test_a_reset_permits_and_starts_nothing() -> None:
    config, cause = CHAINS["order_rate"]
    chain = trading(config, "order_rate")
    cause(chain)
    at = len(chain.journal)
    chain.tell(msgspec.structs.replace(reset(1), at_ns=chain.now_ns))
    chain.market(20)
    assert (chain.sent(after=at), chain.states()[0]) == (0, TradingState.HALTED)
