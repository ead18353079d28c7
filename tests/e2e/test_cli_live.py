"""Every command against a system that trades, as a person or a script uses them."""

import asyncio
import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.streams import ORDERS
from services.cli.locate import Place, locate
from services.recorder.jetstream import found_stream, request
from services.runtime.connect import connect
from tests.e2e.system import System


@pytest.fixture(scope="module")
def trading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = System(tmp_path_factory.mktemp("cli")).up()
    try:
        system.wait_for_fills()
        yield system
    finally:
        system.close()


def clear(system: System) -> None:
    """Let it trade again after a halt."""
    assert system.run("reset", "--reason", "looked").returncode == 0
    system.wait_until(lambda s: s["breaker_state"] == "NORMAL")
    assert system.run("start").returncode == 0
    system.wait_until(lambda s: s["trading_state"] == "RUNNING")


def test_the_status_document_has_all_that_is_promised(trading: System) -> None:
    status = trading.wait_until(lambda s: s["trading_state"] == "RUNNING")
    assert (status["breaker_state"], status["halt"], status["silent"]) == ("NORMAL", None, [])
    assert status["epoch"] >= 1
    assert float(status["equity"]) > 0
    for name in ("halts", "positions", "orders", "fills"):
        assert isinstance(status[name], int), name
    assert [session["strategy"] for session in status["sessions"]] == ["ema_cross"]
    assert status["durable"] is False
    names = ["nats", "recorder", "venue", "breaker", "executor", "gate", "strategy", "feed"]
    names.append("reports")
    assert list(status["services"]) == names
    for view in status["services"].values():
        assert (view["state"], view["restarts"]) == ("running", 0)
        assert view["pid"] > 0
        assert view["uptime"] > 0


@pytest.mark.req("X-09")
def test_what_orders_wait_for_goes_before_what_they_do_not(trading: System) -> None:
    """Where cores are few. A strategy is among the first: behind other programs it would starve."""
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    found = {
        name: os.getpriority(os.PRIO_PROCESS, view["pid"]) - ours
        for name, view in trading.status()["services"].items()
        if name != "reports"
    }
    first = dict.fromkeys(["nats", "gate", "executor", "breaker", "feed", "strategy"], 0)
    assert found == first | {"recorder": 5, "venue": 5}


@pytest.mark.parametrize("command", ["status", "positions", "orders", "sessions", "doctor"])
def test_each_view_is_text_for_people_and_json_for_programs(trading: System, command: str) -> None:
    text = trading.run(command)
    assert text.returncode == 0, text.stdout + text.stderr
    assert text.stderr == ""
    assert command == "doctor" or "Next: sluice " in text.stdout
    document = trading.run(command, "--json")
    assert document.returncode == 0
    assert json.loads(document.stdout)


@pytest.mark.req("A-01", "O-02")
def test_doctor_tries_the_door_and_hears_every_heart(trading: System) -> None:
    report = trading.json("doctor")
    verdicts = {each["what"]: each["verdict"] for each in report["findings"]}
    assert report["is_healthy"] is True
    assert verdicts["anonymous access"] == "ok"
    for name in ("recorder", "venue", "breaker", "executor", "gate", "strategy", "feed"):
        assert verdicts[name] == "ok"
    assert verdicts["recording"] == "warning"  # not durable: fine for paper, and said


@pytest.mark.req("R-01")
def test_a_weakened_stream_is_shown_and_mended(trading: System) -> None:
    plain = trading.run("streams")
    assert (plain.returncode, plain.stdout.count("as configured")) == (0, 5), plain.stdout
    weaken(trading.data_dir)
    shown = trading.run("streams", "--json")
    differs = json.loads(shown.stdout)["streams"]["ORDERS"]
    assert (shown.returncode, differs) == (6, ["ORDERS.max_msgs is 1000000, wanted -1"])
    assert trading.run("streams", "--apply").returncode == 0
    assert trading.run("streams").returncode == 0


def weaken(data_dir: Path) -> None:
    """Change a stream as somebody could who has the one key that may."""
    bus = locate(Place(data_dir=data_dir))

    async def change() -> None:
        connection = await connect("supervisor", bus)
        kept = await found_stream(connection, ORDERS)
        assert kept is not None
        await request(connection, "STREAM.UPDATE.ORDERS", {**kept, "max_msgs": 1_000_000})
        await connection.close()

    asyncio.run(change())


@pytest.mark.req("G-09", "B-05", "O-05")
def test_a_halt_waits_for_every_acknowledgement(trading: System) -> None:
    done = trading.run("halt", "looks", "wrong", "--json")
    result = json.loads(done.stdout)
    assert done.returncode == 0
    assert (result["is_halted"], result["silent"], result["absent"]) == (True, [], [])
    assert {each["component"] for each in result["acknowledged"]} >= {"gate", "executor"}
    assert result["resting_count"] == 0

    for command in ("status", "positions", "orders", "sessions", "explain"):
        first = trading.run(command).stdout.splitlines()[0]
        assert first.startswith("HALTED since "), command
        assert "by kim: looks wrong" in first
    as_json = trading.run("status", "--json")
    assert as_json.stderr.startswith("HALTED since ")
    assert json.loads(as_json.stdout)["halt"]["reason"] == "looks wrong"

    refused = trading.run("start")
    assert refused.returncode == 4
    assert "sluice reset" in refused.stdout
    wrong = trading.run("reset", "--reason", "x", "--halt", "99")
    assert wrong.returncode == 4
    clear(trading)


@pytest.mark.req("G-09", "O-05")
def test_a_silent_executor_makes_a_halt_uncertain(trading: System) -> None:
    pid = trading.status()["services"]["executor"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        done = trading.run("halt", "frozen", "--json")
    finally:
        os.kill(pid, signal.SIGCONT)
    result = json.loads(done.stdout)
    assert done.returncode == 5
    assert (result["is_halted"], result["silent"]) == (False, ["executor"])
    trading.wait_until(lambda s: not s["silent"])
    clear(trading)


def test_a_person_can_watch_what_happens_decoded(trading: System) -> None:
    done = trading.run("watch", "market.*.*.quote", "--count", "3", "--json")
    assert done.returncode == 0
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["event"]["type"] for each in events] == ["QuoteReceived"] * 3
    text = trading.run("watch", "--count", "2").stdout.splitlines()
    assert len(text) == 2


def test_what_the_bus_refuses_to_show_is_said(trading: System) -> None:
    done = trading.run("watch", "$SYS.>")
    assert done.returncode == 4
    assert "the bus refuses" in done.stdout


@pytest.mark.req("S-03")
def test_a_session_can_be_paused_resumed_and_not_confused(trading: System) -> None:
    assert trading.run("pause", "ema_cross-1").returncode == 0
    [paused] = trading.json("sessions")["sessions"]
    assert paused["state"] == "paused"
    assert trading.run("resume", "ema_cross-1").returncode == 0
    assert trading.run("pause", "nobody-1").returncode == 4


def test_the_nats_context_is_private_and_names_the_key(trading: System) -> None:
    file = trading.folder / "context.json"
    assert trading.run("nats-context", "--output", str(file)).returncode == 0
    context: dict[str, Any] = json.loads(file.read_text())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert context["inbox_prefix"] == "_INBOX.operator"
    assert Path(context["nkey"]).name == "operator.nk"


def test_a_second_system_on_the_same_folder_is_refused(trading: System) -> None:
    done = trading.run("up", "--for", "1")
    assert done.returncode == 2
    assert "SLU-163" in done.stderr
