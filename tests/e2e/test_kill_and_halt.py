"""Kill what can be killed while it trades: nothing is lost, sent twice, or started by itself."""

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.system import System

ON_THE_ORDER_PATH = ("strategy", "gate", "executor", "breaker")
OFF_THE_ORDER_PATH = ("feed", "recorder")


@pytest.fixture(scope="module")
def trading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = System(tmp_path_factory.mktemp("kill")).up()
    try:
        system.wait_for_fills(3)
        yield system
    finally:
        system.close()


STARTS_MAX = 10
EVENTS = 500
"""So much of the market makes orders, where they may be made."""


def fed(status: dict[str, Any]) -> int:
    """Return how many events the feed has published."""
    return sum(status["feed"]["counts"].values())


def is_back(status: dict[str, Any], service: str, old_pid: int) -> bool:
    view = status["services"].get(service, {})
    return view.get("state") == "running" and view.get("pid") not in (0, None, old_pid)


def placed_at_the_venue(system: System) -> Counter[str]:
    """Return how often the venue's own journal has accepted each order id."""
    counts: Counter[str] = Counter()
    for journal in sorted(Path(system.data_dir).rglob("venue*.jsonl")):
        for line in journal.read_text().splitlines():
            if '"VenueAccepted"' in line:
                counts[line.split('"order_id":"')[1].split('"')[0]] += 1
    return counts


def start_again(system: System) -> None:
    """Start once the executor says that its link to the venue is back and both books agree."""
    system.wait_until(lambda book: book.get("is_reconciled") is True, command="positions")
    done = system.run("start", "--reason", "after a kill")
    for _ in range(STARTS_MAX):  # an arbiter that is new has to hear of the recorder first
        if "never heard of" not in done.stdout + done.stderr:
            break
        done = system.run("start", "--reason", "after a kill")
    assert done.returncode == 0, done.stdout + done.stderr
    before = system.wait_until(lambda s: s["trading_state"] == "RUNNING")["fills"]
    system.wait_for_fills(before + 1)


@pytest.mark.req("S-13", "X-10", "O-04", "S-16")
@pytest.mark.parametrize("service", ON_THE_ORDER_PATH)
def test_a_killed_service_of_the_order_path_comes_back_halted(
    trading: System, service: str
) -> None:
    before = trading.status()
    old_pid = trading.kill(service)
    status = trading.wait_until(lambda s: is_back(s, service, old_pid))
    assert status["trading_state"] != "RUNNING"
    assert status["fills"] is None or status["fills"] >= before["fills"]
    # A start is refused unless executor and venue agree on orders, positions and cash (S-16).
    start_again(trading)
    assert max(placed_at_the_venue(trading).values()) == 1


@pytest.mark.req("S-13", "O-04")
@pytest.mark.parametrize("service", OFF_THE_ORDER_PATH)
def test_trading_goes_on_when_a_service_off_the_order_path_is_killed(
    trading: System, service: str
) -> None:
    old_pid = trading.kill(service)
    status = trading.wait_until(lambda s: is_back(s, service, old_pid))
    assert status["breaker_state"] == "NORMAL"
    running = trading.wait_until(lambda s: s["trading_state"] == "RUNNING")
    trading.wait_for_fills(running["fills"] + 1)


@pytest.mark.req("X-10")
def test_a_killed_venue_keeps_its_orders_and_positions(trading: System) -> None:
    before = trading.status()["fills"]
    old_pid = trading.kill("venue")
    status = trading.wait_until(lambda s: is_back(s, "venue", old_pid))
    assert status["fills"] >= before
    start_again(trading)
    assert max(placed_at_the_venue(trading).values()) == 1


@pytest.mark.req("X-10", "O-04")
def test_a_killed_bus_comes_back_and_no_order_is_sent_twice(trading: System) -> None:
    before = trading.status()["fills"]
    old_pid = trading.kill("nats")
    status = trading.wait_until(lambda s: is_back(s, "nats", old_pid) and s["fills"] is not None)
    assert status["fills"] >= before
    start_again(trading)
    assert max(placed_at_the_venue(trading).values()) == 1


@pytest.mark.req("B-05", "B-06", "G-09", "O-05")
def test_a_halt_survives_the_restart_of_everything(tmp_path: Path) -> None:
    system = System(tmp_path).up()
    try:
        system.wait_for_fills()
        halted = system.run("halt", "fat finger")
        assert halted.returncode == 0, halted.stdout + halted.stderr
        placed = placed_at_the_venue(system)
        first_line = system.run("positions").stdout.splitlines()[0]
        assert first_line.startswith("HALTED since ")
        assert "fat finger" in first_line
        assert system.stop() == 0

        system.up()
        status = system.wait_until(
            lambda s: {v["state"] for v in s["services"].values()} == {"running"}
        )
        assert (status["trading_state"], status["breaker_state"]) == ("HALTED", "MANUALLY_HALTED")
        refused = system.run("start")
        assert refused.returncode == 4
        assert "reset" in refused.stdout + refused.stderr
        assert placed_at_the_venue(system) == placed  # not one order since the halt
        assert system.run("reset", "--reason", "looked").returncode == 0
        start_again(system)
    finally:
        system.close()


@pytest.mark.req("S-01")
def test_a_start_that_is_not_valid_says_everything_that_is_wrong(trading: System) -> None:
    done = trading.run("start", "--strategy", "ema_crass", "--symbols", "sim:NOPE", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 4
    assert answer["is_ok"] is False
    assert {error["path"] for error in answer["errors"]} >= {"$.strategy", "$.symbols[0]"}


@pytest.mark.req("R-01", "O-05")
def test_trading_stops_while_the_recorder_hangs(trading: System) -> None:
    """It lives, and writes nothing: as on a disk that does not answer."""
    running = trading.wait_until(lambda s: s["trading_state"] == "RUNNING")
    pid = running["services"]["recorder"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        stopped = trading.wait_until(lambda s: s["trading_state"] != "RUNNING")
        assert stopped["services"]["recorder"]["pid"] == pid
        placed = placed_at_the_venue(trading)
        until = fed(stopped) + EVENTS
        trading.wait_until(lambda s: s["feed"] is not None and fed(s) > until)
        assert placed_at_the_venue(trading) == placed
    finally:
        os.kill(pid, signal.SIGCONT)
    back = trading.wait_until(lambda s: not s["silent"])
    if back["breaker_state"] != "NORMAL":  # its lease may have lapsed too often, after the kills
        assert trading.run("reset", "--reason", "the recorder is back").returncode == 0
    start_again(trading)
