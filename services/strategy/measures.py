"""One session measured: figures, uptime, heartbeat, and what its days on paper were."""

import msgspec

from schemas.base import NS_PER_S, Event
from schemas.measures import RiskStatus, SessionMeasure, SessionValued, Share
from schemas.results import PaperDay, StrategyTerms
from schemas.sessions import SessionCreated, SessionState, SessionStateChanged, SessionView
from services.performance.core import By, Performance
from services.performance.core import Share as Part
from services.strategy.session import ACTIVE

GAP_NS = 60 * NS_PER_S
"""A longer time between two ticks is none of the session's: its service was away, or stuck."""

DAY_NS = 86_400 * NS_PER_S
NOTE_NS = 60 * NS_PER_S
"""How often a day on paper is noted while it lasts."""


class Measure:
    """The fold of what one session did.

    Attributes:
        created: its terms.
        performance: its figures.
        state: where it is in its life.
    """

    def __init__(self, created: SessionCreated, performance: Performance, is_paper: bool) -> None:
        self.created = created
        self.performance = performance
        self.state = SessionState.CREATED
        self._is_paper = is_paper
        self._tick: SessionValued | None = None
        self._up_ns = 0
        self._day: PaperDay | None = None
        self._noted_ns = 0

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state not in ACTIVE

    def apply(self, event: Event) -> None:
        """Fold in an event of this session."""
        if isinstance(event, SessionStateChanged):
            self.state = event.state
        else:
            self.performance.update(event)

    def tick(self, event: SessionValued) -> None:
        """Fold in that it was looked at: it was up since the last look, if it traded all along."""
        last, self._tick = self._tick, event
        passed_ns = 0 if last is None else event.at_ns - last.at_ns
        was_up = last is not None and last.is_trading and event.is_trading and passed_ns <= GAP_NS
        up_ns = passed_ns if was_up else 0
        self._up_ns += up_ns
        if self._is_paper:
            self._day = self._day_with(event, up_ns)

    def day(self, now_ns: int) -> PaperDay | None:
        """Return what is known of its newest day on paper, once a minute; else None."""
        if self._day is None or now_ns - self._noted_ns < NOTE_NS:
            return None
        self._noted_ns = now_ns
        return msgspec.structs.replace(self._day, figures=self.performance.figures(now_ns))

    def view(self, view: SessionView, now_ns: int) -> SessionMeasure:
        """Return it as it stands."""
        figures = self.performance.figures(now_ns)
        capital, value = self.created.initial_capital, figures.final_value
        earned = None if value is None else value - capital
        curve = self.performance.curve
        is_known = value is not None and curve.has_begun
        if view.breaches:
            risk = RiskStatus.BREACH_DETECTED
        else:
            risk = RiskStatus.UNKNOWN if value is None else RiskStatus.WITHIN_LIMITS
        return SessionMeasure(
            session=self.created.session,
            strategy=self.created.strategy,
            share_class=self.created.share_class,
            engine_status=view.state,
            initial_capital=capital,
            current_value=value,
            total_pnl=earned,
            return_pct=None if earned is None else earned / capital * 100,
            drawdown=curve.ended(value, now_ns).drawdown if is_known else None,
            figures=figures,
            uptime_ns=self._up_ns,
            heartbeat_ns=None if self._tick is None else self._tick.at_ns,
            is_final=self.is_over,
            shares={
                name: share_of(each)
                for name, each in self.performance.attribution(By.SYMBOL).items()
            },
            risk=risk,
            breaches=view.breaches,
        )

    def _day_with(self, event: SessionValued, up_ns: int) -> PaperDay:
        name = _day_of(event.at_ns)
        known = self._day if self._day is not None and self._day.day == name else None
        created = self.created
        terms = StrategyTerms(
            strategy=created.strategy,
            strategy_version=created.strategy_version,
            parameters=created.parameters,
            instruments=created.instruments,
            share_class=created.share_class,
        )
        return PaperDay(
            terms=terms,
            session=created.session,
            account=created.account,
            day=name,
            from_ns=event.at_ns if known is None else known.from_ns,
            to_ns=event.at_ns,
            up_ns=up_ns + (0 if known is None else known.up_ns),
            reconciled_count=event.is_reconciled + (0 if known is None else known.reconciled_count),
            difference_count=event.has_difference
            + (0 if known is None else known.difference_count),
        )


def share_of(part: Part) -> Share:
    """Return a part of the profit as it is told."""
    return Share(
        price=part.price,
        slippage=part.slippage,
        fees=part.fees,
        funding=part.funding,
        profit=part.profit,
        traded=part.traded,
    )


def _day_of(at_ns: int) -> str:
    """Return the UTC day, `2026-11-27` (Hinnant, civil_from_days: no clock, no library of one)."""
    shifted = at_ns // DAY_NS + 719_468
    era, of_era = divmod(shifted, 146_097)
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month_index = (5 * of_year + 2) // 153
    day = of_year - (153 * month_index + 2) // 5 + 1
    month = month_index + 3 if month_index < 10 else month_index - 9
    return f"{year + era * 400 + (month <= 2):04}-{month:02}-{day:02}"
