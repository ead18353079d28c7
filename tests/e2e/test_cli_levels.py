"""Less than all, less than everything stopped, and what a person can look at and change."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.system import System


@pytest.fixture(scope="module")
def trading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = System(tmp_path_factory.mktemp("levels")).up()
    try:
        system.wait_for_fills(4)
        yield system
    finally:
        system.close()


def said(system: System, *words: str) -> dict[str, Any]:
    done = system.run(*words, "--json")
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def clear(system: System) -> None:
    """Reset every restriction, and start: they end with the start."""
    for each in system.status()["restrictions"]:
        done = system.run("reset", "--reason", "looked", "--halt", str(each["number"]))
        assert done.returncode == 0, done.stdout + done.stderr
    assert system.run("start").returncode == 0
    system.wait_until(lambda s: s["trading_state"] == "RUNNING" and s["restrictions"] == [])


@pytest.mark.req("G-09", "B-08", "O-05")
def test_a_reduce_stops_entries_until_it_is_reset_and_started(trading: System) -> None:
    result = said(trading, "reduce", "before", "cpi")
    assert (result["scope"], result["level"], result["is_in_force"]) == ("all", "reduce", True)
    assert {"gate", "executor"} <= set(result["acknowledged"])
    assert (result["resting_count"], result["warning"]) == (0, "")
    status = trading.wait_until(lambda s: s["trading_state"] == "REDUCING")
    assert [each["reason"] for each in status["restrictions"]] == ["before cpi"]
    assert trading.run("status").stdout.startswith("REDUCE ONLY all since ")
    clear(trading)


@pytest.mark.req("G-09", "G-11")
def test_a_halt_of_one_symbol_leaves_the_others_trading(trading: System) -> None:
    result = said(trading, "halt", "odd", "--scope", "symbol.sim.ALPHA")
    assert (result["scope"], result["level"], result["is_in_force"]) == (
        "symbol.sim.ALPHA",
        "halt",
        True,
    )
    before = trading.status()["fills"]
    trading.wait_for_fills(before + 1)
    assert trading.status()["trading_state"] == "RUNNING"
    decisions = trading.run("watch", "risk.decision.>", "--count", "12", "--json").stdout
    for line in decisions.splitlines():
        decided = json.loads(line)["event"]
        if decided["instrument"] == "sim:ALPHA":
            assert (decided["outcome"], decided["rule"]) == ("rejected", "not_restricted")
    clear(trading)


def test_a_scope_that_nothing_goes_by_is_warned_of(trading: System) -> None:
    result = said(trading, "reduce", "--scope", "session.nope")
    assert result["is_in_force"]
    assert result["warning"].startswith("no session nope is known here")
    clear(trading)


@pytest.mark.req("G-09")
def test_a_mistyped_scope_of_a_halt_halts_all(trading: System) -> None:
    done = trading.run("halt", "odd", "--scope", "sesion.a")
    assert done.returncode == 0
    assert "halting ALL" in done.stdout
    assert trading.run("reset", "--reason", "looked").returncode == 0
    clear(trading)


@pytest.mark.req("O-05", "G-09")
def test_flat_is_said_when_the_venue_shows_nothing(trading: System) -> None:
    result = said(trading, "flatten", "enough")
    assert result["is_begun"], result
    assert (result["report"]["is_flat"], result["report"]["is_ended"]) == (True, True), result
    held = trading.json("positions")["positions"]
    assert {each["quantity"] for each in held} == {"0"}
    assert trading.status()["open_orders"] == 0
    clear(trading)


@pytest.mark.req("O-05")
def test_a_flatten_while_halted_says_what_to_do_first(trading: System) -> None:
    assert trading.run("halt", "wait").returncode == 0
    done = trading.run("flatten")
    assert done.returncode == 4
    assert "flatten REFUSED" in done.stdout
    assert "sluice reset" in done.stdout
    assert trading.run("reset", "--reason", "looked").returncode == 0
    clear(trading)


@pytest.mark.req("O-05", "X-10")
def test_a_venue_kill_asks_the_venue_itself(trading: System) -> None:
    report = said(trading, "venue-kill")
    assert (report["is_clear"], report["resting"]) == (True, [])
    trading.wait_until(lambda s: s["services"]["executor"]["restarts"] == 0 and not s["silent"])


@pytest.mark.req("B-01", "B-03")
def test_each_breaker_shows_its_value_and_distance(trading: System) -> None:
    views = {each["name"]: each for each in said(trading, "breaker", "list")["breakers"]}
    assert {"drawdown", "daily_loss", "order_rate", "order_errors", "manual"} <= set(views)
    assert "to warn at" in views["drawdown"]["distance"]
    text = trading.run("breaker", "explain", "drawdown").stdout
    for word in ("formula", "high-water mark =", "at -10.00 %", "a reset"):
        assert word in text
    wrong = trading.run("breaker", "explain", "drawdwon")
    assert (wrong.returncode, "drawdown" in wrong.stderr) == (2, True)


@pytest.mark.req("B-12", "O-06")
def test_a_breakers_levels_can_be_changed_by_a_person(trading: System) -> None:
    done = trading.run("breaker", "set", "drawdown", "0.04=warn", "0.08=halt", "--reason", "calm")
    assert done.returncode == 0, done.stdout + done.stderr
    [view] = [
        each for each in said(trading, "breaker", "list")["breakers"] if each["name"] == "drawdown"
    ]
    assert [(each["at"], each["response"]) for each in view["levels"]] == [
        ("-4.00 %", "warn"),
        ("-8.00 %", "halt"),
    ]
    unknown = trading.run("breaker", "set", "drawdwon", "0.04=warn", "--reason", "calm")
    assert unknown.returncode == 4


@pytest.mark.req("G-12")
def test_a_limit_is_changed_while_it_trades_and_never_past_a_hard_one(trading: System) -> None:
    path = "gate.default.order_quantity_max"
    done = trading.run("limits", "set", f"{path}=500", "--reason", "cpi")
    assert done.returncode == 0, done.stdout + done.stderr
    limits = said(trading, "limits", "list")
    assert limits["limits_change_seq"] == 1
    in_force = {
        each["in_force"] for each in limits["limits"] if each["name"] == "order_quantity_max"
    }
    assert in_force == {"500"}
    refused = trading.run("limits", "set", "gate.default.order_quantity_mux=1", "--reason", "x")
    assert refused.returncode == 4
    assert "order_quantity_max" in refused.stderr
    assert "now:" in trading.run("explain", "gate").stdout


@pytest.mark.req("S-16")
def test_books_that_agree_are_said_to_agree(trading: System) -> None:
    document = said(trading, "reconcile")
    assert document == {"is_reconciled": True, "differences": []}
    wrong = trading.run("reconcile", "ignore", "d1", "--reason", "x")
    assert (wrong.returncode, "REFUSED" in wrong.stdout) == (4, True)


@pytest.mark.req("B-06")
def test_an_unlock_without_a_lock_is_refused(trading: System) -> None:
    done = trading.run("unlock", "--reason", "x")
    assert done.returncode == 4
    assert "unlock REFUSED" in done.stdout
