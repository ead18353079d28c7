"""The lending side of the paper exchange: supply, withdraw, interest, and how safe that is. Pure.

What is supplied is held in shares of a market (`AssetClass.LENDING`): a buy supplies, a sell
withdraws, both at what a share is worth now. Between two publications that grows by the supply
rate, without compounding (Aave, Protocol Whitepaper v1.0, section 3.3); rounding is against us.

- No more is withdrawn than the market has left: the utilisation decides, and others' borrowings.
- No more is withdrawn than was supplied: nothing is borrowed by an order.
- Cash below zero is the account's debt, and what is supplied is the collateral for it: the health
  factor is collateral x liquidation threshold / debt, `Infinity` without debt. It is told every ten
  seconds, and after every execution here.
- The market does not know us: what we supply moves neither its utilisation nor its rates.
"""

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal

from schemas.base import NS_PER_S, InstrumentId
from schemas.instruments import AssetClass, Instrument
from schemas.market import LendingRatesPublished, Level, LiquidityPublished
from schemas.orders import Order, Side
from schemas.venue import VenueFilled, VenueHealth
from services.executor.venues.ledger import Ledger
from services.executor.venues.outside import Outside, is_beyond
from services.executor.venues.resting import Resting

ZERO = Decimal(0)
YEAR_NS = 365 * 86_400 * NS_PER_S
HEALTH_EVERY_NS = 10 * NS_PER_S
NO_DEBT = Decimal("Infinity")


class Pool:
    """One market as it was published last.

    Attributes:
        available: what it could pay out, in units of what is lent; None where it never said.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.available: Decimal | None = None
        self._step = instrument.tick_size
        self._index = self._rate = ZERO
        self._at_ns = 0

    def publish(self, event: LendingRatesPublished, now_ns: int) -> None:
        """Take new rates in; the index never falls."""
        self._index = max(self._index, event.supply_index)
        self._rate, self._at_ns = event.supply_rate, now_ns

    def index(self, now_ns: int, rounding: str = ROUND_FLOOR) -> Decimal:
        """Return what a share is worth now, in whole ticks; 0 before anything was published."""
        grown = self._rate * (now_ns - self._at_ns) / YEAR_NS
        return (self._index * (1 + grown) / self._step).to_integral_value(rounding) * self._step


class LendingBook:
    """All lending markets that the account may be in.

    Attributes:
        next_ns: when the account's health is told next, ns since the epoch; None without a market.
    """

    hears = (LendingRatesPublished, LiquidityPublished)

    def __init__(
        self,
        instruments: Mapping[InstrumentId, Instrument],
        ledger: Ledger,
        liquidation_threshold: Decimal,
    ) -> None:
        self.next_ns: int | None = None
        self._ledger = ledger
        self._threshold = liquidation_threshold
        self._known = {
            key: each for key, each in instruments.items() if each.asset_class is AssetClass.LENDING
        }
        self._pools = {key: Pool(each) for key, each in self._known.items()}

    def hear(
        self, event: LendingRatesPublished | LiquidityPublished, now_ns: int
    ) -> list[VenueHealth]:
        """Take one publication in; the first one tells the account's health too."""
        pool = self._pools.get(event.instrument)
        if pool is None:
            return []
        if isinstance(event, LiquidityPublished):
            pool.available = event.available
        else:
            pool.publish(event, now_ns)
        return self.due(now_ns) if self.next_ns is None else []

    def due(self, now_ns: int) -> list[VenueHealth]:
        """Return the account's health at every venue that lends, if it is time to tell it."""
        if not self._pools or (self.next_ns is not None and now_ns < self.next_ns):
            return []
        self.next_ns = now_ns + HEALTH_EVERY_NS
        venues = dict.fromkeys(each.venue for each in self._known.values())
        factor = self._health_factor(now_ns)
        return [VenueHealth(at_ns=now_ns, venue=name, health_factor=factor) for name in venues]

    def after(self, fill: VenueFilled, now_ns: int) -> list[VenueHealth]:
        """Return the account's health anew, if this execution has moved it."""
        pool = self._pools.get(fill.instrument)
        if pool is None:
            return []
        if fill.side is Side.SELL and pool.available is not None:
            pool.available -= fill.quantity * fill.price  # it is not there a second time
        self.next_ns = now_ns
        return self.due(now_ns)

    def reach(self, resting: Resting, outside: Outside, now_ns: int) -> list[Level]:
        """Return what an order would get at once: of a lending market, or of what is displayed."""
        order = resting.order
        pool = self._pools.get(order.instrument)
        if pool is None:
            return outside.reach(order.side, resting.limit, resting.leaves)
        is_buy = order.side is Side.BUY
        price = pool.index(now_ns, ROUND_CEILING if is_buy else ROUND_FLOOR)
        if not price or is_beyond(price, resting.limit, is_buy):
            return []
        quantity = resting.leaves
        if not is_buy:
            lot = self._known[order.instrument].lot_size
            left = ZERO if pool.available is None else pool.available / price
            quantity = min(quantity, (left / lot).to_integral_value(ROUND_DOWN) * lot)
        return [(price, quantity)] if quantity > 0 else []

    def refusal(self, order: Order) -> str:
        """Return why a withdrawal may not be: more than was supplied; empty when it may."""
        if order.instrument not in self._pools or order.side is Side.BUY:
            return ""
        held = self._ledger.portfolio.quantity(order.instrument)
        if order.quantity <= held:
            return ""
        return f"withdraw {order.quantity} shares of {order.instrument}: {held} were supplied"

    def _health_factor(self, now_ns: int) -> Decimal:
        folio = self._ledger.portfolio
        debt = max(ZERO, -folio.cash)
        if not debt:
            return NO_DEBT
        worth = (folio.quantity(key) * each.index(now_ns) for key, each in self._pools.items())
        return sum(worth, ZERO) * self._threshold / debt
