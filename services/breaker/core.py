"""The breaker service: arbiter and circuit breakers, told the time and what happened."""

from collections.abc import Sequence

from schemas.base import NS_PER_MS, BootId, Event
from schemas.breakers import BreakerAsked
from schemas.control import (
    BookWanted,
    BreakerStateChanged,
    BreakerTripped,
    BreakerWarned,
    ControlRecordRead,
    EpochEnded,
    EpochProposed,
    EpochStarted,
    HaltRequested,
    LeaseAsked,
)
from schemas.executions import BookReported, OrderFilled
from schemas.health import ArbiterReported, BreakerView, GapSeen, HealthReported, LinkChanged
from schemas.market import QuoteReceived
from schemas.reconciliation import FenceRaised
from schemas.restrictions import (
    LockRequested,
    LocksChanged,
    RestrictionRequested,
    RestrictionsChanged,
)
from schemas.settlement import PositionSettled
from services.breaker.answers import reset_command
from services.breaker.arbiter import Arbiter
from services.breaker.config import BreakerConfig
from services.breaker.daily_loss import TradingDay
from services.breaker.markets import Markets
from services.breaker.overrides import override
from services.breaker.panel import KEEPS, Panel
from services.breaker.responses import possible, respond, warn
from services.breaker.table import Parts
from services.breaker.valuation import AccountTerms, Valuation
from services.breaker.watch import Roster
from services.calendars.named import calendar_named
from services.core import NOTHING, earliest
from services.tellers import executor_of, is_stranger

_LIVE = Roster()
_SAID_HERE: frozenset[type[Event]] = frozenset({EpochStarted, EpochEnded})
"""What the breakers hear from the arbiter beside them, and not from the bus."""

_KEPT_FOR_ARBITER: frozenset[type[Event]] = frozenset(
    {
        HaltRequested,
        ControlRecordRead,
        BreakerTripped,
        BreakerStateChanged,
        EpochProposed,
        EpochStarted,
        EpochEnded,
        RestrictionRequested,
        RestrictionsChanged,
        LockRequested,
        LocksChanged,
        FenceRaised,
    }
)
_BOOK_FAMILIES = ("exec.", "book.")
_RESYNCHRONISING: frozenset[type[Event]] = frozenset(
    {LinkChanged, GapSeen, LeaseAsked, HealthReported}
)
"""What says that the book may be known no more, or can be asked for."""


