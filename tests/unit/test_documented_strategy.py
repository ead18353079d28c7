"""The strategy that `ops/docs/own-strategies.md` shows runs as it stands there."""

import re
import sys
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from schemas.orders import Side, SignalRaised
from services.strategy.config import StrategyConfig
from tests.builders import ALPHA, quote
from tests.conftest import ROOT
from tests.strategy_rig import StrategyRig, config, only

PAGE = (ROOT / "ops" / "docs" / "own-strategies.md").read_text()


def _block(language: str) -> str:
    [found] = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StrategyConfig:
    """The page's own section of the configuration, with the module in a folder of this test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    section = tomllib.loads(_block("toml"))["strategy"]
    [path] = re.findall(rf"`{section['folders'][0]}/(\w+\.py)`", PAGE)
    (tmp_path / path).write_text(_block("python"))
    monkeypatch.delitem(sys.modules, path.removesuffix(".py"), raising=False)
    return config(classes=section["classes"])


@pytest.mark.req("S-10")
def test_it_holds_while_the_market_is_narrow_and_leaves_when_it_is_wide(
    settings: StrategyConfig,
) -> None:
    rig = StrategyRig(settings)
    session = rig.start("calm")
    assert session == "calm-1"
    bought = only(SignalRaised, rig.tell(quote("100.00", "100.04", instrument=ALPHA)))
    assert (bought.side, bought.quantity, bought.why) == (Side.BUY, Decimal(10), "4.0 bps")
    rig.tell(rig.fill(bought))
    assert rig.tell(quote("100.00", "100.10", instrument=ALPHA)) == []
    sold = only(SignalRaised, rig.tell(quote("100.00", "100.30", instrument=ALPHA)))
    assert (sold.side, sold.quantity, sold.why) == (Side.SELL, Decimal(10), "29.9 bps")
