"""What sessions hold, folded on after every restart."""

from decimal import Decimal

import msgspec

from services.portfolio import Position

TOLD_MAX = 256
"""Settlements, takeovers and corrections of one holding that are remembered: what is told again is
new, and of one holding it is far fewer; a count."""


class Holding(msgspec.Struct):
    """What one session holds of one instrument, to be folded on after a restart."""

    account: str
    session: str
    instrument: str
    multiplier: Decimal | None = None
    """None: no terms were declared before its first execution, and profit is not known."""

    rate: Decimal | None = None
    """What one unit of the instrument's currency counts for in the account's; None: nobody said."""

    quantity: Decimal = Decimal(0)
    average_price: Decimal = Decimal(0)
    realized: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    cash: Decimal = Decimal(0)
    fill_count: int = 0
    settlements: Decimal = Decimal(0)
    told: tuple[str, ...] = ()
    """The newest settlements, takeovers and corrections that were folded in, oldest first."""

    def is_repeat(self, name: str) -> bool:
        """Return whether this settlement, takeover or correction was folded in already.

        If not, it is from now on.
        Several may be told again, in their order: that the newest was one of them says nothing.
        """
        if name in self.told:
            return True
        self.told = (*self.told, name)[-TOLD_MAX:]
        return False

    def trade(self, signed: Decimal, price: Decimal) -> None:
        """Fold in that this quantity was bought; negative: sold."""
        multiplier, found = self.multiplier or Decimal(1), Position()
        found.quantity, found.average_price = self.quantity, self.average_price
        found.realized = self.realized
        found.apply(signed, price, multiplier)
        self.quantity, self.average_price = found.quantity, found.average_price
        self.realized = found.realized
        self.cash -= signed * price * multiplier


def key_of(account: str, session: str, instrument: str) -> str:
    """Return what names a holding."""
    return f"{account}|{session}|{instrument}"
