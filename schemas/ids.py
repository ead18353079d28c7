"""Identifiers that several services must compute alike, without asking each other."""

import hashlib

from schemas.base import AccountId, OrderId, SessionId, SignalId

ORDER_ID_CHARS = 32
FLATTEN_PREFIX = "flatten-"
"""What the closing orders of a flatten are signed with begins so; no session is called like it."""


def order_id_of(account: AccountId, session: SessionId, signal_id: SignalId, leg: int) -> OrderId:
    """Return the id of the order that one leg of a signal becomes; also the venue's client id.

    The same signal always becomes the same order, so that whoever sees it twice can tell.
    """
    # None of the parts can hold a newline, so no two different signals join to the same text.
    text = f"{account}\n{session}\n{signal_id}\n{leg}"
    return OrderId(hashlib.sha256(text.encode()).hexdigest()[:ORDER_ID_CHARS])


def flatten_session(number: int, part: SessionId | None) -> SessionId:
    """Return what the closing orders of the flatten with this number are signed with.

    Args:
        number: of the flatten; the executor counts them.
        part: the only session that it closes; None where it closes what anybody holds.
    """
    whole = f"{FLATTEN_PREFIX}{number}"
    return SessionId(whole if part is None else f"{whole}-{part}")


def is_flatten(session: SessionId) -> bool:
    """Return whether an order so signed is a flatten's: it closes what others hold."""
    return session.startswith(FLATTEN_PREFIX)


def closed_part(session: SessionId) -> SessionId | None:
    """Return the only session that a flatten's order closes; None where it may be anybody's."""
    _number, _, part = session.removeprefix(FLATTEN_PREFIX).partition("-")
    return SessionId(part) if part and is_flatten(session) else None
