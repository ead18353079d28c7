"""How the gate's engine serves families of checks: what they are told, when, and again."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from schemas.base import Event, OrderId
from schemas.control import EpochEnded
from schemas.health import AlertRaised, Severity
from schemas.market import InstrumentStatusChanged, QuoteReceived, Trading
from schemas.orders import (
    CancelApproved,
    CancelRequested,
    OrderApproved,
    SignalDecided,
)
from services.gate.family import Family
from services.gate.state import GateState
from tests.builders import ACCOUNT, ALPHA, S_NS, SESSION, quote
from tests.gate_rig import NOW_NS, Rig

STATUS = InstrumentStatusChanged(at_ns=NOW_NS + 7, instrument=ALPHA, trading=Trading.OPEN)
CANCEL = CancelRequested(
    at_ns=0, account=ACCOUNT, session=SESSION, instrument=ALPHA, order_id=OrderId("o1")
)


class Listener:
    """A family that writes down what it is told, and says what it is given to say."""

    def __init__(self, *hears: type[Event], keeps: Sequence[type[Event]] = ()) -> None:
        self.hears: frozenset[type[Event]] = frozenset(hears)
        self.keeps: frozenset[type[Event]] = frozenset(keeps)
        self.wake_at_ns: int | None = None
        self.told: list[tuple[type[Event], int]] = []
        self.says: list[Event] = []
        self.error: Exception | None = None

    def apply(self, event: Event, now_ns: int) -> None:
        if self.error is not None:
            raise self.error
        self.told.append((type(event), now_ns))

    def wake(self, now_ns: int) -> Sequence[Event]:
        self.wake_at_ns = None
        return self.says


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Rig]:
    """Return a maker of rigs whose gate has some families more."""
    known = GateState._speaking

    def make(*families: Family) -> Rig:
        def with_families(self: GateState) -> tuple[Family, ...]:
            return (*known(self), *families)

        monkeypatch.setattr(GateState, "_speaking", with_families)
        return Rig()

    return make


def test_a_family_is_told_what_it_hears_and_what_the_gate_itself_says(beside: Any) -> None:
    listener = Listener(InstrumentStatusChanged, OrderApproved, SignalDecided)
    rig = beside(listener)
    rig.tell(STATUS)
    rig.approve("a")
    rig.rule("b", quantity="101")
    assert listener.told == [
        (InstrumentStatusChanged, NOW_NS),
        (SignalDecided, NOW_NS),
        (OrderApproved, NOW_NS),
        (SignalDecided, NOW_NS),
    ]


def test_the_gate_hears_for_its_families_but_not_what_it_says_itself(beside: Any) -> None:
    rig = beside(Listener(EpochEnded, OrderApproved, keeps=[EpochEnded]))
    assert EpochEnded in rig.gate.hears
    assert EpochEnded in rig.gate.keeps
    assert OrderApproved not in rig.gate.hears


def test_a_family_hears_quotes_only_where_it_asks_for_them(beside: Any) -> None:
    deaf, listener = Listener(), Listener(QuoteReceived)
    rig = beside(deaf, listener)
    rig.tell(quote(at_ns=NOW_NS))
    assert (deaf.told, listener.told[-1]) == ([], (QuoteReceived, NOW_NS))


def test_the_gate_wakes_at_the_first_of_all_deadlines(beside: Any) -> None:
    sooner, later = Listener(InstrumentStatusChanged), Listener()
    rig = beside(sooner, later)
    sooner.wake_at_ns, later.wake_at_ns = NOW_NS + S_NS, NOW_NS + 5 * S_NS
    rig.tell(STATUS)
    assert rig.gate.wake_at_ns == NOW_NS + S_NS
    rig.gate.wake(NOW_NS + S_NS)
    assert sooner.wake_at_ns is None
    assert rig.gate.wake_at_ns == NOW_NS + 5 * S_NS


def test_a_deadline_that_is_over_again_at_once_is_met_later_and_never_spins(beside: Any) -> None:
    class Restless(Listener):
        def wake(self, now_ns: int) -> Sequence[Event]:
            self.wake_at_ns = now_ns
            return ()

    restless = Restless(InstrumentStatusChanged)
    rig = beside(restless)
    restless.wake_at_ns = NOW_NS
    rig.tell(STATUS)
    rig.gate.wake(NOW_NS)
    assert rig.gate.wake_at_ns == NOW_NS + 1


def test_what_a_family_says_is_told_to_the_others_and_not_to_itself(beside: Any) -> None:
    speaker, listener = Listener(AlertRaised), Listener(AlertRaised)
    rig = beside(speaker, listener)
    alert = AlertRaised(
        at_ns=NOW_NS, severity=Severity.WARNING, component="gate", code="LT-007", message="m"
    )
    speaker.says, speaker.wake_at_ns = [alert], NOW_NS
    assert rig.gate.wake(NOW_NS) == [alert]
    assert (speaker.told, listener.told) == ([], [(AlertRaised, NOW_NS)])


def test_a_restart_tells_a_family_what_it_keeps_at_its_own_time(beside: Any) -> None:
    keeper = Listener(InstrumentStatusChanged, keeps=[InstrumentStatusChanged])
    forgetful = Listener(InstrumentStatusChanged)
    rig = beside(keeper, forgetful)
    rig.tell(STATUS)
    keeper.told.clear()
    forgetful.told.clear()
    rig.restart()
    assert keeper.told == [(InstrumentStatusChanged, NOW_NS + 7)]
    assert forgetful.told == []


@pytest.mark.req("I9")
def test_a_family_that_raises_stands_in_no_cancels_way(beside: Any) -> None:
    broken = Listener(CancelApproved)
    broken.error = ZeroDivisionError("a mistake")
    passed, alert = beside(broken).tell(CANCEL)
    assert isinstance(passed, CancelApproved)
    assert (alert.code, alert.severity) == ("LT-007", Severity.CRITICAL)
    assert (
        alert.message == "counting a cancel raised ZeroDivisionError: a mistake; it was passed on"
    )
