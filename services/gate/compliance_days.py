"""Dates and business days, in ns since the epoch: what rules with dates are counted by."""

import re

from services.calendars.calendar import DAY_NS, Calendar

_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def date_ns(text: str) -> int:
    """Return midnight UTC of a date like 2026-06-04, in ns since the epoch.

    Raises:
        ValueError: it is no date.
    """
    found = _DATE.fullmatch(text)
    year, month, day = (int(part) for part in found.groups()) if found else (0, 0, 0)
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    is_month = 1 <= month <= 12
    longest = 29 if is_leap and month == 2 else _MONTH_DAYS[month - 1] if is_month else 0
    if not 1 <= day <= longest:
        raise ValueError(f"found {text!r}, wanted a date like 2026-06-04")
    # H. Hinnant, "chrono-compatible low-level date algorithms": years begin in March
    shifted = year - (month <= 2)
    era, of_era = divmod(shifted, 400)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
    return days * DAY_NS


class BusinessDays:
    """The trading days of one calendar. A day is named by its open, in ns since the epoch."""

    def __init__(self, calendar: Calendar) -> None:
        self.calendar = calendar
        self._day_ns = self._from_ns = self._until_ns = 0

    def day_of(self, at_ns: int) -> int | None:
        """Return the day that a trade at that time belongs to; None where the table ends.

        From the end of one day's post-market on, a trade is one of the next day.
        """
        if self._from_ns <= at_ns < self._until_ns:
            return self._day_ns
        calendar = self.calendar
        if not calendar.knows(at_ns):
            return None
        session = calendar.session_at(at_ns)
        if session is None:
            return calendar.next_open_ns(at_ns)
        self._day_ns, self._from_ns = session.open_ns, session.pre_open_ns
        self._until_ns = session.post_close_ns
        return self._day_ns

    def first_of(self, day_ns: int, count: int) -> int:
        """Return the first of `count` business days of which `day_ns` is the last."""
        first_ns = day_ns
        for _ in range(count - 1):
            if not self.calendar.knows(first_ns - 1):
                break
            earlier_ns = self.calendar.day_open_ns(first_ns - 1)
            if earlier_ns >= first_ns:
                break
            first_ns = earlier_ns
        return first_ns

    def close_after(self, day_ns: int, count: int) -> int:
        """Return the close of the business day that is `count` after `day_ns`, in ns.

        Where the table ends before, the last close that it knows.
        """
        session = self.calendar.session_at(day_ns)
        assert session is not None, "a day is named by its open"
        for _ in range(count):
            later = self.calendar.session_after(session)
            if later is None:
                break
            session = later
        return session.close_ns
