"""Figures of a series of periodic returns, kept as sums: any length in the same memory.

A return is a fraction (0.01 is 1 %) of one period, here one day in which the market was open.
Annualising is explicit: `periods_per_year` says how many such periods a year has. What cannot be
known from what is there (no return, one return, none that differ) is None, never 0 or infinite.

Each formula agrees with the package empyrical-reloaded, by test.
"""

import math

import msgspec

RETURNS_MIN = 2
"""Fewer returns than this have no spread; a count."""

SPREAD_MIN = 1e-12
"""A standard deviation below this is what rounding leaves of none, as a fraction."""


class Returns(msgspec.Struct, frozen=True, kw_only=True):
    """A series of returns, folded (Welford 1962: one pass, no cancellation).

    Attributes:
        count: of returns.
        mean: of them.
        squares: sum of squared distances from the mean.
        falls: sum of the squared negative returns.
        growth: what 1 became.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    falls: float = 0.0
    growth: float = 1.0

    def including(self, value: float) -> "Returns":
        """Return the series with one return more."""
        count = self.count + 1
        away = value - self.mean
        mean = self.mean + away / count
        return Returns(
            count=count,
            mean=mean,
            squares=self.squares + away * (value - mean),
            falls=self.falls + min(value, 0.0) ** 2,
            growth=self.growth * (1 + value),
        )

    @property
    def deviation(self) -> float | None:
        """Standard deviation of a return, with n - 1; None of fewer than two."""
        if self.count < RETURNS_MIN:
            return None
        return known(math.sqrt(self.squares / (self.count - 1)))


def known(value: float) -> float | None:
    """Return a figure; None for what is no number."""
    return value if math.isfinite(value) else None


def volatility(returns: Returns, periods_per_year: float) -> float | None:
    """Return the standard deviation of the returns, a fraction a year.

    `s * sqrt(N)`, s with n - 1 (Hull, Options, Futures and Other Derivatives, 15.4).
    """
    deviation = returns.deviation
    return None if deviation is None else deviation * math.sqrt(periods_per_year)


def sharpe(returns: Returns, periods_per_year: float) -> float | None:
    """Return mean over standard deviation of the returns, a plain number a year.

    `mean / s * sqrt(N)`, over a riskless rate of 0 (Sharpe 1994, The Sharpe Ratio). None where no
    two returns differ.
    """
    deviation = returns.deviation
    if deviation is None or deviation < SPREAD_MIN:
        return None
    return known(returns.mean / deviation * math.sqrt(periods_per_year))


def sortino(returns: Returns, periods_per_year: float) -> float | None:
    """Return mean over downside deviation of the returns, a plain number a year.

    `mean / sqrt(sum(min(r, 0)^2) / n) * sqrt(N)`, over a target of 0 (Sortino and Price 1994). None
    where nothing ever fell.
    """
    if returns.count < RETURNS_MIN:
        return None
    downside = math.sqrt(returns.falls / returns.count)
    if downside < SPREAD_MIN:
        return None
    return known(returns.mean / downside * math.sqrt(periods_per_year))


def cagr(returns: Returns, periods_per_year: float) -> float | None:
    """Return the compound growth, a fraction a year: `growth ** (N / n) - 1`.

    None of fewer than two returns, and where more was lost than there was.
    """
    if returns.count < RETURNS_MIN or returns.growth < 0:
        return None
    try:
        return known(returns.growth ** (periods_per_year / returns.count) - 1)
    except OverflowError:
        return None
