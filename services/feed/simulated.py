"""A market that does not exist: seeded, endless, with regimes, gaps, silences and bursts.

Each purpose draws from its own stream of random numbers, so that one more draw in one place does
not reshuffle the rest. All prices are counted in ticks.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from random import Random
from typing import NamedTuple

from schemas.base import NS_PER_MS, NS_PER_S, InstrumentId
from schemas.instruments import AssetClass, DataKind, Instrument, instrument_id
from schemas.market import MarketEvent, PlaybackMarked, QuoteReceived, TradeReceived
from schemas.orders import Side
from services.calendars.named import ALL_DAY
from services.feed.lending import LendingPool, pool_instrument, pools
from services.feed.lines import Counts

VENUE = "sim"
DEFAULT_SYMBOLS = ("ALPHA", "BETA", "GAMMA", "DELTA")
START_NS = 1_704_205_800 * NS_PER_S
"""When simulated time begins: 2 January 2024, 14:30 UTC."""

TICK = Decimal("0.01")
START_TICKS = (10_000, 7_500, 25_000, 15_000)
"""First price of the first, second, ... symbol, in ticks."""

SIZE_STEP = 100
SIZE_STEPS_MEAN = 5
SIZE_STEPS_MAX = 50
TRADES_PER_QUOTE = 0.2
DRIFT_BACK = 20
"""How strongly regimes lean back to the first price: one twentieth away, and they all do."""

JUMPS_PER_REGIME = 0.15
JUMP_TICKS = (15, 50)
SILENCES_PER_REGIME = 0.2
SILENCE_NS = (NS_PER_S // 2, 2 * NS_PER_S)
BURSTS_PER_REGIME = 0.5
BURST_QUOTES = (20, 100)
BURST_STEP_NS = NS_PER_MS // 2


class Regime(NamedTuple):
    """How a market behaves for a while."""

    drift: float
    """Ticks up per quote, on average; its sign is drawn."""

    noise: int
    """Largest move of one quote beside the drift, in ticks."""

    spread: tuple[int, int]
    """Narrowest and widest market, in ticks."""

    length_s: float
    """How long it lasts on average, in simulated seconds."""


REGIMES = (
    Regime(drift=0.0, noise=1, spread=(1, 2), length_s=4.0),
    Regime(drift=0.25, noise=1, spread=(1, 2), length_s=5.0),
    Regime(drift=0.5, noise=2, spread=(1, 4), length_s=3.0),
    Regime(drift=0.0, noise=4, spread=(3, 8), length_s=2.0),
)
"""Calm, trend, strong trend, turmoil."""


class Simulated:
    """Endless quotes and trades of invented instruments; the same seed gives the same ones."""

    name = "simulated"
    is_recording = False
    silence_ns = 0

    def __init__(
        self,
        *,
        seed: int = 1,
        symbols: Sequence[str] = DEFAULT_SYMBOLS,
        quotes_per_s: int = 50,
        pools: Sequence[str] = (),
    ) -> None:
        self._pools = tuple(pools)
        self._seed = str(seed)
        self._symbols = tuple(symbols)
        self._quotes_per_s = quotes_per_s
        self._counts = {"quote": 0, "trade": 0}

    @property
    def counts(self) -> Counts:
        """Events made so far, by kind, and `total`."""
        return self._counts | {"total": sum(self._counts.values())}

    def instruments(self) -> tuple[Instrument, ...]:
        """Return every instrument of the simulated market."""
        lent = (pool_instrument(name) for name in self._pools)
        return (*(_instrument(symbol) for symbol in self._symbols), *lent)

    def __iter__(self) -> Iterator[MarketEvent]:
        """Begin at the first price and the first moment."""
        return self._with_pools(self._seed, {})

    def after(self, mark: PlaybackMarked) -> Iterator[MarketEvent]:
        """Go on from the prices of `mark`, by a path of their own that the mark names."""
        return self._with_pools(f"{self._seed}+{mark.position_count}", mark.prices)

    def _with_pools(
        self, seed: str, prices: Mapping[InstrumentId, Decimal]
    ) -> Iterator[MarketEvent]:
        """Yield the market's events, and before each what lending markets published till then."""
        lent = pools(seed, self._pools, START_NS)
        events = self._events(seed, prices)
        if not lent:
            return events
        return _merged(events, lent)

    def _events(self, seed: str, prices: Mapping[InstrumentId, Decimal]) -> Iterator[MarketEvent]:
        self._counts = counts = {"quote": 0, "trade": 0}
        markets = [
            _Market(f"{seed}:{symbol}", instrument_id(VENUE, symbol), self._quotes_per_s)
            for symbol in self._symbols
        ]
        for index, market in enumerate(markets):
            market.start(START_TICKS[index % len(START_TICKS)], prices.get(market.id))
        # no two entries have the same index, so that markets themselves are never compared
        queue = [(market.next_ns, index, market) for index, market in enumerate(markets)]
        heapq.heapify(queue)
        while True:
            at_ns, index, market = queue[0]
            quote = market.quote(at_ns)
            counts["quote"] += 1
            yield quote
            trade = market.trade(quote)
            if trade is not None:
                counts["trade"] += 1
                yield trade
            heapq.heapreplace(queue, (market.next_ns, index, market))


def _merged(events: Iterator[MarketEvent], lent: Sequence[LendingPool]) -> Iterator[MarketEvent]:
    for event in events:
        for pool in lent:
            while pool.next_ns <= event.at_ns:
                yield from pool.publish(pool.next_ns)
        yield event


