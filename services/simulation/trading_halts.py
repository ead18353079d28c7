"""When the venue halts an instrument: decided by the seed, whatever befalls who tells of it."""

from collections.abc import Iterable
from random import Random

from schemas.base import NS_PER_S, InstrumentId
from schemas.market import Trading
from services.runtime.sim_world import BEGIN_NS

SHORTEST_S, LONGEST_S = 0.5, 8.0


class TradingHalts:
    """The halts of every instrument in one run.

    Args:
        instruments: that it may halt.
        seed: of the run.
        per_s: how often each instrument is halted, on average.
        seconds: no halt begins later than so long after the beginning.
    """

    def __init__(
        self, instruments: Iterable[InstrumentId], seed: int, per_s: float, seconds: float
    ) -> None:
        chance = Random(f"{seed}:trading halts")
        self._halts = {key: _halts(chance, per_s, seconds) for key in instruments}

    def trading(self, instrument: InstrumentId, at_ns: int) -> Trading:
        """Return what the venue says of an instrument at a time."""
        is_halted = any(begin <= at_ns < end for begin, end in self._halts[instrument])
        return Trading.HALTED if is_halted else Trading.OPEN


def _halts(chance: Random, per_s: float, seconds: float) -> list[tuple[int, int]]:
    """Return when each halt begins and ends, in ns since the epoch."""
    found, at_s = list[tuple[int, int]](), 0.0
    while per_s and (at_s := at_s + chance.expovariate(per_s)) < seconds:
        end_s = at_s + chance.uniform(SHORTEST_S, LONGEST_S)
        begin_ns, end_ns = (BEGIN_NS + round(each * NS_PER_S) for each in (at_s, end_s))
        found.append((begin_ns, end_ns))
        at_s = end_s
    return found
