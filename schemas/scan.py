"""What the scanner finds in the market."""

import enum
from decimal import Decimal

from schemas.base import Event, InstrumentId


class ScanRule(enum.StrEnum):
    """What the scanner looks for."""

    MOVE = "move"
    """The price is far from where it was a while ago."""

    SPREAD = "spread"
    """The market is wide."""

    BASIS = "basis"
    """A perpetual is far from the spot it stands for."""

    FUNDING = "funding"
    """A perpetual's funding rate is far from zero."""

    VOLUME = "volume"
    """Far more is traded than usual."""


class OpportunityFound(Event, frozen=True, kw_only=True):
    """Something in the market is worth a look; said once, when it begins.

    It is no signal: nothing trades on it by itself.
    """

    instrument: InstrumentId
    rule: ScanRule
    value: Decimal
    """What was measured: a signed number of basis points, for volume how many times the usual."""

    threshold: Decimal
    """What it was compared with, in the same unit."""

    against: InstrumentId | None = None
    """The other instrument of a pair."""

    detail: str = ""
    """For people: the numbers that it follows from."""
