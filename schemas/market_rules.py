"""What a market's own rules have brought about: bands, pauses, halts of the whole market.

The feed tells of them where its source does. The gate computes the same from prices where the
configuration says so; what it found out by itself it keeps as `MarketRuleInvoked`.
"""

import enum
from decimal import Decimal

from schemas.base import Event, InstrumentId


class PriceBandPublished(Event, frozen=True, kw_only=True):
    """The processor published the prices between which an instrument may trade.

    In force until the next one, and no longer than the trading day. It wins over what anybody
    computes.
    """

    instrument: InstrumentId
    lower: Decimal
    """Lowest price of a trade; 0 where there is none."""

    upper: Decimal
    """Highest price of a trade."""

    reference: Decimal = Decimal(0)
    """What the bands were computed from; 0 unknown."""


class ClosingPricePublished(Event, frozen=True, kw_only=True):
    """What an instrument closed at on its listing market."""

    instrument: InstrumentId
    price: Decimal
    close_ns: int
    """The close of the trading day it is of, in ns since the epoch."""


class ShortSaleRestrictionChanged(Event, frozen=True, kw_only=True):
    """The listing market began or ended the restriction of short sales (SEC Rule 201).

    It begins at `at_ns`, and lasts for the rest of that trading day and the next.
    """

    instrument: InstrumentId
    is_restricted: bool
    reason: str = ""


class MarketWideHaltDeclared(Event, frozen=True, kw_only=True):
    """Trading in every instrument of a market is halted; a later one replaces it."""

    market: str
    """The calendar that the market keeps, for example `XNYS`."""

    level: int
    """1, 2 or 3: a fall of 7, 13 or 20 %; 0 for any other reason."""

    resumes_ns: int = 0
    """When trading goes on, ns since the epoch; 0: not this trading day."""

    reason: str = ""


class MarketRule(enum.StrEnum):
    """A rule that the gate has found to apply from prices alone."""

    LIMIT_PAUSE = "limit-pause"
    """Limit up-limit down: the pause after 15 s in a limit state."""

    SHORT_SALE = "short-sale"
    """SEC Rule 201: short sales only above the best bid."""

    MARKET_WIDE = "market-wide"
    """A market-wide circuit breaker."""


class MarketRuleInvoked(Event, frozen=True, kw_only=True):
    """Kept by the gate: prices have brought a rule about. A restart must not forget it."""

    rule: MarketRule
    instrument: InstrumentId
    """Whose prices; of a market-wide breaker the reference."""

    from_ns: int
    until_ns: int
    """End, exclusive; in ns since the epoch."""

    level: int = 0
    """Of a market-wide breaker: 1, 2 or 3."""

    price: Decimal = Decimal(0)
    """The price that did it; 0: assumed, for a restart missed the trades."""


class ClosingPriceNoted(Event, frozen=True, kw_only=True):
    """Kept by the gate: the last trade of a trading day, where nobody published a closing price."""

    instrument: InstrumentId
    price: Decimal
    close_ns: int
    """The close of the trading day it is of, in ns since the epoch."""
