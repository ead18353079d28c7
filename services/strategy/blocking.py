"""Tell a strategy which of its signals its session's own limits have blocked."""

from collections.abc import Callable, Sequence

from schemas.base import Event
from schemas.sessions import SessionState, SignalBlocked
from services.strategy.session import Session


def blocks_told(
    session: Session,
    said: Sequence[Event],
    tell: Callable[[Session, str, tuple[Event, ...], int], list[Event]],
    now_ns: int,
) -> list[Event]:
    """Return what was said, and what the strategy says on hearing of what was blocked of it.

    It may cancel, or set a timer. No signal can be raised while it hears: one raised in answer
    would be blocked by the same limit at once, and so on without an end.
    """
    blocked = [event for event in said if isinstance(event, SignalBlocked)]
    if not blocked or not session.is_active:
        return [*said]
    context, out = session.context, [*said]
    was_trading, context.is_trading = context.is_trading, False
    for event in blocked:
        out += tell(session, "on_blocked", (event,), now_ns)
    context.is_trading = was_trading and session.state is SessionState.RUNNING
    return out
