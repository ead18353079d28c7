"""Sizing by volatility: the wilder the market, the smaller the position (G-04).

    class MyStrategy(Strategy[MyParameters]):
        def on_start(self) -> None:
            self.volatility = Volatility(window=60)

        def on_bar(self, bar: BarClosed) -> None:
            self.volatility.add(bar.close, bar.at_ns)
            quantity = sized(SizingTerms(...), self.volatility.annual, bar.close, instrument)

A volatility is the standard deviation of a year's return, as a fraction: 0.6 is 60 %. The target is
one too, of the capital: with a target of 0.1, a position alone would move the capital by 10 % in a
year of one standard deviation. What is not known is sized 0, never the most.
"""

import math
from collections import deque
from decimal import Decimal

import msgspec

from schemas.instruments import Instrument

NS_PER_YEAR = 365 * 86_400 * 1_000_000_000
"""Of a market that never closes. Where markets do close, the gaps between samples are longer, and
each return counts for the time that it took."""

ZERO = Decimal(0)
SAMPLES_MIN = 10
"""Returns below which no volatility is known; a count."""


class SizingTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a position is sized by.

    Raises:
        ValueError: one of them is not above 0.
    """

    capital: Decimal
    """In the instrument's currency."""

    target_volatility: Decimal = Decimal("0.1")
    """Of the position over a year, as a fraction of the capital."""

    capital_share_max: Decimal = Decimal(1)
    """Notional of the largest position, as a fraction of the capital: in a market that hardly moves
    the target alone would have no end."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not (value.is_finite() and value > 0):
                raise ValueError(f"{name} is {value}: wanted a number above 0")


def sized(
    terms: SizingTerms, volatility: float | None, price: Decimal, instrument: Instrument
) -> Decimal:
    """Return the quantity, in the instrument's units, rounded down to whole lots.

    capital x target / (volatility x price x multiplier), and never a notional beyond the share of
    the capital; 0 where volatility or price are not known. A volatility of 0 has its notional
    bounded by the share alone.
    """
    if volatility is None or not math.isfinite(volatility) or volatility < 0:
        return ZERO
    if not (price.is_finite() and price > 0):
        return ZERO
    notional_max = terms.capital * terms.capital_share_max
    risk = Decimal(repr(float(volatility)))
    target = terms.capital * terms.target_volatility
    # Compared by product, so that a volatility near 0 divides nothing.
    notional = notional_max if target >= notional_max * risk else target / risk
    quantity = notional / (price * instrument.multiplier)
    return quantity // instrument.lot_size * instrument.lot_size


class Volatility:
    """Volatility of one price, over its last returns, whatever the time between them.

    (Root of the mean squared log return per unit of time, without subtracting the mean: over short
    windows the mean is noise. Andersen et al. 2003, Modeling and Forecasting Realized Volatility.)

    Args:
        window: how many returns are looked at; a count.
        samples_min: returns below which nothing is known; a count.
    """

    def __init__(self, window: int = 60, samples_min: int = SAMPLES_MIN) -> None:
        assert window >= samples_min >= 1, "a window must hold what is wanted of it"
        self._samples_min = samples_min
        self._returns: deque[tuple[float, int]] = deque(maxlen=window)
        self._last: tuple[float, int] | None = None

    def add(self, price: Decimal, at_ns: int) -> None:
        """Take the next price; one that is none, or not later than the last, changes nothing."""
        if not (price.is_finite() and price > 0):
            return
        last, now = self._last, (math.log(price), at_ns)
        if last is not None:
            if at_ns <= last[1]:
                return
            self._returns.append((now[0] - last[0], at_ns - last[1]))
        self._last = now

    @property
    def annual(self) -> float | None:
        """Standard deviation of a year's return, as a fraction; None while too little is known."""
        if len(self._returns) < self._samples_min:
            return None
        squares = math.fsum(change * change for change, _ in self._returns)
        span_ns = sum(took_ns for _, took_ns in self._returns)
        return math.sqrt(squares / span_ns * NS_PER_YEAR)
