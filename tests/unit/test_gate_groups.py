"""Limits of parts of an account: net, sector, asset class, venue, strategy, session."""

from typing import Any

import msgspec
import pytest

from schemas.base import ExecutionId, InstrumentId, OrderId, SessionId
from schemas.executions import OrderStatus, PositionView
from schemas.orders import Outcome, Side, SignalDecided
from schemas.sessions import PositionsAdopted, SessionCreated, SessionLimits
from services.bench.gate import ACCOUNT as BENCH
from services.bench.gate import every_group, instruments, loaded_gate
from services.core import tell
from services.gate.case import Case
from services.gate.config_groups import GroupLimits
from services.gate.core import GateCore
from tests.builders import ACCOUNT, ALPHA, BETA, SESSION, dec, quote, signal
from tests.gate_rig import (
    NOW_NS,
    Rig,
    assert_sums_follow,
    book,
    canceled,
    config,
    filled,
    only,
    reading,
    resting,
    running_guard,
    view,
)

S2 = SessionId("s2")


def rows(gross: int = 10**9, net: int = 10**9, name: str = "default") -> dict[str, GroupLimits]:
    return {name: GroupLimits(gross_notional_max=dec(gross), net_notional_max=dec(net))}


def rig_with(**changes: Any) -> Rig:
    """Return a rig with both instruments at an ask of 100; BETA counts twice."""
    rig = Rig(config(**changes))
    rig.quote(instrument=BETA)
    return rig


def created(
    session: SessionId = SESSION, strategy: str = "trend", limits: SessionLimits | None = None
) -> SessionCreated:
    return SessionCreated(
        at_ns=NOW_NS,
        session=session,
        start_id="start-1",
        strategy=strategy,
        account=ACCOUNT,
        instruments=(ALPHA, BETA),
        initial_capital=dec(100_000),
        risk_limits=limits or SessionLimits(),
    )


def took_over(quantity: str, session: SessionId = SESSION) -> PositionsAdopted:
    view_ = PositionView(instrument=ALPHA, quantity=dec(quantity))
    return PositionsAdopted(at_ns=NOW_NS, session=session, positions=(view_,))


@pytest.mark.req("G-02")
def test_net_is_long_less_short_over_all_instruments_with_open_orders_filled() -> None:
    rig = rig_with(net_notional_max=dec(5_000))
    rig.approve("a", quantity="40")
    assert rig.rule("over", quantity="11") == "net_notional"
    assert rig.rule("short of another does not make room before it fills", quantity="11") != "all"
    sold = rig.approve("b", side=Side.SELL, quantity="10", instrument=BETA)
    assert rig.rule("c", quantity="11") == "net_notional", "an open sell may never fill"
    rig.fill(sold, "10", "e1")
    assert rig.rule("d", quantity="30") == "all"
    assert_sums_follow(rig.gate)


@pytest.mark.req("G-02")
def test_what_only_reduces_its_position_passes_although_the_net_grows() -> None:
    rig = rig_with(net_notional_max=dec(1_000))
    rig.tell(book(held={ALPHA: "50", BETA: "-45"}))
    assert rig.rule("close", side=Side.SELL, quantity="50", is_reduce_only=True) == "all"
    assert rig.rule("open", side=Side.SELL, quantity="1", instrument=BETA) == "net_notional"


@pytest.mark.req("G-02")
@pytest.mark.parametrize(
    ("table", "name", "rule"),
    [
        ("asset_classes", "equity", "asset_class_gross"),
        ("venues", "sim", "venue_gross"),
        ("venues", "default", "venue_gross"),
    ],
)
def test_the_gross_of_a_group_is_limited_over_its_instruments(
    table: str, name: str, rule: str
) -> None:
    rig = rig_with(**{table: rows(gross=6_000, name=name)})
    rig.approve("a", quantity="20")
    rig.approve("b", side=Side.SELL, quantity="20", instrument=BETA)
    decided = rig.decide(rig.signal("c", quantity="1"))
    assert (decided.rule, reading(decided, rule).value) == (rule, "6100.00")
    assert_sums_follow(rig.gate)


@pytest.mark.req("G-02")
@pytest.mark.parametrize(
    ("table", "rule"), [("asset_classes", "asset_class_net"), ("venues", "venue_net")]
)
def test_the_net_of_a_group_is_limited_on_the_orders_side(table: str, rule: str) -> None:
    rig = rig_with(**{table: rows(net=3_000)})
    rig.approve("a", quantity="30")
    assert rig.rule("b", quantity="1") == rule
    assert rig.rule("c", side=Side.SELL, quantity="30", instrument=BETA) == rule
    assert rig.rule("d", side=Side.SELL, quantity="15", instrument=BETA) == "all"


