"""A halt of a part of a whole system: it stops, the others trade on, whoever dies meanwhile."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.system import System

SYMBOL = "sim:ALPHA"
SCOPE = "symbol.sim.ALPHA"
ETHER = '[gate.accounts.default.currency_values]\nETH = "2000"\n'
pytestmark = pytest.mark.req("G-09", "O-05", "B-05")


@pytest.fixture
def trading(tmp_path: Path) -> Iterator[System]:
    (tmp_path / "sluice.toml").write_text(ETHER)
    system = System(tmp_path).up()
    try:
        system.wait_for_fills(3)
        yield system
    finally:
        system.close()


def placed(system: System, by: str = "instrument") -> Counter[str]:
    """Return how many orders the venue was sent, by one of their fields, from its own journal."""
    journal = system.data_dir / "state" / "venue.jsonl"
    events = (json.loads(line)["event"] for line in journal.read_text().splitlines())
    return Counter(e["order"][by] for e in events if e["type"] == "OrderPlaced")


def trades_on_without_it(system: System) -> None:
    """Wait for more orders of the others; the halted symbol must get none."""
    before = placed(system)
    others = sum(before.values()) - before[SYMBOL]
    system.wait_until(lambda _: sum(placed(system).values()) >= before[SYMBOL] + others + 5)
    assert placed(system)[SYMBOL] == before[SYMBOL]


def kill_and_wait(system: System, service: str) -> None:
    old_pid = system.kill(service)

    def is_back(status: dict[str, Any]) -> bool:
        view = status["services"].get(service, {})
        return view.get("state") == "running" and view.get("pid") not in (0, None, old_pid)

    system.wait_until(is_back)


def start_again(system: System) -> None:
    done = system.run("start", "--reason", "go on")
    assert done.returncode == 0, done.stdout + done.stderr
    system.wait_until(lambda s: s["trading_state"] == "RUNNING")


def test_a_halted_symbol_stays_halted_through_kills_until_reset_and_start(trading: System) -> None:
    halted = trading.run("halt", "odd", "prices", "--scope", SCOPE)
    assert halted.returncode == 0, halted.stdout + halted.stderr
    trades_on_without_it(trading)
    for service in ("gate", "executor", "breaker"):
        kill_and_wait(trading, service)
        start_again(trading)
        trades_on_without_it(trading)
    before = placed(trading)[SYMBOL]
    assert trading.run("reset", "--halt", "1", "--reason", "prices are fine").returncode == 0
    start_again(trading)
    trading.wait_until(lambda _: placed(trading)[SYMBOL] > before)


def sessions_of(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {each["session"]: (each["state"], each.get("detail", "")) for each in status["sessions"]}


def share_classes(system: System) -> dict[str, str]:
    """Return what unit the results of each session are kept in, as a person is shown it."""
    said = system.run("session", "performance", "--json")
    assert said.returncode == 0, said.stdout + said.stderr
    return {each["session"]: each["share_class"] for each in json.loads(said.stdout)["performance"]}


@pytest.mark.req("S-01", "S-03", "S-04", "G-11")
def test_an_emergency_stop_ends_one_session_for_good_and_no_other(trading: System) -> None:
    [first] = sessions_of(trading.status())
    what = ("--strategy", "ema_cross", "--symbols", "sim:ALPHA,sim:BETA")
    asked = (*what, "--capital", "10", "--share-class", "ETH")
    started = trading.run("start", *asked)
    assert started.returncode == 0, started.stdout + started.stderr
    status = trading.wait_until(lambda s: len(s["sessions"]) == 2)
    [second] = sessions_of(status).keys() - {first}
    trading.wait_until(lambda _: placed(trading, "session")[second] > 0)
    assert share_classes(trading) == {first: "USDT", second: "ETH"}
    halted = trading.run("halt", "gone", "mad", "--scope", f"session.{first}", "--operator", "kim")
    assert halted.returncode == 0, halted.stdout + halted.stderr
    stopped = ("stopped", "emergency stop: gone mad")
    status = trading.wait_until(lambda s: sessions_of(s)[first][0] != "running")
    assert sessions_of(status)[first] == stopped
    before = placed(trading, "session")
    trading.wait_until(lambda _: placed(trading, "session")[second] >= before[second] + 3)
    assert placed(trading, "session")[first] == before[first]
    kill_and_wait(trading, "strategy")
    start_again(trading)
    status = trading.wait_until(lambda s: sessions_of(s).get(second, ("",))[0] == "running")
    assert sessions_of(status)[first] == stopped, "nothing brings it back"
