"""The strategy service: tells every session what it listens to, and says what they say.

Nearly all it is told are quotes, and nearly all of those concern one session or none: a quote
costs two lookups and a direct call of the strategy's own hook.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from schemas.base import AccountId, BootId, Event, InstrumentId, SessionId
from schemas.confirmations import ConfirmAsked
from schemas.control import (
    EpochEnded,
    EpochStarted,
    HaltRequested,
    PrepareAsked,
    Prepared,
    SessionAsked,
    StartRequest,
)
from schemas.executions import BookReported, ExecutionEvent, OrderFilled
from schemas.health import GapSeen, LinkChanged, SessionsReported
from schemas.instruments import Instrument
from schemas.limits import AccountHealthReported
from schemas.orders import SignalDecided
from schemas.prerequisites import PrerequisitesRead
from schemas.restrictions import Restriction, RestrictionRequested
from schemas.sessions import PositionsAdopted, SessionCreated, SessionState, SessionStateChanged
from schemas.settlement import PositionSettled
from services.core import NOTHING
from services.prerequisites.config import LiveConfig
from services.prerequisites.real_money import RealMoney
from services.strategy.alarms import earliest, moved
from services.strategy.alerts import SERVICE, not_made
from services.strategy.blocking import blocks_told
from services.strategy.catalogue import Catalogue, catalogue_of
from services.strategy.commands import STATE_AFTER, STOP, answer, chosen, halted
from services.strategy.config import StrategyConfig
from services.strategy.confirmations import WAITING_FACTS
from services.strategy.confirming import Confirming
from services.strategy.control_answers import acknowledged, prepared
from services.strategy.deadlines import Deadlines
from services.strategy.heard import CONTROL
from services.strategy.holdings import Holdings
from services.strategy.hours import Hours
from services.strategy.lanes import Lanes
from services.strategy.orders import ORDER_FACTS, at_par
from services.strategy.recalling import recalled, unshared
from services.strategy.session import OVER, OWN_FACTS, Session, failure
from services.strategy.starts import Checked, Starts
from services.strategy.taking import adoptions_told, given, health_told, settled
from services.strategy.watching import Watching
from services.tellers import Executors

RESTARTED = "the strategy service restarted"
NOT_TRADING = "its session does not trade: a halt, a pause or the end of an epoch"


class StrategyCore:
    """All sessions of one account. Boots halted, as everything does; an epoch sets it going.

    Attributes:
        sessions: every session there ever was, by id, oldest first.
        mark: what one unit of an instrument is worth to the sessions now; None while nobody knows.
        is_trading: whether signals may be raised at all; False from a halt to the next epoch.
        starts: what a start may ask for here.
    """

    keeps: frozenset[type[Event]] = frozenset(
        {
            SessionCreated,
            EpochStarted,
            *OWN_FACTS,
            *WAITING_FACTS,
            *ORDER_FACTS,
        }
    )
    fsyncs: frozenset[type[Event]] = frozenset({SessionCreated, SessionStateChanged})
    passes: tuple[type[BaseException], ...] = (KeyboardInterrupt,)  # a person's, at a backtest

    def __init__(
        self,
        config: StrategyConfig,
        account: AccountId,
        instruments: Mapping[InstrumentId, Instrument],
        *,
        boot_id: BootId,
        catalogue: Catalogue | None = None,
        real_money: RealMoney | None = None,
        currency_values: Mapping[str, Decimal] | None = None,
        worth_of: Callable[[str], Decimal | None] = at_par,
    ) -> None:
        self._catalogue = catalogue or catalogue_of(config)
        self.hears: frozenset[type[Event]] = CONTROL | self._catalogue.wanted()
        self.wake_at_ns: int | None = None
        self.sessions: dict[SessionId, Session] = {}
        self.is_trading = False
        self._config, self._worth_of = config, worth_of
        self._instruments, self._boot_id = instruments, boot_id
        self._real_money = real_money or RealMoney(LiveConfig(), "", account)
        self.starts = Starts(
            config, account, instruments, self._catalogue, self.hears, currency_values
        )
        self._hours = Hours(instruments, config.extended_hours)
        self._lanes = Lanes(self._hours)
        self.mark = self._lanes.mark
        self._watching = Watching()
        self._markets = self._lanes.by_kind
        self._holdings = Holdings(account)
        self._confirming = Confirming(self.sessions, self._tell)
        self._deadlines = Deadlines(self._hours, self._confirming, self._tell, self._end)
        self._executors = Executors()
        self._halts = 0
        self._epoch = 0
        self._are_restored = False

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Take one event in; a market event goes straight to the strategies that listen to it."""
        markets = self._markets.get(type(event))
        if markets is None:
            return self._on_other(event, now_ns)
        told: Any = event
        lane = markets.get(told.instrument)
        if lane is None:
            return NOTHING
        lane.latest = told
        said = self._looked(now_ns) if now_ns >= self._watching.due_ns else NOTHING
        if now_ns >= lane.open_until_ns and not lane.is_told(told, now_ns):
            return said
        for session, hook in lane.takers:
            context = session.context
            context.now_ns = now_ns
            try:
                hook(told)
            except BaseException as error:
                said = [*said, *self._fail(session, error, now_ns)]
                continue
            if context.is_stirred:
                said = [*said, *self._collect(session)]
        return said

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Tell every strategy whose timer is due; after a restart, first let all begin again."""
        said: list[Event] = []
        if self._are_restored:
            self._are_restored = False
            for session in self._active():
                said += session.waiting.empty(RESTARTED, now_ns)
                said.append(session.change(session.state, now_ns, RESTARTED))
                said += self._begin(session, now_ns, is_again=True)
        for session in self._active():
            said += self._deadlines.met(session, now_ns)
        self._set_alarm()
        return said

    def restore(self, event: Event) -> None:
        """Fold one kept event in. No strategy is told: it begins anew when the service does."""
        kept: Any = event
        if isinstance(event, SessionCreated):
            self._add(event)
        elif isinstance(event, EpochStarted):
            self._epoch = max(self._epoch, event.epoch)
        elif isinstance(event, PositionSettled):
            settled(event, self.sessions.values(), self._tell, 0)
        else:
            if (session := self.sessions.get(kept.session)) is not None:
                session.fold(event)
            self._holdings.restore(event, self.sessions)
        self._are_restored = self._holdings.is_behind = bool(self.sessions)
        self.wake_at_ns = 0 if self.sessions else None

    def describe(self, now_ns: int) -> SessionsReported:
        """Return every session as it stands."""
        views = tuple(session.view(now_ns) for session in self.sessions.values())
        return SessionsReported(at_ns=now_ns, sessions=views, awaiting=self._confirming.views())

    def _on_other(self, event: Event, now_ns: int) -> Sequence[Event]:
        match event:
            case ExecutionEvent() if self._is_stranger(event):
                return NOTHING
            case ExecutionEvent():
                self._holdings.hear(event)
                return self._on_order(event, "on_execution", now_ns)
            case SignalDecided():
                return self._on_order(event, "on_decision", now_ns)
            case AccountHealthReported():
                health_told(event, self._active())
            case PositionSettled():
                return settled(event, self.sessions.values(), self._tell, now_ns)
            case PositionsAdopted():
                return given(event, self.sessions, self._tell, now_ns)
            case PrepareAsked():
                return [self._real_money.wanted(event, now_ns) or self._prepared(event, now_ns)]
            case PrerequisitesRead():
                asked = self._real_money.read(event)
                return NOTHING if asked is None else [self._prepared(asked, now_ns)]
            case EpochStarted():
                return self._on_epoch(event, now_ns)
            case EpochEnded(epoch=epoch) if epoch == self._epoch:
                self._set_trading(False)
            case HaltRequested():
                return self._on_halt(now_ns)
            case RestrictionRequested():
                return self._stop_at_once([event], now_ns)
            case SessionAsked():
                return self._on_asked(event, now_ns)
            case ConfirmAsked():
                return self._confirming.answer(event, now_ns)
            case BookReported():
                return self._on_book(event, now_ns)
            case GapSeen() | LinkChanged():
                self._holdings.hear(event)
        return NOTHING

    def _on_order(self, event: Any, hook: str, now_ns: int) -> Sequence[Event]:
        """Fold what became of an order in, then tell its strategy; a repeat is no news."""
        session = self.sessions.get(event.session)
        if session is None and isinstance(event, OrderFilled):
            adopted = self._holdings.flattened(event, self.sessions, now_ns)
            return adoptions_told(adopted, self.sessions, self._tell, now_ns)
        if session is None or not session.book.apply(event):
            return NOTHING
        late = self._holdings.filled(event, self.sessions, now_ns)
        said = self._tell(session, hook, (event,), now_ns) if session.is_active else []
        said += adoptions_told(late, self.sessions, self._tell, now_ns)
        if not session.is_active:
            return said
        if now_ns >= self._watching.due_ns:  # a fill moves its figures while the market is silent
            said += self._looked(now_ns)
        said = [*blocks_told(session, session.released(now_ns), self._tell, now_ns), *said]
        self.wake_at_ns = moved(session, self.wake_at_ns, self._active)
        return said

    def _looked(self, now_ns: int) -> Sequence[Event]:
        """Return what follows from the sessions' own limits, where it is time to look at them."""
        if self._holdings.is_behind and not self.is_trading:  # a peak of what is not held stays
            return NOTHING
        said = self._watching.look(self._active(), now_ns)
        if any(isinstance(each, SessionStateChanged) for each in said):
            self._set_trading(self.is_trading)
        return said

    def _prepared(self, asked: PrepareAsked, now_ns: int) -> Prepared:
        checked = self._draft(asked.request, asked.start_id, now_ns)
        return prepared(asked.start_id, checked, self._boot_id, self._halts, self._epoch, now_ns)

    def _draft(self, request: StartRequest, start_id: str, now_ns: int) -> Checked:
        created, errors = self.starts.check(request, start_id, len(self.sessions) + 1, now_ns)
        errors = [*errors, *self._real_money.errors(request, start_id)]
        errors += self.starts.crowded(request, [each.terms.session for each in self._active()])
        return (None if errors else created), errors

    def _on_epoch(self, event: EpochStarted, now_ns: int) -> Sequence[Event]:
        """Make the epoch's session, and let all trade; not on behalf of another process."""
        self._executors.name(event)
        member = event.members.get(SERVICE)
        is_news = event.epoch > self._epoch
        self._epoch = max(self._epoch, event.epoch)
        if not is_news or (member is not None and member.boot_id != self._boot_id):
            return NOTHING
        # A halt heard after the answer stands (I4), but the session that was promised is made.
        self._set_trading(member is None or member.halts == self._halts)
        said = self._stop_at_once(event.restrictions, now_ns)  # one may have been missed
        if event.request is None or event.session is None:
            return said
        created, errors = self._draft(event.request, event.start_id, now_ns)
        if created is None or created.session != event.session:
            return [*said, not_made(event, errors, now_ns)]
        session = self._add(created)
        adopted = self._holdings.adopted_by(session, self.sessions, now_ns)
        running = session.change(
            SessionState.RUNNING, now_ns, event.request.reason, event.request.operator
        )
        return [*said, created, *adopted, running, *self._begin(session, now_ns)]

    def _on_halt(self, now_ns: int) -> list[Event]:
        self._halts += 1
        self._set_trading(False)
        return [acknowledged(self._boot_id, self._halts, self._epoch, now_ns)]

    def _stop_at_once(
        self, forbidden: Iterable[Restriction | RestrictionRequested], now_ns: int
    ) -> list[Event]:
        """End each session that a halt names, for good: its strategy has no last word (S-03)."""
        said: list[Event] = []
        for session, reason, operator in halted(forbidden, self.sessions):
            session.discard()
            said += session.cancels(now_ns)
            said.append(session.change(SessionState.STOPPED, now_ns, reason, operator))
        if said:
            self._set_trading(self.is_trading)
        return said

    def _on_asked(self, asked: SessionAsked, now_ns: int) -> list[Event]:
        """Stop, pause or resume; the answer comes after what it says has happened."""
        sessions, errors = chosen(asked, self.sessions)
        said: list[Event] = []
        for session in sessions:
            request, state = asked.request, STATE_AFTER[asked.action]
            if asked.action == STOP:
                said += self._end(session, state, now_ns, request.reason, request.operator)
            else:
                said.append(session.change(state, now_ns, request.reason, request.operator))
        self._set_trading(self.is_trading)
        return [*said, answer(asked, sessions, errors, now_ns)]

    def _end(
        self, session: Session, state: SessionState, now_ns: int, reason: str, operator: str = ""
    ) -> list[Event]:
        """End a session cleanly: its orders are cancelled, and its strategy has the last word."""
        said = session.cancels(now_ns)  # before on_stop may say its last signals
        said += self._tell(session, "on_stop", (), now_ns)
        if session.is_active:
            said.append(session.change(state, now_ns, reason, operator))
        said += session.waiting.empty(OVER, now_ns)  # its last signals too
        said += session.admission.close(OVER)
        self._set_trading(self.is_trading)
        return said

    def _is_stranger(self, event: Event) -> bool:
        """Return whether another executor tells this than the one that the epoch names."""
        return self._executors.is_stranger(event.src, is_in_force=self.is_trading)

    def _on_book(self, report: BookReported, now_ns: int) -> Sequence[Event]:
        if not report.request_id and self._is_stranger(report):  # a start asks whom it will name
            return NOTHING
        adopted, contested = self._holdings.compare(report, self.sessions, now_ns)
        said = adoptions_told(adopted, self.sessions, self._tell, now_ns)
        if contested:
            said += (each for session in contested for each in unshared(session, now_ns))
            self._set_trading(self.is_trading)
        return said or NOTHING

    def _add(self, created: SessionCreated) -> Session:
        lanes, config, worth_of = self._lanes, self._config, self._worth_of
        session = Session(created, self._instruments, lanes, config, worth_of)
        self.sessions[created.session] = session
        return session

    def _begin(self, session: Session, now_ns: int, *, is_again: bool = False) -> list[Event]:
        """Make the session's strategy and let it start; a failure ends this session only."""
        session.context.now_ns = now_ns
        try:
            session.begin(self._catalogue.find(session.terms.strategy))
            said = self._recalled(session, now_ns) if is_again else []
        except BaseException as error:
            return self._fail(session, error, now_ns, "LTS-003")
        self._set_trading(self.is_trading)
        return [*said, *self._tell(session, "on_start", (), now_ns)]

    def _recalled(self, session: Session, now_ns: int) -> list[Event]:
        return recalled(session, now_ns)

    def _tell(
        self, session: Session, hook: str, told: tuple[Event, ...], now_ns: int
    ) -> list[Event]:
        """Call one hook that is not the market's; return what the strategy says."""
        if session.strategy is None or not session.is_active:
            return []
        session.context.now_ns = now_ns
        try:
            getattr(session.strategy, hook)(*told)
        except BaseException as error:
            return self._fail(session, error, now_ns)
        return self._collect(session) if session.context.is_stirred else []

    def _collect(self, session: Session) -> list[Event]:
        said = blocks_told(session, session.outgoing(), self._tell, session.context.now_ns)
        self.wake_at_ns = moved(session, self.wake_at_ns, self._active)
        return said

    def _fail(
        self, session: Session, error: BaseException, now_ns: int, code: str = "LT-004"
    ) -> list[Event]:
        """End one session: what it was saying is forgotten, what it has open is cancelled."""
        if isinstance(error, self.passes):
            raise error
        session.discard()
        said = [*session.cancels(now_ns), *failure(session, error, code, now_ns)]
        self._set_trading(self.is_trading)
        return said

    def _active(self) -> list[Session]:
        return [session for session in self.sessions.values() if session.is_active]

    def _set_trading(self, is_trading: bool) -> None:
        """Bring everything that depends on it, and on the sessions' states, up to date."""
        self.is_trading = is_trading
        for session in self.sessions.values():
            is_running = session.state is SessionState.RUNNING
            session.context.is_trading = is_trading and is_running
            if not session.context.is_trading:
                session.waiting.stop(NOT_TRADING)
        self._lanes.rebuild(self._active())
        self._watching.due_ns = 0
        self._set_alarm()

    def _set_alarm(self) -> None:
        self.wake_at_ns = earliest(self._active())
