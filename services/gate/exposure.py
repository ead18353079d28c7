"""What one account holds, has resting and has on its way, in one instrument and in all.

Orders are kept, not counters; the sums beside them follow every change, so that no decision has
to walk through the orders. Tests compute the sums anew from the orders and compare.
"""

from decimal import Decimal, InvalidOperation

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

UNVALUED_MAX = 8
"""Markets whose moves may wait until something is decided: a decision values no more than these."""

_BUY = Side.BUY


def is_plain(number: Decimal) -> bool:
    """Return whether `number` is above 0, finite and of a size that money and quantities have."""
    try:
        return ZERO < number < HUGE
    except InvalidOperation:  # what is not a number cannot be compared
        return False


class Market:
    """What the gate knows of one instrument's market.

    Attributes:
        instrument: its terms.
        quote: the newest one.
        received_ns: when this process was told of it, by its own clock.
        trading: what the venue said last; None when it never said anything.
        price: what exposure is valued at: the newest ask, or bid where nobody asks.
        exposed: the lanes that have to be valued anew when the price changes.
        sane: a quote that was found to have two prices that do not cross.
        spread: a quote, and how far its bid and ask are apart, in bps. Several sessions answer one
            quote: both are found once.
    """

    __slots__ = (
        "_is_unvalued",
        "_unvalued",
        "exposed",
        "instrument",
        "price",
        "quote",
        "received_ns",
        "sane",
        "spread",
        "trading",
    )

    def __init__(self, instrument: Instrument, unvalued: "Unvalued") -> None:
        self.instrument = instrument
        self.quote: QuoteReceived | None = None
        self.received_ns = 0
        self.trading: Trading | None = None
        self.price: Decimal | None = None
        self.exposed: list[Lane] = []
        self.sane: QuoteReceived | None = None
        self.spread: tuple[QuoteReceived | None, Decimal] = (None, ZERO)
        self._unvalued = unvalued
        self._is_unvalued = False

    def take(self, quote: QuoteReceived, now_ns: int) -> None:
        """Remember the newest quote, and that what is held is to be valued by it.

        Called for every quote; most prices have moved again before anybody asks for a value.
        """
        self.quote = quote
        self.received_ns = now_ns
        if self.exposed and self.moves() and not self._is_unvalued:
            self._is_unvalued = True
            self._unvalued.append(self)
            if len(self._unvalued) >= UNVALUED_MAX:
                self._unvalued.value()

    def value(self) -> None:
        """Value what is held by the newest price."""
        self._is_unvalued = False
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


class Unvalued(list[Market]):
    """Markets that have moved since what is held in them was valued; asked before any sum is."""

    def value(self) -> None:
        """Bring all values and sums up to date."""
        for market in self:
            market.value()
        self.clear()


class Totals:
    """What some lanes add up to, in the account's currency.

    Attributes:
        gross: worst-case notional of all of them.
        long: what they would be long less what they are short if all buys and no sells filled.
        short: the same the other way round; `-short <= net <= long`, whatever fills.
        unpriced: instruments with exposure and without a price; then the sums are not the truth.
    """

    __slots__ = ("gross", "long", "short", "unpriced")

    def __init__(self) -> None:
        self.gross = self.long = self.short = ZERO
        self.unpriced: dict[str, None] = {}


