"""What open orders may do to wash sales: each may fill, and in any order.

A loss that an open order may take is washed by what is bought meanwhile; a loss that is asked for
is washed by what an open order may buy afterwards.
"""

from collections.abc import Iterable
from decimal import Decimal

from schemas.base import InstrumentId, OrderId
from schemas.orders import Order, Side, SignalRaised
from services.gate.access_credit import Realised
from services.gate.account import Account
from services.gate.exposure import Lane

ZERO, _ANY = Decimal(0), Decimal("Infinity")
_BUY, _SELL = Side.BUY, Side.SELL
_OTHER = {_BUY: _SELL, _SELL: _BUY}

Asked = Order | SignalRaised


class OpenOrders:
    """The open orders of one account, by instrument and side."""

    def __init__(self, account: Account, realised: Realised) -> None:
        self._account = account
        self._realised = realised
        self._orders: dict[tuple[InstrumentId, Side], dict[OrderId, Order]] = {}

    def add(self, order: Order) -> None:
        """Take an order that may fill."""
        self._orders.setdefault((order.instrument, order.side), {})[order.order_id] = order

    def remove(self, order: Order) -> None:
        """Let an order go that will not fill any more."""
        self._orders.get((order.instrument, order.side), {}).pop(order.order_id, None)

    def loses(self, asked: Asked) -> bool:
        """Return whether the order would close at a loss, at its limit or stop price or the touch.

        What it cost is not known where nobody told: then it may be a loss.
        """
        lost = self._lost(asked)
        return lost is None or lost > ZERO

    def may_lose(self, asked: Asked) -> bool:
        """Return whether it would, once open orders of the other side have filled before it."""
        lost, price = self._lost(asked), self._price(asked)
        if lost is None:
            return True
        for other in self._orders.get((asked.instrument, _OTHER[asked.side]), {}).values():
            paid = self._price(other)
            if price is None or paid is None:
                return True
            worse = price - paid if asked.side is _BUY else paid - price
            lost += max(ZERO, worse) * self._leaves(other)
        return lost > ZERO

    def losing(self, lanes: Iterable[Lane], side: Side) -> OrderId | None:
        """Return an open order that may close at a loss what is held, or opened, on a side."""
        for lane in lanes:
            orders = self._orders.get((lane.instrument.id, _OTHER[side]))
            if not orders:
                continue
            worst = min(orders.values(), key=self._worth)  # no other one loses where it does not
            if self.may_lose(worst):
                return worst.order_id
        return None

    def opening(self, lanes: Iterable[Lane], side: Side) -> Decimal:
        """Return how much of a side open orders may open, on top of what they may close."""
        found = ZERO
        for lane in lanes:
            orders = lane.buys if side is _BUY else lane.sells
            held = lane.position if side is _BUY else -lane.position
            found += max(ZERO, min(orders, held + orders))
        return found

    def _lost(self, asked: Asked) -> Decimal | None:
        """Return what is held on the other side, by what it lost at the order's price.

        Below 0 where it gained; None where it is not known.
        """
        position = self._account.lanes[asked.instrument].position
        if position >= ZERO if asked.side is _BUY else position <= ZERO:
            return ZERO
        known, price = self._realised.positions.get(asked.instrument), self._price(asked)
        if known is None or not known.average_price or price is None:
            return None
        return position * (known.average_price - price)

    def _worth(self, order: Order) -> Decimal:
        """Return what a unit is closed for; the less, the more is lost."""
        price = self._price(order)
        if price is None:
            return -_ANY
        return -price if order.side is _BUY else price

    def _leaves(self, order: Order) -> Decimal:
        entry = self._account.orders.get(order.order_id)
        return order.quantity if entry is None else entry.leaves

    def _price(self, asked: Asked) -> Decimal | None:
        price = asked.limit_price or asked.stop_price
        quote = self._account.lanes[asked.instrument].market.quote
        if price is not None or quote is None:
            return price
        return quote.ask if asked.side is _BUY else quote.bid
