"""Limit up-limit down of one instrument: reference price, limit state, pause, resumption."""

import enum
from collections import deque
from decimal import Decimal

from schemas.base import NS_PER_S
from schemas.market import QuoteReceived
from services.calendars.calendar import Session
from services.gate.bands_rules import MINUTE_NS, RULES, bands, is_doubled, rule_at
from services.gate.config_market import LimitTier
from services.gate.exposure import ZERO, is_plain

REFERENCE_NS = 5 * MINUTE_NS
"""Trades of so long make the reference price: their mean."""

REFERENCE_KEPT_NS = 30 * NS_PER_S
"""A reference price stays for so long at least."""

REFERENCE_MOVES = Decimal("0.01")
"""The mean becomes the reference price when it is so far from it, as a fraction of it."""

LIMIT_NS = 15 * NS_PER_S
PAUSE_NS = 5 * MINUTE_NS
LAST_PAUSE_NS = 10 * MINUTE_NS
"""A pause that begins so shortly before the close lasts until the close."""


class BandPhase(enum.StrEnum):
    """What the bands make of an instrument's market."""

    NORMAL = "normal"
    STRADDLE = "straddle state"
    """One side of the market is beyond a band, and the other is not: nothing happens by itself."""

    LIMIT = "limit state"
    """The best ask is at the lower band, or the best bid at the upper one."""

    PAUSED = "trading pause"
    BLIND = "no bands known"
    """No trade since the open, the pause or our start, no closing price, and nobody published."""


