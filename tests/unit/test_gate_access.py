"""Market access over a time: exact windows, slices, repeats, throttles, credit."""

from typing import Any

import pytest
from msgspec.structs import replace as replace_fields

from schemas.base import SessionId, SignalId
from schemas.health import AlertRaised
from schemas.orders import (
    Order,
    OrderApproved,
    OrderType,
    Outcome,
    Side,
    SignalDecided,
    SignalRaised,
)
from services.gate import access
from services.gate.access_parents import REMEMBERED_NS, Parents
from services.gate.access_windows import ENTRIES_MAX, IntentMemory, SumWindow
from services.gate.config_groups import OnExcess
from tests.builders import ALPHA, BETA, MS_NS, S_NS, SESSION, dec, signal
from tests.builders import order as order_of
from tests.gate_rig import (
    NOW_NS,
    book,
    canceled,
    filled,
    only,
    reading,
    refused,
    rejected,
    view,
)
from tests.rules_rig import RulesRig, known

OTHER = SessionId("s2")
MANDATORY = {
    "period_collar_bps": 'gate.instruments."sim:ALPHA".period_collar_bps',
    "session_period_quantity_max": 'gate.instruments."sim:ALPHA".session_period_quantity_max',
    "account_period_quantity_max": 'gate.instruments."sim:ALPHA".account_period_quantity_max',
    **{
        name: f"gate.accounts.paper.{name}"
        for name in (
            "period_ms",
            "session_period_notional_max",
            "account_period_notional_max",
            "strategy_messages_max",
            "venue_messages_max",
            "cancel_messages_reserved",
            "duplicate_window_ms",
            "strategy_executions_max",
            "execution_window_ms",
            "credit_limit_max",
        )
    },
}


@pytest.mark.req("G-07")
@pytest.mark.parametrize("name", MANDATORY)
def test_an_access_limit_nobody_has_chosen_denies_and_says_where(name: str) -> None:
    changes: dict[str, Any] = {name: None}
    rig = RulesRig(**changes)
    decided = rig.decide(rig.signal())
    assert (decided.rule, decided.detail.split(" or ")[0]) == (
        "limit_missing",
        f"no limit {name}: set {MANDATORY[name]}",
    )


def test_an_amount_leaves_its_window_at_the_end_of_it_and_not_before() -> None:
    window = SumWindow()
    window.add(1_000 * MS_NS, dec(7))
    window.add(1_400 * MS_NS, dec(5))
    sums = [window.total(at_ms * MS_NS, 1_000) for at_ms in (1_999, 2_000, 2_399, 2_400)]
    assert sums == [dec(12), dec(5), dec(5), dec(0)]


def test_a_window_of_very_many_amounts_is_bounded_and_never_counts_less() -> None:
    window = SumWindow()
    for at_ns in range(3 * ENTRIES_MAX):
        window.add(at_ns, dec(1))
    assert len(window.entries()) == ENTRIES_MAX
    assert window.total(3 * ENTRIES_MAX, 1) == dec(3 * ENTRIES_MAX)


@pytest.mark.req("G-07")
def test_a_session_may_send_so_much_of_an_instrument_in_a_period_and_no_more() -> None:
    rig = RulesRig(period_ms=1_000, session_period_quantity_max=dec(30))
    rules = [rig.rule(f"a{number}") for number in range(4)]
    other = [rig.rule("b", session=OTHER), rig.rule("c", side=Side.SELL)]
    assert rules == ["all", "all", "all", "session_period_quantity"]
    assert other == ["all", "session_period_quantity"]
    rig.at(NOW_NS + 999 * MS_NS)
    assert rig.rule("d") == "session_period_quantity"
    rig.at(NOW_NS + 1_000 * MS_NS)
    assert rig.rule("e", quantity="30") == "all"


