"""What the gate counts: approvals at once, until the executor says what became of them."""

import pytest

from schemas.base import InstrumentId
from schemas.control import BookWanted
from schemas.executions import BookAdopted, OrderStatus
from schemas.health import GapSeen, LinkChanged
from schemas.orders import Side
from services.gate.account import NO_BOOK
from services.gate.core import RESTARTED
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, dec
from tests.gate_rig import (
    NOW_NS,
    Rig,
    assert_sums_follow,
    book,
    canceled,
    config,
    filled,
    only,
    refused,
    rejected,
    replaced,
    resting,
    snapshot,
    submitted,
    unknown,
    view,
)


def lane_of(rig: Rig, key: InstrumentId = ALPHA) -> tuple[int, int, int]:
    """Return position, open buys and open sells."""
    assert_sums_follow(rig.gate)
    lane = rig.gate.state.accounts[ACCOUNT].lanes[key]
    return int(lane.position), int(lane.buys), int(lane.sells)


def doubt_of(rig: Rig) -> str:
    return rig.gate.state.accounts[ACCOUNT].doubt


@pytest.mark.req("G-02")
def test_an_approval_counts_before_anybody_has_heard_of_it() -> None:
    rig = Rig()
    rig.approve("a", quantity="30")
    rig.approve("b", quantity="20", side=Side.SELL)
    assert lane_of(rig) == (0, 30, 20)


@pytest.mark.req("G-02")
def test_a_fill_moves_from_the_order_to_the_position() -> None:
    rig = Rig()
    bought = rig.approve("a", quantity="30")
    rig.fill(bought, "10", "e1")
    assert lane_of(rig) == (10, 20, 0)
    rig.fill(bought, "20", "e2")
    assert lane_of(rig) == (30, 0, 0)
    assert bought.order_id not in rig.gate.state.accounts[ACCOUNT].orders


def test_an_execution_told_twice_moves_nothing_the_second_time() -> None:
    rig = Rig()
    bought = rig.approve("a", quantity="30")
    rig.fill(bought, "10", "e1")
    rig.fill(bought, "10", "e1")
    assert lane_of(rig) == (10, 20, 0)


def test_a_cancel_frees_what_will_never_fill() -> None:
    rig = Rig()
    bought = rig.approve("a", quantity="30")
    rig.fill(bought, "10", "e1")
    rig.tell(canceled(bought, "20"))
    assert lane_of(rig) == (10, 0, 0)


def test_a_cancel_told_before_the_last_fill_keeps_counting_it() -> None:
    rig = Rig()
    bought = rig.approve("a", quantity="30")
    rig.tell(canceled(bought, "20"))
    assert lane_of(rig) == (0, 10, 0)
    rig.fill(bought, "10", "e1")
    assert lane_of(rig) == (10, 0, 0)


@pytest.mark.req("G-02")
def test_a_cancel_that_is_told_twice_frees_what_will_never_fill_once() -> None:
    rig = Rig(config(position_quantity_max=dec(100)))
    bought = rig.approve("a", quantity="100")
    for leaves in ("60", "60", "40"):
        rig.tell(canceled(bought, leaves))
    assert lane_of(rig) == (0, 40, 0)
    assert rig.rule("b", quantity="61") == "position_quantity"
    rig.fill(bought, "40", "e1")
    assert lane_of(rig) == (40, 0, 0)


def test_an_order_that_will_never_fill_is_free_again() -> None:
    for why in (refused, rejected, lambda old: replaced(old, by="new")):
        rig = Rig()
        rig.tell(why(rig.approve("a", quantity="30")))
        assert lane_of(rig) == (0, 0, 0)


@pytest.mark.req("G-02")
def test_an_order_of_unknown_fate_counts_in_full() -> None:
    rig = Rig()
    bought = rig.approve("a", quantity="30")
    rig.tell(submitted(bought))
    rig.tell(unknown(bought))
    assert lane_of(rig) == (0, 30, 0)
    assert doubt_of(rig) == ""


def test_an_order_of_unknown_fate_that_nobody_told_of_makes_exposure_unknown() -> None:
    rig = Rig()
    rig.tell(unknown(resting("stranger")))
    assert doubt_of(rig) == "order stranger is of unknown fate, and nobody told of it before"


def test_an_order_that_another_gate_approved_counts_too() -> None:
    rig = Rig()
    rig.tell(submitted(resting("theirs", quantity="40")))
    assert lane_of(rig) == (0, 40, 0)


