"""Books compared, starts prepared, halts cleared: the executor's rounds with its venue."""

from collections.abc import Sequence

import pytest

from schemas.base import Event, ExecutionId, OrderId
from schemas.control import HaltConfirmed, HaltRequested, PrepareAsked, Prepared, StartRequest
from schemas.errors import FieldError
from schemas.executions import (
    BookReported,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderMarkedUnknown,
    OrderRefused,
    OrderStatus,
    OutcomeRecorded,
)
from schemas.health import AlertRaised, Severity
from schemas.orders import Order, OrderType, Side
from schemas.venue import (
    BookQueried,
    CancelPlaced,
    OrderPlaced,
    VenueBook,
    VenueCanceled,
    VenueOpenOrder,
)
from services.executor.config import ExecutorConfig
from services.executor.core import ExecutorCore
from services.executor.reconcile import exposing
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, dec, order, quote
from tests.executor_builders import BOOT, CASH, EPOCH, approved, executor, guard, placed, say, start
from tests.executor_pair import Pair, linked

LIMIT = OrderType.LIMIT


def only(said: Sequence[Event], kind: type[Event]) -> list[Event]:
    return [each for each in said if isinstance(each, kind)]


def bid(order_id: str = "bid", quantity: str = "10") -> Order:
    """A buy that rests far from the market."""
    return order(order_id, quantity=quantity, order_type=LIMIT, limit="90.00")


def offer(order_id: str = "offer", quantity: str = "10", *, is_reduce_only: bool = False) -> Order:
    """A sell that rests far from the market."""
    return order(
        order_id,
        side=Side.SELL,
        quantity=quantity,
        order_type=LIMIT,
        limit="110.00",
        is_reduce_only=is_reduce_only,
    )


def trading(*orders: Order, config: ExecutorConfig | None = None) -> Pair:
    pair = linked(config)
    pair.market(quote())
    pair.approve(*orders)
    return pair


def prepare(start_id: str = "s1") -> PrepareAsked:
    return PrepareAsked(at_ns=1, start_id=start_id, request=StartRequest(operator="kim"))


def halt() -> HaltRequested:
    return HaltRequested(at_ns=1, reason="enough", operator="kim")


def prepared(
    errors: tuple[FieldError, ...] = (), *, halts: int = 0, at_ns: int = 1, epoch: int = EPOCH
) -> Prepared:
    return Prepared(
        at_ns=at_ns,
        start_id="s1",
        component="executor",
        boot_id=BOOT,
        limits_hash="hash",
        halts=halts,
        epoch_max=epoch,
        is_reconciled=not errors,
        errors=errors,
    )


@pytest.mark.req("S-16")
def test_a_start_is_prepared_by_comparing_the_whole_book_with_the_venue() -> None:
    pair = trading(order(), bid())
    book, answer = pair.tell(prepare())
    assert answer == prepared()
    assert isinstance(book, BookReported)
    assert (book.request_id, book.is_reconciled) == ("s1", True)
    assert [view.order.order_id for view in book.open_orders] == ["bid"]


def test_a_start_without_a_venue_is_answered_at_once_with_what_is_missing() -> None:
    core = executor(is_linked=False)
    book, answer = say(core, prepare())
    error = FieldError(
        path="executor.venue",
        found="the link to it is down",
        wanted="its book: check `sluice status` and the venue's log",
    )
    assert answer == prepared((error,))
    assert isinstance(book, BookReported)
    assert (book.request_id, book.is_reconciled) == ("s1", False)


def test_a_venue_that_does_not_answer_in_time_does_not_let_a_start_through() -> None:
    core = executor()
    assert say(core, prepare()) == [BookQueried(at_ns=1, request_id="s1", since_ns=0)]
    assert core.wake_at_ns == 1 + 1_500_000_000
    _, answer = core.wake(core.wake_at_ns)
    assert isinstance(answer, Prepared)
    assert [each.found for each in answer.errors] == ["no answer in time"]
    late = VenueBook(at_ns=1, request_id="s1", cash=CASH, fees=dec(0), positions={})
    assert say(core, late, 2 * S_NS) == []


