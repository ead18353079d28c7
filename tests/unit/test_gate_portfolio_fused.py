"""Portfolio risk and moving limits in a whole system in one process, on the feed's own clock."""

import math
from collections.abc import Iterator
from decimal import Decimal

import msgspec
import pytest

from schemas.base import Event
from schemas.control import StartRequest
from schemas.limits import LimitsTightened, PricesSampled
from schemas.orders import SignalDecided
from services.gate.config import GateConfig
from services.gate.config_portfolio import PortfolioLimits, Sampling, ValueAtRiskLimits
from services.system import FusedSystem, FusedTerms
from tests import fused_rig
from tests.builders import ALPHA, S_NS, dec, instrument, quote
from tests.fused_rig import ACCOUNT, CASH
from tests.limits_rig import DRAWDOWN_STEPS

START_NS = 1_000 * S_NS
GATE = msgspec.structs.replace(
    fused_rig.GATE,
    sampling=Sampling(every_s=1, window=100, samples_min=10),
    portfolio={
        ACCOUNT: PortfolioLimits(
            value_at_risk=ValueAtRiskLimits(amount_max=dec(10**7), samples_min=20),
            risk_budget=dec(10**7),
            drawdown_steps=DRAWDOWN_STEPS,
        )
    },
)


def waves() -> Iterator[Event]:
    """Yield a market that swings enough for a cross of averages to trade in it."""
    for tick in range(2_000):
        middle = 100 + 5 * math.sin(tick / 60)
        bid, ask = f"{middle - 0.01:.2f}", f"{middle + 0.01:.2f}"
        yield quote(bid, ask, at_ns=START_NS + tick * S_NS // 5)


def journal_of(gate: GateConfig) -> list[Event]:
    journal: list[Event] = []
    terms = FusedTerms(
        account=ACCOUNT, initial_cash=CASH, instruments={ALPHA: instrument(ALPHA)}, gate=gate
    )
    request = StartRequest(
        operator="kim",
        strategy="ema_cross",
        symbols=(ALPHA,),
        initial_capital=Decimal(100_000),
    )
    FusedSystem(terms, journal=journal.append).run(waves(), request)
    return journal


def rules(journal: list[Event]) -> list[str]:
    return [event.rule for event in journal if isinstance(event, SignalDecided)]


@pytest.mark.req("G-03", "G-04", "G-12")
def test_a_run_waits_until_its_risk_is_known_and_then_trades() -> None:
    journal = journal_of(GATE)
    assert rules(journal)[-1] == "all"
    assert sum(isinstance(event, PricesSampled) for event in journal) == 399
    tightened = [event for event in journal if isinstance(event, LimitsTightened)]
    assert [(str(e.before), str(e.factor)) for e in tightened] == [("0.25", "1")]


@pytest.mark.req("G-03")
def test_the_same_feed_gives_the_same_run_with_risk_too() -> None:
    assert journal_of(GATE) == journal_of(GATE)


@pytest.mark.req("G-03")
def test_without_rows_of_risk_nothing_of_it_is_in_a_run() -> None:
    kinds = (PricesSampled, LimitsTightened)
    journal = journal_of(msgspec.structs.replace(GATE, portfolio={}))
    assert not [event for event in journal if isinstance(event, kinds)]
    assert set(rules(journal)) == {"all"}
