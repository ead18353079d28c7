"""Corrections of the book, each told once, and what the positions in them were worth. Pure."""

from collections.abc import Callable
from decimal import Decimal

from schemas.base import NS_PER_S, InstrumentId
from schemas.reconciliation import BookAdjusted

FRESH_NS = 60 * NS_PER_S
"""An older price does not say what a position was worth when it was taken over."""


class Corrections:
    """Prices each position that a person took over, so that what it was worth is no profit.

    The price is the newest that is known then, if it is fresh; else the next: what nobody held was
    not valued, and is from then on.

    Args:
        on_priced: is told each such correction once, with the price and since when it counts;
            None: there was none.
    """

    def __init__(self, on_priced: Callable[[BookAdjusted, Decimal | None, int], None]) -> None:
        self._on_priced = on_priced
        self._prices: dict[InstrumentId, tuple[int, Decimal]] = {}
        self._waiting: dict[InstrumentId, list[BookAdjusted]] = {}
        self._told: set[str] = set()  # asked for membership only

    @property
    def is_waiting(self) -> bool:
        """Whether a position has no price yet."""
        return bool(self._waiting)

    def hear(self, event: BookAdjusted) -> bool:
        """Take a correction in; return False, and do nothing, if it was told before."""
        name = name_of(event)
        if name in self._told:
            return False
        self._told.add(name)
        instrument = event.instrument
        if instrument is None or not event.quantity:
            return True
        known = self._prices.get(instrument)
        if known is not None and event.at_ns - known[0] <= FRESH_NS:
            self._on_priced(event, known[1], event.at_ns)
        else:
            self._waiting.setdefault(instrument, []).append(event)
        return True

    def price(self, instrument: InstrumentId, price: Decimal, at_ns: int) -> None:
        """Take a price in."""
        self._prices[instrument] = (at_ns, price)
        if self._waiting:
            for event in self._waiting.pop(instrument, ()):
                self._on_priced(event, price, at_ns)

    def settle(self) -> None:
        """Wait no longer: an old price is better than none."""
        waiting, self._waiting = self._waiting, {}
        for instrument, events in waiting.items():
            known = self._prices.get(instrument)
            for event in events:
                self._on_priced(event, None if known is None else known[1], event.at_ns)


def name_of(event: BookAdjusted) -> str:
    """Return what makes a correction distinct: the difference, and when it was decided about."""
    return f"{event.at_ns}-{event.difference.id}"
