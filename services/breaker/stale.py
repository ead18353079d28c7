"""The stale data breaker: what is held or traded must have prices, or nobody knows the risk."""

from collections.abc import Callable, Sequence
from decimal import Decimal

from schemas.base import NS_PER_S, Event, InstrumentId
from schemas.breakers import LevelSetting
from schemas.control import EpochEnded, EpochStarted
from schemas.executions import OrderSubmitted
from schemas.market import FeedEnded
from services.breaker.breaker import About, Breaker
from services.breaker.gauges import NOTHING_KEPT, next_due_ns
from services.breaker.levels import seconds
from services.breaker.valuation import Valuation
from services.core import NOTHING

TRADED_NS = 300 * NS_PER_S
"""An instrument is traded for this long after an order of it was sent."""

LOOK_AGAIN_NS = 60 * NS_PER_S
"""How often it looks whether a closed market has opened."""

OpenSince = Callable[[InstrumentId, int], int | None]
"""Returns since when the market of an instrument has been open, in ns since the epoch; None while
it is closed, and then no price is expected."""

ABOUT = About(
    name="stale_data",
    title="age of the oldest price of what is held or traded",
    formula="now - newest quote, of every instrument that is held, or was traded in the last "
    "300 s, and whose market is open; counted from the start of the epoch at the earliest",
    unit="seconds",
    reads="QuoteReceived, BookReported, OrderFilled, OrderSubmitted, EpochStarted, EpochEnded",
    on_reset=NOTHING_KEPT,
    show=seconds,
    is_for_trading=True,
)


class StaleData(Breaker):
    """How long the worst of what is held or traded has had no price.

    It asks the newest quotes for their age when its own deadline comes, so that a quote costs it
    nothing. A recording that has ended has no more prices, and says so: nothing is stale then,
    until trading is started again.
    """

    hears = frozenset({EpochStarted, EpochEnded, OrderSubmitted, FeedEnded})

    def __init__(
        self, valuation: Valuation, levels: Sequence[LevelSetting], open_since: OpenSince
    ) -> None:
        super().__init__(ABOUT, levels)
        self._valuation = valuation
        self._open_since = open_since
        self._epoch_ns: int | None = None
        self._ended_ns: int | None = None
        self._ordered_ns: dict[InstrumentId, int] = {}

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Note since when there is trading, and what is traded."""
        match event:
            case EpochStarted():  # whoever starts again expects prices
                self._epoch_ns, self._ended_ns = now_ns, None
            case EpochEnded():
                self._epoch_ns = None
            case OrderSubmitted(instrument=instrument):
                self._ordered_ns[instrument] = now_ns
            case FeedEnded():
                self._ended_ns = now_ns
        return NOTHING

    def value(self, now_ns: int) -> Decimal | None:
        """Return the age in seconds; 0 while nothing is held or traded, None where it has none."""
        oldest = self._oldest(now_ns)
        if oldest is None:
            return Decimal(0)
        begin_ns = oldest[1]
        return None if begin_ns is None else Decimal(max(0, now_ns - begin_ns)) / NS_PER_S

    def due_ns(self, now_ns: int) -> int | None:
        """Return when the oldest price there is now would reach the next level."""
        if self._epoch_ns is None or not self.levels:
            return None
        oldest = self._oldest(now_ns)
        begin_ns = None if oldest is None else oldest[1]
        if begin_ns is None:  # a closed market opens without a word
            return now_ns + LOOK_AGAIN_NS if self._watched(now_ns) else None
        return next_due_ns(self, begin_ns)

    def inputs(self, now_ns: int) -> dict[str, str]:
        """Return which instrument is the worst."""
        oldest = self._oldest(now_ns)
        return {"oldest price": "nothing is held or traded" if oldest is None else oldest[0]}

    def why_unknown(self, now_ns: int) -> str:
        """Return what has no price at all."""
        oldest = self._oldest(now_ns)
        assert oldest is not None, "only what is watched can have no price"
        return f"no price of {oldest[0]} was ever seen: is the feed running?"

    def _watched(self, now_ns: int) -> list[InstrumentId]:
        for name in [n for n, at in self._ordered_ns.items() if now_ns - at >= TRADED_NS]:
            del self._ordered_ns[name]
        return list(dict.fromkeys([*self._valuation.held(), *self._ordered_ns]))

    def _oldest(self, now_ns: int) -> tuple[InstrumentId, int | None] | None:
        """Return the instrument that is worst, and from when on it has had no price."""
        found: tuple[InstrumentId, int | None] | None = None
        for name in self._watched(now_ns):
            open_ns = self._open_since(name, now_ns)
            quote = self._valuation.quotes.get(name)
            if open_ns is None or self._is_over(0 if quote is None else quote.at_ns):
                continue
            known = [ns for ns in (self._epoch_ns, None if quote is None else quote.at_ns) if ns]
            if not known:
                return name, None
            begin_ns = max(*known, open_ns)
            if found is None or found[1] is None or begin_ns < found[1]:
                found = (name, begin_ns)
        return found

    def _is_over(self, quoted_ns: int) -> bool:
        """Whether the feed ended, and nothing came since."""
        return self._ended_ns is not None and quoted_ns <= self._ended_ns
