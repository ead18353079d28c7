"""Two truths about one account: shown side by side, locked, and settled by a person's word."""

from collections.abc import Sequence
from decimal import Decimal

import pytest

from schemas.base import Event, ExecutionId, InstrumentId, OrderId, SessionId
from schemas.control import ControlAnswered, HaltRequested
from schemas.errors import FieldError
from schemas.executions import BookReported, OrderCanceled, OrderFilled, OrderStatus
from schemas.health import AlertRaised, Severity
from schemas.orders import Order
from schemas.reconciliation import (
    BookAdjusted,
    Difference,
    DifferenceKind,
    ReconcileAction,
    ReconcileAsked,
    ReconcileRequest,
    ReconciliationReported,
)
from schemas.restrictions import FlattenAsked, FlattenReported, LockRequested
from schemas.venue import VenueBook, VenueCanceled, VenueLinkChanged, VenueOrderStatus
from services.executor.config import ExecutorConfig
from services.executor.reconcile import difference
from services.executor.venues.resting import Resting
from services.portfolio import Position
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, dec, order, quote
from tests.executor_builders import CASH, EPOCH, placed, say, start, trade
from tests.executor_pair import Staffed
from tests.executor_rig import bid, offer, only, prepare

ADOPT, FLATTEN, IGNORE = ReconcileAction.ADOPT, ReconcileAction.FLATTEN, ReconcileAction.IGNORE
GAMMA = InstrumentId("sim:GAMMA")
QUIET = ExecutorConfig(report_every_ms=0, reconcile_every_s=0)


def trading(*orders: Order, config: ExecutorConfig = QUIET) -> Staffed:
    pair = Staffed(config=config)
    pair.link(is_up=True)
    pair.market(quote(), quote(instrument=BETA))
    pair.approve(*orders)
    return pair


def behind_our_back(pair: Staffed, one: Order) -> None:
    """Let somebody else trade on the account, at the venue itself."""
    say(pair.venue, placed(one))


def found(pair: Staffed) -> dict[str, Difference]:
    """Return the differences by what they are in, after a comparison."""
    pair.tell(prepare(f"look-{pair.now_ns}"))
    return {each.name: each for each in pair.executor.rounds.differences.values()}


def decided(
    pair: Staffed, what: Difference | str, action: ReconcileAction, reason: str = "seen"
) -> list[Event]:
    id_ = what if isinstance(what, str) else what.id
    request = ReconcileRequest(operator="kim", reason=reason, difference=id_, action=action)
    return pair.tell(ReconcileAsked(at_ns=pair.now_ns, request_id="q1", request=request))


def answer(said: Sequence[Event]) -> ControlAnswered:
    [only_one] = [each for each in said if isinstance(each, ControlAnswered)]
    return only_one


@pytest.mark.req("S-16")
def test_a_position_is_adopted_as_an_event_that_is_kept_and_the_fold_is_the_venues() -> None:
    """Field notes, row 9: reconciliation wrong after a restart."""
    pair = trading(order())
    pair.venue.ledger.portfolio.positions[ALPHA].quantity += 5
    differing = found(pair)
    assert list(differing) == ["position sim:ALPHA"]
    one = differing["position sim:ALPHA"]
    assert (one.ours, one.theirs) == ("10", "15")
    said = decided(pair, one, ADOPT)
    assert only(said, BookAdjusted) == [
        BookAdjusted(
            at_ns=1,
            account=ACCOUNT,
            difference=one,
            operator="kim",
            reason="seen",
            instrument=ALPHA,
            quantity=dec(5),
        )
    ]
    assert answer(said).is_ok
    assert only(said, ReconciliationReported) == [
        ReconciliationReported(at_ns=1, account=ACCOUNT, is_agreed=True)
    ]
    assert pair.agrees()
    before = pair.executor.describe(1).positions
    pair.restart_executor()
    assert pair.executor.describe(1).positions == before
    assert pair.link(is_up=True) == []
    assert pair.executor.describe(1).is_reconciled


class KeepsNoAdjustments(Staffed):
    """An executor that adopts in memory alone."""

    def restart_executor(self) -> None:
        self.kept = [each for each in self.kept if not isinstance(each, BookAdjusted)]
        super().restart_executor()


@pytest.mark.req("S-16")
def test_without_the_kept_adjustment_a_restart_would_find_the_difference_again() -> None:
    pair = KeepsNoAdjustments(config=QUIET)
    pair.link(is_up=True)
    pair.market(quote())
    pair.approve(order())
    pair.venue.ledger.portfolio.positions[ALPHA].quantity += 5
    decided(pair, found(pair)["position sim:ALPHA"], ADOPT)
    pair.restart_executor()
    pair.link(is_up=True)
    assert not pair.executor.describe(1).is_reconciled


