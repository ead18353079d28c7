"""Limits that move: by an operator's word, and by themselves with drawdown and volatility.

What is in force is always `(the file's, or an operator's) x factor`, the factor between 0 and 1,
and no operator's limit is beyond the hard caps: nothing is ever looser than that.

The changes of operators are kept; a restart folds them over the file it finds. Where the file says
something else than when a limit was changed, the tighter of the two is in force; what the file no
longer allows is left out. The limits hash names the file's limits only: it tells that all
components were given the same file, and does not move with what is changed or tightened since.

Factors are not kept: after a restart drawdown and regime are unknown, and unknown is the tightest.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import chain

from schemas.base import AccountId, Event, InstrumentId
from schemas.control import AccountMarked
from schemas.health import AlertRaised, Severity
from schemas.limits import LimitsAsked, LimitsChanged, LimitsTightened
from services.core import NOTHING
from services.gate.account import Account
from services.gate.config import AccountLimits, GateConfig, InstrumentLimits
from services.gate.config_portfolio import ONE, PortfolioLimits, TighteningStep
from services.gate.dynamic_limits_changes import LimitChanges
from services.gate.dynamic_limits_paths import Limit, Number, numbers_in
from services.gate.exposure import Lane
from services.gate.portfolio_risk import VALUE_EVERY_NS, PortfolioRisk, row_of
from services.gate.value_at_risk import rounded_up

DRAWDOWN, VOLATILITY = "drawdown", "volatility"
SCALED_ENDS = ("notional_max", "quantity_max")
UNSCALED = ("order_", "period_")
INSTRUMENT_LIMITS = numbers_in(InstrumentLimits)
ACCOUNT_LIMITS = numbers_in(AccountLimits)


def is_scaled(name: str) -> bool:
    """Return whether a limit is tightened by itself: those of what is held, by size and value.

    Limits of single orders, and of orders over a time, are not: they are there for mistakes, and a
    smaller one would only stand in the way of getting out.
    """
    return name.endswith(SCALED_ENDS) and not any(each in name for each in UNSCALED)


SCALED = tuple(name for name in (*INSTRUMENT_LIMITS, *ACCOUNT_LIMITS) if is_scaled(name))
"""The names of those limits."""


class Ladder:
    """Steps that a growing number climbs; it comes down a step only once well below it.

    Starts at the top: nothing is known yet, and that is where it stands while nothing is.

    Args:
        steps: each further along and tighter than the one before.
        release_share: a step is left below this share of its `at`.
    """

    def __init__(self, steps: Sequence[TighteningStep], release_share: Decimal) -> None:
        self._steps = steps
        self._release_share = release_share
        self._level = len(steps)
        self.why = "not known yet"

    @property
    def factor(self) -> Decimal:
        """The factor of the step it stands on; 1 below the first."""
        return self._steps[self._level - 1].factor if self._level else ONE

    def take(self, value: Decimal | None) -> bool:
        """Climb or come down to where `value` is; return whether the factor is another one."""
        before, steps = self.factor, self._steps
        if value is None:
            self._level, self.why = len(steps), "not known"
        else:
            reached = sum(step.at <= value for step in steps)
            while self._level and value < steps[self._level - 1].at * self._release_share:
                self._level -= 1
            self._level = max(self._level, reached)
            stands = f"step {steps[self._level - 1].at}" if self._level else "below every step"
            self.why = f"{value:.4f}, {stands}"
        assert 0 <= self.factor <= 1, "a factor that loosens"
        return self.factor != before


class DynamicLimits:
    """Puts limits in the place of others, in the accounts that checks read.

    Attributes:
        changes: what operators changed, and the configuration that is in force by it.
    """

    keeps: frozenset[type[Event]] = frozenset({LimitsChanged})

    def __init__(
        self, config: GateConfig, accounts: Mapping[AccountId, Account], risk: PortfolioRisk
    ) -> None:
        instruments = dict.fromkeys(chain(*(each.lanes for each in accounts.values())))
        self.changes = LimitChanges(config, tuple(instruments))
        self.wake_at_ns: int | None = None
        self._accounts, self._risk = accounts, risk
        self._drawdowns: dict[AccountId, Ladder] = {}
        self._regimes: dict[AccountId, dict[InstrumentId, Ladder]] = {}
        self._unsaid: list[Event] = []
        self._sampled_count = -1
        for key in accounts:
            row = row_of(config, key)
            if row is not None:
                self._add(key, row)
        is_moving = bool(self._drawdowns or self._regimes)
        hears: set[type[Event]] = {LimitsAsked, AccountMarked} if is_moving else {LimitsAsked}
        self.hears = frozenset(hears)

    def _add(self, account: AccountId, row: PortfolioLimits) -> None:
        """Set up the steps of one account, each ladder at its tightest."""
        if row.drawdown_steps:
            self._drawdowns[account] = Ladder(row.drawdown_steps, row.release_share)
        if row.volatility_steps:
            self._regimes[account] = {
                key: Ladder(row.volatility_steps, row.release_share)
                for key in self._accounts[account].lanes
            }
        if row.drawdown_steps or row.volatility_steps:
            self.wake_at_ns = 0
            self._refresh(account)

    def factor(self, account: AccountId, instrument: InstrumentId | None = None) -> Decimal:
        """Return what the exposure limits of an account, or its instrument, are multiplied with."""
        ladder = self._drawdowns.get(account)
        factor = ONE if ladder is None else ladder.factor
        regimes = self._regimes.get(account)
        if instrument is not None and regimes is not None:
            factor *= regimes[instrument].factor
        return factor

    def why(self, account: AccountId, instrument: InstrumentId | None = None) -> str:
        """Return, for people, what the factor comes from; empty where it is 1."""
        said: list[str] = []
        ladder = self._drawdowns.get(account)
        if ladder is not None and ladder.factor != ONE:
            said.append(f"{DRAWDOWN} {ladder.why}")
        regimes = self._regimes.get(account)
        if instrument is not None and regimes is not None and regimes[instrument].factor != ONE:
            said.append(f"{VOLATILITY} / calm {regimes[instrument].why}")
        return "; ".join(said)

    def is_moved(self, account: AccountId, instrument: InstrumentId) -> bool:
        """Return whether an instrument has a regime, or an operator's limit, of its own."""
        regimes = self._regimes.get(account)
        if regimes is not None and regimes[instrument].factor != ONE:
            return True
        return self.changes.config.instruments.get(instrument) != (
            self.changes.static.instruments.get(instrument)
        )

    def ask(self, event: LimitsAsked, now_ns: int) -> Sequence[Event]:
        """Answer an operator; a change comes before the answer, and is the caller's to fold in."""
        return self.changes.ask(event, now_ns)

    def apply(self, event: Event, now_ns: int) -> None:
        """Fold one event in; only a change of an operator is kept."""
        match event:
            case LimitsChanged():
                known = dict(self.changes.left_out)
                for limit in self.changes.take(event):
                    self._refresh_for(limit)
                if self.changes.left_out != known:
                    self._unsaid.append(_left_out(self.changes.left_out, now_ns))
                    self.wake_at_ns = now_ns
            case AccountMarked(account=account) if account in self._drawdowns:
                self._follow(account, None if event.unmarked else event.drawdown, now_ns)
                if self._unsaid:
                    self.wake_at_ns = now_ns

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Follow what fell silent, and the volatility; say what became tighter, or wider again."""
        if self.wake_at_ns is None:
            return NOTHING
        is_moving = bool(self._drawdowns or self._regimes)
        self.wake_at_ns = now_ns + VALUE_EVERY_NS if is_moving else None
        for key in self._drawdowns:
            risk = self._risk.accounts[key]
            risk.age(now_ns)
            if risk.drawdown is None:
                self._follow(key, None, now_ns)
        self._follow_volatility(now_ns)
        said, self._unsaid = self._unsaid, []
        return said

    def _follow(self, account: AccountId, drawdown: Decimal | None, now_ns: int) -> None:
        ladder = self._drawdowns[account]
        before = ladder.factor
        if ladder.take(drawdown):
            self._unsaid.append(_tightened(account, None, before, ladder, now_ns))
            self._refresh(account)

    def _follow_volatility(self, now_ns: int) -> None:
        returns = self._risk.returns
        if returns is None or returns.added_count == self._sampled_count:
            return
        self._sampled_count = returns.added_count
        for account, regimes in self._regimes.items():
            for key, ladder in regimes.items():
                regime, before = returns.regime(key), ladder.factor
                if ladder.take(None if regime is None else rounded_up(regime)):
                    self._unsaid.append(_tightened(account, key, before, ladder, now_ns))
                    self._refresh_lane(account, self._accounts[account].lanes[key])

    def _refresh_for(self, limit: Limit) -> None:
        """Put one changed limit in force, wherever it is read."""
        table, *rest = limit.tokens
        name = (rest[-1],)
        for key, account in self._accounts.items():
            if table == "instruments":
                self._refresh_lane(key, account.lanes[InstrumentId(rest[0])], name)
            elif table == "default" or key == rest[0] or table == "portfolio":
                self._refresh(key, name)

    def _refresh(self, account: AccountId, names: Sequence[str] = SCALED) -> None:
        """Put what is in force now into every instrument of an account, and into its risk."""
        for lane in self._accounts[account].lanes.values():
            self._refresh_lane(account, lane, names)
        self._refresh_groups(account)
        risk, row = self._risk.accounts.get(account), row_of(self.changes.config, account)
        if risk is not None and row is not None:
            risk.take(row, self.factor(account))

    def _refresh_groups(self, account: AccountId) -> None:
        self._accounts[account].routes.clear()
        row, factor = self.changes.config.accounts[account], self.factor(account)
        found = self._accounts[account]
        found.sectors.move(row.sectors, factor)
        found.asset_classes.move(row.asset_classes, factor)
        found.venues.move(row.venues, factor)
        found.holders.groups.move(row.strategies, factor)

    def _refresh_lane(self, account: AccountId, lane: Lane, names: Sequence[str] = SCALED) -> None:
        self._accounts[account].routes.clear()
        config, key = self.changes.config, lane.instrument.id
        own, default = config.instruments.get(key, config.default), config.default
        of_lane, of_account = self.factor(account, key), self.factor(account)
        row = config.accounts[account]
        for name in names:
            if name in INSTRUMENT_LIMITS:
                chosen = getattr(own, name)
                chosen = getattr(default, name) if chosen is None else chosen
                lane.limits.put(name, _scaled(name, chosen, of_lane))
            elif name in ACCOUNT_LIMITS:
                lane.limits.put(name, _scaled(name, getattr(row, name), of_account))


def _scaled(name: str, chosen: Number | None, factor: Decimal) -> Number | None:
    if chosen is None or factor == ONE or not is_scaled(name):
        return chosen
    return chosen * factor


def _left_out(left_out: Mapping[str, str], now_ns: int) -> AlertRaised:
    return AlertRaised(
        at_ns=now_ns,
        severity=Severity.WARNING,
        component="gate",
        code="SLU-175",
        message="limits that an operator changed before the restart are the file's again",
        fields=dict(left_out),
    )


def _tightened(
    account: AccountId,
    instrument: InstrumentId | None,
    before: Decimal,
    ladder: Ladder,
    now_ns: int,
) -> LimitsTightened:
    return LimitsTightened(
        at_ns=now_ns,
        account=account,
        cause=DRAWDOWN if instrument is None else VOLATILITY,
        factor=ladder.factor,
        before=before,
        instrument=instrument,
        why=ladder.why,
    )
