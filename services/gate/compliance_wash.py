"""Wash sales (26 U.S.C. 1091): a loss, and the same bought within 30 days before or after it.

The loss is then not deducted but moved to what was bought. Substantially identical is the same
instrument, or one of the same configured group. Losses are measured against the average cost, as
the books here keep it, after fees; short positions are treated alike (1091(e)). Open orders count
as if they filled.
"""

from collections import deque
from collections.abc import Mapping
from decimal import Decimal

from schemas.base import InstrumentId
from schemas.orders import Side, SignalRaised
from services.gate.access_credit import Realised
from services.gate.account import Account
from services.gate.compliance_wash_open import OpenOrders
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
        losses: date of the newest loss, and how much, in the account's currency; None where there
            may have been one, for nobody told of the execution.
        opened: date and quantity of what was opened in the last 30 days, oldest first.
        open: orders that may still fill.
    """

    def __init__(
        self,
        identical: Mapping[str, tuple[InstrumentId, ...]],
        account: Account,
        realised: Realised,
    ) -> None:
        lanes = account.lanes
        self._group_of = {key: group for group, keys in identical.items() for key in keys}
        self._members = {
            group: tuple(lanes[key] for key in keys if key in lanes)
            for group, keys in identical.items()
        }
        self._lanes = lanes
        self.open = OpenOrders(account, realised)
        self.losses: dict[Key, tuple[int, Decimal | None]] = {}
        self.opened: dict[Key, deque[tuple[int, Decimal]]] = {}

    def execute(
        self,
        instrument: InstrumentId,
        date: int,
        before: Decimal,
        signed: Decimal,
        gain: Decimal | None,
    ) -> None:
        """Fold one execution.

        Args:
            instrument: what was traded.
            date: of the trading day, in days since the epoch.
            before: what was held before, signed.
            signed: what was bought, negative what was sold.
            gain: what the execution realised after its fee; None where nobody knows.
        """
        group = self._group(instrument)
        closed = min(abs(signed), abs(before)) if before * signed < 0 else ZERO
        if closed and (gain is None or gain < 0):
            newest = self.losses.get((group, before > 0))
            if newest is None or newest[0] <= date:
                self.losses[group, before > 0] = (date, None if gain is None else -gain)
        opened = abs(signed) - closed
        if opened:
            days = self.opened.setdefault((group, signed > 0), deque())
            if days and days[-1][0] == date:
                opened += days.pop()[1]
            days.append((date, opened))
            while days[0][0] < date - DAYS:
                days.popleft()

    def found(self, asked: SignalRaised, date: int, *, is_opening: bool) -> str:
        """Return the wash sale that an order makes; empty where it makes none.

        Open orders count as if they filled, in whatever order makes one; but a reduce-only order is
        let out beside them: what rests can be cancelled, and it must be possible to get out.
        """
        found = self._after_loss(asked, date) if is_opening else ""
        return found or self._before_loss(asked, date)

    def _after_loss(self, asked: SignalRaised, date: int) -> str:
        """Return the loss that opening would wash, taken or still open."""
        group, side = self._group(asked.instrument), asked.side
        loss = self.losses.get((group, side is Side.BUY))
        if loss is not None and date - loss[0] <= DAYS:
            ago = f"{date - loss[0]} days ago"
            if loss[1] is None:
                return f"a loss may have been taken {ago}, nobody told at what price"
            return f"a loss of {loss[1]} was taken {ago}"
        losing = self.open.losing(self._lanes_of(asked), side)
        return "" if losing is None else f"open order {losing} may take a loss"

    def _before_loss(self, asked: SignalRaised, date: int) -> str:
        """Return what a loss by closing would be washed by.

        What was opened in the last 30 days and is still held once the order has filled, and what
        open orders may open: after it, or before it where that is what it loses on.
        """
        is_now = self.open.loses(asked)
        if not is_now and (asked.is_reduce_only or not self.open.may_lose(asked)):
            return ""
        is_long, lanes = asked.side is Side.SELL, self._lanes_of(asked)
        days = self.opened.get((self._group(asked.instrument), is_long), ())
        recent = sum((each for day, each in days if day >= date - DAYS), ZERO)
        held = sum(
            (max(ZERO, lane.position if is_long else -lane.position) for lane in lanes), ZERO
        )
        replacing = min(recent, held - asked.quantity)
        if is_now and replacing > 0:
            return f"{replacing} opened within {DAYS} days stay held"
        if asked.is_reduce_only:
            return ""
        opening = self.open.opening(lanes, Side.BUY if is_long else Side.SELL)
        replacing = max(replacing, ZERO) + opening if is_now else replacing + opening
        return f"open orders may open {replacing} within {DAYS} days" if replacing > 0 else ""

    def _lanes_of(self, asked: SignalRaised) -> tuple[Lane, ...]:
        """Return all that is substantially identical."""
        key = asked.instrument
        return self._members.get(self._group(key)) or (self._lanes[key],)

    def _group(self, instrument: InstrumentId) -> str:
        return self._group_of.get(instrument, instrument)
