"""A whole system over one day in New York: halts, pauses, and the hours between them."""

from collections.abc import Iterator
from decimal import Decimal

import msgspec
import pytest

from schemas.base import Event
from schemas.control import StartRequest
from schemas.market import InstrumentStatusChanged, Trading
from schemas.market_rules import MarketRule, MarketRuleInvoked
from schemas.orders import OrderApproved, SignalDecided
from services.gate.config_market import (
    DEFAULT,
    ExtendedHours,
    LimitTier,
    MarketWide,
    ShortSaleRule,
)
from services.strategy import config as strategy_config
from services.system import FusedSystem, FusedTerms
from tests.builders import S_NS, quote
from tests.fused_rig import ACCOUNT, CASH, GATE, ROW
from tests.market_rig import IBM, INDEX, SPX, STOCK, at, closing, trade

DAY = "2025-11-19"
HALTED = at(f"{DAY} 10:30"), at(f"{DAY} 10:45")
LIMIT_NS = at(f"{DAY} 12:00")
PAUSED = LIMIT_NS + 15 * S_NS, LIMIT_NS + 315 * S_NS
MARKET_HALTED = at(f"{DAY} 14:00"), at(f"{DAY} 14:15")
OPEN = [
    (at(f"{DAY} 09:30"), HALTED[0]),
    (HALTED[1], LIMIT_NS),
    (PAUSED[1], MARKET_HALTED[0]),
    (MARKET_HALTED[1], at(f"{DAY} 16:00")),
]
"""The only times of that day at which anything may be approved."""


def day() -> Iterator[Event]:
    """Yield a quote and a trade every ten seconds, and what the market said in between."""
    yield closing("100", at("2025-11-18 16:00"))
    yield closing("1000", at("2025-11-18 16:00"), SPX)
    said: dict[int, Event] = {
        HALTED[0]: status(HALTED[0], Trading.HALTED),
        HALTED[1]: status(HALTED[1], Trading.OPEN),
        MARKET_HALTED[0]: trade("930", MARKET_HALTED[0], SPX),
    }
    for now_ns in range(at(f"{DAY} 08:00"), at(f"{DAY} 18:00"), 10 * S_NS):
        if now_ns in said:
            yield said[now_ns]
        is_low = now_ns >= LIMIT_NS
        bid, ask = ("94.90", "95.00") if is_low else ("99.90", "100.00")
        if not LIMIT_NS <= now_ns < PAUSED[1] and not HALTED[0] <= now_ns < HALTED[1]:
            yield trade(ask, now_ns)
        yield quote(bid, ask, at_ns=now_ns, instrument=IBM)


def status(at_ns: int, trading: Trading) -> Event:
    return InstrumentStatusChanged(at_ns=at_ns, instrument=IBM, trading=trading)


def journal() -> list[Event]:
    """Return all that is said on a day on which a strategy wants to trade at every quote."""
    rules = msgspec.structs.replace(
        GATE.market[DEFAULT],
        extended_hours=ExtendedHours.NONE,
        luld_tier=LimitTier.ONE,
        market_wide=MarketWide.US,
        short_sale_rule=ShortSaleRule.RULE_201,
    )
    gate = msgspec.structs.replace(GATE, market={DEFAULT: rules}, market_references={"XNYS": SPX})
    said: list[Event] = []
    terms = FusedTerms(
        account=ACCOUNT,
        initial_cash=CASH,
        instruments={IBM: STOCK, SPX: INDEX},
        gate=msgspec.structs.replace(
            gate, default=msgspec.structs.replace(ROW, stale_after_ms=20_000)
        ),
        strategy=strategy_config.StrategyConfig(
            classes={"greedy": "services.simulation.strategies:Greedy"},
            extended_hours=strategy_config.ExtendedHours.BOTH,  # the gate is to be asked then too
            execution=strategy_config.UNHELD,
        ),
    )
    start = StartRequest(
        operator="kim", strategy="greedy", symbols=(IBM,), initial_capital=Decimal(100_000)
    )
    FusedSystem(terms, journal=said.append).run(day(), start)
    return said


@pytest.mark.req("G-05", "S-07", "M-05")
def test_a_day_is_traded_in_its_open_hours_and_in_no_halt_or_pause() -> None:
    said = journal()
    approved_ns = [each.at_ns for each in said if isinstance(each, OrderApproved)]
    counts = [sum(begin <= each < end for each in approved_ns) for begin, end in OPEN]
    assert sum(counts) == len(approved_ns), "something was approved at another time"
    assert min(counts) >= 3, counts
    rules = {each.rule for each in said if isinstance(each, SignalDecided)}
    assert {"market_hours", "instrument_open", "price_bands", "market_wide_halt"} <= rules


def test_what_prices_brought_about_is_kept_with_its_times() -> None:
    invoked = [each for each in journal() if isinstance(each, MarketRuleInvoked)]
    assert [(each.rule, each.from_ns, each.until_ns) for each in invoked] == [
        (MarketRule.LIMIT_PAUSE, *PAUSED),
        (MarketRule.MARKET_WIDE, *MARKET_HALTED),
    ]
