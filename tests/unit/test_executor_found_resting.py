"""What an executor finds resting when it begins HALTED: cleared away as by a halt, unasked."""

from collections.abc import Sequence

import pytest

from schemas.base import BootId, Event, OrderId
from schemas.control import HaltConfirmed, LeaseAnswered, Prepared
from schemas.executions import OrderCanceled
from schemas.reconciliation import ReconcileAction, ReconcileAsked, ReconcileRequest
from schemas.venue import CancelPlaced, VenueBook
from services.core import NOTHING
from services.executor.cancelling import Cancelling
from tests.builders import MS_NS, S_NS, dec, order, quote
from tests.executor_builders import BOOT, EPOCH, approved, placed, say, start
from tests.executor_pair import Pair
from tests.executor_rig import bid, halt, offer, only, prepare, trading


def canceled(said: Sequence[Event]) -> list[str]:
    return [each.order_id for each in said if isinstance(each, OrderCanceled)]


def resting(pair: Pair) -> list[str]:
    return [each.order_id for each in pair.venue_book().open_orders]


def halted_by(pair: Pair) -> Pair:
    """Halt the executor, and let it die before the venue has heard a cancel."""
    pair.link(is_up=False)
    pair.guard.halt()
    assert pair.tell(halt()) == []
    pair.restart_executor()
    return pair


def leased_to(boot: str, *, component: str = "executor") -> LeaseAnswered:
    return LeaseAnswered(
        at_ns=1,
        component=component,
        boot_id=BootId(boot),
        epoch=EPOCH,
        asked_ns=1,
        is_granted=True,
    )


class Unmoved(Cancelling):
    """An executor that leaves what it finds."""

    def compared(self, book: VenueBook, now_ns: int) -> Sequence[Event]:
        return NOTHING


@pytest.mark.req("O-05", "X-10")
@pytest.mark.parametrize("kind", [Cancelling, Unmoved])
@pytest.mark.parametrize("is_halt_heard", [True, False])
def test_a_halt_that_is_not_cleared_yet_outlasts_the_executor_that_heard_it(
    monkeypatch: pytest.MonkeyPatch, kind: type[Cancelling], is_halt_heard: bool
) -> None:
    monkeypatch.setattr(Cancelling, "compared", kind.compared)
    pair = trading(order(), bid(), offer("out"), offer("turn", "3"))
    if is_halt_heard:
        halted_by(pair)
    else:
        pair.restart_executor()  # and whoever halts now is not heard
    said = pair.link(is_up=True)
    if kind is Unmoved:
        assert (canceled(said), resting(pair)) == ([], ["bid", "out", "turn"])
        return
    assert (canceled(said), resting(pair)) == (["bid", "turn"], ["out"])
    assert only(said, HaltConfirmed) == [], "nobody asked"
    assert pair.executor.clearings.under_way == []
    assert pair.agrees()


@pytest.mark.req("O-05")
def test_what_was_executed_meanwhile_decides_what_only_reduces() -> None:
    pair = trading(bid(), offer("out"))
    pair.link(is_up=False)
    say(pair.venue, quote(bid="80.00", ask="90.00", ask_size="10"))
    pair.restart_executor()
    assert canceled(pair.link(is_up=True)) == []
    assert resting(pair) == ["out"], "ten are held since, and it closes them"


class Clinging(Pair):
    """A venue that does not hear the first cancels."""

    deaf_until_ns = 0
    asked: list[int]

    def _hear_executor(self, said: Sequence[Event], told: Event | None) -> None:
        cancels = [each for each in said if isinstance(each, CancelPlaced)]
        if cancels:
            self.asked = [*getattr(self, "asked", []), self.now_ns]
        is_deaf = self.now_ns < self.deaf_until_ns
        heard = [each for each in said if not (is_deaf and isinstance(each, CancelPlaced))]
        super()._hear_executor(heard, told)


def clinging() -> Clinging:
    pair = Clinging()
    pair.link(is_up=True)
    pair.market(quote())
    pair.approve(bid())
    pair.deaf_until_ns = 2 * S_NS
    pair.restart_executor()
    return pair


