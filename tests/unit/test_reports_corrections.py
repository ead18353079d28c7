"""Corrections of the book, what sessions took over, and settlements: none of it made-up profit."""

from decimal import Decimal

import pytest

from schemas.base import Event, ExecutionId, InstrumentId, OrderId
from schemas.executions import Liquidity, OrderFilled, OrderStatus, PositionView
from schemas.orders import Side
from schemas.reconciliation import BookAdjusted, Difference, DifferenceKind
from schemas.reports import QueryRequest, ReportKind
from schemas.sessions import PositionsAdopted
from schemas.settlement import PositionSettled, SettlementKind
from services.performance.fold import ADOPTED
from services.recorder.queries.config import ReportsConfig
from services.recorder.queries.keeper import Keeper
from services.reports.day import DayFold
from services.reports.days import day_named
from services.reports.figures import FiguresFold
from services.reports.render import render
from services.reports.statement import HoldingLine, PartLine, Statement, statement_of
from tests.builders import ACCOUNT, ALPHA, S_NS, SESSION, dec
from tests.report_rig import (
    BEGIN_NS,
    DAY,
    DAY_NS,
    NOON_NS,
    Life,
    Recorded,
    created,
    marked,
    terms,
)

YESTERDAY_NS = NOON_NS - DAY_NS


def adjusted(at_ns: int, kind: DifferenceKind, **changes: Decimal | InstrumentId) -> BookAdjusted:
    found = Difference(id=f"d-{kind}", kind=kind, what="what", ours="0", theirs="1")
    return BookAdjusted(
        at_ns=at_ns,
        account=ACCOUNT,
        difference=found,
        operator="kim",
        reason="restored",
        **changes,  # type: ignore[arg-type]  # each is what its field takes
    )


LOST_PURCHASE: tuple[Event, ...] = (
    terms(),
    created(),
    marked(BEGIN_NS + S_NS, "100000", cash="100000"),
    adjusted(NOON_NS, DifferenceKind.POSITION, instrument=ALPHA, quantity=dec(10)),
    adjusted(NOON_NS + 1, DifferenceKind.FEES, fees=dec(5)),
    adjusted(NOON_NS + 2, DifferenceKind.CASH, cash=dec(-1005)),
    marked(NOON_NS + S_NS, "99995", "100", cash="98995"),
    marked(NOON_NS + 2 * S_NS, "100095", "110", cash="98995"),
)
"""A purchase of ten at 100, a fee of 5 with it, that a person adopted from the venue's book."""


def day_of(*events: Event) -> DayFold:
    named = day_named(DAY, "24x7")
    fold = DayFold(ACCOUNT, named.from_ns, named.until_ns)
    for n, event in enumerate(events, start=1):
        fold.apply(n, event)
    fold.close()
    return fold


def page_of(*events: Event) -> Statement:
    return statement_of(day_of(*events), DAY)


def figures_of(*events: Event) -> FiguresFold:
    fold = FiguresFold(ACCOUNT)
    for event in events:
        fold.apply(event)
    return fold


@pytest.mark.req("R-05", "S-16")
def test_a_position_that_was_adopted_is_no_profit_and_its_fee_is_a_cost() -> None:
    page = page_of(*LOST_PURCHASE)
    assert (page.opening.equity, page.closing.equity) == (dec(100_000), dec(100_095))
    assert (page.profit, page.realized, page.unrealized) == (dec(95), dec(0), dec(100))
    assert (page.fees, page.settled, page.adjusted) == (dec(5), dec(0), dec(0))
    assert page.holdings == (
        HoldingLine(
            instrument=ALPHA,
            quantity=dec(10),
            average_price=dec(100),
            price=dec(110),
            value=dec(1_100),
            unrealized=dec(100),
        ),
    )


@pytest.mark.req("R-03", "S-16")
def test_figures_of_a_corrected_book_are_the_live_equity_to_the_last_digit() -> None:
    for until in (7, 8):  # when it was valued first, and when its price had moved
        fold = figures_of(*LOST_PURCHASE[:until])
        book = fold.figures()["book"][ACCOUNT]
        assert fold.last is not None
        assert book.final_value == fold.last.equity
        assert book.fees == dec(5)
        assert fold.days[DAY].profit == fold.last.equity - 100_000
    assert book.initial_capital == dec(100_000)  # 1,000 worth of ALPHA came, as much cash went
    assert book.total_return == pytest.approx(0.00095)


