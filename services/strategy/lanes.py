"""Who is told what: for every kind of market event and instrument, the hooks that take it."""

from collections.abc import Callable, Sequence
from typing import Any

from schemas.base import Event, InstrumentId
from schemas.market import QuoteReceived
from services.strategy.interface import MARKET_HOOKS, wanted_of
from services.strategy.session import Session

Taker = tuple[Session, Callable[[Any], None]]


class Lane:
    """One kind of event of one instrument.

    Attributes:
        latest: the newest event; None before the first.
        takers: each session that listens, and its strategy's own hook.
    """

    __slots__ = ("latest", "takers")

    def __init__(self) -> None:
        self.latest: Any = None
        self.takers: tuple[Taker, ...] = ()


class Lanes:
    """All lanes there are. An instrument that no session trades has none.

    Attributes:
        by_kind: lanes by kind of event, then by instrument.
    """

    def __init__(self) -> None:
        self.by_kind: dict[type[Event], dict[InstrumentId, Lane]] = {k: {} for k in MARKET_HOOKS}

    def quote(self, instrument: InstrumentId) -> QuoteReceived | None:
        """Return the newest quote of an instrument that a session trades."""
        lane = self.by_kind[QuoteReceived].get(instrument)
        found: QuoteReceived | None = None if lane is None else lane.latest
        return found

    def rebuild(self, sessions: Sequence[Session]) -> None:
        """Tell these sessions what they listen to, the oldest first; keep the newest events."""
        for kind, lanes in self.by_kind.items():
            takers = _takers(kind, sessions)
            for instrument in [each for each in lanes if each not in takers]:
                del lanes[instrument]
            for instrument, found in takers.items():
                lanes.setdefault(instrument, Lane()).takers = tuple(found)


def _takers(kind: type[Event], sessions: Sequence[Session]) -> dict[InstrumentId, list[Taker]]:
    """Return who takes this kind, by instrument; for quotes, every instrument in use."""
    found: dict[InstrumentId, list[Taker]] = {}
    for session in sessions:
        strategy = session.strategy
        if strategy is None:
            continue
        is_taker = kind in wanted_of(type(strategy))
        for instrument in session.context.instruments:
            if is_taker or kind is QuoteReceived:  # any session may ask for its latest quote
                takers = found.setdefault(instrument, [])
                if is_taker:
                    takers.append((session, getattr(strategy, MARKET_HOOKS[kind])))
    return found
