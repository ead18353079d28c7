"""Orders folded from their events, executions measured, days and uptime: by hand-made numbers."""

import random

import pytest
from msgspec.structs import replace

from schemas.base import AccountId, Event, SignalId
from schemas.errors import UserError
from schemas.executions import BookReported, OrderStatus, PositionView
from schemas.health import HealthReported
from schemas.orders import Outcome, Side
from schemas.reports import ReportKind, UptimeMeasured
from schemas.sessions import SignalBlocked
from services.recorder.queries.uptime import ORDER_PATH, Uptime
from services.reports.day import DayFold
from services.reports.days import day_named, days_ended
from services.reports.execution import measure
from services.reports.orders import OrderFold, OrderRecord
from services.reports.render import render
from tests.builders import ACCOUNT, ALPHA, S_NS, SESSION, dec
from tests.control_rig import health
from tests.report_rig import BEGIN_NS, DAY, DAY_NS, NOON_NS, Life, a_day, created, marked, terms


def folded(*events: Event) -> OrderRecord:
    fold = OrderFold()
    found = [fold.apply(event) for event in events]
    last = [record for record in found if record is not None][-1]
    assert fold.find(last.order_id) is last
    return last


@pytest.mark.req("R-05")
def test_an_orders_record_has_its_whole_life() -> None:
    life = Life(quantity="10")
    record = folded(*life.opened(), life.filled("100", "4", fee="0.2"), life.canceled())
    assert record == OrderRecord(
        order_id=life.order_id,
        account=ACCOUNT,
        session=SESSION,
        instrument=ALPHA,
        signal_id=life.signal.signal_id,
        side=Side.BUY,
        asked=dec(10),
        quantity=dec(10),
        order_type=life.order.order_type,
        time_in_force=life.order.time_in_force,
        expires_at_ns=life.order.expires_at_ns,
        outcome=Outcome.APPROVED,
        rule="all",
        epoch=1,
        bid=dec(99),
        ask=dec(101),
        status=OrderStatus.CANCELED,
        reason="enough",
        venue_order_id="v1",
        filled=dec(4),
        value=dec(400),
        fees=dec("0.2"),
        fill_count=1,
        signal_ns=NOON_NS,
        decided_ns=NOON_NS + 1_000,
        approved_ns=NOON_NS + 2_000,
        submitted_ns=NOON_NS + 5_000,
        accepted_ns=NOON_NS + 9_000,
        first_fill_ns=NOON_NS + 15_000,
        last_fill_ns=NOON_NS + 15_000,
        closed_ns=NOON_NS + 20_000,
    )


@pytest.mark.req("R-05")
def test_an_execution_that_is_told_again_counts_once() -> None:
    life = Life(quantity="10")
    fill = life.filled("100", "4")
    assert folded(*life.opened(), fill, fill, life.canceled()).filled == dec(4)


class CreditingFold(OrderFold):
    """The fold without its memory of executions."""

    def is_repeat(self, execution_id: str) -> bool:
        return False


def test_without_that_memory_a_repeat_would_be_traded_twice() -> None:
    life, fold = Life(quantity="10"), CreditingFold()
    fill = life.filled("100", "4")
    for event in (*life.opened(), fill, fill):
        record = fold.apply(event)
    assert record is not None
    assert record.filled == dec(8)


@pytest.mark.req("R-05")
def test_the_order_in_which_streams_arrive_changes_no_record() -> None:
    life = Life(quantity="10")
    events = [*life.opened(), life.filled("100", "10")]
    wanted = folded(*events)
    for seed in range(20):
        shuffled = events[:]
        random.Random(seed).shuffle(shuffled)
        found = folded(*shuffled)
        assert (found.status, found.filled, found.value) == (
            wanted.status,
            wanted.filled,
            wanted.value,
        )


@pytest.mark.req("X-05", "R-05")
def test_slippage_improvement_and_shortfall_are_those_of_a_hand_calculation() -> None:
    life = Life(quantity="10", bid="99", ask="101")
    record = folded(*life.opened(), life.filled("100.6", "5", fee="0.5"), life.canceled())
    found = measure(record, dec(2), price_after=dec("100.9"), price_at_end=dec("103"))
    # arrival 100; filled 5 at 100.6, multiplier 2; unfilled 5, the price 3 higher at the end
    assert found.arrival == dec(100)
    assert found.spread_bps == dec(200)
    assert (found.slippage_bps, found.slippage) == (dec(60), dec("6.0"))
    assert found.effective_spread_bps == dec(120)
    assert found.improvement == dec("4.0")  # 0.4 below the ask, 5 units, 2 each
    assert found.impact_bps == dec(90)
    assert found.opportunity == dec(30)
    assert found.shortfall == dec("36.5")  # 6 + 0.5 + 30
    assert found.shortfall_bps == dec("182.5")  # of 100 x 10 x 2
    latencies = found.decide_us, found.send_us, found.accept_us, found.fill_us, found.whole_us
    assert latencies == (1, 4, 4, 10, 15)