class LimitBands:
    """The plan's state machine for one instrument. It is told only what is of regular hours.

    Every time is given; deadlines are judged by it whether or not anybody woke us for them, so a
    pause begins and ends to the ns.

    Attributes:
        pause_from_ns, pause_until_ns: of the newest pause; 0 before the first.
        limit_since_ns: since when the limit state lasts; None outside of one.
        reference: the reference price in effect; None when there is none.
    """

    __slots__ = (
        "_closing",
        "_made",
        "_made_from",
        "_open_ns",
        "_quote",
        "_reference_ns",
        "_rule",
        "_session",
        "_sum",
        "_tier",
        "_trades",
        "limit_since_ns",
        "pause_from_ns",
        "pause_until_ns",
        "published",
        "reference",
    )

    def __init__(self, tier: LimitTier) -> None:
        assert tier is not LimitTier.NONE, "only the plan has bands"
        self._tier = tier
        self._session: Session | None = None
        self._closing: Decimal | None = None
        self._rule = RULES[-1]
        self._made_from: tuple[Decimal, bool] | None = None
        self._made = (ZERO, ZERO)
        self._trades: deque[tuple[int, Decimal]] = deque()
        self._sum = ZERO
        self._quote: QuoteReceived | None = None
        self._reference_ns = 0
        self.pause_from_ns = self.pause_until_ns = 0
        self.reference: Decimal | None = None
        self.published: tuple[Decimal, Decimal] | None = None
        self.limit_since_ns: int | None = None

    def begin(self, session: Session, closing: Decimal | None) -> None:
        """Take the day and the closing price of the day before. A new day begins with nothing."""
        if self._session is None or session.open_ns != self._session.open_ns:
            self._session = session
            self._rule = rule_at(session.open_ns)
            self._clear()
        if closing is not self._closing:
            self._closing = closing
            self._made_from = None

    def traded(self, price: Decimal, now_ns: int) -> None:
        """Take a trade in. The first one of a day, or after a pause, is the reference price."""
        if not is_plain(price) or self._is_paused(now_ns):
            return
        self._trades.append((now_ns, price))
        self._sum += price
        if self.reference is None:
            self.reference, self._reference_ns = price, now_ns
        self._follow(now_ns)
        self._judge(now_ns)

    def quoted(self, quote: QuoteReceived, now_ns: int) -> None:
        """Take the best bid and ask in."""
        if not (quote.bid.is_finite() and quote.ask.is_finite()):
            return
        self._follow(now_ns)
        self._quote = quote
        self._judge(now_ns)

    def publish(self, lower: Decimal, upper: Decimal, now_ns: int) -> None:
        """Take published bands in: they win over computed ones for the rest of the day."""
        if upper.is_finite() and lower.is_finite() and ZERO <= lower <= upper and upper > 0:
            self.published = (lower, upper)
            self._judge(now_ns)

    def pause(self, from_ns: int, until_ns: int) -> None:
        """Stop between those times. What comes after needs a new reference price."""
        self._clear()
        if from_ns < self.pause_until_ns:  # one pause goes on into the other
            from_ns, until_ns = self.pause_from_ns, max(until_ns, self.pause_until_ns)
        self.pause_from_ns, self.pause_until_ns = from_ns, until_ns

    def bands_at(self, now_ns: int) -> tuple[Decimal, Decimal] | None:
        """Return lower and upper band; None where nobody knows them."""
        if self.published is not None:
            return self.published
        reference, closing, session = self.reference, self._closing, self._session
        if reference is None or closing is None or session is None:
            return None
        since_ns, to_ns = now_ns - session.open_ns, session.close_ns - now_ns
        doubled = is_doubled(self._rule, self._tier, closing, since_ns, to_ns)
        made_from = self._made_from
        if made_from is None or made_from[0] is not reference or made_from[1] is not doubled:
            self._made_from = (reference, doubled)
            self._made = bands(self._tier, closing, reference, doubled=doubled)
        return self._made

    def phase_at(self, now_ns: int) -> BandPhase:
        """Return the state; brings everything that is due by `now_ns` about."""
        if self._is_paused(now_ns):
            return BandPhase.PAUSED
        self._follow(now_ns)
        self._judge(now_ns)
        limits = self.bands_at(now_ns)
        if limits is None:
            return BandPhase.BLIND
        if self.limit_since_ns is not None:
            return BandPhase.LIMIT
        quote = self._quote
        if quote is None:
            return BandPhase.NORMAL
        is_beyond = quote.bid < limits[0] or quote.ask > limits[1]
        return BandPhase.STRADDLE if is_beyond else BandPhase.NORMAL

    @property
    def due_ns(self) -> int | None:
        """When a limit state becomes a pause; None outside of one."""
        return None if self.limit_since_ns is None else self.limit_since_ns + LIMIT_NS

    def _is_paused(self, now_ns: int) -> bool:
        due_ns = self.due_ns
        if due_ns is not None and now_ns >= due_ns:
            session = self._session
            assert session is not None, "a limit state has bands, and bands have a day"
            is_last = due_ns >= session.close_ns - LAST_PAUSE_NS
            self.pause(due_ns, session.close_ns if is_last else due_ns + PAUSE_NS)
        return self.pause_from_ns <= now_ns < self.pause_until_ns

    def _follow(self, now_ns: int) -> None:
        """Let the reference price follow the mean of the last trades (section V)."""
        trades = self._trades
        while trades and trades[0][0] <= now_ns - REFERENCE_NS:
            self._sum -= trades.popleft()[1]
        reference = self.reference
        if reference is None or not trades or self.limit_since_ns is not None:
            return
        mean = self._sum / len(trades)
        has_moved = abs(mean - reference) >= reference * REFERENCE_MOVES
        if has_moved and now_ns - self._reference_ns >= REFERENCE_KEPT_NS:
            self.reference, self._reference_ns = mean, now_ns

    def _judge(self, now_ns: int) -> None:
        """Enter or leave the limit state (section VI)."""
        quote, limits = self._quote, self.bands_at(now_ns)
        if self._is_paused(now_ns) or quote is None or limits is None:
            return
        bid, ask = quote.bid, quote.ask
        is_down, is_up = ZERO < ask <= limits[0], bid >= limits[1]
        if (is_down or is_up) and (bid < ask or not ask):
            if self.limit_since_ns is None:
                self.limit_since_ns = now_ns
        else:
            self.limit_since_ns = None

    def _clear(self) -> None:
        self._trades.clear()
        self._sum = ZERO
        self._reference_ns = 0
        self._quote = self.reference = self.published = self.limit_since_ns = None
