"""Halts of a part, and REDUCE: what the last check lets pass, and what is cleared away."""

from decimal import Decimal

import pytest

from schemas.base import Event, OrderId
from schemas.control import HaltConfirmed
from schemas.executions import OrderCanceled, OrderRefused, OrderStatus
from schemas.orders import CancelApproved, Order, Side
from schemas.restrictions import Level, RestrictionCleared, RestrictionRequested
from schemas.venue import CancelPlaced
from services.executor.last_check import LastCheck
from services.executor.orders import Orders, Record
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, dec, order, quote
from tests.executor_builders import approved, executor, guard, say
from tests.executor_pair import Staffed
from tests.executor_rig import bid, offer, only, resting


def trading(*orders: Order) -> Staffed:
    """Books compared, a market in two instruments, and these orders approved."""
    pair = Staffed()
    pair.link(is_up=True)
    pair.market(quote(), quote(instrument=BETA))
    pair.approve(*orders)
    return pair


def sell(order_id: str, quantity: str = "1") -> Order:
    return order(order_id, side=Side.SELL, quantity=quantity)


def refusals(said: list[Event]) -> dict[str, str]:
    """Return what was refused, and why, by order."""
    found = [each for each in said if isinstance(each, OrderRefused)]
    return {each.order_id: f"{each.rule}: {each.detail}" for each in found}


def cleared(scope: str, level: Level, cancelled: int, resting: int, detail: str = "") -> Event:
    return RestrictionCleared(
        at_ns=1,
        component="executor",
        scope=scope,
        level=level,
        cancelled_count=cancelled,
        resting_count=resting,
        detail=detail,
    )


@pytest.mark.req("G-09", "O-05")
@pytest.mark.parametrize(
    ("scope", "stopped"),
    [
        ("symbol.sim.ALPHA", ["a"]),
        ("symbol.sim.BETA", ["b"]),
        ("venue.sim", ["a", "b"]),
        ("venue.elsewhere", []),
        ("session.s1", ["a", "b"]),
        ("session.s2", []),
        ("account.paper", ["a", "b"]),
        ("account.other", []),
    ],
)
def test_a_halt_of_a_part_stops_the_orders_in_it_and_no_other(
    scope: str, stopped: list[str]
) -> None:
    pair = trading()
    pair.restrict(scope, Level.HALT)
    said = pair.approve(order("a"), order("b", instrument=BETA))
    assert list(refusals(said)) == stopped
    assert all(why.startswith(f"restricted: {scope} is halted") for why in refusals(said).values())


@pytest.mark.req("G-09")
def test_under_reduce_nothing_opens_adds_or_turns_over_and_closing_passes() -> None:
    pair = trading(order("long", quantity="2"))
    pair.restrict("all", Level.REDUCE)
    said = pair.approve(
        order("more", quantity="1"), sell("turn", "3"), sell("part"), sell("rest"), sell("short")
    )
    assert list(refusals(said)) == ["more", "turn", "short"]
    assert pair.executor.orders.portfolio.quantity(ALPHA) == 0
    wanted = "restricted: all may only reduce: sell 3, and 2 is held that no open order closes yet"
    assert refusals(said)["turn"] == wanted


@pytest.mark.req("G-09")
def test_long_one_with_a_sell_of_one_resting_lets_no_second_sell_pass() -> None:
    pair = trading(order("long", quantity="1"))
    pair.restrict("all", Level.REDUCE)
    pair.approve(offer("first", "1"))
    assert list(refusals(pair.approve(sell("second")))) == ["second"]
    pair.tell(CancelApproved(at_ns=1, account=ACCOUNT, instrument=ALPHA, order_id=OrderId("first")))
    assert refusals(pair.approve(sell("third"))) == {}
    assert pair.executor.orders.portfolio.quantity(ALPHA) == 0


class SideOnly(Orders):
    """The book of a check that looks at the side alone, as the strongest peer does."""

    def reducible(self, order: Order) -> Decimal:
        held = self.portfolio.quantity(order.instrument)
        return order.quantity if (held > 0) is (order.side is Side.SELL) and held else dec(0)


class HeldOnly(Orders):
    """The book of a check that forgets the orders which reduce already."""

    def reducible(self, order: Order) -> Decimal:
        held = self.portfolio.quantity(order.instrument)
        return max(-held if order.side is Side.BUY else held, dec(0))


@pytest.mark.req("G-09")
@pytest.mark.parametrize(("book", "ends_at"), [(Orders, "0"), (SideOnly, "-99"), (HeldOnly, "-1")])
def test_without_quantities_or_open_orders_counted_reduce_would_open_a_position(
    monkeypatch: pytest.MonkeyPatch, book: type[Orders], ends_at: str
) -> None:
    monkeypatch.setattr(Orders, "reducible", book.reducible)
    pair = trading(order("long", quantity="1"))
    pair.restrict("all", Level.REDUCE)
    if book is SideOnly:
        pair.approve(sell("far", "100"))
    else:
        pair.approve(offer("first", "1"), sell("second"))
        pair.market(quote(bid="110.00", ask="110.01"))
    assert pair.executor.orders.portfolio.quantity(ALPHA) == dec(ends_at)