@pytest.mark.req("G-02", "G-09")
def test_a_group_without_a_row_is_denied_once_the_table_is_in_use() -> None:
    rig = rig_with(venues=rows(name="nyse"))
    decided = rig.decide(rig.signal())
    assert (decided.rule, decided.detail) == (
        "limit_missing",
        "no limit gross_notional_max: set gate.accounts.paper.venues.sim",
    )


@pytest.mark.req("G-02", "G-09")
def test_an_instrument_without_a_sector_is_denied_where_sectors_have_limits() -> None:
    decided = rig_with(sectors=rows()).decide(rig_with().signal())
    assert (decided.rule, decided.detail) == (
        "limit_missing",
        "no limit gross_notional_max: set the group of it, then gate.accounts.paper.sectors",
    )


@pytest.mark.req("G-02")
def test_a_session_that_nobody_told_of_is_denied_where_strategies_have_limits() -> None:
    rig = rig_with(strategies=rows())
    assert rig.rule("a") == "strategy_known"
    rig.tell(created())
    assert rig.rule("b") == "all"


@pytest.mark.req("G-02")
def test_all_sessions_of_a_strategy_share_its_limits() -> None:
    rig = rig_with(strategies=rows(gross=6_000, net=5_000))
    rig.tell(created())
    rig.tell(created(S2))
    rig.tell(created(SessionId("s3"), "other"))
    mine = rig.approve("a", quantity="30")
    rig.approve("b", quantity="20", session=S2)
    assert rig.rule("c", quantity="1", session=S2) == "strategy_net"
    assert rig.rule("d", quantity="1", session=SessionId("s3")) == "all"
    assert rig.rule("e", side=Side.SELL, quantity="61", session=S2) == "strategy_gross"
    rig.tell(canceled(mine, "30"))
    assert rig.rule("f", quantity="30", session=S2) == "all"


@pytest.mark.req("G-02")
def test_what_a_session_traded_before_its_strategy_was_told_counts_for_it() -> None:
    rig = rig_with(strategies=rows(gross=5_000))
    rig.tell(book(view(resting("theirs", quantity="40"))))
    rig.tell(created())
    assert rig.rule("a", quantity="11") == "strategy_gross"
    assert rig.rule("b", quantity="10") == "all"


@pytest.mark.req("G-01", "G-11")
def test_a_sessions_position_is_limited_whatever_the_others_hold() -> None:
    rig = rig_with(session_position_notional_max=dec(5_000))
    rig.approve("a", quantity="50")
    assert rig.rule("b", quantity="1") == "session_position"
    assert rig.rule("c", quantity="50", session=S2) == "all"
    assert rig.rule("d", side=Side.SELL, quantity="51", session=S2) == "session_position"


@pytest.mark.req("G-01", "G-11")
def test_a_sessions_gross_is_limited_over_its_instruments() -> None:
    rig = rig_with(session_gross_notional_max=dec(5_000))
    bought = rig.approve("a", quantity="30")
    rig.fill(bought, "30", "e1")
    assert rig.rule("b", quantity="11", instrument=BETA) == "session_gross"
    assert rig.rule("c", quantity="10", instrument=BETA) == "all"
    assert rig.rule("d", side=Side.SELL, quantity="30") == "all", "it does not raise the worst"
    assert rig.rule("e", quantity="25", session=S2) == "all"
    assert_sums_follow(rig.gate)


@pytest.mark.req("S-01")
@pytest.mark.parametrize(
    ("limit", "rule"),
    [
        ("order_notional_max", "session_order"),
        ("position_notional_max", "session_position"),
        ("gross_notional_max", "session_gross"),
    ],
)
def test_the_limits_that_a_start_named_hold_for_its_session_and_no_other(
    limit: str, rule: str
) -> None:
    rig = rig_with()
    rig.tell(created(limits=SessionLimits(**{limit: dec(1_000)})))
    rig.tell(created(S2))
    assert rig.rule("a", quantity="11") == rule
    assert rig.rule("b", quantity="11", session=S2) == "all"
    assert rig.rule("c", quantity="10") == "all"
    rig.restart()
    rig.tell(book(*(view(e.order) for e in rig.gate.state.accounts[ACCOUNT].orders.values())))
    rig.quote()
    assert rig.rule("d", quantity="11") == rule, "a restart forgets none of them"


