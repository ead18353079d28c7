"""What the checks of portfolio risk read: one number each, computed on the gate's own timer.

Once a second every account with a row of `[gate.portfolio]` is valued anew. Between two seconds the
figures only grow: by what each order approved meanwhile can add at most. A signal is judged by the
sum, plus the same of its own. What an open order can still add is counted with every figure.

A restart knows the returns again: each sample is kept as one event, `PricesSampled`, of about 30
bytes an instrument; at one a minute, 20 instruments write 1 MB a day. A snapshot would be smaller,
and a second way to rebuild state, which could differ from the first. Only as many as the window
holds are computed anew. What venues say of an account's health is kept, so that a restart knows
which of them say anything, and how old their word is. Equity and drawdown are not: they are not
known until they are heard again.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from decimal import Decimal

from schemas.base import NS_PER_S, AccountId, Event, InstrumentId
from schemas.control import AccountMarked
from schemas.executions import BookAdopted
from schemas.instruments import AssetClass
from schemas.limits import AccountHealthReported, PricesSampled
from schemas.market import QuoteReceived
from schemas.orders import Order, OrderApproved
from services.core import NOTHING
from services.gate.account import Account
from services.gate.config import GateConfig
from services.gate.config_portfolio import DEFAULT_ROW, ONE, PortfolioLimits, Sampling
from services.gate.exposure import ZERO, Lane, Market, is_plain
from services.gate.limits import Bound
from services.gate.value_at_risk import Returns, ValueAtRisk, rounded_up

VALUE_EVERY_NS = NS_PER_S
MARGINED = (AssetClass.FUTURE, AssetClass.PERPETUAL)
"""What margin is held for; the margin ratio counts their notional."""

UNVALUED = "not computed yet; it is within a second"


class AccountRisk:
    """One account's figures.

    Attributes:
        row: the limits in force, before anything tightens them.
        factor: what tightens them by itself.
        equity: None where it is not known; then `equity_unknown` says why.
        drawdown: fraction below the high-water mark; None where it is not known.
        value_at_risk: None where it is not known; then `value_unknown` says why.
        value_limit: what value at risk is compared with; None where `equity` is needed and unknown.
        added: the most that orders approved since can add to `value_at_risk`.
        units: the most that one unit of exposure in an instrument adds to it, by instrument.
        margined: worst-case notional that counts for the margin ratio, orders approved since too.
        margin_unknown: why it is not known; empty when it is.
        health_factors, margin_ratios: the newest of each that a venue has told, and when, by venue.
            A message that leaves one of them out says nothing of it: what was told before stands,
            and grows old.
    """

    def __init__(self, account: Account, row: PortfolioLimits, sampling: Sampling) -> None:
        self.account = account
        self.factor = ONE
        self.equity: Decimal | None = None
        self.drawdown: Decimal | None = None
        self.equity_unknown = "no valuation of the account was heard yet"
        self.value_at_risk: Decimal | None = None
        self.value_unknown = UNVALUED
        self.value_limit: Bound[Decimal] | None = None
        self.added = ZERO
        self.units: dict[InstrumentId, Decimal] = {}
        self.margined = ZERO
        self.margin_unknown = UNVALUED
        self.health_factors: dict[str, tuple[Decimal, int]] = {}
        self.margin_ratios: dict[str, tuple[Decimal, int]] = {}
        self._sampling = sampling
        self._marked_ns = self._marked_fill_count = 0
        self._measured_at = -1
        self.take(row, ONE)

    def take(self, row: PortfolioLimits, factor: Decimal) -> None:
        """Take limits that an operator changed, and the factor that tightens them."""
        self.row, self.factor = row, factor
        self.budgets = {
            key: Bound(budget * factor)
            for key in self.account.lanes
            if (budget := row.risk_budgets.get(key, row.risk_budget)) is not None
        }
        self.horizon = rounded_up(math.sqrt(row.risk_horizon_s / self._sampling.every_s))
        self._measured_at = -1
        chosen = row.value_at_risk
        self.way: ValueAtRisk | None = None
        if chosen is not None:
            periods = chosen.horizon_s / self._sampling.every_s
            decay = float(self._sampling.decay)
            self.way = ValueAtRisk(chosen.method, float(chosen.confidence), periods, decay)
        self._limit_value()

    def mark(self, event: AccountMarked, now_ns: int) -> None:
        """Take a valuation of the account in."""
        self._marked_ns = now_ns
        self._marked_fill_count = self.account.portfolio.fill_count
        if event.unmarked:
            self._lose_sight("no price for " + ", ".join(event.unmarked))
        else:
            self.equity, self.drawdown, self.equity_unknown = event.equity, event.drawdown, ""

    def hear(self, event: AccountHealthReported, now_ns: int) -> None:
        """Take in what a venue says of the account's safety."""
        if event.health_factor is not None:
            self.health_factors[event.venue] = (event.health_factor, now_ns)
        if event.margin_ratio is not None:
            self.margin_ratios[event.venue] = (event.margin_ratio, now_ns)

    def age(self, now_ns: int) -> None:
        """Forget a valuation that is too old to be believed.

        An account is valued when something changes: one that has held nothing since stays as it is.
        """
        account = self.account
        has_traded = account.portfolio.fill_count != self._marked_fill_count
        if not has_traded and not any(lane.position for lane in account.lanes.values()):
            self._marked_ns = now_ns
        silence_s_max = self.row.mark_silence_s_max
        if self.equity is not None and now_ns - self._marked_ns > silence_s_max * NS_PER_S:
            self._lose_sight(f"no valuation of the account for more than {silence_s_max} s")

    def _lose_sight(self, why: str) -> None:
        self.equity = self.drawdown = None
        self.equity_unknown = why

    def value(self, returns: Returns) -> None:
        """Compute every figure anew from what is held and open now."""
        self._measure_margin()
        self._limit_value()
        if self.way is not None:
            self._measure_value(self.way, returns)

    def _limit_value(self) -> None:
        chosen = self.row.value_at_risk
        if chosen is None:
            self.value_limit = None
            return
        limits = [chosen.amount_max] if chosen.amount_max is not None else []
        if chosen.fraction_max is not None:
            if self.equity is None:
                self.value_limit = None
                return
            limits.append(self.equity * chosen.fraction_max)
        self.value_limit = Bound(min(limits) * self.factor)

    def _measure_margin(self) -> None:
        exposed = [
            lane for lane in self.account.lanes.values() if lane.worst and _is_margined(lane)
        ]
        unpriced = ", ".join(
            lane.instrument.id
            for lane in exposed
            if lane.market.price is None or lane.unit_value is None
        )
        self.margin_unknown = f"no price for {unpriced}" if unpriced else ""
        self.margined = sum((lane.notional * self.rate(lane) for lane in exposed), ZERO)

    def rate(self, lane: Lane) -> Decimal:
        """Return how much of an instrument's notional counts for the margin ratio."""
        return self.row.margin_rates.get(lane.instrument.id, ONE) if _is_margined(lane) else ZERO

    def _measure_value(self, way: ValueAtRisk, returns: Returns) -> None:
        self.added = ZERO
        self.value_at_risk = None
        if self._measured_at != returns.added_count:
            self._measured_at = returns.added_count
            self._measure_units(way, returns)
        exposures: dict[InstrumentId, float] = {}
        pending = ZERO
        for key, lane in self.account.lanes.items():
            if not lane.worst:
                continue
            price, unit, one = lane.market.price, self.units.get(key), lane.unit_value
            if price is None or one is None:
                self.value_unknown = f"no price for {key}"
                return
            if unit is None:
                self.value_unknown = f"{returns.missing(key)} samples of {key} are missing"
                return
            if lane.position:
                exposures[key] = float(lane.position * one * price)
            pending += (lane.worst - abs(lane.position)) * one * price * unit
        self._finish(way, returns, exposures, pending)

    def _finish(
        self,
        way: ValueAtRisk,
        returns: Returns,
        exposures: Mapping[InstrumentId, float],
        pending: Decimal,
    ) -> None:
        assert self.row.value_at_risk is not None
        if not exposures:
            self.value_at_risk, self.value_unknown = pending, ""
            return
        profits = returns.profits(exposures)
        missing = self.row.value_at_risk.samples_min - len(profits)
        if missing > 0:
            self.value_unknown = f"{missing} samples of all that is held are missing"
            return
        self.value_at_risk = rounded_up(way.figure(profits)) + pending
        self.value_unknown = ""

    def _measure_units(self, way: ValueAtRisk, returns: Returns) -> None:
        self.units = {}
        for key in self.account.lanes:
            volatility = returns.volatility(key)
            if volatility is not None:
                self.units[key] = rounded_up(way.of_one(returns.worst(key), volatility))

    def approve(self, order: Order) -> None:
        """Count the most that an approved order can add, until everything is computed anew."""
        lane = self.account.lanes.get(order.instrument)
        if lane is None or order.is_reduce_only:
            return
        price, one = lane.market.price, lane.unit_value
        if price is None or one is None:
            self.value_at_risk, self.value_unknown = None, f"no price for {order.instrument}"
            self.margin_unknown = self.value_unknown
            return
        dearest = max(price, order.limit_price or ZERO, order.stop_price or ZERO)
        notional = order.quantity * one * dearest
        self.added += notional * self.units.get(order.instrument, ONE)
        self.margined += notional * self.rate(lane)

    def distrust(self, why: str) -> None:
        """Have nothing computed from before count any more."""
        self.value_at_risk, self.value_unknown, self.margin_unknown = None, why, why


