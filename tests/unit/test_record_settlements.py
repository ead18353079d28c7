"""A settlement or a correction counts once in the tables, in whatever order it is told again."""

from collections.abc import Callable, Sequence

import pytest

from schemas.base import Event
from schemas.reconciliation import BookAdjusted, Difference, DifferenceKind
from schemas.repeats import FactRepeated
from schemas.reports import QueryRequest
from schemas.settlement import PositionSettled, SettlementKind
from services.recorder.queries.config import ReportsConfig
from services.recorder.queries.keeper import Keeper
from tests.builders import ACCOUNT, ALPHA, S_NS, dec
from tests.report_rig import NOON_NS, Life, Recorded, created, marked, terms

pytestmark = pytest.mark.req("R-03", "R-04")
LATER_NS = NOON_NS + 300 * S_NS


def funding(number: int, payment: str) -> PositionSettled:
    return PositionSettled(
        at_ns=NOON_NS + number * S_NS,
        account=ACCOUNT,
        instrument=ALPHA,
        settlement_id=f"funding-{number}",
        kind=SettlementKind.FUNDING,
        payment=dec(payment),
    )


def fee(number: int, fees: str) -> BookAdjusted:
    found = Difference(id=f"d{number}", kind=DifferenceKind.FEES, what="fees", ours="0", theirs="1")
    return BookAdjusted(
        at_ns=NOON_NS + number * S_NS,
        account=ACCOUNT,
        difference=found,
        operator="kim",
        reason="restored",
        fees=dec(fees),
    )


FACTS = (funding(20, "0.5"), funding(21, "0.25"), fee(22, "3"), fee(23, "4"))
LIFE = Life()
HELD: tuple[Event, ...] = (terms(), created(), *LIFE.opened(), LIFE.filled("100", "10"))
CLOSE = marked(LATER_NS + S_NS, "100000", "100")
ONCE: tuple[Event, ...] = (*HELD, *FACTS, CLOSE)


def told_again(facts: Sequence[PositionSettled | BookAdjusted]) -> list[Event]:
    return [FactRepeated(at_ns=LATER_NS, account=ACCOUNT, fact=each) for each in facts]


def profits(recorded: Recorded) -> list[tuple[object, ...]]:
    """Return fees and profit of each session, in a process of its own."""
    keeper = Keeper(recorded.data_dir, ReportsConfig(), ACCOUNT)
    try:
        keeper.is_wanted = True
        assert keeper.feed(0).detail == ""
        answer = keeper.ask(QueryRequest(named="pnl_by_session"))
        at = [answer.columns.index(name) for name in ("session", "fees", "profit")]
        return [tuple(row[each] for each in at) for row in answer.rows]
    finally:
        keeper.close()


@pytest.fixture
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Recorded]:
    return lambda: Recorded(tmp_path_factory.mktemp("recorded"))


@pytest.mark.parametrize("is_reopened", [False, True])
def test_what_an_outage_has_told_again_counts_once(
    make: Callable[[], Recorded], is_reopened: bool
) -> None:
    recorded = make()
    recorded.add(*ONCE)
    once = profits(recorded) if is_reopened else [("s1", "0", "7.5"), ("adopted", "7", "-7")]
    recorded.add(*told_again(FACTS), *told_again(FACTS))
    assert profits(recorded) == once


def test_what_was_lost_counts_when_it_is_told_again(make: Callable[[], Recorded]) -> None:
    whole, late = make(), make()
    whole.add(*ONCE)
    late.add(*HELD, FACTS[1], FACTS[3], *told_again(FACTS), CLOSE)
    assert profits(late) == profits(whole)
