"""`gate`: the gate core alone, bytes of a signal in, bytes of decision and order out."""

import gc
import time
from collections.abc import Sequence
from decimal import Decimal

from schemas.base import NS_PER_S, AccountId, BootId, Event, InstrumentId, SessionId, SignalId
from schemas.control import EpochStarted, LeaseAnswered, Member
from schemas.executions import BookReported, OrderCanceled
from schemas.instruments import AssetClass, Instrument
from schemas.market import QuoteReceived
from schemas.orders import OrderApproved, OrderType, Side, SignalRaised
from schemas.wire import decode, encode
from services.bench.result import Result, latencies_us, middle
from services.control import LEASE_UNLIMITED_NS, ControlGuard
from services.core import tell
from services.gate.config import AccountLimits, GateConfig, InstrumentLimits
from services.gate.core import GateCore

ACCOUNT = AccountId("bench")
GOAL = "p50 <= 20 us, p99 < 100 us; largest setting <= 1.25 x the smallest"
P50_US_MAX, P99_US_MAX, GROWTH_MAX = 20.0, 100.0, 1.25
SIGNALS = 5_000
START_NS = 1_700_000_000 * NS_PER_S
SMALL, LARGE = (10, 1, 0), (1_000, 100, 10_000)
"""(symbols, sessions, open orders)"""


def gate_config() -> GateConfig:
    """Return a configuration in which every limit is set, and none is in the way."""
    huge = Decimal(10) ** 15
    row = InstrumentLimits(
        order_quantity_max=huge,
        order_notional_max=huge,
        position_quantity_max=huge,
        position_notional_max=huge,
        price_collar_bps=Decimal(500),
        spread_bps_max=Decimal(500),
        stale_after_ms=10_000_000,
    )
    account = AccountLimits(
        gross_notional_max=huge,
        session_messages_max=1_000_000,
        account_messages_max=1_000_000,
        message_window_ms=1_000,
        signal_life_ms_max=10_000_000,
        currency_values={"USD": Decimal(1)},
    )
    return GateConfig(default=row, accounts={ACCOUNT: account})


def instruments(count: int) -> dict[InstrumentId, Instrument]:
    """Return `count` instruments of a venue that exists nowhere."""
    names = [InstrumentId(f"bench:S{number:04d}") for number in range(count)]
    cent, one = Decimal("0.01"), Decimal(1)
    return {
        name: Instrument(
            id=name, asset_class=AssetClass.EQUITY, currency="USD", tick_size=cent, lot_size=one
        )
        for name in names
    }


def running_guard(component: str) -> ControlGuard:
    """Return a guard with an epoch and a lease that never ends, as in a backtest."""
    guard = ControlGuard(component, BootId("bench"), lease_ns=LEASE_UNLIMITED_NS)
    member = Member(boot_id=guard.boot_id, halts=0)
    guard.handle(
        EpochStarted(
            at_ns=0,
            epoch=1,
            start_id="b",
            operator="bench",
            members={component: member},
            gate_token=1,
        ),
        0,
    )
    yes = LeaseAnswered(
        at_ns=0, component=component, boot_id=guard.boot_id, epoch=1, asked_ns=0, is_granted=True
    )
    guard.handle(yes, 0)
    return guard


def loaded_gate(symbols: int, open_orders: int) -> GateCore:
    """Return a gate that runs, knows its exposure and the market, and carries open orders."""
    gate = GateCore(gate_config(), instruments(symbols), running_guard("gate"))
    tell(gate, BookReported(at_ns=START_NS, account=ACCOUNT, is_reconciled=True), START_NS)
    for name in instruments(symbols):
        quote = QuoteReceived(
            at_ns=START_NS,
            instrument=name,
            bid=Decimal("99.99"),
            bid_size=Decimal(1_000),
            ask=Decimal("100.01"),
            ask_size=Decimal(1_000),
        )
        tell(gate, quote, START_NS)
    for signal in signals("open", open_orders, symbols, 1):
        approved = tell(gate, signal, START_NS)
        assert any(isinstance(event, OrderApproved) for event in approved), approved
    return gate


def signals(prefix: str, count: int, symbols: int, sessions: int) -> list[SignalRaised]:
    """Return limit orders that alternate sides and go round symbols and sessions."""
    return [
        SignalRaised(
            at_ns=START_NS,
            signal_id=SignalId(f"{prefix}-{number}"),
            account=ACCOUNT,
            session=SessionId(f"s{number % sessions}"),
            instrument=InstrumentId(f"bench:S{number % symbols:04d}"),
            side=Side.BUY if number % 2 else Side.SELL,
            quantity=Decimal(10),
            order_type=OrderType.LIMIT,
            limit_price=Decimal("100.00"),
            expires_at_ns=START_NS + 3_600 * NS_PER_S,
        )
        for number in range(count)
    ]


def decide_ns(gate: GateCore, frames: Sequence[bytes]) -> list[int]:
    """Return the time of each decision; every order is cancelled again, off the clock."""
    took: list[int] = []
    for frame in frames:
        before_ns = time.perf_counter_ns()
        [signal] = decode(frame, subject="signal.bench")
        said = tell(gate, signal, START_NS)
        for event in said:
            encode(event)
        took.append(time.perf_counter_ns() - before_ns)
        _cancel(gate, said)
    return took


def _cancel(gate: GateCore, said: Sequence[Event]) -> None:
    [approved] = [event for event in said if isinstance(event, OrderApproved)]
    order = approved.order
    tell(
        gate,
        OrderCanceled(
            at_ns=START_NS,
            account=order.account,
            session=order.session,
            instrument=order.instrument,
            order_id=order.order_id,
            leaves=order.quantity,
        ),
        START_NS,
    )


def codec_ns(frames: Sequence[bytes], said: Sequence[Event]) -> list[int]:
    """Return the yardstick: the same decoding and encoding, and nothing between."""
    took: list[int] = []
    for frame in frames:
        before_ns = time.perf_counter_ns()
        decode(frame, subject="signal.bench")
        for event in said:
            encode(event)
        took.append(time.perf_counter_ns() - before_ns)
    return took


def run(rounds: int = 5) -> Result:
    """Measure the smallest and the largest setting, turn about, and the codec alone."""
    small: list[dict[str, float]] = []
    large: list[dict[str, float]] = []
    bare: list[dict[str, float]] = []
    for number in range(rounds):
        for found, (symbols, sessions, open_orders) in ((small, SMALL), (large, LARGE)):
            gate = loaded_gate(symbols, open_orders)
            made = signals(f"r{number}", SIGNALS, symbols, sessions)
            frames = [encode(signal) for signal in made]
            gc.collect()
            found.append(latencies_us(decide_ns(gate, frames)))
        sample = loaded_gate(*SMALL[::2])
        bare.append(latencies_us(codec_ns(frames, tell(sample, made[0], START_NS))))
    value = {f"small_{k}": v for k, v in middle(small).items()}
    value |= {f"large_{k}": v for k, v in middle(large).items()}
    yardstick = middle(bare)
    growth = round(value["large_p50_us"] / value["small_p50_us"], 2)
    is_fast = value["large_p50_us"] <= P50_US_MAX and value["large_p99_us"] < P99_US_MAX
    return Result(
        value=value,
        yardstick=yardstick,
        ratio={"p50": round(value["small_p50_us"] / yardstick["p50_us"], 2), "growth": growth},
        goal=GOAL,
        ok=is_fast and growth <= GROWTH_MAX,
        rounds=rounds,
    )
