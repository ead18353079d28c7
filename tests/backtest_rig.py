"""Plans of backtests on recordings, with limits that are in nobody's way."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from schemas.base import AccountId, InstrumentId
from services.backtest.data import DataTerms, hash_of, source_of, with_hours
from services.backtest.run import Plan
from services.bench.open_limits import open_limits
from services.breaker.config import BreakerConfig
from services.executor.config import ExecutorConfig, VenueConfig
from services.strategy.config import StrategyConfig
from tests.market_rig import at

ACCOUNT = AccountId("backtest")
GATE = open_limits(ACCOUNT, currency_values={"USD": Decimal(1), "USDT": Decimal(1)})


def plan_of(
    strategy: str,
    *paths: Path,
    symbols: Sequence[str] = (),
    capital: int = 100_000,
    parameters: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Plan:
    """Return a plan on recordings; `changes` are fields of the data's terms, or of the plan."""
    fields = DataTerms.__struct_fields__
    data = DataTerms(
        paths=tuple(map(str, paths)), **{k: v for k, v in changes.items() if k in fields}
    )
    known = tuple(with_hours(each) for each in source_of(data).instruments())
    plan = Plan(
        strategy=strategy,
        data=data,
        data_hash=hash_of(data),
        instruments=known,
        symbols=tuple(map(InstrumentId, symbols)) or tuple(each.id for each in known),
        account=ACCOUNT,
        currency=known[0].currency,
        capital=Decimal(capital),
        gate=GATE,
        strategies=StrategyConfig(classes={"peek": "tests.peeking:Peek"}),
        executor=ExecutorConfig(),
        venue=VenueConfig(),
        breaker=BreakerConfig(levels={"stale_data": ()}),
        parameters=dict(parameters or {}),
    )
    others = {k: v for k, v in changes.items() if k not in fields}
    return msgspec.structs.replace(plan, **others)


def day(text: str) -> int:
    """Return the midnight in New York that begins a date, in ns."""
    return at(f"{text} 00:00")
