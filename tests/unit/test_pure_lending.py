"""pure_lending and the lending venue: supply, interest, withdrawal, and what keeps it safe."""

from decimal import Decimal
from itertools import islice, takewhile
from typing import Any

import msgspec
import pytest

from schemas.base import Event, InstrumentId
from schemas.executions import OrderFilled
from schemas.instruments import AssetClass
from schemas.limits import AccountHealthReported
from schemas.market import (
    LendingRatesPublished,
    LiquidityPublished,
    MarketEvent,
    ProtocolBalancePublished,
    QuoteReceived,
)
from schemas.orders import Order, Outcome, Side, SignalDecided, SignalRaised
from schemas.venue import OrderPlaced, VenueCanceled, VenueFilled, VenueHealth, VenueRejected
from services.bench.open_limits import open_limits
from services.core import tell
from services.executor.config import VenueConfig
from services.executor.venues.lending import NO_DEBT, YEAR_NS
from services.executor.venues.matching import VenueCore
from services.feed.lending import borrow_rate, pool_instrument, supply_rate
from services.feed.simulated import Simulated
from services.feed.source import index_quote
from services.gate.config_portfolio import PortfolioLimits
from services.system import FusedSystem, FusedTerms
from tests import fused_rig
from tests.builders import ACCOUNT, ALPHA, S_NS, dec, instrument, order, quote
from tests.strategy_rig import StrategyRig, decision, every, request

USDC, DAI = InstrumentId("lend:USDC"), InstrumentId("lend:DAI")
POOLS = {key: pool_instrument(key.partition(":")[2]) for key in (USDC, DAI)}
CASH = Decimal(100_000)


def published(
    key: InstrumentId, rate: str, *, used: str = "0.8", left: str = "1000000", index: str = "1"
) -> list[MarketEvent]:
    """Return what a market publishes at once: rates, liquidity, balances, and its index quoted."""
    rates = LendingRatesPublished(
        at_ns=0,
        instrument=key,
        supply_rate=dec(rate),
        borrow_rate=dec(rate) * 2,
        supply_index=dec(index),
    )
    return [
        rates,
        LiquidityPublished(at_ns=0, instrument=key, available=dec(left)),
        ProtocolBalancePublished(
            at_ns=0, instrument=key, supplied=dec(1_000), borrowed=dec(1_000) * dec(used)
        ),
        index_quote(rates, dec(1)),
    ]


# the strategy


class Rig(StrategyRig):
    """A session of two lending markets, whose orders are filled as they stand."""

    def __init__(self, *, health: str | None = "Infinity", **overrides: Any) -> None:
        super().__init__()
        self.core._instruments = self.core.starts._instruments = dict(POOLS)
        self.session = self.start(
            "pure_lending",
            symbols=(USDC, DAI),
            initial_capital=Decimal(1_000),
            config_overrides=overrides,
        )
        if health is not None:
            self.health(health)

    def health(self, factor: str) -> None:
        self.tell(
            AccountHealthReported(at_ns=0, account=ACCOUNT, venue="lend", health_factor=dec(factor))
        )

    def rates(self, usdc: str, dai: str, **fields: str) -> list[tuple[InstrumentId, Side, Decimal]]:
        """Publish both markets a minute later; return what is signalled, filled at once."""
        self.now_ns += 60 * S_NS
        events = [*published(USDC, usdc, **fields), *published(DAI, dai)]
        events.sort(key=lambda event: isinstance(event, QuoteReceived))
        found = self.publish(*events)
        self.now_ns += S_NS  # what was not known a second ago is now
        return found + self.publish(*(e for e in events if isinstance(e, QuoteReceived)))

    def publish(self, *events: MarketEvent) -> list[tuple[InstrumentId, Side, Decimal]]:
        found = []
        for event in events:
            for signal in every(SignalRaised, self.tell(event)):
                found.append((signal.instrument, signal.side, signal.quantity))
                self.tell(decision(signal, Outcome.APPROVED))
                self.tell(self.fill(signal))
        return found

    def fill(self, signal: SignalRaised, quantity: str | None = None) -> OrderFilled:
        return msgspec.structs.replace(super().fill(signal, quantity), price=dec(1))


@pytest.mark.req("S-17")
def test_it_supplies_where_the_rate_is_best_and_worth_it() -> None:
    rig = Rig()
    assert rig.rates("0.015", "0.019") == []
    assert rig.rates("0.02", "0.03") == [(DAI, Side.BUY, dec(900))]
    assert rig.rates("0.035", "0.03") == []  # half a percent more is no reason to move


@pytest.mark.req("S-17")
def test_a_better_market_gets_everything_after_it_was_withdrawn() -> None:
    rig = Rig()
    rig.rates("0.02", "0.03")
    assert rig.rates("0.04", "0.03") == [(DAI, Side.SELL, dec(900)), (USDC, Side.BUY, dec(900))]