@pytest.mark.req("S-16")
def test_an_execution_nobody_ordered_is_adopted_whole_position_cash_and_fees() -> None:
    pair = trading(order())
    behind_our_back(pair, order("theirs", quantity="3"))
    differing = found(pair)
    assert list(differing) == ["cash", "fees", "position sim:ALPHA", "execution theirs-1"]
    refused = answer(decided(pair, differing["position sim:ALPHA"], ADOPT))
    id_ = differing["execution theirs-1"].id
    assert refused.errors == (
        FieldError(
            path="$.difference",
            found="it comes from an execution",
            wanted=f"decide about {id_} first",
        ),
    )
    said = decided(pair, differing["execution theirs-1"], ADOPT)
    [fill] = [each for each in said if isinstance(each, OrderFilled)]
    assert (str(fill.session), str(fill.order_id), str(fill.quantity)) == ("adopted", "theirs", "3")
    assert only(said, ReconciliationReported)[-1] == ReconciliationReported(
        at_ns=1, account=ACCOUNT, is_agreed=True
    )
    assert pair.agrees()
    pair.restart_executor()
    pair.link(is_up=True)
    assert pair.agrees()


@pytest.mark.req("S-16")
@pytest.mark.parametrize("name", ["cash", "fees"])
def test_money_is_adopted_and_cannot_be_flattened(name: str) -> None:
    pair = trading(order())
    folio = pair.venue.ledger.portfolio
    setattr(folio, name, getattr(folio, name) + dec("1.5"))
    one = found(pair)[name]
    assert "cash is no position" in answer(decided(pair, one, FLATTEN)).message
    assert answer(decided(pair, one, ADOPT)).is_ok
    assert pair.agrees()


@pytest.mark.req("S-16")
def test_an_order_nobody_here_knows_is_adopted_and_its_fill_is_then_ours() -> None:
    pair = trading()
    behind_our_back(pair, bid("theirs"))
    one = found(pair)["order theirs"]
    assert one.both == "ours none, venue's buy 10 sim:ALPHA"
    said = decided(pair, one, ADOPT)
    assert answer(said).is_ok
    assert pair.executor.describe(1).is_reconciled
    [view] = pair.executor.describe(1).open_orders
    assert (view.order.order_id, view.order.session) == ("theirs", "adopted")
    pair.market(trade("90.00", "10"), trade("89.00", "10"))
    assert pair.agrees()


@pytest.mark.req("S-16")
def test_an_order_nobody_wants_is_cancelled_at_the_venue() -> None:
    pair = trading()
    behind_our_back(pair, bid("theirs"))
    said = decided(pair, found(pair)["order theirs"], FLATTEN)
    assert answer(said).is_ok
    assert pair.venue_book().open_orders == ()
    assert pair.executor.describe(1).is_reconciled


@pytest.mark.req("S-16")
def test_of_two_orders_nobody_knows_the_one_decided_about_is_cancelled() -> None:
    pair = trading()
    behind_our_back(pair, bid("theirs"))
    behind_our_back(pair, bid("others"))
    assert answer(decided(pair, found(pair)["order theirs"], FLATTEN)).is_ok
    assert [each.order_id for each in pair.venue_book().open_orders] == ["others"]


@pytest.mark.req("S-16")
def test_an_adopted_order_that_the_venue_forgets_was_sent_and_the_books_come_first() -> None:
    pair = trading()
    behind_our_back(pair, bid("theirs"))
    assert answer(decided(pair, found(pair)["order theirs"], ADOPT)).is_ok
    pair.restart_executor()
    core, late_ns = pair.executor, 2 * S_NS
    say(core, VenueLinkChanged(at_ns=1, is_up=True))
    say(core, VenueBook(at_ns=1, request_id="round-1", cash=CASH, fees=dec(0), positions={}))
    forgotten = VenueOrderStatus(at_ns=late_ns, order_id=OrderId("theirs"), status=None)
    said = only(say(core, forgotten), OrderCanceled)
    assert said == [
        OrderCanceled(
            at_ns=late_ns,
            account=ACCOUNT,
            session=SessionId("adopted"),
            instrument=ALPHA,
            order_id=OrderId("theirs"),
            leaves=dec(10),
            reason="the venue had it, knows it no more, and shows it nowhere",
        )
    ]
    assert core.why_not_ready() == "our book and the venue's are not known to agree"


