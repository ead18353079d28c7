"""Exponential moving averages that cost little and keep nothing."""

from talipp.indicators import EMA


class FlatEmas:
    """Two of talipp's EMAs without their history: the same figures, in memory that stays flat.

    talipp keeps every input and output, and a session is told millions. Its own code makes the
    first value of each, from the first inputs; from then on only the newest value matters.

    Attributes:
        fast: the newest average over the shorter period; None until it has seen enough inputs.
        slow: the same over the longer period.
    """

    __slots__ = (
        "_fast_rest",
        "_fast_weight",
        "_slow_rest",
        "_slow_weight",
        "_warming_fast",
        "_warming_slow",
        "fast",
        "slow",
    )

    def __init__(self, fast_period: int, slow_period: int) -> None:
        self.fast: float | None = None
        self.slow: float | None = None
        self._warming_fast, self._warming_slow = EMA(fast_period), EMA(slow_period)
        self._fast_weight = 2.0 / (fast_period + 1.0)
        self._slow_weight = 2.0 / (slow_period + 1.0)
        self._fast_rest = 1.0 - self._fast_weight
        self._slow_rest = 1.0 - self._slow_weight

    def add(self, value: float) -> float | None:
        """Take one input in; return how far fast is above slow, None while one has too few."""
        fast, slow = self.fast, self.slow
        if fast is None or slow is None:
            return self._warm(value)
        self.fast = fast = self._fast_weight * value + self._fast_rest * fast
        self.slow = slow = self._slow_weight * value + self._slow_rest * slow
        return fast - slow

    def _warm(self, value: float) -> float | None:
        for average in (self._warming_fast, self._warming_slow):
            average.add(value)
        self.fast, self.slow = self._warming_fast[-1], self._warming_slow[-1]
        return None if self.fast is None or self.slow is None else self.fast - self.slow
