"""A small market for simulations: two instruments that wander, with a quote every few moments."""

from collections.abc import Sequence
from decimal import Decimal
from random import Random

from schemas.base import NS_PER_MS, BootId, Event, InstrumentId
from schemas.health import HealthReported
from schemas.instruments import AssetClass, Instrument
from schemas.market import (
    InstrumentStatusChanged,
    MarketEvent,
    MarketRead,
    QuoteReceived,
    TradeReceived,
    Trading,
)
from schemas.orders import Side
from services.calendars.named import ALL_DAY
from services.simulation.trading_halts import TradingHalts

CENT = Decimal("0.01")
START_CENTS = 10_000
MOVE_CENTS = 3
SPREAD_CENTS = 2
SIZE = 20
TRADE_ONE_IN = 4
POSITION_EVERY_NS = 100 * NS_PER_MS
"""How far apart two places in this source are: where a restart goes on from is a time."""

SIZES = tuple(Decimal(number) for number in range(SIZE + 1))


def _instrument(symbol: str) -> Instrument:
    return Instrument(
        id=InstrumentId(f"sim:{symbol}"),
        asset_class=AssetClass.EQUITY,
        currency="USD",
        tick_size=CENT,
        lot_size=Decimal(1),
        maker_fee_bps=Decimal(1),
        taker_fee_bps=Decimal(2),
        calendar=ALL_DAY,
    )


INSTRUMENTS: dict[InstrumentId, Instrument] = {
    each.id: each for each in (_instrument("ALPHA"), _instrument("BETA"))
}


class Market:
    """Quotes and trades, from a seed and a boot: what it says next hangs on nothing it hears.

    Args:
        seed: of the run.
        boot_id: of this start.
        quote_every_ns: mean time between two quotes of an instrument.
        halts: when the venue halts what; with them it is a source that a feed reads. Without, it
            says itself what there is, as a feed does that knows nothing of halts.
    """

    hears: frozenset[type[Event]] = frozenset()
    keeps: frozenset[type[Event]] = frozenset()

    def __init__(
        self, seed: int, boot_id: BootId, quote_every_ns: int, halts: TradingHalts | None = None
    ) -> None:
        self.wake_at_ns: int | None = 0
        self._draw = Random(f"{seed}:market:{boot_id}").random
        self._every_ns = quote_every_ns
        self._cents = dict.fromkeys(INSTRUMENTS, START_CENTS)
        self._halts = halts
        self._trading: dict[InstrumentId, Trading] = {}

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Nothing is heard here."""
        raise AssertionError("the market hears nothing")

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Say the next quotes, and now and then a trade."""
        self.wake_at_ns = now_ns + self._every_ns // 2 + int(self._draw() * self._every_ns)
        read: list[MarketEvent] = []
        for instrument in self._cents:
            if self._halts is not None:
                read += self._status(instrument, self._halts.trading(instrument, now_ns), now_ns)
            read.append(self._quote(instrument, now_ns))
            if self._draw() * TRADE_ONE_IN < 1:
                read.append(self._trade(instrument, now_ns))
        if self._halts is None:
            return read
        place = now_ns // POSITION_EVERY_NS
        return [MarketRead(at_ns=now_ns, events=tuple(read), position_count=place)]

    def restore(self, event: Event) -> None:
        """Nothing is kept: every start begins at the same prices."""
        raise AssertionError("the market keeps nothing")

    def describe(self, now_ns: int) -> HealthReported:
        """Return that it is there."""
        return HealthReported(
            at_ns=now_ns, service="feed", boot_id=BootId(""), pid=0, uptime_s=0.0, is_ready=True
        )

    def _status(
        self, instrument: InstrumentId, trading: Trading, now_ns: int
    ) -> list[InstrumentStatusChanged]:
        """Return what the venue says when it opens or halts, and to whoever is new."""
        if self._trading.get(instrument) is trading:
            return []
        self._trading[instrument] = trading
        return [InstrumentStatusChanged(at_ns=now_ns, instrument=instrument, trading=trading)]

    def _quote(self, instrument: InstrumentId, now_ns: int) -> QuoteReceived:
        cents = self._cents[instrument]
        step = int(self._draw() * (2 * MOVE_CENTS + 1)) - MOVE_CENTS
        cents += step + (START_CENTS - cents) // 100
        self._cents[instrument] = cents
        return QuoteReceived(
            at_ns=now_ns,
            instrument=instrument,
            bid=(cents - SPREAD_CENTS // 2) * CENT,
            bid_size=self._size(),
            ask=(cents + SPREAD_CENTS // 2) * CENT,
            ask_size=self._size(),
        )

    def _trade(self, instrument: InstrumentId, now_ns: int) -> TradeReceived:
        side = Side.BUY if self._draw() < 0.5 else Side.SELL
        step = SPREAD_CENTS if side is Side.BUY else -SPREAD_CENTS
        return TradeReceived(
            at_ns=now_ns,
            instrument=instrument,
            price=(self._cents[instrument] + step) * CENT,
            quantity=self._size(),
            aggressor=side,
        )

    def _size(self) -> Decimal:
        return SIZES[1 + int(self._draw() * SIZE)]
