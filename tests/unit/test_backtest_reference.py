"""A recording is played whatever it tells of the instrument that stands for a whole market."""

from pathlib import Path

import pytest

from schemas.base import InstrumentId
from services.cli.backtest_plan import REFERENCE, Wish, plan_of
from services.cli.locate import Place
from services.gate.core import GateCore
from tests.feed_builders import lean_zip
from tests.gate_rig import running_guard

pytestmark = pytest.mark.req("S-05", "G-05")
DAY = "20131007 00:00,1670000,1672000,1669000,1670500,1200"
QUOTE = "34200000,1670000,1671000,1669000,1670100,300,1670500,1672000,1670400,1670600,200"
QUOTED = {"equity/usa/daily/ibm.zip": DAY, "equity/usa/minute/spy/20131007_quote.zip": QUOTE}
TRADED = {"equity/usa/daily/ibm.zip": DAY, "equity/usa/daily/spy.zip": DAY}


@pytest.mark.parametrize(
    ("files", "references"), [(QUOTED, {}), (TRADED, {"XNYS": REFERENCE})], ids=["quoted", "traded"]
)
def test_only_what_the_gate_can_follow_stands_for_the_market(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    references: dict[str, InstrumentId],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, row in files.items():
        lean_zip(tmp_path / "data", name, [row])
    plan, _ = plan_of("ema_cross", Wish(data=[str(tmp_path / "data")]), Place())
    assert plan.gate.market_references == references
    known = {each.id: each for each in plan.instruments}
    assert GateCore(plan.gate, known, running_guard()).state.market_wide.markets
