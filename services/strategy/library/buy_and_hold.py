"""Buy once, and keep it: the yardstick that every other strategy is measured against."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from schemas.base import InstrumentId
from schemas.errors import FieldError
from schemas.executions import ExecutionEvent
from schemas.instruments import Instrument
from schemas.market import QuoteReceived
from schemas.orders import SignalDecided
from schemas.sessions import SignalBlocked
from services.strategy.interface import Strategy
from services.strategy.library.seeking import Seeker
from services.strategy.library.size import Size, SizeParameters, lot_complaints


class BuyAndHoldParameters(SizeParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is bought of each instrument: see `SizeParameters`."""

    capital_share: Decimal = Decimal("0.5")
    """Part of the initial capital that all positions together take, 0 to 1."""


class BuyAndHold(Strategy[BuyAndHoldParameters]):
    """Buy at each instrument's first quote; hold until the session is stopped, and beyond."""

    parameters_type = BuyAndHoldParameters

    def on_start(self) -> None:
        """Want nothing yet: without a price there is no size."""
        self._seekers: dict[InstrumentId, Seeker] = {}
        self._sizes = {
            each: Size(self.context, each, self.parameters) for each in self.context.instruments
        }

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
            seeker = self._begin(quote)
            if seeker is None:
                return
        if seeker.is_seeking:
            seeker.seek()

    def on_decision(self, decision: SignalDecided) -> None:
        """Have patience after a rejection."""
        if seeker := self._seekers.get(decision.instrument):
            seeker.on_decision(decision)

    def on_blocked(self, blocked: SignalBlocked) -> None:
        """Have patience: the session's own limits stand against it."""
        if seeker := self._seekers.get(blocked.instrument):
            seeker.on_blocked()

    def on_execution(self, event: ExecutionEvent) -> None:
        """Have patience after a refusal."""
        if seeker := self._seekers.get(event.instrument):
            seeker.on_execution(event)

    def _begin(self, quote: QuoteReceived) -> Seeker | None:
        """Return what buys the instrument, if it is not held; None while its size is not known."""
        instrument, wanted = quote.instrument, Decimal(0)
        if not self.context.position(instrument):
            size = self._sizes[instrument]
            size.see((quote.bid + quote.ask) / 2, quote.at_ns)
            wanted = size.wanted()
            if not wanted:
                return None
        seeker = self._seekers[instrument] = Seeker(
            self.context, instrument, self.parameters.retry_ms
        )
        if wanted:
            seeker.want(wanted, "buy and hold")
        return seeker
