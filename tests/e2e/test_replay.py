"""`sluice up --feed replay:PATH --speed max`: every message read, every cent accounted for."""

import json
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.executions import OrderFilled
from schemas.instruments import Instrument
from schemas.venue import VenueFilled
from schemas.wire import decode_kept
from services.portfolio import Portfolio
from tests.builders import MS_NS, S_NS
from tests.e2e.system import System

CASH = Decimal(1_000_000)
START_NS = 1_700_000_000 * S_NS


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    found = System(tmp_path)
    try:
        yield found
    finally:
        found.close()


def replay(system: System, path: Path, speed: str = "max") -> dict[str, Any]:
    """Run a recording to its end under a system that trades; return the last status."""
    system.up("--feed", f"replay:{path}", "--speed", speed)
    return system.wait_until(lambda s: bool((s.get("feed") or {}).get("is_ended")))


def fold_of(journal: Path, instruments: list[Instrument]) -> Portfolio:
    """Return the portfolio that the executions of a journal add up to."""
    fold = Portfolio({each.id: each for each in instruments}, CASH)
    for line in journal.read_bytes().splitlines():
        if b"Filled" in line:
            event = decode_kept(json.dumps(json.loads(line)["event"]), where=str(journal))
            assert isinstance(event, OrderFilled | VenueFilled)
            fold.apply(event)
    return fold


def assert_both_sides_agree(system: System) -> int:
    """Assert that executor and venue have the same executions; return how many."""
    config = json.loads((system.data_dir / "run" / "config.json").read_text())
    instruments = msgspec.convert(config["instruments"], list[Instrument], strict=False)
    state = system.data_dir / "state"
    ours = fold_of(state / "executor.jsonl", instruments)
    theirs = fold_of(state / "venue.jsonl", instruments)
    assert (ours.cash, ours.fees) == (theirs.cash, theirs.fees)
    assert ours.views({}) == theirs.views({})
    return ours.fill_count


@pytest.mark.req("M-01", "M-02", "S-16")
def test_an_exchange_capture_is_read_whole_and_traded(system: System, data_dir: Path) -> None:
    status = replay(system, data_dir / "binance" / "usdm" / "btcusdt_20240808.gz")
    assert status["feed"]["counts"]["total"] == 93_954
    feed = system.json("status")["feed"]
    assert feed["top_differs_count"] == 0
    assert feed["top_checks_count"] >= 600
    assert system.run("halt", "the recording is over").returncode == 0
    assert system.stop() == 0
    assert assert_both_sides_agree(system) >= 1


@pytest.mark.req("M-01", "X-07")
def test_a_lean_folder_is_read_whole_and_traded(system: System, data_dir: Path) -> None:
    folder = data_dir / "lean" / "equity" / "usa" / "minute" / "spy"
    lines = 0
    for path in folder.glob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            lines += sum(len(archive.read(name).splitlines()) for name in archive.namelist())
    # Not at max: five days of minutes are over before the first order has come to the venue.
    status = replay(system, folder, "20000x")
    assert status["feed"]["counts"]["total"] == lines
    assert system.stop() == 0
    assert assert_both_sides_agree(system) >= 1


@pytest.mark.req("M-01")
def test_a_plain_csv_is_read_whole(system: System, tmp_path: Path) -> None:
    path = tmp_path / "quotes.csv"
    rows = [
        f"{START_NS + n * MS_NS},nyse:IBM,{100 + n % 7}.00,10,{100 + n % 7}.01,10"
        for n in range(500)
    ]
    path.write_text("time,instrument,bid,bid_size,ask,ask_size\n" + "\n".join(rows) + "\n")
    assert replay(system, path)["feed"]["counts"]["total"] == 500


def test_a_recording_that_cannot_be_read_is_refused_before_anything_starts(
    system: System, tmp_path: Path
) -> None:
    path = tmp_path / "quotes.csv"
    path.write_text("time,price\n1,2\n")
    done = system.run("up", "--feed", f"replay:{path}")
    assert done.returncode == 2
    said = done.stdout + done.stderr
    assert f"{path}" in said
    assert "Traceback" not in said
    assert "instrument" in said