@pytest.mark.req("S-16")
def test_a_difference_alerts_with_both_sides_and_halts() -> None:
    pair = trading(order())
    pair.venue.ledger.portfolio.cash += 7
    book, answer = (said := pair.tell(prepare()))[-2:]
    both = "ours 98999.399950, venue's 99006.399950"
    assert said[:2] == [
        AlertRaised(
            at_ns=1,
            severity=Severity.CRITICAL,
            component="executor",
            code="SLU-131",
            message="our book and the venue's differ in cash",
            fields={"cash": both},
        ),
        HaltRequested(
            at_ns=1,
            reason=f"the venue's book differs from ours: cash: {both}",
            operator="executor",
        ),
    ]
    error = FieldError(path="executor.cash", found=both, wanted="both equal")
    assert answer == prepared((error,))
    assert isinstance(book, BookReported)
    assert (book.is_reconciled, book.detail) == (False, f"cash: {both}")


def test_the_same_difference_is_not_told_again_and_again() -> None:
    pair = trading(config=ExecutorConfig(report_every_ms=0, reconcile_every_s=60))
    pair.venue.ledger.portfolio.cash += 7
    pair.guard.halt()
    assert len(only(pair.wait(61 * S_NS), AlertRaised)) == 1
    assert only(pair.wait(200 * S_NS), AlertRaised) == []


@pytest.mark.parametrize(
    ("name", "both"),
    [
        ("position sim:ALPHA", "ours 10, venue's 0"),
        ("order foreign", "ours none, venue's buy 5 sim:BETA"),
        ("order bid", "ours 10, venue's 3"),
    ],
)
def test_every_kind_of_difference_is_named(name: str, both: str) -> None:
    pair = trading(order(), bid())
    if name.startswith("position"):
        pair.venue.ledger.portfolio.positions.clear()
    elif name == "order bid":
        pair.venue.ledger.orders[OrderId("bid")].leaves = dec(3)
    else:
        foreign = order("foreign", quantity="5", order_type=LIMIT, limit="9.00", instrument=BETA)
        say(pair.venue, placed(foreign))
    [alert] = only(pair.tell(prepare()), AlertRaised)
    assert isinstance(alert, AlertRaised)
    assert alert.fields == {name: both}


def test_an_order_that_we_hold_closed_and_the_venue_open_is_a_difference() -> None:
    pair = trading(bid())
    pair.tell(VenueCanceled(at_ns=1, order_id=OrderId("bid"), leaves=dec(10)))
    [alert] = only(pair.tell(prepare()), AlertRaised)
    assert isinstance(alert, AlertRaised)
    assert alert.fields == {"order bid": "ours canceled, venue's open with 10 left"}


@pytest.mark.req("X-10", "S-16")
def test_what_happened_while_the_link_was_down_is_learned_when_it_is_back() -> None:
    pair = trading(bid("filled"), bid("canceled"), bid("partial", quantity="8"))
    pair.link(is_up=False)
    say(pair.venue, quote(bid="80.00", ask="90.00", ask_size="14"))
    pair.venue.handle(_cancel("canceled"), 1)
    said = pair.link(is_up=True)
    fills = [each for each in said if isinstance(each, OrderFilled)]
    assert [(each.execution_id, each.quantity) for each in fills] == [
        (ExecutionId("filled-1"), dec(10)),
        (ExecutionId("canceled-1"), dec(4)),
    ]
    assert [type(each) for each in said[2:]] == [OrderMarkedUnknown, AlertRaised, OrderCanceled]
    assert pair.agrees()
    assert pair.executor.describe(1).is_reconciled


def _cancel(order_id: str) -> CancelPlaced:
    return CancelPlaced(at_ns=1, order_id=OrderId(order_id))


@pytest.mark.req("X-10")
def test_an_order_sent_and_never_answered_is_found_resting_when_the_link_is_back() -> None:
    pair = trading()
    pair.hears_reports = False
    pair.approve(bid())
    pair.link(is_up=False)
    assert pair.executor.orders.records[OrderId("bid")].status is OrderStatus.UNKNOWN
    said = pair.link(is_up=True)
    assert [type(each) for each in said] == [OrderAccepted]
    assert pair.sent == ["bid"]


@pytest.mark.req("X-10")
def test_a_restart_knows_every_order_position_and_id_again() -> None:
    pair = trading(order(), bid(), offer())
    pair.market(quote(bid="80.00", ask="90.00", ask_size="4"))
    before = pair.executor.describe(1)
    pair.restart_executor()
    after = pair.executor.describe(1)
    assert before.is_reconciled
    assert not after.is_reconciled
    assert (after.cash, after.fees, after.positions) == (before.cash, before.fees, before.positions)
    assert (after.open_orders, after.recent_orders) == (before.open_orders, before.recent_orders)
    assert pair.link(is_up=True) == []
    assert pair.executor.describe(1).is_reconciled
    start(pair.guard, EPOCH + 1)
    assert pair.approve(order(), bid()) == []


