"""When the core must be woken: the earliest deadline of all sessions, kept up to date cheaply.

A signal moves one session's deadline: to look at all of them each time would make a hundred
sessions a hundred times as slow.
"""

from collections.abc import Callable, Sequence

from services.strategy.session import Session


def earliest(active: Sequence[Session]) -> int | None:
    """Return the earliest deadline, in ns since the epoch; None while nothing is due."""
    found: int | None = None
    for session in active:
        due_ns = session.alarm_ns = session.deadline_ns
        if due_ns is not None and (found is None or due_ns < found):
            found = due_ns
    return found


def moved(
    session: Session, wake_at_ns: int | None, active: Callable[[], Sequence[Session]]
) -> int | None:
    """Return the earliest deadline after one session's may have moved."""
    before_ns, due_ns = session.alarm_ns, session.deadline_ns
    if due_ns == before_ns:
        return wake_at_ns
    if before_ns is not None and before_ns == wake_at_ns:  # it may have been the earliest
        return earliest(active())
    session.alarm_ns = due_ns
    if due_ns is None or (wake_at_ns is not None and wake_at_ns <= due_ns):
        return wake_at_ns
    return due_ns
