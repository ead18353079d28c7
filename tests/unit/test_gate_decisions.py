"""What the gate says: decisions with all they read, orders, cancels, alerts, its report."""

from collections.abc import Sequence

import msgspec
import pytest

from schemas.base import AccountId, Event, InstrumentId, OrderId, SessionId
from schemas.health import AlertRaised, GateReported, Severity
from schemas.ids import order_id_of
from schemas.orders import (
    CancelApproved,
    CancelRequested,
    Order,
    OrderApproved,
    OrderType,
    Outcome,
    Reading,
    Side,
    SignalDecided,
    TimeInForce,
)
from services.gate.case import Case, Verdict
from services.gate.check import Check
from services.gate.config import AccountLimits, GateConfig, InstrumentLimits
from services.gate.core import GateCore
from services.gate.dynamic_limits_paths import numbers_in
from services.gate.explain import is_limit
from services.gate.table import CHECKS
from tests.builders import ACCOUNT, ALPHA, BETA, MS_NS, S_NS, SESSION, dec
from tests.gate_rig import NOW_NS, ROW, Rig, book, config, halt, only, reading


def broken_collar(case: Case) -> Verdict:
    """Return nothing: a check with a mistake in it."""
    raise ZeroDivisionError("a mistake")


class BrokenGate(GateCore):
    """A gate with a mistake in one check."""

    checks = tuple(
        msgspec.structs.replace(check, read=broken_collar)
        if check.name == "price_collar"
        else check
        for check in CHECKS
    )


def cancel(order_id: str = "o1", account: str = ACCOUNT, key: str = ALPHA) -> CancelRequested:
    return CancelRequested(
        at_ns=0,
        account=AccountId(account),
        session=SESSION,
        instrument=InstrumentId(key),
        order_id=OrderId(order_id),
    )


@pytest.mark.req("G-08")
def test_an_approval_is_a_decision_and_the_very_order_that_was_asked_for() -> None:
    rig = Rig()
    raised = msgspec.structs.replace(
        rig.signal(
            side=Side.SELL,
            quantity="7",
            order_type=OrderType.STOP_LIMIT,
            limit="99",
            stop="99.50",
            time_in_force=TimeInForce.IOC,
        ),
        is_post_only=True,
        leg=3,
    )
    order_id = order_id_of(ACCOUNT, SESSION, raised.signal_id, 3)
    decided, approved = rig.tell(raised)
    assert isinstance(decided, SignalDecided)
    assert msgspec.structs.replace(decided, readings=()) == SignalDecided(
        at_ns=NOW_NS,
        signal_id=raised.signal_id,
        account=ACCOUNT,
        session=SESSION,
        instrument=ALPHA,
        outcome=Outcome.APPROVED,
        order_id=order_id,
        rule="all",
        epoch=1,
        side=Side.SELL,
        quantity=dec(7),
        approved_quantity=dec(7),
        bid=dec("99.90"),
        ask=dec("100"),
    )
    order = Order(
        order_id=order_id,
        account=ACCOUNT,
        session=SESSION,
        signal_id=raised.signal_id,
        instrument=ALPHA,
        side=Side.SELL,
        quantity=dec(7),
        order_type=OrderType.STOP_LIMIT,
        time_in_force=TimeInForce.IOC,
        limit_price=dec("99"),
        stop_price=dec("99.50"),
        is_post_only=True,
        expires_at_ns=raised.expires_at_ns,
        leg=3,
    )
    assert approved == OrderApproved(
        at_ns=NOW_NS, order=order, epoch=1, gate_token=1, notional=dec("700.00")
    )


@pytest.mark.req("G-08")
def test_a_rejection_shows_all_that_was_read_up_to_the_check_that_decided() -> None:
    rig = Rig()
    decided = rig.decide(rig.signal(quantity="101"))
    assert msgspec.structs.replace(decided, readings=()) == SignalDecided(
        at_ns=NOW_NS,
        signal_id=decided.signal_id,
        account=ACCOUNT,
        session=SESSION,
        instrument=ALPHA,
        outcome=Outcome.REJECTED,
        order_id=decided.order_id,
        rule="order_quantity",
        detail="found 101, limit 100 (units); wanted: quantity <= order_quantity_max",
        epoch=1,
        side=Side.BUY,
        quantity=dec(101),
    )
    names = [check.name for check in CHECKS]
    told = [each.check for each in decided.readings]
    assert told == names[: names.index("order_quantity") + 1]
    last = Reading(check="order_quantity", is_ok=False, value="101", limit="100")
    assert decided.readings[-1] == last


def test_a_rejected_signal_is_followed_by_no_order() -> None:
    rig = Rig()
    assert len(rig.tell(rig.signal(quantity="101"))) == 1


CHOSEN = [*numbers_in(InstrumentLimits), *numbers_in(AccountLimits)]


@pytest.mark.req("G-07")
@pytest.mark.parametrize("name", CHOSEN)
def test_a_limit_that_nobody_has_chosen_denies_and_is_named(name: str) -> None:
    rig = Rig(config(**{name: None}))
    decided = rig.decide(rig.signal(quantity="1"))
    row = "gate.default" if name in ROW.__struct_fields__ else "gate.accounts.paper"
    assert (decided.outcome, decided.rule) == (Outcome.REJECTED, "limit_missing")
    assert decided.detail.startswith(f"no limit {name}: set ")
    assert decided.detail.endswith(f"{row}.{name}")
    assert decided.readings[-1].is_ok is False
    assert decided.readings[-1].limit == ""


def test_an_instrument_in_a_currency_without_a_value_is_denied() -> None:
    rig = Rig(config(currency_values={"EUR": dec(1)}))
    decided = rig.decide(rig.signal())
    assert (decided.rule, decided.detail) == (
        "limit_missing",
        "no limit currency_value: set gate.accounts.paper.currency_values.USD",
    )


