"""What could the portfolio as a whole lose, and is its margin safe.

Each check applies where the account's row of `[gate.portfolio]` chooses its limit. An order that
only closes, by quantity and with all open ones of its side filled, always passes: it must be
possible to get out. What goes through zero opens the other side, however large the one before was.
"""

from decimal import Decimal

from schemas.base import NS_PER_S
from schemas.instruments import AssetClass
from schemas.orders import Side
from services.gate.account import Account
from services.gate.case import PASS, Case, Verdict
from services.gate.check import Check
from services.gate.checks.groups import is_nobodys
from services.gate.checks.order import quotient_down
from services.gate.exposure import ZERO, Lane
from services.gate.limits import LimitMissingError
from services.gate.portfolio_risk import MARGINED, AccountRisk

_LENDING = AssetClass.LENDING
_RISKMETRICS = "J.P. Morgan, RiskMetrics Technical Document, 1996"


def health_factor(case: Case) -> Verdict:
    """Return whether the venue says that the account's loans there are safe enough.

    To take back what was supplied makes them less safe, though it closes: it is judged as borrowing
    is. To supply makes them safer, and asks only that the factor is known: where it is not, what
    goes in would not come out again. To repay asks nothing. A person's flatten may take back.

    Raises:
        LimitMissingError: the instrument is one of lending, and nobody has chosen the minimum.
    """
    if not _is_lending(case.account, case.lane):
        return PASS
    risk = case.state.risk.accounts.get(case.account.id)
    if risk is None or risk.row.health_factor_min is None:
        if case.reach <= ZERO:
            return PASS
        wanted = f"gate.portfolio.{case.account.id}.health_factor_min"
        raise LimitMissingError("health_factor_min", wanted)
    limit, venue = risk.row.health_factor_min, case.lane.instrument.venue
    if case.reach <= ZERO and (case.signal.side is Side.BUY or is_nobodys(case)):
        return PASS
    factor, received_ns = risk.health_factors.get(venue, (None, 0))
    if factor is None:
        return (False, f"{venue} has not told the health factor", str(limit))
    if _is_old(risk, received_ns, case.now_ns):
        return (False, f"{venue} told it {_age_s(received_ns, case.now_ns)} s ago", str(limit))
    return (factor >= limit or case.signal.side is Side.BUY, str(factor), str(limit))


def margin_ratio(case: Case) -> Verdict:
    """Return whether equity covers enough of what is margined, the order filled.

    What the venue says of the account must be enough too, where it says something.
    """
    risk = case.state.risk.accounts.get(case.account.id)
    if risk is None or risk.row.margin_ratio_min is None:
        return PASS
    lane, limit = case.lane, risk.row.margin_ratio_min
    if not _is_margined(case.account, lane) or case.reach <= ZERO:
        return PASS
    unknown = risk.equity_unknown or risk.margin_unknown
    if unknown or risk.equity is None:
        return (False, unknown, str(limit))
    venue = lane.instrument.venue
    ratio, received_ns = risk.margin_ratios.get(venue, (None, 0))
    if ratio is not None:
        if _is_old(risk, received_ns, case.now_ns):
            age_s = _age_s(received_ns, case.now_ns)
            return (False, f"{venue} told it {age_s} s ago", str(limit))
        if ratio < limit:
            return (False, f"{ratio} told by {venue}", str(limit))
    added = case.signal.quantity if case.reach > lane.worst else ZERO  # else it turns over at most
    margined = risk.margined + added * case.worth * risk.rate(lane)
    if not margined:
        return PASS
    is_ok = risk.equity >= limit * margined
    return (is_ok, str(quotient_down(risk.equity, margined)), str(limit))


def room_by_margin(case: Case) -> Decimal:
    """Return how much more is covered by the equity there is."""
    if margin_ratio(case)[0]:
        return case.signal.quantity
    risk = case.state.risk.accounts[case.account.id]
    limit, cost = risk.row.margin_ratio_min, case.worth * risk.rate(case.lane)
    if not limit or not cost:
        return ZERO
    if risk.equity is None or risk.margin_unknown:
        return ZERO
    return quotient_down(quotient_down(risk.equity, limit) - risk.margined, cost)


def volatility_size(case: Case) -> Verdict:
    """Return whether one standard deviation of the position costs no more than its budget."""
    risks = case.state.risk
    risk = risks.accounts.get(case.account.id)
    if risk is None:
        return PASS
    lane = case.lane
    budget = risk.budgets.get(lane.instrument.id)
    if budget is None or case.reach <= ZERO:
        return PASS
    volatility = risks.volatilities.get(lane.instrument.id)
    if volatility is None:
        return (False, risks.missing(lane.instrument.id), budget.text)
    cost = case.reach * case.worth * volatility * risk.horizon
    return (cost <= budget.value, str(cost), budget.text)


