"""Which session holds what of the account, as the executor counts it. Pure.

By the executions of each session, by what the strategy service says it took over, and less what
flattens closed. No venue knows any of it.
"""

from decimal import Decimal

from schemas.base import AccountId, InstrumentId, SessionId
from schemas.executions import OrderFilled
from schemas.ids import closed_part, is_flatten
from schemas.restrictions import FlattenAsked
from schemas.sessions import PositionsAdopted
from services.distinct import Distinct

ZERO = Decimal(0)


class Shares:
    """The fold.

    Attributes:
        held: signed quantity by session and instrument; nothing where it is 0.
        flatten_count: flattens ever asked for; numbers their sessions.
    """

    def __init__(self) -> None:
        self.held: dict[SessionId, dict[InstrumentId, Decimal]] = {}
        self.flatten_count = 0
        self._takeovers = Distinct()

    def owner(self, session: SessionId) -> SessionId:
        """Return whose part an order of this session opens or closes."""
        return closed_part(session) or session

    def quantity(self, session: SessionId, instrument: InstrumentId) -> Decimal:
        """Return what a session holds, signed."""
        return self.held.get(session, {}).get(instrument, ZERO)

    def flatten(self, event: FlattenAsked) -> None:
        """Number a flatten."""
        self.flatten_count += 1

    def fill(self, fill: OrderFilled) -> None:
        """Count an execution; what a flatten of more closed is taken from those who held it."""
        session = self.owner(fill.session)
        signed = fill.signed_quantity
        if not is_flatten(session):
            self._add(session, fill.instrument, signed)
            return
        for name in list(self.held):
            held = self.quantity(name, fill.instrument)
            if held * signed < 0:
                taken = min(abs(held), abs(signed)).copy_sign(signed)
                self._add(name, fill.instrument, taken)
                signed -= taken

    def take_over(self, event: PositionsAdopted, account: AccountId) -> None:
        """Count for a session what it took over, once, from whose it was.

        What was told counts by its own executions, and so does what a flatten closed.
        """
        giver = event.taken_from
        is_counted = event.is_told or (giver is not None and is_flatten(giver))
        if is_counted or event.account not in ("", account):
            return
        if not self._takeovers.add(f"{event.session} {giver} {event.at_ns}"):
            return
        for view in event.positions:
            self._add(event.session, view.instrument, view.quantity)
            if giver is not None:
                self._add(giver, view.instrument, -view.quantity)

    def close(self, instrument: InstrumentId) -> None:
        """Take what was settled off everybody."""
        for session in list(self.held):
            self._add(session, instrument, -self.quantity(session, instrument))

    def _add(self, session: SessionId, instrument: InstrumentId, signed: Decimal) -> None:
        by_instrument = self.held.setdefault(session, {})
        total = by_instrument.get(instrument, ZERO) + signed
        if total:
            by_instrument[instrument] = total
            return
        by_instrument.pop(instrument, None)
        if not by_instrument:
            del self.held[session]


def part_of(scope: str) -> SessionId | None:
    """Return the only session that a scope is of; None where it is of more."""
    kind, _, name = scope.partition(".")
    return SessionId(name) if kind == "session" else None
