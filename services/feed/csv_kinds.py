"""The kinds of CSV files: what columns each has, and what event a row becomes."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from schemas.base import NS_PER_S, InstrumentId
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
EARLIEST_NS = 631_152_000 * NS_PER_S
LATEST_NS = 4_102_444_800 * NS_PER_S
"""1990 and 2100: a plain number outside of that is a time in another unit than ns."""

UNITS = (("microseconds", 1_000), ("milliseconds", 1_000_000), ("seconds", 1_000_000_000))
ZERO = Decimal(0)

FINE = re.compile(r"[.,][0-9]{6}([0-9]{1,3})")
"""Of a time that is written out: the digits behind those of microseconds."""

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


class ColumnError(ValueError):
    """One column of a row says what cannot be.

    Args:
        text: what stands in the column.
        found: what is wrong with it.
        wanted: what would be right.
        is_time: whether it is a column of times; one of amounts otherwise.
    """

    def __init__(self, text: str, found: str, wanted: str, *, is_time: bool = False) -> None:
        super().__init__(found)
        self.text, self.found, self.wanted, self.is_time = text, found, wanted, is_time


class Amounts(Numbers):
    """Numbers of what there is some of: an order would fill backwards on less than nothing."""

    def __missing__(self, text: str) -> Decimal:
        number = super().__missing__(text)
        if number < 0:
            del self[text]
            raise ColumnError(text, f"{text}, which is below 0", "a number of 0 or more")
        return number


class Stated(Amounts):
    """Amounts that must stand there, 0 too."""

    def __missing__(self, text: str) -> Decimal:
        if not text:
            raise ColumnError(text, "nothing", "a number of 0 or more")
        return super().__missing__(text)


class Positives(Amounts):
    """Numbers of what there is none without."""

    def __missing__(self, text: str) -> Decimal:
        number = super().__missing__(text)
        if not number:
            del self[text]
            raise ColumnError(text, text or "nothing", "a number above 0")
        return number


Make = Callable[[int, InstrumentId, Sequence[str], Numbers, Numbers], MarketEvent]


class Kind(NamedTuple):
    """One kind of file."""

    name: str
    columns: tuple[str, ...]
    optional: tuple[str, ...]
    """Columns that may be missing; they read as empty then."""

    prices: tuple[str, ...]
    sizes: tuple[str, ...]
    make: Make
    """Makes the event from time, instrument, `columns` and `optional` in that order, numbers, and
    those of `amounts`."""

    offers: tuple[DataKind, ...] = ()
    amounts: tuple[str, ...] = ()
    """Columns that say how much there is of something."""

    read_amount: type[Numbers] = Amounts


def number_in(text: str) -> Decimal:
    """Return the number in a column; 0 where it is empty."""
    return finite(text) if text else ZERO


def _quote(
    at_ns: int, instrument: InstrumentId, row: Sequence[str], numbers: Numbers, amounts: Numbers
) -> QuoteReceived:
    bid, bid_size, ask, ask_size = row
    return QuoteReceived(
        at_ns=at_ns,
        instrument=instrument,
        bid=numbers[bid],
        bid_size=amounts[bid_size],
        ask=numbers[ask],
        ask_size=amounts[ask_size],
    )


def _trade(
    at_ns: int, instrument: InstrumentId, row: Sequence[str], numbers: Numbers, amounts: Numbers
) -> TradeReceived:
    price, quantity, side = row
    return TradeReceived(
        at_ns=at_ns,
        instrument=instrument,
        price=finite(price),
        quantity=amounts[quantity],
        aggressor=Side(side) if side else None,
    )


def _bar(
    at_ns: int, instrument: InstrumentId, row: Sequence[str], numbers: Numbers, amounts: Numbers
) -> BarClosed:
    open_time, first, high, low, close, volume = row
    open_ns = time_ns(open_time)
    if open_ns >= at_ns:
        wanted = "a time before that of the row, at which the bar closed"
        raise ColumnError(open_time, f"{open_time}, at which it is over", wanted, is_time=True)
    return BarClosed(
        at_ns=at_ns,
        instrument=instrument,
        open=finite(first),
        high=finite(high),
        low=finite(low),
        close=finite(close),
        volume=amounts[volume],
        open_ns=open_ns,
        close_ns=at_ns,
    )


def _funding(
    at_ns: int, instrument: InstrumentId, row: Sequence[str], numbers: Numbers, amounts: Numbers
) -> FundingPublished:
    return FundingPublished(at_ns=at_ns, instrument=instrument, rate=finite(row[0]))


def _lending(
    at_ns: int, instrument: InstrumentId, row: Sequence[str], numbers: Numbers, amounts: Numbers
) -> LendingRatesPublished:
    supply, borrow, index = row
    return LendingRatesPublished(
        at_ns=at_ns,
        instrument=instrument,
        supply_rate=finite(supply),
        borrow_rate=finite(borrow),
        supply_index=amounts[index],
    )


def _liquidity(
    at_ns: int, instrument: InstrumentId, row: Sequence[str], numbers: Numbers, amounts: Numbers
) -> LiquidityPublished:
    return LiquidityPublished(at_ns=at_ns, instrument=instrument, available=amounts[row[0]])


def _balance(
    at_ns: int, instrument: InstrumentId, row: Sequence[str], numbers: Numbers, amounts: Numbers
) -> ProtocolBalancePublished:
    return ProtocolBalancePublished(
        at_ns=at_ns, instrument=instrument, supplied=amounts[row[0]], borrowed=amounts[row[1]]
    )


def _staking(
    at_ns: int, instrument: InstrumentId, row: Sequence[str], numbers: Numbers, amounts: Numbers
) -> StakingRatePublished:
    return StakingRatePublished(at_ns=at_ns, instrument=instrument, rate=finite(row[0]))


def _status(
    at_ns: int, instrument: InstrumentId, row: Sequence[str], numbers: Numbers, amounts: Numbers
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
        ("bid_size", "ask_size"),
    ),
    Kind(
        "trade",
        ("price", "quantity"),
        ("side",),
        ("price",),
        ("quantity",),
        _trade,
        (DataKind.PRICES, DataKind.TRADES),
        ("quantity",),
        Positives,
    ),
    Kind(
        "bar",
        ("open_time", *_OHLC, "volume"),
        (),
        _OHLC,
        ("volume",),
        _bar,
        (DataKind.PRICES, DataKind.BARS),
        ("volume",),
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
        ("supply_index",),
        Positives,
    ),
    Kind(
        "liquidity",
        ("available",),
        (),
        (),
        (),
        _liquidity,
        (DataKind.LIQUIDITY,),
        ("available",),
        Stated,
    ),
    Kind(
        "balance",
        ("supplied", "borrowed"),
        (),
        (),
        (),
        _balance,
        (DataKind.BALANCES,),
        ("supplied", "borrowed"),
        Stated,
    ),
    Kind("staking", ("staking_rate",), (), (), (), _staking, (DataKind.STAKING,)),
    Kind("status", ("trading",), ("reason",), (), (), _status),
)
"""Every kind of file: what it must have, what it may have, and what its steps are told from."""


def time_ns(text: str) -> int:
    """Return a time of the file in ns since the epoch.

    Raises:
        ValueError: it is neither a whole number nor ISO 8601 with an offset, or is no time of a
            market: then it is a `ColumnError`.
    """
    if text.isdigit():
        at_ns = int(text)
        if EARLIEST_NS <= at_ns < LATEST_NS:
            return at_ns
        raise _no_time(text, at_ns)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no offset: wanted one like Z or -04:00 at its end")
    since = moment - EPOCH
    at_ns = ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
    at_ns += _below_a_microsecond(text)
    if at_ns >= LATEST_NS:  # an old date that is written out is meant
        raise ColumnError(text, text, "a time before 2100", is_time=True)
    return at_ns


def _below_a_microsecond(text: str) -> int:
    """Return what a `datetime` leaves out of a time, in ns."""
    fine = FINE.search(text)
    return 0 if fine is None else int(fine[1].ljust(3, "0"))


def _no_time(text: str, at_ns: int) -> ColumnError:
    """Return the error for a number that is no time in ns, with the unit that it looks like."""
    likely = [
        f"this looks like {name}: wanted {at_ns * factor}"
        for name, factor in UNITS
        if EARLIEST_NS <= at_ns * factor < LATEST_NS
    ]
    side = "before 1990" if at_ns < EARLIEST_NS else "after 2099"
    wanted = "; ".join(["ns since the epoch, from 1990 to 2099", *likely])
    return ColumnError(text, f"{text}, which in ns is {side}", wanted, is_time=True)
