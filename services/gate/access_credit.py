"""What an account has lost for good, as the fold of its executions and of the executor's books."""

from collections.abc import Mapping
from decimal import Decimal

from schemas.base import InstrumentId
from schemas.executions import BookReported, OrderFilled
from services.gate.exposure import Lane
from services.gate.limits import LimitMissingError
from services.portfolio import Position

ZERO = Decimal(0)


class Realised:
    """Profit and loss that closing brought, after fees, in the account's currency.

    An instrument whose currency has no value here counts nothing: it is not traded either.

    Attributes:
        positions: average cost and realised profit by instrument.
        profit: of all of them.
        loss: what was lost; 0 after a profit.
    """

    def __init__(self, lanes: Mapping[InstrumentId, Lane]) -> None:
        self._lanes = lanes
        self.positions: dict[InstrumentId, Position] = {}
        self.profit = self.loss = ZERO

    def fill(self, event: OrderFilled) -> Decimal:
        """Fold one distinct execution; return what it realised after its fee."""
        lane = self._lanes[event.instrument]
        position = self.positions.get(event.instrument)
        if position is None:
            position = self.positions[event.instrument] = Position()
        before = position.realized - position.fees
        position.apply(event.signed_quantity, event.price, lane.instrument.multiplier)
        position.fees += event.fee
        realised = (position.realized - position.fees - before) * _value(lane)
        self.profit += realised
        self.loss = max(ZERO, -self.profit)
        return realised

    def adopt(self, book: BookReported) -> None:
        """Take the executor's word for all positions."""
        self.positions = {}
        self.profit = ZERO
        for view in book.positions:
            lane = self._lanes.get(view.instrument)
            if lane is None:
                continue
            position = self.positions[view.instrument] = Position()
            position.quantity, position.average_price = view.quantity, view.average_price
            position.realized, position.fees = view.realized, view.fees
            self.profit += (view.realized - view.fees) * _value(lane)
        self.loss = max(ZERO, -self.profit)


def _value(lane: Lane) -> Decimal:
    try:
        return lane.limits.currency_value.value
    except LimitMissingError:
        return ZERO
