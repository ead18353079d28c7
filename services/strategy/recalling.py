"""A session begins again after a restart, with what its strategy kept, or pauses without it."""

from schemas.base import Event
from schemas.sessions import SessionState
from services.strategy.alerts import lacking
from services.strategy.session import Session


def recalled(session: Session, now_ns: int) -> list[Event]:
    """Give the strategy back what it kept; return its pause, where it lacks what it must know."""
    lacks = session.recall()
    return without(session, lacks, now_ns) if lacks else []


def without(session: Session, lacks: str, now_ns: int) -> list[Event]:
    """Return the pause of a session that cannot go on without `lacks`, and its alert."""
    reason = f"not known after the restart: {lacks}"
    return [session.change(SessionState.PAUSED, now_ns, reason), lacking(session, lacks, now_ns)]
