"""Since when markets are open, for the breaker that expects prices of them."""

from collections.abc import Mapping

from schemas.base import InstrumentId
from schemas.instruments import Instrument
from services.calendars.calendar import Calendar, Phase
from services.calendars.named import calendar_of


class Markets:
    """The calendars of the instruments, asked for one question.

    What has no calendar, or none that reaches this day, is taken for open: a price is expected.
    """

    def __init__(self, instruments: Mapping[InstrumentId, Instrument]) -> None:
        self._calendars: dict[InstrumentId, Calendar | None] = {
            name: calendar_of(instrument) for name, instrument in instruments.items()
        }

    def open_since(self, instrument: InstrumentId, now_ns: int) -> int | None:
        """Return since when it has been open, in ns since the epoch; None while it is closed."""
        calendar = self._calendars.get(instrument)
        if calendar is None or not calendar.knows(now_ns):
            return 0
        session = calendar.session_at(now_ns)
        if session is None or session.phase_at(now_ns) is not Phase.OPEN:
            return None
        pause = session.break_ns
        return pause[1] if pause is not None and now_ns >= pause[1] else session.open_ns