@pytest.mark.req("R-03", "S-16")
def test_cash_that_was_paid_in_is_profit_of_no_day_and_no_return() -> None:
    paid = adjusted(NOON_NS, DifferenceKind.CASH, cash=dec(50_000))
    events = [*LOST_PURCHASE[:3], paid, marked(NOON_NS + S_NS, "150000", cash="150000")]
    fold, page = figures_of(*events), page_of(*events)
    book = fold.figures()["book"][ACCOUNT]
    assert (book.final_value, book.initial_capital) == (dec(150_000), dec(150_000))
    assert (book.total_return, fold.days[DAY].profit) == (0.0, dec(0))
    assert (page.profit, page.adjusted, page.unrealized) == (dec(0), dec(50_000), dec(0))
    text = render(ReportKind.STATEMENT, day_of(*events), DAY).decode()
    assert '(no profit)</td><td class="n">50,000.00</td>' in text


@pytest.mark.req("R-03", "R-05", "S-16")
def test_what_was_held_is_corrected_at_the_newest_price() -> None:
    """The venue has four of ten less: the six that are left gain, what went is no loss."""
    bought = Life("buy", quantity="10", at_ns=NOON_NS - 60 * S_NS)
    events = [
        *LOST_PURCHASE[:3],
        *bought.opened(),
        bought.filled("100", "10"),
        marked(NOON_NS - S_NS, "100100", "110", cash="99000"),
        adjusted(NOON_NS, DifferenceKind.POSITION, instrument=ALPHA, quantity=dec(-4)),
        marked(NOON_NS + S_NS, "99720", "120", cash="99000"),
    ]
    page, fold = page_of(*events), figures_of(*events)
    assert (page.profit, page.adjusted) == (dec(160), dec(-440))
    assert fold.figures()["book"][ACCOUNT].final_value == dec(99_720)
    assert fold.days[DAY].profit == dec(160)


@pytest.mark.req("R-03", "R-05", "S-16")
def test_a_price_of_hours_ago_is_not_what_a_position_was_worth() -> None:
    events = [*LOST_PURCHASE]
    events[2] = marked(BEGIN_NS + S_NS, "100000", "40", cash="100000")
    page, fold = page_of(*events), figures_of(*events)
    assert (page.profit, fold.days[DAY].profit) == (dec(95), dec(95))
    assert page.holdings[0].average_price == dec(100)


@pytest.mark.req("R-05", "S-16")
def test_a_position_nobody_ever_priced_makes_the_profit_unknown() -> None:
    page = page_of(*LOST_PURCHASE[:6])
    assert (page.adjusted, page.profit, page.closing.equity) == (None, None, None)
    assert page.holdings[0].quantity == dec(10)
    assert figures_of(*LOST_PURCHASE[:6]).figures()["book"][ACCOUNT].final_value is None


@pytest.mark.req("R-03", "R-05", "S-16")
def test_a_correction_that_is_told_again_counts_once() -> None:
    again = [*LOST_PURCHASE, *LOST_PURCHASE[3:6]]
    assert page_of(*again).closing == page_of(*LOST_PURCHASE).closing
    assert page_of(*again).profit == dec(95)
    book = figures_of(*again).figures()["book"][ACCOUNT]
    assert book == figures_of(*LOST_PURCHASE).figures()["book"][ACCOUNT]


TAKEN_OVER = PositionsAdopted(
    at_ns=BEGIN_NS + 2,
    session=SESSION,
    positions=(PositionView(instrument=ALPHA, quantity=dec(10), average_price=dec(100)),),
)


@pytest.mark.req("R-03")
def test_what_a_session_took_over_is_in_its_holdings() -> None:
    sold = Life("sell", side=Side.SELL, quantity="10", bid="110", ask="112")
    fold = figures_of(terms(), created(), TAKEN_OVER, *sold.opened(), sold.filled("110", "10"))
    [view] = fold.holdings[SESSION].views({})
    assert (view.quantity, view.realized) == (dec(0), dec(100))
    assert fold.figures()["session"][SESSION].final_value == dec(50_100)


@pytest.mark.req("R-04")
def test_tables_have_what_a_session_took_over_and_what_was_corrected(recorded: Recorded) -> None:
    sold = Life("sell", side=Side.SELL, quantity="10", bid="110", ask="112")
    recorded.add(*LOST_PURCHASE, TAKEN_OVER, *sold.opened(), sold.filled("110", "10"))
    rows = asked(recorded, "pnl_by_session")
    # corrected: the fee of 5 (no instrument), and ten from 100 to 110
    assert rows == [
        (SESSION, "ema_cross", 0, 1, "100", "0", "100"),
        (ADOPTED, None, 1, 0, "0", "5", "95"),
    ]


