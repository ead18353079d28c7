"""One account's compliance: its rules, and the fold of what it did and was granted."""

from decimal import Decimal

import msgspec

from schemas.base import NS_PER_S, OrderId
from schemas.compliance import LocateGranted, MarginDeficitEnded, MarginDeficitNoted
from schemas.control import AccountMarked
from schemas.executions import BookAdopted, ExecutionEvent, OrderFilled
from schemas.orders import Order, OrderApproved, Side
from services.calendars.calendar import DAY_NS
from services.calendars.named import ALL_DAY, calendar_named
from services.gate.access_credit import Realised
from services.gate.account import Account
from services.gate.compliance_crossing import Resting
from services.gate.compliance_day_trades import DAYS, DayTrades, Makes
from services.gate.compliance_days import BusinessDays, date_ns
from services.gate.compliance_locates import Locates
from services.gate.compliance_margin import SECURITIES, Margin
from services.gate.compliance_wash import WashSales
from services.gate.config_compliance import (
    ComplianceRules,
    DayTrading,
    WashSale,
    bounds_ns,
)
from services.gate.exposure import Lane

MARK_SILENCE_NS = 10 * NS_PER_S
"""Oldest valuation of an account that its equity is taken from."""

EVERYTHING = "*"


class Watched(msgspec.Struct):
    """One open order, as compliance follows it."""

    order: Order
    day_trade_ns: int
    """The day on which it could make a day trade; 0: it could not."""

    has_filled: bool = False


class Row(msgspec.Struct, frozen=True):
    """One row of the restricted list, with its days in ns since the epoch."""

    begin_ns: int
    end_ns: int
    may_reduce: bool
    reason: str


