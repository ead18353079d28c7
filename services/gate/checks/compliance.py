"""What the law, the broker and the owner forbid: chosen explicitly, by account, with dates."""

from decimal import Decimal

from schemas.instruments import AssetClass
from schemas.orders import Side
from services.calendars.calendar import DAY_NS
from services.gate.account import Account
from services.gate.case import PASS, Case, Verdict
from services.gate.check import Check
from services.gate.checks.groups import is_nobodys
from services.gate.compliance import WASH_RULE
from services.gate.compliance_account import EVERYTHING, AccountCompliance
from services.gate.compliance_day_trades import Makes
from services.gate.compliance_margin import SECURITIES
from services.gate.config_compliance import DayTrading, Locate, SelfTrade, WashSale
from services.gate.exposure import Lane
from services.gate.limits import LimitMissingError

ZERO = Decimal(0)
_BUY, _EQUITY, _OPTION = Side.BUY, AssetClass.EQUITY, AssetClass.OPTION
_PATTERN, _INTRADAY = DayTrading.PATTERN_DAY_TRADER, DayTrading.INTRADAY_MARGIN
_SELF_NONE, _WASH_NONE, _LOCATE_NONE = SelfTrade.NONE, WashSale.NONE, Locate.NONE


def restricted_list(case: Case) -> Verdict:
    """Return whether the instrument is not on the account's restricted list today."""
    mine = case.state.compliance.accounts.get(case.account.id)
    if mine is None or not mine.restricted:
        return PASS
    now_ns, is_reducing = case.now_ns, case.reach <= ZERO
    for name in (case.signal.instrument, EVERYTHING):
        for row in mine.restricted.get(name, ()):
            is_due = row.begin_ns <= now_ns < row.end_ns
            if is_due and not (row.may_reduce and is_reducing):
                wanted = "an order that only reduces" if row.may_reduce else "none"
                return (False, f"{name} is restricted: {row.reason or 'no reason given'}", wanted)
    return PASS


def self_trade(case: Case) -> Verdict:
    """Return whether the order can meet no resting one of the same beneficial owner.

    Mode `reject_newest`: the new order is denied, what rests goes on resting.

    Raises:
        LimitMissingError: nobody has chosen a mode.
    """
    mine = case.state.compliance.accounts.get(case.account.id)
    mode = None if mine is None else mine.rules.self_trade
    if mode is _SELF_NONE:
        return PASS
    if mine is None or mode is None:
        raise _missing(case, "self_trade")
    crossed = mine.resting.crossed_by(case.signal)
    return PASS if crossed is None else (False, f"crosses own order {crossed}", mode)


def pattern_day_trader(case: Case) -> Verdict:
    """Return whether the order makes no day trade that a small account may not make.

    Open orders count at worst case: each that could make a day trade does, and where orders of
    both sides are open, they could fill in turn any number of times.

    Raises:
        LimitMissingError: nobody has chosen a day trading regime, or its calendar.
    """
    if case.lane.instrument.asset_class not in SECURITIES:
        return PASS
    mine = case.state.compliance.accounts.get(case.account.id)
    regime = None if mine is None else mine.regime(case.now_ns)
    if regime is DayTrading.NONE or regime is _INTRADAY:
        return PASS
    if mine is None or regime is None:
        raise _missing(case, "day_trading")
    if not mine.rules.calendar:
        raise _missing(case, "calendar")
    return _day_trades(case, mine)


def _day_trades(case: Case, mine: AccountCompliance) -> Verdict:
    signal, rules = case.signal, mine.rules
    day_ns = mine.days.day_of(case.now_ns)
    if day_ns is None:
        return (False, f"the calendar {rules.calendar} does not reach today", "a newer calendar")
    makes = mine.day_trades.makes(case.lane, signal.side, day_ns)
    if makes is Makes.NOTHING or (rules.may_close_day_trades and signal.is_reduce_only):
        return PASS
    done, trades = mine.counted(day_ns)
    limit = f"{rules.pattern_day_trades} day trades, or equity {rules.pattern_equity_min}"
    equity = mine.equity(case.now_ns)
    if equity is not None and equity >= rules.pattern_equity_min:
        return (True, f"{done} day trades, equity {equity}", limit)
    told = mine.equity_text(case.now_ns)
    if mine.designated:
        return (False, f"a pattern day trader ({mine.designated}), equity {told}", limit)
    if makes is Makes.ANY_NUMBER:
        return (False, f"open orders of the other side, equity {told}", limit)
    pending = mine.pending.get(day_ns, 0) + 1
    is_ok = not mine.is_pattern(done + pending, trades + pending)
    return (is_ok, f"{done} day trades and {pending} pending, equity {told}", limit)