@pytest.mark.req("G-07")
def test_of_too_many_sessions_those_go_on_counting_that_sent_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(access, "SESSIONS_MAX", 3)
    rig = RulesRig(period_ms=60_000, session_period_quantity_max=dec(30))
    assert rig.rule("first", quantity="20") == "all"  # met first, and busy; the others send once
    for number in range(9):
        rig.at(rig.now_ns + MS_NS)
        assert rig.rule(f"a{number}", quantity="1") == "all"
        assert rig.rule(f"b{number}", quantity="1", session=SessionId(f"o{number}")) == "all"
    assert rig.rule("c", quantity="2") == "session_period_quantity"
    assert len(rig.access.sessions) <= 3
    assert len(rig.access.strategies) <= 3


@pytest.mark.req("G-07")
def test_all_sessions_together_may_send_so_much_of_an_instrument_and_no_more() -> None:
    rig = RulesRig(period_ms=1_000, account_period_quantity_max=dec(30))
    rig.quote(instrument=BETA)
    rules = [rig.rule(f"a{number}", session=SessionId(f"s{number}")) for number in range(4)]
    assert rules == ["all", "all", "all", "account_period_quantity"]
    assert rig.rule("other", instrument=BETA) == "all"


@pytest.mark.req("G-07")
def test_value_in_a_period_is_what_orders_counted_for_when_they_were_approved() -> None:
    rig = RulesRig(period_ms=1_000, session_period_notional_max=dec(2_000))
    assert rig.rule("a") == "all"  # 10 at 100.00
    rig.quote("49.95", "50.00")
    decided = rig.decide(rig.signal("b", quantity="21"))
    assert (decided.rule, reading(decided, "session_period_notional").value) == (
        "session_period_notional",
        "2050.00",
    )
    assert rig.rule("c", quantity="20") == "all"
    assert rig.rule("d", quantity="1", session=OTHER) == "all"


@pytest.mark.req("G-07")
def test_all_sessions_together_may_send_so_much_value_and_no_more() -> None:
    rig = RulesRig(period_ms=1_000, account_period_notional_max=dec(2_000))
    rig.quote(instrument=BETA)
    assert rig.rule("a") == "all"
    assert rig.rule("b", session=OTHER, quantity="1", instrument=BETA) == "all"  # 1 x 2 x 100
    assert rig.rule("c", session=OTHER, quantity="9") == "account_period_notional"
    assert rig.rule("d", session=OTHER, quantity="8") == "all"


@pytest.mark.req("G-07")
@pytest.mark.parametrize(
    "limit",
    [
        {"session_period_quantity_max": dec(10)},
        {"account_period_quantity_max": dec(10)},
        {"session_period_notional_max": dec(1_000)},
        {"account_period_notional_max": dec(1_000)},
        {"credit_limit_max": dec(1_000)},
    ],
)
def test_what_only_reduces_passes_limits_that_are_used_up(limit: dict[str, Any]) -> None:
    rig = RulesRig(period_ms=1_000, **limit)
    rig.buy("in")
    assert rig.rule("more", quantity="1") != "all"
    assert rig.rule("out", side=Side.SELL) == "all"
    assert rig.rule("through", side=Side.SELL, quantity="11") != "all"  # all may be gone by then


@pytest.mark.req("G-07")
def test_sessions_of_one_strategy_share_its_messages() -> None:
    rig = RulesRig(strategy_messages_max=3, message_window_ms=1_000)
    for session in (SESSION, OTHER):
        rig.session(session)
    rules = [rig.rule(f"a{number}", session=(SESSION, OTHER)[number % 2]) for number in range(4)]
    assert rules == ["all", "all", "all", "strategy_messages"]
    assert rig.rule("b", session=SessionId("nobodys")) == "all"
    rig.at(NOW_NS + S_NS)
    assert rig.rule("c") == "all"


@pytest.mark.req("G-07")
def test_orders_may_not_take_the_slice_that_is_reserved_for_cancels() -> None:
    rig = RulesRig(venue_messages_max=5, cancel_messages_reserved=2, message_window_ms=1_000)
    orders = [rig.approve(f"a{number}") for number in range(3)]
    decided = rig.decide(rig.signal("b"))
    assert (decided.rule, reading(decided, "venue_messages").value) == ("venue_messages", "6")
    for order in orders:
        rig.cancel(order)  # always: the third is out of the reserve, and goes out all the same
    rig.at(NOW_NS + S_NS)
    for order in orders:
        rig.cancel(order)
    rules = [rig.rule(f"c{number}") for number in range(3)]
    assert rules == ["all", "all", "venue_messages"]


