"""The system that the `fused` benchmark runs: it may trade all it likes."""

from collections.abc import Sequence
from decimal import Decimal

from schemas.control import StartRequest
from schemas.instruments import Instrument
from services.bench.gate import ACCOUNT, gate_config
from services.breaker.config import BreakerConfig
from services.strategy.config import UNHELD, StrategyConfig
from services.system import FusedSystem, FusedTerms

IDLE, TRADING = "services.bench.strategies:Idle", "ema_cross"
SPAN = {"fast": 11, "slow": 24, "quantity": "100"}
"""Averages of ema_cross that cross some 28,000 times in a million of these quotes."""


def system(instruments: Sequence[Instrument]) -> FusedSystem:
    """Return a system that may trade all it likes in `instruments`."""
    terms = FusedTerms(
        account=ACCOUNT,
        initial_cash=Decimal(10) ** 9,
        instruments={each.id: each for each in instruments},
        gate=gate_config(),
        strategy=StrategyConfig(
            parameters={"ema_cross": SPAN}, classes={"idle": IDLE}, execution=UNHELD
        ),
        breaker=BreakerConfig(levels=dict.fromkeys(("order_rate", "stale_data"), ())),
    )
    return FusedSystem(terms)


def request(strategy: str, instruments: Sequence[Instrument]) -> StartRequest:
    """Return the start of one session over all instruments."""
    return StartRequest(
        operator="bench",
        strategy=strategy,
        symbols=tuple(each.id for each in instruments),
        initial_capital=Decimal(10) ** 6,
    )