def test_a_holding_in_a_currency_without_a_value_is_a_holding_without_a_price() -> None:
    rig = Rig(config(currency_values={}))
    rig.tell(book(held={ALPHA: "1"}))
    assert rig.gate.state.accounts[ACCOUNT].totals.unpriced == {ALPHA: None}


def test_an_instruments_own_row_comes_before_the_default_field_by_field() -> None:
    own = msgspec.structs.replace(ROW, order_quantity_max=dec(3), stale_after_ms=None)
    rig = Rig(config(instruments={ALPHA: own}))
    rig.quote(instrument=BETA)
    assert rig.rule("a", quantity="4") == "order_quantity"
    assert rig.rule("b", quantity="4", instrument=BETA) == "all"
    assert reading(rig.decide(rig.signal("c", quantity="3")), "market_fresh").limit == "1000"


@pytest.mark.req("S-14")
def test_a_check_that_raises_denies_and_alerts() -> None:
    rig = Rig(kind=BrokenGate)
    said = rig.tell(rig.signal())
    decided = only(SignalDecided, said)
    assert (decided.outcome, decided.rule) == (Outcome.REJECTED, "error")
    assert decided.readings[-1] == Reading(check="broken_collar", is_ok=False)
    assert only(AlertRaised, said) == AlertRaised(
        at_ns=NOW_NS,
        severity=Severity.CRITICAL,
        component="gate",
        code="LT-007",
        message="broken_collar raised ZeroDivisionError: a mistake; the signal was denied",
        fields={"signal": "sig", "session": "s1", "instrument": "sim:ALPHA"},
    )


def test_the_same_mistake_alerts_once_a_minute_and_denies_every_time() -> None:
    rig = Rig(kind=BrokenGate)
    counts: list[Sequence[Event]] = []
    for name, later_ns in (("a", 0), ("b", 60 * S_NS - 1), ("c", 1)):
        rig.now_ns += later_ns
        rig.quote()
        counts.append(rig.tell(rig.signal(name)))
    assert [len(said) for said in counts] == [2, 1, 2]
    assert all(only(SignalDecided, said).rule == "error" for said in counts)


@pytest.mark.req("G-09")
def test_a_cancel_passes_whatever_the_state() -> None:
    rig = Rig(GateConfig())
    rig.guard.halt()
    rig.tell(halt())
    passed = CancelApproved(at_ns=NOW_NS, account=ACCOUNT, instrument=ALPHA, order_id=OrderId("o1"))
    assert rig.tell(cancel()) == [passed]


def test_a_cancel_passes_for_an_account_and_an_instrument_we_do_not_know() -> None:
    [passed] = Rig().tell(cancel(account="other", key="else:WHERE"))
    assert isinstance(passed, CancelApproved)


def test_a_cancel_that_no_subject_can_carry_is_alerted() -> None:
    rig = Rig()
    for asked in (cancel(account="a b"), cancel(key="sim:A.B"), cancel(key="sim")):
        assert only(AlertRaised, rig.tell(asked)).code == "SLU-101"


def test_cancels_count_as_messages_and_are_never_denied() -> None:
    rig = Rig(config(session_messages_max=3))
    mine = rig.approve("a", quantity="1")
    for _ in range(5):
        assert isinstance(only(CancelApproved, rig.tell(cancel(mine.order_id))), CancelApproved)
    assert rig.rule("b", quantity="1") == "session_messages"
    rig.now_ns += 1_000 * MS_NS
    assert rig.rule("c", quantity="1") == "all"


def test_cancels_are_not_kept_so_that_a_full_disk_cannot_block_them() -> None:
    assert not GateCore.keeps & {CancelRequested, CancelApproved}


def test_the_memory_of_ids_denies_rather_than_forget_an_order_that_could_be_sent() -> None:
    small = msgspec.structs.replace(config(), approved_ids_max=2)
    rig = Rig(small)
    assert [rig.rule(name, quantity="1", expires_in_ns=S_NS) for name in "abc"] == [
        "all",
        "all",
        "signal_new",
    ]
    rig.now_ns += S_NS
    assert rig.rule("d", quantity="1") == "all"
    assert len(rig.gate.state.ids.approved) == 2


def test_the_memory_of_rejected_ids_forgets_the_oldest() -> None:
    rig = Rig(msgspec.structs.replace(config(), rejected_ids_max=2))
    for name in "abc":
        rig.rule(name, quantity="101")
    assert [rig.rule(name, quantity="101") for name in "cba"] == [
        "signal_new",
        "signal_new",
        "order_quantity",
    ]


def test_the_report_tells_counts_by_rule_exposure_and_limits() -> None:
    rig = Rig()
    rig.approve("a", quantity="10")
    rig.rule("b", quantity="101")
    rig.rule("c", session=SessionId("x y"))
    report = rig.gate.describe(rig.now_ns)
    assert msgspec.structs.replace(report, limits={}, in_force=()) == GateReported(
        at_ns=NOW_NS,
        trading_state=rig.guard.trading_state(rig.now_ns),
        epoch=1,
        limits_hash="hash",
        decided_count=3,
        approved_count=1,
        rejected_by_rule={"order_quantity": 1, "session_named": 1},
        exposure={"paper sim:ALPHA": "1000.00"},
    )
    assert msgspec.convert(report.limits, GateConfig) == rig.config


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_row_of_the_table_is_complete(check: Check) -> None:
    assert all((check.name, check.reads, check.formula, check.source))
    assert all(is_limit(name) for name in check.limits)
    assert check.read.__doc__


def test_every_limit_is_read_by_some_check() -> None:
    assert {name for check in CHECKS for name in check.limits} >= set(CHOSEN)