@pytest.mark.req("G-07")
def test_the_same_intent_under_another_id_is_a_repeat_until_the_window_ends() -> None:
    rig = RulesRig(duplicate_window_ms=500)
    limit: dict[str, Any] = {"order_type": OrderType.LIMIT, "limit": "99.00"}
    assert rig.rule("a", **limit) == "all"
    rig.at(NOW_NS + 100 * MS_NS)
    decided = rig.decide(rig.signal("b", **limit))
    assert (decided.rule, reading(decided, "duplicate_intent").value) == (
        "duplicate_intent",
        "100 after signal a",
    )
    others = [
        rig.rule("c", quantity="11", **limit),
        rig.rule("d", **{**limit, "limit": "98.99"}),
        rig.rule("e", side=Side.SELL, **limit),
        rig.rule("f", session=OTHER, **limit),
    ]
    assert others == ["all"] * 4
    rig.at(NOW_NS + 499 * MS_NS)
    assert rig.rule("g", **limit) == "duplicate_intent"
    rig.at(NOW_NS + 500 * MS_NS)
    assert rig.rule("h", **limit) == "all"


@pytest.mark.req("G-01", "G-07")
@pytest.mark.parametrize("is_restarted", [False, True])
def test_an_order_that_was_made_smaller_is_repeated_by_what_was_asked_for(
    is_restarted: bool,
) -> None:
    rig = RulesRig(
        duplicate_window_ms=500, on_excess=OnExcess.REDUCE, position_quantity_max=dec(14)
    )
    said = rig.tell(rig.signal("a", quantity="20"))
    first = only(SignalDecided, said)
    order = only(OrderApproved, said).order
    rig.filled(order, "6")
    rig.tell(canceled(order, "8"))  # there is room again, for another quantity than before
    if is_restarted:
        rig.restart()
        rig.tell(book(held={ALPHA: "6"}))
        rig.quote()
    again = rig.decide(rig.signal("b", quantity="20"))
    other = rig.decide(rig.signal("c", quantity="14", side=Side.SELL))
    assert [(decided.outcome, decided.approved_quantity) for decided in (first, again, other)] == [
        (Outcome.REDUCED, dec(14)),
        (Outcome.REJECTED, dec(0)),
        (Outcome.APPROVED, dec(14)),
    ]


@pytest.mark.req("G-07")
def test_a_denied_intent_may_come_again_and_a_way_out_is_never_a_repeat() -> None:
    rig = RulesRig(duplicate_window_ms=500, order_quantity_max=dec(20))
    assert [rig.rule(name, quantity="21") for name in ("a", "b")] == ["order_quantity"] * 2
    rig.buy("in", quantity="20")
    out = {"side": Side.SELL, "quantity": "5", "is_reduce_only": True}
    assert [rig.rule(name, **out) for name in ("c", "d")] == ["all", "all"]


def test_intents_out_of_their_window_are_forgotten() -> None:
    rig = RulesRig(duplicate_window_ms=500)
    for number in range(50):
        rig.at(NOW_NS + number * 100 * MS_NS)
        rig.approve(f"a{number}", quantity=str(number + 1))
    assert len(rig.access.intents) == 5


def approval(quantity: str, at_ns: int = 0, **fields: Any) -> OrderApproved:
    """An approval of an intent that its quantity tells from others."""
    made = replace_fields(order_of(f"o{quantity}-{at_ns}", quantity=quantity), **fields)
    return OrderApproved(at_ns=at_ns, order=made, epoch=1, gate_token=1)


def remembered(memory: IntentMemory, *quantities: str, now_ns: int = 10) -> list[bool]:
    """Return of which of these intents a new signal would be a repeat."""
    asked = [signal("new", quantity=quantity) for quantity in quantities]
    return [memory.repeated(each, now_ns, 500) is not None for each in asked]


