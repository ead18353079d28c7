"""The feed's pure part: what is published, what has gone stale, where a book has a hole."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from schemas.base import NS_PER_S, Event, InstrumentId
from schemas.control import EpochStarted
from schemas.health import AlertRaised, FeedReported, LinkChanged, Severity
from schemas.market import (
    BookChanged,
    FeedEnded,
    FundingPublished,
    InstrumentStatusChanged,
    MarketRead,
    PlaybackMarked,
    PlaybackReleased,
    PlaybackShut,
    QuoteReceived,
    StatesTold,
    TradeReceived,
    Trading,
)
from schemas.market_rules import MarketWideHaltDeclared
from services.core import NOTHING
from services.feed.config import ScannerConfig
from services.feed.rate import Rate
from services.feed.scanner import Scanner
from services.feed.told import TOLD_AGAIN, Told
from services.feed.tops import CheckedBook
from services.order_book import Applied

STALE_CHECKS_PER_LIMIT = 20
"""How finely staleness is looked at: it is noticed at most a twentieth of its limit late."""

MARK_EVERY_NS = NS_PER_S
MARK_EVERY_COUNT = 512
"""The position is kept once a second, or after as many events: what a restart may repeat."""

NAMED_MAX = 10
"""Instruments named in one alert; the rest are counted."""

SCANNED = (TradeReceived, FundingPublished)
"""What the scanner is told one by one; it looks at quotes by itself."""

REPORTED_QUOTES_MAX = 100


class FeedPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the core must know of its source."""

    source: str
    stale_after_ns: int
    run: str = ""
    """Name of this run of the whole system; a mark of another run is none of ours."""

    is_recording: bool = False

    is_paced: bool = True
    """Whether it is told at a pace of time. At `max` speed the local clock says nothing of how long
    an instrument was silent: only that nothing at all comes is an error then."""

    instruments: tuple[InstrumentId, ...] = ()
    """What the source says it has data of: silence of these counts before their first data too."""


