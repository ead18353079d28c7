"""The quality of market data: prices that jump, and clocks that disagree.

A jump is judged against the last accepted price. A quote further from it than `jump_bps_max` is
not accepted, and nothing is traded, until `jump_quotes_min` quotes in a row were each that near to
the one before: then the market has really moved, and the last of them is the accepted price. The
first price of all is confirmed in the same way. A quote that is no market (one side, crossed, not a
number) begins the count anew.

The clock is judged by the venue's own times: the least of (received - venue's time) over the last
one to two minutes is the local clock's offset plus the shortest delay of the way. It cannot tell
the two apart: an offset up to the delay stays unseen when the local clock is behind, and a long way
looks like a clock that is ahead. It sees nothing of a venue that gives no times: then nothing is
known, and where a limit is set nothing is traded.

What a venue said of an instrument holds as long as we hear what it says next. Without the bus, for
however short a time, a halt may have been missed: nothing is known to be open until the feed has
said it again.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from schemas.base import NS_PER_S, AccountId, Event, InstrumentId
from schemas.health import LinkChanged
from schemas.market import QuoteReceived, StatesTold, Trading
from services.core import NOTHING
from services.gate.account import Account
from services.gate.config import GateConfig
from services.gate.config_market import LockedMarket, MarketRules, row_of
from services.gate.exposure import Market, is_plain
from services.gate.limits import Bound
from services.gate.market_rows import missing

WINDOW_NS = 60 * NS_PER_S
"""Length of a window in which the least delay is looked for; the last full one counts too."""

_BPS = Decimal(10_000)


class JumpWatch:
    """What price is accepted, and whether the newest one is.

    Prices here are twice the middle: bid + ask.

    Attributes:
        accepted: the last accepted price; None before the first.
        suspect: the newest price, while it is not accepted.
        count: quotes in a row that have confirmed the suspect, itself included.
    """

    __slots__ = ("_part", "_quotes_min", "accepted", "count", "suspect")

    def __init__(self, jump_bps_max: Decimal, quotes_min: int) -> None:
        self._part = jump_bps_max / _BPS
        self._quotes_min = quotes_min
        self.accepted: Decimal | None = None
        self.suspect: Decimal | None = None
        self.count = 0

    def quoted(self, quote: QuoteReceived) -> None:
        """Judge one quote."""
        bid, ask = quote.bid, quote.ask
        if not (is_plain(bid) and is_plain(ask) and bid <= ask):
            self.count = 0
            return
        price, accepted = bid + ask, self.accepted
        if accepted is not None and abs(price - accepted) <= accepted * self._part:
            self.accepted, self.suspect, self.count = price, None, 0
            return
        before = self.suspect
        is_near = before is not None and abs(price - before) <= before * self._part
        self.count = self.count + 1 if is_near else 1
        self.suspect = price
        if self.count >= self._quotes_min:
            self.accepted, self.suspect, self.count = price, None, 0

    def objection(self) -> str:
        """Return why the newest price is not to be traded on; empty when it is."""
        accepted, suspect = self.accepted, self.suspect
        if suspect is None:
            return "" if accepted is not None else "no price yet"
        confirmed = f"confirmed by {self.count} of {self._quotes_min} quotes"
        if accepted is None:
            return f"first price {suspect / 2}, {confirmed}"
        jump_bps = abs(suspect - accepted) * _BPS / accepted
        return f"{jump_bps:.1f} from {accepted / 2} to {suspect / 2}, {confirmed}"


class ClockWatch:
    """The least time from the venue's stamp to our receipt, over one to two windows, in ns."""

    __slots__ = ("_before_ns", "_began_ns", "_least_ns")

    def __init__(self) -> None:
        self._began_ns = 0
        self._least_ns: int | None = None
        self._before_ns: int | None = None

    def quoted(self, quote: QuoteReceived, now_ns: int) -> None:
        """Measure by one quote, if the venue gave its time."""
        self._turn(now_ns)
        if quote.venue_ns:
            delay_ns, least_ns = now_ns - quote.venue_ns, self._least_ns
            if least_ns is None or delay_ns < least_ns:
                self._least_ns = delay_ns

    def offset_ns(self, now_ns: int) -> int | None:
        """Return what the local clock is ahead, the delay included; None when nothing is known."""
        self._turn(now_ns)
        found = [each for each in (self._before_ns, self._least_ns) if each is not None]
        return min(found, default=None)

    def _turn(self, now_ns: int) -> None:
        passed = (now_ns - self._began_ns) // WINDOW_NS
        if passed < 1:
            return
        self._before_ns = self._least_ns if passed == 1 else None
        self._least_ns = None
        self._began_ns = now_ns if passed > 1 else self._began_ns + WINDOW_NS


