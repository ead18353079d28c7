"""What the feed says again each second: of halts, of restrictions, and how low prices were."""

from collections.abc import Mapping
from decimal import Decimal

from schemas.base import NS_PER_S, InstrumentId
from schemas.market import BarClosed, StatesTold, TradeReceived, Trading
from schemas.market_rules import MarketWideHaltDeclared, ShortSaleRestrictionChanged

AGAIN_EVERY_NS = NS_PER_S
"""So long, at most, who was not there for something waits for it while anything is read."""

LOWS_NS = 5 * 60 * NS_PER_S
"""Length of a window whose lowest prices are remembered; the last full one counts too."""

TOLD_AGAIN = (TradeReceived, BarClosed, MarketWideHaltDeclared, ShortSaleRestrictionChanged)
"""What `Told` is told of."""

_Told = TradeReceived | BarClosed | MarketWideHaltDeclared | ShortSaleRestrictionChanged


class Told:
    """What is said again, with what is read: in a silence nobody could act on it.

    Attributes:
        since_ns: when anything was read first; 0 before.
    """

    def __init__(self, source: str) -> None:
        self.since_ns = 0
        self._source = source
        self._said_ns = 0
        self._halts: dict[str, MarketWideHaltDeclared] = {}
        self._restrictions: dict[InstrumentId, ShortSaleRestrictionChanged] = {}
        self._lows: dict[InstrumentId, Decimal] = {}
        self._lows_before: dict[InstrumentId, Decimal] = {}
        self._lows_ns = self._lows_before_ns = 0

    def take(self, event: _Told, now_ns: int) -> None:
        """Remember what one event says."""
        match event:
            case TradeReceived(instrument=key, price=price) | BarClosed(instrument=key, low=price):
                self._turn(now_ns)
                low = self._lows.get(key)
                if price.is_finite() and (low is None or price < low):
                    self._lows[key] = price
            case MarketWideHaltDeclared():
                self._halts[event.market] = event
            case ShortSaleRestrictionChanged():
                self._restrictions[event.instrument] = event

    def is_due(self, now_ns: int) -> bool:
        """Return whether it is time to say it again; the first time begins the count."""
        if not self.since_ns:
            self.since_ns = self._said_ns = now_ns
            self._turn(now_ns)
        return now_ns - self._said_ns >= AGAIN_EVERY_NS

    def again(self, trading: Mapping[InstrumentId, Trading], now_ns: int) -> StatesTold:
        """Return all that holds."""
        self._said_ns = now_ns
        self._turn(now_ns)
        lows = dict(self._lows_before)
        for key, low in self._lows.items():
            lows[key] = min(low, lows.get(key, low))
        return StatesTold(
            at_ns=now_ns,
            source=self._source,
            since_ns=self.since_ns,
            trading=dict(trading),
            halts=tuple(
                halt
                for halt in self._halts.values()
                if not halt.resumes_ns or now_ns < halt.resumes_ns
            ),
            restrictions=tuple(self._restrictions.values()),
            lows=lows,
            lows_since_ns=self._lows_before_ns,
        )

    def _turn(self, now_ns: int) -> None:
        """Begin a new window of lows when the last one is full."""
        if not self._lows_ns:
            self._lows_ns = self._lows_before_ns = now_ns
        elif now_ns - self._lows_ns >= LOWS_NS:
            self._lows_before, self._lows = self._lows, {}
            self._lows_before_ns, self._lows_ns = self._lows_ns, now_ns
