"""The gate's core: the only producer of `OrderApproved`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from schemas.base import NS_PER_S, Event, InstrumentId
from schemas.control import BookWanted, HaltRequested, PrepareAsked
from schemas.executions import BookAdopted, BookReported, ExecutionEvent
from schemas.health import GapSeen, GateReported, LinkChanged
from schemas.ids import order_id_of
from schemas.instruments import Instrument
from schemas.limits import LimitsAsked, LimitsChanged, LimitsTightened, PricesSampled
from schemas.market import InstrumentStatusChanged, QuoteReceived, Trading
from schemas.orders import (
    CancelApproved,
    CancelRequested,
    OrderApproved,
    Reading,
    SignalDecided,
    SignalRaised,
)
from schemas.sessions import PositionsAdopted, SessionCreated
from services.control import ControlGuard
from services.core import NOTHING
from services.gate.account import Account
from services.gate.answers import (
    Alarms,
    Denial,
    approval,
    is_addressable,
    nowhere,
    report,
    uncounted,
    unseen,
)
from services.gate.case import Case
from services.gate.check import Check
from services.gate.config import GateConfig
from services.gate.dynamic_limits_report import warned
from services.gate.judge import Judge
from services.gate.preparation import Preparation
from services.gate.state import EXECUTIONS, GateState
from services.gate.table import CHECKS, MEASURES_EXPOSURE

ASK_AGAIN_NS = NS_PER_S
"""How often the executor's book is asked for while exposure is not known."""

_UNKNOWN = Trading.UNKNOWN
SAID: frozenset[type[Event]] = frozenset(
    {
        SignalDecided,
        OrderApproved,
        CancelApproved,
        BookAdopted,
        LimitsChanged,
        LimitsTightened,
        PricesSampled,
    }
)
"""What the gate says itself: families are told of it here, not by the bus."""

RESTARTED = "this process restarted, and the executor has not reported its book since"


