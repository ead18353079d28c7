"""Trading days of an account, as its valuations told them, and what O-07 asks of them. Pure."""

from decimal import Decimal

import msgspec

from schemas.base import AccountId, Event
from schemas.control import AccountMarked
from schemas.executions import OrderFilled
from schemas.reports import UptimeMeasured
from services.calendars.calendar import Calendar
from services.calendars.named import calendar_named
from services.reports.days import TradingDay, day_at

ZERO = Decimal(0)
LOSS_MAX = Decimal("0.02")
"""What a day may cost by the limits' doing, as a fraction of its opening equity (O-07)."""

UPTIME_MIN = Decimal("0.999")
"""Of market hours (O-07)."""


class DayFigures(msgspec.Struct, kw_only=True):
    """One trading day of the account. Amounts in its currency; None: not known."""

    day: str
    opening: Decimal | None = None
    closing: Decimal | None = None
    low: Decimal | None = None
    """Lowest equity that was told on the day."""

    drawdown_max: Decimal = ZERO
    """Deepest one that was told, from the high-water mark; a fraction."""

    fill_count: int = 0
    fees: Decimal = ZERO
    """Of executions."""

    adjusted: Decimal | None = ZERO
    """What corrections of the book brought that is no profit."""

    up_ns: int = 0
    measured_ns: int = 0
    """Of market hours, in which the uptime was measured."""

    @property
    def profit(self) -> Decimal | None:
        """Equity at the end less that at the begin, and less what corrections brought."""
        if self.opening is None or self.closing is None or self.adjusted is None:
            return None
        return self.closing - self.opening - self.adjusted

    @property
    def worst(self) -> Decimal | None:
        """How far the equity fell below the day's opening, as a fraction; 0 or less."""
        if not self.opening or self.low is None:
            return None
        return min(ZERO, self.low / self.opening - 1)

    @property
    def uptime(self) -> Decimal | None:
        """Part of the measured market hours in which all of the order path was ready."""
        return Decimal(self.up_ns) / self.measured_ns if self.measured_ns else None


class Safety(msgspec.Struct, frozen=True, kw_only=True):
    """What O-07 asks for, measured over all days of the record."""

    worst_day: Decimal | None
    loss_max: Decimal
    is_loss_kept: bool | None
    uptime: Decimal | None
    uptime_min: Decimal
    is_uptime_kept: bool | None
    """None: not known, for it depends on market hours that nobody measured."""

    measured_ns: int
    unmeasured_ns: int
    """Of market hours between the first measurement and the last: everything was down, or nobody
    heard how it was."""


class FigureDays:
    """The fold of one account's days.

    Attributes:
        days: by name, in order.
        last: the newest valuation that was told.
    """

    def __init__(self, account: AccountId) -> None:
        self.days: dict[str, DayFigures] = {}
        self.last: AccountMarked | None = None
        self._account = account
        self._day = TradingDay("", 0, 0, 0)
        self._measured_until_ns = self._unmeasured_ns = 0

    def apply(self, event: Event, calendar: str) -> None:
        """Fold one event in, told once, by the calendar whose open begins a day."""
        match event:
            case UptimeMeasured():
                self._measured(self._at(event.at_ns, calendar), event, calendar_named(calendar))
            case OrderFilled(account=self._account, fee=fee):
                day = self._at(event.at_ns, calendar)
                day.fill_count, day.fees = day.fill_count + 1, day.fees + fee
            case AccountMarked(account=self._account):
                self._marked(self._at(event.at_ns, calendar), event)

    def adjust(self, amount: Decimal | None, at_ns: int, calendar: str) -> None:
        """Take in what a correction of the book brought that is no profit; None: not known."""
        day = self._at(at_ns, calendar)
        is_known = amount is not None and day.adjusted is not None
        day.adjusted = (day.adjusted or ZERO) + (amount or ZERO) if is_known else None

    def safety(self) -> Safety:
        """Return what O-07 asks for."""
        worst = [each.worst for each in self.days.values() if each.worst is not None]
        up_ns = sum(each.up_ns for each in self.days.values())
        measured_ns = sum(each.measured_ns for each in self.days.values())
        worst_day = min(worst, default=None)
        uptime = Decimal(up_ns) / measured_ns if measured_ns else None
        return Safety(
            worst_day=worst_day,
            loss_max=LOSS_MAX,
            is_loss_kept=None if worst_day is None else worst_day >= -LOSS_MAX,
            uptime=uptime,
            uptime_min=UPTIME_MIN,
            is_uptime_kept=_is_kept(up_ns, measured_ns, self._unmeasured_ns),
            measured_ns=measured_ns,
            unmeasured_ns=self._unmeasured_ns,
        )

    def _at(self, at_ns: int, calendar: str) -> DayFigures:
        if not self._day.from_ns <= at_ns < self._day.until_ns:
            self._day = day_at(calendar, at_ns)
        return self.days.setdefault(self._day.name, DayFigures(day=self._day.name))

    def _measured(self, day: DayFigures, event: UptimeMeasured, calendar: Calendar) -> None:
        if calendar.is_open((event.from_ns + event.until_ns) // 2):
            day.up_ns += event.up_ns
            day.measured_ns += event.until_ns - event.from_ns
        since_ns = self._measured_until_ns
        if since_ns:
            self._unmeasured_ns += calendar.open_ns_between(since_ns, event.from_ns)
        self._measured_until_ns = max(since_ns, event.until_ns)

    def _marked(self, day: DayFigures, event: AccountMarked) -> None:
        if event.unmarked:
            return
        if day.opening is None:
            day.opening = self.last.equity if self.last is not None else event.equity
        day.closing, self.last = event.equity, event
        day.low = event.equity if day.low is None else min(day.low, event.equity)
        day.drawdown_max = max(day.drawdown_max, event.drawdown)


def _is_kept(up_ns: int, measured_ns: int, unmeasured_ns: int) -> bool | None:
    """Return whether the uptime is enough; None: it depends on what nobody measured."""
    if not measured_ns:
        return None
    wanted_ns = UPTIME_MIN * (measured_ns + unmeasured_ns)
    if up_ns >= wanted_ns:
        return True
    return False if up_ns + unmeasured_ns < wanted_ns else None
