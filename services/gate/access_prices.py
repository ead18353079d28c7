"""Where the market was a while ago: the reference of the collar over a period."""

from bisect import bisect_right
from collections.abc import Mapping
from decimal import Decimal

from schemas.base import NS_PER_MS, InstrumentId
from schemas.orders import Side
from services.gate.exposure import Market, is_plain

SAMPLES_MAX = 64
"""Samples of one instrument; the longest period is covered by that many steps."""

STEP_MS_MIN = 100
_BUY = Side.BUY


class PricePath:
    """The touch of every market, sampled over the longest period that any limit looks back.

    A restart begins it anew: until the period is over, the reference is the oldest touch since.
    """

    def __init__(self, markets: Mapping[InstrumentId, Market], period_ms: int) -> None:
        self._markets = markets
        self._period_ns = period_ms * NS_PER_MS
        self.step_ns = max(STEP_MS_MIN, period_ms // (SAMPLES_MAX - 4)) * NS_PER_MS
        self._times: dict[InstrumentId, list[int]] = {}
        self._touches: dict[InstrumentId, list[tuple[Decimal, Decimal]]] = {}

    def sample(self, now_ns: int) -> None:
        """Take the touch of every market that has a sane one."""
        begin_ns = now_ns - self._period_ns
        for key, market in self._markets.items():
            quote = market.quote
            if quote is None or not (is_plain(quote.bid) and is_plain(quote.ask)):
                continue
            times = self._times.setdefault(key, [])
            touches = self._touches.setdefault(key, [])
            times.append(now_ns)
            touches.append((quote.bid, quote.ask))
            stale = bisect_right(times, begin_ns) - 1  # the one in force when the period began
            if stale > 0:
                del times[:stale], touches[:stale]
            assert len(times) <= SAMPLES_MAX, "more samples than a period has steps"

    def reference(
        self, instrument: InstrumentId, side: Side, now_ns: int, period_ms: int
    ) -> Decimal | None:
        """Return the touch that was in force `period_ms` ago, on the side the order takes.

        The oldest one known where the samples do not reach back so far; None without any.
        """
        times = self._times.get(instrument)
        if not times:
            return None
        index = bisect_right(times, now_ns - period_ms * NS_PER_MS) - 1
        bid, ask = self._touches[instrument][max(index, 0)]
        return ask if side is _BUY else bid
