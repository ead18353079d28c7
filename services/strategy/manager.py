"""The session manager as the live service runs it: the core, and what is impure around sessions.

Sessions in processes of their own are told by internal events and answer by them; nothing that
comes from such a process is believed. Memory is measured outside and judged here. What the
repository is to hold follows from what was said.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from schemas.base import AccountId, BootId, Event, InstrumentId, SessionId
from schemas.control import PrepareAsked, StartRequest
from schemas.errors import FieldError
from schemas.executions import BookReported
from schemas.instruments import Instrument
from schemas.isolation import (
    MemoryMeasured,
    PartFailed,
    ProbeAsked,
    Probed,
    SessionHosted,
    SessionLost,
    SessionReleased,
    SessionsNoted,
    SessionSpoke,
)
from schemas.orders import SignalRaised
from schemas.records import SessionChangeRecord, SessionRecord
from schemas.sessions import SessionCreated, SessionState, SessionStateChanged
from schemas.settlement import PositionSettled
from services.core import NOTHING
from services.prerequisites.real_money import RealMoney
from services.strategy.alerts import ended
from services.strategy.catalogue import Catalogue
from services.strategy.config import StrategyConfig
from services.strategy.core import StrategyCore
from services.strategy.isolated.stand_in import KINDS, ORDERS, StandIn, orders_of, stand_in_of
from services.strategy.isolated.trust import broken_rule
from services.strategy.mistakes import said_by
from services.strategy.orders import ORDER_FACTS, at_par
from services.strategy.parameters import OVERRIDES
from services.strategy.recalling import without
from services.strategy.session import LostError, Session
from services.strategy.starts import Checked

MB = 1 << 20
LIFE = frozenset({SessionCreated, SessionStateChanged})
HISTORY = frozenset({*LIFE, *ORDER_FACTS})
"""What a session's process is to know of the time before it."""

PENDING_MAX = 16
"""Starts that wait for their strategy to be loaded; a count."""


