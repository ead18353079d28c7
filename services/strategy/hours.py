"""When strategies are told of the market: in the hours of each instrument's calendar (S-07)."""

from collections.abc import Mapping

from schemas.base import Event, InstrumentId
from schemas.instruments import Instrument
from schemas.market import BarClosed
from services.calendars.calendar import AllDay, Calendar, Phase
from services.calendars.named import calendar_of
from services.strategy.config import ExtendedHours

NEVER_NS = 1 << 63
_TOLD = {
    ExtendedHours.NONE: frozenset({Phase.OPEN}),
    ExtendedHours.PRE: frozenset({Phase.OPEN, Phase.PRE}),
    ExtendedHours.POST: frozenset({Phase.OPEN, Phase.POST}),
    ExtendedHours.BOTH: frozenset({Phase.OPEN, Phase.PRE, Phase.POST}),
}


class Hours:
    """The hours of every instrument.

    An instrument of which nobody has said what calendar it keeps is always told of: the gate
    denies its orders, and says why. A time that a calendar does not know is outside its hours.
    """

    def __init__(
        self, instruments: Mapping[InstrumentId, Instrument], extended: ExtendedHours
    ) -> None:
        found = {key: calendar_of(each) for key, each in instruments.items()}
        self._kept: dict[InstrumentId, Calendar] = {
            key: each
            for key, each in found.items()
            if each is not None and not isinstance(each, AllDay)
        }
        self._told = _TOLD[extended]

    def is_always(self, instrument: InstrumentId) -> bool:
        """Return whether this instrument is told of at any time."""
        return instrument not in self._kept

    def is_told(self, event: Event, instrument: InstrumentId, now_ns: int) -> bool:
        """Return whether strategies are told of this event now.

        A bar counts where it began or ended in the hours, whenever it is told: it is about them.
        """
        if isinstance(event, BarClosed):
            begun = self.is_open(instrument, event.open_ns)
            return begun or self.is_open(instrument, event.close_ns - 1)
        return self.is_open(instrument, now_ns)

    def is_open(self, instrument: InstrumentId, at_ns: int) -> bool:
        """Return whether that time is in the instrument's hours."""
        calendar = self._kept.get(instrument)
        return calendar is None or calendar.phase_at(at_ns) in self._told

    def until_ns(self, instrument: InstrumentId, now_ns: int) -> int:
        """Return until when an instrument that is open now stays so for certain, in ns."""
        calendar = self._kept.get(instrument)
        if calendar is None:
            return NEVER_NS
        session = calendar.session_at(now_ns)
        if session is None or calendar.phase_at(now_ns) is not Phase.OPEN:
            return now_ns
        pause = session.break_ns
        return pause[0] if pause is not None and now_ns < pause[0] else session.close_ns

    def next_ns(self, instruments: Mapping[InstrumentId, Instrument], now_ns: int) -> int | None:
        """Return None while one of them is open; else when the first of them opens, in ns."""
        opens: list[int] = []
        for instrument in instruments:
            if self.is_open(instrument, now_ns):
                return None
            calendar = self._kept[instrument]
            if calendar.knows(now_ns):
                opens.append(self._opens_ns(calendar, now_ns))
        return min(opens, default=NEVER_NS) if instruments else None

    def _opens_ns(self, calendar: Calendar, now_ns: int) -> int:
        """Return when a closed calendar's hours begin again; never later than they do."""
        session = calendar.session_at(now_ns)
        if session is not None and session.break_ns is not None and now_ns < session.break_ns[1]:
            return session.break_ns[1]
        next_ns = calendar.next_open_ns(now_ns)
        following = calendar.session_at(next_ns)
        if following is None or Phase.PRE not in self._told:
            return next_ns
        return following.pre_open_ns if following.pre_open_ns > now_ns else next_ns
