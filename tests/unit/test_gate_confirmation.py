"""The gate's half of confirmation: no mode can be got round, whatever the strategy service says."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from schemas.base import SessionId, SignalId
from schemas.confirmations import ConfirmAsked, ConfirmRequest, SignalAwaiting
from schemas.orders import OrderApproved, OrderType, Side, SignalRaised
from schemas.sessions import SessionCreated, SessionState, SessionStateChanged
from services.gate import confirmed
from services.gate.config_groups import OnExcess
from services.gate.core import GateCore
from services.gate.table import CHECKS
from tests.builders import ACCOUNT, ALPHA, S_NS, SESSION, dec, signal
from tests.gate_rig import NOW_NS, Rig, config, halt, only

pytestmark = pytest.mark.req("S-09")
WAIT_NS = 60 * S_NS
REST: dict[str, Any] = {"order_type": OrderType.LIMIT, "limit": "100.50"}


class Person:
    """A gate with one session in a mode, and what a person sees and says."""

    def __init__(self, mode: str, kind: type[GateCore] = GateCore, **limits: Any) -> None:
        self.rig = Rig(config(**limits), kind)
        self.rig.tell(
            SessionCreated(
                at_ns=NOW_NS,
                session=SESSION,
                start_id="start",
                strategy="ema_cross",
                account=ACCOUNT,
                instruments=(ALPHA,),
                initial_capital=dec(1_000),
                execution_mode=mode,
            )
        )

    def show(self, raised: SignalRaised) -> None:
        self.rig.tell(
            SignalAwaiting(
                at_ns=self.rig.now_ns,
                session=raised.session,
                signal=raised,
                expires_at_ns=self.rig.now_ns + WAIT_NS,
            )
        )

    def confirm(self, signal_id: str, is_refused: bool = False) -> None:
        request = ConfirmRequest(operator="kim", signal=SignalId(signal_id), is_refused=is_refused)
        self.rig.tell(ConfirmAsked(at_ns=self.rig.now_ns, request_id="r", request=request))

    def hold(self, quantity: str, side: Side = Side.BUY) -> None:
        """Come to hold something, by a confirmed order that filled."""
        raised = self.rig.signal("held", side=side, quantity=quantity)
        self.show(raised)
        self.confirm("held")
        order = only(OrderApproved, self.rig.tell(raised)).order
        self.rig.fill(order, quantity, "x-held")

    def rule(self, raised: SignalRaised) -> str:
        return self.rig.decide(raised).rule


def test_a_confirmed_signal_becomes_an_order_and_an_unconfirmed_one_does_not() -> None:
    person = Person("MANUAL")
    raised = person.rig.signal("a")
    person.show(raised)
    assert person.rule(person.rig.signal("b")) == "signal_confirmed"
    person.confirm("a")
    assert person.rule(raised) == "all"


@pytest.mark.parametrize("mode", ["MANUAL", "SEMI_AUTO", "SOMETHING_NEW"])
def test_a_strategy_that_publishes_its_entry_by_itself_gets_no_order(mode: str) -> None:
    person = Person(mode)
    decided = person.rig.decide(person.rig.signal("a"))
    assert (decided.rule, decided.approved_quantity) == ("signal_confirmed", dec(0))


def test_without_the_check_the_same_signal_goes_out() -> None:
    class Open(GateCore):
        checks = tuple(each for each in CHECKS if each.name != "signal_confirmed")

    person = Person("MANUAL", Open)
    assert person.rule(person.rig.signal("a")) == "all"


def test_a_session_that_nobody_created_has_no_mode_and_trades_nothing() -> None:
    person = Person("MANUAL")
    ghost = signal("a", session=SessionId("ghost"), at_ns=NOW_NS)
    said = person.rig.gate.handle(ghost, NOW_NS)  # past the rig, which would put it in AUTO
    assert [each for each in said if isinstance(each, OrderApproved)] == []


def test_what_closes_in_nobodys_name_passes_as_a_flatten_must() -> None:
    person = Person("MANUAL")
    person.hold("5")
    flatten = signal(
        "f",
        session=SessionId("flatten-1"),
        side=Side.SELL,
        quantity="5",
        is_reduce_only=True,
        at_ns=NOW_NS,
    )
    said = person.rig.gate.handle(flatten, NOW_NS)
    assert only(OrderApproved, said).order.quantity == dec(5)


CHANGES: dict[str, Callable[[SignalRaised], SignalRaised]] = {
    "more": lambda s: msgspec.structs.replace(s, quantity=dec(11)),
    "the other side": lambda s: msgspec.structs.replace(s, side=Side.SELL),
    "a limit": lambda s: signal("a", order_type=OrderType.LIMIT, limit="99.95", at_ns=NOW_NS),
    "another session": lambda s: msgspec.structs.replace(s, session=SessionId("s2")),
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_what_goes_out_is_what_the_person_was_shown(change: str) -> None:
    person = Person("MANUAL")
    person.rig.tell(
        SessionCreated(
            at_ns=NOW_NS,
            session=SessionId("s2"),
            start_id="start",
            strategy="ema_cross",
            account=ACCOUNT,
            instruments=(ALPHA,),
            initial_capital=dec(1_000),
            execution_mode="MANUAL",
        )
    )
    raised = person.rig.signal("a")
    person.show(raised)
    person.confirm("a")
    assert person.rule(CHANGES[change](raised)) == "signal_confirmed"


def test_a_signal_shown_twice_with_two_contents_can_be_confirmed_as_neither() -> None:
    person = Person("MANUAL")
    small, large = person.rig.signal("a"), person.rig.signal("a", quantity="90")
    person.show(small)
    person.show(large)
    person.confirm("a")
    assert person.rule(large) == "signal_confirmed"


def test_a_signal_shown_twice_with_the_same_content_can_be_confirmed() -> None:
    person = Person("MANUAL")
    raised = person.rig.signal("a")
    person.show(raised)
    person.show(raised)
    person.confirm("a")
    assert person.rule(raised) == "all"


def test_a_signal_that_is_shown_again_once_it_was_confirmed_is_confirmed_no_more() -> None:
    person = Person("MANUAL")
    raised = person.rig.signal("a")
    person.show(raised)
    person.confirm("a")
    person.show(raised)
    assert person.rule(raised) == "signal_confirmed"


def test_of_too_many_the_first_that_was_shown_and_the_first_confirmed_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(confirmed, "SHOWN_MAX", 2)
    shown = Person("MANUAL")
    raised = [shown.rig.signal(each) for each in "abc"]
    for each in raised:
        shown.show(each)
    rules = []
    for each in raised:
        shown.confirm(each.signal_id)
        rules.append(shown.rule(each))
    assert rules == ["signal_confirmed", "all", "all"]
    said = Person("MANUAL")
    for each in raised:
        said.show(each)
        said.confirm(each.signal_id)
    assert [said.rule(each) for each in raised] == ["signal_confirmed", "all", "all"]


@pytest.mark.parametrize("is_confirmed", [False, True])
def test_a_pause_of_another_session_forgets_nothing_of_this_one(is_confirmed: bool) -> None:
    person = Person("MANUAL")
    raised = person.rig.signal("a")
    person.show(raised)
    if is_confirmed:
        person.confirm("a")
    person.rig.tell(
        SessionStateChanged(
            at_ns=NOW_NS,
            session=SessionId("s2"),
            strategy="ema_cross",
            account=ACCOUNT,
            state=SessionState.PAUSED,
        )
    )
    if not is_confirmed:
        person.confirm("a")
    assert person.rule(raised) == "all"


def test_a_confirmed_order_that_is_too_large_may_be_made_smaller() -> None:
    person = Person("MANUAL", order_quantity_max=dec(7), on_excess=OnExcess.REDUCE)
    raised = person.rig.signal("a")
    person.show(raised)
    person.confirm("a")
    assert person.rig.decide(raised).approved_quantity == dec(7)


def test_a_confirmation_is_good_for_one_decision() -> None:
    person = Person("MANUAL")
    raised = person.rig.signal("a")
    person.show(raised)
    person.confirm("a")
    assert person.rule(raised) == "all"
    assert person.rig.gate.state.confirmations.objection(raised) == "no person has confirmed it"


def test_a_word_before_anything_was_shown_or_after_it_expired_confirms_nothing() -> None:
    person = Person("MANUAL")
    early = person.rig.signal("early")
    person.confirm("early")
    person.show(early)
    assert person.rule(early) == "signal_confirmed"
    late = person.rig.signal("late")
    person.show(late)
    person.rig.now_ns += WAIT_NS
    person.rig.quote()
    person.confirm("late")
    assert person.rule(person.rig.signal("late")) == "signal_confirmed"


def test_a_refused_signal_stays_refused() -> None:
    person = Person("MANUAL")
    raised = person.rig.signal("a")
    person.show(raised)
    person.confirm("a", is_refused=True)
    person.confirm("a")
    assert person.rule(raised) == "signal_confirmed"


def changed(state: SessionState) -> SessionStateChanged:
    return SessionStateChanged(
        at_ns=NOW_NS, session=SESSION, strategy="ema_cross", account=ACCOUNT, state=state
    )


@pytest.mark.parametrize(
    "end", [halt(), changed(SessionState.PAUSED), changed(SessionState.STOPPED), None]
)
def test_a_halt_a_pause_a_stop_and_a_restart_forget_what_was_shown_and_confirmed(end: Any) -> None:
    person = Person("MANUAL")
    shown, confirmed = person.rig.signal("shown"), person.rig.signal("confirmed")
    person.show(shown)
    person.show(confirmed)
    person.confirm("confirmed")
    if end is None:
        person.rig.restart()
    else:
        person.rig.tell(end)
    person.confirm("shown")
    memory = person.rig.gate.state.confirmations
    assert [memory.objection(each) for each in (shown, confirmed)] == [
        "no person has confirmed it"
    ] * 2
    assert memory.mode_of == {SESSION: "MANUAL"}, "the mode itself is never forgotten"


def test_in_semi_auto_what_reduces_the_sessions_position_passes_by_itself() -> None:
    person = Person("SEMI_AUTO")
    person.hold("5")
    assert person.rule(person.rig.signal("exit", side=Side.SELL, quantity="5")) == "all"


def test_in_manual_an_exit_waits_too() -> None:
    person = Person("MANUAL")
    person.hold("5")
    exit_ = person.rig.signal("exit", side=Side.SELL, quantity="5")
    assert person.rule(exit_) == "signal_confirmed"


def test_in_semi_auto_an_exit_larger_than_the_position_is_an_entry() -> None:
    person = Person("SEMI_AUTO")
    person.hold("5")
    assert person.rule(person.rig.signal("turn", side=Side.SELL, quantity="6")) == (
        "signal_confirmed"
    )


def test_in_semi_auto_two_exits_of_the_same_position_are_not_both_exits() -> None:
    person = Person("SEMI_AUTO")
    person.hold("5")
    first = person.rig.signal("one", side=Side.SELL, quantity="3", **REST)
    assert person.rule(first) == "all"
    second = person.rig.signal("two", side=Side.SELL, quantity="3", **REST)
    assert person.rule(second) == "signal_confirmed"


def test_the_mode_of_a_session_cannot_be_changed_by_saying_it_again() -> None:
    person = Person("MANUAL")
    person.rig.tell(
        SessionCreated(
            at_ns=NOW_NS,
            session=SESSION,
            start_id="again",
            strategy="ema_cross",
            account=ACCOUNT,
            instruments=(ALPHA,),
            initial_capital=dec(1_000),
            execution_mode="AUTO",
        )
    )
    assert person.rule(person.rig.signal("a")) == "signal_confirmed"
