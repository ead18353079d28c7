"""Funding of perpetuals at the paper exchange: who holds one pays, or is paid, at its time. Pure.

A rate with a time ahead is paid then, by the newest rate heard for it; one without is paid at once.
The notional is taken at the middle of the market, or at the average price of the position where
nothing is quoted then. A schedule does not outlive the process: the next published rate renews it,
and no payment is made twice, because its id is its instrument and its time.
"""

from collections.abc import Mapping
from decimal import Decimal

from schemas.base import NS_PER_S, InstrumentId
from schemas.instruments import AssetClass, Instrument
from schemas.market import FundingPublished, QuoteReceived
from schemas.settlement import SettlementKind
from schemas.venue import VenueSettled
from services.executor.venues.ledger import Ledger

SKEW_NS = 60 * NS_PER_S
"""How far a venue's clock may be ahead of ours."""

HALF = Decimal("0.5")


class FundingSchedule:
    """When each perpetual's funding is paid next, and how much.

    Attributes:
        next_ns: when the earliest is due, ns since the epoch; None while none is.
    """

    def __init__(self, instruments: Mapping[InstrumentId, Instrument], ledger: Ledger) -> None:
        self.next_ns: int | None = None
        self._ledger = ledger
        self._known = {
            key: each
            for key, each in instruments.items()
            if each.asset_class is AssetClass.PERPETUAL
        }
        self._due: dict[InstrumentId, FundingPublished] = {}

    def hear(self, event: FundingPublished, now_ns: int) -> list[VenueSettled]:
        """Take a rate in; return the payments that are due with it."""
        if event.instrument not in self._known:
            return []
        last = self._due.get(event.instrument)
        paid: list[VenueSettled] = []
        if last is not None and event.next_ns > last.next_ns and last.next_ns - now_ns < SKEW_NS:
            paid = self._pay(last, now_ns)  # the venue's clock is ahead of ours: its time has come
        self._due[event.instrument] = event
        return [*paid, *self.due(now_ns)]

    def due(self, now_ns: int) -> list[VenueSettled]:
        """Return the payments whose time has come."""
        ready = [each for each in self._due.values() if each.next_ns <= now_ns]
        for each in ready:
            del self._due[each.instrument]
        self.next_ns = min((each.next_ns for each in self._due.values()), default=None)
        return [payment for each in ready for payment in self._pay(each, now_ns)]

    def _pay(self, event: FundingPublished, now_ns: int) -> list[VenueSettled]:
        folio = self._ledger.portfolio
        id_ = f"funding-{event.instrument}-{event.next_ns or event.at_ns}"
        if not folio.quantity(event.instrument) or folio.has_settled(id_):
            return []
        quote = self._ledger.shelves[event.instrument].outside.quote
        price = _middle(quote) or folio.positions[event.instrument].average_price
        return [
            VenueSettled(
                at_ns=now_ns,
                settlement_id=id_,
                instrument=event.instrument,
                kind=SettlementKind.FUNDING,
                payment=-price * self._known[event.instrument].multiplier * event.rate,
                reason=f"funding of {event.rate} at a mark of {price}",
            )
        ]


def _middle(quote: QuoteReceived | None) -> Decimal | None:
    if quote is None or not (quote.bid and quote.ask):
        return None
    return (quote.bid + quote.ask) * HALF
