"""Each safeguard of market access and compliance, taken away: what it was there for happens."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from schemas.base import SessionId, SignalId
from schemas.control import EpochStarted
from schemas.executions import OrderFilled
from schemas.instruments import AssetClass
from schemas.orders import OrderApproved, OrderType, Side, SignalRaised
from services.gate.access import Access
from services.gate.access_parents import Parents
from services.gate.access_throttle import Throttle
from services.gate.checks import access, compliance
from services.gate.compliance import Compliance
from services.gate.compliance_account import AccountCompliance
from services.gate.compliance_day_trades import DayTrades, Makes
from services.gate.config_compliance import (
    DayTrading,
    Locate,
    Restricted,
    SelfTrade,
    WashSale,
)
from services.gate.core import GateCore
from services.gate.table import CHECKS
from tests.builders import ALPHA, S_NS, SESSION, dec
from tests.gate_rig import INSTRUMENTS, book
from tests.rules_rig import RulesRig

Scene = Callable[[RulesRig], SignalRaised]
SELL, LIMIT = Side.SELL, OrderType.LIMIT
MONDAY = "2026-05-04"


def without(name: str) -> type[GateCore]:
    """Return a gate whose table lacks this check."""

    class Weakened(GateCore):
        checks = tuple(check for check in CHECKS if check.name != name)

    return Weakened


def slice_(rig: RulesRig, signal_id: str) -> SignalRaised:
    raised = rig.signal(signal_id, quantity="60")
    return msgspec.structs.replace(raised, parent_id=SignalId("p"), parent_quantity=dec(100))


def with_a_slice_out(rig: RulesRig) -> SignalRaised:
    rig.tell(slice_(rig, "a"))
    return slice_(rig, "b")


def after_one(rig: RulesRig) -> SignalRaised:
    rig.approve("a")
    return rig.signal("b")


def after_one_of_another_session(rig: RulesRig) -> SignalRaised:
    rig.approve("a", session=SessionId("s2"))
    return rig.signal("b")


def after_executions(rig: RulesRig) -> SignalRaised:
    rig.buy("a")
    rig.buy("b")
    return rig.signal("c")


def after_a_rise(rig: RulesRig) -> SignalRaised:
    rig.due()
    rig.quote("119.95", "120.00")
    return rig.signal()


def after_a_loss(rig: RulesRig) -> SignalRaised:
    rig.buy("a")
    rig.sell("b", price="10")
    return rig.signal("c", quantity="2")


def to_buy_back_after_a_loss(rig: RulesRig) -> SignalRaised:
    rig.on(MONDAY)
    return after_a_loss(rig)


def to_day_trade_once_more(rig: RulesRig) -> SignalRaised:
    rig.on(MONDAY)
    rig.mark("20000")
    for number in range(3):
        rig.buy(f"in {number}")
        rig.sell(f"out {number}")
    rig.buy("in")
    return rig.signal("out", side=SELL)


def beyond_the_margin(rig: RulesRig) -> SignalRaised:
    rig.on("2026-06-04")
    rig.due()
    rig.mark("1000")
    return rig.signal(quantity="41")


def to_sell_short(rig: RulesRig) -> SignalRaised:
    rig.on(MONDAY)
    return rig.signal(side=SELL)


def to_meet_an_own_order(rig: RulesRig) -> SignalRaised:
    rig.approve("ask", side=SELL, order_type=LIMIT, limit="100.00")
    return rig.signal()


SCENES: dict[str, tuple[dict[str, Any], Scene]] = {
    "slices_conserved": ({}, with_a_slice_out),
    "duplicate_intent": ({"duplicate_window_ms": 1_000}, after_one),
    "execution_throttle": ({"strategy_executions_max": 2}, after_executions),
    "period_collar": ({"period_ms": 60_000, "period_collar_bps": dec(100)}, after_a_rise),
    "session_period_quantity": (
        {"period_ms": 60_000, "session_period_quantity_max": dec(15)},
        after_one,
    ),
    "account_period_quantity": (
        {"period_ms": 60_000, "account_period_quantity_max": dec(15)},
        after_one_of_another_session,
    ),
    "session_period_notional": (
        {"period_ms": 60_000, "session_period_notional_max": dec(1_500)},
        after_one,
    ),
    "account_period_notional": (
        {"period_ms": 60_000, "account_period_notional_max": dec(1_500)},
        after_one_of_another_session,
    ),
    "credit_limit": ({"credit_limit_max": dec(1_000)}, after_a_loss),
    "strategy_messages": ({"strategy_messages_max": 1}, after_one),
    "venue_messages": ({"venue_messages_max": 1}, after_one_of_another_session),
    "restricted_list": ({"restricted": (Restricted(instrument=ALPHA),)}, RulesRig.signal),
    "self_trade": ({"self_trade": SelfTrade.REJECT_NEWEST}, to_meet_an_own_order),
    "pattern_day_trader": (
        {"day_trading": DayTrading.PATTERN_DAY_TRADER, "calendar": "XNYS"},
        to_day_trade_once_more,
    ),
    "intraday_margin": (
        {"day_trading": DayTrading.INTRADAY_MARGIN, "calendar": "XNYS"},
        beyond_the_margin,
    ),
    "short_option": ({}, to_sell_short),
    "wash_sale": ({"wash_sale": WashSale.BLOCK, "calendar": "XNYS"}, to_buy_back_after_a_loss),
    "short_locate": ({"short_locate": Locate.REQUIRED, "calendar": "XNYS"}, to_sell_short),
}


def test_every_check_of_the_two_families_has_its_ablation() -> None:
    assert set(SCENES) == {row.name for family in (access, compliance) for row in family.ROWS}


@pytest.mark.req("G-06", "G-07")
@pytest.mark.parametrize("name", SCENES)
def test_an_order_goes_out_that_its_check_would_have_stopped(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, scene = SCENES[name]
    if name == "short_option":
        option = msgspec.structs.replace(INSTRUMENTS[ALPHA], asset_class=AssetClass.OPTION)
        monkeypatch.setitem(INSTRUMENTS, ALPHA, option)
    whole, weakened = RulesRig(**changes), RulesRig(without(name), **changes)
    assert whole.decide(scene(whole)).rule == name
    said = weakened.tell(scene(weakened))
    assert isinstance(said[-1], OrderApproved)


@pytest.mark.req("G-07")
def test_without_the_order_of_epochs_a_repeated_start_lets_a_stopped_strategy_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rule_after_a_repeat() -> str:
        rig = RulesRig(strategy_executions_max=2)
        rig.start(5)
        after_executions(rig)
        rig.start(5)
        return rig.rule("again")

    assert rule_after_a_repeat() == "execution_throttle"

    def trusting(self: Throttle, event: EpochStarted) -> None:
        self.stopped.clear()

    monkeypatch.setattr(Throttle, "start", trusting)
    assert rule_after_a_repeat() == "all"


@pytest.mark.req("G-07")
def test_without_kept_executions_a_restart_lets_a_stopped_strategy_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rule_after_a_restart() -> str:
        rig = RulesRig(strategy_executions_max=2)
        after_executions(rig)
        rig.restart()
        rig.tell(book(at_ns=rig.now_ns))
        rig.quote()
        return rig.rule("again")

    assert rule_after_a_restart() == "execution_throttle"
    monkeypatch.setattr(Access, "keeps", Access.keeps - {OrderFilled})
    assert rule_after_a_restart() == "all"


@pytest.mark.req("G-07")
def test_without_giving_back_what_was_cancelled_a_parent_is_never_finished(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rule_after_a_cancel() -> str:
        rig = RulesRig()
        said = rig.tell(slice_(rig, "a"))
        assert isinstance(said[-1], OrderApproved)
        rig.cancelled(said[-1].order, "60")
        return rig.decide(slice_(rig, "b")).rule

    assert rule_after_a_cancel() == "all"
    monkeypatch.setattr(Parents, "release", lambda self, order_id, leaves=None: None)
    assert rule_after_a_cancel() == "slices_conserved"


@pytest.mark.req("G-07")
def test_without_the_slice_of_cancels_orders_take_all_messages() -> None:
    def approved_count(reserved: int) -> int:
        rig = RulesRig(venue_messages_max=10, cancel_messages_reserved=reserved)
        return [rig.rule(f"a{number}") for number in range(12)].count("all")

    assert (approved_count(4), approved_count(0)) == (6, 10)


@pytest.mark.req("G-06")
def test_without_counting_open_orders_day_trades_pass_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def day_trades() -> int:
        rig = RulesRig(day_trading=DayTrading.PATTERN_DAY_TRADER, calendar="XNYS")
        rig.on(MONDAY)
        rig.mark("20000")
        orders = []
        rig.buy("in", quantity="60")
        for number in range(6):
            raised = rig.signal(f"out {number}", side=SELL)
            if rig.decide(raised).rule == "all":
                orders.append(raised.signal_id)
        return len(orders)

    assert day_trades() == 3

    def never(self: DayTrades, lane: Any, side: Side, day_ns: int) -> Makes:
        return Makes.NOTHING

    monkeypatch.setattr(DayTrades, "makes", never)
    assert day_trades() == 6


@pytest.mark.req("G-06")
def test_without_letting_go_of_closed_orders_nobody_could_trade_against_their_shadow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rule_after_a_cancel() -> str:
        rig = RulesRig(self_trade=SelfTrade.REJECT_NEWEST)
        order = rig.approve("ask", side=SELL, order_type=LIMIT, limit="100.00")
        rig.cancelled(order, "10")
        return rig.rule("b")

    assert rule_after_a_cancel() == "all"
    monkeypatch.setattr(AccountCompliance, "_let_go", lambda self, order_id: None)
    assert rule_after_a_cancel() == "self_trade"


@pytest.mark.req("G-06")
def test_without_kept_approvals_a_restart_lets_an_account_meet_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rests_after_a_restart() -> int:
        rig = RulesRig(self_trade=SelfTrade.REJECT_NEWEST)
        to_meet_an_own_order(rig)
        rig.restart()
        return len(rig.rules.resting.orders())

    assert rests_after_a_restart() == 1
    monkeypatch.setattr(Compliance, "keeps", Compliance.keeps - {OrderApproved})
    assert rests_after_a_restart() == 0


@pytest.mark.req("G-07")
def test_without_folding_once_a_repeated_execution_stops_a_strategy() -> None:
    rig = RulesRig(strategy_executions_max=3, execution_window_ms=1_000)
    order = rig.approve("a")
    for _ in range(3):
        rig.fill(order, "1", "the same")
    once = rig.access.throttle.count(SESSION, rig.now_ns, 1_000)
    for _ in range(2):  # what it would be without comparing with the account's own count
        rig.access.throttle.execute(SESSION, rig.now_ns, 3, 1_000)
    assert (once, SESSION in rig.access.throttle.stopped) == (1, True)
    assert rig.now_ns % S_NS == 0
