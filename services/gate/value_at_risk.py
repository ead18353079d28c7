"""Returns of all instruments, and what they say: volatility, and value at risk of a portfolio.

The only file that needs numpy. Nothing here is called for a quote or a signal: the gate's timer
calls it, and decisions read the numbers that it left.

Sources: J.P. Morgan/Reuters, RiskMetrics Technical Document, 4th edition, 1996: section 5.2 for
exponential weights, the mean of 0 and the square root of time, chapter 1 for the normal quantile.
The historical figure is the quantile of past returns: Jorion, Value at Risk, 3rd edition, 2006.
"""

import math
from collections.abc import Iterable, Mapping
from decimal import ROUND_UP, Context, Decimal
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from schemas.base import NS_PER_S, InstrumentId
from services.gate.config_portfolio import Method, Sampling

Floats = NDArray[np.float64]

HELD_MAX = 16
"""Sets of instruments whose rows are kept together until the next sample."""

_up = Context(prec=9, rounding=ROUND_UP)


def rounded_up(number: float) -> Decimal:
    """Return `number` to nine digits, never less than it is."""
    return _up.create_decimal_from_float(number)


class Returns:
    """The last returns of every instrument, one row a sample.

    A return over a longer time than one sample (nothing was quoted, nothing ran) is divided by the
    square root of that many samples, as if prices walked at random. An instrument that was not
    quoted has no return in the row; that is not a return of 0.

    Attributes:
        added_count: rows that were ever taken.
    """

    def __init__(self, instruments: Iterable[InstrumentId], sampling: Sampling) -> None:
        self._column = {key: index for index, key in enumerate(instruments)}
        width = len(self._column)
        self._sampling = sampling
        self._rows = np.full((sampling.window, width), np.nan)
        self.added_count = 0
        self._next = 0
        self._prices = np.full(width, np.nan)
        self._sampled_ns = np.zeros(width)
        self._seen = np.zeros(width, dtype=np.int64)
        self._fast = _Weighted(width, float(sampling.decay))
        self._slow = _Weighted(width, float(sampling.slow_decay))
        self._worst = np.zeros(width)
        self._held: dict[tuple[InstrumentId, ...], Floats] = {}

    def add(self, prices: Mapping[InstrumentId, Decimal], at_ns: int) -> None:
        """Take the prices of one sample; those of unknown instruments are left out."""
        known = [key for key in prices if key in self._column]
        columns = [self._column[key] for key in known]
        fresh = np.array([float(prices[key]) for key in known])
        row = np.full(len(self._column), np.nan)
        period_ns = self._sampling.every_s * NS_PER_S
        periods = np.maximum((at_ns - self._sampled_ns[columns]) / period_ns, 1.0)
        row[columns] = (fresh / self._prices[columns] - 1.0) / np.sqrt(periods)
        self._prices[columns] = fresh
        self._sampled_ns[columns] = at_ns
        self._remember(row)

    def _remember(self, row: Floats) -> None:
        is_known = ~np.isnan(row)
        if not is_known.any():
            return
        self._rows[self._next] = row
        self._next = (self._next + 1) % len(self._rows)
        self.added_count += 1
        self._held.clear()
        self._seen += is_known
        self._fast.add(row, is_known)
        self._slow.add(row, is_known)
        self._worst = np.fmax.reduce(np.abs(self._rows), axis=0, initial=0.0)

    def missing(self, instrument: InstrumentId) -> int:
        """Return how many returns an instrument lacks before its volatility is known."""
        column = self._column.get(instrument)
        seen = 0 if column is None else int(self._seen[column])
        return max(self._sampling.samples_min - seen, 0)

    def volatility(self, instrument: InstrumentId) -> float | None:
        """Return the standard deviation of one sample's return; None while it is not known.

        sigma^2 = sum(decay^k r_k^2) / sum(decay^k), the mean taken as 0 (RiskMetrics 1996, 5.2).
        """
        if self.missing(instrument):
            return None
        return self._fast.deviation(self._column[instrument])

    def regime(self, instrument: InstrumentId) -> float | None:
        """Return volatility now / in calm times; None while either is not known, or calm is 0."""
        now = self.volatility(instrument)
        calm = None if now is None else self._slow.deviation(self._column[instrument])
        return now / calm if now is not None and calm else None

    def worst(self, instrument: InstrumentId) -> float:
        """Return the largest move of an instrument in the window, either way."""
        return float(self._worst[self._column[instrument]])

    def profits(self, exposures: Mapping[InstrumentId, float]) -> Floats:
        """Return what `exposures`, signed, would have won in each sample, oldest first.

        Samples in which one of them has no return are left out.
        """
        weights = np.array(list(exposures.values()))
        # einsum, because a matrix library's own threads would take the gate's processor
        found: Floats = np.einsum("ij,j->i", self._complete(tuple(exposures)), weights)
        return found

    def _complete(self, held: tuple[InstrumentId, ...]) -> Floats:
        """Return the rows in which all that is held has a return; made once a sample."""
        complete = self._held.get(held)
        if complete is None:
            if len(self._held) >= HELD_MAX:
                self._held.clear()
            columns = [self._column[key] for key in held]
            rows = np.roll(self._rows[:, columns], -self._next, axis=0)
            complete = self._held[held] = rows[~np.isnan(rows).any(axis=1)]
        return complete


