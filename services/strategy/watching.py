"""What follows from a session's own limits: a warning, and a pause where it loses (S-08)."""

from collections.abc import Sequence

from schemas.base import Event
from schemas.sessions import SessionState
from services.core import NOTHING
from services.strategy.alerts import reached, words
from services.strategy.hours import NEVER_NS
from services.strategy.risk import PAUSING
from services.strategy.session import Session


class Watching:
    """Looks at every session's losses and positions when that is due.

    Attributes:
        due_ns: when that is next, at the next event of a market or an order: while both are silent
            nothing changes.
    """

    def __init__(self) -> None:
        self.due_ns = 0

    def look(self, active: Sequence[Session], now_ns: int) -> Sequence[Event]:
        """Return what is to be said; who reaches a limit of loss is paused, not stopped."""
        said: list[Event] = []
        for session in active:
            if session.watch.due_ns <= now_ns:
                said += _watched(session, now_ns)
        self.due_ns = min((each.watch.due_ns for each in active), default=NEVER_NS)
        return said or NOTHING


def _watched(session: Session, now_ns: int) -> list[Event]:
    marked, breaches = session.watch.look(now_ns)
    is_running = session.state is SessionState.RUNNING  # the first of several breaches pauses it
    said: list[Event] = [] if marked is None else [marked]
    for breach in breaches:
        is_pausing = breach.limit_name in PAUSING and is_running
        effect = "it is paused" if is_pausing else "it goes on"
        said.append(reached(session, breach, effect, now_ns))
        if is_pausing and session.state is SessionState.RUNNING:
            said.append(session.change(SessionState.PAUSED, now_ns, words(breach)))
    return said