class Lane:
    """What is held and may still be traded of one instrument: in an account, or a part of one.

    Attributes:
        position: signed quantity held, in the instrument's units.
        buys, sells: quantity that open orders may still buy and sell.
        worst: the larger of what would be long if all buys and no sells filled, and what would
            be short if all sells and no buys did; 0 or more.
        long, short: those two at the market's price, in the account's currency; one may be
            below 0.
        notional: the larger of them.
        owned: how much of `position` is some session's; of an account's own lanes only.
        unit_value: what one unit at a price of 1 counts for; None where the currency is not known.
        venue: where the instrument trades.
    """

    __slots__ = (
        "_long_value",
        "_short_value",
        "_totals",
        "_valued_at",
        "buys",
        "instrument",
        "limits",
        "long",
        "market",
        "notional",
        "owned",
        "position",
        "sells",
        "short",
        "unit_value",
        "venue",
        "worst",
    )

    def __init__(self, market: Market, limits: Limits, totals: tuple[Totals, ...]) -> None:
        self.market = market
        self.instrument = market.instrument
        self.venue = market.instrument.venue
        self.limits = limits
        self.position = self.buys = self.sells = self.owned = ZERO
        self.worst = self.notional = self.long = self.short = ZERO
        self._totals = totals
        self._long_value = self._short_value = ZERO
        self._valued_at: Decimal | None = None
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
        is_buy = side is _BUY
        if is_buy:
            self.buys += quantity
        else:
            self.sells += quantity
        price, unit = self.market.price, self.unit_value
        if price is None or price is not self._valued_at or unit is None or not self.worst:
            self._refresh()
        else:
            self._move(price, unit, is_buy=is_buy)

    def hold(self, position: Decimal) -> None:
        """Take the position as it is now."""
        self.position = position
        self._refresh()

    def close_orders(self) -> None:
        """Forget all open orders; the position stays."""
        self.buys = self.sells = ZERO
        self._refresh()

    def room(self, side: Side) -> Decimal:
        """Return how much of a side only reduces what is held, open orders counted; may be < 0."""
        return -self.position - self.buys if side is _BUY else self.position - self.sells

    def _move(self, price: Decimal, unit: Decimal, *, is_buy: bool) -> None:
        """Follow a change of one side's orders through, at the price of the last valuation."""
        long, short = self.position + self.buys, self.sells - self.position
        worst = long if long > short else short
        if not worst:
            self._refresh()
            return
        self.worst = worst
        if is_buy:
            value = self._long_value = long * unit
            value *= price
            moved, self.long = value - self.long, value
        else:
            value = self._short_value = short * unit
            value *= price
            moved, self.short = value - self.short, value
        notional = self.long if self.long > self.short else self.short
        raised, self.notional = notional - self.notional, notional
        for totals in self._totals:
            totals.gross += raised
            if is_buy:
                totals.long += moved
            else:
                totals.short += moved
            if totals.unpriced:
                totals.unpriced.pop(self.instrument.id, None)

    def _refresh(self) -> None:
        """Follow a change of position or orders through to the worst case and its value."""
        long, short = self.position + self.buys, self.sells - self.position
        worst, before = long if long > short else short, self.worst
        self.worst = worst
        if not before:
            if not worst:
                return
            exposed = self.market.exposed
            if not exposed:
                self.market.moves()  # while anything is exposed, every quote is looked at
            exposed.append(self)
        elif not worst:
            self.market.exposed.remove(self)
        unit = self.unit_value
        if unit is not None:
            self._long_value, self._short_value = long * unit, short * unit
        self.value()

    def value(self) -> None:
        """Value the worst case at the market's price, and move all sums along."""
        price = self.market.price
        if price is None or self.unit_value is None:
            self._mark_unpriced()
            return
        long, short = self._long_value * price, self._short_value * price
        notional = long if long > short else short
        raised, longer, shorter = notional - self.notional, long - self.long, short - self.short
        self.notional, self.long, self.short = notional, long, short
        self._valued_at = price
        for totals in self._totals:
            totals.gross += raised
            totals.long += longer
            totals.short += shorter
            if totals.unpriced:
                totals.unpriced.pop(self.instrument.id, None)

    def _mark_unpriced(self) -> None:
        for totals in self._totals:
            if self.worst:
                totals.unpriced[self.instrument.id] = None
            else:
                totals.unpriced.pop(self.instrument.id, None)


class OpenOrder(msgspec.Struct):
    """One order that may still fill."""

    order: Order
    lanes: tuple[Lane, ...]
    """Where it counts: in its account, its session, and its session's strategy."""

    leaves: Decimal
    """What of it may still fill, in the instrument's units."""

    is_heard: bool
    """Whether the executor has told of it; until then it may not even have arrived there."""

    is_unknown: bool = False
    """Whether its fate is; it counts in full either way."""

    is_ended: bool = False
    """Whether it was told how much of it will never fill; what is left is fills to be told of."""

    def shrink(self, quantity: Decimal) -> bool:
        """Take what has filled, or never will, off; return whether nothing is left."""
        taken = min(quantity, self.leaves)
        self.leaves -= taken
        for lane in self.lanes:
            lane.order(self.order.side, -taken)
        return not self.leaves
