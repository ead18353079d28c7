"""What one session may lose (S-08, S-11): loss since the day's open, fall from its own peak."""

from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec

from schemas.base import NS_PER_S, InstrumentId
from schemas.errors import UserError
from schemas.instruments import Instrument
from schemas.sessions import SessionBreach, SessionCreated, SessionLimits, SessionMarked
from services.calendars.calendar import AllDay
from services.calendars.named import ALL_DAY, calendar_named, calendar_of
from services.strategy.config import ExecutionLimits, RiskLimits
from services.strategy.hours import NEVER_NS
from services.strategy.orders import SessionBook

PAUSING = ("max_daily_loss", "max_daily_loss_pct", "max_drawdown")
"""Limits that pause their session when they are reached; the others only warn, once a day."""


def limits_of(named: SessionLimits, configured: RiskLimits) -> RiskLimits:
    """Return what a session is held to: what its start named, over what is configured."""
    own = {name: getattr(named, name) for name in RiskLimits.__struct_fields__}
    chosen = {name: value for name, value in own.items() if value is not None}
    return msgspec.structs.replace(configured, **chosen)


class RiskWatch:
    """The references of one session's loss and drawdown, and the limits on them.

    Attributes:
        limits: what it is held to.
        due_ns: when it wants to look again; looking costs a valuation of the session. Losses and
            positions each have an interval of their own.
    """

    def __init__(
        self,
        terms: SessionCreated,
        book: SessionBook,
        execution: ExecutionLimits,
        instruments: Sequence[Instrument],
        mark_of: Callable[[InstrumentId], Decimal | None],
    ) -> None:
        self.limits = limits_of(terms.risk_limits, execution.risk_limits)
        self.due_ns = 0 if execution.risk_management_enabled else NEVER_NS
        self._terms = terms
        self._book = book
        self._mark_of = mark_of
        self._monitoring = execution.monitoring
        self._losses_due_ns = self._positions_due_ns = self.due_ns
        calendar = calendar_of(instruments[0]) if instruments else None
        self._calendar = calendar or calendar_named(ALL_DAY)
        self._marked: SessionMarked | None = None
        self._seen: tuple[int, Decimal] | None = None  # when it was valued last, and at what
        self._said: set[str] = set()
        self._size_max = execution.position_size_limit

    def apply(self, marked: SessionMarked) -> None:
        """Fold in the references; a new day may be said anew what the last one was."""
        if self._marked is not None and marked.day_open_ns != self._marked.day_open_ns:
            self._said.clear()
        self._marked = marked

    def equity(self) -> Decimal | None:
        """Return what the session is worth; None while something it holds has no price."""
        return self._book.equity(self._mark_of)

    def look(self, now_ns: int) -> tuple[SessionMarked | None, list[SessionBreach]]:
        """Return references that changed, folded in already, and limits newly reached.

        What is reached is told once a day, and again only after it was within its limit: a person
        who resumes a session has seen it.
        """
        marked: SessionMarked | None = None
        found: list[SessionBreach] = []
        kept = set(self._said)
        equity = self.equity()
        if now_ns >= self._losses_due_ns:
            self._losses_due_ns = now_ns + self._monitoring.risk_s * NS_PER_S
            marked = self._references(equity, now_ns)
            found += self._losses(equity)
            kept.difference_update(PAUSING)
        if now_ns >= self._positions_due_ns:
            self._positions_due_ns = now_ns + self._monitoring.position_s * NS_PER_S
            found += self._sizes(equity)
            kept.intersection_update(PAUSING)
        self.due_ns = min(self._losses_due_ns, self._positions_due_ns)
        reached = {breach.limit_name: breach for breach in found}
        news = [breach for name, breach in reached.items() if name not in self._said]
        self._said = kept | set(reached)
        return marked, news

    def breaches(self) -> list[SessionBreach]:
        """Return every limit that is reached now (S-04); none that cannot be known."""
        equity = self.equity()
        return [*self._losses(equity), *self._sizes(equity)]

    def _losses(self, equity: Decimal | None) -> list[SessionBreach]:
        marked, limits = self._marked, self.limits
        found: list[SessionBreach] = []
        if equity is not None and marked is not None:
            loss = marked.day_equity - equity
            found += _breach("max_daily_loss", limits.max_daily_loss, loss)
            if marked.day_equity > 0:
                percent = loss / marked.day_equity * 100
                found += _breach("max_daily_loss_pct", limits.max_daily_loss_pct, percent)
            if marked.peak_equity > 0:
                fall = 1 - equity / marked.peak_equity
                found += _breach("max_drawdown", limits.max_drawdown, fall)
        return found

    def _sizes(self, equity: Decimal | None) -> list[SessionBreach]:
        limits = self.limits
        found: list[SessionBreach] = []
        taken = 0
        for instrument, position in self._book.portfolio.positions.items():
            taken += bool(position.quantity)
            mark = self._mark_of(instrument)
            if not position.quantity or mark is None or self._book.worth(instrument) is None:
                continue
            size = self._book.notional(instrument, position.quantity, mark)
            found += _breach("max_position_size", limits.max_position_size, size, instrument)
            if equity is not None and equity > 0:
                most, percent = limits.max_position_size_pct, size / equity * 100
                found += _breach("max_position_size_pct", most, percent, instrument)
            found += _breach("position_size_limit", self._size_max, size, instrument)
        return [*found, *_breach("max_positions", limits.max_positions, Decimal(taken))]

    def _references(self, equity: Decimal | None, now_ns: int) -> SessionMarked | None:
        """Return what the loss is counted from, if that changed.

        A day begins with what was known before its open: what a market that was silent until then
        opens lower by is a loss of the day.
        """
        marked, before = self._marked, self._seen
        if equity is None:
            return None
        self._seen = now_ns, equity
        day_ns = self._day_open_ns(now_ns)
        base = before[1] if before is not None and before[0] < day_ns else equity
        is_same_day = marked is not None and marked.day_open_ns == day_ns
        if marked is None:
            day_equity = peak = self._terms.capital
        else:
            day_equity, peak = marked.day_equity, marked.peak_equity
        changed = SessionMarked(
            at_ns=now_ns,
            session=self._terms.session,
            day_open_ns=day_ns,
            day_equity=day_equity if is_same_day or marked is None else base,
            peak_equity=max(peak, equity),
        )
        if is_same_day and marked is not None and changed.peak_equity == marked.peak_equity:
            return None
        self.apply(changed)
        return changed

    def _day_open_ns(self, now_ns: int) -> int:
        """Return when the day of the session's first instrument began; UTC's where not known."""
        try:
            return self._calendar.day_open_ns(now_ns)
        except UserError:  # its table does not reach that far
            return AllDay(ALL_DAY).day_open_ns(now_ns)


def _breach(
    name: str, limit: Decimal | None, current: Decimal, detail: str = ""
) -> list[SessionBreach]:
    """Return the breach, if it is one: a loss limit is reached, a size limit is gone beyond."""
    if limit is None or not (current >= limit if name in PAUSING else current > limit):
        return []
    return [SessionBreach(limit_name=name, limit=limit, current=current, detail=detail)]
