"""Halts of a part, and REDUCE: what the last check lets pass, and what is cleared away."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.base import AccountId, Event, OrderId, SessionId
from schemas.control import HaltConfirmed
from schemas.executions import OrderCanceled, OrderRefused, OrderStatus, PositionView
from schemas.orders import CancelApproved, Order, Side
from schemas.restrictions import Level, RestrictionCleared, RestrictionRequested
from schemas.sessions import PositionsAdopted
from schemas.settlement import SettlementKind
from schemas.venue import CancelPlaced, VenueSettled
from services.executor.last_check import LastCheck
from services.executor.orders import Orders, Record
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, dec, order, quote
from tests.executor_builders import approved, executor, filled, guard, say
from tests.executor_pair import Staffed
from tests.executor_rig import bid, offer, only, outcome, resting, submitted


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


def of(session: str, one: Order) -> Order:
    return msgspec.structs.replace(one, session=SessionId(session))


def two_sessions(s1: str = "2", s2: str = "10") -> Staffed:
    """Two sessions that hold so much of the same instrument; below zero is short."""
    sides = [(name, dec(held)) for name, held in (("s1", s1), ("s2", s2)) if dec(held)]
    return trading(
        *(
            of(name, order(name, side=Side.BUY if q > 0 else Side.SELL, quantity=str(abs(q))))
            for name, q in sides
        )
    )


@pytest.mark.req("G-09")
@pytest.mark.parametrize(
    ("scopes", "quantity", "why"),
    [
        (["session.s1"], "2", ""),
        (["session.s1"], "3", "session.s1 may only reduce: sell 3, and 2 is held"),
        (["all", "session.s1"], "2", ""),
        (["all", "session.s1"], "3", "session.s1 may only reduce: sell 3, and 2 is held"),
        (["symbol.sim.ALPHA", "session.s1"], "3", "session.s1 may only reduce"),
        (["account.paper", "session.s1"], "3", "session.s1 may only reduce"),
        (["venue.sim", "session.s1"], "3", "session.s1 may only reduce"),
        (["venue.sim", "session.s1"], "13", "venue.sim may only reduce: sell 13, and 12 is held"),
        (["all", "session.s2"], "12", ""),
        (["all", "session.s2"], "13", "all may only reduce: sell 13, and 12 is held"),
    ],
)
def test_every_restriction_that_an_order_is_under_must_leave_it_room(
    scopes: list[str], quantity: str, why: str
) -> None:
    pair = two_sessions()
    for scope in scopes:
        pair.restrict(scope, Level.REDUCE)
    said = refusals(pair.approve(sell("out", quantity)))
    assert list(said) == (["out"] if why else [])
    assert said.get("out", "").startswith(f"restricted: {why}" if why else "")


@pytest.mark.req("G-09")
@pytest.mark.parametrize(
    ("s1", "s2", "room"),
    [("0", "10", 0), ("2", "10", 2), ("2", "-1", 1), ("2", "-2", 0), ("11", "-3", 8)],
)
def test_a_session_reduces_what_it_holds_and_the_account_with_it(
    s1: str, s2: str, room: int
) -> None:
    pair = two_sessions(s1, s2)
    pair.restrict("session.s1", Level.REDUCE)
    said = refusals(pair.approve(sell("more", str(room + 1))))
    wanted = f"session.s1 may only reduce: sell {room + 1}, and {room} is held"
    assert said["more"].startswith(f"restricted: {wanted}")
    if room:
        assert refusals(pair.approve(sell("all", str(room)))) == {}


@pytest.mark.req("G-09")
def test_only_its_own_open_orders_take_a_sessions_room() -> None:
    pair = two_sessions()
    pair.approve(of("s2", offer("theirs", "9")), offer("mine", "1"))
    pair.restrict("session.s1", Level.REDUCE)
    assert list(refusals(pair.approve(sell("both", "2")))) == ["both"]
    assert refusals(pair.approve(sell("rest", "1"))) == {}


@pytest.mark.req("G-09", "O-05")
def test_a_halt_counts_however_wide_the_reduce_beside_it_is() -> None:
    pair = two_sessions()
    pair.restrict("all", Level.REDUCE)
    pair.restrict("session.s1", Level.REDUCE)
    pair.restrict("symbol.sim.ALPHA", Level.HALT)
    said = refusals(pair.approve(sell("out")))
    assert said["out"].startswith("restricted: symbol.sim.ALPHA is halted")


@pytest.mark.req("G-09")
@pytest.mark.parametrize("session", ["flatten-1", "flatten-2"])
def test_a_flatten_is_of_no_session_and_has_the_accounts_room(session: str) -> None:
    pair = two_sessions()
    pair.restrict("session.s1", Level.REDUCE)
    pair.restrict("session.flatten-2", Level.REDUCE)
    said = pair.approve(of(session, sell("much", "13")), of(session, sell("all", "12")))
    assert list(refusals(said)) == ["much"]
    assert pair.executor.orders.portfolio.quantity(ALPHA) == 0


@pytest.mark.req("G-09")
def test_a_flatten_only_ever_reduces_also_where_nothing_is_restricted() -> None:
    pair = two_sessions()
    said = pair.approve(of("flatten-1", sell("much", "13")))
    why = "restricted: flatten-1 may only reduce: sell 13, and 12 is held that no open order"
    assert refusals(said)["much"].startswith(why)
    assert refusals(pair.approve(of("flatten-1", sell("all", "12")))) == {}


@pytest.mark.req("G-09")
def test_what_a_flatten_closed_is_held_by_no_session_any_more() -> None:
    pair = two_sessions()
    pair.approve(of("flatten-1", sell("part", "5")))
    assert pair.executor.orders.shares.held == {SessionId("s2"): {ALPHA: dec(7)}}
    pair.approve(of("flatten-1", sell("rest", "7")))
    assert pair.executor.orders.shares.held == {}
    pair.restrict("session.s1", Level.REDUCE)
    assert list(refusals(pair.approve(sell("short", "2")))) == ["short"]
    pair.restart_executor()
    assert pair.executor.orders.shares.held == {}


@pytest.mark.req("G-09")
@pytest.mark.parametrize(
    ("kind", "closes_at", "held"),
    [
        (SettlementKind.EXPIRY, dec(7), {}),
        (SettlementKind.FUNDING, None, {"s1": {ALPHA: dec(2)}, "s2": {ALPHA: dec(10)}}),
    ],
)
def test_what_the_venue_closed_at_its_end_is_held_by_no_session_and_a_payment_closes_nothing(
    kind: SettlementKind, closes_at: Decimal | None, held: dict[str, Any]
) -> None:
    pair = two_sessions()
    settled = VenueSettled(
        at_ns=1, settlement_id="1", instrument=ALPHA, kind=kind, closes_at=closes_at
    )
    pair.tell(settled)
    assert pair.executor.orders.shares.held == held
    pair.restart_executor()
    assert pair.executor.orders.shares.held == held


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


@pytest.mark.req("G-09")
def test_an_open_buy_or_a_sale_of_another_takes_nothing_of_what_may_be_sold() -> None:
    made = guard()
    core = executor(made=made)
    say(core, approved(order()))
    say(core, outcome())
    say(core, filled())
    resting(core, bid())  # its cancel is not answered yet
    submitted(core, msgspec.structs.replace(offer(), instrument=BETA))
    made.restrict("account.paper", Level.REDUCE)
    assert refusals(say(core, approved(sell("out", "10")))) == {}


@pytest.mark.req("B-06", "X-10")
def test_an_order_that_traded_more_than_it_was_for_makes_no_room_for_another() -> None:
    core = executor()
    record = Record(sell("o0", "5"), 7, 3)
    record.status, record.filled = OrderStatus.PARTIALLY_FILLED, dec(8)
    core.orders.add(record, 1)
    core.orders.portfolio.adjust(ALPHA, dec(2), dec(0), dec(0))
    assert core.orders.reducible(sell("o1", "5")) == 2


@pytest.mark.req("G-09", "O-05")
def test_a_halt_of_all_that_comes_as_a_restriction_is_a_full_halt() -> None:
    pair = trading(bid("a"))
    said = pair.restrict("nobody.knows", Level.HALT)
    assert [type(each) for each in said] == [OrderCanceled, HaltConfirmed]
    assert list(refusals(pair.approve(order("b")))) == ["b"]


def taken_over(
    session: str, quantity: str, taken_from: str | None = None, **more: Any
) -> PositionsAdopted:
    view = PositionView(instrument=ALPHA, quantity=dec(quantity), average_price=dec(100))
    return PositionsAdopted(
        at_ns=7,
        session=SessionId(session),
        positions=(view,),
        taken_from=None if taken_from is None else SessionId(taken_from),
        **more,
    )


@pytest.mark.req("S-02", "G-09", "G-11")
def test_what_a_session_took_over_is_its_own_under_its_reduce_and_for_its_flatten() -> None:
    pair = trading(of("s1", order("in")))
    core = pair.executor
    core.handle(taken_over("s2", "10", "s1"), 7)
    core.handle(taken_over("s2", "10", "s1"), 7)  # told again, it counts once
    assert core.orders.shares.held == {SessionId("s2"): {ALPHA: dec(10)}}
    core.handle(taken_over("s2", "3", account=AccountId("another")), 7)
    core.handle(taken_over("s2", "2", is_told=True), 7)
    core.handle(taken_over("s2", "-1", "flatten-1"), 7)
    assert core.orders.shares.held == {SessionId("s2"): {ALPHA: dec(10)}}, "each counted already"
    pair.restrict("session.s2", Level.REDUCE)
    assert refusals(pair.approve(of("s2", sell("out", "10")))) == {}
    assert core.orders.portfolio.quantity(ALPHA) == 0


@pytest.mark.req("G-09", "G-11")
def test_under_a_sessions_reduce_its_orders_are_measured_by_what_it_holds() -> None:
    """Another's holding is no cover for what rests of it; nor is it cleared away for another."""
    pair = trading(of("s2", order("in")))
    pair.approve(
        of("s1", offer("s1 rests", "5")),
        of("s2", offer("s2 rests", "5")),
    )
    pair.restrict("session.s1", Level.REDUCE)
    assert [each.order_id for each in pair.venue_book().open_orders] == ["s2 rests"]
