"""Executions that a gate missed, and that the executor's book does not show any more."""

import msgspec
import pytest

from schemas.base import NS_PER_S, Event, SessionId
from schemas.executions import LATELY_NS, TRADED_MAX, BookAdopted, OrderStatus, OrderView
from schemas.health import AlertRaised, Severity
from schemas.orders import Order, Side
from services.gate.account_unseen import Unseen
from tests.builders import ALPHA, SESSION, dec
from tests.gate_rig import NOW_NS, Rig, book, config, view
from tests.unit.test_gate_groups import S2, created

pytestmark = pytest.mark.req("G-11", "S-16")

SELL = Side.SELL
EXPIRED_NS = 10 * NS_PER_S
"""Later than what was approved at the beginning may be sent."""


def opposed(sold: str = "10") -> tuple[Rig, Order, Order]:
    """Return a gate whose sessions may hold ten each: one is buying ten, the other selling."""
    rig = Rig(config(session_position_notional_max=dec(1_000)))
    for session in (SESSION, S2):
        rig.tell(created(session))
    bid = rig.approve("bid", quantity="10", session=SESSION)
    return rig, bid, rig.approve("offer", quantity=sold, session=S2, side=SELL)


def reported(
    rig: Rig,
    *recent: OrderView,
    held: str = "0",
    fill_count: int = 0,
    after_ns: int = LATELY_NS,
    src: str = "",
) -> list[Event]:
    """Tell the executor's book, and the market again; return what the gate says to the book."""
    rig.now_ns += after_ns
    told = book(held={ALPHA: held}, at_ns=rig.now_ns, recent=recent, src=src)
    said = rig.tell(msgspec.structs.replace(told, fill_count=fill_count))
    rig.quote()
    return list(said)


def rules(rig: Rig) -> tuple[str, str]:
    """Return what decides on ten more, bought by the one session and sold by the other."""
    name = f"{rig.now_ns}"
    bought = rig.decide(rig.signal(f"b{name}", quantity="10", session=SESSION)).rule
    sold = rig.decide(rig.signal(f"s{name}", quantity="10", session=S2, side=SELL)).rule
    return bought, sold


LIMITED = ("session_position", "session_position")


def test_what_changed_and_is_not_shown_is_nobodys_and_counts_against_every_session() -> None:
    rig, *_ = opposed()
    reported(rig, held="10", fill_count=1)
    assert rules(rig) == ("session_position", "all")
    assert rig.rule("b2", quantity="1", session=S2) == "session_position"


def test_what_two_sessions_traded_against_each_other_unseen_counts_for_both() -> None:
    """Ten were bought by one and sold by another: the position is what it was."""
    rig, *_ = opposed()
    reported(rig, fill_count=2)
    assert rules(rig) == LIMITED


def test_a_person_is_told_of_them_once() -> None:
    rig, bid, offer = opposed()
    said = reported(rig, fill_count=2)
    [alert] = [each for each in said if isinstance(each, AlertRaised)]
    assert (alert.severity, alert.code) == (Severity.CRITICAL, "SLU-188")
    assert alert.fields == {
        "account": bid.account,
        "orders": f"{bid.order_id} {offer.order_id}",
        "wanted": "what they traded, at the venue; a session that is started anew takes over",
    }
    again = reported(rig, held="1", fill_count=3)
    assert [type(each) for each in again] == [BookAdopted]


def test_without_it_each_session_may_hold_twice_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Unseen, "_hide", lambda *given: None)
    rig, *_ = opposed()
    reported(rig, fill_count=2)
    assert rules(rig) == ("all", "all")


@pytest.mark.parametrize("is_restarted", [False, True])
def test_it_counts_on_with_later_books_and_after_a_restart(is_restarted: bool) -> None:
    rig, *_ = opposed()
    reported(rig, fill_count=2)
    if is_restarted:
        rig.restart()
        rig.quote()
    reported(rig, held="3", fill_count=3, after_ns=NS_PER_S)
    reported(rig, held="0", fill_count=4, after_ns=NS_PER_S)
    assert rules(rig) == LIMITED


def test_a_session_that_may_have_got_out_unseen_does_not_close_what_another_holds() -> None:
    rig, _, offer = opposed()
    rig.fill(offer, "10", "e-1")  # short ten, and buys them back
    back = rig.approve("back", quantity="10", session=S2)
    rig.approve("other", quantity="10", session=SESSION, side=SELL)
    assert back.session == S2
    reported(rig, held="-10", fill_count=3)
    close = rig.rule("x", quantity="10", session=S2, is_reduce_only=True)
    assert close == "reduce_only"