@pytest.mark.req("X-05")
def test_a_sale_below_the_middle_costs_what_a_purchase_above_it_does() -> None:
    life = Life(side=Side.SELL, quantity="5", bid="99", ask="101")
    record = folded(*life.opened(), life.filled("99.4", "5"))
    found = measure(record, dec(1), price_after=None, price_at_end=None)
    assert (found.slippage, found.improvement, found.shortfall) == (dec(3), dec(2), dec(3))
    assert found.impact_bps is None


@pytest.mark.req("X-05")
def test_what_was_not_recorded_is_not_measured() -> None:
    life = Life(quantity="5")
    decided = replace(life.decided, bid=None, ask=None)
    record = folded(life.signal, decided, *life.opened()[2:], life.filled("100", "5"))
    found = measure(record, dec(1), price_after=None, price_at_end=None)
    assert (found.arrival, found.slippage, found.shortfall, found.improvement) == (None,) * 4
    assert found.average_price == dec(100)


def day_of(*events: Event, day: str = DAY) -> DayFold:
    named = day_named(day, "24x7")
    fold = DayFold(ACCOUNT, named.from_ns, named.until_ns)
    for n, event in enumerate(events, start=1):
        fold.apply(n, event)
    fold.close()
    return fold


@pytest.mark.req("R-03", "R-05")
def test_a_day_adds_up_to_the_last_digit() -> None:
    day = day_of(terms(), created(), *a_day())
    cash = 100_000 - 10 * dec(101) - dec("1.5") + 4 * dec(110) - dec("0.4")
    assert (day.opening.equity, day.closing.cash) == (dec(100_000), cash)
    assert day.closing.equity == cash + 6 * dec(111)
    assert [trade.realized for trade in day.trades] == [0, 0, dec(36)]
    assert (day.high, day.low) == (dec("100094.1"), dec(100_000))
    assert [order.status for order in day.orders.values()] == ["filled", "canceled"]


@pytest.mark.req("R-05")
def test_the_next_day_begins_where_the_day_before_ended() -> None:
    events = [terms(), created(), *a_day()]
    tomorrow = marked(BEGIN_NS + DAY_NS + S_NS, "100100", "112", cash="99428.1")
    first, second = day_of(*events), day_of(*events, tomorrow, day="2026-11-26")
    assert second.opening == first.closing
    assert second.steps == []
    assert second.closing.equity == dec("99428.1") + 6 * dec(112)


@pytest.mark.req("R-05")
def test_what_comes_after_a_day_changes_none_of_its_bytes() -> None:
    events = [terms(), created(), *a_day()]
    later = a_day(days_later=1)
    for kind in ReportKind:
        one, other = day_of(*events), day_of(*events, *later)
        one.last_n = other.last_n = 7
        assert render(kind, one, DAY) == render(kind, other, DAY), kind


@pytest.mark.req("R-05")
def test_without_terms_no_profit_is_made_up() -> None:
    day = day_of(created(), *a_day())
    assert (day.opening.equity, day.closing.equity, day.closing.cash) == (None, None, None)
    assert [trade.realized for trade in day.trades] == [None] * 3
    assert b"not known" in render(ReportKind.STATEMENT, day, DAY)


@pytest.mark.req("R-05")
def test_an_account_is_known_again_once_the_executor_tells_its_book() -> None:
    book = BookReported(
        at_ns=NOON_NS + 70 * S_NS,
        account=ACCOUNT,
        cash=dec(500),
        fees=dec(2),
        positions=(PositionView(instrument=ALPHA, quantity=dec(6), average_price=dec(101)),),
    )
    day = day_of(created(), *a_day(), terms(NOON_NS + 66 * S_NS), book)
    assert (day.opening.equity, day.closing.cash) == (None, dec(500))
    assert day.closing.equity == 500 + 6 * dec(111)


@pytest.mark.req("R-05")
def test_an_audit_report_names_what_it_has_no_data_for() -> None:
    orders = render(ReportKind.ORDERS, day_of(terms(), created(), *a_day()), DAY).decode()
    assert len(orders.splitlines()) == 1 + 5 + 2 + 5 + 1 + 1  # header, and one row an event
    text = render(ReportKind.TRADES, day_of(terms(), created(), *a_day()), DAY).decode()
    header, *rows = (line.split(",") for line in text.splitlines())
    first = dict(zip(header, rows[0], strict=True))
    assert len(rows) == 3
    assert (first["buyer"], first["executing_entity"]) == ("not available", "not available")
    assert (first["price"], first["quantity"], first["net_amount"]) == ("101", "6", "-607")
    assert first["time_utc"] == "2026-11-25T12:00:00.000015000Z"


