"""A strategy's window on the world: what it may see, and the signals it may raise."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from schemas.base import NS_PER_MS, Event, InstrumentId, OrderId, SignalId
from schemas.bounds import NUMBER_MAX, PLACES_MAX
from schemas.ids import order_id_of
from schemas.instruments import Instrument
from schemas.market import QuoteReceived
from schemas.orders import CancelRequested, OrderType, Side, SignalRaised, TimeInForce
from schemas.sessions import SessionCreated, StateRemembered
from services.strategy.hours import NEVER_NS
from services.strategy.orders import OpenOrder, SessionBook
from services.strategy.provider import DataProvider
from services.strategy.remembered import Remembered, plain

HALF = Decimal("0.5")
ZERO = Decimal(0)
WHY_CHARS_MAX = 500
"""What is beyond it of a strategy's reason is cut off: it goes with every word on the signal."""

DIGITS_MAX = 64
"""Of one number. A division gives 28; the gate wants whole lots and ticks."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How an order is to trade; the default is at the market, now."""

    order_type: OrderType = OrderType.MARKET
    time_in_force: TimeInForce = TimeInForce.GTC
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    is_post_only: bool = False
    is_reduce_only: bool = False
    replaces: OrderId | None = None
    """The resting order whose place this one takes, in one step at the venue."""

    expiry_ms: int | None = None
    """How long the signal may still become an order, in milliseconds; None: as configured."""


AT_MARKET = Terms()
REDUCING = Terms(is_reduce_only=True)


def at_limit(price: Decimal, *, time_in_force: TimeInForce = TimeInForce.GTC) -> Terms:
    """Return the terms of a limit order at `price`."""
    return Terms(order_type=OrderType.LIMIT, limit_price=price, time_in_force=time_in_force)


