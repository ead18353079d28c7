"""The drawdown breaker measures equity, unrealised included, from the highest it ever was."""

from decimal import Decimal

import msgspec
import pytest

from schemas.base import AccountId, InstrumentId
from schemas.control import (
    AccountMarked,
    BookWanted,
    BreakerState,
    BreakerTripped,
    HaltRequested,
    HighWaterMarkSet,
    Response,
)
from schemas.health import AlertRaised, BreakerView, GapSeen, LevelView, LinkChanged, Severity
from schemas.orders import Side
from services.core import tell
from tests.breaker_rig import fill
from tests.breaker_rig import only as only_breaker
from tests.builders import ACCOUNT, ALPHA, BETA, MS_NS, S_NS, dec, quote
from tests.control_rig import ControlRig, book, breaker_core, halt, health, kinds, only

pytestmark = pytest.mark.req("B-01")


DAY_NS = 86_400 * S_NS
"""Midnight: where nothing else is awaited, the next trading day is."""

CONFIG = only_breaker("drawdown", ("0.10", "halt"))


def fresh() -> ControlRig:
    """Return a rig in which the drawdown breaker alone has a level."""
    return ControlRig(breaker_core(CONFIG))


def view(rig: ControlRig) -> BreakerView:
    return rig.core.describe(rig.now_ns).breakers[0]


def equity(rig: ControlRig) -> Decimal | None:
    return rig.core.describe(rig.now_ns).equity


def holding(rig: ControlRig | None = None) -> ControlRig:
    """Return a rig that holds 500 ALPHA, bought at 100 with half of 100,000."""
    rig = rig or fresh().ready()
    rig.tell(quote("100", "100"), fill("e1", quantity="500", price="100"))
    rig.wait(2 * S_NS)  # until all is published and no alarm is set
    return rig


def test_equity_is_cash_plus_holdings_at_mid_prices_after_fees() -> None:
    rig = fresh().ready()
    rig.tell(fill("e1", quantity="10", price="100", fee="1.5"), quote("101", "103"))
    assert equity(rig) == dec("100018.5")


def test_the_multiplier_of_an_instrument_counts() -> None:
    rig = fresh().ready()
    rig.tell(fill("e1", instrument=BETA), quote("101", "101", instrument=BETA))
    assert equity(rig) == dec("100020")


def test_a_repeated_execution_counts_once() -> None:
    rig = fresh().ready()
    rig.tell(fill("e1", fee="1"), fill("e1", fee="1"), quote("100", "100"))
    assert equity(rig) == dec("99999")


def test_executions_of_another_account_count_for_nothing() -> None:
    rig = fresh().ready()
    rig.tell(fill("e1", fee="1"))
    before = equity(rig)
    rig.tell(msgspec.structs.replace(fill("e2", fee="1"), account=AccountId("other")))
    assert equity(rig) == before


def test_the_book_of_the_executor_replaces_what_was_known() -> None:
    rig = fresh().ready()
    rig.tell(fill("e1"), book("90000", ALPHA="100"), quote("50", "50"))
    assert equity(rig) == dec("95000")


def test_a_fall_to_the_limit_trips_and_halts_at_once() -> None:
    rig = holding()
    rig.tell(quote("80", "80"))
    said = rig.wait(S_NS)
    reason = "equity 90000.00 is -10.00 % from its high of 100000.00; the limit is -10.00 %"
    tripped_ns = 3 * S_NS
    assert kinds(said)[:4] == [
        "HaltRequested",
        "BreakerTripped",
        "BreakerStateChanged",
        "AlertRaised",
    ]
    assert only(HaltRequested, said) == HaltRequested(
        at_ns=tripped_ns, src="breaker", reason=reason, operator="breaker.drawdown"
    )
    assert only(BreakerTripped, said) == BreakerTripped(
        at_ns=tripped_ns,
        breaker="drawdown",
        reason=reason,
        value="-10.00 %",
        limit="-10.00 %",
    )
    alert = only(AlertRaised, said)
    assert (alert.severity, alert.code) == (Severity.CRITICAL, "SLU-150")
    assert rig.core.describe(0).breaker_state is BreakerState.TRIPPED


def test_a_fall_just_short_of_the_limit_does_not_trip() -> None:
    rig = holding()
    rig.tell(quote("80.01", "80.01"))
    assert not any(isinstance(e, HaltRequested) for e in rig.wait(S_NS))


def test_the_limit_is_the_configured_one() -> None:
    core = breaker_core(only_breaker("drawdown", ("0.02", "halt")))
    rig = holding(ControlRig(core).ready())
    rig.tell(quote("96", "96"))
    assert only(BreakerTripped, rig.wait(S_NS)).limit == "-2.00 %"