class Quality:
    """What one instrument's market data is judged by. What nobody has chosen raises when asked for.

    Attributes:
        jump, clock: None where they are not watched.
    """

    __slots__ = ("_instrument", "_rules", "clock", "clock_limit", "jump", "jump_limit")

    def __init__(self, instrument: InstrumentId, rules: MarketRules) -> None:
        self._instrument = instrument
        self._rules = rules
        jump, count, offset = rules.jump_bps_max, rules.jump_quotes_min, rules.clock_offset_ms_max
        self.jump = JumpWatch(jump, count) if jump and count is not None else None
        self.clock = ClockWatch() if offset else None
        self.jump_limit = Bound(jump or Decimal(0))
        self.clock_limit = Bound(offset or 0)

    @property
    def is_watched(self) -> bool:
        """Whether every quote must be looked at."""
        return self.jump is not None or self.clock is not None

    def quoted(self, quote: QuoteReceived, now_ns: int) -> None:
        """Take one quote in."""
        if self.jump is not None:
            self.jump.quoted(quote)
        if self.clock is not None:
            self.clock.quoted(quote, now_ns)

    def jump_watch(self) -> JumpWatch | None:
        """Return what judges jumps, or None where they are chosen not to be watched.

        Raises:
            LimitMissingError: nobody has chosen.
        """
        rules = self._rules
        if self.jump is None and rules.jump_bps_max is None:
            raise missing(self._instrument, "jump_bps_max")
        if self.jump is None and rules.jump_bps_max:
            raise missing(self._instrument, "jump_quotes_min")
        return self.jump

    def clock_watch(self) -> ClockWatch | None:
        """Return what judges the clock, or None where it is chosen not to be compared.

        Raises:
            LimitMissingError: nobody has chosen.
        """
        if self.clock is None and self._rules.clock_offset_ms_max is None:
            raise missing(self._instrument, "clock_offset_ms_max")
        return self.clock

    def locked(self) -> LockedMarket:
        """Return whether one trades while bid and ask are the same.

        Raises:
            LimitMissingError: nobody has chosen.
        """
        locked = self._rules.locked_market
        if locked is None:
            raise missing(self._instrument, "locked_market")
        return locked


class DataQuality:
    """The market data of every instrument.

    Attributes:
        of: by instrument.
    """

    keeps: frozenset[type[Event]] = frozenset()
    wake_at_ns: int | None = None

    def __init__(
        self,
        config: GateConfig,
        markets: Mapping[InstrumentId, Market],
        accounts: Mapping[AccountId, Account],
    ) -> None:
        self.of = {key: Quality(key, row_of(config.market, key)) for key in markets}
        self._watched: dict[InstrumentId, Callable[[QuoteReceived, int], None]] = {
            key: each.quoted for key, each in self.of.items() if each.is_watched
        }
        self._markets = markets
        told: set[type[Event]] = {StatesTold, LinkChanged}
        self.hears: frozenset[type[Event]] = frozenset(
            {*told, QuoteReceived} if self._watched else told
        )

    def apply(self, event: Event, now_ns: int) -> None:
        """Judge one quote, or what the venue said; a restart forgets the prices of before it."""
        match event:
            case QuoteReceived():
                watch = self._watched.get(event.instrument)
                if watch is not None:
                    watch(event, now_ns)
            case LinkChanged(is_up=False):
                self._doubt()
            case StatesTold():
                for key, trading in event.trading.items():
                    if key in self._markets:
                        self._markets[key].trading = trading

    def _doubt(self) -> None:
        """Take nothing for open, if this feed says at all what is."""
        if any(market.trading is not None for market in self._markets.values()):
            for market in self._markets.values():
                market.trading = Trading.UNKNOWN

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Nothing is due."""
        return NOTHING
