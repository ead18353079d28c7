"""Day trades, counted from executions (FINRA rule 4210(f)(8)(B), as in force until 4 June 2026).

A day trade is a purchase and a sale, or a short sale and a purchase, of the same security on the
same day; not the closing of what was held overnight, before anything new was opened. Closing
executions in a row make one; each change from opening to closing begins another.
"""

import enum
from decimal import Decimal

import msgspec

from schemas.base import InstrumentId
from schemas.orders import Side
from services.gate.exposure import Lane

DAYS = 5
"""Business days that day trades are counted in, the day itself included."""

_BUY = Side.BUY


class Makes(enum.Enum):
    """What an order could do to the count."""

    NOTHING = 0
    ONE = 1
    """It closes what was opened on the same day."""

    ANY_NUMBER = 2
    """Orders of the other side are open: the two could fill in turn, and each turn is one."""


class Run(msgspec.Struct):
    """What one instrument did on its newest day."""

    day_ns: int
    has_opened: bool = False
    """Whether anything was opened on that day."""

    is_closing: bool = False
    """Whether the newest execution closed what was opened on that day."""


class DayTrades:
    """Day trades and trades of one account in its last five business days."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        """Day trades by day."""

        self.trades: dict[int, int] = {}
        """Orders that executed, by day."""

        self.runs: dict[InstrumentId, Run] = {}

    def execute(
        self,
        instrument: InstrumentId,
        day_ns: int,
        before: Decimal,
        signed: Decimal,
        *,
        is_apart: bool = False,
    ) -> bool:
        """Fold one execution; return whether a day trade began with it.

        Args:
            instrument: what was traded.
            day_ns: the open of its trading day.
            before: what was held before, signed.
            signed: what was bought, negative what was sold.
            is_apart: whether something may have opened between this execution and the one before
                it, or the one after it.
        """
        run = self._run(instrument, day_ns)
        is_closing = before * signed < 0
        is_day_trade = is_closing and run.has_opened and (is_apart or not run.is_closing)
        if is_day_trade:
            self.counts[day_ns] = self.counts.get(day_ns, 0) + 1
        run.is_closing = is_closing and run.has_opened and not is_apart
        if not is_closing or abs(signed) > abs(before):
            run.has_opened, run.is_closing = True, False
        return is_day_trade

    def trade(self, day_ns: int) -> None:
        """Count an order that executed for the first time."""
        self.trades[day_ns] = self.trades.get(day_ns, 0) + 1

    def forget_before(self, first_day_ns: int) -> None:
        """Let days go that no count reaches back to."""
        for memory in (self.counts, self.trades):
            for day_ns in [day for day in memory if day < first_day_ns]:
                del memory[day_ns]

    def counted(self, first_day_ns: int) -> tuple[int, int]:
        """Return day trades and trades since that day."""
        done = sum(count for day, count in self.counts.items() if day >= first_day_ns)
        return done, sum(count for day, count in self.trades.items() if day >= first_day_ns)

    def makes(self, lane: Lane, side: Side, day_ns: int) -> Makes:
        """Return what an order could do to the count, whatever fills first."""
        is_buy = side is _BUY
        if lane.sells if is_buy else lane.buys:
            return Makes.ANY_NUMBER
        run = self.runs.get(lane.instrument.id)
        if run is None or run.day_ns != day_ns or not run.has_opened or run.is_closing:
            return Makes.NOTHING
        is_closing = lane.position < 0 if is_buy else lane.position > 0
        return Makes.ONE if is_closing else Makes.NOTHING

    def _run(self, instrument: InstrumentId, day_ns: int) -> Run:
        run = self.runs.get(instrument)
        if run is None or run.day_ns != day_ns:
            run = self.runs[instrument] = Run(day_ns)
        return run
