"""What changes hands in the record: the account holds as much as before, each session its part."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest

from schemas.base import Event, SessionId
from schemas.executions import PositionView
from schemas.ids import flatten_session
from schemas.orders import Side
from schemas.sessions import PositionsAdopted
from services.reports.figures import FiguresFold
from tests.builders import ACCOUNT, ALPHA, S_NS, SESSION, dec
from tests.report_rig import NOON_NS, Life, Recorded, created, marked, terms
from tests.unit.test_reports_corrections import asked, bought_by, day_of, figures_of

FLATTEN = flatten_session(1, None)
BOUGHT = Life("buy", quantity="10")


@pytest.fixture
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return Recorded(tmp_path_factory.mktemp("data"))


def closing(price: str = "110") -> tuple[Event, ...]:
    """A flatten's execution, and whose the strategy service says it was."""
    fill = msgspec.structs.replace(
        bought_by(FLATTEN, "10", price), at_ns=NOON_NS + 60 * S_NS, side=Side.SELL
    )
    taken = PositionsAdopted(
        at_ns=NOON_NS + 61 * S_NS,
        session=SESSION,
        positions=(PositionView(instrument=ALPHA, quantity=dec(-10), average_price=dec(price)),),
        taken_from=FLATTEN,
        execution_id=fill.execution_id,
    )
    return fill, taken


FLATTENED: tuple[Event, ...] = (
    terms(),
    created(),
    *BOUGHT.opened(),
    BOUGHT.filled("100", "10"),
    *closing(),
    marked(NOON_NS + 70 * S_NS, "100100", "200", cash="100100"),
)
"""Bought ten at 100; a flatten sold them at 110; the price went on to 200."""


def held(fold: FiguresFold) -> dict[str, Decimal]:
    return {name: folio.quantity(ALPHA) for name, folio in fold.holdings.items()}


@pytest.mark.req("R-03", "G-11")
@pytest.mark.parametrize("is_taken_first", [False, True])
def test_what_a_flatten_closed_is_its_sessions_profit_and_the_accounts_once(
    is_taken_first: bool,
) -> None:
    events = [*FLATTENED]
    if is_taken_first:  # of two streams, each may be recorded first
        events[-3], events[-2] = events[-2], events[-3]
    fold = figures_of(*events)
    figures = fold.figures()
    fees = figures["book"][ACCOUNT].fees
    assert fees == 0
    assert figures["book"][ACCOUNT].final_value == dec(100_100)
    assert figures["session"][SESSION].final_value == dec(50_100)
    assert figures["strategy"]["ema_cross"].final_value == dec(50_100)
    assert held(fold) == {"": dec(0), SESSION: dec(0), FLATTEN: dec(0)}


@pytest.mark.req("R-04", "G-11")
def test_tables_have_no_holding_of_a_flatten(recorded: Recorded) -> None:
    recorded.add(*FLATTENED)
    rows = asked(recorded, "pnl_by_session")
    assert [(row[0], row[4], row[6]) for row in rows] == [
        (SESSION, "100", "100"),
        (FLATTEN, "0", "0"),
    ]


@pytest.mark.req("R-03")
def test_what_an_ended_session_left_and_another_took_over_counts_once_for_the_account() -> None:
    second = SessionId("s2")
    taken = PositionsAdopted(
        at_ns=NOON_NS + 60 * S_NS,
        session=second,
        positions=(PositionView(instrument=ALPHA, quantity=dec(10), average_price=dec(100)),),
    )
    fold = figures_of(
        terms(),
        created(),
        *BOUGHT.opened(),
        BOUGHT.filled("100", "10"),
        created(NOON_NS + 59 * S_NS, second),
        taken,
        marked(NOON_NS + 70 * S_NS, "100100", "110", cash="99000"),
    )
    book = fold.figures()["book"][ACCOUNT]
    assert book.final_value == dec(100_100)


@pytest.mark.req("R-03", "R-04", "R-05")
def test_what_only_the_strategy_service_had_missed_counts_once(recorded: Recorded) -> None:
    missed = PositionsAdopted(
        at_ns=NOON_NS + 60 * S_NS,
        session=SESSION,
        positions=(PositionView(instrument=ALPHA, quantity=dec(10), average_price=dec(100)),),
        is_told=True,
    )
    alone = (*FLATTENED[: -len(closing()) - 1], marked(NOON_NS + 70 * S_NS, "100100", "110"))
    told = (*alone[:-1], missed, alone[-1])
    assert figures_of(*told).figures() == figures_of(*alone).figures()
    assert held(figures_of(*told)) == {"": dec(10), SESSION: dec(10)}
    assert day_of(*told)._held == day_of(*alone)._held == {ALPHA: {SESSION: dec(10)}}
    recorded.add(*told)
    assert [(row[0], row[6]) for row in asked(recorded, "pnl_by_session")] == [(SESSION, "100")]


@pytest.mark.req("R-05", "G-11")
def test_a_day_splits_a_settlement_by_what_is_held_after_a_flatten() -> None:
    assert day_of(*FLATTENED)._held == {ALPHA: {SESSION: dec(0), FLATTEN: dec(0)}}


def again(events: Sequence[Event]) -> list[Event]:
    """Return them with each takeover told once more, at once and at the end."""
    told = [each for event in events for each in (event, event)]
    taken = [each for each in events if isinstance(each, PositionsAdopted)]
    once = [each for n, each in enumerate(told) if n % 2 == 0 or isinstance(each, PositionsAdopted)]
    return [*once[:-1], *taken, once[-1]]


@pytest.mark.req("R-03", "R-04", "R-05", "G-11")
def test_a_takeover_that_is_recorded_again_counts_once(recorded: Recorded) -> None:
    """Twice, its session would hold what nobody does: its profit and its settlements with it."""
    repeated = again(FLATTENED)
    assert len(repeated) == len(FLATTENED) + 2
    once, fold = figures_of(*FLATTENED), figures_of(*repeated)
    assert fold.figures() == once.figures()
    assert held(fold) == held(once) == {"": dec(0), SESSION: dec(0), FLATTEN: dec(0)}
    assert day_of(*repeated)._held == day_of(*FLATTENED)._held
    recorded.add(*repeated)
    rows = asked(recorded, "pnl_by_session")
    assert [(row[0], row[4], row[6]) for row in rows] == [
        (SESSION, "100", "100"),
        (FLATTEN, "0", "0"),
    ]


@pytest.mark.req("R-03", "G-11")
def test_two_takeovers_at_once_that_differ_only_in_their_price_both_count() -> None:
    taken = [
        PositionsAdopted(
            at_ns=NOON_NS + 60 * S_NS,
            session=SESSION,
            positions=(PositionView(instrument=ALPHA, quantity=dec(5), average_price=dec(price)),),
        )
        for price in ("100", "101")
    ]
    last = marked(NOON_NS + 70 * S_NS, "100000", "110", cash="100000")
    assert held(figures_of(terms(), created(), *taken, last)) == {SESSION: dec(10)}
