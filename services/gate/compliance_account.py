"""One account's compliance: its rules, and the fold of what it did and was granted."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from schemas.base import NS_PER_S, OrderId
from schemas.compliance import (
    LocateGranted,
    MarginDeficitEnded,
    MarginDeficitNoted,
    OpeningEquityNoted,
)
from schemas.control import AccountMarked
from schemas.executions import BookAdopted, ExecutionEvent, OrderFilled
from schemas.orders import Order, OrderApproved
from services.calendars.calendar import DAY_NS
from services.calendars.named import ALL_DAY, calendar_named
from services.gate.access_credit import Realised
from services.gate.account import Account
from services.gate.compliance_crossing import Resting
from services.gate.compliance_day_trades import DAYS, DayTrades, Makes
from services.gate.compliance_days import BusinessDays, date_ns
from services.gate.compliance_locates import Locates
from services.gate.compliance_margin import SECURITIES, Margin
from services.gate.compliance_missed import Execution, Told, gain_of
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

_PATTERN = DayTrading.PATTERN_DAY_TRADER
EVERYTHING = "*"
PAIR = 2
"""Executions of which one closes what the other opened, whichever was first."""


class Watched(msgspec.Struct):
    """One open order, as compliance follows it."""

    order: Order
    day_trade_ns: int
    """The day on which it could make a day trade; 0: it could not."""


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
        self.locates = Locates(rules)
        self.realised = Realised(account.lanes)
        self.wash = WashSales(rules.identical, account, self.realised)
        self._has_washes = rules.wash_sale not in (None, WashSale.NONE)
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
        self._told = Told()
        self._has_book = False
        self._fill_count = 0
        self._mark: AccountMarked | None = None
        self._opening: tuple[int, Decimal] | None = None  # a day, and its first equity
        self._forgotten_ns: int | None = None  # a day whose opening the process before this one saw

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
        day_ns = self.days.day_of(now_ns)
        if day_ns is not None and day_ns == self._forgotten_ns:
            return None
        if self._opening is None or self._opening[0] != day_ns:
            return mark.equity
        return min(mark.equity, self._opening[1])

    def equity_text(self, now_ns: int) -> str:
        """Return the same for people."""
        equity, day_ns = self.equity(now_ns), self.days.day_of(now_ns)
        if equity is None and day_ns is not None and day_ns == self._forgotten_ns:
            return "of the day's start not known since the restart"
        return "unknown" if equity is None else str(equity)

    def restarted(self, now_ns: int) -> None:
        """Know what the day began with only if it was noted, where it began before this process."""
        day_ns = self.days.day_of(now_ns)
        is_noted = self._opening is not None and self._opening[0] == day_ns
        is_begun = day_ns is not None and day_ns < now_ns
        self._forgotten_ns = day_ns if is_begun and not is_noted else None

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
        """Take the executor's book: what is open, what everything cost, and what was missed."""
        known = self.realised.positions
        self.realised.adopt(event.book)
        lanes, is_first, self._has_book = self.account.lanes, not self._has_book, True
        missed = self._told.missed(event.book, lanes, None if is_first else known)
        for key, each in missed.items():
            after = None if is_first else self.realised.positions.get(key)
            self._catch_up(lanes[key], each, gain_of(lanes[key], known.get(key), after))
        for order_id in [each for each in self.watched if each not in self.account.orders]:
            self._let_go(order_id)
        for order_id, entry in self.account.orders.items():
            if order_id not in self.watched:
                self._watch(entry.order, self.account.lanes[entry.order.instrument], event.at_ns)

    def mark(self, event: AccountMarked) -> OpeningEquityNoted | None:
        """Take a valuation; return the day's first one, where that is to be remembered."""
        self._mark = event
        day_ns = self.days.day_of(event.at_ns)
        is_new = self._opening is None or self._opening[0] != day_ns
        if day_ns is None or event.unmarked or not is_new:
            return None
        self._opening = (day_ns, event.equity)
        if day_ns == self._forgotten_ns or self.regime(event.at_ns) is not _PATTERN:
            return None  # what came after the begin of the day is no opening
        return OpeningEquityNoted(
            at_ns=event.at_ns, account=self.account.id, day_ns=day_ns, equity=event.equity
        )

    def opened(self, event: OpeningEquityNoted) -> None:
        """Take what a day began with, as it was noted before a restart."""
        self._opening = (event.day_ns, event.equity)

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
        signed = event.signed_quantity
        gain = self.realised.fill(event)
        is_first = self._told.tell(event.order_id, event.quantity)
        day_ns = self._day_in(lane, event.at_ns)
        if day_ns is not None:
            before = lane.position - signed
            told = Execution(signed, event.at_ns, is_first, before, (before,), before)
            self._execute(lane, told, day_ns, gain)

    def _catch_up(self, lane: Lane, missed: Sequence[Execution], gain: Decimal | None) -> None:
        """Fold executions that nobody told of; `gain` is what all of them realised."""
        is_known = sum(each.is_closing for each in missed) == 1
        is_known = is_known and (len(missed) <= PAIR or not missed[0].is_apart)
        for each in missed:
            day_ns = self._day_in(lane, each.at_ns)
            if day_ns is not None:
                self._execute(lane, each, day_ns, gain if is_known else None)

    def _day_in(self, lane: Lane, at_ns: int) -> int | None:
        """Return the day that an execution counts in; None of what no rule is about.

        One that was told late counts in the newest day of the instrument: nothing goes back.
        """
        day_ns = self.days.day_of(at_ns)
        if day_ns is None or lane.instrument.asset_class not in SECURITIES:
            return None
        run = self.day_trades.runs.get(lane.instrument.id)
        return day_ns if run is None else max(day_ns, run.day_ns)

    def _execute(self, lane: Lane, each: Execution, day_ns: int, gain: Decimal | None) -> None:
        key, signed = lane.instrument.id, each.signed
        trades = self.day_trades
        if each.is_first:
            trades.trade(day_ns)
        if trades.execute(key, day_ns, each.before, signed, is_apart=each.is_apart):
            self._note_day_trade(day_ns)
        if self._has_washes:
            for before in each.befores:
                self.wash.execute(key, day_ns // DAY_NS, before, signed, gain)
        self.locates.sell(key, day_ns, each.unsold, signed)

    def _note_day_trade(self, day_ns: int) -> None:
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
        if self._has_washes:
            self.wash.open.add(order)
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
        if self._has_washes:
            self.wash.open.remove(watched.order)
        flagged_ns = watched.day_trade_ns
        if flagged_ns:
            self.pending[flagged_ns] -= 1
            if not self.pending[flagged_ns]:
                del self.pending[flagged_ns]