@pytest.mark.req("G-07")
def test_of_too_many_intents_the_one_approved_longest_ago_is_forgotten() -> None:
    memory = IntentMemory(intents_max=2)
    for at_ns, quantity in enumerate(("1", "2", "1", "3")):
        memory.add(approval(quantity, at_ns), 500)
    assert remembered(memory, "1", "2", "3") == [True, False, True]


def test_an_approval_lets_go_of_all_that_is_out_of_the_window() -> None:
    memory = IntentMemory()
    for quantity in ("1", "2", "3"):
        memory.add(approval(quantity), 500)
    memory.add(approval("4", 500 * MS_NS), 500)
    assert len(memory) == 1
    memory.add(approval("5", 501 * MS_NS), 0)
    assert len(memory) == 0


@pytest.mark.req("G-07")
@pytest.mark.parametrize(
    ("fields", "is_repeat"),
    [
        ({"signal_id": SignalId("b")}, True),
        ({"signal_id": SignalId("a")}, False),
        ({"signal_id": SignalId("b"), "parent_id": SignalId("p")}, False),
        ({"signal_id": SignalId("b"), "parent_id": SignalId("q")}, True),
    ],
    ids=["another signal", "a leg of the same", "a slice of its parent", "of another parent"],
)
def test_legs_of_one_signal_and_slices_of_one_parent_are_no_repeats(
    fields: dict[str, Any], is_repeat: bool
) -> None:
    memory = IntentMemory()
    memory.add(approval("10", signal_id=SignalId("a"), parent_id=SignalId("p")), 500)
    asked = replace_fields(signal(), **fields)
    assert (memory.repeated(asked, 1, 500) is not None) is is_repeat


def throttled() -> RulesRig:
    rig = RulesRig(strategy_executions_max=3, execution_window_ms=1_000)
    rig.session(SESSION)
    rig.session(OTHER)
    rig.session(SessionId("s3"), strategy="basis")
    return rig


def stopped() -> RulesRig:
    rig = throttled()
    for number, session in enumerate((SESSION, OTHER, SESSION)):
        rig.buy(f"a{number}", quantity="1", session=session)
    return rig


@pytest.mark.req("G-07")
def test_a_strategy_that_executes_too_often_is_stopped_in_all_its_sessions() -> None:
    rig = stopped()
    alert = only(AlertRaised, rig.due())
    assert (alert.code, alert.fields["strategy"]) == ("SLU-185", "ema_cross")
    decided = rig.decide(rig.signal("b"))
    assert (decided.rule, reading(decided, "execution_throttle").value) == (
        "execution_throttle",
        "strategy ema_cross is stopped since 3 executions in 1000 ms, at 1000000000000 ns;"
        " start it again: sluice start",
    )
    assert rig.rule("c", session=OTHER) == "execution_throttle"
    assert rig.rule("d", session=SessionId("s3")) == "all"


@pytest.mark.req("G-07")
def test_executions_further_apart_than_the_window_stop_nobody() -> None:
    rig = throttled()
    for number in range(9):
        rig.buy(f"a{number}", quantity="1")
        rig.at(rig.now_ns + 500 * MS_NS)
    assert rig.rule("b") == "all"


@pytest.mark.req("G-07")
@pytest.mark.parametrize(
    ("apart_ns", "rule"), [(500 * MS_NS - 1, "execution_throttle"), (500 * MS_NS, "all")]
)
def test_executions_count_to_the_ns_in_which_they_leave_the_window(
    apart_ns: int, rule: str
) -> None:
    rig = throttled()
    for number in range(3):
        rig.buy(f"a{number}", quantity="1")
        rig.at(rig.now_ns + apart_ns)
    assert rig.rule("b") == rule


@pytest.mark.req("G-07")
def test_a_stopped_strategy_that_still_executes_is_told_of_once() -> None:
    rig = throttled()
    orders = [rig.approve(f"a{number}", quantity="1") for number in range(6)]
    said = [each for order in orders for each in rig.tell(filled(order, "1", order.order_id))]
    assert only(AlertRaised, said).code == "SLU-185"
    decided = rig.decide(rig.signal("b"))
    assert reading(decided, "execution_throttle").value == (
        "strategy ema_cross is stopped since 3 executions in 1000 ms, at 1000000000000 ns;"
        " start it again: sluice start"
    )