def test_late_news_of_a_submission_does_not_reopen_a_closed_order() -> None:
    rig = Rig()
    bought = rig.approve("a", quantity="30")
    rig.tell(canceled(bought, "30"))
    rig.tell(submitted(bought))
    assert lane_of(rig) == (0, 0, 0)


def test_news_of_an_instrument_nobody_configured_makes_exposure_unknown() -> None:
    stranger = resting("s", key=InstrumentId("sim:OMEGA"))
    for event, doubt in (
        (filled(stranger, "1", "e1"), "an execution in sim:OMEGA, which is not configured"),
        (submitted(stranger), "order s in sim:OMEGA, which is not configured"),
        (book(view(stranger)), "order s in sim:OMEGA, which is not configured"),
        (
            book(held={stranger.instrument: "1"}),
            "the book holds sim:OMEGA, which is not configured",
        ),
    ):
        rig = Rig()
        rig.tell(event)
        assert doubt_of(rig) == doubt


def test_a_gate_knows_nothing_before_its_first_book() -> None:
    rig = Rig()
    rig.kept.clear()
    rig.restart()
    assert doubt_of(rig) == NO_BOOK
    rig.quote()
    assert rig.rule() == "exposure_known"


@pytest.mark.req("S-16")
def test_a_book_replaces_what_was_believed() -> None:
    rig = Rig()
    rig.tell(book(view(resting("o", quantity="30"), filled="10"), held={ALPHA: "-5", BETA: "7"}))
    assert lane_of(rig) == (-5, 20, 0)
    assert lane_of(rig, BETA) == (7, 0, 0)


def test_an_order_that_a_book_shows_as_filled_to_the_end_is_not_open() -> None:
    rig = Rig()
    full = book(view(resting("o", quantity="30"), filled="30"), held={ALPHA: "30"})
    rig.tell(full)
    assert lane_of(rig) == (30, 0, 0)
    assert rig.tell(full) == []


def test_a_book_that_tells_nothing_new_is_not_kept() -> None:
    rig = Rig()
    bought = rig.approve("a", quantity="30")
    rig.tell(submitted(bought))
    rig.fill(bought, "10", "e1")
    assert rig.tell(book(view(bought, filled="10"), held={ALPHA: "10"})) == []


def test_an_approval_on_its_way_survives_a_book_that_does_not_know_it() -> None:
    rig = Rig()
    rig.approve("a", quantity="30")
    rig.tell(book(held={ALPHA: "5"}))
    assert lane_of(rig) == (5, 30, 0)


def test_an_approval_that_can_no_longer_be_sent_goes_with_the_next_book() -> None:
    rig = Rig()
    rig.approve("a", quantity="30", expires_in_ns=2 * S_NS)
    rig.tell(book(at_ns=rig.now_ns + 2 * S_NS - 1))
    assert lane_of(rig) == (0, 30, 0)
    adopted = only(BookAdopted, rig.tell(book(at_ns=rig.now_ns + 2 * S_NS)))
    assert adopted.book == book(at_ns=rig.now_ns + 2 * S_NS)
    assert lane_of(rig) == (0, 0, 0)


def test_an_order_that_a_book_shows_as_closed_is_closed() -> None:
    rig = Rig()
    bought = rig.approve("a", quantity="30")
    rig.tell(book(recent=(view(bought, "30", OrderStatus.FILLED),), held={ALPHA: "30"}))
    assert lane_of(rig) == (30, 0, 0)


def test_an_order_that_was_submitted_and_is_missing_in_the_book_is_closed() -> None:
    rig = Rig()
    rig.tell(submitted(rig.approve("a", quantity="30")))
    rig.tell(book())
    assert lane_of(rig) == (0, 0, 0)


def test_news_from_before_the_book_is_not_counted_again() -> None:
    rig = Rig()
    bought = rig.approve("a", quantity="30")
    rig.tell(book(held={ALPHA: "30"}, recent=(view(bought, "30"),), at_ns=NOW_NS + 5, src="e-1"))
    rig.tell(filled(bought, "30", "e1", at_ns=NOW_NS + 4, src="e-1"))
    assert lane_of(rig) == (30, 0, 0)
    rig.tell(filled(bought, "1", "e2", at_ns=NOW_NS + 5, src="e-1"))
    assert lane_of(rig) == (31, 0, 0)


def test_a_book_from_before_the_newest_news_is_not_taken() -> None:
    rig = Rig()
    bought = rig.approve("a", quantity="30")
    rig.tell(filled(bought, "30", "e1", at_ns=NOW_NS + 9, src="e-1"))
    assert rig.tell(book(view(bought), at_ns=NOW_NS + 8, src="e-1")) == []
    assert rig.tell(book(view(bought), at_ns=NOW_NS + 8)) == []  # an answer names no teller
    assert lane_of(rig) == (30, 0, 0)