class GateCore:
    """Decide on every signal; pass every cancel on.

    Approves only when every check of the table passes. A check that raises denies, and so does
    a limit that nobody has chosen: there is no way past the table.

    An order that was approved leaves first and is counted then, at a deadline that is due at once:
    before anything else is taken in, and before anybody reads what is remembered (ADR 25).
    """

    checks: tuple[Check, ...] = CHECKS

    hears: frozenset[type[Event]] = frozenset(
        {
            *EXECUTIONS,
            QuoteReceived,
            InstrumentStatusChanged,
            SignalRaised,
            CancelRequested,
            BookReported,
            PrepareAsked,
            HaltRequested,
            GapSeen,
            LinkChanged,
            SessionCreated,
            PositionsAdopted,
        }
    )
    keeps: frozenset[type[Event]] = frozenset(
        {
            *EXECUTIONS,
            OrderApproved,
            BookAdopted,
            InstrumentStatusChanged,
            SessionCreated,
            PositionsAdopted,
        }
    )
    """Cancels are not kept: a full disk must not stand in their way (I9)."""

    fsyncs: frozenset[type[Event]] = frozenset({LimitsChanged})
    """Whoever was told that a limit is in force finds it in force after a power failure."""

    def __init__(
        self,
        config: GateConfig,
        instruments: Mapping[InstrumentId, Instrument],
        guard: ControlGuard,
    ) -> None:
        self.wake_at_ns: int | None = None
        self._state = GateState(config, instruments)
        families = self._state.families
        self.hears |= frozenset().union(*(family.hears for family in families)) - SAID
        self.keeps |= frozenset().union(*(family.keeps for family in families))
        self._guard = guard
        self._markets = self._state.markets
        self._alarms = Alarms()
        self._preparation = Preparation(self._state, guard)
        self._unbooked: Sequence[Event] = NOTHING
        self._unbooked_ns = 0
        self._halted_by = ""
        self._asks_overdue_at_ns = 0
        self._asks_at_ns: int | None = None
        self._judge = Judge(self.checks, self._state)
        self._answers: dict[type[Event], Callable[[Any, int], Sequence[Event]]] = {
            **dict.fromkeys(EXECUTIONS, self._on_execution),
            SignalRaised: self._on_signal,
            CancelRequested: self._on_cancel,
            BookReported: self._on_book,
            PrepareAsked: self._on_prepare,
            HaltRequested: self._on_halt,
            GapSeen: self._on_loss,
            LinkChanged: self._on_loss,
            LimitsAsked: self._on_limits,
        }
        self._hearers = self._state.hearers
        self._quote_hearers = self._hearers.get(QuoteReceived, ())
        self._set_alarm()

    @property
    def state(self) -> GateState:
        """All that is remembered, with every approval that was said."""
        self._book()
        return self._state

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Take one event in; a signal is answered by its decision and, approved, its order."""
        if self._unbooked:
            self._book()
        if isinstance(event, QuoteReceived):  # by far the most
            market = self._markets.get(event.instrument)
            if market is not None:
                market.take(event, now_ns)
            for family in self._quote_hearers:
                family.apply(event, now_ns)
                due_ns, wake_ns = family.wake_at_ns, self.wake_at_ns
                if due_ns is not None and (wake_ns is None or due_ns < wake_ns):
                    self.wake_at_ns = due_ns
            return NOTHING
        self._state.unvalued.value()
        answer = self._answers.get(type(event))
        if answer is None:
            self._state.apply(event, now_ns)
            said = NOTHING
        else:
            said = answer(event, now_ns)
        if self._unbooked:
            self.wake_at_ns = now_ns
        else:
            self._set_alarm()
        return said

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Count what has left; ask for the executor's book while exposure is not known."""
        self._book()
        self._state.unvalued.value()
        said: list[Event] = []
        if self._asks_at_ns is not None and self._asks_at_ns <= now_ns:
            said += self._ask(now_ns)
        for family in self._state.families:
            if family.wake_at_ns is not None and family.wake_at_ns <= now_ns:
                for event in family.wake(now_ns):
                    self._state.apply(event, now_ns, said_by=family)
                    said.append(event)
        self._set_alarm(now_ns + 1)
        return said

    def _set_alarm(self, earliest_ns: int = 0) -> None:
        """Wake when the first of all deadlines comes, though not before `earliest_ns`."""
        first_ns = self._asks_at_ns
        for family in self._state.families:
            due_ns = family.wake_at_ns
            if due_ns is not None and (first_ns is None or due_ns < first_ns):
                first_ns = due_ns
        self.wake_at_ns = None if first_ns is None else max(first_ns, earliest_ns)

    def _book(self) -> None:
        """Count the approval that has left."""
        unbooked, self._unbooked = self._unbooked, NOTHING
        for fact in unbooked:
            self._state.apply(fact, self._unbooked_ns)

    def restore(self, event: Event) -> None:
        """Fold one kept event in. What was missed meanwhile nobody knows: only a book helps.

        That the feed had lost sight of an instrument is forgotten: the feed says it anew.
        """
        is_blindness = isinstance(event, InstrumentStatusChanged) and event.trading is _UNKNOWN
        if not is_blindness:
            self._state.restore(event)
        self._state.distrust(RESTARTED)

    def describe(self, now_ns: int) -> GateReported:
        """Return counts by rule, the worst case of each instrument, and the limits."""
        self._book()
        self._state.unvalued.value()
        limits = msgspec.to_builtins(self._state.dynamic.changes.config)
        return report(self._state, limits, self._guard, now_ns)

    def _on_signal(self, signal: SignalRaised, now_ns: int) -> Sequence[Event]:
        # Read before the guard is asked: an epoch that starts in between must not be the order's.
        epoch, gate_token = self._guard.epoch, self._guard.gate_token
        order_id = order_id_of(signal.account, signal.session, signal.signal_id, signal.leg)
        state = self._state
        account = state.accounts.get(signal.account)
        restriction = (
            self._guard.restriction_on(signal.account, signal.session, signal.instrument)
            if self._guard.restrictions
            else None
        )
        if account is not None and account.compare_teller(self._guard.executors.named):
            self._asks_at_ns = now_ns  # what is known is another executor's: deny, and ask
        refusal = self._refusal(now_ns)
        own = None if restriction is None else self._guard.session_reduced(signal.session)
        case = Case(signal, order_id, now_ns, refusal, state, account, restriction, own)
        readings, denial = self._judge.judge(case)
        if denial is None:
            said = approval(case, readings, epoch, gate_token)
        else:
            said = self._reduced(case, denial, epoch, gate_token)
        self._unbooked, self._unbooked_ns = said, now_ns
        if denial is not None and not said:
            said = self._denied(denial, case, readings, epoch)
        return said

    def _denied(
        self, denial: Denial, case: Case, readings: tuple[Reading, ...], epoch: int
    ) -> list[Event]:
        """Return why not, and count it; nothing leaves that could be waiting for it."""
        said = denial.events(case, readings, epoch)
        if denial.error is not None:
            said += self._alarms.raised(denial, case)
        elif denial.rule in MEASURES_EXPOSURE:
            said += self._doubt_overdue(case.account, case.now_ns)
        for fact in said:
            self._state.apply(fact, case.now_ns)
        return said

    def _reduced(self, case: Case, denial: Denial, epoch: int, gate_token: int) -> list[Event]:
        """Return the approval of as much of a denied order as fits; nothing where none does."""
        if not case.is_instrument_known or not case.limits.is_reduced:
            return []
        quantity = self._judge.fitted(case, denial)
        if not quantity:
            return []
        smaller = case.of(quantity)
        readings, objection = self._judge.judge(smaller)
        if objection is not None:
            return []
        return approval(smaller, readings, epoch, gate_token, denial)

    def _doubt_overdue(self, account: Account, now_ns: int) -> Sequence[Event]:
        """Ask for the book when approvals that got lost on their way may be what is in the way.

        Such an approval can never be sent any more, but only the executor can say that it was not.
        """
        if now_ns < self._asks_overdue_at_ns:
            return NOTHING
        self._asks_overdue_at_ns = now_ns + ASK_AGAIN_NS
        wanted = BookWanted(at_ns=now_ns, account=account.id)
        return [wanted] if account.is_overdue(now_ns) else NOTHING

    def _refusal(self, now_ns: int) -> str:
        refusal = self._guard.permits(now_ns)
        return refusal + self._halted_by if refusal == "halted" else refusal

    def _on_cancel(self, event: CancelRequested, now_ns: int) -> Sequence[Event]:
        """Pass it on, always (I9): nothing is asked, nothing that could fail stands before."""
        if not is_addressable(event):
            return [nowhere(event, now_ns)]
        passed = CancelApproved(
            at_ns=now_ns,
            account=event.account,
            instrument=event.instrument,
            order_id=event.order_id,
        )
        try:
            self._state.apply(passed, now_ns)
        except Exception as error:  # counting it may fail; passing it on may not
            return [passed, uncounted(passed, error)]
        return [passed]

    def _on_execution(self, event: ExecutionEvent, now_ns: int) -> Sequence[Event]:
        """Fold it in, unless another executor tells it than the one that the epoch names."""
        if not self._guard.is_stranger(event.src, now_ns):
            self._state.apply(event, now_ns)
        return NOTHING

    def _on_book(self, book: BookReported, now_ns: int) -> Sequence[Event]:
        if self._guard.is_stranger(book.src, now_ns):
            return NOTHING
        said: list[Event] = []
        self._state.apply(book, now_ns)
        account = self._state.accounts.get(book.account)
        if account is not None and account.needs(book):
            adopted = BookAdopted(at_ns=now_ns, book=book)
            self._state.apply(adopted, now_ns)
            said.append(adopted)
            if account.unseen.found:
                said.append(unseen(account, now_ns))
        elif account is not None:
            account.agree(book)
        said += self._preparation.booked(book, now_ns)
        return said

    def _on_prepare(self, event: PrepareAsked, now_ns: int) -> Sequence[Event]:
        self._state.apply(event, now_ns)
        self._halted_by = ""  # who starts has seen the halt; a new one brings its own name
        return self._preparation.asked(event, now_ns)

    def _on_halt(self, event: HaltRequested, now_ns: int) -> Sequence[Event]:
        """Note who it was, for the denials to come. It is the guard that denies."""
        self._state.apply(event, now_ns)
        self._halted_by = f" by {event.operator or 'nobody named'}: {event.reason or 'no reason'}"
        return NOTHING

    def _on_limits(self, event: LimitsAsked, now_ns: int) -> Sequence[Event]:
        """Have a change judged, fold it in when it may be, and say what is beyond it already."""
        said = self._state.dynamic.ask(event, now_ns)
        for fact in said:
            self._state.apply(fact, now_ns)
        return warned(self._state, said)

    def _on_loss(self, event: GapSeen | LinkChanged, now_ns: int) -> Sequence[Event]:
        self._state.apply(event, now_ns)
        return self._ask(now_ns)

    def _ask(self, now_ns: int) -> Sequence[Event]:
        wanted = [
            BookWanted(at_ns=now_ns, account=account.id)
            for account in self._state.accounts.values()
            if account.doubt
        ]
        self._asks_at_ns = now_ns + ASK_AGAIN_NS if wanted else None
        return wanted
