"""Wire captures of Binance: what its combined websocket stream sent, with our time of receipt.

One message a line, in gzip: local receive time in ns, a space, and the JSON text as it came. The
depth snapshot of the REST interface stands between them as it was answered. One capture holds one
symbol; whether it is of the spot market or of USD-M perpetuals is told by the messages themselves.
"""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from schemas.base import NS_PER_MS, InstrumentId
from schemas.instruments import AssetClass, DataKind, Instrument, instrument_id
from schemas.market import BookChanged, Level, MarketEvent, QuoteReceived, TradeReceived
from schemas.orders import Side
from services.feed.lines import BAD_ARCHIVE, Counts, finite, opened_gzip, unreadable
from services.feed.steps import largest_step

WANTED_LINE = 'time in ns, a space, and {"stream": ..., "data": ...} or a depth snapshot'
WANTED_FILE = "a gzip file whose lines are " + WANTED_LINE
PROLOGUE_LINES_MAX = 2_000
"""Lines looked at to learn what is traded, and in which steps."""

Reader = Callable[[int, bytes], MarketEvent]

_number = lru_cache(maxsize=1 << 16)(finite)
"""Prices and sizes come again and again: looking one up costs a third of making it."""


class _Ticker(msgspec.Struct):
    u: int
    s: str
    b: str
    B: str
    a: str
    A: str
    T: int = 0


class _Trade(msgspec.Struct):
    s: str
    p: str
    q: str
    t: int
    T: int
    m: bool


class _Depth(msgspec.Struct):
    s: str
    E: int
    U: int
    u: int
    b: tuple[Level, ...]
    a: tuple[Level, ...]
    pu: int = -1


class _TickerMessage(msgspec.Struct):
    data: _Ticker


class _TradeMessage(msgspec.Struct):
    data: _Trade


class _DepthMessage(msgspec.Struct):
    data: _Depth


class _Snapshot(msgspec.Struct, rename="camel"):
    last_update_id: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    E: int = 0


_ticker = msgspec.json.Decoder(_TickerMessage)
_trade = msgspec.json.Decoder(_TradeMessage)
_depth = msgspec.json.Decoder(_DepthMessage)
_snapshot = msgspec.json.Decoder(_Snapshot)


class BinanceCapture:
    """One capture, read as it stands: `at_ns` is the time of receipt that was recorded."""

    resolution = "tick"
    has_quotes = True
    silence_ns = 0

    def __init__(self, path: Path) -> None:
        self.path = path

    def instruments(self) -> tuple[Instrument, ...]:
        """Return the one instrument in it.

        Raises:
            UserError: the beginning of the file does not say what it is.
        """
        return (self._instrument,)

    def offers(self) -> Mapping[InstrumentId, tuple[DataKind, ...]]:
        """Return that it tells prices, trades and the book of its instrument."""
        return {self._instrument.id: (DataKind.PRICES, DataKind.TRADES, DataKind.BOOK)}

    def read(self, counts: Counts) -> Iterator[MarketEvent]:
        """Read every message; streams of no concern are counted as `skipped`.

        Raises:
            UserError: a line is not such a message, or the file is torn; names the line.
        """
        messages = _Messages(self._instrument)
        known = messages.by_stream
        number, line = 0, b""
        with opened_gzip(self.path) as lines:
            try:
                for line in lines:
                    number += 1
                    # `1723161255088169167 {"stream":"btcusdt@bookTicker","data":...` cut at quotes
                    words = line.split(b'"', 4)
                    found = known.get(words[3])
                    kind, read_one = messages.reader(words) if found is None else found
                    counts[kind] += 1
                    if read_one is not None:
                        stamp = words[0]
                        yield read_one(int(stamp[:-2]), line[len(stamp) - 1 :])
            except (msgspec.MsgspecError, ValueError, LookupError, ArithmeticError) as error:
                where = f"{self.path}:{number}"
                raise unreadable(where, f"{error}: {line!r}", WANTED_LINE) from error
            except BAD_ARCHIVE as error:
                raise unreadable(f"{self.path}:{number + 1}", error, WANTED_FILE) from error

    @cached_property
    def _instrument(self) -> Instrument:
        messages = list(self._prologue())
        streamed = [message["data"] for message in messages if "stream" in message]
        is_perpetual = next(filter(None, map(_is_perpetual, streamed)), None)
        if is_perpetual is None:
            raise unreadable(self.path, "no message that names its market", WANTED_FILE)
        symbol = next(str(data["s"]) for data in streamed if "s" in data)
        venue = "binance-usdm" if is_perpetual == "yes" else "binance"
        prices, sizes = _numbers(messages)
        return Instrument(
            id=instrument_id(venue, symbol),
            asset_class=AssetClass.PERPETUAL if is_perpetual == "yes" else AssetClass.SPOT,
            currency=_quote_currency(symbol),
            tick_size=largest_step(prices),
            lot_size=largest_step(sizes),
            # the fees of an account without discounts
            maker_fee_bps=Decimal(2) if is_perpetual == "yes" else Decimal(10),
            taker_fee_bps=Decimal(5) if is_perpetual == "yes" else Decimal(10),
        )

    def _prologue(self) -> Iterator[dict[str, Any]]:
        """Yield the first messages, up to and with the snapshot, which shows all steps."""
        number, line = 0, b""
        with opened_gzip(self.path) as lines:
            try:
                for line in islice(lines, PROLOGUE_LINES_MAX):
                    number += 1
                    message = msgspec.json.decode(line.partition(b" ")[2], type=dict[str, Any])
                    yield message
                    if "lastUpdateId" in message:
                        return
            except msgspec.MsgspecError as error:
                where = f"{self.path}:{number}"
                raise unreadable(where, f"{error}: {line!r}", WANTED_LINE) from error
            except BAD_ARCHIVE as error:
                raise unreadable(f"{self.path}:{number + 1}", error, WANTED_FILE) from error