@pytest.mark.parametrize(
    ("fill_count", "after_ns"),
    [
        pytest.param(0, LATELY_NS, id="nothing traded"),
        pytest.param(1, LATELY_NS, id="one execution leaves no position as it was"),
        pytest.param(2, LATELY_NS - 1, id="the book would show it"),
    ],
)
def test_what_cannot_have_traded_counts_no_more(fill_count: int, after_ns: int) -> None:
    rig, *_ = opposed()
    reported(rig, fill_count=fill_count, after_ns=after_ns)
    assert rules(rig) == ("all", "all")


def test_a_book_that_shows_as_many_as_it_can_may_have_left_some_out() -> None:
    rig, *_ = opposed()
    reported(rig, *traded(TRADED_MAX), fill_count=TRADED_MAX + 2, after_ns=EXPIRED_NS)
    assert rules(rig) == LIMITED


def test_what_the_executor_may_not_have_had_yet_is_on_its_way_and_did_not_end() -> None:
    rig, bid, _ = opposed()
    most = traded(TRADED_MAX)
    reported(rig, *most, held="1", fill_count=TRADED_MAX + 3, after_ns=NS_PER_S)
    lanes = rig.gate.state.accounts[bid.account].holders.sessions[SESSION].lanes
    assert lanes[ALPHA].buys == 10, "once"


@pytest.mark.parametrize(
    ("count", "fill_count"), [(TRADED_MAX - 1, TRADED_MAX + 1), (TRADED_MAX, TRADED_MAX + 1)]
)
def test_a_book_that_shows_fewer_or_leaves_no_two_executions_over_hides_nothing(
    count: int, fill_count: int
) -> None:
    rig, *_ = opposed()
    held = f"{count % 2}"
    reported(rig, *traded(count), held=held, fill_count=fill_count, after_ns=EXPIRED_NS)
    assert rules(rig) == ("all", "all")


def test_executions_that_were_told_are_not_among_those_that_were_missed() -> None:
    rig, bid, _ = opposed()
    rig.fill(bid, "5", "e-1")
    reported(rig, held="5", fill_count=2)
    assert rig.rule("sold", quantity="5", session=S2, side=SELL) == "all"


def test_books_of_two_executors_have_no_count_in_common() -> None:
    rig, *_ = opposed()
    rig.tell(book(src="one", at_ns=NOW_NS, is_reconciled=True))
    reported(rig, src="two", after_ns=EXPIRED_NS)
    assert rules(rig) == LIMITED


def test_on_one_side_alone_nothing_can_be_hidden() -> None:
    rig = Rig(config(session_position_notional_max=dec(1_000)))
    rig.tell(created(SESSION))
    rig.approve("bid", quantity="10", session=SESSION)
    reported(rig, fill_count=2)
    assert rig.rule("more", quantity="10", session=SESSION) == "all"


def test_it_counts_no_more_once_a_book_shows_what_became_of_it() -> None:
    rig, bid, offer = opposed()
    reported(rig, fill_count=2)
    ended = (view(bid, "4", OrderStatus.CANCELED), view(offer, "4", OrderStatus.CANCELED))
    reported(rig, *ended, held="1", fill_count=3, after_ns=NS_PER_S)
    account = rig.gate.state.accounts[bid.account]
    assert account.unseen.orders == {}
    assert account.holders.sessions[SESSION].lanes[ALPHA].position == 4


def test_no_more_is_hidden_than_the_other_side_could_have_undone() -> None:
    rig, *_ = opposed(sold="4")
    reported(rig, fill_count=2)
    assert rig.rule("seven", quantity="7", session=SESSION) == "session_position"
    assert rig.rule("six", quantity="6", session=SESSION) == "all"


def test_a_count_that_goes_back_proves_nothing() -> None:
    rig, *_ = opposed()
    reported(rig, fill_count=5, after_ns=NS_PER_S)
    reported(rig, fill_count=4)
    assert rules(rig) == LIMITED


def test_orders_that_never_traded_take_no_place_of_those_that_did() -> None:
    rig, *_ = opposed()
    ended = [view(each.order, "0", OrderStatus.CANCELED) for each in traded(TRADED_MAX)]
    reported(rig, *ended, fill_count=2, after_ns=EXPIRED_NS)
    assert rules(rig) == ("all", "all")


def traded(count: int) -> tuple[OrderView, ...]:
    """Return orders of another session that bought and sold one in turn, as a book shows them."""
    rig = Rig()
    other = SessionId("other")
    first = rig.approve("t", quantity="1", session=other)
    sides = (Side.BUY, SELL)
    orders = [
        msgspec.structs.replace(first, order_id=f"t{number}", side=sides[number % 2])
        for number in range(count)
    ]
    return tuple(view(each, "1", OrderStatus.FILLED) for each in orders)
