"""`control.confirm`: which waiting signal is meant, what follows, and what is answered (S-09)."""

from collections.abc import Callable, Mapping, Sequence

from schemas.base import NS_PER_S, Event, SessionId, SignalId
from schemas.confirmations import (
    AwaitingView,
    ConfirmAsked,
    SignalAwaiting,
    SignalConfirmed,
    SignalWithdrawn,
)
from schemas.control import ControlAnswered
from schemas.errors import FieldError
from services.people import unnamed
from services.strategy.confirmations import SIGNAL, Ended
from services.strategy.parameters import meant
from services.strategy.session import Session

CONFIRM = "confirm"
OPERATOR = "$.operator"


class Confirming:
    """The waiting signals of all sessions, and the way their strategies hear of an end.

    Args:
        sessions: every one, by id; the core's own.
        tell: calls one hook of a session's strategy; returns what it says.
    """

    def __init__(
        self,
        sessions: Mapping[SessionId, Session],
        tell: Callable[[Session, str, tuple[Event, ...], int], list[Event]],
    ) -> None:
        self._sessions = sessions
        self._tell = tell

    def answer(self, asked: ConfirmAsked, now_ns: int) -> list[Event]:
        """Return what follows from a person's word; the answer comes last."""
        said, session = _answered(asked, self._sessions, now_ns)
        if session is None:
            return said
        return [*self._heard(session, said[:-1], now_ns), said[-1]]

    def lapsed(self, session: Session, now_ns: int) -> list[Event]:
        """Return the end of what has waited too long, and what the strategy says to it."""
        due_ns = session.waiting.deadline_ns
        if due_ns is None or due_ns > now_ns:
            return []
        return self._heard(session, session.waiting.lapsed(now_ns), now_ns)

    def views(self) -> tuple[AwaitingView, ...]:
        """Return all that waits, by session."""
        every = self._sessions.values()
        return tuple(each for session in every for each in session.waiting.views())

    def _heard(self, session: Session, said: Sequence[Event], now_ns: int) -> list[Event]:
        out = [*said]
        for event in said:
            if isinstance(event, SignalWithdrawn):
                out += self._tell(session, "on_withdrawn", (event,), now_ns)
        return out


def _answered(
    asked: ConfirmAsked, sessions: Mapping[SessionId, Session], now_ns: int
) -> tuple[list[Event], Session | None]:
    request = asked.request
    session, found = _found(asked, sessions)
    for wrong in unnamed(OPERATOR, request.operator, "who confirms, for the record"):
        return [_refused(asked, wrong, now_ns)], None
    if session is None or found is None:
        return [_refused(asked, _unknown(request.signal, sessions), now_ns)], None
    if not isinstance(found, SignalAwaiting):
        return [_refused(asked, _ended(found, now_ns), now_ns)], None
    said: list[Event]
    if request.is_refused:
        reason = request.reason or "refused"
        said = [session.waiting.withdraw(found, reason, now_ns, request.operator)]
        message = f"{request.signal} is refused: it never goes out"
        return [*said, _answer(asked, message, now_ns, session)], session
    wrong_now = session.waiting.objection(found, now_ns)
    if not session.context.is_trading:
        wanted = "a session that trades: what waited is withdrawn"
        wrong_now = FieldError(path=SIGNAL, found="its session does not trade", wanted=wanted)
    if wrong_now is not None:
        return [_refused(asked, wrong_now, now_ns)], None
    said = session.waiting.confirm(found, request, now_ns)
    message = f"{request.signal} is confirmed, and on its way to the gate"
    return [*said, _answer(asked, message, now_ns, session)], session


def _found(
    asked: ConfirmAsked, sessions: Mapping[SessionId, Session]
) -> tuple[Session | None, SignalAwaiting | Ended | None]:
    for session in sessions.values():
        found = session.waiting.find(asked.request.signal)
        if found is not None:
            return session, found
    return None, None


def _unknown(name: SignalId, sessions: Mapping[SessionId, Session]) -> FieldError:
    waits = [
        str(each.awaiting.signal.signal_id)
        for session in sessions.values()
        for each in session.waiting.views()
    ]
    ids = ", ".join(waits[:10]) or "the id of a signal that waits; none does"
    wanted = ids + meant(name, waits)
    return FieldError(path=SIGNAL, found=repr(name), wanted=wanted)


def _ended(ended: Ended, now_ns: int) -> FieldError:
    ago_s = (now_ns - ended.at_ns) // NS_PER_S
    if isinstance(ended, SignalConfirmed):
        how = f"was confirmed already, by {ended.operator}"
    else:
        how = f"was withdrawn{f' by {ended.operator}' if ended.operator else ''}: {ended.reason}"
    found = f"{ended.signal_id} {how}, {ago_s} s ago"
    return FieldError(path=SIGNAL, found=found, wanted="a signal that still waits")


def _refused(asked: ConfirmAsked, error: FieldError, now_ns: int) -> ControlAnswered:
    return ControlAnswered(
        at_ns=now_ns,
        request_id=asked.request_id,
        request=CONFIRM,
        is_ok=False,
        message=f"not done: {error.found}",
        errors=(error,),
    )


def _answer(asked: ConfirmAsked, message: str, now_ns: int, session: Session) -> ControlAnswered:
    return ControlAnswered(
        at_ns=now_ns,
        request_id=asked.request_id,
        request=CONFIRM,
        is_ok=True,
        message=message,
        session=session.terms.session,
    )