class ManagerCore(StrategyCore):
    """All sessions of one account, wherever they run."""

    passes = ()  # the service's loop takes a person's Ctrl-C: what comes here, a strategy raised

    def __init__(
        self,
        config: StrategyConfig,
        account: AccountId,
        instruments: Mapping[InstrumentId, Instrument],
        *,
        boot_id: BootId,
        catalogue: Catalogue,
        real_money: RealMoney | None = None,
        currency_values: Mapping[str, Decimal] | None = None,
        worth_of: Callable[[str], Decimal | None] = at_par,
    ) -> None:
        super().__init__(
            config,
            account,
            instruments,
            boot_id=boot_id,
            catalogue=catalogue,
            real_money=real_money,
            currency_values=currency_values,
            worth_of=worth_of,
        )
        self._ours: dict[type[Event], Callable[[Any, int], Sequence[Event]]] = {
            PrepareAsked: self._on_prepare,
            Probed: self._on_probed,
            SessionSpoke: self._on_spoke,
            SessionLost: self._on_lost,
            MemoryMeasured: self._on_memory,
            PartFailed: _on_part_failed,
        }
        self.hears |= frozenset(self._ours)
        self._pending: dict[str, PrepareAsked] = {}
        self._history: dict[SessionId, list[str]] = {}
        self._hosted: set[SessionId] = set()
        self._steps: dict[SessionId, int] = {}
        self._unnoted: list[SessionChangeRecord] = []
        self._rss_bytes_idle = 0

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Take one event in."""
        ours = self._ours.get(type(event))
        said = super().handle(event, now_ns) if ours is None else ours(event, now_ns)
        return self._followed(said, now_ns) if said else NOTHING

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Act on deadlines; after a restart, first let all sessions begin again."""
        if self._unnoted:
            self._learn_restored(now_ns)
        return self._followed(super().wake(now_ns), now_ns)

    def restore(self, event: Event) -> None:
        """Fold one kept event in, and remember what a session's process must know."""
        super().restore(event)
        if isinstance(event, SessionStateChanged):
            self._unnoted.append(self._step(event))
        for session in self._concerned(event):
            if not self._catalogue.is_isolated(session.terms.strategy):
                continue
            if not session.is_active:
                self._history.pop(session.terms.session, None)
            elif type(event) in HISTORY:
                self._history.setdefault(session.terms.session, []).append(_text(event))

    def _concerned(self, event: Event) -> Iterable[Session]:
        """Return whose an event is; a settlement is that of every session of its account."""
        if isinstance(event, PositionSettled):
            every = self.sessions.values()
            return [each for each in every if event.instrument in each.context.instruments]
        session = self.sessions.get(_of(event) or SessionId(""))
        return () if session is None else (session,)

    def _draft(self, request: StartRequest, start_id: str, now_ns: int) -> Checked:
        try:
            return super()._draft(request, start_id, now_ns)
        except KeyboardInterrupt as error:  # no person's: see `passes`
            said = said_by(error, " when they were looked at")
            wanted = "parameters that can be looked at"
            return None, [FieldError(path=OVERRIDES, found=said, wanted=wanted)]

    def _on_book(self, report: BookReported, now_ns: int) -> Sequence[Event]:
        """Compare it; what was missed of a session's orders, its own process has missed too."""
        before = self._holdings.compared
        said = super()._on_book(report, now_ns)
        if self._holdings.compared is before:
            return said
        said = [*said]
        for session in self._active():
            if isinstance(session.strategy, StandIn):
                session.context.now_ns = now_ns
                session.strategy.hand_on(ORDERS, orders_of(session.terms.session, report))
                said += self._collect(session)
        return said

    def _learn_restored(self, now_ns: int) -> None:
        """Have something stand for strategies that no configuration names and nobody loaded yet."""
        for session in self._active():
            name = session.terms.strategy
            if self._catalogue.is_isolated(name) and not self._catalogue.is_known(name):
                wanted = tuple(kind.__name__ for kind in KINDS if kind in self.hears)
                probed = Probed(at_ns=now_ns, start_id="", strategy=name, wanted=wanted)
                self._catalogue.learn(name, stand_in_of(probed))

    def _followed(self, said: Sequence[Event], now_ns: int) -> Sequence[Event]:
        """Return what was said, and what the shell has to do because of it."""
        if not any(type(event) in LIFE for event in said):
            return said
        changes = [*self._unnoted]
        self._unnoted.clear()
        touched: dict[SessionId, Session] = {}
        for event in said:
            if isinstance(event, SessionStateChanged):
                changes.append(self._step(event))
            if isinstance(event, SessionCreated | SessionStateChanged):
                touched[event.session] = self.sessions[event.session]
        for change in changes:
            touched[change.change.session] = self.sessions[change.change.session]
        out = [*said]
        for session in touched.values():
            out += self._placed(session, said, now_ns)
        records = tuple(_record(session, now_ns) for session in touched.values())
        out.append(SessionsNoted(at_ns=now_ns, sessions=records, changes=tuple(changes)))
        return out

    def _placed(self, session: Session, said: Sequence[Event], now_ns: int) -> list[Event]:
        """Return that a session needs a process, or needs none any more."""
        terms = session.terms
        if not isinstance(session.strategy, StandIn):
            return []
        if session.is_active and terms.session not in self._hosted:
            self._hosted.add(terms.session)
            history = self._history.pop(terms.session, [])
            is_again = bool(history)
            if is_again:
                history += map(_text, session.context.remembered.facts(terms.session, now_ns))
            else:
                mine = (e for e in said if type(e) in HISTORY and _of(e) == terms.session)
                history = [_text(event) for event in mine]
            return [
                SessionHosted(
                    at_ns=now_ns,
                    session=terms.session,
                    strategy=terms.strategy,
                    history=tuple(history),
                    is_again=is_again,
                )
            ]
        if not session.is_active and terms.session in self._hosted:
            self._hosted.discard(terms.session)
            return [SessionReleased(at_ns=now_ns, session=terms.session)]
        return []

    def _on_prepare(self, event: PrepareAsked, now_ns: int) -> Sequence[Event]:
        name = event.request.strategy
        if name is None or not self._catalogue.is_isolated(name):
            return super().handle(event, now_ns)
        self._pending[event.start_id] = event
        if len(self._pending) > PENDING_MAX:
            del self._pending[next(iter(self._pending))]
        return [ProbeAsked(at_ns=now_ns, start_id=event.start_id, request=event.request)]

    def _on_probed(self, probed: Probed, now_ns: int) -> Sequence[Event]:
        asked = self._pending.pop(probed.start_id, None)
        if asked is None:
            return NOTHING
        self._catalogue.learn(probed.strategy, stand_in_of(probed, asked.request))
        return super().handle(asked, now_ns)

    def _on_spoke(self, spoke: SessionSpoke, now_ns: int) -> Sequence[Event]:
        """Take what a session's process says: its own signals and cancels, and nothing else."""
        session = self.sessions.get(spoke.session)
        if session is None or not isinstance(session.strategy, StandIn):
            return NOTHING
        broken = broken_rule(session, spoke)
        if broken and session.is_active:
            return self._fail(session, LostError(broken, "its process"), now_ns, "SLU-212")
        if broken or session.state is SessionState.FAILED:
            return NOTHING
        context = session.context
        context.now_ns = now_ns
        context.timer_ns = spoke.wake_at_ns if session.is_active else None
        for kept in spoke.remembered:
            context.keep(kept)
        may_say = context.is_trading if session.is_active else self.is_trading
        for event in spoke.said:
            if not isinstance(event, SignalRaised):
                if event.order_id in session.book.orders:
                    context.said.append(event)
            elif may_say and not _is_stale(session, event):
                session.book.apply(event)
                if session.is_active or session.admission.is_exit(event):
                    context.said.append(event)  # the last word of a session only reduces
                else:
                    session.book.drop(event.signal_id)
        return [*self._collect(session), *self._lacking(session, spoke.lacks, now_ns)]

    def _lacking(self, session: Session, lacks: str, now_ns: int) -> list[Event]:
        if not lacks or not session.is_active:
            return []
        said = without(session, lacks, now_ns)
        self._set_trading(self.is_trading)
        return said

    def _on_lost(self, lost: SessionLost, now_ns: int) -> Sequence[Event]:
        session = self.sessions.get(lost.session)
        if session is None or not session.is_active:
            return NOTHING
        return self._fail(session, LostError(lost.reason, lost.where), now_ns, lost.code)

    def _on_memory(self, measured: MemoryMeasured, now_ns: int) -> Sequence[Event]:
        """End what outgrew its memory (S-11): one session, or all that share the process."""
        each_mb = self._config.session_memory_mb_max
        if measured.session is not None:
            session = self.sessions.get(measured.session)
            if session is None or not session.is_active or measured.rss_bytes <= each_mb * MB:
                return NOTHING
            return self._outgrown([session], _mb(measured.rss_bytes), each_mb, now_ns)
        inside = [each for each in self._active() if not isinstance(each.strategy, StandIn)]
        if not inside:
            self._rss_bytes_idle = measured.rss_bytes
            return NOTHING
        grown = measured.rss_bytes - (self._rss_bytes_idle or measured.rss_bytes)
        self._rss_bytes_idle = self._rss_bytes_idle or measured.rss_bytes
        whole_mb = self._config.execution.memory_limit_mb
        if measured.rss_bytes > whole_mb * MB:
            return self._outgrown(inside, _mb(measured.rss_bytes), whole_mb, now_ns)
        if grown > each_mb * len(inside) * MB:
            return self._outgrown(inside, _mb(grown), each_mb * len(inside), now_ns)
        return NOTHING

    def _outgrown(
        self, sessions: Sequence[Session], found_mb: int, limit_mb: int, now_ns: int
    ) -> list[Event]:
        said: list[Event] = []
        shared = f", {len(sessions)} sessions together" if len(sessions) > 1 else ""
        for session in sessions:
            reason = f"{found_mb} MB of memory held{shared}, {limit_mb} MB allowed"
            said += self._end(session, SessionState.STOPPED, now_ns, reason)
            said.append(ended(session, "SLU-211", reason, now_ns))
        return said

    def _step(self, change: SessionStateChanged) -> SessionChangeRecord:
        number = self._steps[change.session] = self._steps.get(change.session, 0) + 1
        return SessionChangeRecord(number=number, change=change)


def _on_part_failed(failed: PartFailed, now_ns: int) -> Sequence[Event]:
    return [failed.alert]


def _record(session: Session, now_ns: int) -> SessionRecord:
    view = session.view(now_ns)
    ended_ns = 0 if session.is_active else session.changed_ns
    return SessionRecord(
        created=session.terms, view=view, changed_ns=session.changed_ns, ended_ns=ended_ns
    )


def _is_stale(session: Session, signal: SignalRaised) -> bool:
    """Return whether it replaces an order that is closed: its process had not heard of it yet."""
    return signal.replaces is not None and signal.replaces not in session.book.orders


def _of(event: Any) -> SessionId | None:
    found: SessionId | None = getattr(event, "session", None)
    return found


def _text(event: Event) -> str:
    return msgspec.json.encode(event).decode()


def _mb(size_bytes: int) -> int:
    return -(-size_bytes // MB)