class Context:
    """One session as its strategy sees it. It collects; the runner publishes.

    Attributes:
        data: all that can be asked of the market; what, the strategy's `needs` say.
        terms: what the session was made with: id, account, capital.
        instruments: what the session trades, by id.
        now_ns: the time of what the strategy is being told, ns since the epoch.
        is_trading: False while halted or paused; signals are then not raised.
        timer_ns: when `on_timer` is due; None while no timer is set.
        remembered: what `remember` has kept.
        said: signals, cancels and what is to be kept; not yet published.
        is_stirred: whether `said` or `timer_ns` changed since the runner looked.
    """

    __slots__ = (
        "_book",
        "_expiry_ms",
        "_quote_of",
        "data",
        "instruments",
        "is_stirred",
        "is_trading",
        "now_ns",
        "remembered",
        "said",
        "terms",
        "timer_ns",
    )

    def __init__(
        self,
        terms: SessionCreated,
        instruments: Mapping[InstrumentId, Instrument],
        book: SessionBook,
        quote_of: Callable[[InstrumentId], QuoteReceived | None],
        expiry_ms: int,
    ) -> None:
        self.terms = terms
        self.data = DataProvider({}, quote_of)
        self.instruments = instruments
        self.now_ns = 0
        self.is_trading = False
        self.timer_ns: int | None = None
        self.remembered = Remembered()
        self.said: list[Event] = []
        self.is_stirred = False
        self._book = book
        self._quote_of = quote_of
        self._expiry_ms = expiry_ms

    @property
    def capital(self) -> Decimal:
        """The session's initial capital in the account's currency: what positions are sized by."""
        return self.terms.capital

    def position(self, instrument: InstrumentId) -> Decimal:
        """Return the signed quantity this session holds, in the instrument's units."""
        return self._book.portfolio.quantity(instrument)

    def entry_price(self, instrument: InstrumentId) -> Decimal:
        """Return the average price of what this session holds; 0 while it holds nothing."""
        position = self._book.portfolio.positions.get(instrument)
        return ZERO if position is None else position.average_price

    def quote(self, instrument: InstrumentId) -> QuoteReceived | None:
        """Return the latest quote; None before the first."""
        return self._quote_of(instrument)

    def equity(self) -> Decimal | None:
        """Return what the session is worth, in the account's currency, at mid prices.

        Its initial capital, and what its own executions made of it. None where something held has
        no two-sided price, or its currency no known worth.
        """
        return self._book.equity(self._mid)

    def worth(self, instrument: InstrumentId) -> Decimal | None:
        """Return what one unit of an instrument's currency is worth in the account's.

        Capital and equity are in the account's, prices in the instrument's. None: nobody knows.

        Raises:
            ValueError: the session does not trade this instrument.
        """
        return self._book.worth(self._known(instrument).id)

    def open_orders(self, instrument: InstrumentId) -> tuple[OpenOrder, ...]:
        """Return this session's orders that are on their way or open, oldest first."""
        return self._book.open_orders(instrument, self.now_ns)

    def whole_lots(self, instrument: InstrumentId, quantity: Decimal) -> Decimal:
        """Return `quantity` rounded down, towards 0, to whole lots of the instrument."""
        lot = self._known(instrument).lot_size
        return quantity // lot * lot

    def buy(
        self, instrument: InstrumentId, quantity: Decimal, terms: Terms = AT_MARKET, why: str = ""
    ) -> OrderId | None:
        """Raise a signal to buy; see `submit`."""
        return self.submit(instrument, Side.BUY, quantity, terms, why)

    def sell(
        self, instrument: InstrumentId, quantity: Decimal, terms: Terms = AT_MARKET, why: str = ""
    ) -> OrderId | None:
        """Raise a signal to sell; see `submit`."""
        return self.submit(instrument, Side.SELL, quantity, terms, why)

    def submit(
        self,
        instrument: InstrumentId,
        side: Side,
        quantity: Decimal,
        terms: Terms = AT_MARKET,
        why: str = "",
    ) -> OrderId | None:
        """Raise a signal; return the id its order will have, or None while not trading.

        `quantity` is in the instrument's units. The gate decides what becomes of it.

        Raises:
            ValueError: the session does not trade this instrument, `quantity` is not above 0, a
                number is none that a sum here can bear, or something is of another type.
        """
        self._known(instrument)
        signal = as_told(self._signal(instrument, side, quantity, terms, why))
        if odd := odd_number(signal):
            raise ValueError(odd)
        if not self.is_trading:
            return None
        self._book.apply(signal)
        self._say(signal)
        return order_id_of(signal.account, signal.session, signal.signal_id, signal.leg)

    def cancel(self, order_id: OrderId) -> bool:
        """Ask to cancel one of this session's orders; return False if it is not open."""
        order = self._book.orders.get(order_id)
        if order is None:
            return False
        self._say(
            CancelRequested(
                at_ns=self.now_ns,
                account=self.terms.account,
                session=self.terms.session,
                instrument=order.instrument,
                order_id=order_id,
            )
        )
        return True

    def close(self, instrument: InstrumentId, why: str = "") -> OrderId | None:
        """Raise a signal that closes what is held; None if nothing is, or while not trading."""
        held = self.position(instrument)
        if not held:
            return None
        side = Side.SELL if held > 0 else Side.BUY
        return self.submit(instrument, side, abs(held), REDUCING, why)

    def set_timer(self, at_ns: int) -> None:
        """Ask for `on_timer` at `at_ns`, ns since the epoch; it takes the place of any other.

        A time that has passed already is taken as "as soon as possible".

        Raises:
            ValueError: it is no number.
        """
        self.timer_ns = min(max(int(at_ns), self.now_ns + 1), NEVER_NS)
        self.is_stirred = True

    def clear_timer(self) -> None:
        """Ask for no `on_timer` any more."""
        self.timer_ns = None
        self.is_stirred = True

    def remember(self, key: str, value: Any) -> None:
        """Keep `value` under `key` beyond a restart of the service; None forgets it.

        `Strategy.recall` has it back as JSON has it: a Decimal is text then. Keep what cannot be
        found anew from the market, such as the level of a stop, whenever it changes.

        Raises:
            ValueError: the key or the value is too long, or there are too many.
            TypeError: JSON has no such value.
        """
        if objection := self.remembered.objection(key, value):
            raise ValueError(objection)
        kept = StateRemembered(
            at_ns=self.now_ns, session=self.terms.session, key=key, value=plain(value)
        )
        self.keep(kept)

    def keep(self, kept: StateRemembered) -> None:
        """Say what is to be kept, where it is news."""
        if self.remembered.apply(kept):
            self._say(kept)

    def _mid(self, instrument: InstrumentId) -> Decimal | None:
        quote = self._quote_of(instrument)
        if quote is None or not (quote.bid and quote.ask):
            return None
        return (quote.bid + quote.ask) * HALF

    def _known(self, instrument: InstrumentId) -> Instrument:
        found = self.instruments.get(instrument)
        if found is None:
            traded = ", ".join(self.instruments)
            raise ValueError(f"instrument {instrument}: this session trades {traded}")
        return found

    def _signal(
        self, instrument: InstrumentId, side: Side, quantity: Decimal, terms: Terms, why: str
    ) -> SignalRaised:
        session = self.terms.session
        expiry_ms = self._expiry_ms if terms.expiry_ms is None else terms.expiry_ms
        return SignalRaised(
            at_ns=self.now_ns,
            signal_id=SignalId(f"{session}-{self._book.number + 1}"),
            account=self.terms.account,
            session=session,
            instrument=instrument,
            side=side,
            quantity=quantity,
            order_type=terms.order_type,
            time_in_force=terms.time_in_force,
            limit_price=terms.limit_price,
            stop_price=terms.stop_price,
            is_post_only=terms.is_post_only,
            is_reduce_only=terms.is_reduce_only,
            expires_at_ns=self.now_ns + expiry_ms * NS_PER_MS,
            replaces=terms.replaces,
            why=why[:WHY_CHARS_MAX],
        )

    def _say(self, event: Event) -> None:
        self.said.append(event)
        self.is_stirred = True


