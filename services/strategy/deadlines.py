"""What a session's time brings: its end, orders that take too long, its strategy's timer."""

from collections.abc import Callable

from schemas.base import NS_PER_S, Event
from schemas.sessions import SessionState
from services.strategy.blocking import blocks_told
from services.strategy.confirming import Confirming
from services.strategy.hours import Hours
from services.strategy.session import Session


class Deadlines:
    """Acts on what is due.

    Args:
        hours: outside of which no timer rings.
        confirming: withdraws what waited too long for a person.
        tell: calls one hook of a session's strategy; returns what it says.
        end: ends a session cleanly; returns all that follows.
    """

    def __init__(
        self,
        hours: Hours,
        confirming: Confirming,
        tell: Callable[[Session, str, tuple[Event, ...], int], list[Event]],
        end: Callable[[Session, SessionState, int, str], list[Event]],
    ) -> None:
        self._hours = hours
        self._confirming = confirming
        self._tell = tell
        self._end = end

    def met(self, session: Session, now_ns: int) -> list[Event]:
        """Return what follows from the time for one session."""
        if now_ns >= session.ends_ns:
            life_s = (session.ends_ns - session.terms.at_ns) // NS_PER_S
            reason = f"its time of {life_s} s is over"
            return self._end(session, SessionState.COMPLETED, now_ns, reason)
        said = self._confirming.lapsed(session, now_ns)
        said += blocks_told(session, session.overdue(now_ns), self._tell, now_ns)
        timer_ns = session.context.timer_ns
        if timer_ns is not None and timer_ns <= now_ns:
            opens_ns = self._hours.next_ns(session.context.instruments, now_ns)
            session.context.timer_ns = opens_ns  # outside all hours nothing is evaluated (S-07)
            if opens_ns is None:
                said += self._tell(session, "on_timer", (), now_ns)
        return said
