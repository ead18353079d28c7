"""What a strategy sees and may do."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.base import Event, InstrumentId, OrderId
from schemas.executions import (
    CancelRejected,
    ExecutionEvent,
    OrderCanceled,
    OrderExpired,
    OrderRefused,
)
from schemas.orders import CancelRequested, OrderType, Outcome, Side, SignalRaised, TimeInForce
from services.strategy.context import Context, Terms, at_limit
from services.strategy.orders import LAPSE_NS
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, quote
from tests.strategy_rig import StrategyRig, decision, only


class Desk:
    """A session that raises what the test tells it to.

    Attributes:
        rig: the core it runs in.
        context: its window on the world.
    """

    def __init__(self) -> None:
        self.rig = StrategyRig()
        self.session = self.rig.start("idle", symbols=("ALPHA", "BETA"))
        self.context: Context = self.rig.core.sessions[self.session].context

    def said(self) -> list[Event]:
        return self.rig.core.sessions[self.session].collect()

    def signal(self) -> SignalRaised:
        return only(SignalRaised, self.said())

    def tell(self, event: Event) -> None:
        self.rig.tell(event)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_signal_carries_all_the_terms_it_was_given(desk: Desk) -> None:
    terms = Terms(
        order_type=OrderType.STOP_LIMIT,
        time_in_force=TimeInForce.IOC,
        limit_price=Decimal(101),
        stop_price=Decimal(100),
        is_post_only=True,
        is_reduce_only=True,
        replaces=OrderId("old"),
        expiry_ms=5,
    )
    order_id = desk.context.sell(BETA, Decimal(5), terms, "why not")
    signal = desk.signal()
    assert order_id == desk.rig.fill(signal).order_id
    assert signal == SignalRaised(
        at_ns=S_NS,
        signal_id=signal.signal_id,
        account=ACCOUNT,
        session=desk.session,
        instrument=BETA,
        side=Side.SELL,
        quantity=Decimal(5),
        order_type=OrderType.STOP_LIMIT,
        time_in_force=TimeInForce.IOC,
        limit_price=Decimal(101),
        stop_price=Decimal(100),
        is_post_only=True,
        is_reduce_only=True,
        expires_at_ns=S_NS + 5_000_000,
        replaces=OrderId("old"),
        why="why not",
    )


def test_a_limit_order_is_one_word_away(desk: Desk) -> None:
    desk.context.buy(ALPHA, Decimal(1), at_limit(Decimal(99)))
    signal = desk.signal()
    assert (signal.order_type, signal.limit_price) == (OrderType.LIMIT, Decimal(99))


@pytest.mark.parametrize("quantity", ["0", "-1", "NaN", "Infinity"])
def test_a_quantity_that_is_no_quantity_is_an_error_of_the_strategy(
    desk: Desk, quantity: str
) -> None:
    with pytest.raises(ValueError, match="wanted a number above 0"):
        desk.context.buy(ALPHA, Decimal(quantity))


def test_an_instrument_of_another_session_cannot_be_traded(desk: Desk) -> None:
    with pytest.raises(ValueError, match="this session trades sim:ALPHA, sim:BETA"):
        desk.context.buy(InstrumentId("sim:GAMMA"), Decimal(1))


@pytest.mark.req("S-10")
def test_what_an_instrument_of_another_session_is_worth_is_asked_in_vain(desk: Desk) -> None:
    wanted = "instrument sim:OTHER: this session trades sim:ALPHA, sim:BETA"
    with pytest.raises(ValueError, match=wanted):
        desk.context.worth(InstrumentId("sim:OTHER"))
    assert desk.context.worth(ALPHA) == 1


def test_the_latest_quote_is_there_although_no_hook_takes_quotes(desk: Desk) -> None:
    assert desk.context.quote(ALPHA) is None
    newest = quote("5", "6")
    desk.tell(quote())
    desk.tell(newest)
    assert desk.context.quote(ALPHA) is newest
    assert desk.context.quote(BETA) is None


def test_quantities_are_rounded_down_to_whole_lots(desk: Desk) -> None:
    rounded = [desk.context.whole_lots(BETA, Decimal(n)) for n in ("14.9", "4", "-14.9")]
    assert rounded == [Decimal(10), Decimal(0), Decimal(-10)]


def test_an_order_is_open_from_its_signal_until_it_is_filled(desk: Desk) -> None:
    order_id = desk.context.buy(ALPHA, Decimal(10))
    signal = desk.signal()
    assert [each.order_id for each in desk.context.open_orders(ALPHA)] == [order_id]
    assert desk.context.open_orders(BETA) == ()
    desk.tell(desk.rig.fill(signal, "4"))
    [order] = desk.context.open_orders(ALPHA)
    assert (order.leaves, desk.context.position(ALPHA)) == (Decimal(6), Decimal(4))
    done = msgspec.structs.replace(desk.rig.fill(signal), quantity=Decimal(6))
    desk.tell(done)
    assert (desk.context.open_orders(ALPHA), desk.context.position(ALPHA)) == ((), Decimal(10))


def test_a_rejected_signal_is_no_open_order(desk: Desk) -> None:
    desk.context.buy(ALPHA, Decimal(10))
    desk.tell(decision(desk.signal(), Outcome.REJECTED))
    assert desk.context.open_orders(ALPHA) == ()


def test_a_late_rejection_of_a_repeat_does_not_close_an_order_at_the_venue(desk: Desk) -> None:
    desk.context.buy(ALPHA, Decimal(10))
    signal = desk.signal()
    desk.tell(desk.rig.fill(signal, "4"))
    desk.tell(decision(signal, Outcome.REJECTED))
    assert len(desk.context.open_orders(ALPHA)) == 1


@pytest.mark.parametrize("kind", [OrderCanceled, OrderExpired, OrderRefused])
def test_an_order_that_ended_is_no_open_order(desk: Desk, kind: type[ExecutionEvent]) -> None:
    desk.context.buy(ALPHA, Decimal(10))
    fill = desk.rig.fill(desk.signal())
    names = ("at_ns", "account", "session", "instrument", "order_id")
    fields: dict[str, Any] = {name: getattr(fill, name) for name in names}
    fields |= {"rule": "halted"} if kind is OrderRefused else {"leaves": Decimal(10)}
    desk.tell(kind(**fields))
    assert desk.context.open_orders(ALPHA) == ()


def test_a_cancel_that_was_rejected_leaves_the_order_open(desk: Desk) -> None:
    desk.context.buy(ALPHA, Decimal(10))
    fill = desk.rig.fill(desk.signal())
    rejected = CancelRejected(
        at_ns=0,
        account=ACCOUNT,
        session=desk.session,
        instrument=ALPHA,
        order_id=fill.order_id,
        reason="in the matching engine",
    )
    desk.tell(rejected)
    assert len(desk.context.open_orders(ALPHA)) == 1


def test_an_order_nobody_answered_lapses_once_it_can_no_longer_be_sent(desk: Desk) -> None:
    desk.context.buy(ALPHA, Decimal(10))
    signal = desk.signal()
    desk.context.now_ns = signal.expires_at_ns + LAPSE_NS - 1
    assert len(desk.context.open_orders(ALPHA)) == 1
    desk.context.now_ns += 1
    assert desk.context.open_orders(ALPHA) == ()


def test_an_order_at_the_venue_never_lapses_by_itself(desk: Desk) -> None:
    desk.context.buy(ALPHA, Decimal(10))
    signal = desk.signal()
    desk.tell(desk.rig.fill(signal, "4"))
    desk.context.now_ns = signal.expires_at_ns + 100 * S_NS
    assert len(desk.context.open_orders(ALPHA)) == 1


@pytest.mark.req("X-01")
def test_an_own_order_is_cancelled_by_its_id_and_no_other(desk: Desk) -> None:
    order_id = desk.context.buy(BETA, Decimal(5))
    assert order_id is not None
    desk.said()
    assert desk.context.cancel(order_id)
    cancel = only(CancelRequested, desk.said())
    assert (cancel.order_id, cancel.instrument, cancel.account) == (order_id, BETA, ACCOUNT)
    assert not desk.context.cancel(OrderId("somebody else's"))
    assert desk.said() == []


def test_closing_sells_what_is_long_and_buys_what_is_short(desk: Desk) -> None:
    assert desk.context.close(ALPHA) is None
    for side, opposite in ((Side.BUY, Side.SELL), (Side.SELL, Side.BUY)):
        instrument = ALPHA if side is Side.BUY else BETA
        desk.context.submit(instrument, side, Decimal(5))
        desk.tell(desk.rig.fill(desk.signal()))
        desk.context.close(instrument, "enough")
        signal = desk.signal()
        assert (signal.side, signal.quantity) == (opposite, Decimal(5))
        assert (signal.is_reduce_only, signal.why) == (True, "enough")


def test_nothing_is_raised_while_the_session_may_not_trade(desk: Desk) -> None:
    desk.rig.ask("pause")
    assert desk.context.buy(ALPHA, Decimal(1)) is None
    assert (desk.said(), desk.context.open_orders(ALPHA)) == ([], ())


def test_a_timer_in_the_past_comes_as_soon_as_it_can(desk: Desk) -> None:
    desk.context.set_timer(0)
    assert desk.context.timer_ns == desk.context.now_ns + 1
    desk.context.clear_timer()
    assert desk.context.timer_ns is None
