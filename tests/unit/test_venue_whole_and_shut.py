"""The paper exchange: whole or not at all, and shut until it is opened."""

import pytest

from schemas.base import OrderId
from schemas.market import InstrumentStatusChanged, Trading
from schemas.orders import OrderType, Side, TimeInForce
from schemas.venue import VenueTriggered
from services.executor.venues import matching
from services.executor.venues.ledger import Ledger
from services.executor.venues.matching import VenueCore
from tests.builders import ALPHA, order, quote
from tests.executor_builders import fills_in, placed, say, venue_book
from tests.venue_rig import canceled, quoted, reason_of


def protected() -> VenueCore:
    """Hold 10, protected by a stop that is to be filled whole, and sell 6 of them by hand."""
    core = quoted()
    say(core, placed(order("held")))
    stop = order(
        "stop",
        side=Side.SELL,
        order_type=OrderType.STOP_LIMIT,
        stop="99.00",
        limit="98.00",
        time_in_force=TimeInForce.FOK,
        is_reduce_only=True,
    )
    say(core, placed(stop))
    say(core, placed(order("hand", side=Side.SELL, quantity="6")))
    return core


@pytest.mark.req("X-02")
def test_an_order_that_can_only_reduce_a_part_is_not_filled_whole_and_so_not_at_all() -> None:
    core = protected()
    said = say(core, quote("98.50", "98.60", at_ns=1))
    reason = "fill or kill: 10 is to be reduced, and the position is 4"
    assert said == [
        VenueTriggered(at_ns=1, order_id=OrderId("stop")),
        canceled("10", reason, "stop"),
    ]
    assert venue_book(core).open_orders == ()


@pytest.mark.req("X-02")
def test_without_asking_how_much_is_held_a_part_is_filled_and_the_rest_rests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(matching, "would_split", lambda *given: "")
    core = protected()
    said = say(core, quote("98.50", "98.60"))
    assert [str(each[3]) for each in fills_in(said)] == ["4"]
    assert [str(each.leaves) for each in venue_book(core).open_orders] == ["6"]


def told(core: VenueCore, *states: Trading) -> VenueCore:
    for state in states:
        say(core, InstrumentStatusChanged(at_ns=1, instrument=ALPHA, trading=state))
    return core


@pytest.mark.req("G-05", "X-06")
@pytest.mark.parametrize("state", [Trading.HALTED, Trading.CLOSED])
def test_a_silence_of_the_feed_opens_nothing_that_is_shut(state: Trading) -> None:
    """Nothing is quoted in a halt, so after some seconds the feed has lost sight of it."""
    core = told(quoted(), state, Trading.UNKNOWN)
    assert reason_of(say(core, placed(order("a")))) == "sim:ALPHA is not open for trading"
    told(core, Trading.OPEN, Trading.UNKNOWN)
    say(core, quote())
    assert fills_in(say(core, placed(order("b")))) != []


@pytest.mark.req("G-05", "X-06")
def test_taken_for_the_venues_word_it_lets_orders_in_during_a_halt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def opened(self: Ledger, event: InstrumentStatusChanged) -> None:
        self.shelves[event.instrument].is_open = event.trading is Trading.UNKNOWN

    monkeypatch.setattr(Ledger, "_halted_or_not", opened)
    core = told(quoted(), Trading.HALTED, Trading.UNKNOWN)
    limit = order("a", order_type=OrderType.LIMIT, limit="99.00")
    say(core, placed(limit))
    assert [each.order_id for each in venue_book(core).open_orders] == ["a"]