def test_the_fall_is_measured_from_the_highest_not_from_the_start() -> None:
    rig = holding()
    rig.tell(quote("150", "150"))
    said = rig.wait(S_NS)
    assert only(HighWaterMarkSet, said).high_water_mark == dec("125000")
    rig.tell(quote("125", "125"))  # 112,500: above the start, 10 % below the high
    assert only(BreakerTripped, rig.wait(S_NS)).value == "-10.00 %"


def test_it_trips_once_and_not_at_every_price() -> None:
    rig = holding()
    for price in ("80", "79", "78"):
        rig.tell(quote(price, price))
        rig.wait(S_NS)
    assert sum(isinstance(e, HaltRequested) for e in rig.said) == 1


def test_our_own_halt_that_comes_back_by_the_bus_has_its_number_already() -> None:
    rig = holding()
    rig.tell(quote("80", "80"))
    halted = only(HaltRequested, rig.wait(S_NS))
    assert kinds(tell(rig.core, halted, rig.now_ns)) == ["HaltAcknowledged"]
    rig.ask()
    assert rig.core.describe(0).halts == 1


def test_a_trip_leaves_a_manual_halt_in_front_and_counts_as_another() -> None:
    rig = holding()
    rig.tell(halt(), quote("80", "80"))
    rig.wait(S_NS)
    found = rig.core.describe(0)
    assert (found.breaker_state, found.halts) == (BreakerState.MANUALLY_HALTED, 2)


def test_a_reset_after_a_trip_measures_anew_and_does_not_trip_again() -> None:
    rig = holding()
    rig.tell(quote("80", "80"))
    rig.wait(S_NS)
    answer = rig.reset(1)
    assert answer.message == (
        "halt 1 is cleared; measured anew from now on: drawdown. "
        "Nothing was started: `sluice start`"
    )
    said = [*rig.wait(S_NS), *rig.tell(quote("80", "80")), *rig.wait(S_NS)]
    assert only(HighWaterMarkSet, said) == HighWaterMarkSet(
        at_ns=4 * S_NS,
        account=ACCOUNT,
        high_water_mark=dec("90000"),
        reason="set anew after a reset",
    )
    assert not any(isinstance(e, HaltRequested) for e in said)


def test_a_reset_of_a_manual_halt_leaves_the_high_water_mark() -> None:
    rig = holding()
    rig.tell(quote("90", "90"))
    rig.wait(S_NS)
    rig.tell(halt())
    rig.reset(1)
    rig.tell(quote("80", "80"))
    assert only(BreakerTripped, rig.wait(S_NS)).value == "-10.00 %"


def test_a_restart_keeps_the_high_water_mark() -> None:
    rig = holding()
    rig.tell(quote("150", "150"))
    rig.wait(S_NS)
    rig.restart(config=CONFIG)
    rig.tell(book("50000", ALPHA="500"), quote("125", "125"))
    assert only(BreakerTripped, rig.wait(S_NS)).value == "-10.00 %"


def test_a_restart_keeps_the_trip() -> None:
    rig = holding()
    rig.tell(quote("80", "80"))
    rig.wait(S_NS)
    rig.restart(config=CONFIG)
    rig.tell(book("50000", ALPHA="500"), quote("70", "70"))
    assert not any(isinstance(e, HaltRequested) for e in rig.wait(S_NS))
    assert (view(rig).is_tripped, rig.core.describe(0).halts) == (True, 1)


def test_the_first_high_water_mark_is_the_initial_cash() -> None:
    rig = fresh()
    rig.tell(book("89000"))
    assert only(BreakerTripped, rig.wait(S_NS)).value == "-11.00 %"


def test_an_account_that_has_lost_everything_cannot_go_on() -> None:
    rig = fresh()
    rig.tell(book("-5"))
    rig.wait(S_NS)
    rig.reset(1)
    assert only(BreakerTripped, rig.wait(S_NS)).reason.startswith("equity -5.00 is -100.00 %")


def test_equity_without_a_book_is_unknown_and_not_the_initial_cash() -> None:
    rig = fresh()
    assert (equity(rig), view(rig).value) == (None, "unknown")
    assert view(rig).detail == "the executor's book is not known: is the executor running?"


@pytest.mark.parametrize(
    "price", [None, quote("0", "100"), quote("100", "0")], ids=["none", "no bid", "no ask"]
)
def test_equity_of_a_holding_without_a_two_sided_price_is_unknown(price: object) -> None:
    rig = fresh().ready()
    rig.tell(fill("e1"), *([price] if isinstance(price, type(quote())) else []))
    assert (equity(rig), view(rig).value) == (None, "unknown")
    assert view(rig).detail == "no two-sided price of sim:ALPHA: is the feed running?"
    assert only(AccountMarked, rig.wait(2 * S_NS)).unmarked == (ALPHA,)


