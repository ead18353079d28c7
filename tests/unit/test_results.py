"""Records of backtests and paper days: named by what went into them."""

import importlib
import sys
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from schemas.base import AccountId, InstrumentId, SessionId
from schemas.results import BacktestResult, Figures, PaperDay, StrategyTerms
from services.strategy.library.ema_cross import EmaCross
from services.strategy.versions import version_of

pytestmark = pytest.mark.req("S-05")

TERMS = StrategyTerms(
    strategy="ema_cross",
    strategy_version="0123456789abcdef",
    parameters={"fast": 12, "slow": 26},
    instruments=(InstrumentId("sim:BTCUSDT"),),
)
RESULT = BacktestResult(
    terms=TERMS,
    data_hash="ab" * 32,
    from_ns=1,
    to_ns=2,
    figures=Figures(initial_capital=Decimal(1_000), sharpe=1.25),
)
DAY = PaperDay(
    terms=TERMS,
    session=SessionId("ema_cross-1"),
    account=AccountId("paper"),
    day="2026-11-27",
    from_ns=1,
    to_ns=2,
    up_ns=1,
)


@pytest.mark.parametrize("record", [RESULT, DAY])
def test_a_record_comes_back_from_its_bytes_as_it_was(record: msgspec.Struct) -> None:
    assert msgspec.json.decode(msgspec.json.encode(record), type=type(record)) == record


def test_the_same_run_has_the_same_id_whatever_came_out_and_whenever() -> None:
    later = msgspec.structs.replace(
        RESULT, recorded_ns=99, figures=Figures(initial_capital=Decimal(1_000), sharpe=0.5)
    )
    assert later.id == RESULT.id


@pytest.mark.parametrize(
    "change",
    [
        {"data_hash": "cd" * 32},
        {"to_ns": 3},
        {"seed": 1},
        {"terms": msgspec.structs.replace(TERMS, strategy_version="other")},
        {"terms": msgspec.structs.replace(TERMS, parameters={"fast": 12, "slow": 27})},
    ],
)
def test_another_run_has_another_id(change: dict[str, object]) -> None:
    assert msgspec.structs.replace(RESULT, **change).id != RESULT.id


def test_a_changed_byte_of_a_strategy_is_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "mine_to_change.py"
    source.write_text(
        "from services.strategy.library.ema_cross import EmaCross\n\n\n"
        "class Mine(EmaCross):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("mine_to_change")
    try:
        first = version_of(module.Mine)
        source.write_text(source.read_text() + "# another thought\n")
        assert first
        assert version_of(module.Mine) not in (first, version_of(EmaCross))
        source.unlink()
        assert version_of(module.Mine) == ""
    finally:
        del sys.modules["mine_to_change"]


def test_a_strategy_made_from_a_file_has_the_version_of_that_file(tmp_path: Path) -> None:
    formula = tmp_path / "mine.toml"
    formula.write_text("entry = 1")
    made = type("Made", (EmaCross,), {"version_sources": (formula,)})
    first = version_of(made)
    formula.write_text("entry = 2")
    assert first
    assert version_of(made) != first
