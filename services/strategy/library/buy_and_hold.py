"""Buy once, and keep it: the yardstick that every other strategy is measured against."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from schemas.base import InstrumentId
from schemas.errors import FieldError
from schemas.executions import ExecutionEvent
from schemas.instruments import Instrument
from schemas.market import QuoteReceived
from schemas.orders import SignalDecided
from services.strategy.interface import Parameters, Strategy
from services.strategy.library.seeking import Seeker, lot_complaints, size_of


class BuyAndHoldParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is bought of each instrument.

    Raises:
        ValueError: `quantity` is not above 0.
    """

    quantity: Decimal | None = None
    """Size of a position, in units of the instrument; without it, `capital_share` sets it."""

    capital_share: Decimal = Decimal("0.5")
    """Part of the initial capital that all positions together take, 0 to 1."""

    retry_ms: Annotated[int, msgspec.Meta(ge=1)] = 1_000
    """Wait before asking again for what the gate or the venue refused, in milliseconds."""

    def __post_init__(self) -> None:
        if self.quantity is not None and not self.quantity > 0:
            raise ValueError(f"quantity above 0: it is {self.quantity}")
        if not 0 < self.capital_share <= 1:
            raise ValueError(f"capital_share above 0 and up to 1: it is {self.capital_share}")


class BuyAndHold(Strategy[BuyAndHoldParameters]):
    """Buy at each instrument's first quote; hold until the session is stopped, and beyond."""

    parameters_type = BuyAndHoldParameters

    def on_start(self) -> None:
        """Want nothing yet: without a price there is no size."""
        self._seekers: dict[InstrumentId, Seeker] = {}

    @classmethod
    def complaints(cls, parameters: Any, instruments: Sequence[Instrument]) -> list[FieldError]:
        """Return each instrument whose lots `quantity` is not a whole number of."""
        return lot_complaints(parameters.quantity, instruments)

    def on_quote(self, quote: QuoteReceived) -> None:
        """Buy, unless it is held already."""
        seeker = self._seekers.get(quote.instrument)
        if seeker is None:
            if not (quote.bid and quote.ask):
                return
            seeker = self._begin(quote.instrument)
        if seeker.is_seeking:
            seeker.seek()

    def on_decision(self, decision: SignalDecided) -> None:
        """Have patience after a rejection."""
        if seeker := self._seekers.get(decision.instrument):
            seeker.on_decision(decision)

    def on_execution(self, event: ExecutionEvent) -> None:
        """Have patience after a refusal."""
        if seeker := self._seekers.get(event.instrument):
            seeker.on_execution(event)

    def _begin(self, instrument: InstrumentId) -> Seeker:
        seeker = Seeker(self.context, instrument, self.parameters.retry_ms)
        self._seekers[instrument] = seeker
        if not self.context.position(instrument):
            wanted = self.parameters
            size = size_of(self.context, instrument, wanted.quantity, wanted.capital_share)
            seeker.want(size, "buy and hold")
        return seeker