@pytest.mark.req("S-16")
@pytest.mark.parametrize(
    ("traded", "status"), [("10", OrderStatus.FILLED), ("4", OrderStatus.PARTIALLY_FILLED)]
)
def test_an_adopted_execution_says_whether_its_order_was_done(
    traded: str, status: OrderStatus
) -> None:
    pair = trading()
    behind_our_back(pair, bid("theirs"))
    say(pair.venue, trade("89.00", traded))
    said = decided(pair, found(pair)["execution theirs-1"], ADOPT)
    assert [each.status for each in said if isinstance(each, OrderFilled)] == [status]


@pytest.mark.req("S-16")
def test_a_difference_that_is_ignored_is_out_of_the_way_in_the_next_report() -> None:
    pair = trading(order(), config=ExecutorConfig(report_every_ms=250, reconcile_every_s=0))
    pair.venue.ledger.portfolio.positions[ALPHA].quantity += 5
    one = found(pair)["position sim:ALPHA"]
    pair.wait(S_NS)
    decided(pair, one, IGNORE)
    reports = [each for each in pair.wait(2 * S_NS) if isinstance(each, BookReported)]
    assert [each.is_reconciled for each in reports] == [True]


def test_what_an_order_has_left_is_adopted() -> None:
    pair = trading(order(), offer("a"))  # it only reduces: the halt that follows leaves it alone
    pair.venue.ledger.orders[OrderId("a")].leaves = dec(4)
    one = found(pair)["order a"]
    assert one.both == "ours 10, venue's 4"
    assert answer(decided(pair, one, ADOPT)).is_ok
    assert pair.executor.orders.records[OrderId("a")].leaves == 4
    pair.restart_executor()
    assert pair.executor.orders.records[OrderId("a")].leaves == 4


def test_an_order_of_ours_that_has_ended_cannot_be_adopted_and_is_cancelled_instead() -> None:
    pair = trading(bid("a"))
    pair.tell(VenueCanceled(at_ns=1, order_id=OrderId("a"), leaves=dec(10)))
    one = found(pair)["order a"]
    assert "never comes back" in answer(decided(pair, one, ADOPT)).message
    assert answer(decided(pair, one, FLATTEN)).is_ok
    assert pair.venue_book().open_orders == ()


@pytest.mark.req("S-16", "O-06")
def test_what_is_ignored_stays_so_until_it_changes_and_over_a_restart() -> None:
    pair = trading(order())
    pair.venue.ledger.portfolio.cash += 7
    one = found(pair)["cash"]
    said = decided(pair, one, IGNORE, "a deposit")
    report = only(said, ReconciliationReported)[-1]
    assert isinstance(report, ReconciliationReported)
    assert (report.is_agreed, report.differences[0].ignored_because) == (True, "a deposit")
    assert pair.executor.describe(1).is_reconciled
    pair.restart_executor()
    assert pair.link(is_up=True) == []
    assert pair.executor.describe(1).is_reconciled
    pair.venue.ledger.portfolio.cash += 1
    kinds = [type(each) for each in pair.tell(prepare("again"))]
    assert kinds[:4] == [ReconciliationReported, AlertRaised, HaltRequested, LockRequested]
    assert not pair.executor.describe(1).is_reconciled


@pytest.mark.parametrize(
    ("operator", "reason", "id_", "said"),
    [
        ("kim", "", None, "who decides, and why, is wanted; nothing in reason"),
        (" ", "seen", None, "who decides, and why, is wanted; nothing in operator"),
        ("\u200b", "seen", None, "who decides, and why, is wanted; nothing in operator"),
        ("kim", "seen", "00000000", "00000000, which changed or is gone: one of {} (cash)"),
    ],
)
def test_a_decision_without_a_person_a_reason_or_the_very_difference_is_refused(
    operator: str, reason: str, id_: str | None, said: str
) -> None:
    pair = trading(order())
    pair.venue.ledger.portfolio.cash += 7
    one = found(pair)["cash"]
    request = ReconcileRequest(
        operator=operator, reason=reason, difference=id_ or one.id, action=IGNORE
    )
    told = answer(pair.tell(ReconcileAsked(at_ns=1, request_id="q", request=request)))
    assert (told.is_ok, told.message) == (False, f"nothing was done: {said.format(one.id)}")
    assert not pair.executor.describe(1).is_reconciled


