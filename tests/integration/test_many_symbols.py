"""One session with twenty symbols: each one's quotes, signals and profit are its own (S-10)."""

from decimal import Decimal

import pytest

from schemas.base import Event, InstrumentId
from schemas.control import StartRequest
from schemas.executions import OrderFilled
from schemas.market import QuoteReceived
from schemas.orders import Side, SignalRaised
from services.performance.core import By, Performance, Share
from services.performance.fold import Terms
from services.strategy.config import StrategyConfig
from services.system import FusedSystem, FusedTerms
from tests.builders import MS_NS, S_NS, dec, instrument, quote
from tests.fused_rig import ACCOUNT, CASH, GATE

pytestmark = pytest.mark.req("S-10", "R-03")
SYMBOLS = tuple(InstrumentId(f"sim:S{number:02}") for number in range(20))
KNOWN = {each: instrument(each) for each in SYMBOLS}
ROUNDS, TRIPS = 4, 2
"""80 orders: of a hundred in a minute the breaker of the order rate would trip."""

HALF_SPREAD = dec("0.01")


def step(symbol: InstrumentId) -> Decimal:
    """Return by how much a symbol's price moves from one of its quotes to the next: each its own.

    Some fall, some rise, and one stays.
    """
    return dec("0.01") * (SYMBOLS.index(symbol) - 9)


def middle(symbol: InstrumentId, number: int) -> Decimal:
    return 100 + SYMBOLS.index(symbol) + number * step(symbol)


def market() -> list[QuoteReceived]:
    """Return four quotes of each symbol, one of each in turn."""
    return [
        quote(
            str(middle(symbol, number) - HALF_SPREAD),
            str(middle(symbol, number) + HALF_SPREAD),
            at_ns=S_NS + (number * len(SYMBOLS) + place) * 10 * MS_NS,
            instrument=symbol,
        )
        for number in range(ROUNDS)
        for place, symbol in enumerate(SYMBOLS)
    ]


def played(events: list[QuoteReceived], symbols: tuple[InstrumentId, ...]) -> list[Event]:
    """Return everything that was fed and said, of a session with these symbols."""
    journal: list[Event] = []
    terms = FusedTerms(
        account=ACCOUNT,
        initial_cash=CASH,
        instruments=KNOWN,
        gate=GATE,
        strategy=StrategyConfig(classes={"answers": "tests.trading:Answers"}),
    )
    request = StartRequest(
        operator="kim", strategy="answers", symbols=symbols, initial_capital=CASH
    )
    FusedSystem(terms, journal=journal.append).run(events, request)
    return journal


def test_every_quote_of_twenty_symbols_is_answered_and_every_figure_is_its_symbols() -> None:
    quotes = market()
    journal = played(quotes, SYMBOLS)
    signals = [each for each in journal if isinstance(each, SignalRaised)]
    assert [(each.instrument, each.why, each.side) for each in signals] == [
        (each.instrument, str(each.at_ns), Side.SELL if number // 20 % 2 else Side.BUY)
        for number, each in enumerate(quotes)
    ]
    fills = [each for each in journal if isinstance(each, OrderFilled)]
    assert [(each.instrument, each.price) for each in fills] == [
        (each.instrument, each.bid if number // 20 % 2 else each.ask)
        for number, each in enumerate(quotes)
    ]
    told = Performance(Terms(instruments=KNOWN, currency_values={"USD": Decimal(1)}))
    for event in journal:
        told.update(event)
    assert told.attribution(By.SYMBOL) == {symbol: share(symbol) for symbol in SYMBOLS}
    figures = told.figures(quotes[-1].at_ns)
    counts = (figures.signal_count, figures.order_count, figures.fill_count, figures.trade_count)
    assert counts == (80, 80, 80, 40)
    assert (figures.refusals, figures.blocked) == ({}, {})
    profits = [share(symbol).profit or dec(0) for symbol in SYMBOLS]
    assert figures.final_value == CASH + sum(profits)


def share(symbol: InstrumentId) -> Share:
    """Return where the profit of a symbol comes from: twice bought, and sold a step later."""
    price, slippage = TRIPS * step(symbol), ROUNDS * HALF_SPREAD
    middles = (middle(symbol, number) for number in range(ROUNDS))
    return Share(
        price=price,
        slippage=slippage,
        fees=dec(0),
        funding=dec(0),
        profit=price - slippage,
        traded=sum(middles, dec(0)),  # as often half a spread above as below
    )


def test_a_session_hears_of_no_symbol_that_is_not_its_own() -> None:
    few = SYMBOLS[3:5]
    signals = [each for each in played(market(), few) if isinstance(each, SignalRaised)]
    assert [each.instrument for each in signals] == [*few] * ROUNDS
