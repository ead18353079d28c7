"""A circuit breaker of the running system: from too many orders to nothing more at the venue."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.system import System
from tests.e2e.test_kill_and_halt import placed_at_the_venue, start_again


@pytest.fixture
def trading(tmp_path: Path) -> Iterator[System]:
    system = System(tmp_path).up("--set", "breaker.order_count_max=20")
    try:
        yield system
    finally:
        system.close()


@pytest.mark.req("B-03", "B-06", "B-12", "O-05", "G-09")
def test_too_many_orders_halt_everything_until_a_person_resets_and_starts(trading: System) -> None:
    status = trading.wait_until(lambda s: s["breaker_state"] == "TRIPPED")
    assert status["trading_state"] == "HALTED"
    assert "order_rate" in str(status["halt"])
    placed = placed_at_the_venue(trading)
    trading.wait_until(lambda s: s["feed"]["counts"]["quote"] > 100)

    trading.kill("breaker")  # and a restart forgets neither the trip nor the window
    status = trading.wait_until(
        lambda s: s["services"]["breaker"]["restarts"] == 1 and s["breaker_state"] == "TRIPPED"
    )
    assert status["trading_state"] == "HALTED"
    assert placed_at_the_venue(trading) == placed

    assert trading.run("reset", "--reason", "looked").returncode == 0
    start_again(trading)