@pytest.mark.req("G-07")
def test_one_execution_told_many_times_counts_once() -> None:
    rig = throttled()
    order = rig.approve("a")
    for _ in range(5):
        rig.fill(order, "1", "the same")
    assert rig.rule("b") == "all"


@pytest.mark.req("G-07")
def test_only_an_authorised_start_of_the_strategy_lets_it_go_on() -> None:
    rig = stopped()
    rules = []
    rig.at(NOW_NS + 3_600 * S_NS)
    rules.append(rig.rule("after an hour"))
    rig.restart()
    rig.tell(book(at_ns=rig.now_ns))
    rig.quote()
    rules.append(rig.rule("after a restart"))
    rig.start(2, "basis")
    rules.append(rig.rule("after a start of another strategy"))
    rig.start(2, "ema_cross")
    rules.append(rig.rule("after an epoch that is not new"))
    rig.start(3, "ema_cross")
    rules.append(rig.rule("after its own start"))
    assert rules == ["execution_throttle"] * 4 + ["all"]


@pytest.mark.req("G-07")
def test_a_start_of_all_sessions_lets_every_strategy_go_on_from_nothing() -> None:
    rig = stopped()
    rig.start(2)
    assert rig.rule("b") == "all"
    rig.buy("c", quantity="1")
    rig.buy("d", quantity="1")
    assert rig.rule("e") == "all"  # the three from before the start are not counted again


@pytest.mark.req("G-07")
def test_the_stop_is_told_again_after_a_restart_and_not_once_it_is_over() -> None:
    rig = stopped()
    rig.restart()
    rig.tell(book(at_ns=rig.now_ns))
    assert only(AlertRaised, rig.due()).code == "SLU-185"
    rig.start(2)
    rig.restart()
    assert rig.gate.state.access.wake_at_ns is None


@pytest.mark.req("G-07")
def test_credit_is_used_by_positions_open_orders_and_what_was_lost() -> None:
    rig = RulesRig(credit_limit_max=dec(2_000))
    rig.buy("a", price="100")
    rig.sell("b", price="50")  # 500 lost
    decided = rig.decide(rig.signal("c", quantity="16"))
    assert (decided.rule, reading(decided, "credit_limit").value) == ("credit_limit", "2100.00")
    assert rig.rule("d", quantity="15") == "all"
    assert rig.rule("e", quantity="1") == "credit_limit"


@pytest.mark.req("G-07")
def test_a_profit_gives_no_more_credit_and_the_executors_book_counts() -> None:
    rig = RulesRig(credit_limit_max=dec(2_000))
    rig.buy("a", price="50")
    rig.sell("b", price="100")
    assert rig.rule("c", quantity="21") == "credit_limit"
    rig.restart()
    rig.tell(book(at_ns=rig.now_ns))
    rig.quote()
    assert rig.access.realised.loss == dec(0)


@pytest.mark.req("G-07")
def test_an_order_may_follow_the_market_so_far_in_a_period_and_no_further() -> None:
    rig = RulesRig(period_ms=60_000, period_collar_bps=dec(200))
    begin_ns = rig.now_ns
    rig.due()  # sampled at 99.90/100.00
    rig.at(begin_ns + 30 * S_NS)
    rig.quote("101.95", "102.00")
    assert rig.rule("a") == "all"  # 2 % exactly
    rig.quote("101.96", "102.01")
    decided = rig.decide(rig.signal("b"))
    assert (decided.rule, reading(decided, "period_collar").value) == ("period_collar", "201")
    assert rig.rule("c", side=Side.SELL) == "all"  # a sale does not chase a market that rises
    rig.due()  # sampled there
    rig.now_ns = begin_ns + 92 * S_NS
    rig.quote("101.96", "102.01")
    assert rig.rule("d") == "all"  # a period later it is the price of then