class _Market:
    """One instrument: where its price is, and what it does next."""

    def __init__(self, seed: str, instrument: InstrumentId, quotes_per_s: int) -> None:
        self.id = instrument
        self.next_ns = START_NS
        self._mean_ns = NS_PER_S / quotes_per_s
        self._arrivals = Random(f"{seed}:arrivals")
        self._moves = Random(f"{seed}:moves")
        self._sizes = Random(f"{seed}:sizes")
        self._regimes = Random(f"{seed}:regimes")
        self._trades = Random(f"{seed}:trades")
        self._regime = REGIMES[0]
        self._drift = 0.0
        self._regime_ends_ns = START_NS
        self._burst_quotes = 0
        self._silence_ns = 0
        self._home = self._price = 0.0

    def start(self, home_ticks: int, price: Decimal | None) -> None:
        """Begin at `price`, or at `home_ticks` where the market leans to in the long run."""
        self._home = float(home_ticks)
        self._price = self._home if price is None else float(price / TICK)
        self.next_ns += int(self._mean_ns * self._arrivals.random())

    def quote(self, now_ns: int) -> QuoteReceived:
        """Return the quote of this moment, and settle when the next one comes."""
        if now_ns >= self._regime_ends_ns:
            self._change_regime(now_ns)
        noise = self._regime.noise
        self._price += self._drift + self._moves.randint(-noise, noise)
        self._price = max(self._price, 10.0)
        spread = self._moves.randint(*self._regime.spread)
        bid = int(self._price) - spread // 2
        self._settle_next(now_ns)
        return QuoteReceived(
            at_ns=now_ns,
            instrument=self.id,
            bid=bid * TICK,
            bid_size=self._size(),
            ask=(bid + spread) * TICK,
            ask_size=self._size(),
        )

    def trade(self, quote: QuoteReceived) -> TradeReceived | None:
        """Return a trade against `quote`, or none: most quotes pass without."""
        if self._trades.random() >= TRADES_PER_QUOTE:
            return None
        is_buyer = self._trades.random() < 0.5
        offered = quote.ask_size if is_buyer else quote.bid_size
        return TradeReceived(
            at_ns=quote.at_ns,
            instrument=self.id,
            price=quote.ask if is_buyer else quote.bid,
            quantity=Decimal(self._trades.randint(1, int(offered))),
            aggressor=Side.BUY if is_buyer else Side.SELL,
        )

    def _settle_next(self, now_ns: int) -> None:
        if self._burst_quotes:
            self._burst_quotes -= 1
            self.next_ns = now_ns + BURST_STEP_NS
        else:
            wait_ns = 1 + int(self._arrivals.expovariate(1 / self._mean_ns))
            self.next_ns = now_ns + wait_ns + self._silence_ns
            self._silence_ns = 0

    def _change_regime(self, now_ns: int) -> None:
        draw = self._regimes
        self._regime = draw.choice(REGIMES)
        away = DRIFT_BACK * (self._price - self._home) / self._home
        is_up = draw.random() < 0.5 - 0.5 * max(-1.0, min(1.0, away))
        self._drift = self._regime.drift if is_up else -self._regime.drift
        length_ns = int(draw.expovariate(1 / self._regime.length_s) * NS_PER_S)
        self._regime_ends_ns = now_ns + length_ns
        if draw.random() < JUMPS_PER_REGIME:
            self._price += draw.randint(*JUMP_TICKS) * (1 if is_up else -1)
        if draw.random() < BURSTS_PER_REGIME:
            self._burst_quotes = draw.randint(*BURST_QUOTES)
        elif draw.random() < SILENCES_PER_REGIME:
            self._silence_ns = draw.randint(*SILENCE_NS)

    def _size(self) -> Decimal:
        steps = int(self._sizes.expovariate(1 / SIZE_STEPS_MEAN))
        return Decimal(SIZE_STEP * (1 + min(steps, SIZE_STEPS_MAX)))


def synthetic_quotes(
    count: int, *, seed: int = 1, symbols: Sequence[str] = DEFAULT_SYMBOLS
) -> list[QuoteReceived]:
    """Return `count` quotes in memory, 1 ms apart, symbols in turn: what benchmarks are fed.

    A plain random walk, so that making them takes little more time than holding them; equal
    prices are one object, so that a million of them fit in memory.
    """
    walk, sizes = Random(f"{seed}:walk"), Random(f"{seed}:sizes")
    prices: dict[int, Decimal] = {}
    lots = [Decimal(SIZE_STEP * steps) for steps in range(1, 17)]
    ids = [instrument_id(VENUE, symbol) for symbol in symbols]
    ticks = [START_TICKS[index % len(START_TICKS)] for index in range(len(ids))]
    made: list[QuoteReceived] = []
    for number in range(count):
        index = number % len(ids)
        bid = ticks[index] = max(ticks[index] + int(walk.random() * 5) - 2, 10)
        size = lots[int(sizes.random() * 16)]
        made.append(
            QuoteReceived(
                at_ns=START_NS + number * NS_PER_MS,
                instrument=ids[index],
                bid=prices.get(bid) or prices.setdefault(bid, bid * TICK),
                bid_size=size,
                ask=prices.get(bid + 1) or prices.setdefault(bid + 1, (bid + 1) * TICK),
                ask_size=size,
            )
        )
    return made


def _instrument(symbol: str) -> Instrument:
    return Instrument(
        id=instrument_id(VENUE, symbol),
        asset_class=AssetClass.EQUITY,
        currency="USD",
        tick_size=TICK,
        lot_size=Decimal(1),
        maker_fee_bps=Decimal("0.5"),
        taker_fee_bps=Decimal(1),
        calendar=ALL_DAY,
        offers=(DataKind.PRICES, DataKind.TRADES),
    )