class AccountCompliance:
    """What holds for one account, and what it did.

    Attributes:
        rules: as configured.
        is_idle: whether none of them needs to know what was traded.
        days: its business days.
        day_trades, margin, wash, locates: see there.
        watched: its open orders.
        pending: orders that could make a day trade, by the day on which they could.
        designated: what made it a pattern day trader; empty while nothing did.
        restricted: rows of the restricted list, by instrument.
        resting: what rests of its owner, in whatever account.
    """

    def __init__(self, account: Account, rules: ComplianceRules, resting: Resting) -> None:
        self.account = account
        self.rules = rules
        self.is_idle = rules.is_idle
        self.days = BusinessDays(calendar_named(rules.calendar or ALL_DAY))
        self.day_trades = DayTrades()
        self.margin = Margin(account.id, rules)
        self.wash = WashSales(rules.identical, account.lanes)
        self.locates = Locates(rules)
        self.realised = Realised(account.lanes)
        self.watched: dict[OrderId, Watched] = {}
        self.pending: dict[int, int] = {}
        self.designated = ""
        self.restricted: dict[str, list[Row]] = {}
        for each in rules.restricted:
            row = Row(*bounds_ns(each), each.may_reduce, each.reason)
            self.restricted.setdefault(each.instrument, []).append(row)
        self.resting = resting
        self._switches = [(date_ns(each.on), each.to) for each in rules.day_trading_switches]
        self._cleared_ns = date_ns(rules.pattern_cleared_on) if rules.pattern_cleared_on else 0
        self._fill_count = 0
        self._mark: AccountMarked | None = None
        self._opening: tuple[int, Decimal] | None = None  # a day, and its first equity

    def regime(self, now_ns: int) -> DayTrading | None:
        """Return the day trading regime in force; None where nobody has chosen one."""
        regime = self.rules.day_trading
        for from_ns, later in self._switches:
            if now_ns < from_ns:
                break
            regime = later
        return regime

    def equity(self, now_ns: int) -> Decimal | None:
        """Return the smaller of the equity now and at the day's first valuation; None: unknown."""
        mark = self._mark
        if mark is None or mark.unmarked or now_ns - mark.at_ns > MARK_SILENCE_NS:
            return None
        if self._opening is None or self._opening[0] != self.days.day_of(now_ns):
            return mark.equity
        return min(mark.equity, self._opening[1])

    def is_marked(self, now_ns: int) -> Decimal | None:
        """Return the equity by the newest valuation; None where it is too old or not complete."""
        mark = self._mark
        is_known = mark is not None and not mark.unmarked
        is_known = is_known and mark is not None and now_ns - mark.at_ns <= MARK_SILENCE_NS
        return mark.equity if is_known and mark is not None else None

    def counted(self, day_ns: int) -> tuple[int, int]:
        """Return day trades and trades of the five business days that end with `day_ns`."""
        first_ns = max(self.days.first_of(day_ns, DAYS), self._cleared_ns)
        return self.day_trades.counted(first_ns)

    def approve(self, event: OrderApproved) -> None:
        """Watch an approved order, and count its margin."""
        order = event.order
        lane = self.account.lanes.get(order.instrument)
        if lane is None or order.order_id in self.watched:
            return
        self.margin.approve(lane.instrument, event.notional)
        self._watch(order, lane, event.at_ns)

    def execution(self, event: ExecutionEvent) -> None:
        """Follow an order; fold an execution once."""
        if isinstance(event, OrderFilled):
            self._fill(event)
        entry = self.account.orders.get(event.order_id)
        if entry is None:
            self._let_go(event.order_id)
        elif event.order_id not in self.watched:  # none of ours: the executor told of it
            self._watch(entry.order, self.account.lanes[entry.order.instrument], event.at_ns)

    def adopt(self, event: BookAdopted) -> None:
        """Take the executor's book: what is open, and what everything cost."""
        self.realised.adopt(event.book)
        for order_id in [each for each in self.watched if each not in self.account.orders]:
            self._let_go(order_id)
        for order_id, entry in self.account.orders.items():
            if order_id not in self.watched:
                self._watch(entry.order, self.account.lanes[entry.order.instrument], event.at_ns)

    def mark(self, event: AccountMarked) -> None:
        """Take a valuation."""
        self._mark = event
        day_ns = self.days.day_of(event.at_ns)
        is_new = self._opening is None or self._opening[0] != day_ns
        if day_ns is not None and is_new and not event.unmarked:
            self._opening = (day_ns, event.equity)

    def grant(self, event: LocateGranted) -> None:
        """Take a locate."""
        day_ns = self.days.day_of(event.at_ns)
        if day_ns is not None:
            self.locates.grant(event, day_ns)

    def value(self, now_ns: int) -> list[MarginDeficitNoted | MarginDeficitEnded]:
        """Sum up the margin; return what is new about deficits."""
        self.margin.value(self.account.lanes.values())
        equity = self.is_marked(now_ns)
        if equity is None or self.margin.unpriced:
            return []
        return self.margin.judge(equity, now_ns, self.days)

    def _fill(self, event: OrderFilled) -> None:
        count = self.account.portfolio.fill_count
        if count == self._fill_count:
            return  # the account did not take it either: a repeat, or in its book already
        self._fill_count = count
        lane = self.account.lanes[event.instrument]
        signed = event.quantity if event.side is Side.BUY else -event.quantity
        before = lane.position - signed
        gain = self.realised.fill(event)
        day_ns = self.days.day_of(event.at_ns)
        if day_ns is None or lane.instrument.asset_class not in SECURITIES:
            return
        self._count(event, day_ns, before, signed)
        if self.rules.wash_sale not in (None, WashSale.NONE):
            self.wash.execute(event.instrument, day_ns // DAY_NS, before, signed, gain)
        self.locates.sell(event.instrument, day_ns, before, signed)

    def _count(self, event: OrderFilled, day_ns: int, before: Decimal, signed: Decimal) -> None:
        watched = self.watched.get(event.order_id)
        if watched is not None and not watched.has_filled:
            watched.has_filled = True
            self.day_trades.trade(day_ns)
        if not self.day_trades.execute(event.instrument, day_ns, before, signed):
            return
        self.day_trades.forget_before(self.days.first_of(day_ns, DAYS))
        done, trades = self.counted(day_ns)
        if day_ns >= self._cleared_ns and self.is_pattern(done, trades):
            self.designated = f"{done} day trades of {trades} trades in {DAYS} business days"

    def is_pattern(self, day_trades: int, trades: int) -> bool:
        """Return whether so many day trades of so many trades make a pattern day trader."""
        rules = self.rules
        is_many = day_trades >= rules.pattern_day_trades
        return is_many and day_trades > trades * rules.pattern_share_max

    def _watch(self, order: Order, lane: Lane, at_ns: int) -> None:
        self.resting.add(order)
        day_ns = self.days.day_of(at_ns)
        makes = Makes.NOTHING
        if day_ns is not None and lane.instrument.asset_class in SECURITIES:
            makes = self.day_trades.makes(lane, order.side, day_ns)
        flagged_ns = 0 if makes is Makes.NOTHING or day_ns is None else day_ns
        self.watched[order.order_id] = Watched(order, flagged_ns)
        if flagged_ns:
            self.pending[flagged_ns] = self.pending.get(flagged_ns, 0) + 1

    def _let_go(self, order_id: OrderId) -> None:
        watched = self.watched.pop(order_id, None)
        if watched is None:
            return
        self.resting.remove(watched.order)
        flagged_ns = watched.day_trade_ns
        if flagged_ns:
            self.pending[flagged_ns] -= 1
            if not self.pending[flagged_ns]:
                del self.pending[flagged_ns]
