"""The strategy service with its sessions measured: how they do, are they alive, their paper days.

Wraps the core that trades and changes nothing about it: what it is told and says passes through.
Backtests measure outside, so only the live service pays for this. All state is a fold of kept
events, the ticks (`SessionValued`) included: after a restart the figures are what they were.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from schemas.base import NS_PER_S, Event, InstrumentId, SessionId, SignalId
from schemas.executions import BookReported
from schemas.health import SessionsReported
from schemas.instruments import Instrument
from schemas.market import QuoteReceived
from schemas.measures import PaperDayNoted, SessionValued
from schemas.orders import SignalDecided, SignalRaised
from schemas.reconciliation import ReconciliationReported
from schemas.sessions import SessionCreated, SessionStateChanged, SignalBlocked
from schemas.settlement import PositionSettled
from services.core import Core
from services.performance.core import By, Performance
from services.performance.fold import Terms
from services.share_class import unit_of
from services.strategy.core import StrategyCore
from services.strategy.held import Held
from services.strategy.measures import Measure, share_of

TICK_NS = 10 * NS_PER_S
"""How often every session that has not ended is looked at."""

OURS: frozenset[type[Event]] = frozenset({SessionValued, SignalBlocked})
"""Kept for the figures alone: the sessions' core says them, and needs none of them back."""

PENDING_MAX = 10_000
"""Signals without a decision that are remembered; a count."""


class MeasureTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What sessions are measured by."""

    instruments: Mapping[InstrumentId, Instrument]
    currency_values: Mapping[str, Decimal]
    """What one unit of each currency is worth in the account's."""

    is_paper: bool
    """Whether days are days on paper."""


