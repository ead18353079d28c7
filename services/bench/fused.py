"""`fused`: a backtest of 1,000,000 quotes through every core of the live system."""

import gc
import resource
import time
from collections.abc import Sequence
from decimal import Decimal

from schemas.base import Event
from schemas.control import StartRequest
from schemas.instruments import Instrument
from schemas.market import QuoteReceived
from services.bench.gate import ACCOUNT, gate_config
from services.bench.result import Result, middle
from services.breaker.config import BreakerConfig
from services.core import NOTHING, tell
from services.feed.simulated import Simulated, synthetic_quotes
from services.strategy.config import StrategyConfig
from services.system import FusedSystem, FusedTerms

GOAL = "(a) idle >= 500,000 quotes/s, (b) trading >= 150,000 quotes/s"
IDLE_PER_S_MIN, TRADING_PER_S_MIN = 500_000.0, 150_000.0
QUOTES = 1_000_000
IDLE, TRADING = "services.bench.strategies:Idle", "ema_cross"
SPAN = {"fast": 11, "slow": 24, "quantity": "100"}
"""Averages of ema_cross that cross some 28,000 times in a million of these quotes."""


class Bare:
    """A core with nothing in it: the yardstick hands every quote to three of these."""

    hears: frozenset[type[Event]] = frozenset({QuoteReceived})
    keeps: frozenset[type[Event]] = frozenset()
    wake_at_ns: int | None = None

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Take it, and say nothing."""
        return NOTHING

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Never due."""
        return NOTHING

    def restore(self, event: Event) -> None:
        """Keep nothing."""

    def describe(self, now_ns: int) -> Event:
        """Return nothing worth knowing."""
        raise AssertionError("nobody asks")


def system(instruments: Sequence[Instrument]) -> FusedSystem:
    """Return a system that may trade all it likes in `instruments`."""
    terms = FusedTerms(
        account=ACCOUNT,
        initial_cash=Decimal(10) ** 9,
        instruments={each.id: each for each in instruments},
        gate=gate_config(),
        strategy=StrategyConfig(parameters={"ema_cross": SPAN}, classes={"idle": IDLE}),
        breaker=BreakerConfig(levels=dict.fromkeys(("order_rate", "stale_data"), ())),
    )
    return FusedSystem(terms)


def request(strategy: str, instruments: Sequence[Instrument]) -> StartRequest:
    """Return the start of one session over all instruments."""
    return StartRequest(
        operator="bench",
        strategy=strategy,
        symbols=tuple(each.id for each in instruments),
        initial_capital=Decimal(10) ** 6,
    )


def quotes_per_s(strategy: str, quotes: Sequence[QuoteReceived]) -> tuple[float, int]:
    """Return quotes/s of a whole run, and the orders it made."""
    instruments = Simulated().instruments()
    found = system(instruments)
    gc.collect()
    gc.freeze()
    before_ns = time.perf_counter_ns()
    found.run(quotes, request(strategy, instruments))
    took_s = (time.perf_counter_ns() - before_ns) / 1e9
    gc.unfreeze()
    book = found.executor.describe(quotes[-1].at_ns)
    assert book.fill_count == found.venue.ledger.portfolio.fill_count, "a fill was lost"
    return len(quotes) / took_s, book.order_count


def bare_per_s(quotes: Sequence[QuoteReceived]) -> float:
    """Return quotes/s of a loop that hands each quote to three empty cores."""
    cores = (Bare(), Bare(), Bare())
    before_ns = time.perf_counter_ns()
    for quote in quotes:
        for core in cores:
            tell(core, quote, quote.at_ns)
    return len(quotes) / ((time.perf_counter_ns() - before_ns) / 1e9)


def run(rounds: int = 5) -> Result:
    """Measure idle, trading and the bare loop, turn about, on the same quotes."""
    quotes = synthetic_quotes(QUOTES)
    values: list[dict[str, float]] = []
    bare: list[dict[str, float]] = []
    for _ in range(rounds):
        idle, _ = quotes_per_s("idle", quotes)
        trading, orders = quotes_per_s(TRADING, quotes)
        values.append({"idle_per_s": idle, "trading_per_s": trading, "orders_count": orders})
        bare.append({"bare_per_s": bare_per_s(quotes)})
    value, yardstick = middle(values), middle(bare)
    value["resident_max_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    per_s = yardstick["bare_per_s"]
    return Result(
        value=value,
        yardstick=yardstick,
        ratio={
            "idle": round(value["idle_per_s"] / per_s, 3),
            "trading": round(value["trading_per_s"] / per_s, 3),
        },
        goal=GOAL,
        ok=value["idle_per_s"] >= IDLE_PER_S_MIN and value["trading_per_s"] >= TRADING_PER_S_MIN,
        rounds=rounds,
    )