@pytest.mark.req("S-16")
def test_a_position_is_adopted_and_then_flattened_once_an_epoch_is_in_force() -> None:
    pair = trading(order())
    pair.venue.ledger.portfolio.positions[ALPHA].quantity += 5
    one = found(pair)["position sim:ALPHA"]
    assert pair.guard.is_halted
    said = decided(pair, one, FLATTEN)
    assert [each.request for each in said if isinstance(each, ControlAnswered)] == [
        "flatten",
        "reconcile",
    ]
    assert any(isinstance(each, FlattenAsked) for each in pair.kept)
    assert only(pair.wait(pair.now_ns + 5 * S_NS), FlattenReported) == []
    start(pair.guard, EPOCH + 1)
    ended = only(pair.wait(pair.now_ns + 10 * S_NS), FlattenReported)[-1]
    assert isinstance(ended, FlattenReported)
    assert (ended.scope, ended.is_flat) == ("symbol.sim.ALPHA", True)
    assert pair.venue_book().positions == {}
    assert pair.agrees()


def wish(one: Difference, action: ReconcileAction, request_id: str) -> ReconcileAsked:
    request = ReconcileRequest(operator="kim", reason="seen", difference=one.id, action=action)
    return ReconcileAsked(at_ns=1, request_id=request_id, request=request)


def answers(said: Sequence[Event]) -> dict[str, tuple[bool, str]]:
    """Return whether each request about a difference was done, and what was said to it."""
    found = [each for each in said if isinstance(each, ControlAnswered)]
    return {e.request_id: (e.is_ok, e.message) for e in found if e.request == "reconcile"}


@pytest.mark.req("S-16", "O-05")
@pytest.mark.parametrize("first", [ADOPT, FLATTEN])
@pytest.mark.parametrize("second", [ADOPT, FLATTEN])
def test_a_decision_that_comes_twice_before_the_look_adjusts_the_book_once(
    first: ReconcileAction, second: ReconcileAction
) -> None:
    pair = trading(order())
    pair.venue.ledger.portfolio.positions[ALPHA].quantity += 5
    one = found(pair)["position sim:ALPHA"]
    said = pair.tell(wish(one, first, "q1"), wish(one, second, "q2"))
    why = "it was adopted just now: the look at the venue that proves it is still to come"
    assert answers(said) == {
        "q1": (True, f"{first}: position sim:ALPHA, ours 10, venue's 15"),
        "q2": (False, f"nothing was done: {why}"),
    }
    assert len(only(said, BookAdjusted)) == 1
    assert pair.executor.orders.portfolio.quantity(ALPHA) == 15
    assert pair.executor.describe(1).is_reconciled
    start(pair.guard, EPOCH + 1)
    ended = [e for e in pair.wait(pair.now_ns + 10 * S_NS) if isinstance(e, FlattenReported)][-1:]
    assert [(e.request_id, e.is_flat) for e in ended] == (
        [("q1-flatten", True)] if first is FLATTEN else []
    )


@pytest.mark.req("S-16", "O-05")
def test_no_decision_ends_a_flatten_that_goes_on_and_the_answer_says_so() -> None:
    pair = trading(order())
    pair.venue.ledger.portfolio.positions[ALPHA].quantity += 5
    pair.venue.ledger.portfolio.positions[BETA] = Position()
    pair.venue.ledger.portfolio.positions[BETA].quantity += 3
    there = found(pair)
    pair.tell(wish(there["position sim:ALPHA"], FLATTEN, "q1"))
    beta = there["position sim:BETA"]
    said = pair.tell(wish(beta, FLATTEN, "q2"))
    why = (
        "flatten-1 of symbol.sim.ALPHA goes on, and there is one at a time: adopt this, and"
        " `sluice flatten` it after the other"
    )
    assert answers(said) == {"q2": (False, f"nothing was done: {why}")}
    assert only(said, BookAdjusted) == only(said, FlattenReported) == []
    assert answers(pair.tell(wish(beta, ADOPT, "q3")))["q3"][0]
    start(pair.guard, EPOCH + 1)
    ended = [e for e in pair.wait(pair.now_ns + 10 * S_NS) if isinstance(e, FlattenReported)][-1]
    assert (ended.request_id, ended.is_flat) == ("q1-flatten", True)
    assert pair.venue_book().positions == {BETA: dec(3)}


