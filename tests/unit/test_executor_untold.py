"""What the executor said while the bus was away, or just before it went, is told again."""

from collections.abc import Sequence

import pytest

from schemas import wire
from schemas.base import Event
from schemas.executions import BookReported, OrderFilled, OrderMarkedUnknown, OutcomeRecorded
from schemas.health import AlertRaised, LinkChanged
from schemas.repeats import FactRepeated, FactsTold, fact_in
from schemas.subjects import SUBJECTS, subject_of
from services.core import tell
from services.executor import untold
from services.executor.core import ExecutorCore
from tests.builders import ACCOUNT, S_NS, order
from tests.executor_builders import approved, executor, filled

pytestmark = pytest.mark.req("R-01", "O-07")

MINUTE_NS = 60 * S_NS
KEEPS = ExecutorCore.keeps


class Life:
    """An executor, its journal, and what it said to the bus.

    Attributes:
        kept: its journal.
        bus: all that it said, whether anybody heard it or not.
    """

    def __init__(self, kept: Sequence[Event] = (), *, retells: bool = True) -> None:
        self.kept = [*kept]
        self.bus: list[Event] = []
        self.core = executor(retells=retells)
        for event in kept:
            self.core.restore(event)

    def tell(self, event: Event | None, now_ns: int) -> list[Event]:
        said = [*tell(self.core, event, now_ns)]
        told = [] if event is None else [event]
        self.kept += [each for each in (*told, *said) if type(each) in KEEPS]
        self.bus += said
        return said

    def fill(self, name: str, now_ns: int) -> OrderFilled:
        """Return the execution of a new order."""
        self.tell(approved(order(name, expires_at_ns=now_ns + S_NS)), now_ns)
        sent = OutcomeRecorded(at_ns=now_ns, order_id=order(name).order_id, is_sent=True)
        self.tell(sent, now_ns)
        said = self.tell(filled(name), now_ns)
        [execution] = [each for each in said if isinstance(each, OrderFilled)]
        return execution

    def bus_is(self, *, up: bool, now_ns: int) -> list[Event]:
        return self.tell(LinkChanged(at_ns=now_ns, is_up=up), now_ns)


def executions_in(said: Sequence[Event]) -> list[OrderFilled]:
    facts = [each.fact for each in said if isinstance(each, FactRepeated)]
    return [each for each in facts if isinstance(each, OrderFilled)]


def test_what_was_said_since_a_minute_before_the_loss_is_told_again_and_once_more() -> None:
    life = Life()
    life.fill("long-ago", 1 * S_NS)
    shortly_before = life.fill("shortly-before", 50 * S_NS)
    assert executions_in(life.bus_is(up=False, now_ns=70 * S_NS)) == []
    meanwhile = life.fill("meanwhile", 300 * S_NS)
    said = life.bus_is(up=True, now_ns=400 * S_NS)
    assert isinstance(said[0], BookReported)
    assert executions_in(said) == [shortly_before, meanwhile]
    assert life.tell(None, 459 * S_NS) == []
    assert executions_in(life.tell(None, 460 * S_NS)) == [shortly_before, meanwhile]
    assert life.tell(None, 520 * S_NS) == [FactsTold(at_ns=520 * S_NS, until_ns=460 * S_NS)]
    later = life.bus_is(up=False, now_ns=600 * S_NS) + life.bus_is(up=True, now_ns=601 * S_NS)
    assert executions_in(later) == []


def test_what_was_told_again_shortly_before_the_next_loss_is_told_once_more() -> None:
    life = Life()
    life.bus_is(up=False, now_ns=70 * S_NS)
    meanwhile = life.fill("meanwhile", 300 * S_NS)
    life.bus_is(up=True, now_ns=400 * S_NS)
    life.bus_is(up=False, now_ns=401 * S_NS)
    assert executions_in(life.bus_is(up=True, now_ns=402 * S_NS)) == [meanwhile]