@pytest.mark.req("R-04")
@pytest.mark.parametrize("is_reopened", [False, True])
def test_tables_count_a_correction_once_also_over_a_restart(
    recorded: Recorded, is_reopened: bool
) -> None:
    recorded.add(*LOST_PURCHASE)
    if is_reopened:
        asked(recorded, "pnl_by_session")
    recorded.add(*LOST_PURCHASE[3:5], marked(NOON_NS + 3 * S_NS, "100095", "110", cash="98995"))
    assert asked(recorded, "pnl_by_session") == [(ADOPTED, None, 1, 0, "0", "5", "95")]


@pytest.fixture
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return Recorded(tmp_path_factory.mktemp("recorded"))


def asked(recorded: Recorded, named: str) -> list[tuple[object, ...]]:
    keeper = Keeper(recorded.data_dir, ReportsConfig(), ACCOUNT)
    try:
        keeper.is_wanted = True
        assert keeper.feed(0).detail == ""
        answer = keeper.ask(QueryRequest(named=named))
        assert answer.error is None
        return sorted(answer.rows, key=lambda row: -int(str(row[3])))
    finally:
        keeper.close()


# settlements


def bought_by(name: str, quantity: str, price: str) -> OrderFilled:
    """An execution of yesterday, of any session."""
    return OrderFilled(
        at_ns=YESTERDAY_NS,
        account=ACCOUNT,
        session=type(SESSION)(name),
        instrument=ALPHA,
        order_id=OrderId(f"o-{name}"),
        execution_id=ExecutionId(f"e-{name}"),
        side=Side.BUY,
        price=dec(price),
        quantity=dec(quantity),
        leaves=dec(0),
        fee=dec(0),
        liquidity=Liquidity.TAKER,
        status=OrderStatus.FILLED,
    )


@pytest.mark.req("R-05")
def test_what_an_expiry_closed_is_realized_and_each_session_has_its_part() -> None:
    expired = PositionSettled(
        at_ns=NOON_NS,
        account=ACCOUNT,
        instrument=ALPHA,
        settlement_id="x",
        kind=SettlementKind.EXPIRY,
        closes_at=dec(110),
        payment=dec("0.5"),
    )
    page = page_of(
        terms(YESTERDAY_NS - 2),
        created(YESTERDAY_NS - 1),
        bought_by(SESSION, "10", "100"),
        bought_by("other", "5", "100"),
        marked(YESTERDAY_NS + S_NS, "100135", "109", cash="98500"),
        expired,
        expired,  # told again
        marked(NOON_NS + S_NS, "100157.5", cash="100157.5"),
    )
    assert (page.profit, page.realized) == (dec("22.5"), dec(150))
    assert (page.unrealized, page.settled) == (dec(-135), dec("7.5"))
    assert page.parts == (
        PartLine(
            session="other",
            strategy="",
            trades_count=0,
            bought=dec(0),
            sold=dec(0),
            fees=dec(0),
            realized=dec(50),
        ),
        PartLine(
            session=SESSION,
            strategy="ema_cross",
            trades_count=0,
            bought=dec(0),
            sold=dec(0),
            fees=dec(0),
            realized=dec(100),
        ),
    )


@pytest.mark.req("R-05")
def test_an_expiry_of_what_no_session_accounts_for_says_so() -> None:
    expired = PositionSettled(
        at_ns=NOON_NS + 3 * S_NS,
        account=ACCOUNT,
        instrument=ALPHA,
        settlement_id="x",
        kind=SettlementKind.EXPIRY,
        closes_at=dec(110),
    )
    page = page_of(*LOST_PURCHASE, expired)
    assert [(each.session, each.realized) for each in page.parts] == [("", dec(100))]
    text = render(ReportKind.STATEMENT, day_of(*LOST_PURCHASE, expired), DAY).decode()
    assert "<td>held by no session</td>" in text


# impact


@pytest.mark.req("X-05")
def test_impact_is_measured_after_the_last_of_several_executions() -> None:
    life = Life(quantity="10", bid="99", ask="101")
    day = day_of(
        terms(),
        created(),
        *life.opened(),
        life.filled("101", "5"),
        marked(NOON_NS + 2 * S_NS, "100000", "100", cash="99495"),
        life.filled("104", "5", after_ns=60 * S_NS),
        marked(NOON_NS + 62 * S_NS, "100000", "105", cash="98975"),
    )
    assert day.execution(day.orders[life.order_id]).impact_bps == dec(500)
