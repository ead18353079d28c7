"""Real recordings through every core: all of it read, all of it accounted for, always the same."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.executions import OrderFilled
from schemas.orders import Outcome, SignalDecided
from schemas.venue import VenueFilled
from schemas.wire import decode_kept
from services.portfolio import Portfolio
from tests.conftest import ROOT
from tests.fused_rig import CASH, digest, journal_of


@pytest.fixture(scope="module")
def capture(data_dir: Path) -> Path:
    return data_dir / "binance" / "usdm" / "btcusdt_20240808.gz"


@pytest.mark.req("M-01", "S-16", "X-06", "X-07")
def test_a_capture_is_traded_and_every_cent_of_it_is_accounted_for(capture: Path) -> None:
    found, source, journal = journal_of(capture)
    with gzip.open(capture, "rb") as lines:
        assert source.counts["total"] == sum(1 for _ in lines) == 93_954

    fold = Portfolio({each.id: each for each in source.instruments()}, CASH)
    events = [decode_kept(line, where="journal") for line in journal if b"Filled" in line[:30]]
    fills = [event for event in events if isinstance(event, OrderFilled)]
    assert len(fills) >= 100
    for fill in fills:
        fold.apply(fill)
    venue, executor = found.venue.ledger.portfolio, found.executor.orders.portfolio
    [instrument] = source.instruments()
    for other in (venue, executor):
        assert (other.cash, other.fees, other.fill_count) == (fold.cash, fold.fees, len(fills))
        assert other.quantity(instrument.id) == fold.quantity(instrument.id)
    assert len(fills) == sum(isinstance(event, VenueFilled) for event in events)


@pytest.mark.req("G-08")
def test_every_decision_on_a_capture_carries_what_it_read(capture: Path) -> None:
    _, _, journal = journal_of(capture)
    lines = [line for line in journal if line.startswith(b'{"type":"SignalDecided"')]
    decisions = [decode_kept(line, where="journal") for line in lines]
    assert len(decisions) >= 100
    for decision in decisions:
        assert isinstance(decision, SignalDecided)
        if decision.outcome is Outcome.APPROVED:
            assert len(decision.readings) >= 15
            assert all(reading.is_ok for reading in decision.readings)
        else:
            assert not decision.readings[-1].is_ok


def test_the_same_recording_gives_the_same_bytes_under_any_hash_seed(capture: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tests.fused_rig import digest, journal_of;"
        "print(digest(journal_of(Path(sys.argv[1]))[2]))"
    )
    digests = {digest(journal_of(capture)[2])}
    for seed in ("0", "77"):
        done = subprocess.run(
            [sys.executable, "-c", script, str(capture)],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1