class _Messages:
    """Which reader reads which stream, and the readers."""

    def __init__(self, instrument: Instrument) -> None:
        self._id: InstrumentId = instrument.id
        self._symbol = instrument.symbol
        self.by_stream: dict[bytes, tuple[str, Reader | None]] = {}
        self._by_kind: dict[bytes, tuple[str, Reader | None]] = {
            b"bookTicker": ("quote", self._quote),
            b"trade": ("trade", self._trade),
            b"depth": ("book", self._book),
        }

    def reader(self, words: list[bytes]) -> tuple[str, Reader | None]:
        """Return what counts the message, and who reads it: nobody, if it is of no concern."""
        if words[1] != b"stream":
            return "book", self._snapshot
        stream = words[3]
        found = self._by_kind.get(stream.split(b"@")[1], ("skipped", None))
        self.by_stream[stream] = found
        return found

    def _quote(self, at_ns: int, text: bytes) -> QuoteReceived:
        data = _ticker.decode(text).data
        if data.s != self._symbol:
            raise self._foreign(data.s)
        return QuoteReceived(
            at_ns=at_ns,
            instrument=self._id,
            bid=_number(data.b),
            bid_size=_number(data.B),
            ask=_number(data.a),
            ask_size=_number(data.A),
            venue_ns=data.T * NS_PER_MS,
            update_id=data.u,
        )

    def _trade(self, at_ns: int, text: bytes) -> TradeReceived:
        data = _trade.decode(text).data
        if data.s != self._symbol:
            raise self._foreign(data.s)
        return TradeReceived(
            at_ns=at_ns,
            instrument=self._id,
            price=_number(data.p),
            quantity=_number(data.q),
            aggressor=Side.SELL if data.m else Side.BUY,
            trade_id=str(data.t),
            venue_ns=data.T * NS_PER_MS,
        )

    def _book(self, at_ns: int, text: bytes) -> BookChanged:
        data = _depth.decode(text).data
        if data.s != self._symbol:
            raise self._foreign(data.s)
        _refuse_no_numbers(data.b, data.a)
        return BookChanged(
            at_ns=at_ns,
            instrument=self._id,
            bids=data.b,
            asks=data.a,
            first_id=data.U,
            last_id=data.u,
            previous_id=data.pu,
            venue_ns=data.E * NS_PER_MS,
        )

    def _snapshot(self, at_ns: int, text: bytes) -> BookChanged:
        data = _snapshot.decode(text)
        _refuse_no_numbers(data.bids, data.asks)
        return BookChanged(
            at_ns=at_ns,
            instrument=self._id,
            bids=data.bids,
            asks=data.asks,
            first_id=data.last_update_id,
            last_id=data.last_update_id,
            is_snapshot=True,
            venue_ns=data.E * NS_PER_MS,
        )

    def _foreign(self, symbol: str) -> ValueError:
        return ValueError(f"a message of {symbol} in a capture of {self._symbol}")


def _refuse_no_numbers(*sides: tuple[Level, ...]) -> None:
    """Refuse `NaN` and `Infinity`: a book cannot put them in order."""
    for side in sides:
        for price, size in side:
            if not (price.is_finite() and size.is_finite()):
                raise ValueError(f"a level of {price} and {size}")


def _is_perpetual(data: dict[str, Any]) -> str:
    """Return `yes` or `no`, or nothing if this message looks the same in both markets."""
    kind = data.get("e", "bookTicker")
    if kind == "trade":
        return "yes" if "X" in data else "no"
    if kind == "depthUpdate":
        return "yes" if "pu" in data else "no"
    if kind == "bookTicker":
        return "yes" if "e" in data else "no"
    return ""


def _numbers(messages: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Return all prices and all sizes in the messages, as they are written."""
    prices: list[str] = []
    sizes: list[str] = []
    for message in messages:
        data = message.get("data", message)
        for name in ("b", "a", "bids", "asks"):
            side = data.get(name, ())
            levels = [(side, data.get(name.upper(), "0"))] if isinstance(side, str) else side
            prices += [price for price, _ in levels]
            sizes += [size for _, size in levels]
        if data.get("e") == "trade":
            prices.append(data["p"])
            sizes.append(data["q"])
    return prices, sizes


def _quote_currency(symbol: str) -> str:
    known = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "BTC", "ETH", "BNB", "EUR", "USD")
    return next((each for each in known if symbol.endswith(each)), symbol[-3:])
