"""Which stretch of time a trading day is, by the calendar it is reported by."""

from datetime import UTC, date, datetime
from typing import NamedTuple

from schemas.base import NS_PER_S
from schemas.errors import UserError
from services.calendars.calendar import DAY_NS, Calendar, Session
from services.calendars.named import calendar_named


class TradingDay(NamedTuple):
    """One day. Times in ns since the epoch."""

    name: str
    """`YYYY-MM-DD`: the date, in UTC, on which its trading closes."""

    from_ns: int
    """Its open, the market before it included."""

    until_ns: int
    """The next day's; outside."""

    ends_ns: int
    """When its trading is over, the market after its close included."""


def day_named(text: str, calendar: str, *, path: str = "--day") -> TradingDay:
    """Return the trading day of that date.

    Raises:
        UserError: SLU-103 it is no date, or no trading day of the calendar; SLU-180 the calendar
            does not reach that far.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        wanted = "a date, YYYY-MM-DD"
        raise UserError("SLU-103", path=path, found=repr(text), wanted=wanted) from error
    midnight_ns = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * NS_PER_S
    table = calendar_named(calendar)
    if midnight_ns < 0 or not table.knows(midnight_ns):
        wanted = f"a day that the calendar {calendar} covers"
        raise UserError("SLU-180", path=path, found=text, wanted=wanted)
    session = _session_on(table, midnight_ns)
    if session is None:
        wanted = f"a trading day of the calendar {calendar}"
        raise UserError("SLU-103", path=path, found=f"{text}, a day without trading", wanted=wanted)
    return _day(table, session)


def days_ended(calendar: str, now_ns: int, count: int) -> list[TradingDay]:
    """Return the newest `count` trading days whose trading is over, oldest first."""
    table = calendar_named(calendar)
    if not table.knows(now_ns):
        return []
    found: list[TradingDay] = []
    session = table.session_at(table.day_open_ns(now_ns))
    while session is not None and len(found) < count:
        if session.post_close_ns <= now_ns:
            found.append(_day(table, session))
        session = table.session_before(session)
    return found[::-1]


def day_at(calendar: str, at_ns: int) -> TradingDay:
    """Return the trading day that a moment belongs to.

    Raises:
        UserError: SLU-180 the calendar does not reach that far.
    """
    table = calendar_named(calendar)
    session = table.session_at(at_ns) or table.session_at(table.day_open_ns(at_ns))
    assert session is not None, "a day that opened has a session"
    return _day(table, session)


def _session_on(table: Calendar, midnight_ns: int) -> Session | None:
    """Return the session that closes on the UTC day that begins then."""
    last = table.session_at(table.day_open_ns(midnight_ns + DAY_NS - 1))
    for session in (last, None if last is None else table.session_before(last)):
        if session is not None and 0 <= session.close_ns - 1 - midnight_ns < DAY_NS:
            return session
    return None


def _day(table: Calendar, session: Session) -> TradingDay:
    following = table.session_after(session)
    until_ns = table.until_ns if following is None else following.pre_open_ns
    at = datetime.fromtimestamp((session.close_ns - 1) // NS_PER_S, UTC)
    return TradingDay(at.date().isoformat(), session.pre_open_ns, until_ns, session.post_close_ns)
