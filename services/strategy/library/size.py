"""How large a position is to be: a quantity, a share of the capital, or by volatility (G-04)."""

from collections.abc import Sequence
from decimal import ROUND_DOWN, Decimal
from typing import Annotated

import msgspec

from schemas.base import NS_PER_S, InstrumentId
from schemas.errors import FieldError
from schemas.instruments import Instrument
from services.strategy.context import Context
from services.strategy.interface import Parameters
from services.strategy.sizing import SAMPLES_MIN, SizingTerms, Volatility, sized

ZERO = Decimal(0)
HALF = Decimal("0.5")


class SizeParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a strategy that seeks positions can be told of their size.

    Raises:
        ValueError: a number is out of its range, or two of them say two sizes.
    """

    quantity: Decimal | None = None
    """Size of a position, in units of the instrument; without it, `capital_share` sets it."""

    capital_share: Decimal = Decimal("0.1")
    """Part of the initial capital that one position of every instrument takes together, 0 to 1."""

    target_volatility: Decimal | None = None
    """Volatility a year that the positions together are to have, as a fraction of the capital: the
    wilder the market, the smaller the position, and `capital_share` is the most. Nothing is held
    before enough was seen. Without it, `capital_share` is what is taken."""

    volatility_window: Annotated[int, msgspec.Meta(ge=SAMPLES_MIN, le=100_000)] = 60
    """Returns that the volatility is measured over; a count."""

    volatility_every_s: Annotated[int, msgspec.Meta(ge=1)] = 60
    """Time between two prices of which one return is made, in seconds."""

    retry_ms: Annotated[int, msgspec.Meta(ge=1)] = 1_000
    """Wait before asking again for what the gate or the venue refused, in milliseconds."""

    def __post_init__(self) -> None:
        if self.quantity is not None and not self.quantity > 0:
            raise ValueError(f"quantity above 0: it is {self.quantity}")
        if not 0 < self.capital_share <= 1:
            raise ValueError(f"capital_share above 0 and up to 1: it is {self.capital_share}")
        target = self.target_volatility
        if target is not None and not (target.is_finite() and target > 0):
            raise ValueError(f"target_volatility above 0: it is {target}")
        if target is not None and self.quantity is not None:
            found = f"they are {self.quantity} and {target}"
            raise ValueError(f"either quantity or target_volatility: {found}")


class Size:
    """The size of one instrument's position.

    Attributes:
        is_by_volatility: whether it wants to see prices.
    """

    __slots__ = (
        "_context",
        "_due_ns",
        "_every_ns",
        "_instrument",
        "_parameters",
        "_price",
        "_volatility",
        "is_by_volatility",
    )

    def __init__(
        self, context: Context, instrument: InstrumentId, parameters: SizeParameters
    ) -> None:
        self._context = context
        self._instrument = instrument
        self._parameters = parameters
        self.is_by_volatility = parameters.target_volatility is not None
        self._volatility = Volatility(parameters.volatility_window)
        self._every_ns = parameters.volatility_every_s * NS_PER_S
        self._due_ns = 0
        self._price = ZERO

    def see(self, price: Decimal, at_ns: int) -> None:
        """Take a price of the market's, of `at_ns` since the epoch."""
        self._price = price
        if at_ns >= self._due_ns:
            self._due_ns = at_ns + self._every_ns
            self._volatility.add(price, at_ns)

    def wanted(self) -> Decimal:
        """Return how much to hold, in whole lots; 0 while the volatility is not known.

        Raises:
            ValueError: the capital buys less than one lot, or there is no price.
        """
        parameters = self._parameters
        if parameters.quantity is not None:
            return parameters.quantity
        if parameters.target_volatility is None:
            return share_of(self._context, self._instrument, parameters.capital_share)
        worth = self._context.worth(self._instrument)
        if worth is None:
            return ZERO
        terms = SizingTerms(
            capital=self._context.capital / len(self._context.instruments) / worth,
            target_volatility=parameters.target_volatility,
            capital_share_max=parameters.capital_share,
        )
        made = self._context.instruments[self._instrument]
        return sized(terms, self._volatility.annual, self._price, made)


def share_of(context: Context, instrument: InstrumentId, capital_share: Decimal) -> Decimal:
    """Return what a share of the session's capital buys, in the instrument's units.

    The share is divided equally among the session's instruments, at the middle of the market,
    rounded down to whole lots.

    Raises:
        ValueError: the capital buys less than one lot, or there is no price.
    """
    quote = context.quote(instrument)
    if quote is None or not (quote.bid and quote.ask):
        raise ValueError(f"{instrument} has no price to size a position by")
    made, worth = context.instruments[instrument], context.worth(instrument)
    if worth is None:
        raise ValueError(f"{made.currency} has no known worth to size {instrument} by")
    capital = context.capital * capital_share / len(context.instruments)
    price = (quote.bid + quote.ask) * HALF * made.multiplier * worth
    lots = (capital / price / made.lot_size).to_integral_value(ROUND_DOWN)
    if not lots:
        raise ValueError(
            f"{capital_share} of the initial capital {context.capital}, for each of "
            f"{len(context.instruments)} instruments, buys less than one lot ({made.lot_size:f}) "
            f"of {instrument} at {price}: raise initial_capital, capital_share, or set quantity"
        )
    return lots * made.lot_size


def lot_complaints(quantity: Decimal | None, instruments: Sequence[Instrument]) -> list[FieldError]:
    """Return each instrument whose lots `quantity` is not a whole number of."""
    return [
        FieldError(
            path="$.config_overrides.quantity",
            found=f"{quantity:f} of {each.id}",
            wanted=f"a multiple of its lot size, {each.lot_size:f}",
        )
        for each in instruments
        if quantity is not None and quantity % each.lot_size
    ]
