"""The scanner: what it finds, that it says it once, and that a feed publishes it."""

from decimal import Decimal
from typing import Any

import pytest

from schemas.base import InstrumentId
from schemas.control import EpochStarted
from schemas.instruments import AssetClass
from schemas.market import FundingPublished, MarketRead, QuoteReceived, TradeReceived
from schemas.scan import OpportunityFound, ScanRule
from schemas.subjects import subject_of
from services.core import tell
from services.feed.config import ScannerConfig
from services.feed.core import FeedCore, FeedPlan
from services.feed.scanner import Scanner
from tests.builders import ALPHA, BETA, S_NS, dec, instrument, quote

SPOT, PERPETUAL = InstrumentId("spot:COIN"), InstrumentId("perp:COIN")
KNOWN = (
    instrument(ALPHA),
    instrument(SPOT, asset_class=AssetClass.SPOT),
    instrument(PERPETUAL, asset_class=AssetClass.PERPETUAL),
)


class Looking:
    """A scanner that looks once a second at the newest quotes."""

    def __init__(self, **config: Any) -> None:
        self.scanner = Scanner(ScannerConfig(**config), KNOWN)
        self.quotes: dict[InstrumentId, QuoteReceived] = {}
        self.now_ns = S_NS

    def look(
        self, price: str, *, width: str = "0.02", key: InstrumentId = ALPHA, after_s: int = 1
    ) -> list[tuple[ScanRule, Decimal]]:
        """Quote one instrument; return what the scanner says of the market a while later."""
        self.now_ns += after_s * S_NS
        half = dec(width) / 2
        self.quotes[key] = quote(str(dec(price) - half), str(dec(price) + half), instrument=key)
        return [(each.rule, each.value) for each in self.again()]

    def again(self) -> list[OpportunityFound]:
        return self.scanner.look(self.quotes, self.now_ns)


@pytest.mark.req("M-04")
def test_a_big_move_within_the_window_is_told_either_way() -> None:
    looking = Looking(window_s=3, quiet_s=1)
    assert [looking.look(price) for price in ("100", "100", "100", "100.9")] == [[]] * 4
    assert looking.look("101.5") == [(ScanRule.MOVE, dec("150"))]
    assert looking.look("100.2") == []  # against 100 three seconds ago
    assert looking.look("99") == [(ScanRule.MOVE, dec("-188.31"))]


@pytest.mark.req("M-04")
def test_a_slow_drift_is_no_big_move() -> None:
    looking = Looking(window_s=3)
    assert [looking.look(str(100 + n / 10)) for n in range(60)] == [[]] * 60


@pytest.mark.req("M-04")
def test_a_wide_spread_is_told() -> None:
    looking = Looking()
    assert looking.look("100", width="0.49") == []
    assert looking.look("100", width="0.5") == [(ScanRule.SPREAD, dec("50"))]


@pytest.mark.req("M-04")
def test_a_perpetual_far_from_its_spot_is_told_with_both_prices() -> None:
    looking = Looking()
    assert looking.look("100", key=SPOT) == []
    looking.now_ns += S_NS
    looking.quotes[PERPETUAL] = quote("100.49", "100.51", instrument=PERPETUAL)
    [found] = looking.again()
    assert found == OpportunityFound(
        at_ns=looking.now_ns,
        instrument=PERPETUAL,
        rule=ScanRule.BASIS,
        value=dec("50"),
        threshold=dec("30"),
        against=SPOT,
        detail="100.500 against 100.000 of spot:COIN",
    )
    assert subject_of(found) == "scan.basis.perp.COIN"


@pytest.mark.req("M-04")
def test_a_high_funding_rate_is_told() -> None:
    looking = Looking()
    for rate, said in (("0.0001", []), ("-0.0007", [(ScanRule.FUNDING, dec("-7"))])):
        looking.scanner.take(
            FundingPublished(at_ns=0, instrument=PERPETUAL, rate=dec(rate)), looking.now_ns
        )
        assert looking.look("100", key=PERPETUAL) == said


@pytest.mark.req("M-04")
def test_a_burst_of_volume_is_told_once_it_is_known_what_is_usual() -> None:
    looking = Looking(window_s=10, quiet_s=10)

    def trade(quantity: str) -> list[tuple[ScanRule, Decimal]]:
        traded = TradeReceived(at_ns=0, instrument=ALPHA, price=dec(100), quantity=dec(quantity))
        looking.scanner.take(traded, looking.now_ns)
        return looking.look("100", after_s=10)

    def burst(quantity: str) -> list[tuple[ScanRule, Decimal]]:
        traded = TradeReceived(at_ns=0, instrument=ALPHA, price=dec(100), quantity=dec(quantity))
        looking.scanner.take(traded, looking.now_ns)
        return looking.look("100", after_s=1)

    assert burst("900") == []  # nothing is usual yet
    assert [trade("10") for _ in range(20)] == [[]] * 20
    assert burst("30") == []
    [(rule, times)] = burst("200")
    assert rule is ScanRule.VOLUME
    assert 5 < times < 25


@pytest.mark.req("M-04")
def test_what_goes_on_is_told_once_and_again_only_after_it_ended_and_a_while() -> None:
    looking = Looking(quiet_s=10)
    assert looking.look("100", width="1") == [(ScanRule.SPREAD, dec("100"))]
    assert [looking.look("100", width="1") for _ in range(20)] == [[]] * 20
    assert looking.look("100") == []
    assert looking.look("100", width="1") == [(ScanRule.SPREAD, dec("100"))]
    looking.look("100")
    assert looking.look("100", width="1") == []  # too soon
    looking.look("100")
    assert looking.look("100", width="1", after_s=10) == [(ScanRule.SPREAD, dec("100"))]


def test_a_threshold_of_zero_switches_a_rule_off_and_a_negative_one_is_refused() -> None:
    assert Looking(spread_bps_min=Decimal(0)).look("100", width="9") == []
    with pytest.raises(ValueError, match="spread_bps_min of 0 or more"):
        ScannerConfig(spread_bps_min=Decimal(-1))


def test_a_market_with_one_side_has_no_spread_and_no_move() -> None:
    looking = Looking()
    looking.quotes[ALPHA] = quote("0", "100")
    assert looking.again() == []


def feed(**config: Any) -> FeedCore:
    scanner = Scanner(ScannerConfig(**config), KNOWN)
    core = FeedCore(FeedPlan(source="test", stale_after_ns=60 * S_NS), scanner)
    started = EpochStarted(at_ns=0, epoch=1, start_id="s", operator="kim", members={})
    tell(core, started, S_NS)
    return core


def read(*events: Any) -> MarketRead:
    return MarketRead(at_ns=0, events=events, position_count=len(events))


@pytest.mark.req("M-04")
def test_a_feed_looks_at_every_instrument_by_its_own_timer_and_publishes_what_it_finds() -> None:
    core = feed()
    said = tell(core, read(quote("99", "101"), quote("49.99", "50.01", instrument=BETA)), S_NS)
    assert not [each for each in said if isinstance(each, OpportunityFound)]
    assert core.wake_at_ns == 2 * S_NS
    [found] = tell(core, None, 2 * S_NS)
    assert isinstance(found, OpportunityFound)
    assert (found.instrument, found.rule, found.value) == (ALPHA, ScanRule.SPREAD, dec("200"))
    assert core.wake_at_ns == 3 * S_NS


def test_a_scanner_that_is_off_costs_no_timer() -> None:
    core = feed(is_on=False)
    tell(core, read(quote("99", "101")), S_NS)
    assert core.wake_at_ns == 61 * S_NS  # staleness alone
