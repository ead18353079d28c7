"""What a takeover moves where every execution is known, as in the record. Pure."""

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from schemas.base import InstrumentId, SessionId
from schemas.sessions import PositionsAdopted


class Move(NamedTuple):
    """A holding that comes to a session; negative: that leaves it."""

    session: SessionId
    instrument: InstrumentId
    quantity: Decimal
    price: Decimal
    """The average price that it was taken over at."""


def moves(event: PositionsAdopted) -> Iterator[Move]:
    """Yield what changes hands by it.

    Nothing where the session's own executions were told, and only the strategy service had missed
    them: whoever has heard all has them already. What an ended session held, or a flatten closed,
    comes from there, so that all together hold what the account does.
    """
    if event.is_told:
        return
    for view in event.positions:
        yield Move(event.session, view.instrument, view.quantity, view.average_price)
        if event.taken_from is not None:
            yield Move(event.taken_from, view.instrument, -view.quantity, view.average_price)
