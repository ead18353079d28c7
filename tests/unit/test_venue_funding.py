"""Funding at the paper exchange: who pays, how much, when, and never twice."""

from decimal import Decimal

import msgspec
import pytest

from schemas.base import BootId, Event, InstrumentId
from schemas.instruments import AssetClass
from schemas.market import FundingPublished
from schemas.orders import Side
from schemas.settlement import PositionSettled, SettlementKind
from schemas.venue import BookQueried, OrderPlaced, VenueBook, VenueSettled
from services.control import ControlGuard
from services.core import tell
from services.executor.config import ExecutorConfig, VenueConfig
from services.executor.core import ExecutorCore
from services.executor.venues.matching import VenueCore
from tests.builders import ACCOUNT, ALPHA, S_NS, dec, instrument, order, quote

PERPETUAL = InstrumentId("perp:COIN")
KNOWN = {
    PERPETUAL: instrument(PERPETUAL, multiplier="2", asset_class=AssetClass.PERPETUAL),
    ALPHA: instrument(ALPHA),
}
CASH = Decimal(10_000)
HOUR_NS = 3_600 * S_NS


def funding(
    rate: str, *, next_ns: int = 0, at_ns: int = S_NS, instrument: InstrumentId = PERPETUAL
) -> FundingPublished:
    return FundingPublished(at_ns=at_ns, instrument=instrument, rate=dec(rate), next_ns=next_ns)


def venue(side: Side = Side.BUY, held: str = "10") -> VenueCore:
    """Return an exchange at which some of a perpetual is held, quoted at 100 in the middle."""
    core = VenueCore(VenueConfig(), KNOWN, CASH)
    for key in KNOWN:
        tell(core, quote(instrument=key), S_NS)
        placed = order(f"o-{key}", side=side, quantity=held, instrument=key)
        tell(core, OrderPlaced(at_ns=S_NS, order=placed), S_NS)
    assert core.ledger.portfolio.quantity(PERPETUAL) == dec(held) * (1 if side is Side.BUY else -1)
    return core


def paid(said: object) -> list[Decimal]:
    assert isinstance(said, list | tuple)
    return [each.payment for each in said if isinstance(each, VenueSettled)]


@pytest.mark.req("X-07")
@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_longs_pay_shorts_the_rate_of_their_notional(side: Side) -> None:
    core = venue(side)
    before = core.ledger.portfolio.cash
    said = tell(core, funding("0.001"), S_NS)
    assert paid(said) == [dec("-0.2")]  # of one unit: 100 x 2 x 0.001
    change = core.ledger.portfolio.cash - before
    assert change == (dec("-2") if side is Side.BUY else dec("2"))
    assert core.ledger.portfolio.positions[PERPETUAL].funding == change


@pytest.mark.req("X-07")
def test_a_rate_with_a_time_ahead_is_paid_then_by_the_newest_rate() -> None:
    core = venue()
    assert paid(tell(core, funding("0.009", next_ns=HOUR_NS), S_NS)) == []
    assert paid(tell(core, funding("0.001", next_ns=HOUR_NS), 2 * S_NS)) == []
    assert core.wake_at_ns == HOUR_NS
    assert paid(tell(core, None, HOUR_NS)) == [dec("-0.2")]
    assert core.wake_at_ns is None
    assert paid(tell(core, funding("0.001", next_ns=HOUR_NS), HOUR_NS)) == []  # not twice


def test_a_venue_whose_clock_is_ahead_does_not_lose_a_payment() -> None:
    core = venue()
    tell(core, funding("0.001", next_ns=HOUR_NS), S_NS)
    ahead = funding("0.002", next_ns=9 * HOUR_NS)
    assert paid(tell(core, ahead, HOUR_NS - S_NS)) == [dec("-0.2")]
    assert core.wake_at_ns == 9 * HOUR_NS


def test_nobody_pays_for_what_is_not_held_or_is_no_perpetual() -> None:
    core = VenueCore(VenueConfig(), KNOWN, CASH)
    assert paid(tell(core, funding("0.001"), S_NS)) == []
    assert paid(tell(venue(), funding("0.001", instrument=ALPHA), S_NS)) == []
    assert paid(tell(venue(), funding("0.001", instrument=InstrumentId("x:Y")), S_NS)) == []


def test_a_restart_of_the_exchange_keeps_what_was_paid() -> None:
    core, kept = VenueCore(VenueConfig(), KNOWN, CASH), []
    told: list[Event] = [quote(instrument=PERPETUAL)]
    told.append(OrderPlaced(at_ns=S_NS, order=order(instrument=PERPETUAL)))
    told.append(funding("0.001"))
    for event in told:
        kept += [e for e in (event, *tell(core, event, S_NS)) if type(e) in core.keeps]
    again = VenueCore(VenueConfig(), KNOWN, CASH)
    for event in kept:
        again.restore(event)
    assert core.ledger.portfolio.cash == CASH - dec("2000.2") - 2
    assert again.ledger.portfolio.cash == core.ledger.portfolio.cash
    assert again.describe(S_NS) == core.describe(S_NS)
    assert paid(tell(again, funding("0.001"), S_NS)) == []


@pytest.mark.req("S-16")
def test_the_executors_book_equals_the_venues_after_a_payment_it_missed() -> None:
    """The link was down when funding was paid: the venue's book brings it, once."""
    core = venue()
    guard = ControlGuard("executor", BootId("b"), "", lease_ns=1)
    executor = ExecutorCore(ExecutorConfig(), ACCOUNT, KNOWN, CASH, guard, is_linked=True)
    [settled] = tell(core, funding("0.001"), S_NS)
    [book] = tell(core, BookQueried(at_ns=S_NS, request_id="r"), S_NS)
    assert isinstance(book, VenueBook)
    assert book.settlements == (settled,)
    bare = msgspec.structs.replace(book, executions=(), open_orders=())
    told = [e for e in tell(executor, bare, S_NS) if isinstance(e, PositionSettled)]
    assert [(each.kind, each.payment) for each in told] == [(SettlementKind.FUNDING, dec("-0.2"))]
    again = [e for e in tell(executor, settled, S_NS) if isinstance(e, PositionSettled)]
    assert again == []