def as_told(signal: SignalRaised) -> SignalRaised:
    """Return a signal as all others read it: its numbers as Decimal, its words as those they are.

    Raises:
        ValueError: nobody could read it; not even this service its own journal.
    """
    try:
        return msgspec.json.decode(msgspec.json.encode(signal), type=SignalRaised)
    except (msgspec.MsgspecError, TypeError) as error:
        raise ValueError(f"a signal that nobody can read: {error}") from error


def odd_number(signal: SignalRaised) -> str:
    """Return which number of a signal nothing can be computed with, in words; empty: none.

    The limits of its session are computed with them in the process of every session.
    """
    quantity = signal.quantity
    if not (quantity.is_finite() and quantity > 0):
        return f"quantity of a signal: found {_short(quantity)}, wanted a number above 0"
    every = (quantity, signal.limit_price, signal.stop_price, signal.parent_quantity)
    for number in every:
        if number is not None and not _is_sane(Decimal(str(number))):  # a price may be said as 100
            wanted = f"at most {NUMBER_MAX:.0e} either way, and {PLACES_MAX} places that matter"
            return f"a number of a signal: found {_short(number)}, wanted {wanted}"
    if not 0 <= signal.expires_at_ns < NEVER_NS:
        return "expiry of a signal: found a time that no clock reaches"
    return ""


def _is_sane(number: Decimal) -> bool:
    if not number.is_finite():
        return False
    is_small = -NUMBER_MAX <= number <= NUMBER_MAX
    is_coarse = not number or number.adjusted() >= -PLACES_MAX
    return is_small and is_coarse and len(number.as_tuple().digits) <= DIGITS_MAX


def _short(number: Decimal) -> str:
    return str(number)[:DIGITS_MAX]