class PortfolioRisk:
    """Samples the prices, and values every account that has a row, on a timer of its own.

    Attributes:
        accounts: by id; empty where no account has a row, and then nothing is ever computed.
        returns: of all instruments; None where nothing is computed.
        volatilities: standard deviation of one sample's return, rounded up, by instrument.
    """

    hears: frozenset[type[Event]] = frozenset()
    keeps: frozenset[type[Event]] = frozenset({PricesSampled})

    def __init__(
        self,
        config: GateConfig,
        markets: Mapping[InstrumentId, Market],
        accounts: Mapping[AccountId, Account],
    ) -> None:
        self.wake_at_ns: int | None = None
        self.accounts: dict[AccountId, AccountRisk] = {}
        for key, account in accounts.items():
            row = row_of(config, key)
            if row is not None:
                self.accounts[key] = AccountRisk(account, row, config.sampling)
        self.volatilities: dict[InstrumentId, Decimal] = {}
        self._markets = markets
        self._sampling = config.sampling
        self._sampled_ns = 0
        self._waiting: deque[PricesSampled] = deque(maxlen=config.sampling.window + 1)
        self._sampled: dict[InstrumentId, QuoteReceived] = {}
        """The quote that was sampled last; only another one is news."""

        self.returns: Returns | None = None
        if self.accounts:
            self.hears = frozenset(
                {AccountMarked, AccountHealthReported, OrderApproved, BookAdopted}
            )
            self.keeps = frozenset({PricesSampled, AccountHealthReported})
            self.returns = Returns(markets, config.sampling)
            self.wake_at_ns = 0

    def apply(self, event: Event, now_ns: int) -> None:
        """Fold one event in; those of accounts without a row change nothing."""
        match event:
            case PricesSampled():
                self._take(event)
            case OrderApproved(order=order):
                if order.account in self.accounts:
                    self.accounts[order.account].approve(order)
            case AccountMarked(account=account):
                if account in self.accounts:
                    self.accounts[account].mark(event, now_ns)
            case AccountHealthReported(account=account):
                if account in self.accounts:
                    self.accounts[account].hear(event, now_ns)
            case BookAdopted(book=book):
                if book.account in self.accounts:
                    self.accounts[book.account].distrust("the book was adopted anew")
                    self.wake_at_ns = now_ns

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Take a sample when it is time, and value every account anew."""
        if self.returns is None:
            return NOTHING
        self.wake_at_ns = now_ns + VALUE_EVERY_NS
        said = self._sample(now_ns)
        self._compute(self.returns)
        for account in self.accounts.values():
            account.age(now_ns)
            account.value(self.returns)
        return said

    def missing(self, instrument: InstrumentId) -> str:
        """Return, for people, why the volatility of an instrument is not known."""
        assert self.returns is not None, "asked where nothing is computed"
        return f"{self.returns.missing(instrument)} samples of {instrument} are missing"

    def _sample(self, now_ns: int) -> Sequence[Event]:
        if now_ns - self._sampled_ns < self._sampling.every_s * NS_PER_S:
            return NOTHING
        prices: dict[InstrumentId, Decimal] = {}
        for key, market in self._markets.items():
            quote = market.quote
            if quote is None or quote is self._sampled.get(key):
                continue
            self._sampled[key] = quote
            if is_plain(quote.bid) and is_plain(quote.ask):
                prices[key] = (quote.bid + quote.ask) / 2
        if not prices:
            return NOTHING
        sampled = PricesSampled(at_ns=now_ns, prices=prices)
        self._take(sampled)
        return [sampled]

    def _take(self, event: PricesSampled) -> None:
        """Note a sample; a restart notes months of them, and only the newest are computed."""
        if event.at_ns > self._sampled_ns:
            self._sampled_ns = event.at_ns
            self._waiting.append(event)

    def _compute(self, returns: Returns) -> None:
        """Take what waits into the returns, and the volatilities that follow."""
        if not self._waiting:
            return
        for event in self._waiting:
            returns.add(event.prices, event.at_ns)
        self._waiting.clear()
        for key in self._markets:
            volatility = returns.volatility(key)
            if volatility is not None:
                self.volatilities[key] = rounded_up(volatility)


def row_of(config: GateConfig, account: AccountId) -> PortfolioLimits | None:
    """Return an account's row, or the default one, or None where there is neither."""
    rows = config.portfolio
    return rows.get(account, rows.get(DEFAULT_ROW))


def _is_margined(lane: Lane) -> bool:
    return lane.instrument.asset_class in MARGINED
