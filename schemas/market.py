"""Facts about the market, as told by the feed."""

import enum
from decimal import Decimal

from schemas.base import Event, InstrumentId
from schemas.market_rules import (
    ClosingPricePublished,
    MarketWideHaltDeclared,
    PriceBandPublished,
    ShortSaleRestrictionChanged,
)
from schemas.orders import Side

Level = tuple[Decimal, Decimal]
"""One price of a book: price, and quantity resting there (0: nothing rests there any more)."""


class QuoteReceived(Event, frozen=True, kw_only=True):
    """The best bid and ask of one instrument. `at_ns` is the local time of receipt.

    A side that nobody quotes has price and size 0.
    """

    instrument: InstrumentId
    bid: Decimal
    bid_size: Decimal
    ask: Decimal
    ask_size: Decimal
    venue_ns: int = 0
    """The venue's own time, ns since the epoch; 0 unknown. Never compared with a local clock."""

    update_id: int = 0
    """The venue's number of the book state this quote shows; 0 if it gives none."""

    is_synthetic: bool = False
    """Whether the feed made some of it: nobody quoted this, the recording has only bars or trades
    (then it is one tick wide, from the close), or prices without sizes."""


class TradeReceived(Event, frozen=True, kw_only=True):
    """Somebody traded. `at_ns` is the local time of receipt."""

    instrument: InstrumentId
    price: Decimal
    quantity: Decimal
    aggressor: Side | None = None
    """Whose order took liquidity, where the venue says so."""

    trade_id: str = ""
    venue_ns: int = 0


class BarClosed(Event, frozen=True, kw_only=True):
    """A bar that is complete: nothing in it can change. Published when its time is over."""

    instrument: InstrumentId
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    open_ns: int
    close_ns: int
    """End of the bar, exclusive, in ns since the epoch (recorded time in a replay)."""


class BookChanged(Event, frozen=True, kw_only=True):
    """Levels of the order book that changed; all of them if `is_snapshot`.

    `previous_id` is the `last_id` that the venue's preceding update had, where it says so (-1
    elsewhere): a book whose last id differs has a hole in it.
    """

    instrument: InstrumentId
    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()
    first_id: int = 0
    last_id: int = 0
    previous_id: int = -1
    is_snapshot: bool = False
    venue_ns: int = 0


class FundingPublished(Event, frozen=True, kw_only=True):
    """The funding rate of a perpetual: what longs pay shorts per unit of notional."""

    instrument: InstrumentId
    rate: Decimal
    """Fraction of notional for one funding interval."""

    next_ns: int = 0
    """When it is paid next, ns since the epoch; 0: it is paid now, as histories tell it."""


class LendingRatesPublished(Event, frozen=True, kw_only=True):
    """What a lending market pays those who supply and takes of those who borrow.

    What is supplied is held in shares: the market's index is what one share is worth now, and only
    grows. `instrument` is that share.
    """

    instrument: InstrumentId
    supply_rate: Decimal
    """Interest on what is supplied, as a fraction a year, not compounded."""

    borrow_rate: Decimal
    """The same on what is borrowed."""

    supply_index: Decimal
    """Worth of one share, in units of what is lent; 1 when the market began."""


class StakingRatePublished(Event, frozen=True, kw_only=True):
    """What staking an instrument earns."""

    instrument: InstrumentId
    rate: Decimal
    """Fraction a year, not compounded."""


class LiquidityPublished(Event, frozen=True, kw_only=True):
    """How much a lending market could pay out now."""

    instrument: InstrumentId
    available: Decimal
    """In units of what is lent: supplied and not borrowed."""


class ProtocolBalancePublished(Event, frozen=True, kw_only=True):
    """What a lending market holds in all; borrowed / supplied is its utilisation."""

    instrument: InstrumentId
    supplied: Decimal
    """By everybody, in units of what is lent."""

    borrowed: Decimal
    """The same of what is borrowed."""


class Trading(enum.StrEnum):
    """What a venue says may be done with an instrument."""

    OPEN = "open"
    HALTED = "halted"
    CLOSED = "closed"
    UNKNOWN = "unknown"


class InstrumentStatusChanged(Event, frozen=True, kw_only=True):
    """The venue opened, halted or closed an instrument, or the feed lost sight of it."""

    instrument: InstrumentId
    trading: Trading
    reason: str = ""


class FeedEnded(Event, frozen=True, kw_only=True):
    """A recording is at its end; no more market data will come from this feed."""

    feed: str
    counts: dict[str, int]
    """Messages read, by kind, and `total`."""


class StatesTold(Event, frozen=True, kw_only=True):
    """The feed says again, each second, what holds: whoever was not there for it knows it all.

    Nothing is left out that is known, so of what is named all was told. No stream has it: it
    is worth nothing a second later, and would push out of one what is.
    """

    source: str
    since_ns: int
    """Since when the feed has been there; what was said of halts before that, it does not know."""

    trading: dict[InstrumentId, Trading] = {}
    """What was said last of every instrument that anything was said of."""

    halts: tuple[MarketWideHaltDeclared, ...] = ()
    """The last one of each market that is not over by its own word."""

    restrictions: tuple[ShortSaleRestrictionChanged, ...] = ()
    """The last word of the listing market on each instrument."""

    lows: dict[InstrumentId, Decimal] = {}
    """The lowest price of a trade, or of a bar, since `lows_since_ns`; of those that traded."""

    lows_since_ns: int = 0
    """Some minutes ago, or since the feed is there."""


MarketEvent = (
    QuoteReceived
    | TradeReceived
    | BarClosed
    | BookChanged
    | FundingPublished
    | LendingRatesPublished
    | StakingRatePublished
    | LiquidityPublished
    | ProtocolBalancePublished
    | InstrumentStatusChanged
    | PriceBandPublished
    | ClosingPricePublished
    | ShortSaleRestrictionChanged
    | MarketWideHaltDeclared
    | FeedEnded
)
"""Everything that a source of market data may tell."""


class MarketRead(Event, frozen=True, kw_only=True):
    """Told to the feed's core by its source: what was read, oldest first, to be published now."""

    events: tuple[MarketEvent, ...]
    position_count: int
    """Events of the source that are read once these are; where a restart would go on from."""

    counts: dict[str, int] = {}
    """Messages of the source read so far, by kind, and `total`."""

    failure: str = ""
    """Why nothing more can be read; empty while all is well."""


class PlaybackReleased(Event, frozen=True, kw_only=True):
    """From the feed's core to its source: trading was started, so a recording may begin."""


class PlaybackMarked(Event, frozen=True, kw_only=True):
    """Kept by the feed: everything before this position was published by this run."""

    run: str
    """One run of the whole system; another run begins the recording anew."""

    position_count: int
    """Events of the source that were published."""

    prices: dict[InstrumentId, Decimal] = {}
    """Last bid by instrument, where a simulated market goes on from; empty for a recording."""

    trading: dict[InstrumentId, Trading] = {}
    """What the venue said last of the instruments that it said anything of: a halt outlasts us."""

    is_blind: bool = False
    """Whether one that is not among them may be shut: an earlier version did not note it."""


class PlaybackShut(PlaybackMarked, frozen=True, kw_only=True):
    """The same mark, kept because a step says that an instrument is shut: on the disk at once."""
