"""Shares located for short sales (SEC Regulation SHO, 17 CFR 242.203(b)(1))."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from schemas.base import InstrumentId
from schemas.compliance import LocateGranted
from services.gate.config_compliance import ComplianceRules

ZERO = Decimal(0)


class Day(msgspec.Struct):
    """What one instrument had located and sold short on its newest day."""

    day_ns: int
    granted: Decimal = ZERO
    sold: Decimal = ZERO
    locate_ids: dict[str, None] = {}


class Locates:
    """Locates of one account, of a day each. Selling uses them up: covering gives none back."""

    def __init__(self, rules: ComplianceRules) -> None:
        self._standing: Mapping[InstrumentId, Decimal] = {
            key: quantity
            for key, quantity in rules.located.items()
            if key not in rules.hard_to_borrow
        }
        self.easy = dict.fromkeys(rules.easy_to_borrow)
        self.days: dict[InstrumentId, Day] = {}

    def grant(self, event: LocateGranted, day_ns: int) -> None:
        """Count a locate, once; one of an earlier day than the newest is too late."""
        day = self._day(event.instrument, day_ns)
        if day.day_ns != day_ns:
            return
        if event.locate_id not in day.locate_ids and event.quantity > 0:
            day.locate_ids[event.locate_id] = None
            day.granted += event.quantity

    def sell(self, instrument: InstrumentId, day_ns: int, before: Decimal, signed: Decimal) -> None:
        """Count what an execution sold short."""
        short = max(ZERO, -(before + signed)) - max(ZERO, -before)
        if short > 0:
            self._day(instrument, day_ns).sold += short

    def located(self, instrument: InstrumentId, day_ns: int) -> Decimal:
        """Return what is located for the day, in the instrument's units."""
        day = self.days.get(instrument)
        granted = day.granted if day is not None and day.day_ns == day_ns else ZERO
        return granted + self._standing.get(instrument, ZERO)

    def sold(self, instrument: InstrumentId, day_ns: int) -> Decimal:
        """Return what was sold short on the day, in the instrument's units."""
        day = self.days.get(instrument)
        return day.sold if day is not None and day.day_ns == day_ns else ZERO

    def _day(self, instrument: InstrumentId, day_ns: int) -> Day:
        day = self.days.get(instrument)
        if day is None or day.day_ns < day_ns:
            day = self.days[instrument] = Day(day_ns)
        return day
