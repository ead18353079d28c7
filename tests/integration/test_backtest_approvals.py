"""A backtest of a firm where two people must ask for a start."""

from pathlib import Path

import pytest

from services.backtest.run import run
from services.breaker.config import BreakerConfig
from tests.backtest_rig import plan_of


@pytest.mark.req("S-05")
@pytest.mark.parametrize("approvals", [1, 2])
def test_a_backtest_waits_for_no_second_person(tmp_path: Path, approvals: int) -> None:
    path = tmp_path / "quotes.csv"
    path.write_text(
        "time,instrument,bid,bid_size,ask,ask_size\n"
        "2026-01-30T14:30:00Z,demo:AAA,100.00,100,100.02,100\n"
        "2026-01-30T14:30:01Z,demo:AAA,100.01,101,100.03,101\n"
    )
    breaker = BreakerConfig(levels={"stale_data": ()}, start_approvals=approvals)
    outcome = run(plan_of("buy_and_hold", path, breaker=breaker))
    assert outcome.figures.fill_count == 2
