"""What a takeover moves where every execution is known, as in the record. Pure."""

from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from schemas.base import InstrumentId, SessionId
from schemas.sessions import PositionsAdopted
from services.distinct import Distinct


class Move(NamedTuple):
    """A holding that comes to a session; negative: that leaves it."""

    session: SessionId
    instrument: InstrumentId
    quantity: Decimal
    price: Decimal
    """The average price that it was taken over at."""


class Takeovers:
    """Those that were folded in: what is told again changes nothing."""

    def __init__(self) -> None:
        self._told = Distinct()

    def moves(self, event: PositionsAdopted) -> Iterator[Move]:
        """Yield what changes hands by it, the first time that it is told."""
        if self._told.add(name_of(event)):
            yield from moves(event)


def name_of(event: PositionsAdopted) -> str:
    """Return what makes a takeover distinct: all that it says, and when; two may come at once."""
    views = [(each.instrument, each.quantity, each.average_price) for each in event.positions]
    whose = f"{event.session} {event.taken_from} {event.execution_id} {event.at_ns}"
    return f"{whose} {views} {event.reason}"


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
