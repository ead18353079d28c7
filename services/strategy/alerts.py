"""What a person is told of a session, in words."""

from collections.abc import Sequence
from decimal import InvalidOperation

from schemas.base import SessionId
from schemas.control import EpochStarted
from schemas.errors import FieldError
from schemas.health import AlertRaised, Severity
from schemas.sessions import SessionBreach
from services.strategy.session import Session

SERVICE = "strategy"


def not_made(event: EpochStarted, errors: Sequence[FieldError], now_ns: int) -> AlertRaised:
    """Return that a promised session is not made, and why."""
    why = "; ".join(f"{e.path}: {e.found}, wanted {e.wanted}" for e in errors)
    return AlertRaised(
        at_ns=now_ns,
        severity=Severity.CRITICAL,
        component=SERVICE,
        code="LT-003",
        message=f"session {event.session} was promised and is not made: "
        + (why or "another session was made meanwhile; start it again"),
        fields={"start_id": event.start_id},
    )


def not_known(session: Session, now_ns: int) -> AlertRaised:
    """Return that nobody knows a session's share of what the account holds."""
    return AlertRaised(
        at_ns=now_ns,
        severity=Severity.CRITICAL,
        component=SERVICE,
        code="SLU-123",
        message=f"session {session.terms.session} is paused: executions were missed while this"
        " service was away, and several sessions trade the same instrument; compare"
        " `sluice positions` with `sluice sessions`, then resume or stop it",
        fields={"session": session.terms.session},
    )


def lacking(session: Session, lacks: str, now_ns: int) -> AlertRaised:
    """Return that a session's strategy cannot go on without what was not kept of it."""
    return AlertRaised(
        at_ns=now_ns,
        severity=Severity.CRITICAL,
        component=SERVICE,
        code="SLU-123",
        message=f"session {session.terms.session} is paused: not known after the restart: {lacks};"
        " look at what it holds: while it is paused it leaves nothing; then resume or stop it",
        fields={"session": session.terms.session, "lacks": lacks},
    )


def reached(session: Session, breach: SessionBreach, effect: str, now_ns: int) -> AlertRaised:
    """Return that a session reached a limit of its own, and what follows from it (S-08)."""
    terms = session.terms
    of = f" of {breach.detail}" if breach.detail else ""
    return AlertRaised(
        at_ns=now_ns,
        severity=Severity.WARNING,
        component=SERVICE,
        code="SLU-210",
        message=f"session {terms.session}{of}: {words(breach)}; {effect}",
        fields={
            "session": terms.session,
            "limit": breach.limit_name,
            "found": f"{breach.current:f}",
            "allowed": f"{breach.limit:f}",
        },
    )


def words(breach: SessionBreach) -> str:
    """Return a breach in words, with both numbers."""
    try:
        current = breach.current.quantize(breach.limit)
    except InvalidOperation:  # too many digits of so fine a limit: then all there are
        current = breach.current
    return f"{breach.limit_name} is {current:f}, the limit {breach.limit:f}"


def unstopped(session: SessionId, why: str, now_ns: int) -> AlertRaised:
    """Return that a session is stopped without its strategy's last word."""
    return AlertRaised(
        at_ns=now_ns,
        severity=Severity.WARNING,
        component=SERVICE,
        code="LT-006",
        message=f"session {session} is stopped, but not as it would have itself: look at what it"
        f" holds; its strategy's last word is missing: {why}",
        fields={"session": session},
    )


def ended(session: Session, code: str, reason: str, now_ns: int) -> AlertRaised:
    """Return that a session was ended by a limit of the service (S-11)."""
    return AlertRaised(
        at_ns=now_ns,
        severity=Severity.WARNING,
        component=SERVICE,
        code=code,
        message=f"session {session.terms.session} ended: {reason}",
        fields={"session": session.terms.session, "strategy": session.terms.strategy},
    )
