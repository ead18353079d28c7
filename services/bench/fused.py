"""`fused`: a backtest of 1,000,000 quotes through every core of the live system."""

import gc
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from schemas.base import Event
from schemas.market import QuoteReceived
from services.bench.fused_stream import DECODE, TRADE, measure, write
from services.bench.fused_system import TRADING, request, system
from services.bench.result import Result, middle
from services.core import NOTHING, tell
from services.feed.simulated import Simulated, synthetic_quotes

GOALS = {"idle_per_s": 1_000_000.0, "trading_per_s": 300_000.0, "streamed_per_s": 200_000.0}
STREAMED_MB_MAX = 150.0
GOAL = (
    "(a) idle >= 1,000,000 quotes/s, (b) trading >= 300,000 quotes/s, (c) trading, streamed from a "
    "recording >= 200,000 quotes/s in < 150 MB"
)
QUOTES = 1_000_000


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
    """Measure idle, trading, streamed, the bare loop and bare decoding, turn about."""
    quotes = synthetic_quotes(QUOTES)
    values: list[dict[str, float]] = []
    bare: list[dict[str, float]] = []
    with TemporaryDirectory(prefix="sluice-fused-") as folder:
        path = Path(folder) / "quotes.csv"
        write(path, Simulated().instruments(), quotes)
        for _ in range(rounds):
            idle, _ = quotes_per_s("idle", quotes)
            trading, orders = quotes_per_s(TRADING, quotes)
            streamed, decoded = measure(TRADE, path), measure(DECODE, path)
            assert streamed.quote_count == decoded.quote_count == len(quotes), "a quote was lost"
            assert streamed.order_count == orders, "a recording traded otherwise than memory"
            values.append(
                {
                    "idle_per_s": idle,
                    "trading_per_s": trading,
                    "orders_count": orders,
                    "streamed_per_s": streamed.quotes_per_s,
                    "streamed_mb": streamed.resident_mb,
                }
            )
            bare.append({"bare_per_s": bare_per_s(quotes), "decoded_per_s": decoded.quotes_per_s})
    return _result(middle(values), middle(bare), rounds)


def _result(value: dict[str, float], yardstick: dict[str, float], rounds: int) -> Result:
    bare, decoded = yardstick["bare_per_s"], yardstick["decoded_per_s"]
    is_fast = all(value[name] >= least for name, least in GOALS.items())
    return Result(
        value=value,
        yardstick=yardstick,
        ratio={
            "idle": round(value["idle_per_s"] / bare, 3),
            "trading": round(value["trading_per_s"] / bare, 3),
            "streamed": round(value["streamed_per_s"] / decoded, 3),
        },
        goal=GOAL,
        ok=is_fast and value["streamed_mb"] < STREAMED_MB_MAX,
        rounds=rounds,
    )
