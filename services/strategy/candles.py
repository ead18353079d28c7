"""Candles built inside a strategy: from prices, or from smaller bars; seen only once closed.

Intervals are whole multiples of their length since the epoch. A candle is handed out by the first
thing that is told at or after its end, and holds only what was told before that: nobody can look
ahead. An interval in which nothing was told makes no candle.
"""

from typing import NamedTuple

from schemas.market import BarClosed


class Candle(NamedTuple):
    """What an instrument's price did in one interval, in its currency; figures for indicators."""

    open: float
    high: float
    low: float
    close: float
    volume: float
    """Units traded, where trades or bars are the source; 0 where quotes are."""

    open_ns: int
    """Beginning of the interval, inclusive, ns since the epoch."""

    close_ns: int
    """End of the interval, exclusive, ns since the epoch."""


class Candles:
    """The candles of one instrument, one after the other.

    Args:
        interval_ns: length of each, in ns.
    """

    __slots__ = (
        "_close",
        "_close_ns",
        "_done_ns",
        "_high",
        "_low",
        "_open",
        "_open_ns",
        "_volume",
        "interval",
    )

    def __init__(self, interval_ns: int) -> None:
        self.interval = interval_ns
        self._open = self._high = self._low = self._close = self._volume = 0.0
        self._open_ns = self._close_ns = self._done_ns = 0

    @property
    def due_ns(self) -> int:
        """When the candle under way closes, ns since the epoch; 0 while there is none."""
        return self._close_ns

    def add(self, price: float, volume: float, at_ns: int) -> Candle | None:
        """Take a price in; return the candle that was complete before it, if it begins another.

        What comes with a time before the candle under way counts for the one under way: a candle
        that was handed out never changes.
        """
        done = self.until(at_ns)
        if not self._close_ns:
            self._begin(price, at_ns)
        elif price > self._high:
            self._high = price
        elif price < self._low:
            self._low = price
        self._close = price
        self._volume += volume
        return done

    def until(self, now_ns: int) -> Candle | None:
        """Return the candle that is complete at `now_ns`, once; None if none is."""
        if not self._close_ns or now_ns < self._close_ns:
            return None
        done = Candle(
            self._open,
            self._high,
            self._low,
            self._close,
            self._volume,
            self._open_ns,
            self._close_ns,
        )
        self._done_ns, self._close_ns = self._close_ns, 0
        return done

    def take(self, bar: BarClosed) -> tuple[Candle, ...]:
        """Take a bar of the feed in; return the candles that are complete with it.

        A bar as long as the interval, or longer, is a candle as it stands. Smaller ones are put
        together; the last of an interval completes it at once.
        """
        if bar.close_ns - bar.open_ns >= self.interval:
            left = self.until(bar.open_ns)
            self._close_ns = 0  # what is under way and not complete lies inside the longer bar
            whole = _as_candle(bar)
            return (whole,) if left is None else (left, whole)
        before = self.until(bar.open_ns)
        opened, high, low, close, volume = _as_candle(bar)[:5]
        if not self._close_ns:
            self._begin(opened, bar.open_ns)
        self._high, self._low = max(self._high, high), min(self._low, low)
        self._close = close
        self._volume += volume
        after = self.until(bar.close_ns)
        return tuple(each for each in (before, after) if each is not None)

    def _begin(self, price: float, at_ns: int) -> None:
        at_ns = max(at_ns, self._done_ns)  # late: it counts for the next one
        self._open_ns = at_ns - at_ns % self.interval
        self._close_ns = self._open_ns + self.interval
        self._open = self._high = self._low = price
        self._volume = 0.0


def _as_candle(bar: BarClosed) -> Candle:
    return Candle(
        float(bar.open),
        float(bar.high),
        float(bar.low),
        float(bar.close),
        float(bar.volume),
        bar.open_ns,
        bar.close_ns,
    )