@pytest.mark.req("S-17")
@pytest.mark.parametrize("fields", [{"usdc": "0.01"}, {"usdc": "0.05", "used": "0.96"}])
def test_what_pays_too_little_or_is_lent_out_too_far_is_withdrawn(fields: dict[str, str]) -> None:
    rig = Rig()
    assert rig.rates("0.05", "0") == [(USDC, Side.BUY, dec(900))]
    assert rig.rates(dai="0", **fields) == [(USDC, Side.SELL, dec(900))]


def test_no_more_is_withdrawn_than_the_market_has_left() -> None:
    rig = Rig()
    rig.rates("0.05", "0")
    withdrawn = [quantity for _, _, quantity in rig.rates("0.01", "0", left="250.5")]
    assert withdrawn == [dec("250.5")] * 3 + [dec("148.5")]  # again when that has come back


@pytest.mark.req("S-18")
def test_nothing_is_lent_while_the_health_factor_is_not_known() -> None:
    rig = Rig(health=None)
    assert rig.rates("0.05", "0.01") == []
    rig.health("Infinity")
    assert rig.rates("0.05", "0.01") == [(USDC, Side.BUY, dec(900))]


@pytest.mark.req("S-18")
def test_no_withdrawal_brings_the_health_factor_below_its_minimum() -> None:
    """At 1.5 a fifth may go: what is left carries four fifths of it, 1.2."""
    rig = Rig(every_s=60)
    rig.rates("0.05", "0")
    rig.health("1.5")
    assert rig.rates("0.01", "0")[0] == (USDC, Side.SELL, dec(180))
    rig.health("1.2")
    assert rig.rates("0.01", "0") == []
    rig.health("0.9")
    assert rig.rates("0.01", "0") == []


