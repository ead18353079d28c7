"""A backtest streamed from a recording: `python -m services.bench.fused_stream WHAT PATH`.

A process of its own, so that its resident memory is that of the backtest alone.
"""

import gc
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import psutil

from schemas.errors import BusError
from schemas.instruments import Instrument
from schemas.market import QuoteReceived
from services.bench.fused_system import TRADING, request, system
from services.feed.opening import open_recording
from services.feed.source import Recording, recorded

MB = 1 << 20
DECODE, TRADE = "decode", "trade"
HEADER = "time,instrument,bid,bid_size,ask,ask_size\n"


class Streamed(msgspec.Struct, frozen=True, kw_only=True):
    """What one run found."""

    quotes_per_s: float
    quote_count: int
    order_count: int
    resident_mb: float
    """At the end, when there is most of it. The kernel's own maximum would be that of the parent,
    where a process was made from a larger one."""


def write(path: Path, instruments: Sequence[Instrument], quotes: Sequence[QuoteReceived]) -> None:
    """Write the quotes as a recording that anybody can read: plain CSV."""
    with path.open("w", encoding="utf-8") as file:
        for instrument in instruments:
            file.write(f"#instrument {msgspec.json.encode(instrument).decode()}\n")
        file.write(HEADER)
        file.writelines(
            f"{q.at_ns},{q.instrument},{q.bid},{q.bid_size},{q.ask},{q.ask_size}\n" for q in quotes
        )


def measure(what: str, path: Path) -> Streamed:
    """Return what a process of its own finds.

    Raises:
        BusError: SLU-122 it failed; what it said last is in the error.
    """
    command = [sys.executable, "-m", "services.bench.fused_stream", what, str(path)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace")[-1_000:]
        raise BusError("SLU-122", found=said, wanted="a backtest that ends")
    return msgspec.json.decode(done.stdout, type=Streamed)


def trade(recording: Recording) -> int:
    """Run the whole system on a recording; return the orders it made."""
    instruments = recording.instruments()
    found = system(instruments)
    found.run(recorded(recording), request(TRADING, instruments))
    book = found.executor.describe(found.fused.now_ns)
    assert book.fill_count == found.venue.ledger.portfolio.fill_count, "a fill was lost"
    return book.order_count


def decode(recording: Recording) -> int:
    """Read a recording, and do nothing with it."""
    for _ in recorded(recording):
        pass
    return 0


def main() -> None:
    """Run with the arguments of the command line; say what was found as JSON."""
    recording = open_recording(Path(sys.argv[2]))
    recording.instruments()  # read once to know what is in it; a run begins after that
    gc.collect()
    gc.freeze()
    before_ns = time.perf_counter_ns()
    orders = trade(recording) if sys.argv[1] == TRADE else decode(recording)
    took_s = (time.perf_counter_ns() - before_ns) / 1e9
    quotes = recording.counts["total"]
    found = Streamed(
        quotes_per_s=quotes / took_s,
        quote_count=quotes,
        order_count=orders,
        resident_mb=psutil.Process().memory_info().rss / MB,
    )
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
