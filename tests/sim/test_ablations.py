"""Take one safeguard out, and see the harm: what no run can break without it was never needed."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.base import NS_PER_S, Event
from schemas.control import (
    ControlSequenceRead,
    EpochProposed,
    EpochStarted,
    EpochStored,
    LeaseAsked,
)
from schemas.executions import IntentRecorded, OutcomeRecorded
from schemas.orders import CancelRequested, Order, OrderApproved, SignalRaised
from services.breaker.control_log import ControlLog
from services.breaker.core import BreakerCore
from services.control import ControlGuard
from services.executor.core import ExecutorCore
from services.gate.core import GateCore
from services.runtime.sim_faults import Faults
from services.simulation.run import CHAOS
from services.simulation.system import Parts
from services.strategy.core import StrategyCore
from tests.sim.invariants import first_violation

SEEDS = range(60)
REPEATS = msgspec.structs.replace(CHAOS, repeat_probability=0.2)
CRASHES = msgspec.structs.replace(
    CHAOS, crash_probability=0.01, repeat_probability=0.2, late_ns_max=2 * NS_PER_S
)


class SendsEverything(ExecutorCore):
    """The executor without its last check."""

    def may_send(self, order: Order, now_ns: int) -> str:
        return ""

    def _on_approved(self, event: OrderApproved, now_ns: int) -> Sequence[Event]:
        self._check.why_not = lambda record, now: ""  # type: ignore[method-assign]
        return super()._on_approved(event, now_ns)


class Repeats(ExecutorCore):
    """The executor that does not remember which orders it had."""

    def _on_approved(self, event: OrderApproved, now_ns: int) -> Sequence[Event]:
        self.orders.records.pop(event.order.order_id, None)
        self.orders.open.pop(event.order.order_id, None)
        return super()._on_approved(event, now_ns)


class ForgetsIntents(ExecutorCore):
    """The executor that sends before it has noted that it will."""

    keeps = ExecutorCore.keeps - {IntentRecorded, OutcomeRecorded}


class NeverHalts(ControlGuard):
    """The guard that counts halts and goes on."""

    def halt(self) -> None:
        self.halts += 1


class EternalLease(ControlGuard):
    """The guard whose first yes is good for ever."""

    def permits(self, now_ns: int) -> str:
        return super().permits(min(now_ns, self.lease_until_ns - 1) if self.lease_until_ns else now_ns)


class AnyEpoch(ControlGuard):
    """The guard that arms for a start it was prepared for before a halt came."""

    def _on_epoch(self, event: EpochStarted, now_ns: int) -> Sequence[Event]:
        member = event.members[self.component]
        mine = msgspec.structs.replace(member, boot_id=self.boot_id, halts=self.halts)
        members = {**event.members, self.component: mine}
        return super()._on_epoch(msgspec.structs.replace(event, members=members), now_ns)


class ForgetfulGate(GateCore):
    """The gate that does not remember what it approved."""

    keeps = GateCore.keeps - {OrderApproved}

    def _on_signal(self, signal: SignalRaised, now_ns: int) -> Sequence[Event]:
        self.state.ids.approved.clear()
        self.state.ids._oldest_approved.clear()
        return super()._on_signal(signal, now_ns)


class CarelessGate(GateCore):
    """The gate that counts what is held, and not what is on its way."""

    def _on_signal(self, signal: SignalRaised, now_ns: int) -> Sequence[Event]:
        for account in self.state.accounts.values():
            for order_id in list(account.orders):
                account.closed(order_id)
        return super()._on_signal(signal, now_ns)


class StubbornGate(GateCore):
    """The gate that passes a cancel on only while orders may pass."""

    def _on_cancel(self, event: CancelRequested, now_ns: int) -> Sequence[Event]:
        return () if self._guard.permits(now_ns) else super()._on_cancel(event, now_ns)


class Overwriting(ControlLog):
    """The control stream that stores an epoch whatever came between."""

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        if isinstance(event, EpochProposed):
            event = msgspec.structs.replace(event, expected_last_seq=len(self._records))
        return super().handle(event, now_ns)


class Generous(BreakerCore):
    """The arbiter that says yes without looking at the control stream, or at halts."""

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        said = super().handle(event, now_ns)
        return [self._yes(e) for e in said]

    @staticmethod
    def _yes(event: Event) -> Event:
        from schemas.control import LeaseAnswered

        if isinstance(event, LeaseAnswered):
            return msgspec.structs.replace(event, is_granted=True)
        return event


class ForgetsEpochs(BreakerCore):
    """The arbiter that does not remember its epochs, nor asks what others have seen."""

    keeps = BreakerCore.keeps - {EpochProposed, EpochStarted}

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        if hasattr(event, "epoch_max"):
            event = msgspec.structs.replace(event, epoch_max=0)
        return super().handle(event, now_ns)


class ForgetsSignals(StrategyCore):
    """The strategy service that does not remember what it asked for."""

    keeps = StrategyCore.keeps - {SignalRaised}


ABLATIONS: list[Any] = [
    pytest.param(Parts(executor=SendsEverything), CHAOS, {"I1", "I3"}, id="last check"),
    pytest.param(Parts(executor=Repeats), REPEATS, {"I2"}, id="repeat guard"),
    pytest.param(Parts(executor=ForgetsIntents), CRASHES, {"I2", "I11"}, id="intent journal"),
    pytest.param(Parts(guard=NeverHalts), CHAOS, {"I1"}, id="fence"),
    pytest.param(Parts(guard=EternalLease), CHAOS, {"I3", "I6"}, id="lease"),
    pytest.param(Parts(guard=AnyEpoch), CHAOS, {"I1"}, id="boot id and halts of an epoch"),
    pytest.param(Parts(gate=ForgetfulGate), REPEATS, {"one-answer"}, id="duplicate check"),
    pytest.param(Parts(gate=CarelessGate), CHAOS, {"I8"}, id="orders on their way"),
    pytest.param(Parts(gate=StubbornGate), CHAOS, {"I9"}, id="cancels pass"),
    pytest.param(Parts(stream=Overwriting), CHAOS, {"I4"}, id="expected sequence"),
    pytest.param(Parts(breaker=Generous), CHAOS, {"I6"}, id="lease reads the stream"),
    pytest.param(Parts(breaker=ForgetsEpochs), CHAOS, {"I12"}, id="epochs kept"),
    pytest.param(Parts(strategy=ForgetsSignals), CHAOS, {"signal-once"}, id="signals kept"),
]