def test_times_of_a_restarted_executor_are_not_compared_with_its_predecessors() -> None:
    rig = Rig()
    bought = rig.approve("a", quantity="30")
    rig.tell(book(view(bought), at_ns=NOW_NS + 9, src="e-1"))
    rig.tell(filled(bought, "30", "e1", at_ns=NOW_NS + 1, src="e-2"))
    assert lane_of(rig) == (30, 0, 0)


def test_a_gap_asks_for_the_book_each_second_until_it_comes() -> None:
    rig = Rig()
    gap = GapSeen(at_ns=0, subject="exec.sim.paper", publisher="e", expected_seq=4, got_seq=6)
    asked = BookWanted(at_ns=rig.now_ns, account=ACCOUNT)
    assert rig.tell(gap) == [asked]
    rig.now_ns += S_NS - 1
    assert rig.gate.wake_at_ns == rig.now_ns + 1
    rig.now_ns += 1
    assert rig.gate.wake(rig.now_ns) == [BookWanted(at_ns=rig.now_ns, account=ACCOUNT)]
    rig.tell(book())
    rig.now_ns += S_NS
    assert rig.gate.wake(rig.now_ns) == []
    assert rig.gate.wake_at_ns is None


def test_a_link_that_came_back_asks_for_the_book_at_once() -> None:
    rig = Rig()
    rig.tell(LinkChanged(at_ns=0, is_up=False))
    rig.now_ns += 7
    said = rig.tell(LinkChanged(at_ns=0, is_up=True))
    assert said == [BookWanted(at_ns=rig.now_ns, account=ACCOUNT)]


def test_a_lost_approval_that_is_in_the_way_makes_the_gate_ask_for_the_book() -> None:
    rig = Rig()
    for name in ("a", "b"):
        rig.approve(name, quantity="100", expires_in_ns=2 * S_NS)
    assert rig.tell(rig.signal("c"))[1:] == []
    rig.now_ns += 2 * S_NS
    rig.quote()
    wanted = BookWanted(at_ns=rig.now_ns, account=ACCOUNT)
    assert rig.tell(rig.signal("d"))[1:] == [wanted]
    assert rig.tell(rig.signal("e"))[1:] == []  # not more than once a second
    rig.tell(book(at_ns=rig.now_ns))
    assert rig.rule("f") == "all"


def test_a_restart_brings_back_exposure_and_used_ids() -> None:
    rig = Rig()
    bought = rig.approve("a", quantity="30")
    rig.tell(submitted(bought))
    rig.fill(bought, "10", "e1")
    rig.tell(unknown(rig.approve("b", quantity="5", side=Side.SELL)))
    before = snapshot(rig.gate)
    rig.restart()
    assert snapshot(rig.gate) == before
    assert lane_of(rig) == (10, 20, 5)
    assert doubt_of(rig) == RESTARTED


@pytest.mark.req("G-07")
def test_an_approved_signal_is_a_duplicate_after_a_restart_too() -> None:
    rig = Rig()
    rig.approve("a")
    rig.restart()
    rig.tell(book())
    rig.quote()
    assert rig.rule("a") == "signal_new"


def test_gross_exposure_comes_back_to_nothing_when_all_is_closed() -> None:
    rig = Rig()
    bought = rig.approve("a", quantity="30")
    rig.quote("123.45", "123.46")
    rig.fill(bought, "30", "e1", price="123.46")
    sold = rig.approve("b", quantity="30", side=Side.SELL)
    rig.quote("77.77", "77.78")
    rig.fill(sold, "30", "e2", price="77.77")
    assert_sums_follow(rig.gate)
    assert rig.gate.state.accounts[ACCOUNT].totals.gross == dec(0)


@pytest.mark.req("G-02")
@pytest.mark.parametrize(
    ("bid", "ask", "value"),
    [
        ("0", "NaN", "5000.0"),
        ("-1", "0", "5000.0"),
        ("NaN", "Infinity", "5000.0"),
        ("80", "NaN", "4000"),
        ("80", "90", "4500"),
    ],
)
def test_what_is_held_is_valued_by_the_last_price_that_could_be_one(
    bid: str, ask: str, value: str
) -> None:
    rig = Rig()
    rig.tell(book(held={ALPHA: "50"}))
    rig.quote(bid, ask)
    rig.gate.state.unvalued.value()
    assert rig.gate.state.accounts[ACCOUNT].lanes[ALPHA].notional == dec(value)
