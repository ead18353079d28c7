"""`gate`: the gate core alone, bytes of a signal in, bytes of decision and order out."""

import gc
import time
from collections.abc import Sequence
from decimal import Decimal
from statistics import median
from typing import NamedTuple

import msgspec

from schemas.base import NS_PER_S, AccountId, BootId, Event, InstrumentId, SessionId, SignalId
from schemas.control import EpochStarted, LeaseAnswered, Member
from schemas.executions import BookReported, OrderCanceled
from schemas.instruments import AssetClass, Instrument
from schemas.market import QuoteReceived
from schemas.orders import OrderApproved, OrderType, Side, SignalRaised
from schemas.sessions import SessionCreated
from schemas.wire import decode, encode
from services.bench.open_limits import HUGE, open_limits
from services.bench.result import Result, latencies_us, middle
from services.calendars.named import ALL_DAY
from services.control import LEASE_UNLIMITED_NS, ControlGuard
from services.core import tell
from services.gate.config import GateConfig
from services.gate.config_groups import GroupLimits
from services.gate.core import GateCore

ACCOUNT = AccountId("bench")
GOAL = "p50 <= 15 us, p99 < 100 us; largest setting <= 1.25 x the smallest"
P50_US_MAX, P99_US_MAX, GROWTH_MAX = 15.0, 100.0, 1.25
SIGNALS, FLOODED = 5_000, 1_000
START_NS = 1_700_000_000 * NS_PER_S
SMALL, LARGE = (10, 1, 0), (1_000, 100, 10_000)
"""(symbols, sessions, open orders)"""


def gate_config() -> GateConfig:
    """Return a configuration in which every limit is set, and none is in the way."""
    return open_limits(ACCOUNT)


def every_group() -> GateConfig:
    """Return the same with limits of every kind of group: every check on exposure is made."""
    groups = {"default": GroupLimits(gross_notional_max=HUGE, net_notional_max=HUGE)}
    return open_limits(
        ACCOUNT, sectors=groups, asset_classes=groups, venues=groups, strategies=groups
    )


def instruments(count: int) -> dict[InstrumentId, Instrument]:
    """Return `count` instruments of a venue that exists nowhere, in ten sectors."""
    names = [InstrumentId(f"bench:S{number:04d}") for number in range(count)]
    cent, one = Decimal("0.01"), Decimal(1)
    return {
        name: Instrument(
            id=name,
            asset_class=AssetClass.EQUITY,
            currency="USD",
            tick_size=cent,
            lot_size=one,
            sector=f"sector-{number % 10}",
            calendar=ALL_DAY,
        )
        for number, name in enumerate(names)
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


def loaded_gate(symbols: int, open_orders: int, sessions: int = 1) -> GateCore:
    """Return a gate that runs, knows its sessions, exposure and market, and has open orders."""
    gate = GateCore(every_group(), instruments(symbols), running_guard("gate"))
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
    for number in range(sessions):
        tell(gate, _session(number), START_NS)
    for signal in signals("open", open_orders, symbols, sessions):
        approved = tell(gate, signal, START_NS)
        assert any(isinstance(event, OrderApproved) for event in approved), approved
    return gate


def _session(number: int) -> SessionCreated:
    return SessionCreated(
        at_ns=START_NS,
        session=SessionId(f"s{number}"),
        start_id="bench",
        strategy=f"strategy-{number % 10}",
        account=ACCOUNT,
        instruments=(),
        initial_capital=Decimal(1),
    )


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


class Decided(NamedTuple):
    """How long decisions took, in ns."""

    out: list[int]
    """From the bytes of a signal to those of its decision and order."""

    whole: list[int]
    """The same, and until the gate has counted what left and takes the next in."""


def decide_ns(gate: GateCore, frames: Sequence[bytes]) -> Decided:
    """Return the time of each decision; every order is cancelled again, off the clock."""
    took = Decided([], [])
    for frame in frames:
        before_ns = time.perf_counter_ns()
        [signal] = decode(frame, subject="signal.bench")
        said = tell(gate, signal, START_NS)
        for event in said:
            encode(event)
        out_ns = time.perf_counter_ns()
        tell(gate, None, START_NS)
        took.whole.append(time.perf_counter_ns() - before_ns)
        took.out.append(out_ns - before_ns)
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


def beside_a_flood_ns(gate: GateCore, frames: Sequence[bytes]) -> list[int]:
    """Return the time of each decision of one session while others flood the gate (G-11).

    Before each decision, off the clock, ten signals of a session that misbehaves are denied: no
    quantity, no such instrument, a name that no subject can hold.
    """
    took: list[int] = []
    noise = signals("noise", 10 * len(frames), 10, 1)
    for number, frame in enumerate(frames):
        for mistaken in noise[10 * number : 10 * number + 10]:
            tell(gate, _nonsense(mistaken, number), START_NS)
        took += decide_ns(gate, [frame]).out
    return took


def _nonsense(signal: SignalRaised, number: int) -> SignalRaised:
    session = SessionId("a b" if number % 3 == 0 else "noisy")
    instrument = InstrumentId("bench:NONE") if number % 3 == 1 else signal.instrument
    replaced: SignalRaised = msgspec.structs.replace(
        signal, session=session, instrument=instrument, quantity=Decimal("NaN")
    )
    return replaced


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


def _beside(number: int) -> dict[str, float]:
    symbols, sessions, open_orders = SMALL
    frames = [encode(each) for each in signals(f"f{number}", FLOODED, symbols, sessions)]
    gate = loaded_gate(symbols, open_orders, sessions)
    gc.collect()
    return latencies_us(beside_a_flood_ns(gate, frames))


def run(rounds: int = 5) -> Result:
    """Measure the smallest and the largest setting, turn about, and the codec alone."""
    small: list[dict[str, float]] = []
    large: list[dict[str, float]] = []
    beside: list[dict[str, float]] = []
    bare: list[dict[str, float]] = []
    whole: dict[str, list[float]] = {"small": [], "large": []}
    for number in range(rounds):
        for found, (symbols, sessions, open_orders) in ((small, SMALL), (large, LARGE)):
            gate = loaded_gate(symbols, open_orders, sessions)
            made = signals(f"r{number}", SIGNALS, symbols, sessions)
            frames = [encode(signal) for signal in made]
            gc.collect()
            took = decide_ns(gate, frames)
            found.append(latencies_us(took.out))
            whole["small" if found is small else "large"].append(median(took.whole) / 1_000)
        beside.append(_beside(number))
        sample = loaded_gate(*SMALL[::2])
        bare.append(latencies_us(codec_ns(frames, tell(sample, made[0], START_NS))))
    value = {f"small_{k}": v for k, v in middle(small).items()}
    value |= {f"large_{k}": v for k, v in middle(large).items()}
    value |= {f"beside_flood_{k}": v for k, v in middle(beside).items()}
    value |= {f"{k}_until_counted_p50_us": round(median(v), 1) for k, v in whole.items()}
    yardstick = middle(bare)
    growth = round(value["large_p50_us"] / value["small_p50_us"], 2)
    is_fast = value["large_p50_us"] <= P50_US_MAX and value["large_p99_us"] < P99_US_MAX
    return Result(
        value=value,
        yardstick=yardstick,
        ratio={
            "p50": round(value["small_p50_us"] / yardstick["p50_us"], 2),
            "growth": growth,
            "beside_flood": round(value["beside_flood_p50_us"] / value["small_p50_us"], 2),
        },
        goal=GOAL,
        ok=is_fast and growth <= GROWTH_MAX,
        rounds=rounds,
    )
