"""What one account holds, has resting and has on its way, in one instrument and in all.

Orders are kept, not counters; the sums beside them follow every change, so that no decision has
to walk through the orders. Tests compute the sums anew from the orders and compare.
"""

from decimal import Decimal

import msgspec

from schemas.instruments import Instrument
from schemas.market import QuoteReceived, Trading
from schemas.orders import Order, Side
from services.gate.limits import LimitMissingError, Limits

ZERO = Decimal(0)
HUGE = Decimal(10) ** 15
"""Prices and quantities from here on are mistakes.

Below it, money at 28 digits, as `decimal` counts, is exact to far less than the smallest coin.
"""

_BUY = Side.BUY


def is_plain(number: Decimal) -> bool:
    """Return whether `number` is above 0, finite and of a size that money and quantities have."""
    return number.is_finite() and ZERO < number < HUGE


class Market:
    """What the gate knows of one instrument's market.

    Attributes:
        instrument: its terms.
        quote: the newest one.
        received_ns: when this process was told of it, by its own clock.
        trading: what the venue said last; None when it never said anything.
        price: what exposure is valued at: the newest ask, or bid where nobody asks.
        exposed: the lanes that have to be valued anew when the price changes.
    """

    __slots__ = ("exposed", "instrument", "price", "quote", "received_ns", "trading")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.quote: QuoteReceived | None = None
        self.received_ns = 0
        self.trading: Trading | None = None
        self.price: Decimal | None = None
        self.exposed: list[Lane] = []

    def take(self, quote: QuoteReceived, now_ns: int) -> None:
        """Remember the newest quote, and value by it what is held. Called for every quote."""
        self.quote = quote
        self.received_ns = now_ns
        if self.exposed and self.moves():
            for lane in self.exposed:
                lane.value()

    def moves(self) -> bool:
        """Take the newest quote's price; return whether it is another one than before.

        A quote without a sane price leaves the last one that was.
        """
        quote = self.quote
        if quote is None:
            return False
        price = quote.ask
        if not is_plain(price):
            price = quote.bid
            if not is_plain(price):
                return False
        if price == self.price:
            return False
        self.price = price
        return True


class Totals:
    """What the lanes of one account add up to.

    Attributes:
        gross: worst-case notional of all instruments, in the account's currency.
        unpriced: instruments with exposure and without a price; then `gross` is not the truth.
    """

    __slots__ = ("gross", "unpriced")

    def __init__(self) -> None:
        self.gross = ZERO
        self.unpriced: dict[str, None] = {}


class OpenOrder(msgspec.Struct):
    """One order that may still fill."""

    order: Order
    lane: "Lane"
    leaves: Decimal
    """What of it may still fill, in the instrument's units."""

    is_heard: bool
    """Whether the executor has told of it; until then it may not even have arrived there."""

    is_unknown: bool = False
    """Whether its fate is; it counts in full either way."""

    def shrink(self, quantity: Decimal) -> bool:
        """Take what has filled, or never will, off; return whether nothing is left."""
        taken = min(quantity, self.leaves)
        self.leaves -= taken
        self.lane.order(self.order.side, -taken)
        return not self.leaves


class Lane:
    """One instrument in one account.

    Attributes:
        position: signed quantity held, in the instrument's units.
        buys, sells: quantity that open orders may still buy and sell.
        worst: the larger of what would be long if all buys and no sells filled, and what would
            be short if all sells and no buys did; 0 or more.
        notional: `worst` at the market's price, in the account's currency.
        unit_value: what one unit at a price of 1 counts for; None where the currency is not known.
    """

    __slots__ = (
        "_totals",
        "_worst_value",
        "buys",
        "instrument",
        "limits",
        "market",
        "notional",
        "position",
        "sells",
        "unit_value",
        "worst",
    )

    def __init__(self, market: Market, limits: Limits, totals: Totals) -> None:
        self.market = market
        self.instrument = market.instrument
        self.limits = limits
        self.position = self.buys = self.sells = self.worst = self.notional = ZERO
        self._totals = totals
        self._worst_value = ZERO
        try:
            self.unit_value: Decimal | None = self.value_of_one()
        except LimitMissingError:
            self.unit_value = None

    def value_of_one(self) -> Decimal:
        """Return what one unit at a price of 1 counts for, in the account's currency.

        Raises:
            LimitMissingError: nobody has said what the instrument's currency is worth.
        """
        return self.instrument.multiplier * self.limits.currency_value.value

    def order(self, side: Side, quantity: Decimal) -> None:
        """Add what an order may fill; a negative quantity takes it off again."""
        if side is _BUY:
            self.buys += quantity
        else:
            self.sells += quantity
        self._refresh()

    def hold(self, position: Decimal) -> None:
        """Take the position as it is now."""
        self.position = position
        self._refresh()

    def clear(self) -> None:
        """Forget position and orders."""
        self.position = self.buys = self.sells = ZERO
        self._refresh()

    def _refresh(self) -> None:
        """Follow a change of position or orders through to the worst case and its value."""
        long, short = self.position + self.buys, self.sells - self.position
        worst, before = long if long > short else short, self.worst
        if worst == before:
            return
        market = self.market
        if not before:
            market.exposed.append(self)
            market.moves()
        elif not worst:
            market.exposed.remove(self)
        self.worst = worst
        self._worst_value = worst * (self.unit_value or ZERO)
        self.value()

    def value(self) -> None:
        """Value the worst case at the market's price, and move the account's total along."""
        price, totals = self.market.price, self._totals
        if price is None or self.unit_value is None:
            self._mark_unpriced()
            return
        notional = self._worst_value * price
        totals.gross += notional - self.notional
        self.notional = notional
        if totals.unpriced:
            totals.unpriced.pop(self.instrument.id, None)

    def _mark_unpriced(self) -> None:
        if self.worst:
            self._totals.unpriced[self.instrument.id] = None
        else:
            self._totals.unpriced.pop(self.instrument.id, None)
