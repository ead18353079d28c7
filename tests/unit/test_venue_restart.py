"""What the paper exchange keeps is enough to be again what it was."""

import pytest

from schemas.base import Event, OrderId
from schemas.executions import OrderStatus
from schemas.orders import OrderType, Side
from schemas.venue import (
    OrderPlaced,
    OrderQueried,
    VenueAccepted,
    VenueCanceled,
    VenueOrderStatus,
    VenueRejected,
)
from services.core import tell
from services.executor.config import VenueConfig
from services.executor.venues.matching import VenueCore
from tests.builders import MS_NS, dec, order, quote
from tests.executor_builders import (
    CASH,
    cancel,
    fills_in,
    instruments,
    placed,
    say,
    trade,
    venue,
    venue_book,
)

LIMIT = OrderType.LIMIT


class Kept:
    """An exchange that writes down what it keeps, and can be started anew from that."""

    def __init__(self, config: VenueConfig | None = None) -> None:
        self.config = config or VenueConfig()
        self.core = venue(self.config)
        self.journal: list[Event] = []

    def say(self, event: Event, now_ns: int = 1) -> list[Event]:
        said = say(self.core, event, now_ns)
        self.journal += [each for each in (event, *said) if type(each) in self.core.keeps]
        return said

    def restarted(self) -> VenueCore:
        again = VenueCore(self.config, instruments(), CASH)
        for event in self.journal:
            again.restore(event)
        return again


def busy() -> Kept:
    """One order of every fate."""
    kept = Kept()
    kept.say(quote(ask_size="4"))
    kept.say(placed(order("filled", quantity="2")))
    kept.say(placed(order("partial", quantity="5", order_type=LIMIT, limit="100.01")))
    kept.say(placed(order("canceled", order_type=LIMIT, limit="99.00")))
    kept.say(cancel("canceled"))
    kept.say(placed(order("rejected", quantity="0")))
    kept.say(placed(order("old", order_type=LIMIT, limit="99.00")))
    kept.say(placed(order("new", order_type=LIMIT, limit="98.00", replaces="old")))
    kept.say(placed(order("stop", order_type=OrderType.STOP, stop="101.00")))
    kept.say(
        placed(
            order(
                "triggered",
                side=Side.SELL,
                order_type=OrderType.STOP_LIMIT,
                stop="99.99",
                limit="105.00",
            )
        )
    )
    kept.say(placed(order("filled", quantity="1")))  # the id again
    return kept


def statuses(core: VenueCore) -> list[VenueOrderStatus]:
    found = []
    for order_id in core.ledger.orders:
        [status] = say(core, OrderQueried(at_ns=1, order_id=order_id))
        assert isinstance(status, VenueOrderStatus)
        found.append(status)
    return found


@pytest.mark.req("X-10", "X-06")
def test_a_restarted_exchange_holds_the_same_orders_positions_and_executions() -> None:
    kept = busy()
    again = kept.restarted()
    assert venue_book(again) == venue_book(kept.core)
    assert statuses(again) == statuses(kept.core)
    assert {each.order_id: each.status for each in statuses(again)} == {
        "filled": OrderStatus.FILLED,
        "partial": OrderStatus.PARTIALLY_FILLED,
        "canceled": OrderStatus.CANCELED,
        "rejected": OrderStatus.REJECTED,
        "old": OrderStatus.REPLACED,
        "new": OrderStatus.ACCEPTED,
        "stop": OrderStatus.ACCEPTED,
        "triggered": OrderStatus.ACCEPTED,
    }


def test_orders_go_on_resting_after_a_restart_with_new_ids_that_follow_the_old() -> None:
    again = busy().restarted()
    again.handle(quote(ask="100.01", ask_size="4"), 2)
    again.handle(quote(bid="99.98", ask="100.00", ask_size="4"), 2)
    assert [each[0] for each in fills_in(say(again, quote(bid="97.00", ask="98.00")))] == ["new-1"]
    assert [each[0] for each in fills_in(say(again, quote(ask="101.00")))] == ["stop-1"]
    [accepted] = say(again, placed(order("next", order_type=LIMIT, limit="90.00")))
    assert accepted == VenueAccepted(at_ns=1, order_id=OrderId("next"), venue_order_id="V8")


def test_the_place_in_the_queue_is_not_known_after_a_restart_until_it_is_displayed() -> None:
    kept = Kept()
    kept.say(quote(bid_size="50"))
    kept.say(placed(order(order_type=LIMIT, limit="99.99")))
    kept.say(trade("99.99", "50", Side.SELL))
    again = kept.restarted()
    assert say(again, trade("99.99", "50", Side.SELL)) == []
    say(again, quote(bid_size="30"))
    assert fills_in(say(again, trade("99.99", "34", Side.SELL)))[0][3] == 4


def test_an_order_received_and_not_answered_before_a_crash_is_served_after_it() -> None:
    kept = Kept(VenueConfig(latency_ms=5))
    kept.say(placed(order("a", order_type=LIMIT, limit="99.00"), at_ns=1))
    kept.say(placed(order("a"), at_ns=2))
    again = kept.restarted()
    assert again.wake_at_ns == 1 + 5 * MS_NS
    said = list(tell(again, None, 9 * MS_NS))
    assert said == [
        VenueAccepted(at_ns=9 * MS_NS, order_id=OrderId("a"), venue_order_id="V1"),
        VenueRejected(at_ns=9 * MS_NS, order_id=OrderId("a"), reason="the id was used before"),
    ]
    assert again.wake_at_ns is None


def test_an_id_is_used_up_for_good_across_restarts() -> None:
    again = busy().restarted()
    for order_id in ("filled", "canceled", "rejected", "old"):
        [said] = say(again, placed(order(order_id)))
        assert isinstance(said, VenueRejected)


class Forgetful(VenueCore):
    """An exchange that does not keep the orders it was sent."""

    keeps = VenueCore.keeps - {OrderPlaced}


def test_without_the_orders_in_its_journal_it_could_not_start_again() -> None:
    kept = busy()
    kept.core.__class__ = Forgetful
    kept.journal = [each for each in kept.journal if type(each) in kept.core.keeps]
    with pytest.raises(KeyError):
        kept.restarted()


def test_the_report_of_itself_shows_the_whole_book_and_no_executions() -> None:
    core = busy().core
    shown = core.describe(5)
    assert (shown.executions, shown.cash) == ((), venue_book(core).cash)
    assert [each.order_id for each in shown.open_orders] == ["partial", "new", "stop", "triggered"]


def test_a_cancel_is_kept_through_a_restart() -> None:
    kept = busy()
    [said] = kept.say(cancel("new"))
    assert said == VenueCanceled(
        at_ns=1, order_id=OrderId("new"), leaves=dec(10), reason="as asked"
    )
    assert "new" not in [each.order_id for each in venue_book(kept.restarted()).open_orders]