class BreakerCore:
    """Compose the parts: what values the account, the panel of breakers, and the arbiter.

    What a breaker passes goes out through the arbiter: a trip is the same halt as anyone's. A
    quote is only stored; the account is valued by the alarm, and the alarm is set only by a
    change: something is held and a price came, a fill or a book came, or a trading day opens.
    """

    keeps: frozenset[type[Event]] = _KEPT_FOR_ARBITER | KEEPS

    fsyncs: frozenset[type[Event]] = frozenset(
        {BreakerTripped, BreakerStateChanged, EpochProposed, RestrictionsChanged, LocksChanged}
    )
    """On the disk before anybody is told: a lost one could clear a halt or reuse an epoch."""

    def __init__(
        self,
        config: BreakerConfig,
        account: AccountTerms,
        *,
        boot_id: BootId,
        limits_hash: str,
        roster: Roster = _LIVE,
    ) -> None:
        self._account = account
        self._arbiter = Arbiter(config, boot_id=boot_id, limits_hash=limits_hash, roster=roster)
        self._valuation = Valuation(account)
        self._day = TradingDay(self._valuation, calendar_named(config.day_calendar))
        self._panel = Panel(
            Parts(
                config=config,
                valuation=self._valuation,
                day=self._day,
                open_since=Markets(account.instruments).open_since,
                has_recorder=roster.is_recorder_watched,
            )
        )
        self._quotes = self._valuation.quotes
        self._mark_every_ns = config.mark_every_ms * NS_PER_MS
        self._publish_every_ns = config.publish_every_ms * NS_PER_MS
        self._marked_ns = -self._mark_every_ns
        self._published_ns = -self._publish_every_ns
        self._mark_at_ns: int | None = None
        self._is_price_awaited = False
        self.wake_at_ns: int | None = None
        self.hears: frozenset[type[Event]] = (
            self._arbiter.hears
            | self._panel.hears - _SAID_HERE
            | {QuoteReceived, OrderFilled, PositionSettled, BookReported, GapSeen, BreakerAsked}
        )
        own = {OrderFilled, BookReported, BreakerAsked}
        self._is_for_panel = self._panel.hears - self._arbiter.hears - _RESYNCHRONISING - own

    @property
    def control_place(self) -> tuple[int, int]:
        """The record of the CONTROL stream that was taken in last, and when it was stored.

        The time is in ns since the epoch; 0: not known.
        """
        return self._arbiter.state.seq_read, self._arbiter.state.read_ns

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Take one event in; a quote is stored and costs no more than that."""
        if type(event) is QuoteReceived:
            self._quotes[event.instrument] = event
            if self._is_price_awaited:
                self._mark_soon(now_ns)
            return NOTHING
        if type(event) in self._is_for_panel:
            return self._hear_for_panel(event, now_ns)
        match event:
            case OrderFilled() | PositionSettled() | BookReported() if self._is_stranger(event):
                return NOTHING
            case OrderFilled() | PositionSettled():
                if self._valuation.on_fill(event):
                    self._mark_soon(now_ns)
                return NOTHING
            case BookReported():
                if self._valuation.on_book(event):
                    self._mark_soon(now_ns)
                return NOTHING
            case BreakerAsked():
                facts, answers = override(event, self._panel, now_ns)
                said = [*self._respond(facts, now_ns), *answers]
            case _:
                said = [*self._resynchronise(event, now_ns), *self._arbiter.handle(event, now_ns)]
                said = self._followed(said, now_ns)
                said += self._respond(self._panel.hear(event, now_ns), now_ns)
        self._set_alarm(now_ns)
        return said

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Value the account, look at the breakers, and let the arbiter give up what waits."""
        said: list[Event] = []
        if self._is_mark_due(now_ns):
            said += self._mark(now_ns)
        said += self._followed(self._arbiter.wake(now_ns), now_ns)
        said += self._respond(self._panel.wake(now_ns), now_ns)
        self._set_alarm(now_ns)
        return said

    def restore(self, event: Event) -> None:
        """Fold one kept event in: a restart clears nothing and measures nothing anew."""
        self._panel.fold(event)
        self._arbiter.restore(event)
        self._set_alarm(event.at_ns)

    def why_not_ready(self, now_ns: int) -> str:
        """Return what would refuse any start, halts aside; empty when nothing would."""
        return self._arbiter.why_not_ready(now_ns)

    def describe(self, now_ns: int) -> ArbiterReported:
        """Return state, newest halt, epoch, equity and every breaker with its inputs."""
        state = self._arbiter.state
        halt = state.open_halt
        why_not = self._arbiter.why_not_leasing(now_ns)
        free_bytes = self._arbiter.watch.disk_free_bytes
        return ArbiterReported(
            at_ns=now_ns,
            breaker_state=state.word,
            halts=state.named,
            halt_reason="" if halt is None else halt.reason,
            halt_operator="" if halt is None else halt.operator,
            halt_at_ns=0 if halt is None else halt.at_ns,
            epoch=state.epoch_last,
            is_leasing=not why_not,
            detail=why_not,
            equity=self._valuation.equity(),
            trading_state=self._arbiter.trading_state(now_ns),
            restrictions=self._arbiter.restrictions(),
            locks=state.locks,
            rebases=self.rebases(now_ns),
            breakers=(*self._panel.views(now_ns), self._manual_view()),
            disk_free_bytes=None if free_bytes < 0 else free_bytes,
        )

    def rebases(self, now_ns: int) -> tuple[str, ...]:
        """Return what a reset would re-base now, in words with numbers, breaker by breaker.

        Where several numbers could be named, each line says with which of them it happens.
        """
        numbers = self._arbiter.state.open_numbers
        found = [
            (number, text)
            for number in numbers
            for text in self._panel.rebases(now_ns, *self._arbiter.state.undone_by(number))
        ]
        if len(numbers) == 1:
            return tuple(text for _, text in found)
        return tuple(f"{text} (only by {reset_command(number)})" for number, text in found)

    def _is_stranger(self, event: Event) -> bool:
        """Return whether another executor tells this than the one that the epoch names."""
        return is_stranger(event.src, executor_of(self._arbiter.state.epoch))

    def _hear_for_panel(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Let the breakers hear what concerns nobody else here: each order and rejection."""
        facts = self._panel.hear(event, now_ns)
        said = self._respond(facts, now_ns) if facts else NOTHING
        self._set_alarm(now_ns)
        return said

    def _mark(self, now_ns: int) -> list[Event]:
        """Value the account once: trip if it is too low, tell the others about once a second."""
        self._marked_ns, self._mark_at_ns = now_ns, None
        self._is_price_awaited = self._valuation.is_holding
        said = self._respond(self._panel.valued(now_ns), now_ns)
        if now_ns - self._published_ns >= self._publish_every_ns:
            marked = self._valuation.marked(self._panel.drawdown.high_water_mark, now_ns)
            if marked is not None:
                self._published_ns = now_ns
                said.append(marked)
        else:  # so that the last change before a silence is published as well
            self._mark_at_ns = self._published_ns + self._publish_every_ns
        return said

    def _respond(self, facts: Sequence[Event], now_ns: int) -> list[Event]:
        """Return the facts, each trip and warning with the response of its level (B-08)."""
        said: list[Event] = []
        for fact in facts:
            match fact:
                case BreakerTripped():
                    trip = possible(fact, self._arbiter)
                    if trip is not fact:  # a reset takes back what went out, and so it must read
                        self._panel.correct(fact, trip)
                    said += self._followed(respond(trip, self._arbiter, now_ns), now_ns)
                case BreakerWarned():
                    said += warn(fact, now_ns)
                case _:
                    said.append(fact)
        return said

    def _followed(self, said: Sequence[Event], now_ns: int) -> list[Event]:
        """Return what was said, and what the breakers make of it: an epoch, or a reset."""
        found = list(said)
        for fact in said:
            match fact:
                case EpochStarted():
                    self._valuation.compare_teller(executor_of(fact))
                    found += self._respond(self._panel.hear(fact, now_ns), now_ns)
                case EpochEnded():
                    found += self._respond(self._panel.hear(fact, now_ns), now_ns)
                case BreakerStateChanged() | RestrictionsChanged():
                    if self._panel.fold(fact):  # what a reset measures anew, it measures now
                        self._mark_soon(now_ns)
        return found

    def _resynchronise(self, event: Event, now_ns: int) -> list[Event]:
        """Forget the book where executions may be missing; ask for it while it is not known."""
        match event:
            case LinkChanged(is_up=True):
                self._valuation.forget_book()
            case GapSeen(subject=subject) if subject.startswith(_BOOK_FAMILIES):
                self._valuation.forget_book()
            case LeaseAsked():
                self._arbiter.watch.on_sight(self._valuation.equity() is not None, now_ns)
            case HealthReported(service="executor") if not self._valuation.is_book_known:
                return [BookWanted(at_ns=now_ns, account=self._account.id)]
        return []

    def _mark_soon(self, now_ns: int) -> None:
        soon_ns = max(now_ns, self._marked_ns + self._mark_every_ns)
        self._is_price_awaited = False
        if self._mark_at_ns is None or soon_ns < self._mark_at_ns:
            self._mark_at_ns = soon_ns
            self._set_alarm(now_ns)

    def _is_mark_due(self, now_ns: int) -> bool:
        opens_ns = self._opens_ns()
        is_open = opens_ns is not None and now_ns >= opens_ns
        return is_open or (self._mark_at_ns is not None and now_ns >= self._mark_at_ns)

    def _opens_ns(self) -> int | None:
        """Return when the next trading day opens; None if the account was valued since then."""
        opens_ns = self._day.due_ns
        return opens_ns if opens_ns is not None and opens_ns > self._marked_ns else None

    def _set_alarm(self, now_ns: int) -> None:
        self.wake_at_ns = earliest(
            self._mark_at_ns,
            self._arbiter.deadline_ns,
            self._opens_ns(),
            self._panel.deadline_ns(now_ns),
        )

    def _manual_view(self) -> BreakerView:
        state = self._arbiter.state
        halt = state.open_halt
        return BreakerView(
            name="manual",
            formula="a halt by anyone stands until `sluice reset`",
            value="no halt is open" if halt is None else str(halt),
            limit="none may be open",
            is_tripped=state.is_manual,
            since_ns=halt.at_ns if halt is not None and state.is_manual else 0,
            on_reset="the halt is cleared; nothing is started",
        )
