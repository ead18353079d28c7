"""What families of market rules share: missing choices, days, and closing prices."""

from collections.abc import Iterator
from decimal import Decimal

from schemas.base import InstrumentId
from schemas.errors import FieldError
from schemas.instruments import AssetClass, Instrument
from schemas.market import BarClosed
from schemas.market_rules import ClosingPriceNoted, ClosingPricePublished
from services.calendars.calendar import AllDay, Calendar, Phase, Session
from services.calendars.named import NAMES, calendar_of, market_of
from services.gate.config_market import DEFAULT, MarketRules
from services.gate.exposure import is_plain
from services.gate.limits import LimitMissingError

US = "XNYS"
"""The calendar of US equities, and of the options on them."""

_ALWAYS = AllDay("24x7")


def missing(instrument: InstrumentId, name: str) -> LimitMissingError:
    """Return the error of a rule that nobody has chosen; says where to choose it."""
    wanted = f'gate.market."{instrument}".{name} or gate.market.{DEFAULT}.{name}'
    return LimitMissingError(name, wanted)


def is_us(instrument: Instrument, *kinds: AssetClass) -> bool:
    """Return whether it is one of these kinds and trades by the calendar of US equities."""
    calendar = calendar_of(instrument)
    return instrument.asset_class in kinds and calendar is not None and market_of(calendar) == US


def unchosen(instrument: Instrument, rules: MarketRules) -> Iterator[FieldError]:
    """Yield what a person must choose before this instrument can trade in its market."""
    if calendar_of(instrument) is None:
        path = f'[[instruments]] "{instrument.id}": calendar'
        yield FieldError(path=path, found="nothing", wanted="one of " + ", ".join(NAMES))
    names = ["locked_market", "jump_bps_max", "clock_offset_ms_max"]
    if rules.jump_bps_max:
        names.append("jump_quotes_min")
    if is_us(instrument, AssetClass.EQUITY):
        names += ["luld_tier", "short_sale_rule"]
    if is_us(instrument, AssetClass.EQUITY, AssetClass.OPTION):
        names += ["extended_hours", "market_wide"]
    for name in names:
        if getattr(rules, name) is None:
            error = missing(instrument.id, name)
            yield FieldError(path=error.wanted, found="nothing", wanted=f"a choice of {name}")


class Days:
    """The trading days of one instrument, with the one of now at hand.

    An instrument without a calendar has days from midnight to midnight UTC here: it is not traded.
    """

    __slots__ = ("_session", "calendar")

    def __init__(self, instrument: Instrument) -> None:
        self.calendar: Calendar = calendar_of(instrument) or _ALWAYS
        self._session: Session | None = None

    def at(self, now_ns: int) -> Session | None:
        """Return the day it is, pre-market and post-market included; None between days."""
        session = self._session
        if session is None or not session.pre_open_ns <= now_ns < session.post_close_ns:
            session = self._session = self.calendar.session_at(now_ns)
        return session

    def regular(self, now_ns: int) -> Session | None:
        """Return the day whose regular hours it is; None outside of regular hours."""
        session = self.at(now_ns)
        return session if session and session.phase_at(now_ns) is Phase.OPEN else None

    def of_bar(self, bar: BarClosed) -> Session | None:
        """Return the newest day of whose regular hours a bar tells; None where it tells of none."""
        calendar, last_ns = self.calendar, bar.close_ns - 1
        if not calendar.knows(last_ns) or not calendar.open_ns_between(bar.open_ns, bar.close_ns):
            return None
        return calendar.session_at(calendar.day_open_ns(last_ns))

    def end_of_next(self, now_ns: int) -> int:
        """Return the end of the trading day after this one, in ns: of the newest, between days.

        The end of the table where it ends before that.
        """
        calendar = self.calendar
        if not calendar.knows(now_ns):
            return now_ns
        newest = self.at(now_ns) or calendar.session_at(calendar.day_open_ns(now_ns))
        following = calendar.session_after(newest) if newest else None
        return following.post_close_ns if following else calendar.until_ns


class Closing:
    """The closing price of the day before, as published, or as the last trade we saw in it.

    A price of any other day is no closing price: after days without us, one has to be published.
    """

    __slots__ = (
        "_answer",
        "_asked",
        "_days",
        "_is_published",
        "_last",
        "close_ns",
        "instrument",
        "price",
    )

    def __init__(self, instrument: InstrumentId, days: Days) -> None:
        self.instrument = instrument
        self._days = days
        self.price: Decimal | None = None
        self.close_ns = 0
        self._is_published = False
        self._last: tuple[Session, Decimal] | None = None
        self._asked: Session | None = None
        self._answer: Decimal | None = None

    def traded(self, session: Session, price: Decimal) -> None:
        """Remember the last trade of the regular hours of a day."""
        self._last = (session, price)

    def of_day_before(self, session: Session) -> Decimal | None:
        """Return what the day before `session` closed at; None when that is not known."""
        if session is not self._asked:
            before = self._days.calendar.session_before(session)
            is_known = before is not None and before.open_ns < self.close_ns <= session.open_ns
            self._asked = session
            self._answer = self.price if is_known else None
        return self._answer

    @property
    def due_ns(self) -> int | None:
        """When the last trade becomes the closing price; None when there was none."""
        return None if self._last is None else self._last[0].close_ns

    def note(self, now_ns: int) -> ClosingPriceNoted | None:
        """Return the closing price of a day that is over, to be kept; None when nothing is due."""
        last = self._last
        if last is None or now_ns < last[0].close_ns:
            return None
        self._last = None
        if self._is_published and self.close_ns >= last[0].close_ns:
            return None
        noted = ClosingPriceNoted(
            at_ns=now_ns, instrument=self.instrument, price=last[1], close_ns=last[0].close_ns
        )
        self.take(noted)
        return noted

    def take(self, event: ClosingPricePublished | ClosingPriceNoted) -> None:
        """Take a closing price in. A published one wins over what we noted of the same day."""
        is_published = isinstance(event, ClosingPricePublished)
        is_newer = event.close_ns > self.close_ns
        is_better = event.close_ns == self.close_ns and (is_published or not self._is_published)
        if is_plain(event.price) and (is_newer or is_better):
            self.price, self.close_ns = event.price, event.close_ns
            self._is_published = is_published
            self._asked = None