def room_by_volatility(case: Case) -> Decimal:
    """Return how much more costs no more than the budget."""
    if volatility_size(case)[0]:
        return case.signal.quantity
    risks, key = case.state.risk, case.lane.instrument.id
    risk, volatility = risks.accounts[case.account.id], risks.volatilities.get(key)
    if volatility is None:
        return ZERO
    cost = case.worth * volatility * risk.horizon
    return quotient_down(risk.budgets[key].value, cost) - (case.reach - case.signal.quantity)


def value_at_risk(case: Case) -> Verdict:
    """Return whether the account's value at risk stays small enough, the order filled."""
    risk = case.state.risk.accounts.get(case.account.id)
    if risk is None or risk.way is None or case.reach <= ZERO:
        return PASS
    limit, figure = risk.value_limit, risk.value_at_risk
    if limit is None:
        return (False, risk.equity_unknown, "a fraction of the equity")
    if figure is None:
        return (False, risk.value_unknown, limit.text)
    unit = risk.units.get(case.lane.instrument.id)
    if unit is None:
        return (False, case.state.risk.missing(case.lane.instrument.id), limit.text)
    value = figure + risk.added + case.signal.quantity * case.worth * unit
    return (value <= limit.value, str(value), limit.text)


def room_by_value_at_risk(case: Case) -> Decimal:
    """Return how much more cannot bring value at risk above its limit."""
    if value_at_risk(case)[0]:
        return case.signal.quantity
    risk = case.state.risk.accounts[case.account.id]
    limit, figure = risk.value_limit, risk.value_at_risk
    unit = risk.units.get(case.lane.instrument.id)
    if limit is None or figure is None or not unit:
        return ZERO
    return quotient_down(limit.value - figure - risk.added, case.worth * unit)


def _is_lending(account: Account, lane: Lane) -> bool:
    return lane.instrument.asset_class is _LENDING


def _has_row(account: Account, lane: Lane) -> bool:
    return account.has_portfolio_row


def _is_margined(account: Account, lane: Lane) -> bool:
    return lane.instrument.asset_class in MARGINED


def _is_old(risk: AccountRisk, received_ns: int, now_ns: int) -> bool:
    return now_ns - received_ns > risk.row.report_silence_s_max * NS_PER_S


def _age_s(received_ns: int, now_ns: int) -> int:
    return (now_ns - received_ns) // NS_PER_S


ROWS: tuple[Check, ...] = (
    Check(
        health_factor,
        "newest AccountHealthReported of the account at the instrument's venue",
        "health factor >= health_factor_min, told within report_silence_s_max, where the"
        " instrument is one of lending and the order borrows, or takes back what was supplied; told"
        " within that time, where it supplies",
        "collateral x liquidation threshold / debt",
        ("health_factor_min",),
        "S-18; a lending venue liquidates below 1",
        applies=_is_lending,
    ),
    Check(
        margin_ratio,
        "newest AccountMarked; worst case of futures and perpetuals, at most a second old, and all"
        " approved since; the venue's own word where there is one",
        "equity / sum of worst cases x margin rate, the order filled, >= margin_ratio_min",
        "ratio",
        ("margin_ratio_min", "margin_rates"),
        "S-18",
        room=room_by_margin,
        applies=lambda account, lane: account.has_portfolio_row and _is_margined(account, lane),
    ),
    Check(
        volatility_size,
        "position, open orders of the side; returns of the sampled mid prices",
        "(position + open + quantity) x price x sigma x sqrt(risk_horizon_s / every_s)"
        " <= risk_budget; sigma^2 = sum(decay^k r_k^2) / sum(decay^k)",
        "account currency",
        ("risk_budget", "risk_budgets"),
        f"G-04; {_RISKMETRICS}",
        room=room_by_volatility,
        applies=_has_row,
    ),
    Check(
        value_at_risk,
        "positions and returns, at most a second old; open orders, all approved since, the order",
        "value at risk of what is held + the most that each order can add <= amount_max,"
        " fraction_max x equity; historical -quantile, parametric z x sigma, x sqrt(horizon)",
        "account currency",
        ("value_at_risk",),
        f"G-03; {_RISKMETRICS}",
        room=room_by_value_at_risk,
        applies=_has_row,
    ),
)
