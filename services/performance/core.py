"""How well it did: one of these for a session, or one for a whole account.

    performance = Performance(Terms(instruments=..., currency_values={"USDT": Decimal(1)}))
    for event in everything_in_order:
        performance.update(event)
    performance.figures(now_ns)

It takes any event and ignores what it has no use for (`hears` says what it has). It values at most
once in `value_every_ns`, always with the prices before the event that is due, so that a valuation
never mixes two moments. Memory: one line for an instrument in a session, the orders that are open,
ids of executions, and what is bounded (points to draw, the last round trips).
"""

import enum
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

import msgspec

from schemas.base import InstrumentId
from schemas.instruments import AssetClass, Instrument
from schemas.results import Figures
from services.performance.curve import Curve
from services.performance.fold import Fold
from services.performance.lines import Line
from services.performance.returns import cagr, sharpe, sortino, volatility

ZERO = Decimal(0)


class By(enum.StrEnum):
    """What profit is divided by."""

    SESSION = "session"
    STRATEGY = "strategy"
    SYMBOL = "symbol"
    SHARE_CLASS = "share_class"


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """Where a part of the profit came from, in the share class. What is not known is None.

    `profit = price - slippage - fees + funding`, exactly: `price` is what holdings would have
    earned, had everything been traded at the middle of the market when its signal was raised.
    """

    price: Decimal | None
    slippage: Decimal | None
    """What executions cost against that middle; None where it was not known, and then `price`
    has it in it."""

    fees: Decimal | None
    funding: Decimal | None
    """Received less paid."""

    profit: Decimal | None
    traded: Decimal | None
    """Notional of all executions."""


class Performance(Fold):
    """The fold, and what it comes to."""

    def figures(self, now_ns: int) -> Figures:
        """Return how well it did until `now_ns`; the day that runs counts as far as it has come.

        Changes nothing, and can be asked at any time. Returns are those of days (UTC), annualised
        by `Terms.periods_per_year`.
        """
        equity, tally = self.equity(), self.tally
        now_ns = max(now_ns, self.now_ns)
        curve = self.curve.ended(equity, now_ns)
        age_ns = curve.age_ns(now_ns)
        days, returns = self.terms.periods_per_year, curve.returns
        is_known = equity is not None and bool(returns.count) and not curve.is_broken
        whole = self._share(self.lines.values())
        fees = None if whole.fees is None else whole.fees + self.fees
        return Figures(
            initial_capital=self.capital,
            final_value=equity,
            total_return=returns.growth - 1 if is_known else None,
            cagr=cagr(returns, days) if is_known else None,
            volatility=volatility(returns, days) if is_known else None,
            sharpe=sharpe(returns, days) if is_known else None,
            sortino=sortino(returns, days) if is_known else None,
            drawdown_max=curve.drawdown_max if curve.has_begun else None,
            drawdown_ns_max=curve.drawdown_ns_max if curve.has_begun else None,
            turnover=_turnover(tally.traded, curve),
            exposure=tally.held_ns(now_ns) / age_ns if age_ns else None,
            win_rate=tally.win_rate,
            profit_factor=tally.profit_factor,
            trade_count=tally.trip_count,
            fees=fees,
            funding=whole.funding,
            slippage=whole.slippage,
            signal_count=tally.signal_count,
            order_count=tally.order_count,
            fill_count=tally.fill_count,
            refusals=dict(sorted(tally.refusals.items())),
            blocked=dict(sorted(tally.blocked.items())),
        )

    def attribution(self, by: By) -> dict[str, Share]:
        """Return where the profit came from, by name of the part; parts add up to the whole."""
        found: dict[str, list[Line]] = {}
        for line in self.lines.values():
            found.setdefault(self._part(line, by), []).append(line)
        return {name: self._share(found[name]) for name in sorted(found)}

    def _part(self, line: Line, by: By) -> str:
        if by is By.SYMBOL:
            return line.instrument
        created = self.sessions.get(line.session)
        if by is By.SESSION or created is None:
            return line.session
        return created.strategy if by is By.STRATEGY else created.share_class

    def _share(self, lines: Iterable[Line]) -> Share:
        lines = [*lines]
        slippage = None
        if all(line.has_slippage for line in lines):
            slippage = self._sum(lines, lambda line: line.slippage)
        profit = total(self.profit(line) for line in lines)
        fees = self._sum(lines, lambda line: line.fees)
        funding = self._sum(lines, lambda line: line.funding)
        price = None
        if profit is not None and fees is not None and funding is not None:
            price = profit + fees - funding + (slippage or ZERO)
        return Share(
            price=price,
            slippage=slippage,
            fees=fees,
            funding=funding,
            profit=profit,
            traded=self._sum(lines, lambda line: line.traded),
        )

    def _sum(self, lines: Iterable[Line], of: Callable[[Line], Decimal]) -> Decimal | None:
        return total(self.converted(of(line), line.instrument) for line in lines)


def days_per_year(instruments: Mapping[InstrumentId, Instrument]) -> float:
    """Return how many days with a market a year has: 252 of exchanges, 260 of FX, 365 of coins.

    Of a mixture the fewest: days without all markets are then annualised too high, never too low.
    """
    days = {AssetClass.FX: 260.0}
    days |= dict.fromkeys((AssetClass.EQUITY, AssetClass.OPTION, AssetClass.FUTURE), 252.0)
    return min((days.get(each.asset_class, 365.0) for each in instruments.values()), default=365.0)


def total(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """Return the sum; None if one of them is not known."""
    found = ZERO
    for amount in amounts:
        if amount is None:
            return None
        found += amount
    return found


def _turnover(traded: Decimal | None, curve: Curve) -> float | None:
    """Return value traded over mean worth, a plain number over the whole time."""
    average = curve.average
    return None if traded is None or average <= 0 else float(traded / average)