class ValueAtRisk:
    """One account's way to the figure: method, confidence and horizon.

    Args:
        method: which figure.
        confidence: probability that the loss stays below it.
        periods: the horizon, in samples.
        decay: weight of a squared profit against that of the next newer one.
    """

    def __init__(self, method: Method, confidence: float, periods: float, decay: float) -> None:
        self._method = method
        self._tail = 100.0 * (1.0 - confidence)
        self._quantile = NormalDist().inv_cdf(confidence)
        self._scale = math.sqrt(periods)
        self._decay = decay

    def figure(self, profits: Floats) -> float:
        """Return the loss that is not passed with the confidence chosen; 0 or more."""
        if self._method is Method.HISTORICAL:
            return self.historical(profits)
        if self._method is Method.PARAMETRIC:
            return self.parametric(profits)
        return max(self.historical(profits), self.parametric(profits))

    def historical(self, profits: Floats) -> float:
        """Return -quantile(profits, 1 - confidence) x sqrt(periods), linear between ranks."""
        return max(-float(np.percentile(profits, self._tail)), 0.0) * self._scale

    def parametric(self, profits: Floats) -> float:
        """Return z(confidence) x sigma x sqrt(periods), sigma with exponential weights.

        The weighted variance of the portfolio's own profits is w' S w of the weighted covariance
        matrix S (RiskMetrics 1996), without the matrix.
        """
        weights = self._decay ** np.arange(len(profits) - 1, -1, -1.0)
        variance = float(np.sum(weights * profits**2) / np.sum(weights))
        return self._quantile * math.sqrt(variance) * self._scale

    def of_one(self, worst: float, volatility: float) -> float:
        """Return the most that one more unit of exposure in an instrument can add to the figure.

        Historical: no sample moves by more than the instrument's worst one, so no quantile does.
        Parametric: sigma(a + b) <= sigma(a) + sigma(b).
        """
        historical = worst * self._scale
        parametric = self._quantile * volatility * self._scale
        if self._method is Method.HISTORICAL:
            return historical
        return parametric if self._method is Method.PARAMETRIC else max(historical, parametric)


class _Weighted:
    """Exponentially weighted mean squares, one a column."""

    def __init__(self, width: int, decay: float) -> None:
        self._decay = decay
        self._squares = np.zeros(width)
        self._weights = np.zeros(width)

    def add(self, row: Floats, is_known: NDArray[np.bool_]) -> None:
        decay = self._decay
        self._squares[is_known] = decay * self._squares[is_known] + row[is_known] ** 2
        self._weights[is_known] = decay * self._weights[is_known] + 1.0

    def deviation(self, column: int) -> float:
        assert self._weights[column] > 0, "asked for before the first return"
        return math.sqrt(self._squares[column] / self._weights[column])
