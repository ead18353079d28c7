"""The way from executor to venue without a network: for `fused` and `sim`. Pure."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from schemas.base import Event, InstrumentId
from schemas.executions import OutcomeRecorded
from schemas.instruments import Instrument
from schemas.orders import Order
from schemas.venue import OrderPlaced
from services.executor.config import VenueConfig
from services.executor.venues.matching import VenueCore

MaySend = Callable[[Order, int], str]
"""The executor's last check: returns why not, empty when it may."""


class DirectPort(VenueCore):
    """The paper exchange with the executor's last check at its door, in the step of the write.

    Says `OutcomeRecorded` to the executor before anything the exchange answers.
    """

    keeps: frozenset[type[Event]] = VenueCore.keeps | {OutcomeRecorded}

    def __init__(
        self,
        config: VenueConfig,
        instruments: Mapping[InstrumentId, Instrument],
        initial_cash: Decimal,
        may_send: MaySend,
    ) -> None:
        super().__init__(config, instruments, initial_cash)
        self._may_send = may_send
        self._knocking: OrderPlaced | None = None  # in `restore`: its outcome follows
        self._hears[OrderPlaced] = self._on_placed

    def restore(self, event: Event) -> None:
        """Fold one kept event in; an order that the last check refused never came to the venue."""
        if isinstance(event, OrderPlaced):
            self._knocking = event
        elif not isinstance(event, OutcomeRecorded):
            super().restore(event)
        elif event.is_sent and self._knocking is not None:
            super().restore(self._knocking)

    def _on_placed(self, event: OrderPlaced, now_ns: int) -> Sequence[Event]:
        why = self._may_send(event.order, now_ns)
        outcome = OutcomeRecorded(
            at_ns=now_ns, order_id=event.order.order_id, is_sent=not why, detail=why
        )
        return (outcome,) if why else (outcome, *self._on_request(event, now_ns))
