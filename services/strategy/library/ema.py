"""An exponential moving average that costs little and keeps nothing."""

from talipp.indicators import EMA


class FlatEma:
    """talipp's EMA without its history: same figures to the last bit, memory that stays flat.

    talipp keeps every input and output; a session is told millions. Its own code makes the first
    value, from the first `period` inputs; from then on only the newest value matters.

    Attributes:
        value: the newest average; None until `period` inputs have been seen.
    """

    __slots__ = ("_rest", "_warming", "_weight", "value")

    def __init__(self, period: int) -> None:
        self.value: float | None = None
        self._warming = EMA(period)
        self._weight = 2.0 / (period + 1.0)
        self._rest = 1.0 - self._weight

    def add(self, value: float) -> float | None:
        """Take one input in; return the new average, or None while there are too few."""
        last = self.value
        if last is None:
            self._warming.add(value)
            self.value = self._warming[-1]
        else:
            self.value = self._weight * value + self._rest * last
        return self.value
