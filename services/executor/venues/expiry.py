"""Expiry at the paper exchange: what a contract is worth at its end is paid, and it is gone. Pure.

At its last moment what rests in a contract is cancelled, nothing more is taken, and what is held is
closed at the settlement price:

- A future: the middle of its own market.
- An option: its exercise value, max(0, S - K) of a call and max(0, K - S) of a put; cash, and
  exercised by itself, as clearing houses do with what is worth anything. S is the middle of the
  underlying's market, where it is traded here; else what the options of that expiry say it is, by
  put-call parity at the strike where call and put are worth most nearly the same: S = K + C - P
  (Stoll 1969, The Relationship between Put and Call Option Prices; nothing is discounted then).

A price that nobody shows is not made up: such a holding stays as it is, and is not traded any more.
"""

from collections.abc import Mapping
from decimal import Decimal

from schemas.base import InstrumentId
from schemas.instruments import Instrument, OptionRight
from schemas.settlement import SettlementKind
from schemas.venue import VenueCanceled, VenueMessage, VenueSettled
from services.executor.venues.ledger import Ledger

HALF = Decimal("0.5")
ZERO = Decimal(0)
EXPIRED = "the contract has expired"


class ExpirySchedule:
    """Which contracts come to their end, and when.

    Attributes:
        next_ns: when the earliest does, ns since the epoch; None while none is left.
    """

    def __init__(self, instruments: Mapping[InstrumentId, Instrument], ledger: Ledger) -> None:
        self._ledger = ledger
        self._instruments = instruments
        ending = [each for each in instruments.values() if each.expires_ns]
        self._left = sorted(ending, key=_when, reverse=True)
        self.next_ns = _when(self._left[-1]) if self._left else None

    def due(self, now_ns: int) -> list[VenueMessage]:
        """Return the ends that have come: cancels of what rests, and settlements."""
        said: list[VenueMessage] = []
        while self._left and _when(self._left[-1]) <= now_ns:
            said += self._end(self._left.pop(), now_ns)
        self.next_ns = _when(self._left[-1]) if self._left else None
        return said

    def _end(self, contract: Instrument, now_ns: int) -> list[VenueMessage]:
        shelf, folio = self._ledger.shelves[contract.id], self._ledger.portfolio
        shelf.is_open = False
        said: list[VenueMessage] = [
            VenueCanceled(
                at_ns=now_ns,
                order_id=resting.order.order_id,
                leaves=resting.leaves,
                reason=EXPIRED,
            )
            for resting in shelf.orders.values()
        ]
        id_ = f"expiry-{contract.id}"
        if not folio.quantity(contract.id) or folio.has_settled(id_):
            return said
        price, reason = self._worth(contract)
        if price is None:
            return said
        settled = VenueSettled(
            at_ns=now_ns,
            settlement_id=id_,
            instrument=contract.id,
            kind=SettlementKind.EXPIRY,
            closes_at=price,
            reason=reason,
        )
        return [*said, settled]

    def _worth(self, contract: Instrument) -> tuple[Decimal | None, str]:
        """Return what one unit is worth at its end, and how that came about."""
        if contract.right is None or contract.strike is None:
            price = self._middle(contract.id)
            return price, f"expired at {price}"
        spot, source = self._underlying(contract)
        if spot is None:
            return None, ""
        above = spot - contract.strike
        value = max(above if contract.right is OptionRight.CALL else -above, ZERO)
        return value, f"worth {value} by the {source} at {spot}, strike {contract.strike}"

    def _underlying(self, contract: Instrument) -> tuple[Decimal | None, str]:
        own = None if contract.underlying is None else self._middle(contract.underlying)
        return (own, "underlying") if own is not None else (self._parity(contract), "parity")

    def _parity(self, contract: Instrument) -> Decimal | None:
        """Return what the options that end with this one say the underlying is worth."""
        prices: dict[Decimal, dict[OptionRight, Decimal]] = {}
        for each in self._instruments.values():
            is_sibling = (each.underlying, each.expiry) == (contract.underlying, contract.expiry)
            if is_sibling and each.right is not None and each.strike is not None:
                middle = self._middle(each.id)
                if middle is not None:
                    prices.setdefault(each.strike, {})[each.right] = middle
        pairs = [
            (abs(both[OptionRight.CALL] - both[OptionRight.PUT]), strike)
            for strike, both in prices.items()
            if len(both) == len(OptionRight)
        ]
        if not pairs:
            return None
        strike = min(pairs)[1]
        return strike + prices[strike][OptionRight.CALL] - prices[strike][OptionRight.PUT]

    def _middle(self, instrument: InstrumentId) -> Decimal | None:
        shelf = self._ledger.shelves.get(instrument)
        quote = None if shelf is None else shelf.outside.quote
        if quote is None or not (quote.bid and quote.ask):
            return None
        return (quote.bid + quote.ask) * HALF


def _when(contract: Instrument) -> int:
    """Return the first ns after its last moment: quotes of that moment still count."""
    return contract.expires_ns + 1