class Measured:
    """A core around the sessions' core.

    Attributes:
        hears, keeps, fsyncs, wake_at_ns: of both.
    """

    def __init__(self, core: StrategyCore, terms: MeasureTerms) -> None:
        self._core: Core = core
        self._sessions = core
        self._terms = terms
        self._whole = self._performance(None)
        self._measures: dict[SessionId, Measure] = {}
        self._pending: dict[SignalId, SignalRaised] = {}
        self._is_reconciled = self._has_difference = False
        self._tick_ns: int | None = None
        self._held = Held()
        folded = self._whole.hears - {QuoteReceived}
        self._folded = folded | {SessionStateChanged, SessionValued}
        self.hears: frozenset[type[Event]] = core.hears | {
            QuoteReceived,
            BookReported,
            ReconciliationReported,
        }
        self.keeps: frozenset[type[Event]] = core.keeps | OURS
        self.fsyncs: frozenset[type[Event]] = core.fsyncs
        self.wake_at_ns: int | None = core.wake_at_ns

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Pass it on, and fold in what it and the answer mean for the figures."""
        if isinstance(event, BookReported):
            self._is_reconciled = event.is_reconciled
            self._has_difference = bool(event.differences)
        elif isinstance(event, ReconciliationReported):
            self._has_difference = bool(event.differences)
        said = self._core.handle(event, now_ns) if type(event) in self._core.hears else ()
        self._held.take(event)
        self._take(event)
        for each in said:
            self._take(each)
        self._set_alarm(now_ns)
        return said

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Wake the core if it is due; look at every session if that is."""
        said: list[Event] = []
        due_ns = self._core.wake_at_ns
        if due_ns is not None and due_ns <= now_ns:
            said += self._core.wake(now_ns)
            for each in said:
                self._take(each)
        if self._tick_ns is not None and self._tick_ns <= now_ns:
            said += self._tick(now_ns)
        self._set_alarm(now_ns)
        return said

    def restore(self, event: Event) -> None:
        """Fold one kept event in."""
        if type(event) not in OURS:
            self._core.restore(event)
        self._take(event)
        self._set_alarm(event.at_ns)

    def describe(self, now_ns: int) -> SessionsReported:
        """Return every session as it stands, with its figures and its risk."""
        report = self._core.describe(now_ns)
        assert isinstance(report, SessionsReported), report
        is_trading = self._sessions.is_trading
        sessions = tuple(self._held.shown(view, is_trading=is_trading) for view in report.sessions)
        views = {view.session: view for view in sessions}
        found = [
            measure.view(views[key], now_ns)
            for key, measure in self._measures.items()
            if key in views
        ]
        parts = {
            by.value: {name: share_of(each) for name, each in self._whole.attribution(by).items()}
            for by in By
        }
        return msgspec.structs.replace(
            report, sessions=sessions, measures=tuple(found), attribution=parts
        )

    def _take(self, event: Event) -> None:
        """Fold one event in, heard, said or kept."""
        if type(event) not in self._folded:
            return
        if isinstance(event, SessionCreated):
            self._create(event)
        if isinstance(event, SignalRaised):  # counted with the quote that the gate decided at
            self._pending[event.signal_id] = event
            if len(self._pending) > PENDING_MAX:
                del self._pending[next(iter(self._pending))]
            return
        if isinstance(event, SignalDecided):
            self._decided(event)
        if isinstance(event, SessionValued):
            self._valued(event)
            return
        concerned = self._measured_by(event)
        for measure in concerned:
            measure.apply(event)
        if concerned or not isinstance(event, PositionSettled):  # else it is another account's
            self._whole.update(event)

    def _measured_by(self, event: Event) -> list[Measure]:
        """Return the sessions of one event: its own, or of a settlement all of its account."""
        if isinstance(event, PositionSettled):
            every = self._measures.values()
            return [each for each in every if each.created.account == event.account]
        measure = self._measures.get(getattr(event, "session", SessionId("")))
        return [] if measure is None else [measure]

    def _create(self, event: SessionCreated) -> None:
        if event.session not in self._measures:
            performance = self._performance(event)
            self._measures[event.session] = Measure(event, performance, self._terms.is_paper)

    def _decided(self, event: SignalDecided) -> None:
        raised = self._pending.pop(event.signal_id, None)
        if raised is None:
            return
        if event.bid is not None and event.ask is not None:
            self._mark(event.instrument, event.bid, event.ask, raised.at_ns)
        measure = self._measures.get(event.session)
        if measure is not None:
            measure.apply(raised)
        self._whole.update(raised)

    def _valued(self, event: SessionValued) -> None:
        for instrument, mark in event.marks.items():
            self._mark(instrument, mark, mark, event.at_ns)
        measure = self._measures.get(event.session)
        if measure is not None:
            measure.tick(event)

    def _mark(self, instrument: InstrumentId, bid: Decimal, ask: Decimal, at_ns: int) -> None:
        quote = QuoteReceived(
            at_ns=at_ns,
            instrument=instrument,
            bid=bid,
            bid_size=Decimal(0),
            ask=ask,
            ask_size=Decimal(0),
        )
        for measure in self._measures.values():
            if instrument in measure.created.instruments:
                measure.performance.update(quote)
        self._whole.update(quote)

    def _tick(self, now_ns: int) -> list[Event]:
        said: list[Event] = []
        for key, measure in self._measures.items():
            if measure.is_over:
                continue
            session = self._sessions.sessions.get(key)
            valued = SessionValued(
                at_ns=now_ns,
                session=key,
                state=measure.state,
                is_trading=session is not None and session.context.is_trading,
                is_reconciled=self._is_reconciled and not self._has_difference,
                has_difference=self._has_difference,
                marks=self._marks(measure.created.instruments),
            )
            self._valued(valued)
            said.append(valued)
            if (day := measure.day(now_ns)) is not None:
                said.append(PaperDayNoted(at_ns=now_ns, day=day))
        self._tick_ns = now_ns + TICK_NS
        return said

    def _marks(self, instruments: Sequence[InstrumentId]) -> dict[InstrumentId, Decimal]:
        """Return the core's own marks, so that figures and limits see one and the same price."""
        marks = ((each, self._sessions.mark(each)) for each in instruments)
        return {each: mark for each, mark in marks if mark is not None}

    def _set_alarm(self, now_ns: int) -> None:
        if self._tick_ns is None and self._measures:
            self._tick_ns = now_ns + 1
        due = (self._core.wake_at_ns, self._tick_ns)
        self.wake_at_ns = min((each for each in due if each is not None), default=None)

    def _performance(self, created: SessionCreated | None) -> Performance:
        terms = self._terms
        values = terms.currency_values
        unit = Decimal(1) if created is None else unit_of(created.share_class, values)
        in_class = {} if unit is None else {key: each / unit for key, each in values.items()}
        return Performance(
            Terms(
                instruments=terms.instruments,
                currency_values=in_class,
                session=None if created is None else created.session,
                initial_capital=None,
                value_every_ns=NS_PER_S,
                trips_max=0,  # nobody is shown them here; 10,000 a session are 5 MB
            )
        )
