"""Identifiers that several services must compute alike, without asking each other."""

import hashlib

from schemas.base import AccountId, OrderId, SessionId, SignalId

ORDER_ID_CHARS = 32


def order_id_of(account: AccountId, session: SessionId, signal_id: SignalId, leg: int) -> OrderId:
    """Return the id of the order that one leg of a signal becomes; also the venue's client id.

    The same signal always becomes the same order, so that whoever sees it twice can tell.
    """
    # None of the parts can hold a newline, so no two different signals join to the same text.
    text = f"{account}\n{session}\n{signal_id}\n{leg}"
    return OrderId(hashlib.sha256(text.encode()).hexdigest()[:ORDER_ID_CHARS])