@pytest.mark.req("G-01", "I8")
def test_what_no_session_accounts_for_counts_against_each_until_one_takes_it_over() -> None:
    rig = rig_with(session_position_notional_max=dec(5_000))
    rig.tell(created())
    rig.tell(book(held={ALPHA: "40"}))
    assert rig.rule("a", quantity="11", session=S2) == "session_position"
    rig.tell(took_over("40"))
    assert rig.rule("b", quantity="11") == "session_position"
    assert rig.rule("c", quantity="50", session=S2) == "all"


def test_a_session_takes_over_no_more_than_nobody_accounts_for() -> None:
    rig = rig_with()
    rig.tell(created())
    rig.tell(took_over("40"))
    account = rig.gate.state.accounts[ACCOUNT]
    assert account.holders.session(SESSION).lanes == {}
    rig.tell(book(held={ALPHA: "25"}))
    assert account.holders.session(SESSION).lanes[ALPHA].position == 25
    rig.tell(book(held={ALPHA: "30"}, at_ns=NOW_NS + 1))
    assert account.holders.session(SESSION).lanes[ALPHA].position == 30
    assert account.lanes[ALPHA].owned == 30


def test_executions_that_were_missed_are_their_sessions_by_the_book() -> None:
    rig = rig_with()
    bought = rig.approve("a", quantity="30", session=S2)
    rig.fill(bought, "10", "e1")
    done = view(bought, "30", OrderStatus.FILLED)
    rig.tell(book(recent=(done,), held={ALPHA: "30"}, at_ns=NOW_NS + 1))
    account = rig.gate.state.accounts[ACCOUNT]
    assert account.holders.session(S2).lanes[ALPHA].position == 30
    rig.tell(book(recent=(done,), held={ALPHA: "30", BETA: "1"}, at_ns=NOW_NS + 2))
    assert account.holders.session(S2).lanes[ALPHA].position == 30


@pytest.mark.req("G-02", "G-11")
@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("is_taken_first", [False, True])
def test_what_a_flatten_closes_is_theirs_whose_the_strategy_service_says(
    is_restarted: bool, is_taken_first: bool
) -> None:
    rig = rig_with()
    rig.tell(created())
    rig.tell(created(S2))
    rig.fill(rig.approve("a", quantity="30"), "30", "e1")
    rig.fill(rig.approve("b", quantity="20", session=S2), "20", "e2")
    closing = rig.approve(
        "f", side=Side.SELL, quantity="40", session=SessionId("flatten-1"), is_reduce_only=True
    )
    if not is_taken_first:
        rig.fill(closing, "40", "e3")
        assert rig.gate.state.accounts[ACCOUNT].lanes[ALPHA].owned == 50, "nobody's, for now"
    for session, quantity in ((SESSION, "-20"), (S2, "-20")):
        closed = PositionView(instrument=ALPHA, quantity=dec(quantity), average_price=dec(100))
        taken = PositionsAdopted(
            at_ns=NOW_NS,
            session=session,
            positions=(closed,),
            taken_from=closing.session,
            execution_id=ExecutionId("e3"),
        )
        rig.tell(taken)
        rig.tell(taken)  # told again, it counts once
    if is_taken_first:  # they are two publishers: each may be heard first
        rig.fill(closing, "40", "e3")
    if is_restarted:
        rig.restart()
    holders = rig.gate.state.accounts[ACCOUNT].holders
    held = {key: int(h.lanes[ALPHA].position) for key, h in holders.sessions.items() if h.lanes}
    assert (held[SESSION], held[S2]) == (10, 0)
    assert rig.gate.state.accounts[ACCOUNT].lanes[ALPHA].owned == 10


@pytest.mark.req("G-02", "G-11")
def test_until_it_is_said_whose_a_close_was_it_counts_for_each_session_where_it_hurts() -> None:
    rig = rig_with(position_quantity_max=dec(50))
    rig.tell(created())
    rig.fill(rig.approve("a", quantity="40"), "40", "e1")
    flatten = SessionId("flatten-1")
    closing = rig.approve("f", side=Side.SELL, quantity="40", session=flatten, is_reduce_only=True)
    rig.fill(closing, "40", "e2")
    own = rig.gate.state.accounts[ACCOUNT].holders.session(SESSION).lanes[ALPHA]
    case = Case(
        rig.signal("b", side=Side.SELL, quantity="1"),
        OrderId("b"),
        rig.now_ns,
        "",
        rig.gate.state,
        rig.gate.state.accounts[ACCOUNT],
    )
    assert (own.position, case.reach, case.own_reach) == (dec(40), dec(1), dec(1))


