"""The breaker of one market: what halts it, until when, and when that is not known.

Source: NYSE rule 7.12, Nasdaq rule 4121, Cboe BZX rule 11.18, in force in this form since 8 April
2013 and permanent since 2022. Level 1 and 2: 15 minutes, each once a day, only before 15:25 in New
York (12:25 on half days: 35 minutes before the close). Level 3: for the rest of the day.

After a restart within the day, or without the bus for a while, it is not known whether a halt is
on: until the feed, which was there, has said again what holds and how low the reference was; until
something trades; or, on a feed of quotes alone, until quotes show that none is
(`services.gate.market_quoted`).
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from schemas.base import Event
from schemas.instruments import Instrument
from schemas.market import BarClosed, StatesTold
from schemas.market_rules import MarketRule, MarketRuleInvoked, MarketWideHaltDeclared
from services.calendars.calendar import Phase, Session
from services.calendars.named import calendar_named
from services.gate.exposure import Market, is_plain
from services.gate.market_quoted import HALT_NS, LAST_HALT_NS, QuotedAnew
from services.gate.market_rows import Closing, Days
from services.gate.restart import covers

FALLS = (Decimal("0.07"), Decimal("0.13"), Decimal("0.20"))
"""Of level 1, 2 and 3, from the closing price of the day before."""

LEVEL_MAX = 3
_LEVELS = tuple((level, 1 - fall) for level, fall in reversed(list(enumerate(FALLS, start=1))))


class MarketHalt:
    """The breaker of one market.

    Attributes:
        reference: whose trades are followed; None where only the feed's word counts.
        level: of the last halt; 0 of one without a level.
        from_ns, until_ns: of the last halt.
    """

    def __init__(self, market: str, reference: Instrument | None) -> None:
        self._calendar = calendar_named(market)
        self.reference = reference
        self._days = None if reference is None else Days(reference)
        self.closing = (
            None if reference is None or self._days is None else Closing(reference.id, self._days)
        )
        self.level = 0
        self.from_ns = self.until_ns = 0
        self._used = self._used_ns = 0  # the highest level of the day that was halted for last
        self.pending: list[Event] = []
        self._missed: Session | None = None  # a day of which not all was heard, and no trade since
        self._missed_from_ns = self._missed_until_ns = 0
        self._anew: QuotedAnew | None = None

    def is_halted(self, now_ns: int) -> bool:
        """Return whether it is known to be halted."""
        return self.from_ns <= now_ns < self.until_ns

    def objection(self, now_ns: int) -> str:
        """Return why nothing in this market may be traded; empty when it may."""
        if self.is_halted(now_ns):
            return f"halted, level {self.level}, until {self.until_ns} ns"
        if self._missed is not None and now_ns < self._missed.post_close_ns:
            whose = f"of {self.reference.id}" if self.reference else "in this market"
            unseen = f"no trade {whose} yet, nor quotes that show it"
            return f"not all was heard, so it is not known whether it is halted: {unseen}"
        session = self._days.regular(now_ns) if self._days else None
        if session and self.closing and self.closing.of_day_before(session) is None:
            return "no closing price of the reference"
        return ""

    def traded(self, price: Decimal, now_ns: int) -> None:
        """Take a trade of the reference in."""
        session = self._days.regular(now_ns) if self._days else None
        if session is not None and is_plain(price):
            self._missed = None
            self._note(session, price, now_ns)
            self._fell(session, price, now_ns, now_ns)

    def barred(self, bar: BarClosed, now_ns: int) -> None:
        """Take a bar of the reference in.

        In one that is no longer than a halt, the halt that its low began is still on. In a longer
        one it may be over; while it is on, what it stands at is the close.
        """
        session = self._days.of_bar(bar) if self._days else None
        if session is None or not (is_plain(bar.low) and is_plain(bar.close)):
            return
        if session.phase_at(now_ns) is Phase.OPEN:
            self._missed = None
        self._note(session, bar.close, now_ns)
        is_short = bar.close_ns - bar.open_ns <= HALT_NS
        lowest, since_ns = (bar.low, bar.open_ns) if is_short else (bar.close, now_ns)
        if now_ns < session.post_close_ns:
            self._fell(session, lowest, since_ns, now_ns)

    def _note(self, session: Session, price: Decimal, now_ns: int) -> None:
        """Remember the last price of a day; note that of the day before it first."""
        closing = self.closing
        assert closing is not None, "what is followed has one"
        noted = closing.note(now_ns)
        if noted is not None:
            self.pending.append(noted)
        closing.traded(session, price)

    def _fell(self, session: Session, price: Decimal, since_ns: int, now_ns: int) -> None:
        """Halt if a price that was seen since then has reached a level that was not used yet."""
        assert self.closing is not None, "what is followed has one"
        assert self.reference is not None, "it is the one that fell"
        before = self.closing.of_day_before(session)
        reached = 0 if before is None else level_of(price, before)
        used = self._used_in(session)
        is_late = since_ns >= session.close_ns - LAST_HALT_NS
        if reached <= used or (is_late and reached < LEVEL_MAX):
            return
        is_last = reached == LEVEL_MAX
        until_ns = session.post_close_ns if is_last else now_ns + HALT_NS
        self._halt(reached, now_ns, until_ns)
        self.pending.append(
            MarketRuleInvoked(
                at_ns=now_ns,
                rule=MarketRule.MARKET_WIDE,
                instrument=self.reference.id,
                from_ns=now_ns,
                until_ns=until_ns,
                level=reached,
                price=price,
            )
        )

    def missed(self, from_ns: int, until_ns: int, members: Sequence[Market]) -> None:
        """Doubt that trading goes on: a halt between those times was not heard of.

        Until something trades: what was reached then and still halts, that price is beyond too.
        Or until quotes show it: the reference's, or of any of `members` where there is none.
        """
        session = self._calendar.session_at(until_ns)
        if session is not None and session.open_ns_between(from_ns, until_ns):
            if self._missed is None or from_ns < self._missed_from_ns:
                self._missed_from_ns = from_ns
            self._missed, self._missed_until_ns = session, until_ns
            self._anew = QuotedAnew(members, session, until_ns)

    def look(self, now_ns: int) -> None:
        """Look whether quotes show that trading goes on."""
        if self._missed is None or self._anew is None:
            return
        for quote in self._anew.look(now_ns):
            if self.reference is None or self._is_far_from_halted(quote.bid, self._missed):
                self._missed = None
                return

    def _is_far_from_halted(self, bid: Decimal, session: Session) -> bool:
        """Return whether a bid for the reference is more than a level above the last one."""
        before = None if self.closing is None else self.closing.of_day_before(session)
        return before is not None and level_of(bid, before) < LEVEL_MAX - 1

    def told_again(
        self, event: StatesTold, halts: Iterable[MarketWideHaltDeclared], now_ns: int
    ) -> None:
        """Learn from the feed, which was there, whether a halt is on that was not heard of.

        Where it was there for all of it, it knows: by the word of the market, and by how low the
        reference was. What that had reached halts from now on: nobody knows when it began.

        Args:
            event: of a feed that tells of this market.
            halts: those of this market that it tells.
            now_ns: the time.
        """
        missed = self._missed
        if missed is None:
            return
        for halt in halts:
            self._declared_at(halt)
        if self.reference is None or self.closing is None:
            self._missed = None if covers(event.since_ns, self._missed_from_ns) else missed
            return
        is_closing_known = self.closing.of_day_before(missed) is not None
        if is_closing_known and covers(event.lows_since_ns, self._missed_from_ns):
            self._missed = None
            low = event.lows.get(self.reference.id)
            if low is not None and is_plain(low):
                self._fell(missed, low, self._missed_from_ns, now_ns)

    def _declared_at(self, event: MarketWideHaltDeclared) -> None:
        """Take in a halt that was declared when we heard nothing, if it is of a trading day."""
        session = self._calendar.session_at(event.at_ns)
        if session is not None and event.at_ns > self.from_ns:
            self._halt(event.level, event.at_ns, event.resumes_ns or session.post_close_ns)

    def goes_on(self, since_ns: int, now_ns: int) -> None:
        """Take it that something in this market has traded since then."""
        session = self._missed
        is_later = since_ns >= self._missed_until_ns
        if session is not None and is_later and session.phase_at(now_ns) is Phase.OPEN:
            self._missed = None

    def declared(self, event: MarketWideHaltDeclared, now_ns: int) -> None:
        """Take the word of the market: it replaces what was in force."""
        session = self._calendar.session_at(now_ns)
        end_ns = session.post_close_ns if session else now_ns
        self._halt(event.level, now_ns, event.resumes_ns or end_ns)
        self._missed = None

    def recall(self, event: MarketRuleInvoked) -> None:
        """Take in again what was found out before a restart."""
        self._halt(event.level, event.from_ns, event.until_ns)

    def _halt(self, level: int, from_ns: int, until_ns: int) -> None:
        """Halt between those times. A level stays used for its day, whatever halts later."""
        session = self._calendar.session_at(from_ns)
        used = 0 if session is None else self._used_in(session)
        self._used, self._used_ns = max(level, used), from_ns
        self.level, self.from_ns, self.until_ns = level, from_ns, until_ns

    def _used_in(self, session: Session) -> int:
        return self._used if self._used_ns >= session.pre_open_ns else 0

    @property
    def due_ns(self) -> int | None:
        """When there is something to be said; None when nothing is due."""
        if self.pending:
            return self.pending[0].at_ns
        close_ns = self.closing.due_ns if self.closing else None
        look_ns = self._anew.due_ns if self._anew and self._missed else None
        if close_ns is None or look_ns is None:
            return look_ns if close_ns is None else close_ns
        return min(close_ns, look_ns)

    def due(self, now_ns: int) -> list[Event]:
        """Return what is to be kept: a halt that prices brought about, a closing price."""
        said, self.pending = self.pending, []
        noted = self.closing.note(now_ns) if self.closing else None
        return said if noted is None else [*said, noted]


def level_of(price: Decimal, closing: Decimal) -> int:
    """Return the level that a price is at or below; 0 above all of them."""
    return next((level for level, left in _LEVELS if price <= closing * left), 0)
