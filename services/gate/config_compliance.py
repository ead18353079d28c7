"""What the gate may be told about compliance: regimes with dates, by account.

Which rules hold for an account is a matter of its broker and of its owner, and changes: nothing
here is guessed. None is "nobody has chosen this", and denies wherever the rule could apply; "none"
is a choice.
"""

import enum
from decimal import Decimal
from itertools import pairwise

import msgspec

from schemas.base import AccountId, InstrumentId
from services.gate.compliance_days import date_ns

DEFAULT = AccountId("default")
"""Row for accounts that have none of their own."""

INTRADAY_MARGIN_FROM = "2026-06-04"
"""FINRA Regulatory Notice 26-10: from this day a member may apply the intraday margin rule, and
until 20 October 2027 it may phase it in: which day it is, the broker says."""


class DayTrading(enum.StrEnum):
    """What restricts trading in and out within a day."""

    NONE = "none"
    """Nothing: a cash account, a broker outside the rule, a venue that is not one of securities."""

    PATTERN_DAY_TRADER = "pattern_day_trader"
    """FINRA rule 4210(f)(8)(B), as in force until 4 June 2026."""

    INTRADAY_MARGIN = "intraday_margin"
    """FINRA rule 4210(d)(2), SR-FINRA-2025-017, SEC release 34-105226 of 14 April 2026."""


class DayTradingSwitch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From this date on, another regime is in force: the broker's own switch date."""

    on: str
    """First day of the new regime: `2026-11-02`; from midnight UTC."""

    to: DayTrading
    """The new regime."""


class WashSale(enum.StrEnum):
    """What happens to an order that would make a wash sale (26 U.S.C. 1091)."""

    NONE = "none"
    WARN = "warn"
    """It passes; the decision and an alert say so."""

    BLOCK = "block"


class SelfTrade(enum.StrEnum):
    """What happens to an order that could trade with a resting one of the same owner."""

    NONE = "none"
    REJECT_NEWEST = "reject_newest"
    """The new order is denied; what rests goes on resting. The gate cancels nothing by itself:
    cancel-oldest and decrement are the venue's to do."""


class Locate(enum.StrEnum):
    """Whether a short sale needs shares that were located (SEC Regulation SHO)."""

    NONE = "none"
    REQUIRED = "required"


