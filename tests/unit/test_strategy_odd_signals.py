"""A number nothing can be computed with ends the session that said it, and no other."""

from decimal import Decimal
from typing import Any

import pytest

from schemas.base import SignalId
from schemas.orders import SignalRaised
from schemas.sessions import SessionState
from services.strategy.config import ExecutionLimits
from services.strategy.context import WHY_CHARS_MAX, Terms, at_limit
from services.strategy.hours import NEVER_NS
from services.strategy.interface import Parameters, Strategy
from tests.builders import ALPHA, quote
from tests.manager_rig import ManagerRig
from tests.strategy_rig import StrategyRig, config, every, only

HUGE, TINY = Decimal("1E+999999"), Decimal("1E-999999")


@pytest.mark.req("S-14")
@pytest.mark.parametrize(
    "odd",
    [
        {"limit_price": Decimal("NaN")},
        {"limit_price": Decimal("Infinity")},
        {"stop_price": Decimal("sNaN")},
        {"parent_quantity": Decimal("-Infinity")},
        {"quantity": HUGE},
        {"quantity": Decimal("1E+16")},
        {"quantity": TINY},
        {"quantity": Decimal("0." + "1" * 65)},
        {"quantity": Decimal("NaN")},
        {"expires_at_ns": 10**400},
        {"expires_at_ns": -1},
        {"why": "x" * (WHY_CHARS_MAX + 1)},
        {"number": "9" * 5_000},
    ],
    ids=lambda odd: "".join(odd),
)
def test_a_process_that_says_an_odd_signal_ends_its_own_session(odd: dict[str, Any]) -> None:
    rig = ManagerRig(execution=ExecutionLimits())
    said = rig.speak(rig.signal(**odd))
    assert every(SignalRaised, said) == []
    assert rig.core.sessions[rig.session].state is SessionState.FAILED


@pytest.mark.req("S-14")
@pytest.mark.parametrize("wake_at_ns", [10**400, -1])
def test_a_process_that_wants_to_be_woken_at_no_time_ends_its_own_session(wake_at_ns: int) -> None:
    rig = ManagerRig()
    rig.speak(wake_at_ns=wake_at_ns)
    assert rig.core.sessions[rig.session].state is SessionState.FAILED


def test_what_a_process_says_in_order_goes_out() -> None:
    rig = ManagerRig(execution=ExecutionLimits())
    said = rig.speak(
        rig.signal(limit_price=Decimal("-0.5"), stop_price=Decimal(0)), wake_at_ns=NEVER_NS
    )
    assert only(SignalRaised, said).signal_id == SignalId(f"{rig.session}-1")


class Says(Strategy[Parameters]):
    """Submit what the test says, and set no clock."""

    terms = Terms()
    quantity = Decimal(1)

    def on_quote(self, quote: object) -> None:
        self.context.set_timer(10**400)
        self.context.buy(ALPHA, self.quantity, self.terms, "y" * 10_000)


@pytest.mark.req("S-14")
@pytest.mark.parametrize(
    ("quantity", "terms"),
    [
        (Decimal(1), at_limit(Decimal("NaN"))),
        (Decimal(1), at_limit(HUGE)),
        (Decimal(1), Terms(expiry_ms=10**30)),
        (HUGE, Terms()),
    ],
)
def test_an_odd_signal_of_a_session_in_the_service_ends_that_session(
    quantity: Decimal, terms: Terms
) -> None:
    rig = StrategyRig(
        config(
            classes={"says": "tests.unit.test_strategy_odd_signals:Says"},
            execution=ExecutionLimits(),
        )
    )
    odd, even = rig.start("says"), rig.start("says")
    rig.strategy(odd).quantity, rig.strategy(odd).terms = quantity, terms
    signal = only(SignalRaised, rig.tell(quote()))
    assert (signal.session, signal.why) == (even, "y" * WHY_CHARS_MAX)
    states = [each.state for each in rig.core.describe(0).sessions]
    assert states == [SessionState.FAILED, SessionState.RUNNING]
    assert rig.core.sessions[even].context.timer_ns == NEVER_NS


@pytest.mark.req("S-14")
@pytest.mark.parametrize("price", [100, 100.25, 1e-5])
def test_a_price_that_a_strategy_says_as_a_plain_number_goes_out(price: Any) -> None:
    rig = StrategyRig(config(classes={"says": "tests.unit.test_strategy_odd_signals:Says"}))
    session = rig.start("says")
    rig.strategy(session).terms = at_limit(price)
    assert only(SignalRaised, rig.tell(quote())).limit_price == Decimal(str(price))
    assert rig.core.sessions[session].state is SessionState.RUNNING
