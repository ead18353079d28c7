"""A session begins again after a restart, and pauses where it lacks what it must know."""

from schemas.base import Event
from schemas.sessions import SessionState
from services.strategy.alerts import lacking, not_known
from services.strategy.session import Session


def recalled(session: Session, now_ns: int) -> list[Event]:
    """Give the strategy back what it kept; return its pause, where it lacks what it must know.

    The time of its orders goes on counting: nothing waits for its turn after a restart.
    """
    said = session.released(now_ns)
    lacks = session.recall()
    return [*said, *without(session, lacks, now_ns)] if lacks else said


def without(session: Session, lacks: str, now_ns: int) -> list[Event]:
    """Return the pause of a session that cannot go on without `lacks`, and its alert."""
    reason = f"not known after the restart: {lacks}"
    return [session.change(SessionState.PAUSED, now_ns, reason), lacking(session, lacks, now_ns)]


def unshared(session: Session, now_ns: int) -> list[Event]:
    """Return the pause of a session whose share of the account's holding is not known."""
    reason = "its share of what the account holds is not known"
    return [session.change(SessionState.PAUSED, now_ns, reason), not_known(session, now_ns)]
