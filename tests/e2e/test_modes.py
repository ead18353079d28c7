"""A session that waits for a person, on a system as a user starts it; then decided again."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.system import System

WAIT_S = 20.0


@pytest.fixture(scope="module")
def trading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = System(tmp_path_factory.mktemp("modes"))
    system.environment |= {
        "SLUICE_RECORDER__CHAIN_MARKET": "true",
        "SLUICE_STRATEGY__CONFIRMATION__COLLAR_BPS": "5000",  # it swings while tests compete
    }
    system.up()
    try:
        system.wait_until(lambda s: s["trading_state"] == "RUNNING")
        yield system
    finally:
        system.close()


def document(system: System, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = system.run(*arguments, "--json")
    return done.returncode, json.loads(done.stdout)


def awaited(system: System) -> str:
    """Return the id of a signal that waits."""
    deadline_s = time.monotonic() + WAIT_S
    while time.monotonic() < deadline_s:
        _, found = document(system, "awaiting")
        if found["awaiting"]:
            signal: dict[str, Any] = found["awaiting"][0]["awaiting"]["signal"]
            assert (signal["instrument"], signal["side"]) == ("sim:BETA", "buy")
            return str(signal["signal_id"])
    raise AssertionError("nothing waits")


@pytest.mark.req("S-09", "S-04", "S-05")
def test_a_manual_session_trades_by_a_persons_word_and_is_decided_again_the_same(
    trading: System,
) -> None:
    asked = ("--symbols", "sim:BETA", "--capital", "10000", "--mode", "MANUAL")
    code, started = document(trading, "start", "--strategy", "buy_and_hold", *asked)
    assert code == 0, started
    session = started["session"]
    signal = awaited(trading)
    assert document(trading, "confirm", signal)[0] == 0
    code, again = document(trading, "confirm", signal)
    assert (code, again["is_ok"]) == (4, False)
    assert "was confirmed already, by kim" in again["errors"][0]["found"]
    trading.wait_until(
        lambda s: any(v["fill_count"] for v in s["sessions"] if v["session"] == session)
    )
    code, figures = document(trading, "session", "performance", session)
    [found] = figures["performance"]
    assert (code, found["engine_status"], found["initial_capital"]) == (0, "running", "10000")
    assert document(trading, "session", "risk", session)[1]["risk"][0]["session"] == session
    assert document(trading, "stop", session)[0] == 0
    code, parity = document(trading, "parity", session)
    counts = parity["counts"]  # a session may have begun just before or after a quote came in
    is_same = counts["equal"] + counts["equal in another order"] == len(parity["decisions"]) >= 1
    assert is_same, json.dumps(parity)
    assert code == (6 if counts["equal in another order"] else 0)


@pytest.mark.req("S-04")
def test_sessions_are_alive_and_a_name_that_is_none_is_told_those_that_are(
    trading: System,
) -> None:
    code, health = document(trading, "session", "health")
    assert code == 0
    assert {each["health"] for each in health["health"]} == {"healthy"}
    unknown = trading.run("session", "performance", "nobody")
    assert unknown.returncode == 2
    assert "ema_cross-1" in unknown.stderr


@pytest.mark.req("S-05")
def test_real_money_is_refused_with_all_that_is_missing(trading: System) -> None:
    code, found = document(trading, "prerequisites", "ema_cross")
    missing = {each["name"] for each in found["checks"] if not each["is_ok"]}
    assert code == 4
    assert missing >= {"live.mode", "backtest_sharpe", "paper_days", "durable_bus", "order_venue"}
    asked = ("--symbols", "sim:BETA", "--capital", "10000", "--live", "paper")
    code, answer = document(trading, "start", "--strategy", "ema_cross", *asked)
    assert (code, answer["is_ok"]) == (4, False)
    assert [each["path"] for each in answer["errors"]] == ["$.live_account"]
