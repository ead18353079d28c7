"""The kinds of CSV files: what columns each has, and what event a row becomes."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from schemas.base import InstrumentId
from schemas.instruments import DataKind
from schemas.market import (
    BarClosed,
    FundingPublished,
    InstrumentStatusChanged,
    LendingRatesPublished,
    LiquidityPublished,
    MarketEvent,
    ProtocolBalancePublished,
    QuoteReceived,
    StakingRatePublished,
    TradeReceived,
    Trading,
)
from schemas.orders import Side
from services.feed.lines import finite

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZERO = Decimal(0)

NUMBERS_KEPT_MAX = 10_000
"""Numbers that are remembered at a time."""


class Numbers(dict[str, Decimal]):
    """Numbers by how they are written, empty is 0: prices and sizes repeat, and take long to read.

    Raises:
        ArithmeticError, ValueError: by looking one up that is no number.
    """

    def __missing__(self, text: str) -> Decimal:
        if len(self) >= NUMBERS_KEPT_MAX:
            self.clear()
        number = self[text] = number_in(text)
        return number


Make = Callable[[int, InstrumentId, Sequence[str], Numbers], MarketEvent]


class Kind(NamedTuple):
    """One kind of file."""

    name: str
    columns: tuple[str, ...]
    optional: tuple[str, ...]
    """Columns that may be missing; they read as empty then."""

    prices: tuple[str, ...]
    sizes: tuple[str, ...]
    make: Make
    """Makes the event from time, instrument, and `columns` and `optional` in that order."""

    offers: tuple[DataKind, ...] = ()


def number_in(text: str) -> Decimal:
    """Return the number in a column; 0 where it is empty."""
    return finite(text) if text else ZERO


def _quote(
    at_ns: int, instrument: InstrumentId, row: Sequence[str], numbers: Numbers
) -> QuoteReceived:
    bid, bid_size, ask, ask_size = row
    return QuoteReceived(
        at_ns=at_ns,
        instrument=instrument,
        bid=numbers[bid],
        bid_size=numbers[bid_size],
        ask=numbers[ask],
        ask_size=numbers[ask_size],
    )


def _trade(
    at_ns: int, instrument: InstrumentId, row: Sequence[str], numbers: Numbers
) -> TradeReceived:
    price, quantity, side = row
    return TradeReceived(
        at_ns=at_ns,
        instrument=instrument,
        price=finite(price),
        quantity=finite(quantity),
        aggressor=Side(side) if side else None,
    )


def _bar(at_ns: int, instrument: InstrumentId, row: Sequence[str], numbers: Numbers) -> BarClosed:
    open_time, first, high, low, close, volume = row
    return BarClosed(
        at_ns=at_ns,
        instrument=instrument,
        open=finite(first),
        high=finite(high),
        low=finite(low),
        close=finite(close),
        volume=number_in(volume),
        open_ns=time_ns(open_time),
        close_ns=at_ns,
    )


def _funding(
    at_ns: int, instrument: InstrumentId, row: Sequence[str], numbers: Numbers
) -> FundingPublished:
    return FundingPublished(at_ns=at_ns, instrument=instrument, rate=finite(row[0]))


def _lending(
    at_ns: int, instrument: InstrumentId, row: Sequence[str], numbers: Numbers
) -> LendingRatesPublished:
    supply, borrow, index = row
    return LendingRatesPublished(
        at_ns=at_ns,
        instrument=instrument,
        supply_rate=finite(supply),
        borrow_rate=finite(borrow),
        supply_index=finite(index),
    )


def _liquidity(
    at_ns: int, instrument: InstrumentId, row: Sequence[str], numbers: Numbers
) -> LiquidityPublished:
    return LiquidityPublished(at_ns=at_ns, instrument=instrument, available=finite(row[0]))


def _balance(
    at_ns: int, instrument: InstrumentId, row: Sequence[str], numbers: Numbers
) -> ProtocolBalancePublished:
    return ProtocolBalancePublished(
        at_ns=at_ns, instrument=instrument, supplied=finite(row[0]), borrowed=finite(row[1])
    )


def _staking(
    at_ns: int, instrument: InstrumentId, row: Sequence[str], numbers: Numbers
) -> StakingRatePublished:
    return StakingRatePublished(at_ns=at_ns, instrument=instrument, rate=finite(row[0]))


def _status(
    at_ns: int, instrument: InstrumentId, row: Sequence[str], numbers: Numbers
) -> InstrumentStatusChanged:
    trading, reason = row
    return InstrumentStatusChanged(
        at_ns=at_ns, instrument=instrument, trading=Trading(trading), reason=reason
    )


_OHLC = ("open", "high", "low", "close")
KINDS = (
    Kind(
        "quote",
        ("bid", "bid_size", "ask", "ask_size"),
        (),
        ("bid", "ask"),
        ("bid_size", "ask_size"),
        _quote,
        (DataKind.PRICES,),
    ),
    Kind(
        "trade",
        ("price", "quantity"),
        ("side",),
        ("price",),
        ("quantity",),
        _trade,
        (DataKind.PRICES, DataKind.TRADES),
    ),
    Kind(
        "bar",
        ("open_time", *_OHLC, "volume"),
        (),
        _OHLC,
        ("volume",),
        _bar,
        (DataKind.PRICES, DataKind.BARS),
    ),
    Kind("funding", ("rate",), (), (), (), _funding, (DataKind.FUNDING,)),
    Kind(
        "lending",
        ("supply_rate", "borrow_rate", "supply_index"),
        (),
        (),
        (),
        _lending,
        (DataKind.PRICES, DataKind.LENDING, DataKind.BORROWING),
    ),
    Kind("liquidity", ("available",), (), (), (), _liquidity, (DataKind.LIQUIDITY,)),
    Kind("balance", ("supplied", "borrowed"), (), (), (), _balance, (DataKind.BALANCES,)),
    Kind("staking", ("staking_rate",), (), (), (), _staking, (DataKind.STAKING,)),
    Kind("status", ("trading",), ("reason",), (), (), _status),
)
"""Every kind of file: what it must have, what it may have, and what its steps are told from."""


def time_ns(text: str) -> int:
    """Return a time of the file in ns since the epoch.

    Raises:
        ValueError: it is neither a whole number nor ISO 8601 with an offset.
    """
    if text.isdigit():
        return int(text)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no offset: wanted one like Z or -04:00 at its end")
    since = moment - EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
