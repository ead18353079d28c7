"""The end of a contract at the paper exchange: what rests is gone, what is held is paid."""

from decimal import Decimal

import msgspec
import pytest

from schemas.base import Event, InstrumentId
from schemas.instruments import AssetClass, Instrument, OptionRight
from schemas.orders import Order, OrderType, Side
from schemas.settlement import SettlementKind
from schemas.venue import OrderPlaced, VenueCanceled, VenueMessage, VenueRejected, VenueSettled
from services.executor.config import VenueConfig
from services.executor.venues.expiry import ExpirySchedule
from services.executor.venues.matching import VenueCore
from tests.builders import ALPHA, S_NS, dec, instrument, order, quote

pytestmark = pytest.mark.req("X-07")
END_NS = 5 * S_NS
DAY = "2015-12-24"


def option(right: OptionRight, strike: str, **more: object) -> Instrument:
    made = instrument(
        InstrumentId(f"sim:ALPHA-{right[0]}-{strike}"),
        asset_class=AssetClass.OPTION,
        multiplier="100",
    )
    fields: dict[str, object] = {
        "expiry": DAY,
        "expires_ns": END_NS,
        "underlying": ALPHA,
        "strike": dec(strike),
        "right": right,
    }
    return msgspec.structs.replace(made, **(fields | more))


CALL, PUT = option(OptionRight.CALL, "100"), option(OptionRight.PUT, "100")
HIGH_CALL, HIGH_PUT = option(OptionRight.CALL, "110"), option(OptionRight.PUT, "110")
STOCK = instrument(ALPHA)
FUTURE = msgspec.structs.replace(
    instrument(InstrumentId("sim:ES"), asset_class=AssetClass.FUTURE, multiplier="50"),
    expires_ns=END_NS,
)


def venue(*instruments: Instrument) -> VenueCore:
    return VenueCore(VenueConfig(), {each.id: each for each in instruments}, Decimal(100_000))


def market(core: VenueCore, key: Instrument, price: str) -> None:
    """Quote a market whose middle is `price`."""
    middle = dec(price)
    core.handle(quote(str(middle - 1), str(middle + 1), instrument=key.id), S_NS)


def take(core: VenueCore, key: Instrument, side: Side = Side.BUY, name: str = "o1") -> None:
    """Trade two of it at the touch."""
    place(core, order(name, side=side, quantity="2", instrument=key.id), S_NS)


def place(core: VenueCore, wanted: Order, now_ns: int) -> list[Event]:
    placed = OrderPlaced(at_ns=now_ns, order=wanted)
    return [*core.handle(placed, now_ns)]


def expire(core: VenueCore) -> list[Event]:
    assert core.wake_at_ns == END_NS + 1
    return [*core.wake(END_NS + 1)]


def test_a_call_in_the_money_is_paid_its_exercise_value() -> None:
    core = venue(STOCK, CALL)
    market(core, STOCK, "107")
    market(core, CALL, "6")
    take(core, CALL)  # two at 7
    assert expire(core) == [
        VenueSettled(
            at_ns=END_NS + 1,
            settlement_id=f"expiry-{CALL.id}",
            instrument=CALL.id,
            kind=SettlementKind.EXPIRY,
            closes_at=dec(7),
            reason="worth 7.0 by the underlying at 107.0, strike 100",
        )
    ]
    folio = core.ledger.portfolio
    assert folio.quantity(CALL.id) == 0
    assert folio.cash == 100_000 - 2 * 7 * 100 + 2 * 7 * 100
    assert core.wake_at_ns is None


def test_one_that_is_worth_nothing_ends_at_nothing_and_one_held_short_pays() -> None:
    core = venue(STOCK, CALL, PUT)
    market(core, STOCK, "93")
    for each in (CALL, PUT):
        market(core, each, "4")
    take(core, CALL, Side.SELL, "a")  # two at 3, kept
    take(core, PUT, Side.SELL, "b")  # two at 3, and 7 paid
    expire(core)
    assert core.ledger.portfolio.cash == 100_000 + 600 + (600 - 1400)


def test_without_its_underlying_the_options_of_that_day_say_what_it_is_worth() -> None:
    core = venue(CALL, PUT, HIGH_CALL, HIGH_PUT)
    for each, price in ((CALL, "9"), (PUT, "2"), (HIGH_CALL, "3"), (HIGH_PUT, "6")):
        market(core, each, price)
    take(core, CALL)
    [settled] = expire(core)
    assert isinstance(settled, VenueSettled)
    assert settled.closes_at == dec(7), "110 + 3 - 6 is 107: the strike nearest to the money"
    assert "parity" in settled.reason


def test_a_future_ends_at_its_own_market() -> None:
    core = venue(FUTURE)
    market(core, FUTURE, "1650")
    take(core, FUTURE)
    market(core, FUTURE, "1655")
    expire(core)
    assert core.ledger.portfolio.cash == 100_000 + 2 * (1655 - 1651) * 50


def test_what_rests_is_cancelled_and_nothing_more_is_taken() -> None:
    core = venue(STOCK, CALL)
    market(core, CALL, "6")
    resting = order("low", instrument=CALL.id, order_type=OrderType.LIMIT, limit="1")
    place(core, resting, S_NS)
    [canceled] = expire(core)
    assert isinstance(canceled, VenueCanceled)
    assert (canceled.order_id, canceled.reason) == ("low", "the contract has expired")
    late = order("late", instrument=CALL.id, expires_at_ns=END_NS + 9 * S_NS)
    [rejected] = place(core, late, END_NS + S_NS)
    assert isinstance(rejected, VenueRejected)
    assert "not open" in rejected.reason


def test_a_price_that_nobody_shows_is_not_made_up() -> None:
    core = venue(CALL)
    market(core, CALL, "6")
    take(core, CALL)
    assert expire(core) == []
    assert core.ledger.portfolio.quantity(CALL.id) == 2


def test_after_a_restart_nothing_is_settled_twice() -> None:
    core = venue(STOCK, CALL)
    market(core, STOCK, "107")
    market(core, CALL, "6")
    kept: list[Event] = [OrderPlaced(at_ns=S_NS, order=order("o1", instrument=CALL.id))]
    kept += core.handle(kept[0], S_NS)
    kept += expire(core)
    again = venue(STOCK, CALL)
    for each in kept:
        again.restore(each)
    market(again, STOCK, "120")
    assert again.wake(END_NS + S_NS) == []
    assert again.ledger.portfolio.cash == core.ledger.portfolio.cash


class Endless(ExpirySchedule):
    """The schedule on which nothing ever ends."""

    def due(self, now_ns: int) -> list[VenueMessage]:
        return []


def test_without_the_schedule_a_dead_contract_would_be_held_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.executor.venues.matching.ExpirySchedule", Endless)
    core = venue(STOCK, CALL)
    market(core, STOCK, "107")
    market(core, CALL, "6")
    take(core, CALL)
    core.wake(END_NS + 1)
    assert core.ledger.portfolio.quantity(CALL.id) == 2
