"""Lending markets that do not exist: seeded, with rates that follow from how much is lent out.

The rate that borrowers pay grows with the utilisation, slowly up to the best one and steeply beyond
it; suppliers share it, less the protocol's reserve (Aave, Protocol Whitepaper v1.0, section 3.3).
The index of a share grows by the supply rate, without compounding between two publications.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from random import Random

from schemas.base import NS_PER_S, InstrumentId
from schemas.instruments import AssetClass, DataKind, Instrument, instrument_id
from schemas.market import (
    LendingRatesPublished,
    LiquidityPublished,
    MarketEvent,
    ProtocolBalancePublished,
    StakingRatePublished,
)
from services.calendars.named import ALL_DAY
from services.feed.source import index_quote

VENUE = "lend"
YEAR_NS = 365 * 86_400 * NS_PER_S
EVERY_NS = NS_PER_S
"""Time between two publications."""

BEST_UTILISATION = Decimal("0.8")
SLOPE_BELOW, SLOPE_ABOVE = Decimal("0.04"), Decimal("0.75")
"""What the borrow rate grows by up to the best utilisation, and from there to 1; a year."""

RESERVE_FACTOR = Decimal("0.1")
SUPPLIED = Decimal(10_000_000)
STEP = Decimal("0.002")
"""Largest change of the utilisation between two publications."""

LOT, TICK = Decimal("0.01"), Decimal("0.000000000001")
RATE_STEP = Decimal("0.000001")
STAKING_RATE = Decimal("0.03")


def borrow_rate(utilisation: Decimal) -> Decimal:
    """Return the rate a year that borrowers pay at this utilisation, 0 to 1."""
    if utilisation <= BEST_UTILISATION:
        return SLOPE_BELOW * utilisation / BEST_UTILISATION
    over = (utilisation - BEST_UTILISATION) / (1 - BEST_UTILISATION)
    return SLOPE_BELOW + SLOPE_ABOVE * over


def supply_rate(utilisation: Decimal) -> Decimal:
    """Return the rate a year that suppliers earn at this utilisation, 0 to 1."""
    return borrow_rate(utilisation) * utilisation * (1 - RESERVE_FACTOR)


class LendingPool:
    """One market: how much of it is lent out, and what a share is worth.

    Attributes:
        next_ns: when it publishes next, ns since the epoch.
    """

    def __init__(self, seed: str, instrument: InstrumentId, start_ns: int) -> None:
        self.next_ns = start_ns
        self._id = instrument
        self._draw = Random(f"{seed}:pool")
        self._utilisation = Decimal(self._draw.randint(60, 85)) / 100
        self._index = Decimal(1)
        self._rate = Decimal(0)

    def publish(self, now_ns: int) -> Iterator[MarketEvent]:
        """Move on by one step; yield everything that is published of it."""
        grown = self._rate * EVERY_NS / YEAR_NS
        self._index = (self._index * (1 + grown)).quantize(TICK)
        move = STEP * self._draw.randint(-10, 10) / 10
        self._utilisation = min(max(self._utilisation + move, Decimal(0)), Decimal(1))
        self._rate = supply_rate(self._utilisation).quantize(RATE_STEP)
        borrowed = (SUPPLIED * self._utilisation).quantize(LOT)
        rates = LendingRatesPublished(
            at_ns=now_ns,
            instrument=self._id,
            supply_rate=self._rate,
            borrow_rate=borrow_rate(self._utilisation).quantize(RATE_STEP),
            supply_index=self._index,
        )
        available = SUPPLIED - borrowed
        self.next_ns = now_ns + EVERY_NS
        yield index_quote(rates, max(available, LOT))
        yield rates
        yield LiquidityPublished(at_ns=now_ns, instrument=self._id, available=available)
        yield ProtocolBalancePublished(
            at_ns=now_ns, instrument=self._id, supplied=SUPPLIED, borrowed=borrowed
        )
        yield StakingRatePublished(at_ns=now_ns, instrument=self._id, rate=STAKING_RATE)


def pools(seed: str, names: Sequence[str], start_ns: int) -> list[LendingPool]:
    """Return the markets of these names, all at their beginning."""
    return [LendingPool(f"{seed}:{name}", pool_instrument(name).id, start_ns) for name in names]


def pool_instrument(name: str) -> Instrument:
    """Return the share of the lending market `name`; what is lent counts one USD each."""
    return Instrument(
        id=instrument_id(VENUE, name),
        asset_class=AssetClass.LENDING,
        currency="USD",
        tick_size=TICK,
        lot_size=LOT,
        calendar=ALL_DAY,
        offers=(
            DataKind.BALANCES,
            DataKind.BORROWING,
            DataKind.LENDING,
            DataKind.LIQUIDITY,
            DataKind.PRICES,
            DataKind.STAKING,
        ),
    )
