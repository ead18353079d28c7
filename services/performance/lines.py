"""Where the profit of one session in one instrument came from, and its round trips."""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from schemas.base import InstrumentId, SessionId

ZERO = Decimal(0)


class Trip(msgspec.Struct, frozen=True, kw_only=True):
    """One round trip: from flat to flat again, or to the other side."""

    session: SessionId
    instrument: InstrumentId
    is_long: bool
    opened_ns: int
    closed_ns: int
    quantity: Decimal
    """All that was opened, in the instrument's units."""

    opened_at: Decimal
    """Average price of what was opened."""

    closed_at: Decimal
    """Average price of what was closed."""

    fees: Decimal
    profit: Decimal
    """After fees and funding, in the instrument's currency."""


class _Leg:
    """What one side of a round trip traded."""

    __slots__ = ("notional", "quantity")

    def __init__(self) -> None:
        self.quantity = ZERO
        self.notional = ZERO

    def add(self, quantity: Decimal, price: Decimal) -> None:
        self.quantity += quantity
        self.notional += quantity * price

    @property
    def price(self) -> Decimal:
        return self.notional / self.quantity


class Line:
    """The fold of what one session did in one instrument. Amounts in the instrument's currency.

    Attributes:
        held: signed quantity.
        cash: what trading brought, before fees and funding; negative is spent.
        fees: paid; negative is a net rebate.
        funding: received less paid.
        slippage: what executions cost against the middle of the market at their signal, price x
            quantity x multiplier; negative is a gain. (Perold 1988, The Implementation Shortfall:
            the part of it that executed orders have.)
        has_slippage: whether that middle was known for every execution.
        traded: notional of all executions.
    """

    def __init__(
        self,
        session: SessionId,
        instrument: InstrumentId,
        multiplier: Decimal,
        on_trip: Callable[[Trip], None],
    ) -> None:
        self.session = session
        self.instrument = instrument
        self.held = self.cash = self.fees = self.funding = self.slippage = self.traded = ZERO
        self.has_slippage = True
        self._multiplier = multiplier
        self._on_trip = on_trip
        self._begin_trip(0)

    def fill(
        self, signed: Decimal, price: Decimal, fee: Decimal, arrival: Decimal | None, at_ns: int
    ) -> None:
        """Fold one execution in.

        Args:
            signed: its quantity; negative is sold.
            price: of it.
            fee: paid for it.
            arrival: middle of the market when its signal was raised; None is not known.
            at_ns: its time.
        """
        self.traded += abs(signed) * price * self._multiplier
        if arrival is None:
            self.has_slippage = False
        else:
            self.slippage += signed * (price - arrival) * self._multiplier
        self._trade(signed, price, fee, at_ns)

    def pay(self, amount: Decimal) -> None:
        """Fold a payment in: funding received, or paid where it is negative."""
        self.funding += amount
        self._trip_profit += amount

    def settle(self, price: Decimal, at_ns: int) -> None:
        """Close what is held at a settlement price; nobody traded, so it is no turnover."""
        if self.held:
            self._trade(-self.held, price, ZERO, at_ns)

    def adopt(self, quantity: Decimal, price: Decimal, at_ns: int) -> None:
        """Take a holding over at its average price; what it gained before is none of ours."""
        self._trade(quantity, price, ZERO, at_ns)

    def profit(self, mark: Decimal | None) -> Decimal | None:
        """Return all it earned, what is held valued at `mark`; None if that is not known."""
        earned = self.cash + self.funding - self.fees
        if not self.held:
            return earned
        return None if mark is None else earned + self.held * mark * self._multiplier

    def _trade(self, signed: Decimal, price: Decimal, fee: Decimal, at_ns: int) -> None:
        self.cash -= signed * price * self._multiplier
        self.fees += fee
        closing = min(abs(signed), abs(self.held)) if self.held * signed < 0 else ZERO
        opening = abs(signed) - closing
        fee_closing = fee * closing / abs(signed) if opening else fee
        if closing:
            self._close(closing.copy_sign(signed), price, fee_closing, at_ns)
            fee -= fee_closing
        if opening:
            self._open(opening.copy_sign(signed), price, fee, at_ns)

    def _open(self, signed: Decimal, price: Decimal, fee: Decimal, at_ns: int) -> None:
        if not self.held:
            self._begin_trip(at_ns)
        self.held += signed
        self._opened.add(abs(signed), price)
        self._count(signed, price, fee)

    def _close(self, signed: Decimal, price: Decimal, fee: Decimal, at_ns: int) -> None:
        is_long = self.held > 0
        self.held += signed
        self._closed.add(abs(signed), price)
        self._count(signed, price, fee)
        if not self.held:
            self._on_trip(
                Trip(
                    session=self.session,
                    instrument=self.instrument,
                    is_long=is_long,
                    opened_ns=self._opened_ns,
                    closed_ns=at_ns,
                    quantity=self._opened.quantity,
                    opened_at=self._opened.price,
                    closed_at=self._closed.price,
                    fees=self._trip_fees,
                    profit=self._trip_profit,
                )
            )

    def _count(self, signed: Decimal, price: Decimal, fee: Decimal) -> None:
        self._trip_profit -= signed * price * self._multiplier + fee
        self._trip_fees += fee

    def _begin_trip(self, at_ns: int) -> None:
        self._opened_ns = at_ns
        self._opened, self._closed = _Leg(), _Leg()
        self._trip_profit = self._trip_fees = ZERO
