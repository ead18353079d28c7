"""Each safeguard of the gate, taken away: what it was there for then happens."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from schemas.base import Event, InstrumentId, SessionId
from schemas.health import GapSeen
from schemas.market import InstrumentStatusChanged, Trading
from schemas.orders import OrderApproved, OrderType, Side, SignalRaised
from schemas.restrictions import Level
from schemas.sessions import SessionCreated, SessionLimits
from services.gate import account, core
from services.gate.checks import exposure, groups, order, permission, rate
from services.gate.config_groups import GroupLimits
from services.gate.config_market import LockedMarket
from services.gate.core import GateCore
from services.gate.table import CHECKS
from tests.builders import ACCOUNT, ALPHA, BETA, MS_NS, S_NS, SESSION, dec, quote
from tests.gate_rig import (
    NOW_NS,
    Rig,
    book,
    config,
    filled,
    resting,
    view,
)

Scene = Callable[[Rig], SignalRaised]


def without(*names: str) -> type[GateCore]:
    """Return a gate whose table lacks these checks."""

    class Weakened(GateCore):
        checks = tuple(check for check in CHECKS if check.name not in names)

    return Weakened


def halted(rig: Rig) -> SignalRaised:
    rig.guard.halt()
    return rig.signal()


def with_a_hole(rig: Rig) -> SignalRaised:
    rig.tell(GapSeen(at_ns=0, subject="exec.s.p", publisher="e", expected_seq=1, got_seq=2))
    return rig.signal()


def told_twice(rig: Rig) -> SignalRaised:
    rig.approve("same")
    return rig.signal("same")


def in_a_halted_instrument(rig: Rig) -> SignalRaised:
    rig.tell(InstrumentStatusChanged(at_ns=0, instrument=ALPHA, trading=Trading.HALTED))
    return rig.signal()


def on_a_stale_quote(rig: Rig) -> SignalRaised:
    rig.now_ns += 3_600 * S_NS
    return rig.signal()


def in_a_crossed_market(rig: Rig) -> SignalRaised:
    rig.quote("100.10", "100.00")
    return rig.signal()


def in_a_wide_market(rig: Rig) -> SignalRaised:
    rig.quote("1.00", "100.00")
    return rig.signal(side=Side.SELL)


def in_a_locked_market(rig: Rig) -> SignalRaised:
    rig.quote("100.00", "100.00")
    return rig.signal()


def on_a_price_that_jumped(rig: Rig) -> SignalRaised:
    rig.quote()
    rig.quote("119.90", "120.00")
    return rig.signal()


def by_a_clock_that_is_behind(rig: Rig) -> SignalRaised:
    newest = quote("99.90", "100.00", at_ns=rig.now_ns)
    rig.tell(msgspec.structs.replace(newest, venue_ns=rig.now_ns + 51 * MS_NS))
    return rig.signal()


def replacing_the_order_of_another(rig: Rig) -> SignalRaised:
    theirs = rig.approve("theirs", session=SessionId("s2"), quantity="1")
    return msgspec.structs.replace(rig.signal(), replaces=theirs.order_id)


def turning_a_position_by_reduce_only(rig: Rig) -> SignalRaised:
    rig.tell(book(held={ALPHA: "1"}))
    return rig.signal(side=Side.SELL, quantity="100", is_reduce_only=True)


def after_a_burst(rig: Rig) -> SignalRaised:
    for number in range(20):
        rig.approve(f"b{number}", quantity="1")
    return rig.signal(quantity="1")


def after_a_burst_of_many_sessions(rig: Rig) -> SignalRaised:
    for number in range(30):
        rig.approve(f"b{number}", quantity="1", session=SessionId(f"s{number % 3}"))
    return rig.signal(quantity="1", session=SessionId("fresh"))


def with_a_full_position(rig: Rig) -> SignalRaised:
    rig.tell(book(view(resting("o", quantity="200"))))
    return rig.signal(quantity="1")


def with_full_gross(rig: Rig) -> SignalRaised:
    rig.quote(instrument=BETA)
    rig.tell(book(held={BETA: "150"}))
    return rig.signal(quantity="1")


def in_a_halted_venue(rig: Rig) -> SignalRaised:
    rig.guard.restrict("venue.sim", Level.HALT)
    return rig.signal()


def turning_a_position_under_reduce(rig: Rig) -> SignalRaised:
    rig.tell(book(held={ALPHA: "1"}))
    rig.guard.restrict("all", Level.REDUCE)
    return rig.signal(side=Side.SELL, quantity="100")


def with_a_full_session(rig: Rig) -> SignalRaised:
    created = SessionCreated(
        at_ns=0,
        session=SESSION,
        start_id="start-1",
        strategy="trend",
        account=ACCOUNT,
        instruments=(ALPHA,),
        initial_capital=dec(1),
        risk_limits=SessionLimits(order_notional_max=dec(1_000)),
    )
    rig.tell(created)
    return rig.signal(quantity="11")


def grouped(gross: int, net: int) -> dict[str, GroupLimits]:
    """Return a table with one row for every group."""
    return {"default": GroupLimits(gross_notional_max=dec(gross), net_notional_max=dec(net))}


def known(rig: Rig) -> SignalRaised:
    with_a_full_session(rig)
    return rig.signal(quantity="10")


LIMIT = OrderType.LIMIT
SCENES: dict[str, Scene] = {
    "session_named": lambda rig: rig.signal(session=SessionId("a b")),
    "trading_permitted": halted,
    "exposure_known": with_a_hole,
    "signal_in_time": lambda rig: rig.signal(expires_in_ns=-S_NS),
    "signal_new": told_twice,
    "instrument_open": in_a_halted_instrument,
    "market_fresh": on_a_stale_quote,
    "market_sane": in_a_crossed_market,
    "market_locked": in_a_locked_market,
    "market_jump": on_a_price_that_jumped,
    "market_clock": by_a_clock_that_is_behind,
    "market_spread": in_a_wide_market,
    "quantity_valid": lambda rig: rig.signal(quantity="-5"),
    "order_quantity": lambda rig: rig.signal(quantity="101", side=Side.SELL),
    "price_valid": lambda rig: rig.signal(order_type=LIMIT),
    "price_collar": lambda rig: rig.signal(order_type=LIMIT, limit="190.00", quantity="1"),
    "order_notional": lambda rig: rig.signal(quantity="101"),
    "replaces_own": replacing_the_order_of_another,
    "reduce_only": turning_a_position_by_reduce_only,
    "position_quantity": with_a_full_position,
    "position_notional": with_a_full_position,
    "gross_notional": with_full_gross,
    "not_restricted": in_a_halted_venue,
    "reducing": turning_a_position_under_reduce,
    "net_notional": lambda rig: rig.signal(quantity="90"),
    "asset_class_gross": lambda rig: rig.signal(),
    "asset_class_net": lambda rig: rig.signal(),
    "venue_gross": lambda rig: rig.signal(),
    "venue_net": lambda rig: rig.signal(),
    "strategy_gross": known,
    "strategy_net": known,
    "session_order": with_a_full_session,
    "session_position": lambda rig: rig.signal(quantity="90"),
    "session_gross": lambda rig: rig.signal(quantity="90"),
    "session_messages": after_a_burst,
    "account_messages": after_a_burst_of_many_sessions,
}
WIDER: dict[str, dict[str, Any]] = {
    "market_locked": {"locked_market": LockedMarket.DENY},
    "market_jump": {"jump_bps_max": dec(500), "jump_quotes_min": 2},
    "market_clock": {"clock_offset_ms_max": 50},
    # Where two checks stand against the same harm, the other one is out of the way.
    "order_quantity": {"order_notional_max": dec(10**6)},
    "order_notional": {"order_quantity_max": dec(10**6)},
    "position_quantity": {"position_notional_max": dec(10**6)},
    "position_notional": {"position_quantity_max": dec(10**6)},
    "account_messages": {"session_messages_max": 100},
    "net_notional": {"net_notional_max": dec(8_999)},
    "asset_class_gross": {"asset_classes": grouped(999, 10**6)},
    "asset_class_net": {"asset_classes": grouped(10**6, 999)},
    "venue_gross": {"venues": grouped(999, 10**6)},
    "venue_net": {"venues": grouped(10**6, 999)},
    "strategy_gross": {"strategies": grouped(999, 10**6)},
    "strategy_net": {"strategies": grouped(10**6, 999)},
    "session_position": {"session_position_notional_max": dec(8_999)},
    "session_gross": {"session_gross_notional_max": dec(8_999)},
}


def test_every_check_has_its_ablation() -> None:
    denied_otherwise = {"account_known", "instrument_known", "strategy_known"}
    same_as_venues = {"sector_gross", "sector_net"}
    mine = (permission, order, exposure, groups, rate)
    wanted = {row.name for family in mine for row in family.ROWS}
    assert not wanted - set(SCENES) - denied_otherwise - same_as_venues


@pytest.mark.req("G-01", "G-02", "G-05", "G-07")
@pytest.mark.parametrize("name", SCENES)
def test_an_order_goes_out_that_its_check_would_have_stopped(name: str) -> None:
    wider = config(**WIDER.get(name, {}))
    whole, weakened = Rig(wider), Rig(wider, without(name))
    assert whole.decide(SCENES[name](whole)).rule == name
    said = weakened.tell(SCENES[name](weakened))
    assert isinstance(said[-1], OrderApproved)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("account_known", {"account": "other"}),
        ("instrument_known", {"instrument": InstrumentId("sim:OMEGA")}),
    ],
)
def test_what_is_not_known_is_denied_even_without_its_check(
    name: str, more: dict[str, str]
) -> None:
    weakened = Rig(kind=without(name))
    assert weakened.decide(weakened.signal(**more)).rule == "error"


def test_without_kept_approvals_a_restart_approves_a_signal_twice() -> None:
    class Forgetful(GateCore):
        def __init__(self, *made_from: Any) -> None:
            super().__init__(*made_from)
            self.keeps -= {OrderApproved}

    rules = []
    for kind in (GateCore, Forgetful):
        rig = Rig(kind=kind)
        rig.approve("same")
        rig.restart()
        rig.tell(book())
        rig.quote()
        rules.append(rig.rule("same"))
    assert rules == ["signal_new", "all"]


def test_without_doubt_after_a_restart_the_gate_trades_on_what_it_missed() -> None:
    class Trusting(GateCore):
        def restore(self, event: Event) -> None:
            self.state.restore(event)

    rules = []
    for kind in (GateCore, Trusting):
        rig = Rig(kind=kind)
        rig.tell(book(held={ALPHA: "5"}))
        rig.restart()
        rig.quote()
        rules.append(rig.rule())
    assert rules == ["exposure_known", "all"]


def test_without_the_rule_for_old_news_a_fill_counts_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def positions() -> int:
        rig = Rig()
        rig.tell(book(held={ALPHA: "30"}, at_ns=NOW_NS + 5))
        rig.tell(filled(resting("o", quantity="30"), "30", "e1", at_ns=NOW_NS + 4))
        return int(rig.gate.state.accounts[ACCOUNT].lanes[ALPHA].position)

    assert positions() == 30
    monkeypatch.setattr(account.Account, "is_news", lambda self, event: True)
    assert positions() == 60


def test_without_the_rule_for_old_books_a_fill_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def positions() -> int:
        rig = Rig()
        rig.tell(filled(rig.approve("a", quantity="30"), "30", "e1", at_ns=NOW_NS + 9))
        rig.tell(book(at_ns=NOW_NS + 8))
        return int(rig.gate.state.accounts[ACCOUNT].lanes[ALPHA].position)

    assert positions() == 30
    monkeypatch.setattr(account.Account, "is_stale", lambda self, book: False)
    assert positions() == 0


@pytest.mark.req("G-02")
def test_without_counting_approvals_on_their_way_orders_pass_the_limit_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def approved_quantity() -> int:
        rig = Rig()
        rules = [rig.rule(f"s{number}", quantity="100") for number in range(5)]
        return rules.count("all") * 100

    assert approved_quantity() == 200
    monkeypatch.setattr(account.Account, "approve", lambda self, order, at_ns: None)
    assert approved_quantity() == 500


def test_without_keeping_approvals_over_a_book_an_order_on_its_way_is_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rule_after_a_book() -> str:
        rig = Rig()
        rig.approve("a", quantity="100")
        rig.approve("b", quantity="100")
        rig.tell(book(held={BETA: "0"}, at_ns=NOW_NS + MS_NS))
        rig.tell(book(held={ALPHA: "1"}, at_ns=NOW_NS + MS_NS))
        return rig.rule("c", quantity="100")

    assert rule_after_a_book() == "position_quantity"
    monkeypatch.setattr(account.Account, "_on_their_way", lambda self, book: [])
    assert rule_after_a_book() == "all"


def test_without_asking_again_a_lost_answer_leaves_the_gate_shut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def asked_times() -> int:
        rig = Rig()
        gap = GapSeen(at_ns=0, subject="exec.s.p", publisher="e", expected_seq=1, got_seq=2)
        asked = len(rig.tell(gap))
        for _ in range(3):
            rig.now_ns += S_NS
            asked += len(rig.gate.wake(rig.now_ns)) if _is_due(rig) else 0
        return asked

    assert asked_times() == 4
    monkeypatch.setattr(core, "ASK_AGAIN_NS", 1_000_000 * S_NS)
    assert asked_times() == 1


def _is_due(rig: Rig) -> bool:
    return rig.gate.wake_at_ns is not None and rig.gate.wake_at_ns <= rig.now_ns


def test_an_order_carries_the_epoch_from_before_the_guard_was_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A start that comes between asking and stamping must not lend the order its epoch."""
    rig = Rig()

    def permits_while_an_epoch_starts(now_ns: int) -> str:
        rig.guard.epoch = 2
        return ""

    monkeypatch.setattr(rig.guard, "permits", permits_while_an_epoch_starts)
    assert rig.decide(rig.signal()).epoch == 1