class CrashError(Exception):
    """The process is gone."""


class DiesAfterTheWrite(Pair):
    """The executor is killed when the order is on the wire and the outcome not yet on the disk."""

    def _write(self, event: OrderPlaced) -> None:
        super()._write(event)
        self._settle_venue_only()
        raise CrashError

    def _settle_venue_only(self) -> None:
        self.hears_reports = False
        while self._queue:
            whom, event = self._queue.popleft()
            if whom == "venue":
                self._hear_venue(say(self.venue, event), event)


def crashed(pair: Pair) -> Pair:
    """Return the pair restarted after its executor was killed right after a write."""
    pair.link(is_up=True)
    pair.market(quote())
    with pytest.raises(CrashError):
        pair.approve(order())
    pair.restart_executor()
    return pair


@pytest.mark.req("X-10")
def test_an_order_written_right_before_a_crash_is_neither_lost_nor_sent_again() -> None:
    pair = crashed(DiesAfterTheWrite())
    assert pair.executor.orders.records[OrderId("o1")].status is OrderStatus.UNKNOWN
    said = pair.link(is_up=True)
    assert [type(each) for each in said] == [OrderMarkedUnknown, AlertRaised, OrderFilled]
    start(pair.guard, EPOCH + 1)
    pair.approve(order())
    assert pair.sent == ["o1"]
    assert pair.agrees()


class SendsBeforeItIsKept(DiesAfterTheWrite):
    """An executor whose intent reaches the disk after the write, if at all."""

    def restart_executor(self) -> None:
        self.kept = [each for each in self.kept if type(each) not in ExecutorCore.fsyncs]
        super().restart_executor()


def test_without_the_intent_on_disk_before_the_write_an_order_is_sent_twice() -> None:
    pair = crashed(SendsBeforeItIsKept())
    pair.link(is_up=True)
    start(pair.guard, EPOCH + 1)
    pair.executor.rounds.is_compared = True  # the comparison, which halts, is a second line
    with pytest.raises(CrashError):
        pair.approve(order())
    assert pair.sent == ["o1", "o1"]


def test_an_intent_that_never_left_is_closed_once_its_deadline_has_passed() -> None:
    pair = trading()
    pair.kept += [
        each for each in say(pair.executor, approved(order())) if type(each) in pair.executor.keeps
    ]
    pair.restart_executor()
    pair.link(is_up=True)
    said = pair.wait(20 * S_NS)
    assert [each for each in said if isinstance(each, OrderRefused)] == [
        OrderRefused(
            at_ns=11 * S_NS + 1,
            account=ACCOUNT,
            session=order().session,
            instrument=ALPHA,
            order_id=OrderId("o1"),
            rule="never sent",
            detail="the venue has never seen it, and its deadline has passed",
        )
    ]
    assert pair.sent == []


def test_an_order_lost_with_the_link_is_asked_for_however_long_the_link_was_down() -> None:
    pair = trading()
    pair.approve(order("seen"))
    one = order(expires_at_ns=20 * S_NS)
    pair.kept += [
        each for each in say(pair.executor, approved(one)) if type(each) in pair.executor.keeps
    ]
    pair.tell(OutcomeRecorded(at_ns=1, order_id=one.order_id, is_sent=True))
    pair.link(is_up=False)
    pair.wait(10 * S_NS)
    assert pair.link(is_up=True) == []
    assert [type(each) for each in pair.wait(30 * S_NS)] == [OrderRefused]
    assert pair.executor.describe(1).is_reconciled


def test_a_start_is_not_prepared_while_an_order_is_of_unknown_fate() -> None:
    pair = trading()
    pair.kept += [
        each for each in say(pair.executor, approved(order())) if type(each) in pair.executor.keeps
    ]
    pair.restart_executor()
    pair.link(is_up=True)
    [answer] = only(pair.tell(prepare()), Prepared)
    error = FieldError(
        path="executor.orders of unknown fate",
        found="o1",
        wanted="none: they are queried, and closed once their deadline has passed",
    )
    assert answer == prepared((error,), epoch=0)


