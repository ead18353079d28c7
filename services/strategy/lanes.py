"""Who is told what: for every kind of market event and instrument, the hooks that take it."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from schemas.base import Event, InstrumentId
from schemas.market import (
    BarClosed,
    FundingPublished,
    InstrumentStatusChanged,
    QuoteReceived,
    TradeReceived,
)
from services.strategy.hours import NEVER_NS, Hours
from services.strategy.interface import MARKET_HOOKS, ON_ANY
from services.strategy.provider import EVENTS
from services.strategy.session import Session

Taker = tuple[Session, Callable[[Any], None]]
NEWS = (InstrumentStatusChanged, FundingPublished)
"""Told at any hour: they say what the market is, not what to do in it."""


class Lane:
    """One kind of event of one instrument.

    Attributes:
        latest: the newest event; None before the first.
        takers: each session that listens, and its strategy's own hook.
        open_until_ns: before this time there is no need to ask whether it is told.
    """

    __slots__ = ("_hours", "_instrument", "latest", "open_until_ns", "takers")

    def __init__(self, kind: type[Event], instrument: InstrumentId, hours: Hours) -> None:
        self.latest: Any = None
        self.takers: tuple[Taker, ...] = ()
        is_always = kind in NEWS or hours.is_always(instrument)
        self.open_until_ns = NEVER_NS if is_always else 0
        self._instrument = instrument
        self._hours = hours

    def is_told(self, event: Event, now_ns: int) -> bool:
        """Return whether it is told now, and remember for how long that holds (S-07)."""
        if not self._hours.is_told(event, self._instrument, now_ns):
            return False
        if not isinstance(event, BarClosed):  # a bar is judged by its own time
            self.open_until_ns = self._hours.until_ns(self._instrument, now_ns)
        return True


class Lanes:
    """All lanes there are. An instrument that no session trades has none.

    Attributes:
        by_kind: lanes by kind of event, then by instrument.
    """

    def __init__(self, hours: Hours) -> None:
        kinds = dict.fromkeys((*MARKET_HOOKS, *EVENTS.values()))
        self.by_kind: dict[type[Event], dict[InstrumentId, Lane]] = {kind: {} for kind in kinds}
        self._hours = hours

    def quote(self, instrument: InstrumentId) -> QuoteReceived | None:
        """Return the newest quote of an instrument that a session trades."""
        found: QuoteReceived | None = self._latest(QuoteReceived, instrument)
        return found

    def mark(self, instrument: InstrumentId) -> Decimal | None:
        """Return what one unit is worth now: mid, else last trade, else the newest bar's close."""
        quote = self.quote(instrument)
        if quote is not None and quote.bid and quote.ask:
            return (quote.bid + quote.ask) / 2
        trade: TradeReceived | None = self._latest(TradeReceived, instrument)
        if trade is not None:
            return trade.price
        bar: BarClosed | None = self._latest(BarClosed, instrument)
        return None if bar is None else bar.close

    def rebuild(self, sessions: Sequence[Session]) -> None:
        """Tell these sessions what they listen to, the oldest first; keep the newest events."""
        for kind, lanes in self.by_kind.items():
            takers = _takers(kind, sessions)
            for instrument in [each for each in lanes if each not in takers]:
                del lanes[instrument]
            for instrument, found in takers.items():
                lane = lanes.get(instrument)
                if lane is None:
                    lane = lanes[instrument] = Lane(kind, instrument, self._hours)
                lane.takers = tuple(found)

    def _latest(self, kind: type[Event], instrument: InstrumentId) -> Any:
        lane = self.by_kind[kind].get(instrument)
        return None if lane is None else lane.latest


def _takers(kind: type[Event], sessions: Sequence[Session]) -> dict[InstrumentId, list[Taker]]:
    """Return who takes this kind, by instrument; for quotes, every instrument in use."""
    found: dict[InstrumentId, list[Taker]] = {}
    for session in sessions:
        strategy = session.strategy
        if strategy is None:
            continue
        is_taker = kind in session.hooked
        data = session.context.data
        for instrument in session.context.instruments:
            is_read = kind in data.events(instrument)
            if is_taker or is_read or kind is QuoteReceived:  # any session may ask for its quote
                takers = found.setdefault(instrument, [])
                if is_read:  # first, so that the strategy's hook can ask for it
                    takers.append((session, data.take))
                if is_taker:
                    takers.append((session, getattr(strategy, MARKET_HOOKS.get(kind, ON_ANY))))
    return found
