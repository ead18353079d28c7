"""Bring a position to a wanted size: one order in flight, and patience after a refusal."""

from collections.abc import Sequence
from decimal import ROUND_DOWN, Decimal

from schemas.base import NS_PER_MS, InstrumentId
from schemas.errors import FieldError
from schemas.executions import (
    ExecutionEvent,
    OrderCanceled,
    OrderExpired,
    OrderRefused,
    OrderRejected,
)
from schemas.instruments import Instrument
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

    def on_execution(self, event: ExecutionEvent) -> None:
        """Look again at the next chance; after what was not done, only in a while."""
        self._retry_ns = 0
        if isinstance(event, NOT_DONE):
            self._wait()

    def _wait(self) -> None:
        self._retry_ns = self._context.now_ns + self._retry_ms * NS_PER_MS


def lot_complaints(quantity: Decimal | None, instruments: Sequence[Instrument]) -> list[FieldError]:
    """Return each instrument whose lots `quantity` is not a whole number of."""
    return [
        FieldError(
            path="$.config_overrides.quantity",
            found=f"{quantity} of {each.id}",
            wanted=f"a multiple of its lot size, {each.lot_size}",
        )
        for each in instruments
        if quantity is not None and quantity % each.lot_size
    ]


def size_of(
    context: Context, instrument: InstrumentId, quantity: Decimal | None, capital_share: Decimal
) -> Decimal:
    """Return how much to hold: `quantity`, or what a share of the session's capital buys.

    The share is divided equally among the session's instruments, at the middle of the market,
    rounded down to whole lots.

    Raises:
        ValueError: the capital buys less than one lot, or there is no price.
    """
    if quantity is not None:
        return quantity
    quote = context.quote(instrument)
    if quote is None or not (quote.bid and quote.ask):
        raise ValueError(f"{instrument} has no price to size a position by")
    made = context.instruments[instrument]
    capital = context.terms.initial_capital * capital_share / len(context.instruments)
    price = (quote.bid + quote.ask) / 2 * made.multiplier
    lots = (capital / price / made.lot_size).to_integral_value(ROUND_DOWN)
    if not lots:
        raise ValueError(
            f"{capital_share} of the initial capital {context.terms.initial_capital}, for each of "
            f"{len(context.instruments)} instruments, buys less than one lot ({made.lot_size}) of "
            f"{instrument} at {price}: raise initial_capital, capital_share, or set quantity"
        )
    return lots * made.lot_size