@pytest.mark.req("S-16")
def test_what_the_flattener_would_refuse_is_refused_before_anything_is_adopted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair = trading(order())
    pair.venue.ledger.portfolio.positions[ALPHA].quantity += 5
    one = found(pair)["position sim:ALPHA"]
    error = FieldError(path="$.scope", found="that", wanted="this")
    monkeypatch.setattr(pair.executor.flattener, "objections", lambda event, may_wait: (error,))
    said = pair.tell(wish(one, FLATTEN, "q1"))
    why = "no flatten: $.scope is that: this"
    assert answers(said) == {"q1": (False, f"nothing was done: {why}")}
    assert only(said, BookAdjusted) == []
    assert pair.executor.orders.shares.flatten_count == 0


def test_an_instrument_that_is_not_configured_cannot_be_adopted() -> None:
    pair = trading()
    pair.venue.ledger.portfolio.positions[GAMMA] = stranger = Position()
    stranger.quantity = dec(3)
    told = answer(decided(pair, found(pair)["position sim:GAMMA"], ADOPT))
    assert "not configured here" in told.message


@pytest.mark.req("S-16")
@pytest.mark.parametrize(("by", "is_locked"), [("0.5", False), ("1", False), ("1.01", True)])
def test_within_the_tolerance_it_alerts_and_over_it_it_locks(by: str, is_locked: bool) -> None:
    config = ExecutorConfig(report_every_ms=0, reconcile_every_s=0, cash_tolerance=dec(1))
    pair = trading(order(), config=config)
    pair.venue.ledger.portfolio.cash += dec(by)
    said = pair.tell(prepare())
    [alert] = [each for each in said if isinstance(each, AlertRaised)]
    assert alert.severity is (Severity.CRITICAL if is_locked else Severity.WARNING)
    assert bool(only(said, LockRequested)) is bool(only(said, HaltRequested)) is is_locked
    assert pair.executor.describe(1).is_reconciled is not is_locked


@pytest.mark.parametrize("value", ["-1", "NaN"])
def test_a_tolerance_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="wanted 0 or more"):
        ExecutorConfig(cash_tolerance=Decimal(value))


def test_the_book_that_is_reported_shows_both_sides() -> None:
    pair = trading(order())
    pair.venue.ledger.portfolio.cash += 7
    one = found(pair)["cash"]
    book = pair.executor.describe(1)
    assert isinstance(book, BookReported)
    assert book.differences == (one,)
    assert book.detail == f"cash: {one.both}"


def test_a_difference_has_the_same_id_only_with_the_same_two_sides() -> None:
    kind = DifferenceKind.CASH
    ids = [difference(kind, "cash", *both).id for both in (("1", "2"), ("1", "2"), ("1", "3"))]
    assert ids[0] == ids[1] != ids[2]


def test_an_order_that_the_venue_has_twice_locks_and_both_can_be_cancelled() -> None:
    pair = trading(order(), offer("a", "5"))
    shelf = pair.venue.ledger.shelves[ALPHA]
    twin = Resting(offer("a", "5"))
    twin.venue_order_id = "V9"
    shelf.orders[OrderId("twin")] = twin
    differing = found(pair)
    assert differing["duplicate a"].both == "ours one order, venue's V2 and V9"
    assert pair.guard.is_halted
    assert "cannot be adopted" in answer(decided(pair, differing["duplicate a"], ADOPT)).message
    said = decided(pair, differing["duplicate a"], FLATTEN)
    assert OrderCanceled in [type(each) for each in said]


def test_executions_of_a_session_count_for_it_whoever_adopted_others() -> None:
    pair = trading(order())
    behind_our_back(pair, order("theirs", quantity="3"))
    decided(pair, found(pair)["execution theirs-1"], ADOPT)
    assert pair.executor.orders.shares.held[SessionId("s1")] == {ALPHA: dec(10)}
    assert pair.executor.orders.portfolio.has_seen(ExecutionId("theirs-1"))


@pytest.mark.req("S-16")
def test_a_decision_that_is_refused_says_field_by_field_what_was_found_and_what_is_wanted() -> None:
    pair = trading(order())
    asked = answer(decided(pair, "00000000", IGNORE))
    assert asked.errors == (
        FieldError(
            path="$.difference",
            found="00000000, which changed or is gone",
            wanted="nothing: no difference is open",
        ),
    )
    pair.venue.ledger.portfolio.cash += 7
    one = found(pair)["cash"]
    assert answer(decided(pair, one, FLATTEN)).errors == (
        FieldError(path="$.difference", found="cash is no position", wanted="adopt or ignore it"),
    )
    assert answer(decided(pair, one, IGNORE, reason=" ")).errors == (
        FieldError(path="$.reason", found="nothing", wanted="why"),
    )
