"""What sessions hold, folded on after every restart."""

from decimal import Decimal

import msgspec

from services.portfolio import Position


class Holding(msgspec.Struct):
    """What one session holds of one instrument, to be folded on after a restart."""

    account: str
    session: str
    instrument: str
    multiplier: Decimal | None = None
    """None: no terms were declared before its first execution, and profit is not known."""

    quantity: Decimal = Decimal(0)
    average_price: Decimal = Decimal(0)
    realized: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    cash: Decimal = Decimal(0)
    fill_count: int = 0
    settlements: Decimal = Decimal(0)
    settled: str = ""
    """The newest settlement that was folded in."""

    def position(self) -> Position:
        """Return it as the fold of positions takes it."""
        found = Position()
        found.quantity, found.average_price = self.quantity, self.average_price
        found.realized = self.realized
        return found

    def take(self, position: Position) -> None:
        """Take over what a fold has made of it."""
        self.quantity, self.average_price = position.quantity, position.average_price
        self.realized = position.realized