class FeedCore:
    """Say what the source read; watch for silence and for holes.

    An instrument is stale when nothing of it was received for `stale_after_ns` by the local
    clock. The venue's clock is never looked at: it may be seconds off. Without a pace it is stale
    when nothing of any instrument was received for so long.

    That an instrument is shut is on the disk, in a mark, before anybody hears it: a restart that
    opens it again on the strength of an older mark would undo a halt.

    Attributes:
        mark: where a restart of the same run goes on from; None at the beginning.
    """

    hears: frozenset[type[Event]] = frozenset({MarketRead, EpochStarted, LinkChanged})
    keeps: frozenset[type[Event]] = frozenset({PlaybackMarked, PlaybackShut})
    fsyncs: frozenset[type[Event]] = frozenset({PlaybackShut})
    """Not every mark, of which there is one each second: those that tell of a halt or a close."""

    def __init__(self, plan: FeedPlan, scanner: Scanner | None = None) -> None:
        self.wake_at_ns: int | None = None
        self._scanner = scanner or Scanner(ScannerConfig(is_on=False), ())
        self._stale_at_ns: int | None = None
        self.mark: PlaybackMarked | None = None
        self._plan = plan
        self._is_released = False
        self._is_ended = False
        self._failure = ""
        self._counts: dict[str, int] = {}
        self._heard_ns: dict[InstrumentId, int] = {}
        self._unheard = dict.fromkeys(plan.instruments)
        self._stale: dict[InstrumentId, int] = {}
        self._trading: dict[InstrumentId, Trading] = {}
        self._reopened: dict[InstrumentId, Trading] = {}
        self._is_shut = self._is_blind = False
        self._unknown: dict[InstrumentId, None] = {}
        self._quotes: dict[InstrumentId, QuoteReceived] = {}
        self._books: dict[InstrumentId, CheckedBook] = {}
        self._position_count = 0
        self._marked_ns = self._began_ns = self._read_ns = 0
        self._rate = Rate()
        self._told = Told(plan.source)

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Say what was read; release a recording when trading is started, and what is shut then."""
        if isinstance(event, MarketRead):
            return self._on_read(event, now_ns)
        if isinstance(event, LinkChanged):  # the player must know, and only we are told
            return [event, self._states(now_ns)] if event.is_up and self._told.since_ns else [event]
        told = self._told_at_start(now_ns)
        if self._is_released:
            return told
        self._is_released = True
        return [PlaybackReleased(at_ns=now_ns), *told]

    def _told_at_start(self, now_ns: int) -> list[Event]:
        """Say again what holds, and to all what is not open: who is new was not there for it."""
        shut = [
            InstrumentStatusChanged(
                at_ns=now_ns, instrument=each, trading=trading, reason="as it was told before"
            )
            for each, trading in self._trading.items()
            if trading is not Trading.OPEN
        ]
        return [self._states(now_ns), *shut] if self._told.since_ns else [*shut]

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Look for instruments that have gone silent, and let the scanner look."""
        said: list[Event] = []
        if self._stale_at_ns is not None and self._stale_at_ns <= now_ns:
            said += self._look_for_silence(now_ns)
        scan_ns = self._scanner.wake_at_ns
        if scan_ns is not None and scan_ns <= now_ns:
            said += self._scanner.look(self._quotes, now_ns)
        self._set_wake()
        return said

    def _set_wake(self) -> None:
        due = (self._stale_at_ns, None if self._is_ended else self._scanner.wake_at_ns)
        self.wake_at_ns = min((each for each in due if each is not None), default=None)

    def _look_for_silence(self, now_ns: int) -> Sequence[Event]:
        limit_ns = self._plan.stale_after_ns
        since_ns = dict.fromkeys(self._unheard, self._began_ns) | self._heard_ns
        if not self._plan.is_paced:
            since_ns = dict.fromkeys(since_ns, self._read_ns)
        silent = [
            instrument
            for instrument, heard_ns in since_ns.items()
            if now_ns - heard_ns >= limit_ns and instrument not in self._stale
        ]
        self._stale.update((each, since_ns[each]) for each in silent)
        watched = [ns for each, ns in since_ns.items() if each not in self._stale]
        step_ns = max(limit_ns // STALE_CHECKS_PER_LIMIT, 1)
        self._stale_at_ns = max(min(watched) + limit_ns, now_ns + step_ns) if watched else None
        return self._went_stale(silent, now_ns) if silent else NOTHING

    def restore(self, event: Event) -> None:
        """Remember how far this run had come; marks of other runs do not count.

        A status, as earlier versions kept them, says nothing here: the mark that was kept with it
        holds it, and whose run it is.
        """
        assert isinstance(event, PlaybackMarked | InstrumentStatusChanged), event
        if isinstance(event, PlaybackMarked) and event.run == self._plan.run:
            self.mark = event
            self._position_count = event.position_count
            self._trading = dict(event.trading)
            self._is_blind = event.is_blind or (event.position_count > 0 and not event.trading)
            self._is_released = True

    def describe(self, now_ns: int) -> FeedReported:
        """Return what was read, how fast, and what is stale, or not known to be open."""
        shown = list(self._quotes.items())[:REPORTED_QUOTES_MAX]
        unknown = (each for each in self._unknown if each not in self._trading)
        return FeedReported(
            at_ns=now_ns,
            source=self._plan.source,
            counts=self._counts,
            rate_per_s=self._rate.per_s(now_ns),
            is_ended=self._is_ended,
            stale=tuple(dict.fromkeys((*self._stale, *unknown))),
            quotes={name: f"{quote.bid}/{quote.ask}" for name, quote in shown},
            top_checks_count=sum(book.checks_count for book in self._books.values()),
            top_differs_count=sum(book.differs_count for book in self._books.values()),
            detail=self._failure,
        )

    def _on_read(self, read: MarketRead, now_ns: int) -> Sequence[Event]:
        said: list[Event] = []
        heard_ns, stale = self._heard_ns, self._stale
        for event in read.events:
            if isinstance(event, FeedEnded):
                self._end()
                said.append(event)
                continue
            if isinstance(event, TOLD_AGAIN):
                self._told.take(event, now_ns)
            if isinstance(event, MarketWideHaltDeclared):
                said.append(event)
                continue
            instrument = event.instrument
            if instrument not in heard_ns or instrument in stale:
                said += self._came_back(instrument, now_ns)
            heard_ns[instrument] = now_ns
            said.append(event)
            if isinstance(event, QuoteReceived):
                self._quotes[instrument] = event
                book = self._books.get(instrument) if event.update_id else None
                if book is not None and not book.on_quote(event):
                    said.append(self._differs(event, book, now_ns))
            elif isinstance(event, BookChanged):
                said += self._on_book(event, now_ns)
            elif isinstance(event, InstrumentStatusChanged):
                self._on_status(event)
            elif isinstance(event, SCANNED):
                self._scanner.take(event, now_ns)
        if read.events:
            self._count(read, now_ns)
        said += self._mark(read, now_ns)
        if self._told.is_due(now_ns):
            said.append(self._states(now_ns))
        if read.failure:
            said.append(self._failed(read.failure, now_ns))
        return said

    def _count(self, read: MarketRead, now_ns: int) -> None:
        self._rate.add(len(read.events), now_ns)
        self._scanner.take(read, now_ns)
        self._counts = read.counts or self._counts
        self._began_ns, self._read_ns = self._began_ns or now_ns, now_ns
        if self._stale_at_ns is None and not self._is_ended:
            self._stale_at_ns = now_ns + self._plan.stale_after_ns
        self._set_wake()

    def _on_status(self, event: InstrumentStatusChanged) -> None:
        """Note what the venue said: that it is shut must be kept at once, with this step."""
        before, self._trading[event.instrument] = self._trading.get(event.instrument), event.trading
        if event.trading is before:
            return
        if event.trading is not Trading.OPEN:
            self._is_shut = True
        elif before is not None:
            self._reopened[event.instrument] = before

    def _mark(self, read: MarketRead, now_ns: int) -> Sequence[Event]:
        """Keep where we were before this step, all of which is published by now.

        That is done now and then, and with every status that shuts an instrument. One that this
        step opened again is shut in the mark: a restart reads the step once more, from its
        beginning, and comes to where it opens. As long as nothing is known there is none: a restart
        would take it for one of an earlier version.
        """
        before, self._position_count = self._position_count, read.position_count
        last_count = 0 if self.mark is None else self.mark.position_count
        reopened, self._reopened = self._reopened, {}
        is_shut, self._is_shut = self._is_shut, False
        self._marked_ns = self._marked_ns or now_ns
        is_time = now_ns - self._marked_ns >= MARK_EVERY_NS
        is_due = before > last_count and (is_time or before - last_count >= MARK_EVERY_COUNT)
        if not is_shut and not (is_due and (self._trading or self._is_blind)):
            return NOTHING
        self._marked_ns = now_ns
        prices: dict[InstrumentId, Decimal] = {}
        if not self._plan.is_recording:
            prices = {name: quote.bid for name, quote in self._quotes.items()}
        self.mark = (PlaybackShut if is_shut else PlaybackMarked)(
            at_ns=now_ns,
            run=self._plan.run,
            position_count=before,
            prices=prices,
            trading=self._trading | reopened,
            is_blind=self._is_blind,
        )
        return [self.mark]

    def _on_book(self, event: BookChanged, now_ns: int) -> Sequence[Event]:
        book = self._books.get(event.instrument)
        if book is None:
            book = self._books[event.instrument] = CheckedBook()
        last_id = book.last_id
        became = book.apply(event)
        if became is Applied.CHANGED and not book.is_whole:
            return [self._differs(event, book, now_ns)]
        if became is not Applied.HOLE:
            return NOTHING
        fields = {
            "instrument": event.instrument,
            "found": f"an update from {event.first_id}",
            "wanted": f"the update after {last_id}",
        }
        message = f"updates of the order book of {event.instrument} are missing after {last_id}"
        return [self._alert("SLU-111", message, fields, now_ns)]

    def _differs(
        self, event: QuoteReceived | BookChanged, book: CheckedBook, now_ns: int
    ) -> AlertRaised:
        message = (
            f"the order book of {event.instrument} differs from the venue's own best bid and ask "
            f"at update {book.last_id}; it is not used until the next snapshot"
        )
        return self._alert("SLU-111", message, {"instrument": event.instrument}, now_ns)

    def _went_stale(self, silent: list[InstrumentId], now_ns: int) -> Sequence[Event]:
        limit_ms = self._plan.stale_after_ns // 1_000_000
        reason = f"no market data for {limit_ms} ms"
        named = ", ".join(silent[:NAMED_MAX])
        more = f" and {len(silent) - NAMED_MAX} more" if len(silent) > NAMED_MAX else ""
        fields = {"instruments": named + more, "source": self._plan.source}
        return [
            *(
                InstrumentStatusChanged(
                    at_ns=now_ns, instrument=each, trading=Trading.UNKNOWN, reason=reason
                )
                for each in silent
            ),
            self._alert("SLU-112", f"{reason}: {named}{more}", fields, now_ns),
        ]

    def _came_back(self, instrument: InstrumentId, now_ns: int) -> Sequence[Event]:
        is_first = instrument not in self._heard_ns
        self._stale.pop(instrument, None)
        self._unheard.pop(instrument, None)
        # A halt outlasts a silence: what the venue said last still holds. Where our mark does not
        # know what that was, others may: to say that it opens might undo a halt.
        if instrument not in self._trading and self._is_blind:
            return self._not_known(instrument, now_ns)
        trading = self._trading.setdefault(instrument, Trading.OPEN)
        reason = "first market data" if is_first else "market data is back"
        return [
            InstrumentStatusChanged(
                at_ns=now_ns, instrument=instrument, trading=trading, reason=reason
            )
        ]

    def _not_known(self, instrument: InstrumentId, now_ns: int) -> Sequence[Event]:
        """Say once that people must do something: until then it is shown as stale."""
        is_told, self._unknown[instrument] = bool(self._unknown), None
        if is_told:
            return NOTHING
        message = (
            f"what the venue said last of {instrument} is not known, nor of what else is stale "
            "though it has data, so the feed does not say that it is open: a new run says it anew"
        )
        fields = {"instruments": instrument, "source": self._plan.source}
        return [self._alert("SLU-112", message, fields, now_ns)]

    def _end(self) -> None:
        """Nothing is expected any more, so nothing can be late."""
        self._is_ended = True
        self._stale_at_ns = self.wake_at_ns = None

    def _states(self, now_ns: int) -> StatesTold:
        """Say what holds: who lost the bus for a moment does not know what was said then."""
        stale = dict.fromkeys(self._stale, Trading.UNKNOWN)
        return self._told.again(self._trading | stale, now_ns)

    def _failed(self, failure: str, now_ns: int) -> AlertRaised:
        """Say that the source is dead. What it fed goes stale, and nothing trades on it."""
        self._failure = failure
        fields = {"source": self._plan.source}
        return self._alert("SLU-110", failure, fields, now_ns, Severity.CRITICAL)

    @staticmethod
    def _alert(
        code: str,
        message: str,
        fields: dict[str, str],
        now_ns: int,
        severity: Severity = Severity.WARNING,
    ) -> AlertRaised:
        return AlertRaised(
            at_ns=now_ns,
            severity=severity,
            component="feed",
            code=code,
            message=message,
            fields=fields,
        )