def test_what_was_said_at_a_deadline_is_told_again_too() -> None:
    life = Life()
    life.bus_is(up=False, now_ns=S_NS)
    life.tell(approved(order("late", expires_at_ns=9 * S_NS)), 2 * S_NS)
    sent = OutcomeRecorded(at_ns=2 * S_NS, order_id=order("late").order_id, is_sent=True)
    life.tell(sent, 2 * S_NS)
    marked = [each for each in life.tell(None, 3 * S_NS) if isinstance(each, OrderMarkedUnknown)]
    assert len(marked) == 1
    said = life.bus_is(up=True, now_ns=4 * S_NS)
    facts = [each.fact for each in said if isinstance(each, FactRepeated)]
    assert [each for each in facts if isinstance(each, OrderMarkedUnknown)] == marked


def test_once_the_bus_has_stayed_a_restart_tells_nothing_again() -> None:
    life = Life()
    life.fill("told", 1 * S_NS)
    assert life.tell(None, 62 * S_NS) == [FactsTold(at_ns=62 * S_NS, until_ns=2 * S_NS)]
    again = Life(life.kept)
    assert again.tell(None, 63 * S_NS) == []
    assert again.core.describe(1).fill_count == 1


def test_a_restart_tells_again_what_it_kept_and_may_not_have_said() -> None:
    life = Life()
    life.fill("told", 1 * S_NS)
    life.tell(None, 62 * S_NS)
    kept = life.fill("kept", 63 * S_NS)
    again = Life(life.kept)
    said = again.tell(None, 64 * S_NS)
    assert executions_in(said) == [kept]
    assert {type(each) for each in said} == {FactRepeated}
    third = Life(again.kept)
    assert executions_in(third.tell(None, 65 * S_NS)) == [kept]  # who knows what the second said


def test_a_long_outage_and_a_restart_in_it_lose_nothing() -> None:
    life = Life()
    life.bus_is(up=False, now_ns=1 * S_NS)
    first = life.fill("first", 2 * S_NS)
    last = life.fill("last", 900 * S_NS)
    again = Life(life.kept)
    again.bus_is(up=False, now_ns=901 * S_NS)
    said = again.tell(None, 950 * S_NS) + again.bus_is(up=True, now_ns=960 * S_NS)
    assert [each.execution_id for each in executions_in(said)][-2:] == [
        first.execution_id,
        last.execution_id,
    ]


def test_more_than_can_be_remembered_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untold, "KEPT_MAX", 2)
    life = Life()
    life.bus_is(up=False, now_ns=70 * S_NS)
    fills = [life.fill(f"o{number}", (100 + number) * S_NS) for number in range(3)]
    said = life.bus_is(up=True, now_ns=400 * S_NS)
    assert executions_in(said) == fills[2:]  # each order has an OrderSubmitted beside it
    [alert] = [each for each in said if isinstance(each, AlertRaised)]
    assert alert.code == "SLU-123"
    assert "the first are not told" in alert.message


def test_without_it_the_record_never_hears_of_an_execution() -> None:
    life = Life(retells=False)
    life.bus_is(up=False, now_ns=70 * S_NS)
    life.fill("meanwhile", 300 * S_NS)
    assert executions_in(life.bus_is(up=True, now_ns=400 * S_NS)) == []
    assert executions_in(Life(life.kept, retells=False).tell(None, 401 * S_NS)) == []


def test_it_travels_on_a_subject_that_nobody_trades_by_and_comes_back_whole() -> None:
    life = Life()
    life.bus_is(up=False, now_ns=70 * S_NS)
    fact = life.fill("meanwhile", 300 * S_NS)
    again = FactRepeated(at_ns=2, account=ACCOUNT, fact=fact)
    assert subject_of(again) == f"book.{ACCOUNT}.repeated"
    assert SUBJECTS[FactRepeated] == "book.*.repeated"
    [read] = wire.decode(wire.encode(again), subject=subject_of(again))
    assert fact_in(read) == fact
    assert fact_in(fact) is fact
