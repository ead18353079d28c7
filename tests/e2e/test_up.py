"""`sluice up`: what a new user sees first, and what is left behind: nothing."""

import json
import os
import signal
import socket
from decimal import Decimal
from pathlib import Path

import psutil
import pytest

from tests.conftest import NatsServer
from tests.e2e.system import System


def pids_of(system: System) -> list[int]:
    return [view["pid"] for view in system.status()["services"].values() if view["pid"]]


def assert_gone(pids: list[int]) -> None:
    left = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    alive = [each for each in left if each.status() != psutil.STATUS_ZOMBIE]
    psutil.wait_procs(alive, timeout=10)
    assert [each for each in alive if each.is_running() and each.status() != "zombie"] == []


def write_tape(file: Path) -> None:
    """Write a recording of another venue, which rises and falls often enough to be traded."""
    lines = ["time,instrument,bid,bid_size,ask,ask_size"]
    for number in range(2_000):
        cents = 10_000 + abs(number % 200 - 100)
        at_ns = 1_700_000_000_000_000_000 + number * 10_000_000
        bid, ask = f"{cents / 100:.2f}", f"{(cents + 1) / 100:.2f}"
        lines.append(f"{at_ns},tape:XYZ,{bid},500,{ask},500")
    file.write_text("\n".join(lines) + "\n")


@pytest.mark.req("X-06", "S-01", "M-01")
def test_up_boots_halted_starts_the_demo_itself_and_trades(tmp_path: Path) -> None:
    done = System(tmp_path).run("up", "--for", "6")
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    assert "HALTED, as always" in said
    assert "started ema_cross over sim:ALPHA, sim:BETA, sim:DELTA, sim:GAMMA: epoch 1" in said
    assert "RUNNING" in said
    assert "last buy" in said or "last sell" in said
    ending = said.splitlines()[-1]
    assert [word in ending for word in ("sluice status", "sluice halt", "sluice start")] == [
        True
    ] * 3


@pytest.mark.req("X-06")
def test_the_last_words_of_up_are_what_the_venue_holds(tmp_path: Path) -> None:
    done = System(tmp_path).run("up", "--for", "6", "--speed", "50x", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])["summary"]
    held: dict[str, Decimal] = {}
    fills = 0
    for line in (tmp_path / "var" / "state" / "venue.jsonl").read_text().splitlines():
        event = json.loads(line)["event"]
        if event["type"] == "VenueFilled":
            fills += 1
            sign = 1 if event["side"] == "buy" else -1
            before = held.get(event["instrument"], Decimal(0))
            held[event["instrument"]] = before + sign * Decimal(event["quantity"])
    assert fills > 0
    assert summary["fills"] == fills
    found = {name: Decimal(quantity) for name, quantity in summary["positions"].items()}
    assert found == {name: quantity for name, quantity in held.items() if quantity}


@pytest.mark.req("O-04")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_no_process_and_no_notice(tmp_path: Path, how: signal.Signals) -> None:
    system = System(tmp_path).up("--no-start")
    try:
        system.wait_until(lambda s: s.get("breaker_state") == "NORMAL")
        pids = pids_of(system)
        assert system.process is not None
        system.process.send_signal(how)
        assert system.process.wait(timeout=30) == 0
        system.process = None
        assert_gone(pids)
        assert system.run("status").returncode == 3
    finally:
        system.close()


@pytest.mark.req("O-04")
def test_a_killed_up_leaves_nothing_and_the_next_one_goes_on(tmp_path: Path) -> None:
    system = System(tmp_path).up()
    try:
        fills = system.wait_for_fills()["fills"]
        pids = pids_of(system)
        assert system.process is not None
        os.kill(system.process.pid, signal.SIGKILL)
        system.process.wait()
        system.process = None
        assert_gone(pids)
        system.up()
        again = system.wait_until(lambda s: s["trading_state"] == "RUNNING")
        assert again["fills"] >= fills
        assert [session["session"] for session in again["sessions"]] == ["ema_cross-1"]
    finally:
        system.close()


def test_up_without_a_start_stays_halted(tmp_path: Path) -> None:
    done = System(tmp_path).run("up", "--no-start", "--for", "1", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["trading_state"] for line in lines if "trading_state" in line} == {"HALTED"}
    assert lines[-1]["summary"]["fills"] == 0


@pytest.mark.req("G-09", "O-05")
def test_up_never_starts_over_a_halt_of_an_earlier_run(tmp_path: Path) -> None:
    system = System(tmp_path).up("--no-start")
    try:
        system.wait_until(lambda s: s.get("breaker_state") == "NORMAL")
        assert system.run("halt", "overnight").returncode == 0
        assert system.stop() == 0
        done = system.run("up", "--for", "2")
        assert done.returncode == 4  # it was to trade for two seconds, and did not
        assert "HALTED since" in done.stdout
        assert "Nothing is started over a halt" in done.stdout
        assert "RUNNING" not in done.stdout
    finally:
        system.close()


def test_taken_ports_are_passed_over(tmp_path: Path) -> None:
    system = System(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = system.run("up", "--no-start", "--for", "1", "--set", f"bus.port={port}")
    assert done.returncode == 0
    assert f":{port}," not in done.stdout.splitlines()[0]


@pytest.mark.req("M-01", "S-13")
def test_accounts_and_markets_can_change_between_runs(tmp_path: Path) -> None:
    tape = tmp_path / "tape.csv"
    write_tape(tape)
    system = System(tmp_path)
    first = system.run("up", "--for", "3")
    assert first.returncode == 0, first.stdout
    replay = system.run("up", "--feed", f"replay:{tape}", "--speed", "max", "--until-end")
    assert replay.returncode == 0, replay.stdout + replay.stderr
    assert "account replay-" in replay.stdout
    third = system.run("up", "--for", "2")
    assert "started trading of ema_cross-1 again" in third.stdout, third.stdout + third.stderr
    fresh = system.run("up", "--for", "2", "--fresh")
    assert "account paper-" in fresh.stdout
    assert "positions none" in fresh.stdout


def test_a_bus_that_is_there_already_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "nats"
    folder.mkdir()
    server = NatsServer(folder)
    try:
        system = System(tmp_path)
        done = system.run("up", "--nats-url", server.url, "--for", "4")
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"the nats-server there at {server.url}" in done.stdout
        assert "RUNNING" in done.stdout
        assert server.process.poll() is None  # not ours to stop
    finally:
        server.stop()
