"""A backtest sizes and counts in the account's currency, as a session on the bus does."""

from decimal import Decimal

import msgspec
import pytest

from schemas.base import Event, InstrumentId
from schemas.control import StartRequest
from schemas.orders import SignalRaised
from services.bench.gate import START_NS
from services.system import FusedSystem, FusedTerms
from tests.builders import S_NS, instrument, quote
from tests.fused_rig import ACCOUNT, CASH, GATE

YEN = InstrumentId("sim:YEN")
KNOWN = {YEN: msgspec.structs.replace(instrument(YEN), currency="JPY")}


def wanted(worth: str) -> Decimal:
    """Return what a holder of 100,000 dollars wants first of something at 1,000 yen."""
    values = {"USD": Decimal(1), "JPY": Decimal(worth)}
    account = msgspec.structs.replace(GATE.accounts[ACCOUNT], currency_values=values)
    said: list[Event] = []
    terms = FusedTerms(
        account=ACCOUNT,
        initial_cash=CASH,
        currency_values=values,
        instruments=KNOWN,
        gate=msgspec.structs.replace(GATE, accounts={ACCOUNT: account}),
    )
    request = StartRequest(
        operator="kim",
        strategy="buy_and_hold",
        symbols=("sim:YEN",),
        initial_capital=Decimal(100_000),
    )
    market = [
        quote("999", "1001", instrument=YEN, at_ns=START_NS + number * S_NS) for number in range(5)
    ]
    FusedSystem(terms, journal=said.append).run(market, request)
    return next(each.quantity for each in said if isinstance(each, SignalRaised))


@pytest.mark.req("S-05", "S-18")
def test_a_backtest_sizes_by_what_a_foreign_currency_is_worth() -> None:
    at_par, in_yen = wanted("1"), wanted("0.01")
    assert in_yen == at_par * 100