@pytest.mark.req("G-07")
def test_a_limit_price_is_what_a_buy_or_sale_would_follow_the_market_to() -> None:
    rig = RulesRig(period_ms=60_000, period_collar_bps=dec(50), price_collar_bps=dec(10_000))
    rig.due()
    limit = {"order_type": OrderType.LIMIT}
    rules = [
        rig.rule("a", limit="100.50", **limit),
        rig.rule("b", limit="100.51", **limit),
        rig.rule("c", limit="99.41", side=Side.SELL, **limit),
        rig.rule("d", limit="99.40", side=Side.SELL, **limit),
    ]
    assert rules == ["all", "period_collar", "all", "period_collar"]


def sliced(
    rig: RulesRig, signal_id: str, quantity: str, parent: str = "p", whole: str = "100", **more: Any
) -> SignalRaised:
    raised = rig.signal(signal_id, quantity=quantity, **more)
    return replace_fields(raised, parent_id=SignalId(parent), parent_quantity=dec(whole))


def slice_of(rig: RulesRig, signal_id: str, quantity: str, **more: Any) -> Order:
    return only(OrderApproved, rig.tell(sliced(rig, signal_id, quantity, **more))).order


@pytest.mark.req("G-07", "X-03")
def test_slices_come_to_no_more_than_their_parent() -> None:
    rig = RulesRig()
    slice_of(rig, "a", "60")
    decided = rig.decide(sliced(rig, "b", "41"))
    assert (decided.rule, reading(decided, "slices_conserved").value) == ("slices_conserved", "101")
    assert rig.decide(sliced(rig, "c", "40")).rule == "all"
    assert rig.decide(sliced(rig, "d", "1")).rule == "slices_conserved"
    assert rig.decide(sliced(rig, "e", "1", parent="q")).rule == "all"
    assert rig.decide(sliced(rig, "f", "1", session=OTHER)).rule == "all"


@pytest.mark.req("G-07", "X-03")
def test_what_can_no_longer_fill_is_given_back_and_what_has_filled_is_not() -> None:
    rig = RulesRig()
    orders = [slice_of(rig, f"a{number}", "20") for number in range(5)]
    rig.filled(orders[0], "20")
    rig.filled(orders[1], "5")
    rig.cancelled(orders[1], "15")
    rig.tell(rejected(orders[2], at_ns=rig.now_ns))
    rig.tell(refused(orders[3], at_ns=rig.now_ns))
    rig.replaced(orders[4])
    assert rig.access.parents.used(SESSION, SignalId("p")) == dec(25)
    assert rig.decide(sliced(rig, "b", "76")).rule == "slices_conserved"
    assert rig.decide(sliced(rig, "c", "75")).rule == "all"


@pytest.mark.req("G-07", "X-03")
def test_a_fill_that_is_told_after_the_cancel_stays_used() -> None:
    rig = RulesRig()
    order = slice_of(rig, "a", "100")
    for _ in range(2):  # told again
        rig.cancelled(order, "70")  # 30 have filled, and nobody has told yet
    assert rig.access.parents.used(SESSION, SignalId("p")) == dec(30)
    rig.filled(order, "30")
    assert rig.access.parents.used(SESSION, SignalId("p")) == dec(30)
    assert not rig.access.parents.slices


@pytest.mark.req("G-07", "X-03")
@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({"parent_quantity": dec(200)}, "buy 200 of a parent that was buy 100"),
        ({"side": Side.SELL}, "sell 100 of a parent that was buy 100"),
        ({"parent_quantity": None}, "parent_id and parent_quantity not both given"),
        ({"parent_id": None}, "parent_id and parent_quantity not both given"),
    ],
)
def test_a_slice_that_contradicts_its_parent_is_denied(more: dict[str, Any], found: str) -> None:
    rig = RulesRig()
    slice_of(rig, "a", "10")
    decided = rig.decide(replace_fields(sliced(rig, "b", "10"), **more))
    assert (decided.rule, reading(decided, "slices_conserved").value) == ("slices_conserved", found)