class Restricted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of the restricted list."""

    instrument: InstrumentId
    """What may not be traded; `*` is everything."""

    since: str = ""
    """First day of it, from midnight UTC; empty: from ever."""

    until: str = ""
    """Last day of it, to midnight UTC; empty: for ever."""

    may_reduce: bool = False
    """Whether orders pass that can only reduce what is held."""

    reason: str = ""
    """For people: shown in the denial."""

    def __post_init__(self) -> None:
        """Refuse what is no date, and an end before the beginning.

        Raises:
            ValueError: names the field.
        """
        begin_ns, end_ns = bounds_ns(self)
        if begin_ns >= end_ns:
            raise ValueError(f"until: found {self.until}, wanted {self.since} or later")


def bounds_ns(row: Restricted) -> tuple[int, int]:
    """Return the first ns that a row holds, and the first that it does not any more."""
    begin_ns = _date_of("since", row.since) if row.since else 0
    day_ns = 86_400 * 1_000_000_000
    end_ns = _date_of("until", row.until) + day_ns if row.until else 1 << 63
    return begin_ns, end_ns


class ComplianceRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[gate.compliance.<account>]`: what holds for one account."""

    day_trading: DayTrading | None = None
    """none, pattern_day_trader or intraday_margin. Read for equities and options."""

    day_trading_switches: tuple[DayTradingSwitch, ...] = ()
    """Later regimes, with the dates from which they hold, in order."""

    calendar: str = ""
    """Whose business days count: `XNYS`. Wanted with any day trading regime but none, with
    locates, and with wash sales; empty: `24x7`, days from midnight UTC, for locates and wash
    sales, and a denial for day trading."""

    pattern_day_trades: int = 4
    """Day trades in five business days that make a pattern day trader; a count."""

    pattern_share_max: Decimal = Decimal("0.06")
    """Day trades as a fraction of all trades in those days up to which they make none."""

    pattern_equity_min: Decimal = Decimal(25_000)
    """Equity from which a pattern day trader may day trade, in the account's currency."""

    pattern_cleared_on: str = ""
    """The day on which the broker took the designation back: what was before does not count."""

    may_close_day_trades: bool = False
    """Whether a reduce-only order passes although it makes a day trade: one can always get out,
    and the broker may restrict the account for it."""

    margin_long: Decimal = Decimal("0.25")
    """Maintenance margin of a long position as a fraction of its value (4210(c)(1)); more where
    the house wants more."""

    margin_short: Decimal = Decimal("0.30")
    """The same of a short position (4210(c)(3))."""

    margin_rates: dict[InstrumentId, Decimal] = {}
    """Fractions for single instruments, either way. An option without one is denied under the
    intraday margin rule: its margin depends on what it is held with. It is sold short under that
    rule only: its price says little of what it may lose, so its rate may well be above 1."""

    deficit_share_ignored: Decimal = Decimal("0.05")
    """A deficit up to this fraction of the equity, and up to `deficit_amount_ignored`, is none."""

    deficit_amount_ignored: Decimal = Decimal(1_000)
    """See `deficit_share_ignored`; in the account's currency."""

    deficit_days: int = 5
    """Business days in which a deficit is to be satisfied."""

    deficit_freeze_days: int = 90
    """Calendar days for which an account may only close after one that was not; 0: none."""

    frozen_until: str = ""
    """Last day of a freeze that the broker has told of: until then only closing passes."""

    wash_sale: WashSale | None = None
    """none, warn or block. Read for equities and options."""

    identical: dict[str, tuple[InstrumentId, ...]] = {}
    """Groups of instruments that are substantially identical, by a name of your own."""

    short_locate: Locate | None = None
    """none or required. Read for short sales of equities."""

    located: dict[InstrumentId, Decimal] = {}
    """Quantity located for every day, by instrument; not for those that are hard to borrow."""

    easy_to_borrow: tuple[InstrumentId, ...] = ()
    """Instruments on the lender's easy-to-borrow list: no locate of their own."""

    hard_to_borrow: tuple[InstrumentId, ...] = ()
    """Instruments for which only locates granted on the very day count."""

    self_trade: SelfTrade | None = None
    """none or reject_newest. Read for every order."""

    owner: str = ""
    """Beneficial owner: accounts of one owner may not trade with each other; empty: the account."""

    restricted: tuple[Restricted, ...] = ()
    """What may not be traded, and when."""

    @property
    def regimes(self) -> tuple[DayTrading | None, ...]:
        """Every day trading regime that is in force at some time."""
        return (self.day_trading, *(each.to for each in self.day_trading_switches))

    @property
    def is_idle(self) -> bool:
        """Whether none of the rules needs to know what was traded."""
        return (
            set(self.regimes) == {DayTrading.NONE}
            and self.wash_sale is WashSale.NONE
            and self.short_locate is Locate.NONE
            and self.self_trade is SelfTrade.NONE
        )

    def __post_init__(self) -> None:
        """Refuse what no rule can be made from.

        Raises:
            ValueError: names the field.
        """
        self._refuse_switches()
        for name in ("pattern_cleared_on", "frozen_until"):
            if getattr(self, name):
                _date_of(name, getattr(self, name))
        for name in ("margin_long", "margin_short", "pattern_share_max", "deficit_share_ignored"):
            _refuse_fraction(name, getattr(self, name))
        for name in ("pattern_day_trades", "deficit_days"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: found {getattr(self, name)}, wanted 1 or more")
        for key, rate in self.margin_rates.items():
            if not rate.is_finite() or rate <= 0:
                raise ValueError(f"margin_rates.{key}: found {rate}, wanted a number > 0")
        both = [key for key in self.easy_to_borrow if key in self.hard_to_borrow]
        if both:
            raise ValueError(f"easy_to_borrow: found {', '.join(both)} in hard_to_borrow too")

    def _refuse_switches(self) -> None:
        dates = [_date_of("day_trading_switches", each.on) for each in self.day_trading_switches]
        if any(later <= earlier for earlier, later in pairwise(dates)):
            raise ValueError("day_trading_switches: wanted each later than the one before")
        first_ns = date_ns(INTRADAY_MARGIN_FROM)
        for switch, on_ns in zip(self.day_trading_switches, dates, strict=True):
            if switch.to is DayTrading.INTRADAY_MARGIN and on_ns < first_ns:
                raise ValueError(
                    f"day_trading_switches: found intraday_margin on {switch.on}, "
                    f"wanted {INTRADAY_MARGIN_FROM} or later"
                )


def rules_of(rows: dict[AccountId, ComplianceRules], account: AccountId) -> ComplianceRules | None:
    """Return the rules of an account: its own row, or that of `default`; None without either."""
    return rows.get(account, rows.get(DEFAULT))


def _date_of(name: str, text: str) -> int:
    try:
        return date_ns(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _refuse_fraction(name: str, value: Decimal) -> None:
    if not (value.is_finite() and 0 <= value <= 1):
        raise ValueError(f"{name}: found {value}, wanted 0 to 1")