class NoRestrictions(LastCheck):
    """The last check that knows full halts only."""

    def _restricted(self, order: Order) -> str:
        return ""


@pytest.mark.req("G-09")
@pytest.mark.parametrize("check", [LastCheck, NoRestrictions])
def test_without_the_last_checks_own_look_a_halted_symbol_would_still_be_bought(
    monkeypatch: pytest.MonkeyPatch, check: type[LastCheck]
) -> None:
    monkeypatch.setattr(LastCheck, "_restricted", check._restricted)
    pair = trading()
    pair.restrict("symbol.sim.ALPHA", Level.HALT)
    pair.approve(order("a"))
    assert (pair.sent == ["a"]) is (check is NoRestrictions)


def test_a_restriction_in_the_step_before_the_write_keeps_the_order_from_it() -> None:
    made = guard()
    core, one = executor(made=made), order()
    say(core, approved(one))
    assert core.may_send(one, 1) == ""
    made.restrict("session.s1", Level.HALT)
    assert core.may_send(one, 1).startswith("restricted: session.s1 is halted")
    assert core.orders.records[one.order_id].status is OrderStatus.PENDING


@pytest.mark.req("G-09", "O-05")
def test_a_restriction_cancels_what_increases_exposure_in_its_scope_and_says_when_it_is_clear() -> (
    None
):
    beta = order("beta", quantity="1", instrument=BETA, order_type=bid().order_type, limit="90.00")
    pair = trading(order("long", quantity="10"), bid("more"), offer("out", "10"), beta)
    said = pair.restrict("symbol.sim.ALPHA", Level.REDUCE)
    assert [each.order_id for each in said if isinstance(each, OrderCanceled)] == ["more"]
    assert said[-1] == cleared("symbol.sim.ALPHA", Level.REDUCE, 1, 1, "out")
    assert only(said, HaltConfirmed) == []
    assert [each.order_id for each in pair.venue_book().open_orders] == ["out", "beta"]
    assert pair.executor.wake_at_ns is None


def test_a_restriction_of_a_session_leaves_the_orders_of_others_alone() -> None:
    pair = trading(bid("mine"))
    said = pair.restrict("session.s2", Level.HALT)
    assert said == [cleared("session.s2", Level.HALT, 0, 0)]
    assert [each.order_id for each in pair.venue_book().open_orders] == ["mine"]


@pytest.mark.req("O-05")
def test_cancels_of_a_restriction_are_repeated_until_the_venue_shows_none() -> None:
    made = guard()
    core = resting(executor(made=made))
    made.restrict("all", Level.REDUCE)
    cancelling = say(core, RestrictionRequested(at_ns=1, level=Level.REDUCE))
    assert [each for each in cancelling if isinstance(each, CancelPlaced)] == [
        CancelPlaced(at_ns=1, order_id=OrderId("o1"))
    ]
    again = list(core.wake(S_NS + 1))
    assert [type(each) for each in again] == [type(each) for each in cancelling]


def test_two_restrictions_and_a_halt_are_each_confirmed() -> None:
    pair = trading(bid("a"))
    pair.hears_reports = False
    pair.restrict("venue.sim", Level.HALT)
    pair.restrict("all", Level.REDUCE)
    pair.halt()
    said = pair.link(is_up=True)
    kinds = [type(each) for each in said if isinstance(each, HaltConfirmed | RestrictionCleared)]
    assert kinds == [HaltConfirmed, RestrictionCleared, RestrictionCleared]


def test_cancels_pass_whatever_is_restricted() -> None:
    pair = trading(bid("a"))
    pair.guard.restrict("all", Level.HALT)
    wish = CancelApproved(at_ns=1, account=ACCOUNT, instrument=ALPHA, order_id=OrderId("a"))
    assert [type(each) for each in pair.tell(wish)] == [OrderCanceled]


def test_orders_in_line_behind_one_do_not_take_its_room() -> None:
    core = executor()
    for number, status in enumerate((OrderStatus.SUBMITTED, OrderStatus.PENDING)):
        record = Record(sell(f"o{number}"), 7, 3)
        record.status = status
        core.orders.add(record, 1)
    core.orders.portfolio.adjust(ALPHA, dec(2), dec(0), dec(0))
    rooms = [core.orders.reducible(core.orders.records[OrderId(f"o{n}")].order) for n in (0, 1)]
    assert rooms == [2, 1]


@pytest.mark.req("G-09", "O-05")
def test_a_halt_of_all_that_comes_as_a_restriction_is_a_full_halt() -> None:
    pair = trading(bid("a"))
    said = pair.restrict("nobody.knows", Level.HALT)
    assert [type(each) for each in said] == [OrderCanceled, HaltConfirmed]
    assert list(refusals(pair.approve(order("b")))) == ["b"]
