"""What concerns a session and is no order of its own: takeovers, and what its account is told."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from schemas.base import Event, SessionId
from schemas.limits import AccountHealthReported
from schemas.sessions import PositionsAdopted
from schemas.settlement import PositionSettled
from services.strategy.session import Session

HOOK = "on_position"

Tell = Callable[[Session, str, tuple[Event, ...], int], list[Event]]


def health_told(event: AccountHealthReported, sessions: Iterable[Session]) -> None:
    """Let the sessions of an account know what a venue says of its safety."""
    for session in sessions:
        if session.terms.account == event.account:
            session.context.data.take_health(event)


def settled(
    event: PositionSettled, sessions: Iterable[Session], tell: Tell, now_ns: int
) -> list[Event]:
    """Let each session settle its own part of the holding; return what strategies say to that."""
    said: list[Event] = []
    for session in sessions:
        is_its_account = session.terms.account == event.account
        if is_its_account and session.book.apply(event) and session.is_active:
            said += tell(session, HOOK, (event,), now_ns)
    return said


def adoptions_told(
    adopted: Iterable[PositionsAdopted],
    sessions: Mapping[SessionId, Session],
    tell: Tell,
    now_ns: int,
) -> list[Event]:
    """Return what sessions took over, which is folded in, and what their strategies say to it."""
    said: list[Event] = []
    for event in adopted:
        said.append(event)
        session = sessions[event.session]
        if session.is_active:
            said += tell(session, HOOK, (event,), now_ns)
    return said


def given(
    event: Any, sessions: Mapping[SessionId, Session], tell: Tell, now_ns: int
) -> list[Event]:
    """Fold in what the session manager says that this process's session took over."""
    session = sessions[event.session]
    session.book.apply(event)
    return tell(session, HOOK, (event,), now_ns)