def test_what_is_sold_again_needs_no_price() -> None:
    rig = fresh().ready()
    rig.tell(fill("e1"), fill("e2", side=Side.SELL, price="101"))
    assert equity(rig) == dec("100010")


def test_an_execution_in_an_unknown_instrument_makes_the_equity_unknown() -> None:
    rig = fresh().ready()
    rig.tell(fill("e1", instrument=InstrumentId("sim:GAMMA")))
    assert equity(rig) is None


def gap(subject: str) -> GapSeen:
    return GapSeen(at_ns=0, subject=subject, publisher="executor", expected_seq=1, got_seq=3)


@pytest.mark.parametrize(
    "event",
    [LinkChanged(at_ns=0, is_up=True), gap("exec.sim.paper"), gap("book.paper")],
    ids=["a reconnect", "a gap in executions", "a gap in books"],
)
def test_after_a_gap_the_equity_is_unknown_until_the_book_is_reported(
    event: LinkChanged | GapSeen,
) -> None:
    rig = fresh().ready()
    rig.tell(event)
    assert equity(rig) is None
    assert rig.tell(health("executor")) == [BookWanted(at_ns=rig.now_ns, account=ACCOUNT)]
    rig.tell(book("99000"))
    assert equity(rig) == dec("99000")
    assert rig.tell(health("executor"))[1:] == []


def test_a_gap_in_market_data_leaves_the_book() -> None:
    rig = fresh().ready()
    rig.tell(gap("market.sim.ALPHA.quote"))
    assert equity(rig) == dec("100000")


def test_the_view_shows_formula_value_limit_and_distance() -> None:
    rig = holding()
    rig.tell(quote("90", "90"))
    rig.wait(S_NS)
    quoted_s = rig.now_ns / S_NS
    assert view(rig) == BreakerView(
        name="drawdown",
        formula="equity / high-water mark - 1; equity = cash + what is held at mid prices",
        value="-5.00 %",
        limit="-10.00 %",
        detail="equity 95000.00, high-water mark 100000.00, "
        f"oldest price {quoted_s:.1f} s old; 5000.00 (5.00 %) to halt at 90000.00",
        unit="fraction of the high-water mark",
        inputs={
            "equity": "95000.00",
            "high-water mark": "100000.00",
            "oldest price": f"{quoted_s:.1f} s old",
        },
        levels=(LevelView(at="-10.00 %", response=Response.HALT),),
        distance="5000.00 (5.00 %) to halt at 90000.00",
        on_reset="the high-water mark becomes the next known equity",
    )


def test_the_account_is_published_about_once_a_second() -> None:
    rig = holding()
    rig.said.clear()
    for step in range(20):
        rig.tell(quote(f"{100 + step}", f"{100 + step}"))
        rig.wait(100 * MS_NS)
    marked_ns = [e.at_ns for e in rig.said if isinstance(e, AccountMarked)]
    assert marked_ns == [3 * S_NS, 4 * S_NS, 5 * S_NS]


def test_the_last_change_before_a_silence_is_published_as_well() -> None:
    rig = holding()
    rig.tell(quote("110", "110"))
    rig.wait(300 * MS_NS)
    rig.tell(quote("120", "120"))
    said = rig.wait(5 * S_NS)
    assert [e.equity for e in said if isinstance(e, AccountMarked)] == [dec("110000")]
    assert rig.core.wake_at_ns == DAY_NS


def test_a_marked_account_shows_cash_mark_and_drawdown() -> None:
    rig = holding()
    rig.tell(quote("96", "96"))
    said = rig.wait(S_NS)
    assert only(AccountMarked, said) == AccountMarked(
        at_ns=3 * S_NS,
        account=ACCOUNT,
        equity=dec("98000"),
        cash=dec("50000"),
        high_water_mark=dec("100000"),
        drawdown=dec("0.02"),
        marks={ALPHA: dec("96")},
    )


def test_quotes_set_no_alarm_while_nothing_is_held() -> None:
    rig = fresh().ready()
    rig.wait(5 * S_NS)
    rig.tell(quote(), quote(instrument=BETA))
    assert rig.core.wake_at_ns == DAY_NS


def test_a_quote_of_what_is_held_sets_the_alarm_once() -> None:
    rig = holding()
    rig.wait(5 * S_NS)
    rig.tell(quote("101", "101"))
    first = rig.core.wake_at_ns
    rig.now_ns += 10 * MS_NS
    rig.core.handle(quote("102", "102"), rig.now_ns)
    assert (first, rig.core.wake_at_ns) == (8 * S_NS, 8 * S_NS)


def test_valuations_keep_their_distance() -> None:
    rig = holding()
    rig.tell(quote("101", "101"))
    rig.wait(0)
    rig.tell(quote("102", "102"))
    assert rig.core.wake_at_ns == rig.now_ns + 250 * MS_NS