@pytest.mark.req("R-05", "S-08")
def test_a_statement_counts_what_own_limits_blocked_on_its_day_by_limit() -> None:
    told = [
        blocked("max_positions", at_ns=BEGIN_NS - S_NS),  # of the day before
        blocked("max_positions"),
        blocked("position_size_limit"),
        blocked("max_positions"),
        replace(blocked("max_positions"), account=AccountId("other")),
        blocked("max_positions", at_ns=BEGIN_NS + DAY_NS),
    ]
    day = day_of(terms(), created(), *a_day(), *told)
    assert day.blocked == {"max_positions": 2, "position_size_limit": 1}
    row = "<tr><td>Blocked before the gate by sessions' own limits"
    counts = ": max_positions (2), position_size_limit (1)"
    page = render(ReportKind.STATEMENT, day, DAY).decode()
    assert f'{row}{counts}</td><td class="n">3</td></tr>' in page
    page = render(ReportKind.STATEMENT, day_of(terms(), created(), *a_day()), DAY).decode()
    assert f'{row}</td><td class="n">0</td></tr>' in page


def blocked(rule: str, at_ns: int = NOON_NS) -> SignalBlocked:
    return SignalBlocked(
        at_ns=at_ns,
        session=SESSION,
        account=ACCOUNT,
        strategy="idea",
        signal_id=SignalId("b"),
        instrument=ALPHA,
        side=Side.BUY,
        quantity=dec(1),
        rule=rule,
        reason="too much",
    )


@pytest.mark.req("R-05")
def test_a_text_of_a_stranger_cannot_write_into_a_statement() -> None:
    session = replace(created(), strategy="<script>alert(1)</script>")
    page = render(ReportKind.STATEMENT, day_of(terms(), session, *a_day()), DAY).decode()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.req("R-05")
@pytest.mark.parametrize(
    ("calendar", "name", "opens", "ends"),
    [
        ("24x7", "2026-11-25", 0, 24 * 3600),
        ("XNYS", "2026-11-25", 9 * 3600, 25 * 3600),  # 4:00 to 20:00 in New York, UTC - 5
        ("XNYS", "2026-11-27", 2 * DAY_NS // S_NS + 9 * 3600, 2 * DAY_NS // S_NS + 22 * 3600),
    ],
)
def test_a_day_is_the_calendars(calendar: str, name: str, opens: int, ends: int) -> None:
    day = day_named(name, calendar)
    assert day.name == name
    assert ((day.from_ns - BEGIN_NS) // S_NS, (day.ends_ns - BEGIN_NS) // S_NS) == (opens, ends)
    assert day.until_ns >= day.ends_ns


@pytest.mark.req("R-05")
@pytest.mark.parametrize(
    ("text", "calendar", "found"),
    [
        ("yesterday", "24x7", "'yesterday'"),
        ("2026-02-30", "24x7", "'2026-02-30'"),
        ("2026-11-26", "XNYS", "2026-11-26, a day without trading"),  # Thanksgiving
        ("2026-11-28", "XNYS", "2026-11-28, a day without trading"),
        ("1905-01-01", "24x7", "1905-01-01"),
    ],
)
def test_a_bad_day_is_refused_with_what_was_found(text: str, calendar: str, found: str) -> None:
    with pytest.raises(UserError) as error:
        day_named(text, calendar)
    assert error.value.fields["found"] == found


@pytest.mark.req("R-05")
def test_only_days_that_are_over_are_reported() -> None:
    found = days_ended("24x7", BEGIN_NS + DAY_NS, 2)
    assert [day.name for day in found] == ["2026-11-24", "2026-11-25"]
    assert [day.name for day in days_ended("24x7", BEGIN_NS + DAY_NS - 1, 1)] == ["2026-11-24"]
    thanksgiving_ns = BEGIN_NS + DAY_NS + DAY_NS // 2
    assert [day.name for day in days_ended("XNYS", thanksgiving_ns, 2)] == [
        "2026-11-24",
        "2026-11-25",
    ]


def ready(service: str, *, is_ready: bool = True) -> HealthReported:
    return replace(health(service), is_ready=is_ready)


@pytest.mark.req("O-07")
def test_the_system_is_up_while_all_of_the_order_path_is() -> None:
    uptime = Uptime()
    uptime.begin(0)
    for second in range(10):
        for name in ORDER_PATH:
            is_well = name != "gate" or second not in (4, 5)
            uptime.on_health(ready(name, is_ready=is_well), second * S_NS)
    found = uptime.end(10 * S_NS)
    assert found == UptimeMeasured(
        at_ns=10 * S_NS,
        from_ns=0,
        until_ns=10 * S_NS,
        up_ns=8 * S_NS,
        ready_ns={name: (8 if name == "gate" else 10) * S_NS for name in ORDER_PATH},
    )


@pytest.mark.req("O-07")
def test_silence_is_no_uptime() -> None:
    uptime = Uptime()
    uptime.begin(0)
    for name in ORDER_PATH:
        uptime.on_health(ready(name), 0)
    assert uptime.end(60 * S_NS).up_ns == 3 * S_NS
    assert uptime.end(120 * S_NS).up_ns == 0