@pytest.mark.req("G-07", "X-03")
def test_a_slice_that_is_gone_from_the_book_stays_used_unless_the_book_says_otherwise() -> None:
    rig = RulesRig()
    told, silent, still = (slice_of(rig, name, "30") for name in ("a", "b", "c"))
    rig.now_ns += 60 * S_NS  # all are long since expired
    rig.tell(
        book(
            view(still, filled="10"),
            held={ALPHA: "22"},
            at_ns=rig.now_ns,
            recent=(view(told, filled="12"),),
        )
    )
    assert rig.access.parents.used(SESSION, SignalId("p")) == dec(12 + 30 + 30)
    assert {key: each.leaves for key, each in rig.access.parents.slices.items()} == {
        still.order_id: dec(20)
    }
    assert silent.order_id not in rig.access.parents.slices


@pytest.mark.req("G-07", "X-03")
def test_when_too_many_parents_are_remembered_a_new_one_waits_for_the_oldest() -> None:
    rig = RulesRig()
    rig.access.parents = Parents(parents_max=2)
    first = slice_of(rig, "a", "10", parent="p1")
    slice_of(rig, "b", "10", parent="p2")
    assert rig.decide(sliced(rig, "c", "1", parent="p3")).rule == "slices_conserved"
    rig.filled(first, "10")
    rig.at(NOW_NS + REMEMBERED_NS - 1)
    assert rig.decide(sliced(rig, "d", "1", parent="p3")).rule == "slices_conserved"
    rig.at(NOW_NS + REMEMBERED_NS)
    assert rig.decide(sliced(rig, "e", "1", parent="p3")).rule == "all"


@pytest.mark.req("G-07")
def test_a_restart_brings_back_all_that_was_sent_and_executed() -> None:
    rig = RulesRig(
        period_ms=60_000,
        duplicate_window_ms=500,
        strategy_executions_max=4,
        execution_window_ms=60_000,
    )
    rig.session()
    order = slice_of(rig, "a", "40")
    rig.filled(order, "15", "101")
    rig.cancelled(order, "10")
    rig.sell("b", quantity="5", price="90")
    rig.approve("c", order_type=OrderType.LIMIT, limit="95.00", session=OTHER)
    before = known(rig)
    assert all(before[name] for name in ("notional", "slices", "profit", "executed"))
    rig.restart()
    assert known(rig) == before


@pytest.mark.req("G-11")
def test_the_windows_of_one_session_do_not_count_for_another() -> None:
    rig = RulesRig(period_ms=60_000, session_period_quantity_max=dec(20))
    rules = [rig.rule(f"greedy{number}") for number in range(20)]
    assert rules.count("session_period_quantity") == 18
    assert [rig.rule(f"b{number}", session=OTHER) for number in range(2)] == ["all", "all"]


@pytest.mark.req("G-01", "G-07")
@pytest.mark.parametrize(
    "limit",
    [
        {"session_period_quantity_max": dec(25)},
        {"account_period_quantity_max": dec(25)},
        {"session_period_notional_max": dec(2_550)},
        {"account_period_notional_max": dec(2_550)},
        {"credit_limit_max": dec(2_550)},
    ],
)
def test_what_is_too_much_in_a_period_is_reduced_to_what_fits_where_that_is_chosen(
    limit: dict[str, Any],
) -> None:
    rig = RulesRig(period_ms=1_000, on_excess=OnExcess.REDUCE, **limit)
    rig.approve("a")
    decided = rig.decide(rig.signal("b", quantity="30"))
    assert (decided.outcome, decided.approved_quantity) == (Outcome.REDUCED, dec(15))
    assert rig.rule("c", quantity="1") != "all"


@pytest.mark.req("G-01", "X-03")
def test_a_slice_that_is_too_large_is_reduced_to_what_its_parent_has_left() -> None:
    rig = RulesRig(on_excess=OnExcess.REDUCE)
    slice_of(rig, "a", "60")
    decided = rig.decide(sliced(rig, "b", "70"))
    assert (decided.outcome, decided.approved_quantity) == (Outcome.REDUCED, dec(40))
    assert rig.access.parents.used(SESSION, SignalId("p")) == dec(100)
