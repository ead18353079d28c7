"""Limit up-limit down and short-sale restriction of one instrument."""

from decimal import Decimal

from schemas.base import Event
from schemas.instruments import AssetClass, Instrument
from schemas.market import BarClosed, QuoteReceived, StatesTold
from schemas.market_rules import MarketRule, MarketRuleInvoked, PriceBandPublished
from schemas.subjects import subject_of
from services.calendars.calendar import Session
from services.calendars.named import market_of
from services.gate.bands_state import BandPhase, LimitBands
from services.gate.config_market import LimitTier, MarketRules, ShortSaleRule
from services.gate.exposure import ZERO, is_plain
from services.gate.market_rows import Closing, Days, is_us, missing
from services.gate.restart import LATE_NS, covers

FALL = Decimal("0.10")
"""A fall from the closing price of the day before that restricts short sales (Rule 201(b)(1))."""

_LEFT = 1 - FALL


class BandsRow:
    """What one instrument's own prices have brought about.

    Attributes:
        bands: the plan's state; None where the instrument is not under it.
        closing: of the day before.
        restricted_until_ns: end of the short-sale restriction; 0 when there never was one.
        is_watched: whether trades are of any interest.
        market: the market it is listed in, by the calendar's table.
        may_be_restricted: whether short sales are of any interest.
    """

    __slots__ = (
        "_days",
        "_instrument",
        "_missed_from_ns",
        "_missed_in",
        "_missed_until_ns",
        "_pending",
        "_rule",
        "_told_ns",
        "_told_pause_ns",
        "bands",
        "closing",
        "is_luld_missing",
        "is_watched",
        "market",
        "may_be_restricted",
        "restricted_until_ns",
    )

    def __init__(self, instrument: Instrument, rules: MarketRules) -> None:
        tier, rule = rules.luld_tier, rules.short_sale_rule
        is_equity = is_us(instrument, AssetClass.EQUITY)
        self._instrument = instrument.id
        self._rule = rule
        self._days = Days(instrument)
        self.is_luld_missing = tier is None and is_equity
        is_banded = tier is not None and tier is not LimitTier.NONE
        self.bands = LimitBands(tier) if tier is not None and is_banded else None
        self.may_be_restricted = rule is not ShortSaleRule.NONE and (is_equity or rule is not None)
        self.is_watched = is_banded or rule is ShortSaleRule.RULE_201
        self.closing = Closing(instrument.id, self._days)
        self.market = market_of(self._days.calendar)
        self.restricted_until_ns = self._missed_from_ns = self._missed_until_ns = 0
        self._missed_in: Session | None = None  # the day of what may still come to be known
        self._told_ns = self._told_pause_ns = 0
        self._pending: list[Event] = []

    def quoted(self, quote: QuoteReceived, now_ns: int) -> None:
        """Take the best bid and ask in; nothing outside regular hours."""
        bands = self._begun(now_ns)
        if bands is not None:
            bands.quoted(quote, now_ns)

    def published(self, lower: Decimal, upper: Decimal, now_ns: int) -> None:
        """Take published bands in; nothing outside regular hours."""
        bands = self._begun(now_ns)
        if bands is not None:
            bands.publish(lower, upper, now_ns)

    @property
    def bands_subject(self) -> str:
        """Where bands of this instrument are published."""
        return subject_of(
            PriceBandPublished(at_ns=0, instrument=self._instrument, lower=ZERO, upper=ZERO)
        )

    def forget_published(self) -> None:
        """Go back to computed bands until the next ones are published."""
        if self.bands is not None:
            self.bands.published = None

    def traded(self, price: Decimal, now_ns: int) -> None:
        """Take a trade in; nothing outside regular hours."""
        session = self._days.regular(now_ns)
        if session is None or not is_plain(price):
            return
        self._last(session, price, now_ns)
        if self.bands is not None:
            self.bands.begin(session, self.closing.of_day_before(session))
            self.bands.traded(price, now_ns)
        self._sink(session, price, now_ns)

    def barred(self, bar: BarClosed, now_ns: int) -> None:
        """Take a bar in: somebody traded at its lowest price, and last at its close.

        Bands are not made of it: the mean of five minutes is one of single trades.
        """
        session = self._days.of_bar(bar)
        if session is None or not (is_plain(bar.low) and is_plain(bar.close) and bar.volume):
            return
        self._last(session, bar.close, now_ns)
        self._sink(session, bar.low, now_ns)

    def phase_at(self, now_ns: int) -> BandPhase | None:
        """Return the state of the bands; None outside regular hours, and where there are none.

        Raises:
            LimitMissingError: nobody has chosen a tier, and the instrument is a US equity.
        """
        if self.is_luld_missing:
            raise missing(self._instrument, "luld_tier")
        bands = self._begun(now_ns)
        return None if bands is None else bands.phase_at(now_ns)

    def doubt(self, now_ns: int, ask: Decimal) -> str:
        """Return why a short sale is restricted at that time; empty when it is not.

        What is offered a tenth below the close has most likely traded there: a feed of quotes alone
        tells of no trade.

        Raises:
            LimitMissingError: nobody has chosen a rule, and the instrument is a US equity.
        """
        if self._rule is None:
            raise missing(self._instrument, "short_sale_rule")
        if now_ns < self.restricted_until_ns:
            return f"short sales restricted until {self.restricted_until_ns} ns"
        if now_ns < self._missed_until_ns:
            until = f"short sales restricted until {self._missed_until_ns} ns"
            return f"not all was heard, so it is not known whether it fell by a tenth: {until}"
        session = self._days.regular(now_ns)
        if session is None or self._told_ns >= session.pre_open_ns:
            return ""
        closing = self.closing.of_day_before(session)
        if closing is None:
            return "no closing price of the day before"
        return "" if ask > closing * _LEFT else f"offered a tenth below the close of {closing}"

    def restrict(self, *, is_restricted: bool, now_ns: int) -> None:
        """Take the word of the listing market."""
        self._told_ns = now_ns
        self.restricted_until_ns = self._days.end_of_next(now_ns) if is_restricted else 0
        self._missed_until_ns, self._missed_in = 0, None

    def missed(self, from_ns: int, until_ns: int) -> None:
        """Restrict short sales as a fall between those times would have: no trade was heard then.

        What is heard later of trades, bars and quotes cannot undo it: it is the lowest price that
        counts, and they tell of their own time alone. The listing market's word does, and the feed,
        if it was there (`told_again`). Else it ends by itself with the next trading day, and sells
        above the bid pass meanwhile, as by the rule. Kept as a rule that was invoked at a price of
        0: the next restart must not forget it either.
        """
        calendar = self._days.calendar
        if self._rule is not ShortSaleRule.RULE_201 or not calendar.knows(until_ns):
            return
        newest = calendar.session_at(calendar.day_open_ns(until_ns))
        if newest is None or not newest.open_ns_between(from_ns, until_ns):
            return
        until_end_ns = self._days.end_of_next(newest.open_ns)
        is_doubted = until_ns < self._missed_until_ns  # of before, which may go back farther
        if not is_doubted:
            self._missed_in, self._missed_from_ns = newest, from_ns
        if until_end_ns <= self._missed_until_ns:
            return
        self._missed_until_ns = until_end_ns
        self._pending.append(
            self._invoked(MarketRule.SHORT_SALE, until_ns, until_end_ns, ZERO, until_ns)
        )

    @property
    def is_missing(self) -> bool:
        """Whether this process missed something, and takes it for a fall."""
        return self._missed_in is not None

    def told_again(self, event: StatesTold, now_ns: int) -> None:
        """Learn from the feed, which was there, whether the price fell while nothing was heard.

        Its lows tell it, where they reach back so far; and the listing market's word, where it came
        since: that it restricts short sales is what was taken for true already.
        """
        session = self._missed_in
        assert session is not None, "something was missed"
        words = {each.instrument: each for each in event.restrictions}
        word = words.get(self._instrument)
        if word is not None and word.at_ns >= self._missed_from_ns - LATE_NS:
            is_restricted = word.is_restricted
        elif self.closing.of_day_before(session) is None:
            return
        elif covers(event.lows_since_ns, self._missed_from_ns):
            is_restricted = False
        else:
            return
        self._missed_in = None
        if is_restricted:
            return
        self._missed_until_ns = 0
        self._pending.append(self._invoked(MarketRule.SHORT_SALE, now_ns, now_ns, ZERO, now_ns))
        low = event.lows.get(self._instrument)
        if low is not None and is_plain(low):
            self._sink(session, low, now_ns)

    def recall(self, event: MarketRuleInvoked) -> None:
        """Take in again what was found out before a restart."""
        if event.rule is MarketRule.SHORT_SALE and not event.price:  # a later one may take it back
            self._missed_until_ns = event.until_ns
        elif event.rule is MarketRule.SHORT_SALE:
            self.restricted_until_ns = max(self.restricted_until_ns, event.until_ns)
        else:
            self.pause(event.from_ns, event.until_ns)

    def pause(self, from_ns: int, until_ns: int) -> None:
        """Pause between those times; without an end, until that day's close."""
        session = self._days.at(from_ns)
        end_ns = until_ns or (session.close_ns if session else from_ns)
        if self.bands is not None:
            self.bands.pause(from_ns, end_ns)
            self._told_pause_ns = self.bands.pause_from_ns

    @property
    def due_ns(self) -> int | None:
        """When there is something to be said; None when nothing is due."""
        if self._pending:
            return self._pending[0].at_ns
        limit_ns = None if self.bands is None else self.bands.due_ns
        close_ns = self.closing.due_ns
        dues_ns = [each for each in (limit_ns, close_ns) if each is not None]
        return min(dues_ns, default=None)

    def due(self, now_ns: int) -> list[Event]:
        """Return what is to be kept: a pause that began, a restriction, a closing price."""
        said: list[Event] = [*self._pending]
        self._pending.clear()
        bands = self.bands
        if bands is not None and bands.due_ns is not None and bands.due_ns <= now_ns:
            bands.phase_at(now_ns)
        if bands is not None and bands.pause_from_ns > self._told_pause_ns:
            self._told_pause_ns = bands.pause_from_ns
            said.append(
                self._invoked(
                    MarketRule.LIMIT_PAUSE, bands.pause_from_ns, bands.pause_until_ns, ZERO, now_ns
                )
            )
        noted = self.closing.note(now_ns)
        return said if noted is None else [*said, noted]

    def _begun(self, now_ns: int) -> LimitBands | None:
        """Return the bands, told what day it is; None outside regular hours."""
        bands = self.bands
        session = None if bands is None else self._days.regular(now_ns)
        if bands is None or session is None:
            return None
        bands.begin(session, self.closing.of_day_before(session))
        return bands

    def _last(self, session: Session, price: Decimal, now_ns: int) -> None:
        """Remember the last price of a day; note that of the day before it first."""
        noted = self.closing.note(now_ns)
        if noted is not None:
            self._pending.append(noted)
        self.closing.traded(session, price)

    def _sink(self, session: Session, price: Decimal, now_ns: int) -> None:
        """Restrict short sales for the rest of the day and the next if the price is so low."""
        closing = self.closing.of_day_before(session)
        is_fallen = closing is not None and price <= closing * _LEFT
        if self._rule is not ShortSaleRule.RULE_201 or not is_fallen:
            return
        until_ns = self._days.end_of_next(session.open_ns)
        if until_ns > self.restricted_until_ns:
            self.restricted_until_ns = until_ns
            self._pending.append(
                self._invoked(MarketRule.SHORT_SALE, now_ns, until_ns, price, now_ns)
            )

    def _invoked(
        self, rule: MarketRule, from_ns: int, until_ns: int, price: Decimal, now_ns: int
    ) -> MarketRuleInvoked:
        return MarketRuleInvoked(
            at_ns=now_ns,
            rule=rule,
            instrument=self._instrument,
            from_ns=from_ns,
            until_ns=until_ns,
            price=price,
        )
