"""How large positions are: by volatility they are smaller where the market is wilder (G-04)."""

from decimal import Decimal
from typing import Any

import pytest

from schemas.base import Event
from schemas.market import BarClosed
from schemas.orders import SignalRaised
from services.strategy.library.size import SizeParameters
from services.strategy.sizing import SizingTerms, Volatility, sized
from tests.builders import ALPHA, S_NS, quote
from tests.strategy_rig import INSTRUMENTS, StrategyRig, config, every

MINUTE_NS = 60 * S_NS
CAPITAL = Decimal(10_000_000)
BY: dict[str, Any] = {"target_volatility": "0.1", "capital_share": "1"}
FORMULA = """
description = "Hold while the close is above 50."
[candles]
source = "bar"
interval_s = 60
[rules]
entry_long = "close > 50"
exit_long = "close < 50"
"""


def walk(step: str) -> list[Decimal]:
    """Return forty prices around 100 that move by `step` each way."""
    return [Decimal(100) + Decimal(step) * (-1) ** count for count in range(40)]


def expected(prices: list[Decimal], at_ns: list[int], price: Decimal) -> Decimal:
    volatility = Volatility(60)
    for each, when_ns in zip(prices, at_ns, strict=True):
        volatility.add(each, when_ns)
    terms = SizingTerms(
        capital=CAPITAL, target_volatility=Decimal("0.1"), capital_share_max=Decimal(1)
    )
    return sized(terms, volatility.annual, price, INSTRUMENTS[ALPHA])


@pytest.mark.req("G-04")
@pytest.mark.parametrize("strategy", ["buy_and_hold", "ema_cross"])
def test_a_wilder_market_is_traded_smaller(strategy: str) -> None:
    sizes: list[Decimal] = []
    for step in ("0.1", "0.5"):
        rig = StrategyRig()
        more = {"fast": 1, "slow": 30} if strategy == "ema_cross" else {}
        rig.start(strategy, initial_capital=CAPITAL, config_overrides={**BY, **more})
        said: list[Event] = []
        seen: list[tuple[Decimal, int]] = []
        for price in walk(step):
            rig.now_ns += MINUTE_NS
            half = Decimal("0.05")
            bid, ask = str(price - half), str(price + half)
            if not every(SignalRaised, said):
                seen.append((price, rig.now_ns))
            said += rig.tell(quote(bid, ask, at_ns=rig.now_ns))
        signal = every(SignalRaised, said)[0]
        assert len(seen) > 10  # nothing before enough was seen
        prices, times = [each for each, _ in seen], [each for _, each in seen]
        assert signal.quantity == expected(prices, times, prices[-1]) > 0
        sizes.append(signal.quantity)
    assert sizes[1] < sizes[0] / 4


@pytest.mark.req("G-04")
def test_a_formula_without_a_size_is_sized_by_volatility(tmp_path: Any) -> None:
    (tmp_path / "above.toml").write_text(FORMULA)
    sizes: list[Decimal] = []
    for step in ("0.1", "0.5"):
        rig = StrategyRig(config(formulas=(str(tmp_path),)))
        rig.start("above", initial_capital=CAPITAL, config_overrides=BY)
        said: list[Event] = []
        for price in walk(step):
            rig.now_ns += MINUTE_NS
            rig.tell(quote(str(price - 1), str(price + 1), at_ns=rig.now_ns))
            said += rig.tell(
                BarClosed(
                    at_ns=rig.now_ns,
                    instrument=ALPHA,
                    open=price,
                    high=price,
                    low=price,
                    close=price,
                    volume=Decimal(1),
                    open_ns=rig.now_ns - MINUTE_NS,
                    close_ns=rig.now_ns,
                )
            )
        sizes.append(every(SignalRaised, said)[0].quantity)
    assert 0 < sizes[1] < sizes[0] / 4


@pytest.mark.req("G-04")
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"target_volatility": Decimal(0)}, "target_volatility above 0: it is 0"),
        ({"target_volatility": Decimal("NaN")}, "target_volatility above 0: it is NaN"),
        (
            {"target_volatility": Decimal("0.1"), "quantity": Decimal(5)},
            "either quantity or target_volatility: they are 5 and 0.1",
        ),
        ({"capital_share": Decimal(2)}, "capital_share above 0 and up to 1: it is 2"),
    ],
)
def test_a_size_that_is_none_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SizeParameters(**fields)