@pytest.mark.req("O-05")
def test_the_cancels_are_repeated_until_the_venue_shows_none() -> None:
    pair = clinging()
    pair.link(is_up=True)
    pair.wait(10 * S_NS)
    assert [at_ns // S_NS for at_ns in pair.asked] == [0, 1, 2]
    assert resting(pair) == []


@pytest.mark.req("O-05")
def test_no_start_is_prepared_before_it_is_cleared() -> None:
    pair = clinging()
    pair.link(is_up=True)
    [answer] = only(pair.tell(prepare()), Prepared)
    assert isinstance(answer, Prepared)
    assert [each.path for each in answer.errors] == ["executor.orders resting since the halt"]
    pair.wait(10 * S_NS)
    [answer] = only(pair.tell(prepare("s2")), Prepared)
    assert isinstance(answer, Prepared)
    assert answer.errors == ()


@pytest.mark.req("O-05")
def test_a_halt_that_comes_meanwhile_is_confirmed_like_any_other() -> None:
    pair = clinging()
    pair.link(is_up=True)
    pair.guard.halt()
    said = [*pair.tell(halt()), *pair.wait(10 * S_NS)]
    assert only(said, HaltConfirmed) == [
        HaltConfirmed(
            at_ns=pair.asked[-1], component="executor", cancelled_count=1, resting_count=0
        )
    ]


def test_a_link_lost_meanwhile_is_waited_for() -> None:
    pair = clinging()
    pair.link(is_up=True)
    pair.link(is_up=False)
    pair.wait(10 * S_NS)
    assert resting(pair) == ["bid"]
    assert canceled(pair.link(is_up=True)) == ["bid"]


@pytest.mark.req("O-05", "S-16")
def test_an_order_that_was_adopted_is_one_of_ours() -> None:
    pair = trading(order())
    say(pair.venue, placed(offer("theirs", "10")))
    pair.tell(prepare())
    [one] = pair.executor.rounds.differences.values()
    request = ReconcileRequest(
        operator="kim", reason="seen", difference=one.id, action=ReconcileAction.ADOPT
    )
    pair.tell(ReconcileAsked(at_ns=1, request_id="q", request=request))
    pair.approve(order("sold", side=offer().side, quantity="10"))
    pair.restart_executor()
    assert canceled(pair.link(is_up=True)) == ["theirs"], "nothing is held that it would close"


def test_an_order_of_unknown_fate_is_cancelled_too() -> None:
    pair = trading()
    one = bid()
    said = say(pair.executor, approved(one))
    pair.kept += [each for each in said if type(each) in pair.executor.keeps]
    say(pair.venue, placed(one))  # written, and then the process was gone
    pair.restart_executor()
    assert canceled(pair.link(is_up=True)) == ["bid"]
    assert resting(pair) == []


@pytest.mark.req("O-05")
def test_only_the_first_book_of_a_process_is_looked_at_so_and_only_while_it_is_halted() -> None:
    pair = trading(bid())
    pair.link(is_up=False)
    assert canceled(pair.link(is_up=True)) == [], "a link that was lost is no restart"
    pair.restart_executor()
    start(pair.guard, EPOCH + 1)
    assert canceled(pair.link(is_up=True)) == [], "it may trade"
    pair.guard.halt()
    pair.link(is_up=False)
    assert canceled(pair.link(is_up=True)) == []


@pytest.mark.req("O-05")
def test_while_another_executor_has_the_lease_what_rests_is_that_ones_affair() -> None:
    pair = trading(bid())
    pair.restart_executor()
    pair.guard._lease_ns = S_NS
    pair.guard.handle(leased_to("another"), pair.now_ns)
    assert canceled(pair.link(is_up=True)) == []
    pair.guard.handle(leased_to("another"), 900 * MS_NS)
    assert canceled(pair.wait(1_800 * MS_NS)) == []
    said = pair.wait(3 * S_NS)
    assert (canceled(said), only(said, HaltConfirmed)) == (["bid"], []), "its lease has lapsed"


@pytest.mark.req("O-05")
@pytest.mark.parametrize(
    ("answer", "is_anothers"),
    [
        (leased_to("another"), True),
        (leased_to(BOOT), False),
        (leased_to("another", component="gate"), False),
    ],
    ids=["another's", "our own", "of another component"],
)
def test_a_lease_is_anothers_only_where_another_process_of_this_component_has_it(
    answer: LeaseAnswered, is_anothers: bool
) -> None:
    pair = trading()
    pair.guard._lease_ns = S_NS
    pair.guard.handle(answer, 5)
    assert pair.guard.is_anothers(5 + S_NS - 1) is is_anothers
    assert not pair.guard.is_anothers(5 + S_NS)


def test_nothing_is_asked_where_nothing_rests() -> None:
    pair = trading(order(), offer("out"))
    pair.restart_executor()
    assert pair.link(is_up=True) == []
    assert pair.executor.orders.held() == {order().instrument: dec(10)}
    assert pair.wait(pair.now_ns + 500 * MS_NS) == []
    assert OrderId("out") in pair.executor.orders.open
