"""One row of a LEAN file: columns in, event out."""

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache

from schemas.instruments import Instrument
from schemas.market import (
    BarClosed,
    FundingPublished,
    MarketEvent,
    QuoteReceived,
    TradeReceived,
)
from services.feed.lean_names import CRYPTO_LOT, SCALE, LeanFile
from services.feed.lean_times import spans, times_of_day, utc_ns
from services.feed.lines import finite

ZERO = Decimal(0)
FOREX_SIZE = Decimal(1_000_000)
"""What an FX quote is taken to be good for: the recordings hold prices without sizes. Such a
quote is marked synthetic."""


Row = list[bytes]
ReadRow = Callable[[Row], MarketEvent | None]
"""Returns the event of one row; None for a row that the venue itself marked as suspicious."""


def row_reader(file: LeanFile, instrument: Instrument) -> tuple[ReadRow, str]:
    """Return what reads the rows of one member of `file`, and the columns it wants.

    Raises:
        UserError: the times in the file cannot be understood.
    """
    if file.kind == "funding":
        return _funding(instrument), "time,rate"
    price, size = _numbers(file.asset)
    if file.resolution == "tick" and file.kind == "quote":
        columns = "time,bid,bid size,ask,ask size,exchange,condition,suspicious"
        return _QuoteTicks(instrument, times_of_day(file), price).read, columns
    if file.resolution == "tick":
        columns = "time,price,quantity,exchange,condition,suspicious"
        return _trade_ticks(instrument, times_of_day(file), price, size), columns
    if file.kind == "quote":
        columns = "time,bid open,high,low,close,bid size,ask open,high,low,close,ask size"
        return _QuoteBars(file, instrument).read, columns
    return _TradeBars(file, instrument).read, "time,open,high,low,close,volume"


class _QuoteTicks:
    """Quotes of one side each: the other side stands as it was last quoted."""

    def __init__(
        self,
        instrument: Instrument,
        at: Callable[[bytes], int],
        price: Callable[[bytes], Decimal],
    ) -> None:
        self._id, self._at, self._price = instrument.id, at, price
        self._bid = self._bid_size = self._ask = self._ask_size = ZERO

    def read(self, row: Row) -> QuoteReceived | None:
        time, bid, bid_size, ask, ask_size, _, _, suspicious = row
        if suspicious != b"0":
            return None
        if bid != b"0":
            self._bid, self._bid_size = self._price(bid), _amount(bid_size)
        if ask != b"0":
            self._ask, self._ask_size = self._price(ask), _amount(ask_size)
        return QuoteReceived(
            at_ns=self._at(time),
            instrument=self._id,
            bid=self._bid,
            bid_size=self._bid_size,
            ask=self._ask,
            ask_size=self._ask_size,
        )


class _QuoteBars:
    """The quote that a bar closed with, at the end of the bar. An empty side was not quoted."""

    def __init__(self, file: LeanFile, instrument: Instrument) -> None:
        self._id, self._span = instrument.id, spans(file)
        self._price, self._size = _numbers(file.asset)
        self._is_sized = file.asset != "forex"

    def read(self, row: Row) -> QuoteReceived:
        time, _, _, _, bid, bid_size, _, _, _, ask, ask_size = row
        return QuoteReceived(
            at_ns=self._span(time)[1],
            instrument=self._id,
            bid=self._price(bid) if bid else ZERO,
            bid_size=self._size_of(bid, bid_size),
            ask=self._price(ask) if ask else ZERO,
            ask_size=self._size_of(ask, ask_size),
            is_synthetic=not self._is_sized,
        )

    def _size_of(self, price: bytes, size: bytes) -> Decimal:
        if not price:
            return ZERO
        return self._size(size) if self._is_sized else FOREX_SIZE


class _TradeBars:
    """Bars, told when they close."""

    def __init__(self, file: LeanFile, instrument: Instrument) -> None:
        self._id, self._span = instrument.id, spans(file)
        self._price, self._size = _numbers(file.asset)

    def read(self, row: Row) -> BarClosed:
        time, first, high, low, last, volume = row
        open_ns, close_ns = self._span(time)
        return BarClosed(
            at_ns=close_ns,
            instrument=self._id,
            open=self._price(first),
            high=self._price(high),
            low=self._price(low),
            close=self._price(last),
            volume=self._size(volume),
            open_ns=open_ns,
            close_ns=close_ns,
        )


def _trade_ticks(
    instrument: Instrument,
    at: Callable[[bytes], int],
    price: Callable[[bytes], Decimal],
    size: Callable[[bytes], Decimal],
) -> ReadRow:
    def read(row: Row) -> TradeReceived | None:
        time, paid, quantity, _, _, suspicious = row
        if suspicious != b"0":
            return None
        return TradeReceived(
            at_ns=at(time), instrument=instrument.id, price=price(paid), quantity=size(quantity)
        )

    return read


def _funding(instrument: Instrument) -> ReadRow:
    def read(row: Row) -> FundingPublished:
        time, rate = row
        at_ns = utc_ns(time)
        return FundingPublished(
            at_ns=at_ns,
            instrument=instrument.id,
            rate=_plain(rate),
        )

    return read


def _numbers(asset: str) -> tuple[Callable[[bytes], Decimal], Callable[[bytes], Decimal]]:
    """Return what reads prices, and what reads sizes."""
    if asset in ("equity", "option"):
        return _scaled, _amount
    return _plain, _coins if asset in ("crypto", "cryptofuture") else _amount


# Prices and sizes come again and again: looking one up costs a third of making it.
@lru_cache(maxsize=1 << 16)
def _scaled(text: bytes) -> Decimal:
    return finite(text.decode()) / SCALE


@lru_cache(maxsize=1 << 16)
def _plain(text: bytes) -> Decimal:
    return finite(text.decode())


@lru_cache(maxsize=1 << 16)
def _amount(text: bytes) -> Decimal:
    """Return a size; an order would fill backwards on one below 0."""
    amount = finite(text.decode())
    if amount < 0:
        raise ValueError(f"{amount} is below 0")
    return amount


@lru_cache(maxsize=1 << 16)
def _coins(text: bytes) -> Decimal:
    """Return it in whole units of the smallest coin: some were written as binary fractions."""
    return _amount(text).quantize(CRYPTO_LOT)
