"""What can be traded, and the names it goes by."""

import enum
import re
from decimal import Decimal

import msgspec

from schemas.base import InstrumentId
from schemas.errors import UserError

TOKEN = re.compile(r"[A-Za-z0-9_-]+")
"""What one token of a subject may hold, and so what venues, symbols and accounts may be named."""


class AssetClass(enum.StrEnum):
    """What kind of thing an instrument is; decides sessions, margin and settlement."""

    EQUITY = "equity"
    OPTION = "option"
    FUTURE = "future"
    PERPETUAL = "perpetual"
    SPOT = "spot"
    FX = "fx"
    LENDING = "lending"


class OptionRight(enum.StrEnum):
    """What an option gives the right to do with its underlying."""

    CALL = "call"
    """Buy it."""

    PUT = "put"
    """Sell it."""


class DataKind(enum.StrEnum):
    """What a session may ask its data provider for."""

    PRICES = "prices"
    """Best bid and ask."""

    TRADES = "trades"
    BARS = "bars"
    BOOK = "book"
    """The order book, level by level."""

    FUNDING = "funding"
    LIQUIDITY = "liquidity"
    """What a lending market could pay out now."""

    LENDING = "lending"
    """The rate of what is supplied."""

    BORROWING = "borrowing"
    STAKING = "staking"
    BALANCES = "balances"
    """What a protocol holds: supplied and borrowed by everybody."""


class Instrument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tradable instrument at one venue, as configured or as its recording describes it."""

    id: InstrumentId
    asset_class: AssetClass
    currency: str
    """Currency of prices, fees and profit, for example `USD`."""

    tick_size: Decimal
    """Smallest price step, in `currency`."""

    lot_size: Decimal
    """Smallest quantity step, in units of the instrument."""

    multiplier: Decimal = Decimal(1)
    """Units of the underlying a quantity of one stands for: 50 for ES, 100 for an option."""

    maker_fee_bps: Decimal = Decimal(0)
    """Fee of an execution that had been resting, in basis points of notional."""

    taker_fee_bps: Decimal = Decimal(0)
    """Fee of an execution that took liquidity, in basis points of notional."""

    sector: str = ""

    calendar: str = ""
    """Whose hours it trades by, for example `XNYS`; `24x7` is always. Empty is the asset class's
    own: always for spot, perpetuals and lending, the week of FX for FX. Equities, options and
    futures have none: without a calendar of their own they are not traded."""

    offers: tuple[DataKind, ...] = ()
    """What its feed tells of it. A session that asks for anything else is not started."""

    expiry: str = ""
    """Of a future or an option: its last day, like `2015-12-24`, or its month; for people."""

    expires_ns: int = 0
    """When the paper exchange settles what is held of it, ns since the epoch; 0: never. Empty in a
    recording that is replayed live, whose clock is another one."""

    underlying: InstrumentId | None = None
    """Of an option: what it is on."""

    strike: Decimal | None = None
    """Of an option, in `currency` for one unit of the underlying."""

    right: OptionRight | None = None

    @property
    def venue(self) -> str:
        """The venue part of the id."""
        return venue_of(self.id)

    @property
    def symbol(self) -> str:
        """The symbol part of the id."""
        return symbol_of(self.id)


def instrument_id(venue: str, symbol: str) -> InstrumentId:
    """Return the id of `symbol` at `venue`; dots of a symbol (`BRK.B`) become dashes.

    Raises:
        UserError: a part has characters that no subject may hold.
    """
    tidy = symbol.replace(".", "-")
    for what, token in (("venue", venue), ("symbol", tidy)):
        if not TOKEN.fullmatch(token):
            raise UserError(
                "SLU-101", path=what, found=repr(token), wanted="letters, digits, - and _ only"
            )
    return InstrumentId(f"{venue}:{tidy}")


def venue_of(instrument: InstrumentId) -> str:
    """Return the venue part of the id."""
    return instrument.partition(":")[0]


def symbol_of(instrument: InstrumentId) -> str:
    """Return the symbol part of the id."""
    return instrument.partition(":")[2]
