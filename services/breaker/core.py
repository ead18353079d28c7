"""The breaker service: arbiter and circuit breakers, told the time and what happened."""

from collections.abc import Sequence

from schemas.base import NS_PER_MS, BootId, Event
from schemas.control import (
    BookWanted,
    BreakerState,
    BreakerStateChanged,
    BreakerTripped,
    ControlRecordRead,
    EpochEnded,
    EpochProposed,
    EpochStarted,
    HaltRequested,
    HighWaterMarkSet,
    LeaseAsked,
)
from schemas.executions import BookReported, OrderFilled
from schemas.health import ArbiterReported, BreakerView, GapSeen, HealthReported, LinkChanged
from schemas.market import QuoteReceived
from services.breaker.arbiter import Arbiter
from services.breaker.config import BreakerConfig
from services.breaker.drawdown import AccountTerms, Drawdown
from services.breaker.watch import Roster
from services.core import NOTHING

_LIVE = Roster()
_BOOK_FAMILIES = ("exec.", "book.")


class BreakerCore:
    """Compose the parts: quotes and fills go to the drawdown breaker, the rest to the arbiter.

    A quote is only stored; the account is valued by the alarm, and the alarm is set only by a
    change: something is held and a price came, or a fill or a book came.
    """

    keeps: frozenset[type[Event]] = frozenset(
        {
            HaltRequested,
            ControlRecordRead,
            BreakerTripped,
            BreakerStateChanged,
            EpochProposed,
            EpochStarted,
            EpochEnded,
            HighWaterMarkSet,
        }
    )

    fsyncs: frozenset[type[Event]] = frozenset({BreakerTripped, BreakerStateChanged, EpochProposed})
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
        self._drawdown = Drawdown(account, config.drawdown_max)
        self._quotes = self._drawdown.quotes
        self._mark_every_ns = config.mark_every_ms * NS_PER_MS
        self._publish_every_ns = config.publish_every_ms * NS_PER_MS
        self._marked_ns = -self._mark_every_ns
        self._published_ns = -self._publish_every_ns
        self._mark_at_ns: int | None = None
        self._is_price_awaited = False
        self.wake_at_ns: int | None = None
        self.hears: frozenset[type[Event]] = self._arbiter.hears | {
            QuoteReceived,
            OrderFilled,
            BookReported,
            GapSeen,
        }

    @property
    def control_seq(self) -> int:
        """The record of the CONTROL stream that was taken in last: where to read on."""
        return self._arbiter.state.seq_read

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Take one event in; a quote is stored and costs no more than that."""
        if type(event) is QuoteReceived:
            self._quotes[event.instrument] = event
            if self._is_price_awaited:
                self._mark_soon(now_ns)
            return NOTHING
        match event:
            case OrderFilled():
                if self._drawdown.on_fill(event):
                    self._mark_soon(now_ns)
                return NOTHING
            case BookReported():
                if self._drawdown.on_book(event):
                    self._mark_soon(now_ns)
                return NOTHING
        said = [*self._resynchronise(event, now_ns), *self._arbiter.handle(event, now_ns)]
        self._after_reset(said)
        self._set_alarm()
        return said

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Value the account, and let the arbiter give up what has waited too long."""
        said: list[Event] = []
        if self._mark_at_ns is not None and now_ns >= self._mark_at_ns:
            said += self._mark(now_ns)
        said += self._arbiter.wake(now_ns)
        self._set_alarm()
        return said

    def restore(self, event: Event) -> None:
        """Fold one kept event in: a restart clears no halt and lowers no high-water mark."""
        self._drawdown.apply(event)
        self._arbiter.restore(event)
        self._set_alarm()

    def why_not_ready(self, now_ns: int) -> str:
        """Return what would refuse any start, halts aside; empty when nothing would."""
        return self._arbiter.why_not_ready(now_ns)

    def describe(self, now_ns: int) -> ArbiterReported:
        """Return state, newest halt, epoch, equity and every breaker with its inputs."""
        state = self._arbiter.state
        halt = state.open_halt
        why_not = self._arbiter.why_not_leasing(now_ns)
        return ArbiterReported(
            at_ns=now_ns,
            breaker_state=state.word,
            halts=state.halts,
            halt_reason="" if halt is None else halt.reason,
            halt_operator="" if halt is None else halt.operator,
            halt_at_ns=0 if halt is None else halt.at_ns,
            epoch=state.epoch_last,
            is_leasing=not why_not,
            detail=why_not,
            equity=self._drawdown.equity(),
            breakers=(self._drawdown.view(now_ns), self._manual_view()),
        )

    def _mark(self, now_ns: int) -> list[Event]:
        """Value the account once: trip if it is too low, tell the others about once a second."""
        self._marked_ns, self._mark_at_ns = now_ns, None
        self._is_price_awaited = self._drawdown.is_holding
        said: list[Event] = []
        for fact in self._drawdown.mark(now_ns):
            if isinstance(fact, BreakerTripped):
                said += self._arbiter.trip(fact, now_ns)
            else:
                said.append(fact)
        if now_ns - self._published_ns >= self._publish_every_ns:
            marked = self._drawdown.marked(now_ns)
            if marked is not None:
                self._published_ns = now_ns
                said.append(marked)
        else:  # so that the last change before a silence is published as well
            self._mark_at_ns = self._published_ns + self._publish_every_ns
        return said

    def _resynchronise(self, event: Event, now_ns: int) -> list[Event]:
        """Forget the book where executions may be missing; ask for it while it is not known."""
        match event:
            case LinkChanged(is_up=True):
                self._drawdown.forget_book()
            case GapSeen(subject=subject) if subject.startswith(_BOOK_FAMILIES):
                self._drawdown.forget_book()
            case LeaseAsked():
                self._arbiter.watch.on_sight(self._drawdown.equity() is not None, now_ns)
            case HealthReported(service="executor") if not self._drawdown.is_book_known:
                return [BookWanted(at_ns=now_ns, account=self._account.id)]
        return []

    def _after_reset(self, said: Sequence[Event]) -> None:
        for fact in said:
            if isinstance(fact, BreakerStateChanged) and fact.state is BreakerState.NORMAL:
                self._drawdown.apply(fact)

    def _mark_soon(self, now_ns: int) -> None:
        soon_ns = max(now_ns, self._marked_ns + self._mark_every_ns)
        self._is_price_awaited = False
        if self._mark_at_ns is None or soon_ns < self._mark_at_ns:
            self._mark_at_ns = soon_ns
            self._set_alarm()

    def _set_alarm(self) -> None:
        deadline_ns = self._arbiter.deadline_ns
        due = [each for each in (self._mark_at_ns, deadline_ns) if each is not None]
        self.wake_at_ns = min(due, default=None)

    def _manual_view(self) -> BreakerView:
        state = self._arbiter.state
        halt = state.open_halt
        return BreakerView(
            name="manual",
            formula="a halt by anyone stands until `sluice reset`",
            value="no halt is open" if halt is None else str(halt),
            limit="none may be open",
            is_tripped=state.is_manual,
        )
