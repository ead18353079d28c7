"""What something was worth over time: drawdown, averages, daily returns, and points to draw."""

import copy
from decimal import Decimal

import msgspec

from schemas.base import NS_PER_S
from services.performance.returns import Returns

DAY_NS = 86_400 * NS_PER_S
POINTS_MAX = 2_048
"""Points kept to draw; beyond it every second one goes, and half as many are taken; a count."""


class Point(msgspec.Struct, frozen=True):
    """The worth at one moment."""

    at_ns: int
    equity: Decimal
    drawdown: float
    """How far below the high-water mark, as a fraction of it; 0 at the mark."""


class Curve:
    """A fold of valuations, in time order; memory does not grow with them.

    A day is one of UTC with at least one valuation: a day on which nothing was traded anywhere
    is no day with a return of 0. What is paid in during a day counts as there since its begin, and
    the high-water mark moves with it in proportion: what is left loses no more by being less.

    Attributes:
        equity: at the last valuation.
        drawdown_max: largest fall from a high-water mark, as a fraction of it; 0 or above.
        drawdown_ns_max: longest time below a high-water mark, in ns; one that lasts counts.
        returns: of the days that are over.
        is_broken: whether on some day nothing was left to earn a return on; then what follows from
            returns is not known.
        points: to draw, oldest first.
    """

    def __init__(self) -> None:
        self.equity = Decimal(0)
        self.drawdown_max = 0.0
        self.drawdown_ns_max = 0
        self.returns = Returns()
        self.is_broken = False
        self.points: list[Point] = []
        self.at_ns = 0
        self._begun_ns = 0
        self._day = -1
        self._is_day_valued = True
        self._day_base = Decimal(0)
        self._mark = Decimal(0)
        self._mark_ns = 0
        self._is_below = False
        self._area = Decimal(0)
        self._every = 1
        self._skipped = 0

    @property
    def has_begun(self) -> bool:
        """Whether there was any valuation, or anything paid in."""
        return self._day >= 0

    @property
    def span_ns(self) -> int:
        """Time from the first valuation to the last."""
        return self.at_ns - self._begun_ns

    def age_ns(self, now_ns: int) -> int:
        """Return the time since the first valuation; 0 before there was any."""
        return now_ns - self._begun_ns if self.has_begun else 0

    @property
    def average(self) -> Decimal:
        """Mean worth over time; the last one where no time has passed."""
        return self._area / self.span_ns if self.span_ns else self.equity

    def pay_in(self, amount: Decimal, at_ns: int) -> None:
        """Take capital in (negative: out); it is no profit, and no drawdown."""
        if not self.has_begun:
            self._day, self._begun_ns, self.at_ns = at_ns // DAY_NS, at_ns, at_ns
            self._mark_ns = at_ns
        elif at_ns // DAY_NS > self._day:  # the day before earned what it did without it
            self._end_day()
            self._day, self._is_day_valued = at_ns // DAY_NS, False
        self._day_base += amount
        self._mark = self._moved_mark(amount)
        self.equity += amount
        if not self.points:
            self._draw()

    def note(self, equity: Decimal, at_ns: int) -> None:
        """Take a valuation in; one that is older than the last counts as made with it."""
        assert self.has_begun, "capital is paid in before anything is worth something"
        at_ns = max(at_ns, self.at_ns)
        self._area += self.equity * (at_ns - self.at_ns)
        day = at_ns // DAY_NS
        if day != self._day:
            self._end_day()
            self._day = day
        self._is_day_valued = True
        self.equity, self.at_ns = equity, at_ns
        self._fall()
        self._skipped += 1
        if self._skipped >= self._every:
            self._draw()

    def ended(self, equity: Decimal | None, at_ns: int) -> "Curve":
        """Return a copy with one valuation more, its day over, and drawn; None adds nothing."""
        found = copy.copy(self)
        found.points = [*self.points]
        if found.has_begun:
            if equity is not None:
                found.note(equity, at_ns)
            found._end_day()
            if found.points[-1].at_ns != found.at_ns:
                found._draw()
        return found

    @property
    def drawdown(self) -> float:
        """How far the worth is below its high-water mark now, as a fraction of it; 0 or above."""
        below = self._mark - self.equity
        return float(below / self._mark) if below > 0 and self._mark > 0 else 0.0

    def _moved_mark(self, amount: Decimal) -> Decimal:
        """Return the high-water mark once this is paid in: as far above the worth as it was."""
        if self.equity == self._mark or self.equity <= 0 or self.equity + amount < 0:
            return self._mark + amount
        return self._mark * (self.equity + amount) / self.equity

    def _fall(self) -> None:
        """Follow the high-water mark, or measure how deep and how long it is below it."""
        if not self._is_below and self.equity >= self._mark:
            self._mark, self._mark_ns = self.equity, self.at_ns
            return
        self.drawdown_ns_max = max(self.drawdown_ns_max, self.at_ns - self._mark_ns)
        self.drawdown_max = max(self.drawdown_max, self.drawdown)
        self._is_below = self.equity < self._mark
        if not self._is_below:
            self._mark, self._mark_ns = self.equity, self.at_ns

    def _end_day(self) -> None:
        if not self._is_day_valued:
            return
        if self._day_base > 0:
            earned = (self.equity - self._day_base) / self._day_base
            self.returns = self.returns.including(float(earned))
        else:
            self.is_broken = True
        self._day_base = self.equity

    def _draw(self) -> None:
        self._skipped = 0
        self.points.append(Point(self.at_ns, self.equity, self.drawdown))
        if len(self.points) >= POINTS_MAX:
            del self.points[1::2]
            self._every *= 2