@pytest.mark.req("G-02", "G-08")
def test_a_decision_shows_what_every_group_adds_up_to_and_its_limit() -> None:
    rig = rig_with(
        venues=rows(gross=7_000, net=6_000),
        strategies=rows(gross=5_000, net=4_000),
        session_gross_notional_max=dec(3_000),
    )
    rig.tell(created())
    decided = rig.decide(rig.signal("a", side=Side.SELL, quantity="10"))
    found = {each.check: (each.value, each.limit) for each in decided.readings}
    assert decided.outcome is Outcome.APPROVED
    assert found["venue_gross"] == ("1000.00", "7000")
    assert found["venue_net"] == ("1000.00", "6000")
    assert found["strategy_gross"] == ("1000.00", "5000")
    assert found["strategy_net"] == ("1000.00", "4000")
    assert found["session_gross"] == ("1000.00", "3000")
    assert "sector_gross" not in found, "sectors have no limits here"


def test_a_group_with_something_unpriced_takes_no_more_of_anything() -> None:
    rig = Rig(config(venues=rows()))
    rig.tell(book(held={BETA: "1"}))
    decided = rig.decide(rig.signal())
    assert decided.rule == "gross_notional"
    assert reading(decided, "gross_notional").value == "no price for sim:BETA"


@pytest.mark.parametrize("key", [ALPHA, BETA])
def test_a_fill_moves_from_order_to_position_in_every_part(key: InstrumentId) -> None:
    rig = rig_with(strategies=rows(), venues=rows())
    rig.tell(created())
    bought = rig.approve("a", quantity="30", instrument=key)
    for lane in rig.gate.state.accounts[ACCOUNT].orders[bought.order_id].lanes:
        assert (int(lane.position), int(lane.buys)) == (0, 30)
    rig.tell(filled(bought, "30", "e1"))
    holder = rig.gate.state.accounts[ACCOUNT].holders.sessions[SESSION]
    assert holder.strategy is not None
    for part in (holder, holder.strategy):
        lane = part.lanes[key]
        assert (int(lane.position), int(lane.buys)) == (30, 0)
    assert_sums_follow(rig.gate)


@pytest.mark.req("G-02", "G-11")
def test_the_sums_of_a_hundred_sessions_in_ten_sectors_are_those_of_their_orders() -> None:
    gate = loaded_gate(200, 2_000, 100)
    account = gate.state.accounts[BENCH]
    assert len(account.holders.sessions) == 100
    assert len({group.name for group in account.sector_of.values()}) == 10
    assert_sums_follow(gate)


@pytest.mark.req("G-02")
@pytest.mark.parametrize(("gross", "net", "rule"), [(999, 9_999, "gross"), (9_999, 999, "net")])
def test_a_sector_is_limited_and_another_one_is_not(gross: int, net: int, rule: str) -> None:
    huge = rows()["default"]
    limits = every_group().accounts[BENCH]
    sectors = {"default": huge, **rows(gross, net, name="sector-0")}
    row = msgspec.structs.replace(limits, sectors=sectors)
    known = instruments(20)
    gate = GateCore(
        msgspec.structs.replace(every_group(), accounts={BENCH: row}),
        known,
        running_guard(),
    )
    tell(gate, msgspec.structs.replace(book(), account=BENCH), NOW_NS)
    tell(gate, msgspec.structs.replace(created(), account=BENCH), NOW_NS)
    decided = []
    for number, key in enumerate(list(known)[9:11]):
        tell(gate, quote("99.90", "100.00", instrument=key, at_ns=NOW_NS), NOW_NS)
        raised = signal(f"a{number}", account=BENCH, instrument=key, at_ns=NOW_NS)
        decided.append(only(SignalDecided, tell(gate, raised, NOW_NS)).rule)
    assert decided == ["all", f"sector_{rule}"]


@pytest.mark.req("G-01", "G-02", "G-09")
def test_closing_everything_in_nobodys_name_passes_the_limits_of_parts() -> None:
    """A flatten closes what several sessions hold, with one order that no session could send."""
    rig = rig_with(session_position_notional_max=dec(5_000), strategies=rows(gross=9_000))
    for session in (SESSION, S2):
        rig.tell(created(session))
        bought = rig.approve(f"a-{session}", quantity="40", session=session)
        rig.fill(bought, "40", f"e-{session}")
    more: dict[str, Any] = {"side": Side.SELL, "quantity": "80"}
    flatten = SessionId("flatten-1")
    assert rig.rule("b", session=flatten, **more) == "strategy_known"
    assert rig.rule("d", session=flatten, is_reduce_only=True, **more) == "all"
    assert rig.rule("e", session=flatten, is_reduce_only=True, **more) == "reduce_only"
