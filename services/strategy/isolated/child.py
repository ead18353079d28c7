"""A session's own process: one strategy core with one session, at the end of a socket.

It holds no key and no connection; it knows the world by what the manager tells it.
"""

import socket
import sys
from collections.abc import Iterator, Sequence

import msgspec
from msgspec.structs import replace

from schemas.base import BootId, Event, SessionId
from schemas.confirmations import SignalWithdrawn
from schemas.errors import FieldError
from schemas.executions import BookReported
from schemas.orders import CancelRequested, SignalRaised
from schemas.sessions import (
    SessionCreated,
    SessionState,
    SignalBlocked,
    StateRemembered,
    StrategyFailed,
)
from schemas.wire import decode_kept
from services.core import tell
from services.strategy.catalogue import catalogue_of
from services.strategy.config import UNHELD, StrategyConfig
from services.strategy.core import StrategyCore
from services.strategy.interface import wanted_of
from services.strategy.isolated.confine import confine
from services.strategy.isolated.frames import (
    FRAME_BYTES_MAX,
    Found,
    Opening,
    Reader,
    Spoken,
    Told,
    framed,
)
from services.strategy.isolated.stand_in import KINDS
from services.strategy.orders import at_par
from services.strategy.session import Session
from services.strategy.starts import Starts
from services.strategy.versions import version_of

READ_BYTES = 65_536
ALL_KINDS = frozenset(KINDS)


def run(link: socket.socket) -> None:
    """Do what the first frame says, then answer each frame, until the manager has gone."""
    frames = _frames(link)
    opening = msgspec.json.decode(next(frames), type=Opening)
    confine(opening.memory_mb_max)
    sys.path[:0] = opening.config.folders
    if not opening.history:
        link.sendall(framed(_found(opening)))
        return
    host = Host(opening)
    link.sendall(framed(host.begin(opening.now_ns)))
    for frame in frames:
        link.sendall(framed(host.tell(msgspec.json.decode(frame, type=Told))))


class _Hosted(StrategyCore):
    """The core as its host drives it.

    Attributes:
        is_again: whether the session ran before; its strategy has something to recall then.
        lacks: what it cannot go on without. The manager pauses it.
    """

    is_again = False
    lacks = ""

    def _recalled(self, session: Session, now_ns: int) -> list[Event]:
        self.lacks = session.recall() if self.is_again else ""
        return []

    def permit(self, is_trading: bool) -> None:
        """Take over whether the session may trade."""
        if is_trading is not self.is_trading:
            self._set_trading(is_trading)

    def hook(
        self, session: SessionId, hook: str, told: tuple[Event, ...], now_ns: int
    ) -> list[Event]:
        """Call a hook that no event leads to here."""
        return self._tell(self.sessions[session], hook, told, now_ns)


class Host:
    """The core of one session, told what the manager tells."""

    def __init__(self, opening: Opening) -> None:
        config = _unheld(opening.config)
        known = {each.id: each for each in opening.instruments}
        values = opening.currency_values
        self._core = _Hosted(
            config,
            opening.account,
            known,
            boot_id=BootId("isolated"),
            worth_of=at_par if values is None else values.get,
        )
        self._core.is_again = opening.is_again
        self._session = SessionId("")
        for text in opening.history:
            event = decode_kept(text, where="the session's history")
            if isinstance(event, SessionCreated):
                self._session = event.session
                event = replace(event, execution_mode="AUTO")  # the manager asks the person
            self._core.restore(event)
        session = self._core.sessions[self._session]
        if session.state is not SessionState.RUNNING:  # the manager knows whether it may trade
            session.change(SessionState.RUNNING, session.terms.at_ns, "")

    def begin(self, now_ns: int) -> Spoken:
        """Let the strategy start."""
        return self._answer(tell(self._core, None, now_ns))

    def tell(self, told: Told) -> Spoken:
        """Return what the session says to one frame."""
        self._core.permit(told.is_trading)
        if not told.event_json:
            if told.hook == "on_stop":
                return self._answer(self._core.hook(self._session, told.hook, (), told.now_ns))
            return self._answer(tell(self._core, None, told.now_ns))
        event = decode_kept(told.event_json, where="the manager")
        if isinstance(event, BookReported):
            self._core.sessions[self._session].book.catch_up(event)
            return self._answer(())
        if isinstance(event, SignalBlocked | SignalWithdrawn):
            self._core.sessions[self._session].book.drop(event.signal_id)
            return self._answer(self._core.hook(self._session, told.hook, (event,), told.now_ns))
        return self._answer(tell(self._core, event, told.now_ns))

    def _answer(self, said: Sequence[Event]) -> Spoken:
        failed = [event for event in said if isinstance(event, StrategyFailed)]
        if failed:
            return Spoken(error=failed[0].error, where=failed[0].where)
        out = tuple(each for each in said if isinstance(each, SignalRaised | CancelRequested))
        kept = tuple(each for each in said if isinstance(each, StateRemembered))
        lacks, self._core.lacks = self._core.lacks, ""
        return Spoken(said=out, wake_at_ns=self._core.wake_at_ns, remembered=kept, lacks=lacks)


def _found(opening: Opening) -> Found:
    """Return what the strategy is, and what is wrong with the start, if there is one."""
    catalogue = catalogue_of(opening.config)
    strategy = catalogue.find(opening.strategy)
    if isinstance(strategy, FieldError):
        return Found(errors=(strategy,))
    wanted = tuple(kind.__name__ for kind in wanted_of(strategy))
    version = version_of(strategy)
    if opening.request is None:
        return Found(wanted=wanted, version=version)
    known = {each.id: each for each in opening.instruments}
    starts = Starts(opening.config, opening.account, known, catalogue, ALL_KINDS)
    created, errors = starts.check(opening.request, "", 1, 0)
    parameters = None if created is None else created.parameters
    return Found(wanted=wanted, parameters=parameters, version=version, errors=tuple(errors))


def _unheld(config: StrategyConfig) -> StrategyConfig:
    """Return the configuration without limits: the manager holds the session to them."""
    return replace(config, execution=UNHELD, session_timeout_s=0, sessions_max=1)


def _frames(link: socket.socket) -> Iterator[bytes]:
    reader = Reader(FRAME_BYTES_MAX)
    while data := link.recv(READ_BYTES):
        yield from reader.feed(data)