def intraday_margin(case: Case) -> Verdict:
    """Return whether the order creates or increases no deficit of maintenance margin.

    Raises:
        LimitMissingError: nobody has chosen a day trading regime, its calendar, or the margin of
            an option.
    """
    instrument = case.lane.instrument
    if instrument.asset_class not in SECURITIES:
        return PASS
    mine = case.state.compliance.accounts.get(case.account.id)
    if mine is None or mine.regime(case.now_ns) is not _INTRADAY:
        return PASS
    if not mine.rules.calendar:
        raise _missing(case, "calendar")
    if case.reach <= ZERO:
        return PASS
    rates = mine.margin.rates(instrument)
    if rates is None:
        raise _missing(case, f'margin_rates."{instrument.id}"')
    return _margin(case, mine, _raised(case, *rates))


def _raised(case: Case, long_rate: Decimal, short_rate: Decimal) -> Decimal:
    """Return how much more margin the worst case of the instrument takes, by unit of price."""
    lane, reach = case.lane, case.reach
    long = (lane.position + lane.buys) * long_rate
    short = (lane.sells - lane.position) * short_rate
    before = max(long, short)
    after = (
        max(reach * long_rate, short) if case.signal.side is _BUY else max(long, reach * short_rate)
    )
    return max(ZERO, after - before)


def _margin(case: Case, mine: AccountCompliance, fraction: Decimal) -> Verdict:
    margin, equity = mine.margin, mine.is_marked(case.now_ns)
    if case.now_ns < margin.frozen_until_ns:
        return (False, f"closing only until {margin.frozen_until_ns} ns", "an order that closes")
    if equity is None:
        return (False, "the equity is not known", "a valuation of the account")
    if margin.unpriced:
        return (False, "no price for " + ", ".join(margin.unpriced), str(equity))
    required = margin.required + fraction * case.worth
    return (required <= equity, str(required), str(equity))


def short_option(case: Case) -> Verdict:
    """Return whether margin is counted for an option that is sold short.

    Everything else counts it at its price, and its price is not what it may lose. Margin is counted
    under the intraday rule, at the rate chosen for the option; what may cover it does not count.
    """
    key = case.signal.instrument
    if case.signal.side is _BUY or case.lane.instrument.asset_class is not _OPTION:
        return PASS
    if case.reach <= ZERO:
        return PASS
    mine = case.state.compliance.accounts.get(case.account.id)
    is_margined = mine is not None and mine.regime(case.now_ns) is _INTRADAY
    if mine is not None and is_margined and key in mine.rules.margin_rates:
        return PASS
    rule = f"gate.compliance.{case.account.id}"
    wanted = f'{rule}.day_trading {_INTRADAY} and {rule}.margin_rates."{key}"'
    return (False, "no margin is counted for a short option", wanted)


