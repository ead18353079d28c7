"""`control.stop`, `pause`, `resume` and halts of one session: which is meant, what is answered."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from schemas.base import SessionId
from schemas.control import ControlAnswered, SessionAsked
from schemas.errors import FieldError
from schemas.restrictions import Level, Restriction, RestrictionRequested
from schemas.sessions import SessionState
from services.strategy.parameters import meant
from services.strategy.session import Session

STOP, PAUSE, RESUME = "stop", "pause", "resume"
STATE_AFTER = {
    STOP: SessionState.STOPPED,
    PAUSE: SessionState.PAUSED,
    RESUME: SessionState.RUNNING,
}
STATES_BEFORE = {
    STOP: (SessionState.CREATED, SessionState.RUNNING, SessionState.PAUSED),
    PAUSE: (SessionState.CREATED, SessionState.RUNNING),
    RESUME: (SessionState.CREATED, SessionState.PAUSED),
}


def halted(
    forbidden: Iterable[Restriction | RestrictionRequested], sessions: Mapping[SessionId, Session]
) -> Iterator[tuple[Session, str, str]]:
    """Yield each session at work that one of them halts alone, why, and who did it.

    A halt of more than one session leaves each as it is: it goes on when the halt is reset.
    """
    for each in forbidden:
        kind, _, name = each.scope.partition(".")
        session = sessions.get(SessionId(name)) if kind == "session" else None
        if each.level is Level.HALT and session is not None and session.is_active:
            yield session, f"emergency stop: {each.reason or 'no reason given'}", each.operator


def chosen(
    asked: SessionAsked, sessions: Mapping[SessionId, Session]
) -> tuple[list[Session], list[FieldError]]:
    """Return the sessions to act on, and why the one that was named is none of them.

    To ask for what is so already is no error: nothing is done, and the answer says so.
    """
    before = STATES_BEFORE[asked.action]
    name = asked.request.session
    if name is None:
        return [each for each in sessions.values() if each.state in before], []
    session = sessions.get(name)
    if session is None:
        known = [str(each) for each in sessions]
        wanted = (", ".join(known) or "a session: none was ever started") + meant(name, known)
        return [], [FieldError(path="$.session", found=repr(name), wanted=wanted)]
    if session.state in before:
        return [session], []
    if session.state is STATE_AFTER[asked.action]:
        return [], []
    wanted = f"one that is {' or '.join(before)}: `sluice sessions` shows them"
    return [], [FieldError(path="$.session", found=f"{name} is {session.state}", wanted=wanted)]


def answer(
    asked: SessionAsked, changed: Sequence[Session], errors: Sequence[FieldError], now_ns: int
) -> ControlAnswered:
    """Return the answer, once `changed` are what they now are."""
    if errors:
        message = f"not done: {asked.action} of {errors[0].found}"
    elif changed:
        message = ", ".join(f"{each.terms.session} is {each.state}" for each in changed)
    else:
        message = f"nothing to {asked.action}: it is so already"
    return ControlAnswered(
        at_ns=now_ns,
        request_id=asked.request_id,
        request=asked.action,
        is_ok=not errors,
        message=message,
        errors=tuple(errors),
        session=asked.request.session,
    )