@pytest.mark.req("O-05", "B-06")
def test_a_halt_cancels_what_increases_exposure_and_confirms_by_the_venues_word() -> None:
    pair = trading(order(quantity="10"), bid(), offer("out", "10"), offer("turn", "3"))
    pair.guard.halt()
    said = pair.tell(halt())
    assert [each.order_id for each in said if isinstance(each, OrderCanceled)] == ["bid", "turn"]
    assert said[-1] == HaltConfirmed(
        at_ns=1, component="executor", cancelled_count=2, resting_count=1, detail="out"
    )
    assert pair.executor.wake_at_ns is None


def test_a_halt_with_nothing_resting_is_confirmed_at_once() -> None:
    pair = trading()
    assert pair.tell(halt()) == [
        HaltConfirmed(at_ns=1, component="executor", cancelled_count=0, resting_count=0)
    ]


@pytest.mark.req("O-05")
def test_a_halted_executor_repeats_its_cancels_until_the_venue_shows_none() -> None:
    core = executor(made=(made := guard()))
    made.halt()
    first = say(core, halt())
    assert first == [BookQueried(at_ns=1, request_id="halt-1", since_ns=0)]
    foreign = VenueOpenOrder(
        order_id=OrderId("zz"), venue_order_id="V9", instrument=BETA, side=Side.BUY, leaves=dec(1)
    )
    shown = VenueBook(
        at_ns=2, request_id="halt-1", cash=CASH, fees=dec(0), positions={}, open_orders=(foreign,)
    )
    assert only(say(core, shown), HaltConfirmed) == []
    assert core.wake_at_ns == S_NS + 1
    again = list(core.wake(S_NS + 1))
    assert again == [
        CancelPlaced(at_ns=S_NS + 1, order_id=OrderId("zz")),
        BookQueried(at_ns=S_NS + 1, request_id="halt-1", since_ns=0),
    ]
    empty = VenueBook(at_ns=3, request_id="halt-1", cash=CASH, fees=dec(0), positions={})
    assert say(core, empty) == [
        HaltConfirmed(at_ns=3, component="executor", cancelled_count=1, resting_count=0)
    ]


def test_a_halt_while_the_link_is_down_is_cleared_when_it_is_back() -> None:
    pair = trading(bid())
    pair.link(is_up=False)
    pair.guard.halt()
    assert pair.tell(halt()) == []
    said = pair.link(is_up=True)
    assert [type(each) for each in said] == [OrderCanceled, HaltConfirmed]


def test_a_start_is_not_prepared_before_the_halt_is_cleared() -> None:
    core = executor(made=(made := guard()))
    made.halt()
    say(core, halt())
    say(core, prepare())
    book = VenueBook(at_ns=1, request_id="s1", cash=CASH, fees=dec(0), positions={})
    [answer] = only(say(core, book), Prepared)
    assert isinstance(answer, Prepared)
    assert [each.path for each in answer.errors] == ["executor.orders resting since the halt"]


@pytest.mark.parametrize(
    ("held", "reducing", "chosen"),
    [
        ("0", [], ["b", "s1", "s2"]),
        ("10", [], ["b", "s2"]),
        ("14", [], ["b"]),
        ("-5", [], ["s1", "s2"]),
        ("3", [], ["b", "s1", "s2"]),
        ("10", ["s2"], ["b"]),
    ],
)
def test_only_orders_that_together_stay_within_the_position_may_stay(
    held: str, reducing: list[str], chosen: list[str]
) -> None:
    orders = [
        VenueOpenOrder(
            order_id=OrderId(id_),
            venue_order_id="",
            instrument=ALPHA,
            side=side,
            leaves=dec(leaves),
        )
        for id_, side, leaves in (
            ("b", Side.BUY, 5),
            ("s1", Side.SELL, 10),
            ("s2", Side.SELL, 4),
        )
    ]
    found = exposing(orders, {ALPHA: dec(held)}, [OrderId(id_) for id_ in reducing])
    assert found == chosen


@pytest.mark.req("S-16")
def test_the_book_is_compared_every_minute() -> None:
    pair = trading(config=ExecutorConfig(report_every_ms=0, reconcile_every_s=60))
    pair.venue.ledger.portfolio.cash -= 1
    assert only(pair.wait(59 * S_NS), AlertRaised) == []
    assert [type(each) for each in pair.wait(61 * S_NS)] == [AlertRaised, HaltRequested]
