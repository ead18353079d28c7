"""One session: its strategy, what it holds, and where it is in its life."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, Protocol

import msgspec

from schemas.base import NS_PER_S, Event, InstrumentId
from schemas.confirmations import SignalAwaiting, SignalConfirmed, SignalWithdrawn
from schemas.errors import FieldError, UserError
from schemas.health import AlertRaised, Severity
from schemas.instruments import Instrument
from schemas.market import QuoteReceived
from schemas.orders import CancelRequested, SignalRaised
from schemas.sessions import (
    SessionCreated,
    SessionMarked,
    SessionState,
    SessionStateChanged,
    SessionView,
    StateRemembered,
    StrategyFailed,
)
from services.strategy.admission import Admission
from services.strategy.catalogue import Own
from services.strategy.config import StrategyConfig
from services.strategy.confirmations import Waiting
from services.strategy.context import Context
from services.strategy.hours import NEVER_NS
from services.strategy.interface import Strategy, hooked_by, needs_of
from services.strategy.mistakes import SAID_CHARS_MAX, said_by
from services.strategy.orders import RESTART_SKIP, OpenOrder, SessionBook, at_par
from services.strategy.provider import DataProvider, missing, offered
from services.strategy.risk import RiskWatch

ACTIVE = (SessionState.CREATED, SessionState.RUNNING, SessionState.PAUSED)
OWN_FACTS: frozenset[type[Event]] = frozenset({SessionStateChanged, SessionMarked, StateRemembered})
"""What is kept of a session itself; see also `orders.ORDER_FACTS`."""

OVER = "its session is over"


class LostError(Exception):
    """What ended the process of a session, in its own words, and where."""

    def __init__(self, said: str, where: str) -> None:
        super().__init__(said)
        self.where = where


class Market(Protocol):
    """What a session may ask of the market."""

    def quote(self, instrument: InstrumentId) -> QuoteReceived | None:
        """Return the newest quote; None before the first."""

    def mark(self, instrument: InstrumentId) -> Decimal | None:
        """Return what one unit is worth now; None while nobody knows."""


class Session:
    """A strategy at work, or the record of one that was.

    Attributes:
        terms: what it was made with.
        state: where it is in its life.
        book: what it holds and has on its way.
        context: what its strategy sees.
        strategy: None before it begins.
        waiting: what of its signals waits for a person.
        hooked: the market events that its strategy has a hook for.
        watch: what it may lose, and has lost.
        admission: what of its signals goes out, and when.
        ends_ns: when its time is over, ns since the epoch.
        alarm_ns: its deadline, as the core was last told of it.
        changed_ns: when its state last changed, ns since the epoch.
    """

    def __init__(
        self,
        terms: SessionCreated,
        instruments: Mapping[InstrumentId, Instrument],
        market: Market,
        config: StrategyConfig,
        worth_of: Callable[[str], Decimal | None] = at_par,
    ) -> None:
        own = {key: instruments[key] for key in terms.instruments if key in instruments}
        self.terms = terms
        self.state = SessionState.CREATED
        self.book = SessionBook(own, terms.capital, worth_of)
        self.context = Context(terms, own, self.book, market.quote, config.signal_expiry_ms)
        self.waiting = Waiting(terms, self.book, config.confirmation, market.quote)
        self.strategy: Strategy[Any] | None = None
        self.hooked: tuple[type[Event], ...] = ()
        execution, mark = config.execution, market.mark
        self.watch = RiskWatch(terms, self.book, execution, list(own.values()), mark)
        self.admission = Admission(terms, self.book, execution, self.watch.limits, mark)
        life_s = config.session_timeout_s
        self.ends_ns = terms.at_ns + life_s * NS_PER_S if life_s else NEVER_NS
        self.alarm_ns: int | None = None
        self.changed_ns = terms.at_ns
        self._started_ns = 0
        self._detail = ""

    @property
    def deadline_ns(self) -> int | None:
        """When it must be looked at, ns since the epoch; None while nothing is due."""
        due = (self.context.timer_ns, self.waiting.deadline_ns, self.admission.deadline_ns)
        found = [each for each in due if each is not None]
        if self.ends_ns != NEVER_NS:
            found.append(self.ends_ns)
        return min(found, default=None)

    @property
    def is_active(self) -> bool:
        """Whether it has not ended."""
        return self.state in ACTIVE

    def apply(self, change: SessionStateChanged) -> None:
        """Fold a change of state in; one to the state it had already is a restart."""
        if change.state is self.state:
            self.book.number += RESTART_SKIP
        self.state = change.state
        self._detail = change.reason
        self.changed_ns = change.at_ns
        if not self._started_ns:
            self._started_ns = change.at_ns

    def fold(self, fact: Event) -> None:
        """Fold in what a journal kept of it."""
        if isinstance(fact, SessionStateChanged):
            self.apply(fact)
        elif isinstance(fact, SessionMarked):
            self.watch.apply(fact)
        elif isinstance(fact, StateRemembered):
            self.context.remembered.apply(fact)
        elif isinstance(fact, SignalAwaiting | SignalConfirmed | SignalWithdrawn):
            self.waiting.apply(fact)
        else:
            self.book.apply(fact)

    def begin(self, strategy: type[Strategy[Any]] | FieldError) -> None:
        """Make the strategy, with the parameters that this session was made with.

        Raises:
            UserError: the strategy or an instrument is not there any more.
            ValidationError: the parameters do not fit the strategy any more.
        """
        if isinstance(strategy, FieldError):
            raise UserError("LTS-003", found=strategy.found, wanted=strategy.wanted)
        gone = [each for each in self.terms.instruments if each not in self.context.instruments]
        if gone:
            found = f"not configured any more: {', '.join(gone)}"
            raise UserError("LTS-003", found=found, wanted="the instruments it was started with")
        parameters: Any = self.terms.parameters  # in a process of its own they are converted there
        own = self.context.instruments
        if not issubclass(strategy, Own):
            parameters = msgspec.convert(parameters, strategy.parameters_type)
            needs = needs_of(strategy, parameters, list(own.values()))
            for key, kind in missing(needs, own):
                raise UserError("LTS-003", found=offered(own[key]), wanted=f"{kind} of it")
            self.context.data = DataProvider(needs, self.context.quote)
        self.strategy = strategy(self.context, parameters)
        self.hooked = hooked_by(strategy)

    def recall(self) -> str:
        """Give the strategy back what it remembered; return what it lacks. Empty: nothing."""
        assert self.strategy is not None, "it has begun"
        return self.strategy.recall(self.context.remembered.copy())

    def change(self, state: SessionState, now_ns: int, reason: str, operator: str = "") -> Event:
        """Return the change to `state`, folded in already."""
        changed = SessionStateChanged(
            at_ns=now_ns,
            session=self.terms.session,
            strategy=self.terms.strategy,
            account=self.terms.account,
            state=state,
            reason=reason,
            operator=operator,
        )
        self.apply(changed)
        return changed

    def outgoing(self) -> list[Event]:
        """Return what goes out of what the strategy said since the last time, in its order."""
        now_ns = self.context.now_ns
        return [*self.waiting.hold(self.admission.admit(self.collect(), now_ns), now_ns)]

    def released(self, now_ns: int) -> list[Event]:
        """Return what has waited for others to be done, and may go now; a person may come next."""
        is_trading = self.context.is_trading
        return [*self.waiting.hold(self.admission.release(now_ns, is_trading=is_trading), now_ns)]

    def overdue(self, now_ns: int) -> list[Event]:
        """Return what follows from orders that take too long."""
        due_ns = self.admission.deadline_ns
        if due_ns is None or due_ns > now_ns:
            return []
        said = self.admission.overdue(now_ns, is_trading=self.context.is_trading)
        return [*self.waiting.hold(said, now_ns)]

    def collect(self) -> list[Event]:
        """Return what the strategy said since the last time, in its order."""
        said, self.context.said = self.context.said, []
        self.context.is_stirred = False
        return said

    def discard(self) -> None:
        """Forget what the strategy said and nobody has heard."""
        for event in self.collect():
            if isinstance(event, SignalRaised):  # folded in as it was raised; it may have lapsed
                self.book.drop(event.signal_id)

    def cancels(self, now_ns: int) -> list[Event]:
        """Return a cancel of every order that is not closed, and the end of all that waits."""
        gone = [*self.waiting.empty(OVER, now_ns), *self.admission.close(OVER)]
        return [*gone, *(self._cancel(order, now_ns) for order in self.book.orders.values())]

    def view(self, now_ns: int) -> SessionView:
        """Return the session as it stands."""
        return SessionView(
            session=self.terms.session,
            strategy=self.terms.strategy,
            account=self.terms.account,
            instruments=self.terms.instruments,
            state=self.state,
            signal_count=self.book.signal_count,
            started_ns=self._started_ns,
            detail=self._detail,
            fill_count=self.book.portfolio.fill_count,
            open_order_count=len(self.book.orders),
            positions=self.book.portfolio.views({}),
            breaches=tuple(self.watch.breaches()) if self.is_active else (),
        )

    def _cancel(self, order: OpenOrder, now_ns: int) -> CancelRequested:
        return CancelRequested(
            at_ns=now_ns,
            account=self.terms.account,
            session=self.terms.session,
            instrument=order.instrument,
            order_id=order.order_id,
        )


def failure(session: Session, error: BaseException, code: str, now_ns: int) -> list[Event]:
    """Return what is said of a session that its own strategy has ended; the rest goes on."""
    if isinstance(error, LostError):
        said, where = str(error)[:SAID_CHARS_MAX], error.where[:SAID_CHARS_MAX]
    else:
        said, where = said_by(error), place_of(error, session.strategy)
    terms = session.terms
    message = f"session {terms.session} ended, and nothing else did: {said} (at {where})"
    return [
        session.change(SessionState.FAILED, now_ns, f"{said} (at {where})"),
        StrategyFailed(
            at_ns=now_ns, session=terms.session, strategy=terms.strategy, error=said, where=where
        ),
        AlertRaised(
            at_ns=now_ns,
            severity=Severity.CRITICAL,
            component="strategy",
            code=code,
            message=message,
            fields={"session": terms.session, "strategy": terms.strategy, "where": where},
        ),
    ]


def place_of(error: BaseException, strategy: object) -> str:
    """Return file and line, as deep inside the strategy's own module as the error came."""
    if isinstance(error, UserError):
        return "the configuration"
    module = "" if strategy is None else type(strategy).__module__
    place, own = "an unknown place", ""
    step: TracebackType | None = error.__traceback__
    while step is not None:
        place = f"{step.tb_frame.f_code.co_filename}:{step.tb_lineno}"
        if step.tb_frame.f_globals.get("__name__") == module:
            own = place
        step = step.tb_next
    return own or place
