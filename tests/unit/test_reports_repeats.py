"""What the executor tells again counts once, however often and however late it is told."""

from collections.abc import Callable, Sequence
from decimal import Decimal

import pytest
from msgspec.structs import replace

from schemas.base import Event
from schemas.executions import OrderFilled
from schemas.repeats import FactRepeated
from schemas.reports import QueryRequest, ReportKind
from services.distinct import Distinct
from services.recorder.queries.config import ReportsConfig
from services.recorder.queries.keeper import Keeper
from services.reports.day import DayFold
from services.reports.days import day_named
from services.reports.figures import FiguresFold
from services.reports.render import render
from tests.builders import ACCOUNT, S_NS
from tests.report_rig import DAY, DAY_NS, NEXT_DAY, NOON_NS, Recorded, a_day, created, marked, terms

ONCE: tuple[Event, ...] = (terms(), created(), *a_day())
TOLD = [event for event in ONCE if type(event).__name__.startswith("Order")][1:]
"""What the executor said, without the gate's first approval."""

FACTS = [event for event in TOLD if type(event).__name__ != "OrderApproved"]
FILLS = [event for event in ONCE if isinstance(event, OrderFilled)]
TOMORROW_NS = NOON_NS + DAY_NS


def wrapped(at_ns: int) -> list[Event]:
    return [
        FactRepeated(at_ns=at_ns, account=ACCOUNT, fact=each)  # type: ignore[arg-type]
        for each in FACTS
    ]


REPEATS: dict[str, Sequence[Event]] = {
    "the same again": FILLS,
    "with the time of the repeat": [replace(each, at_ns=NOON_NS + 300 * S_NS) for each in FILLS],
    "a day later": [replace(each, at_ns=TOMORROW_NS) for each in FILLS],
    "as the executor does": wrapped(NOON_NS + 300 * S_NS),
    "as it does, a day later": wrapped(TOMORROW_NS),
}
CLOSE = marked(TOMORROW_NS + S_NS, "100094.1", "111", cash="99428.1")

by_repeat = pytest.mark.parametrize("repeats", REPEATS.values(), ids=list(REPEATS))


def figures(events: Sequence[Event]) -> FiguresFold:
    fold = FiguresFold(ACCOUNT)
    for event in events:
        fold.apply(event)
    return fold


@by_repeat
@pytest.mark.req("R-03", "O-07")
def test_figures_count_what_is_told_again_once(repeats: Sequence[Event]) -> None:
    once, again = figures([*ONCE, CLOSE]), figures([*ONCE, *repeats, *repeats, CLOSE])
    assert again.days == once.days
    assert [(day.fill_count, day.fees) for day in again.days.values()] == [
        (3, Decimal("1.9")),
        (0, Decimal(0)),
    ]
    assert again.figures() == once.figures()
    positions = {name: each.views({}) for name, each in again.holdings.items()}
    assert positions == {name: each.views({}) for name, each in once.holdings.items()}


def test_without_that_memory_a_repeat_would_be_two_fees_of_the_day() -> None:
    fold = figures(ONCE)
    fold._told = Distinct()  # the safeguard, removed
    for event in FILLS:
        fold.apply(event)
    assert fold.days[DAY].fees == Decimal("3.8")


def report(kind: ReportKind, name: str, events: Sequence[Event]) -> bytes:
    day = day_named(name, "24x7")
    fold = DayFold(ACCOUNT, day.from_ns, day.until_ns)
    for n, event in enumerate(events, start=1):
        fold.apply(n, event)
    fold.close()
    fold.last_n = 1
    return render(kind, fold, name)


@by_repeat
@pytest.mark.req("R-05")
@pytest.mark.parametrize("kind", ReportKind)
@pytest.mark.parametrize("day", [DAY, NEXT_DAY])
def test_reports_count_what_is_told_again_once(
    repeats: Sequence[Event], kind: ReportKind, day: str
) -> None:
    again = report(kind, day, [*ONCE, *repeats, *repeats, CLOSE])
    assert again == report(kind, day, [*ONCE, CLOSE])


def tables(recorded: Recorded) -> list[object]:
    """Return what the tables say of orders, executions and holdings, in a process of their own."""
    keeper = Keeper(recorded.data_dir, ReportsConfig(), ACCOUNT)
    try:
        keeper.is_wanted = True
        assert keeper.feed(0).detail == ""
        names = ("pnl_by_session", "pnl_by_day", "orders_by_status", "send_latency", "fill_latency")
        return [keeper.ask(QueryRequest(named=name)).rows for name in names]
    finally:
        keeper.close()


@by_repeat
@pytest.mark.req("R-04")
@pytest.mark.parametrize("is_reopened", [False, True])
def test_tables_count_what_is_told_again_once(
    make: Callable[[], Recorded], repeats: Sequence[Event], is_reopened: bool
) -> None:
    once, again = make(), make()
    once.add(*ONCE, CLOSE)
    again.add(*ONCE, CLOSE)
    if is_reopened:
        tables(again)
    again.add(*repeats, *repeats)
    assert tables(again) == tables(once)


@pytest.mark.req("R-03", "R-04", "R-05")
def test_what_was_lost_is_there_once_it_is_told_again(make: Callable[[], Recorded]) -> None:
    lost = [event for event in ONCE if not isinstance(event, OrderFilled)]
    late = wrapped(NOON_NS + 300 * S_NS)
    assert figures([*lost, *late]).days == figures(ONCE).days
    wanted = report(ReportKind.STATEMENT, DAY, ONCE).splitlines()
    assert report(ReportKind.STATEMENT, DAY, [*lost, *late]).splitlines() == wanted
    once, again = make(), make()
    once.add(*ONCE)
    again.add(*lost, *late)
    assert tables(again) == tables(once)


@pytest.fixture
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Recorded]:
    return lambda: Recorded(tmp_path_factory.mktemp("recorded"))
