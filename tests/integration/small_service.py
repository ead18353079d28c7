"""A whole service in one page, run as a process: `python -m tests.integration.small_service`."""

from collections.abc import Sequence
from decimal import Decimal

from schemas.base import Event
from schemas.control import HaltRequested, TradingState
from schemas.health import GateReported
from schemas.orders import CancelRequested, Outcome, SignalDecided, SignalRaised
from services.control import ControlGuard
from services.core import NOTHING
from services.runtime import stop
from services.runtime.serve import Context, Service, serve
from tests.builders import order

BREAK, STICK, OVERSTEP = Decimal(666), Decimal(667), Decimal(668)
"""Quantities of a signal that make it raise, never return, and say what it may not."""


DEGRADED = "its records are kept in memory"
"""What it says works with less (S-14)."""


class SmallGate:
    """Counts signals and halts; answers each signal with a decision."""

    hears: frozenset[type[Event]] = frozenset({SignalRaised, HaltRequested})
    keeps: frozenset[type[Event]] = frozenset({SignalRaised})

    def __init__(self, guard: ControlGuard) -> None:
        self.wake_at_ns: int | None = None
        self._guard = guard
        self._signals = self._halts = 0

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Count, and answer a signal."""
        if not isinstance(event, SignalRaised):
            self._halts += 1
            return NOTHING
        assert event.quantity != BREAK, "a broken rule"
        while event.quantity == STICK:
            pass
        if event.quantity == OVERSTEP:
            return [_cancel(event)]
        self._signals += 1
        return [_decision(event, now_ns)]

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Nothing is ever due."""
        return NOTHING

    def restore(self, event: Event) -> None:
        """Count what was counted before."""
        self._signals += 1

    def describe(self, now_ns: int) -> GateReported:
        """Return the counts."""
        return GateReported(
            at_ns=now_ns,
            trading_state=TradingState.HALTED,
            epoch=self._guard.epoch,
            limits_hash=self._guard.limits_hash,
            decided_count=self._signals,
            approved_count=self._halts,
        )


def _cancel(event: SignalRaised) -> CancelRequested:
    return CancelRequested(
        at_ns=1,
        account=event.account,
        session=event.session,
        instrument=event.instrument,
        order_id=order().order_id,
    )


def _decision(event: SignalRaised, now_ns: int) -> SignalDecided:
    return SignalDecided(
        at_ns=now_ns,
        signal_id=event.signal_id,
        account=event.account,
        session=event.session,
        instrument=event.instrument,
        outcome=Outcome.REJECTED,
        order_id=order().order_id,
        rule="halted",
        epoch=0,
        side=event.side,
        quantity=event.quantity,
    )


def build(context: Context) -> Service:
    """Return the small gate with its guard."""
    guard = ControlGuard(context.name, context.boot_id, context.settings.limits_hash)
    return Service(core=SmallGate(guard), guard=guard, degraded=lambda: DEGRADED)


if __name__ == "__main__":
    stop.STOP_TIMEOUT_S = 0.3  # so that a test of a process that is stuck is short
    serve("gate", build)
