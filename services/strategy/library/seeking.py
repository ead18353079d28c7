"""Bring a position to a wanted size: one order in flight, and patience after a refusal."""

from decimal import Decimal

from schemas.base import NS_PER_MS, InstrumentId
from schemas.executions import (
    ExecutionEvent,
    OrderCanceled,
    OrderExpired,
    OrderRefused,
    OrderRejected,
)
from schemas.orders import Outcome, Side, SignalDecided
from services.strategy.context import Context

ZERO = Decimal(0)
NOT_DONE = (OrderCanceled, OrderExpired, OrderRefused, OrderRejected)


class Seeker:
    """What one instrument's position should be, and the order that brings it there.

    Attributes:
        is_seeking: whether the position may still differ from the wanted one.
    """

    __slots__ = (
        "_context",
        "_instrument",
        "_retry_ms",
        "_retry_ns",
        "_wanted",
        "_why",
        "is_seeking",
    )

    def __init__(self, context: Context, instrument: InstrumentId, retry_ms: int) -> None:
        self._context = context
        self._instrument = instrument
        self._retry_ms = retry_ms
        self._retry_ns = 0
        self._wanted = ZERO
        self._why = ""
        self.is_seeking = False

    @property
    def leaving(self) -> str | None:
        """Why the position is being left; None while it is not."""
        return self._why if self.is_seeking and not self._wanted else None

    def want(self, quantity: Decimal, why: str) -> None:
        """Want a signed `quantity` from now on, for the reason `why`."""
        self._wanted = quantity
        self._why = why
        self.is_seeking = True

    def seek(self) -> None:
        """Raise the one signal that is missing, if any is and it may be raised now."""
        context, instrument = self._context, self._instrument
        if not context.is_trading or context.now_ns < self._retry_ns:
            return
        if context.open_orders(instrument):
            self._wait()  # for news of it; then, or in a while, look again
            return
        missing = self._wanted - context.position(instrument)
        if not missing:
            self.is_seeking = False
            return
        side = Side.BUY if missing > 0 else Side.SELL
        context.submit(instrument, side, abs(missing), why=self._why)

    def on_decision(self, decision: SignalDecided) -> None:
        """Look again at the next chance; after a rejection, only in a while."""
        self._retry_ns = 0
        if decision.outcome is Outcome.REJECTED:
            self._wait()

    def on_blocked(self) -> None:
        """Look again in a while: the session's own limits stand against what was asked."""
        self._wait()

    def on_execution(self, event: ExecutionEvent) -> None:
        """Look again at the next chance; after what was not done, only in a while."""
        self._retry_ns = 0
        if isinstance(event, NOT_DONE):
            self._wait()

    def _wait(self) -> None:
        self._retry_ns = self._context.now_ns + self._retry_ms * NS_PER_MS
