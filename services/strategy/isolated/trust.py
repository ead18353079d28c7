"""What the manager asks of every word that comes out of a session's process."""

from collections.abc import Sequence

from schemas.isolation import SessionSpoke
from schemas.orders import CancelRequested, SignalRaised
from schemas.sessions import StateRemembered
from services.strategy.context import WHY_CHARS_MAX, odd_number
from services.strategy.hours import NEVER_NS
from services.strategy.remembered import KEYS_MAX, too_long
from services.strategy.session import Session

SAID_MAX = 256
"""Signals and cancels in one answer; a count."""

LACKS_CHARS_MAX = 500
NUMBER_DIGITS_MAX = 18
"""Of a signal's number; a session never comes near it."""

ID_CHARS_SHOWN = 128


def broken_rule(session: Session, spoke: SessionSpoke) -> str:
    """Return which rule an answer breaks: a session may speak for itself only. Empty: none."""
    if len(spoke.said) > SAID_MAX:
        return f"{len(spoke.said)} signals in one answer, at most {SAID_MAX}"
    if not (spoke.wake_at_ns is None or 0 <= spoke.wake_at_ns <= NEVER_NS):
        return "a timer that no clock reaches"
    number = session.book.number
    for event in spoke.said:
        broken = _stranger(session, event)
        if not broken and isinstance(event, SignalRaised):
            broken, number = _numbered(session, event, number)
        if broken:
            return broken
    if len(spoke.lacks) > LACKS_CHARS_MAX:
        return f"{len(spoke.lacks)} characters of what it lacks, at most {LACKS_CHARS_MAX}"
    return _forgets_itself(session, spoke.remembered)


def _forgets_itself(session: Session, remembered: Sequence[StateRemembered]) -> str:
    """Return what is wrong with what is to be kept: it is journalled, and handed back whole."""
    keys = {*(session.context.remembered.values or {}), *(kept.key for kept in remembered)}
    if len(keys) > 2 * KEYS_MAX:  # some may be forgotten in the same answer
        return f"{len(keys)} keys to be remembered, at most {KEYS_MAX}"
    for kept in remembered:
        if kept.session != session.terms.session:
            return f"it spoke for session {kept.session!r}"
        if objection := too_long(kept.key, kept.value):
            return objection
    return ""


def _stranger(session: Session, event: SignalRaised | CancelRequested) -> str:
    terms = session.terms
    if event.session != terms.session:
        return f"it spoke for session {event.session!r}"
    if event.account != terms.account:
        return f"it spoke for account {event.account!r}"
    if event.instrument not in session.context.instruments:
        return f"it spoke of {event.instrument!r}, which this session does not trade"
    return ""


def _numbered(session: Session, signal: SignalRaised, number: int) -> tuple[str, int]:
    """Return what is wrong with a signal's own terms, and its number: they only grow."""
    head, _, tail = signal.signal_id.rpartition("-")
    is_number = tail.isascii() and tail.isdigit() and len(tail) <= NUMBER_DIGITS_MAX
    if head != session.terms.session or not is_number:
        return f"signal id {signal.signal_id[:ID_CHARS_SHOWN]!r} is none of its own", number
    if int(tail) <= number:
        return f"signal id {signal.signal_id!r} was used before", number
    if len(signal.why) > WHY_CHARS_MAX:
        return f"{len(signal.why)} characters of why, at most {WHY_CHARS_MAX}", number
    return odd_number(signal), int(tail)
