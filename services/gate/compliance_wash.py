"""Wash sales (26 U.S.C. 1091): a loss, and the same bought within 30 days before or after it.

The loss is then not deducted but moved to what was bought. Substantially identical is the same
instrument, or one of the same configured group. Losses are measured against the average cost, as
the books here keep it, after fees; short positions are treated alike (1091(e)).
"""

from collections import deque
from collections.abc import Mapping
from decimal import Decimal

from schemas.base import InstrumentId
from schemas.orders import Side
from services.gate.exposure import Lane

ZERO = Decimal(0)
DAYS = 30
"""Calendar days before and after the day of the loss."""

Key = tuple[str, bool]
"""Group, and whether it is about long positions."""


class WashSales:
    """Losses and purchases of one account, by group.

    Dates are numbers of days since the epoch.

    Attributes:
        losses: date of the newest loss, and how much, in the account's currency.
        opened: date and quantity of what was opened in the last 30 days, oldest first.
    """

    def __init__(
        self, identical: Mapping[str, tuple[InstrumentId, ...]], lanes: Mapping[InstrumentId, Lane]
    ) -> None:
        self._group_of = {key: group for group, keys in identical.items() for key in keys}
        self._members = {
            group: tuple(lanes[key] for key in keys if key in lanes)
            for group, keys in identical.items()
        }
        self._lanes = lanes
        self.losses: dict[Key, tuple[int, Decimal]] = {}
        self.opened: dict[Key, deque[tuple[int, Decimal]]] = {}

    def execute(
        self, instrument: InstrumentId, date: int, before: Decimal, signed: Decimal, gain: Decimal
    ) -> None:
        """Fold one execution.

        Args:
            instrument: what was traded.
            date: of the trading day, in days since the epoch.
            before: what was held before, signed.
            signed: what was bought, negative what was sold.
            gain: what the execution realised after its fee.
        """
        group = self._group(instrument)
        closed = min(abs(signed), abs(before)) if before * signed < 0 else ZERO
        if closed and gain < 0:
            self.losses[group, before > 0] = (date, -gain)
        opened = abs(signed) - closed
        if opened:
            days = self.opened.setdefault((group, signed > 0), deque())
            if days and days[-1][0] == date:
                opened += days.pop()[1]
            days.append((date, opened))
            while days[0][0] < date - DAYS:
                days.popleft()

    def after_loss(self, instrument: InstrumentId, side: Side, date: int) -> str:
        """Return the loss that opening on this side would wash; empty where there is none."""
        loss = self.losses.get((self._group(instrument), side is Side.BUY))
        if loss is None or date - loss[0] > DAYS:
            return ""
        return f"a loss of {loss[1]} was taken {date - loss[0]} days ago"

    def before_loss(
        self, instrument: InstrumentId, side: Side, quantity: Decimal, date: int
    ) -> str:
        """Return what a loss by closing on this side would be washed by; empty where nothing.

        What was opened in the last 30 days and is still held once the order has filled.
        """
        group, is_long = self._group(instrument), side is Side.SELL
        days = self.opened.get((group, is_long), ())
        recent = sum((each for day, each in days if day >= date - DAYS), ZERO)
        lanes = self._members.get(group) or (self._lanes[instrument],)
        held = sum(
            (max(ZERO, lane.position if is_long else -lane.position) for lane in lanes), ZERO
        )
        replacing = min(recent, held - quantity)
        return f"{replacing} opened within {DAYS} days stay held" if replacing > 0 else ""

    def _group(self, instrument: InstrumentId) -> str:
        return self._group_of.get(instrument, instrument)