def test_without_the_guard_the_collateral_of_a_debt_is_taken_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The safeguard removed: with any debt taken for none, everything is withdrawn."""
    monkeypatch.setattr(
        "services.strategy.library.pure_lending.PureLending._health",
        lambda *_: Decimal("Infinity"),
    )
    rig = Rig()
    rig.rates("0.05", "0")
    rig.health("1.2")
    assert rig.rates("0.01", "0") == [(USDC, Side.SELL, dec(900))]


def test_what_is_not_known_is_no_reason_to_move() -> None:
    rig = Rig()
    rig.rates("0.05", "0")
    rig.core.sessions[rig.session].context.data._newest.clear()
    rig.now_ns += 60 * S_NS
    assert rig.publish(*published(USDC, "0.05")[1:2], published(USDC, "0.05")[-1]) == []


def test_only_lending_markets_are_taken() -> None:
    answer = StrategyRig().prepare(request("pure_lending"))
    [error] = answer.errors
    assert (error.path, error.found) == ("$.symbols[0]", "sim:ALPHA (equity)")


# the venue


def place(core: VenueCore, wanted: Order, now_ns: int = S_NS) -> list[Event]:
    return list(tell(core, OrderPlaced(at_ns=now_ns, order=wanted), now_ns))


def lending_venue() -> VenueCore:
    core = VenueCore(VenueConfig(), {**POOLS, ALPHA: instrument(ALPHA)}, CASH)
    for event in published(USDC, "0.0365", left="5000"):
        if type(event) in core.hears:
            tell(core, event, S_NS)
    return core


def of(kind: type[Any], said: list[Event]) -> list[Any]:
    return [each for each in said if isinstance(each, kind)]


LONG_NS = 10 * YEAR_NS


def supply(quantity: str, order_id: str = "s", side: Side = Side.BUY) -> Order:
    return order(order_id, side=side, quantity=quantity, instrument=USDC, expires_at_ns=LONG_NS)


@pytest.mark.req("X-07")
def test_what_is_supplied_earns_the_rate_by_its_index() -> None:
    core = lending_venue()
    [filled] = of(VenueFilled, place(core, supply("1000")))
    assert filled.price == dec("1.000000000000")
    year_later = S_NS + YEAR_NS
    [withdrawn] = of(VenueFilled, place(core, supply("1000", "w", Side.SELL), year_later))
    assert withdrawn.price == dec("1.0365")
    assert core.ledger.portfolio.cash == CASH + dec("36.5")


@pytest.mark.req("X-07")
def test_rounding_of_the_index_is_against_us() -> None:
    core = lending_venue()
    [filled] = of(VenueFilled, place(core, supply("1"), 2 * S_NS))
    [withdrawn] = of(VenueFilled, place(core, supply("1", "w", Side.SELL), 2 * S_NS))
    assert filled.price - withdrawn.price == POOLS[USDC].tick_size


@pytest.mark.req("X-07")
def test_no_more_is_paid_out_than_the_market_has_left() -> None:
    core = lending_venue()
    place(core, supply("9000"))
    said = place(core, supply("9000", "w", Side.SELL))
    assert [each.quantity for each in of(VenueFilled, said)] == [dec(5_000)]
    assert [each.leaves for each in of(VenueCanceled, said)] == [dec(4_000)]
    assert of(VenueFilled, place(core, supply("1", "again", Side.SELL))) == []
    tell(core, LiquidityPublished(at_ns=0, instrument=USDC, available=dec(1)), S_NS)
    assert of(VenueFilled, place(core, supply("1", "later", Side.SELL)))


@pytest.mark.req("X-07")
def test_nothing_is_borrowed_by_withdrawing_too_much() -> None:
    core = lending_venue()
    place(core, supply("10"))
    [rejected] = of(VenueRejected, place(core, supply("11", "w", Side.SELL)))
    assert rejected.reason == "withdraw 11 shares of lend:USDC: 10 were supplied"


@pytest.mark.req("S-18")
def test_the_health_factor_is_what_is_supplied_against_cash_below_zero() -> None:
    core = lending_venue()
    [health] = of(VenueHealth, place(core, supply("60000")))
    assert health.health_factor == NO_DEBT
    tell(core, quote("999", "1000", ask_size="1000"), S_NS)
    place(core, order("debt", quantity="80", expires_at_ns=LONG_NS))  # 40,000 more than there is
    assert core.wake_at_ns == 11 * S_NS
    [told] = of(VenueHealth, list(tell(core, None, 11 * S_NS)))
    assert told.health_factor == pytest.approx(dec("1.2"))
    assert told.health_factor > dec("1.2")  # ten seconds of interest
    assert core.wake_at_ns == 21 * S_NS


def test_a_venue_without_lending_says_nothing_of_health() -> None:
    core = VenueCore(VenueConfig(), {ALPHA: instrument(ALPHA)}, CASH)
    assert list(tell(core, published(USDC, "0.01")[0], S_NS)) == []
    assert core.wake_at_ns is None


# the feed, and all of it together


def test_the_rates_of_a_simulated_market_follow_from_its_utilisation() -> None:
    """By the kinked curve: 4 % at the best utilisation of 80 %, and steeply more beyond it."""
    assert borrow_rate(dec("0.4")) == dec("0.02")
    assert borrow_rate(dec("0.8")) == dec("0.04")
    assert borrow_rate(dec(1)) == dec("0.79")
    assert supply_rate(dec("0.8")) == dec("0.04") * dec("0.8") * dec("0.9")


@pytest.mark.req("M-01")
def test_a_simulated_lending_market_publishes_everything_and_its_index_only_grows() -> None:
    source = Simulated(symbols=("ALPHA",), pools=("USDC",))
    events = list(islice(source, 2_000))
    assert [event.at_ns for event in events] == sorted(event.at_ns for event in events)
    rates = [each for each in events if isinstance(each, LendingRatesPublished)]
    assert len(rates) > 10
    indices = [each.supply_index for each in rates]
    assert indices == sorted(indices)
    assert list(islice(Simulated(symbols=("ALPHA",), pools=("USDC",)), 2_000)) == events
    without = [e for e in islice(Simulated(symbols=("ALPHA",)), 500) if e.at_ns]
    assert [e for e in events if not str(getattr(e, "instrument", "")).startswith("lend")][
        :500
    ] == without


def fused(**limits: Any) -> tuple[FusedSystem, list[Event]]:
    source = Simulated(symbols=("ALPHA",), pools=("USDC", "DAI"), quotes_per_s=2)
    gate = msgspec.structs.replace(
        open_limits(fused_rig.ACCOUNT),
        portfolio={fused_rig.ACCOUNT: PortfolioLimits(report_silence_s_max=60, **limits)},
    )
    journal: list[Event] = []
    terms = FusedTerms(
        account=fused_rig.ACCOUNT,
        initial_cash=fused_rig.CASH,
        instruments={each.id: each for each in source.instruments()},
        gate=gate,
    )
    system = FusedSystem(terms, journal=journal.append)
    asked = request(
        "pure_lending",
        symbols=(USDC, DAI),
        initial_capital=Decimal(100_000),
        config_overrides={"supply_rate_min": "0.001", "withdraw_rate_max": "0", "every_s": 5},
    )
    minutes = takewhile(lambda event: event.at_ns < _END_NS, source)
    system.run(minutes, asked)
    return system, journal


_END_NS = 1_704_205_800 * S_NS + 120 * S_NS


@pytest.mark.req("S-17")
@pytest.mark.req("X-07")
def test_lending_passes_the_gate_and_the_venue_and_every_book_agrees() -> None:
    system, journal = fused(health_factor_min=Decimal("1.2"))
    fills = [each for each in journal if isinstance(each, OrderFilled)]
    assert fills
    assert {POOLS[each.instrument].asset_class for each in fills} == {AssetClass.LENDING}
    assert any(isinstance(each, AccountHealthReported) for each in journal)
    assert system.venue.ledger.portfolio.cash == system.executor.orders.portfolio.cash
    [session] = system.strategy.sessions.values()
    worth = session.context.equity()
    assert worth is not None
    assert Decimal(100_000) < worth < Decimal(100_001)  # two minutes of interest


@pytest.mark.req("S-18")
def test_lending_is_denied_where_nobody_chose_a_health_factor() -> None:
    _, journal = fused()
    decided = [each for each in journal if isinstance(each, SignalDecided)]
    assert decided
    assert {(each.outcome, each.rule) for each in decided} == {(Outcome.REJECTED, "limit_missing")}
    assert all("health_factor_min" in each.detail for each in decided)