def wash_sale(case: Case) -> Verdict:
    """Return whether the order washes no loss, whatever fills; with `warn`, it passes and says so.

    Raises:
        LimitMissingError: nobody has chosen a mode.
    """
    lane, signal = case.lane, case.signal
    if lane.instrument.asset_class not in SECURITIES:
        return PASS
    mine = case.state.compliance.accounts.get(case.account.id)
    mode = None if mine is None else mine.rules.wash_sale
    if mode is _WASH_NONE:
        return PASS
    if mine is None or mode is None:
        raise _missing(case, WASH_RULE)
    day_ns = mine.days.day_of(case.now_ns)
    if day_ns is None:
        return (False, "the calendar does not reach today", "a newer calendar")
    if is_nobodys(case):  # a person's flatten
        return PASS
    found = mine.wash.found(signal, day_ns // DAY_NS, is_opening=case.reach > ZERO)
    return (mode is WashSale.WARN, found, mode) if found else PASS


def short_locate(case: Case) -> Verdict:
    """Return whether shares are located for all that is sold short on the day.

    Raises:
        LimitMissingError: nobody has chosen whether locates are required.
    """
    lane, signal = case.lane, case.signal
    if signal.side is _BUY or lane.instrument.asset_class is not _EQUITY or case.reach <= ZERO:
        return PASS
    mine = case.state.compliance.accounts.get(case.account.id)
    mode = None if mine is None else mine.rules.short_locate
    if mode is _LOCATE_NONE:
        return PASS
    if mine is None or mode is None:
        raise _missing(case, "short_locate")
    if signal.instrument in mine.locates.easy:
        return PASS
    day_ns = mine.days.day_of(case.now_ns)
    if day_ns is None:
        return (False, "the calendar does not reach today", "a newer calendar")
    opening = case.reach - max(ZERO, -lane.position)
    short = mine.locates.sold(signal.instrument, day_ns) + opening
    located = mine.locates.located(signal.instrument, day_ns)
    return (short <= located, str(short), str(located))


def _missing(case: Case, name: str) -> LimitMissingError:
    return LimitMissingError(name, f"gate.compliance.{case.account.id}.{name}")


def _is_listed(account: Account, lane: Lane) -> bool:
    return account.rules is not None and bool(account.rules.restricted)


def _minds_itself(account: Account, lane: Lane) -> bool:
    return account.rules is None or account.rules.self_trade is not _SELF_NONE


def _day_trades_securities(account: Account, lane: Lane) -> bool:
    regimes = (None,) if account.rules is None else account.rules.regimes
    is_asked = any(regime is None or regime is _PATTERN for regime in regimes)
    return is_asked and lane.instrument.asset_class in SECURITIES


def _margins_securities(account: Account, lane: Lane) -> bool:
    is_asked = account.rules is not None and _INTRADAY in account.rules.regimes
    return is_asked and lane.instrument.asset_class in SECURITIES


def _is_option(account: Account, lane: Lane) -> bool:
    return lane.instrument.asset_class is _OPTION


def _washes(account: Account, lane: Lane) -> bool:
    is_asked = account.rules is None or account.rules.wash_sale is not _WASH_NONE
    return is_asked and lane.instrument.asset_class in SECURITIES


def _needs_locates(account: Account, lane: Lane) -> bool:
    is_asked = account.rules is None or account.rules.short_locate is not _LOCATE_NONE
    return is_asked and lane.instrument.asset_class is _EQUITY


ROWS: tuple[Check, ...] = (
    Check(
        restricted_list,
        "signal.instrument, the date; position and open orders where reducing is allowed",
        "no row of `restricted` for the instrument or * holds today, or the order only reduces and"
        " the row lets that pass",
        "",
        ("restricted",),
        "G-06; 15c3-5(c)(2)(ii), restricted securities",
        applies=_is_listed,
    ),
    Check(
        self_trade,
        "limit or stop price; open orders of all accounts of the owner that may rest",
        "no own resting buy as high, or sell as low, as the order goes",
        "",
        ("self_trade", "owner"),
        "G-06; FINRA rule 5210.02, self-trades; mode reject_newest",
        applies=_minds_itself,
    ),
    Check(
        pattern_day_trader,
        "executions and open orders of five business days; AccountMarked, the newest and the day's"
        " first (after a restart within the day: not known until the next day)",
        "day trades + those that open orders and this one could make < pattern_day_trades, or"
        " <= pattern_share_max of trades, or equity >= pattern_equity_min",
        "day trades",
        ("day_trading", "pattern_day_trades", "pattern_share_max", "pattern_equity_min"),
        "G-06; FINRA rule 4210(f)(8)(B), replaced on 4 June 2026, phased in until 20 October 2027",
        applies=_day_trades_securities,
    ),
    Check(
        intraday_margin,
        "worst case of equities and options, at most a second old, and all approved since; equity",
        "sum of worst cases x maintenance margin, the order filled, <= equity, or the order does"
        " not raise the worst case; nothing but closing while an account is frozen",
        "account currency; limit is the equity",
        ("day_trading", "margin_long", "margin_short", "margin_rates"),
        "G-06; FINRA rule 4210(d)(2), SR-FINRA-2025-017, SEC release 34-105226 (91 FR 20731),"
        " Regulatory Notice 26-10, from 4 June 2026",
        applies=_margins_securities,
    ),
    Check(
        short_option,
        "position, open sells; the regime in force, the option's own margin rate",
        "an option is sold only as far as it is held, open sells counted, or its margin is counted:"
        " day_trading is intraday_margin, and margin_rates has a rate for it",
        "",
        ("day_trading", "margin_rates"),
        "G-06; FINRA rule 4210(f)(2), margin of short options",
        applies=_is_option,
    ),
    Check(
        wash_sale,
        "executions of 30 days and open orders, by group; average cost; limit or stop price, or the"
        " touch",
        "no opening within 30 days after a loss in the group, or while an open order may take one;"
        " no closing at a loss while what was opened within 30 days before stays held, or an open"
        " order may open more; `warn` passes and says so",
        "",
        ("wash_sale", "identical"),
        "G-06; 26 U.S.C. 1091",
        applies=_washes,
    ),
    Check(
        short_locate,
        "executions of the day, position, open sells; LocateGranted of the day, configured locates",
        "sold short today + open short sales + quantity <= located for the day",
        "units; limit is what is located",
        ("short_locate", "located", "easy_to_borrow", "hard_to_borrow"),
        "G-06; SEC Regulation SHO, 17 CFR 242.203(b)(1)",
        applies=_needs_locates,
    ),
)
