"""Nights in a recording: the gate is let alone in them, and no decision is another one."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec
import pytest

from schemas.base import Event, InstrumentId
from schemas.executions import OrderFilled
from schemas.market import QuoteReceived
from schemas.orders import Outcome, SignalDecided
from services.backtest import run as backtest
from services.backtest.patience import PatientFused
from services.backtest.run import Plan, run
from services.gate.core import GateCore
from services.runtime.fused import Fused
from tests.backtest_rig import ACCOUNT, GATE, plan_of
from tests.builders import S_NS, quote

pytestmark = pytest.mark.req("S-05")
ALPHA = InstrumentId("sim:ALPHA")
BEGIN_NS = 1_704_205_800 * S_NS
GAPS_S = (1, 1, 2, 30, 600, 1, 1, 59, 61, 7_200, 1, 2, 300, 4, 5, 6)


def market() -> Iterator[QuoteReceived]:
    """Yield quotes with silences of all lengths between them, of a market that jumps about."""
    at_ns = BEGIN_NS
    for number, gap_s in enumerate(GAPS_S * 5):
        at_ns += gap_s * S_NS
        middle = 1_000 + 40 * (number * number % 7)
        yield quote(f"{middle}", f"{middle + 1}", at_ns=at_ns, instrument=ALPHA)


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A plan whose gate compares with the prices of a minute ago, which it looks at each second."""
    monkeypatch.setattr(backtest, "played", lambda source, terms, known: market())
    account = msgspec.structs.replace(GATE.accounts[ACCOUNT], period_ms=60_000)
    row = msgspec.structs.replace(GATE.default, period_collar_bps=Decimal(500))
    gate = msgspec.structs.replace(GATE, accounts={ACCOUNT: account}, default=row)
    return plan_of("tests.trading:Flip", symbols=[ALPHA], gate=gate)


class Seen:
    """What was decided and executed under one runtime, and how often the gate was woken."""

    def __init__(self, plan: Plan, runtime: type[Fused], patch: pytest.MonkeyPatch) -> None:
        self.events: list[Event] = []
        self.wakes_count = 0
        told, seen = GateCore.wake, self

        class Listener(backtest._Witness):
            def __call__(self, event: Event) -> None:
                if isinstance(event, SignalDecided | OrderFilled):
                    seen.events.append(event)
                super().__call__(event)

        def wake(core: GateCore, now_ns: int) -> Sequence[Event]:
            self.wakes_count += 1
            return told(core, now_ns)

        with patch.context() as inner:
            inner.setattr(backtest, "_Witness", Listener)
            inner.setattr(backtest, "_runtime", lambda plan: runtime)
            inner.setattr(GateCore, "wake", wake)
            run(plan)


def test_every_decision_is_the_same_and_the_silence_costs_nothing(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = Seen(plan, PatientFused, monkeypatch)
    punctual = Seen(plan, _Punctual, monkeypatch)
    assert patient.events == punctual.events
    outcomes = {each.outcome for each in patient.events if isinstance(each, SignalDecided)}
    assert outcomes == {Outcome.APPROVED, Outcome.REJECTED}, "the collar must matter"
    assert patient.wakes_count < punctual.wakes_count / 20


class _Punctual(Fused):
    """The runtime that wakes the gate every second, from the begin of the recording on."""

    def _wake_until(self, now_ns: int) -> None:
        self.now_ns = max(self.now_ns, BEGIN_NS)
        super()._wake_until(now_ns)
