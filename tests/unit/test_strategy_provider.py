"""What a session can ask of the market: it is told, or its start is refused, or it hears why."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.base import Event
from schemas.instruments import DataKind, Instrument
from schemas.limits import AccountHealthReported
from schemas.market import (
    BarClosed,
    BookChanged,
    FundingPublished,
    LendingRatesPublished,
    LiquidityPublished,
    ProtocolBalancePublished,
    QuoteReceived,
    StakingRatePublished,
    TradeReceived,
)
from schemas.sessions import SessionState, SessionStateChanged, StrategyFailed
from services.strategy.config import StrategyConfig
from services.strategy.interface import Parameters, Strategy
from services.strategy.provider import EVENTS, DataProvider
from tests.builders import ACCOUNT, ALPHA, BETA, dec, quote
from tests.strategy_rig import StrategyRig, every, request


class Curious(Strategy[Parameters]):
    """Ask for everything there is."""

    reads = tuple(DataKind)


class Careless(Strategy[Parameters]):
    """Ask for what it did not name."""

    def on_quote(self, quote: QuoteReceived) -> None:
        self.context.data.funding(quote.instrument)


OWN = {each.__name__.lower(): f"{__name__}:{each.__name__}" for each in (Curious, Careless)}

TOLD: list[Event] = [
    TradeReceived(at_ns=1, instrument=ALPHA, price=dec(5), quantity=dec(1)),
    BarClosed(
        at_ns=1,
        instrument=ALPHA,
        open=dec(1),
        high=dec(1),
        low=dec(1),
        close=dec(1),
        volume=dec(1),
        open_ns=0,
        close_ns=1,
    ),
    FundingPublished(at_ns=1, instrument=ALPHA, rate=dec("0.01")),
    LendingRatesPublished(
        at_ns=1,
        instrument=ALPHA,
        supply_rate=dec("0.03"),
        borrow_rate=dec("0.05"),
        supply_index=dec(1),
    ),
    StakingRatePublished(at_ns=1, instrument=ALPHA, rate=dec("0.04")),
    LiquidityPublished(at_ns=1, instrument=ALPHA, available=dec(700)),
    ProtocolBalancePublished(at_ns=1, instrument=ALPHA, supplied=dec(9), borrowed=dec(8)),
    BookChanged(
        at_ns=1,
        instrument=ALPHA,
        bids=((dec(4), dec(1)),),
        asks=((dec(6), dec(2)),),
        last_id=1,
        is_snapshot=True,
    ),
    quote(),
]
TRADE, BAR, FUNDING, _, _, _, BALANCES, _, _ = TOLD
QUESTIONS: dict[str, tuple[Callable[[DataProvider], Any], Any]] = {
    "prices": (lambda data: data.price(ALPHA), quote()),
    "trades": (lambda data: data.trade(ALPHA), TRADE),
    "bars": (lambda data: data.bar(ALPHA), BAR),
    "funding": (lambda data: data.funding(ALPHA), FUNDING),
    "lending": (lambda data: data.lending_rate(ALPHA), dec("0.03")),
    "borrowing": (lambda data: data.borrowing_rate(ALPHA), dec("0.05")),
    "staking": (lambda data: data.staking_rate(ALPHA), dec("0.04")),
    "liquidity": (lambda data: data.liquidity(ALPHA), dec(700)),
    "balances": (lambda data: data.balances(ALPHA), BALANCES),
}


def rig() -> StrategyRig:
    return StrategyRig(StrategyConfig(classes=OWN))


@pytest.mark.req("S-17")
@pytest.mark.parametrize("kind", QUESTIONS)
def test_a_session_is_told_what_it_asks_for(kind: str) -> None:
    told = rig()
    data = told.core.sessions[told.start("curious")].context.data
    ask, answer = QUESTIONS[kind]
    assert ask(data) is None  # not yet
    for event in TOLD:
        told.tell(event)
    assert ask(data) == answer


@pytest.mark.req("S-17")
def test_the_order_book_is_known_from_its_snapshot_until_an_update_is_missing() -> None:
    told = rig()
    data = told.core.sessions[told.start("curious")].context.data
    assert data.book(ALPHA) is None
    for event in TOLD:
        told.tell(event)
    book = data.book(ALPHA)
    assert book is not None
    assert book.top == ((dec(4), dec(1)), (dec(6), dec(2)))
    told.tell(BookChanged(at_ns=2, instrument=ALPHA, first_id=5, last_id=6))
    assert data.book(ALPHA) is None


def test_every_kind_of_data_has_an_event_and_a_question() -> None:
    assert set(EVENTS) == set(DataKind)
    assert {*QUESTIONS, "book"} == set(DataKind)


def without(kind: DataKind) -> dict[Any, Instrument]:
    """Return the instruments of the rig, with a feed that tells everything else of one of them."""
    known = dict(rig().core._instruments)
    offers = tuple(each for each in DataKind if each is not kind)
    known[BETA] = msgspec.structs.replace(known[BETA], offers=offers)
    return known


@pytest.mark.req("S-17")
def test_asking_for_what_no_feed_tells_refuses_the_start() -> None:
    told = rig()
    told.core.starts._instruments = without(DataKind.STAKING)
    answer = told.prepare(request("curious", symbols=("ALPHA", "BETA")))
    [error] = answer.errors
    assert error.path == "$.symbols[1]"
    assert error.found.startswith("of sim:BETA the feed tells prices, trades")
    assert error.wanted == "staking of it"
    assert answer.session is None


@pytest.mark.req("S-17")
def test_a_feed_that_no_longer_tells_it_ends_the_session_at_the_restart() -> None:
    told = rig()
    session = told.start("curious", symbols=("ALPHA", "BETA"))
    told.generation += 1
    told.core = told._made()
    told.core._instruments = without(DataKind.FUNDING)
    for event in told.kept:
        told.core.restore(event)
    changed = every(SessionStateChanged, told.tell(quote()))[-1]
    assert (changed.session, changed.state) == (session, SessionState.FAILED)
    assert "wanted: funding of it" in changed.reason


@pytest.mark.req("S-17")
def test_a_question_that_was_not_named_ends_the_session_and_says_how_to_name_it() -> None:
    told = rig()
    told.start("careless")
    [failed] = every(StrategyFailed, told.tell(quote()))
    assert "funding of sim:ALPHA was asked for, and not named" in failed.error
    assert "DataKind.FUNDING from the strategy's `needs`" in failed.error


@pytest.mark.req("S-02")
def test_each_session_has_a_provider_of_its_own() -> None:
    told = rig()
    first = told.core.sessions[told.start("curious")].context.data
    for event in TOLD:
        told.tell(event)
    second = told.core.sessions[told.start("curious")].context.data
    assert first is not second
    assert first.funding(ALPHA) is not None
    assert second.funding(ALPHA) is None  # it begins with what it is told itself


def test_what_a_venue_says_of_the_accounts_health_is_known() -> None:
    told = rig()
    data = told.core.sessions[told.start("curious")].context.data
    assert data.health_factor("lend") is None
    report = AccountHealthReported(
        at_ns=1, account=ACCOUNT, venue="lend", health_factor=Decimal("1.5")
    )
    told.tell(report)
    assert data.health_factor("lend") == Decimal("1.5")


@pytest.mark.req("S-17", "S-18")
def test_a_report_of_the_margin_alone_leaves_the_health_factor_as_it_was() -> None:
    told = rig()
    data = told.core.sessions[told.start("curious")].context.data
    report = AccountHealthReported(at_ns=1, account=ACCOUNT, venue="lend", health_factor=dec("1.5"))
    told.tell(report)
    told.tell(
        AccountHealthReported(at_ns=2, account=ACCOUNT, venue="lend", margin_ratio=dec("0.3"))
    )
    assert data.health_factor("lend") == dec("1.5")


@pytest.mark.req("S-18", "G-11")
def test_the_health_of_another_account_is_none_of_a_sessions() -> None:
    told = rig()
    data = told.core.sessions[told.start("curious")].context.data
    report = AccountHealthReported(at_ns=1, account=ACCOUNT, venue="lend", health_factor=dec("1.1"))
    told.tell(report)
    told.tell(msgspec.structs.replace(report, account="another", health_factor=dec(9)))
    assert data.health_factor("lend") == dec("1.1"), "with nine it would withdraw what secures debt"
