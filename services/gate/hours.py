"""The hours of markets: which calendar an instrument keeps, and which hours are allowed."""

from collections.abc import Mapping

from schemas.base import AccountId, InstrumentId
from schemas.instruments import Instrument
from services.calendars.calendar import AllDay, Calendar, Phase, Session
from services.calendars.named import calendar_of
from services.gate.account import Account
from services.gate.config import GateConfig
from services.gate.config_market import ExtendedHours, row_of
from services.gate.exposure import Market
from services.gate.family import Silent
from services.gate.limits import LimitMissingError
from services.gate.market_rows import missing, unchosen

_ALLOWS = {
    Phase.OPEN: frozenset(ExtendedHours),
    Phase.PRE: frozenset({ExtendedHours.PRE, ExtendedHours.BOTH}),
    Phase.POST: frozenset({ExtendedHours.POST, ExtendedHours.BOTH}),
}
_NONE: frozenset[ExtendedHours] = frozenset()
NEVER_NS = 1 << 63


class TradingHours:
    """The hours of one instrument, to the end of its contract.

    Attributes:
        is_always: whether there is nothing to ask.
    """

    __slots__ = (
        "_calendar",
        "_expires_ns",
        "_extended",
        "_from_ns",
        "_instrument",
        "_until_ns",
        "is_always",
    )

    def __init__(
        self, instrument: Instrument, calendar: Calendar | None, extended: ExtendedHours | None
    ) -> None:
        self._instrument = instrument.id
        self._calendar = calendar
        self._extended = extended
        self._expires_ns = instrument.expires_ns or NEVER_NS
        self._from_ns = self._until_ns = 0
        self.is_always = isinstance(calendar, AllDay) and not instrument.expires_ns

    def objection(self, now_ns: int) -> str:
        """Return why the hour is not one to trade in; empty when it is.

        Raises:
            LimitMissingError: nobody has chosen a calendar, or which extended hours are allowed.
        """
        if self._from_ns <= now_ns < self._until_ns:
            return ""
        calendar, extended = self._calendar, self._extended
        if calendar is None:
            wanted = f'calendar in the row [[instruments]] of "{self._instrument}"'
            raise LimitMissingError("calendar", wanted)
        if now_ns >= self._expires_ns:
            return f"expired at {self._expires_ns} ns"
        phase = calendar.phase_at(now_ns)
        if phase is Phase.OPEN:
            self._remember(calendar.session_at(now_ns), now_ns)
            return ""
        allowing = _ALLOWS.get(phase, _NONE)
        if allowing and extended is None:
            raise missing(self._instrument, "extended_hours")
        return "" if extended in allowing else f"{phase} ({calendar.name})"

    def _remember(self, session: Session | None, now_ns: int) -> None:
        """Remember until when it is open, so that the next signals need no look at the table."""
        assert session is not None, "an open market has a session"
        begins_ns, ends_ns = session.break_ns or (session.close_ns, session.open_ns)
        is_after = now_ns >= begins_ns
        self._from_ns = ends_ns if is_after else session.open_ns
        self._until_ns = min(session.close_ns if is_after else begins_ns, self._expires_ns)


class Hours(Silent):
    """The hours of every instrument. Nothing is remembered: the time alone decides.

    Attributes:
        of: by instrument.
        unchosen: what a person must choose before an instrument can trade, by instrument.
    """

    def __init__(
        self,
        config: GateConfig,
        markets: Mapping[InstrumentId, Market],
        accounts: Mapping[AccountId, Account],
    ) -> None:
        super().__init__(config, markets, accounts)
        self.of = {
            key: TradingHours(
                market.instrument,
                calendar_of(market.instrument),
                row_of(config.market, key).extended_hours,
            )
            for key, market in markets.items()
        }
        self.unchosen = {
            key: tuple(unchosen(market.instrument, row_of(config.market, key)))
            for key, market in markets.items()
        }
