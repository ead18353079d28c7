"""The gate's core: the only producer of `OrderApproved`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from schemas.base import NS_PER_S, Event, InstrumentId
from schemas.control import BookWanted, HaltRequested, PrepareAsked
from schemas.executions import BookAdopted, BookReported
from schemas.health import GapSeen, GateReported, LinkChanged
from schemas.ids import order_id_of
from schemas.instruments import Instrument
from schemas.market import InstrumentStatusChanged, QuoteReceived, Trading
from schemas.orders import CancelApproved, CancelRequested, OrderApproved, Reading, SignalRaised
from services.control import ControlGuard
from services.core import NOTHING
from services.gate.account import Account
from services.gate.answers import Alarms, Denial, approval, is_addressable, nowhere, report
from services.gate.case import PASS, Case
from services.gate.check import Check
from services.gate.config import GateConfig
from services.gate.limits import LimitMissingError
from services.gate.preparation import Preparation
from services.gate.state import EXECUTIONS, GateState
from services.gate.table import CHECKS, MEASURES_EXPOSURE

ASK_AGAIN_NS = NS_PER_S
"""How often the executor's book is asked for while exposure is not known."""

_UNKNOWN = Trading.UNKNOWN
RESTARTED = "this process restarted, and the executor has not reported its book since"


class GateCore:
    """Decide on every signal; pass every cancel on.

    Approves only when every check of the table passes. A check that raises denies, and so does
    a limit that nobody has chosen: there is no way past the table.
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
        }
    )
    keeps: frozenset[type[Event]] = frozenset(
        {*EXECUTIONS, OrderApproved, BookAdopted, InstrumentStatusChanged}
    )
    """Cancels are not kept: a full disk must not stand in their way (I9)."""

    def __init__(
        self,
        config: GateConfig,
        instruments: Mapping[InstrumentId, Instrument],
        guard: ControlGuard,
    ) -> None:
        self.wake_at_ns: int | None = None
        self.state = GateState(config, instruments)
        self._limits: dict[str, Any] = msgspec.to_builtins(config)
        self._guard = guard
        self._markets = self.state.markets
        self._alarms = Alarms()
        self._preparation = Preparation(self.state, guard)
        self._halted_by = ""
        self._asks_overdue_at_ns = 0
        self._rows = tuple(
            (check.name, check.read, Reading(check=check.name, is_ok=True)) for check in self.checks
        )
        self._answers: dict[type[Event], Callable[[Any, int], Sequence[Event]]] = {
            SignalRaised: self._on_signal,
            CancelRequested: self._on_cancel,
            BookReported: self._on_book,
            PrepareAsked: self._on_prepare,
            HaltRequested: self._on_halt,
            GapSeen: self._on_loss,
            LinkChanged: self._on_loss,
        }

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Take one event in; a signal is answered by its decision and, approved, its order."""
        if isinstance(event, QuoteReceived):  # by far the most
            market = self._markets.get(event.instrument)
            if market is not None:
                market.take(event, now_ns)
            return NOTHING
        answer = self._answers.get(type(event))
        if answer is not None:
            return answer(event, now_ns)
        self.state.apply(event)
        return NOTHING

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Ask for the executor's book again while exposure is not known."""
        return self._ask(now_ns)

    def restore(self, event: Event) -> None:
        """Fold one kept event in. What was missed meanwhile nobody knows: only a book helps.

        That the feed had lost sight of an instrument is forgotten: the age of quotes says it anew.
        """
        is_blindness = isinstance(event, InstrumentStatusChanged) and event.trading is _UNKNOWN
        if not is_blindness:
            self.state.apply(event)
        self.state.distrust(RESTARTED)

    def describe(self, now_ns: int) -> GateReported:
        """Return counts by rule, the worst case of each instrument, and the limits."""
        return report(self.state, self._limits, self._guard, now_ns)

    def _on_signal(self, signal: SignalRaised, now_ns: int) -> Sequence[Event]:
        # Read before the guard is asked: an epoch that starts in between must not be the order's.
        epoch, gate_token = self._guard.epoch, self._guard.gate_token
        order_id = order_id_of(signal.account, signal.session, signal.signal_id, signal.leg)
        state = self.state
        account = state.accounts.get(signal.account)
        case = Case(signal, order_id, now_ns, self._refusal(now_ns), state.ids, account)
        readings: list[Reading] = []
        denial = self._judge(case, readings)
        if denial is None:
            said = approval(case, tuple(readings), epoch, gate_token)
        else:
            said = denial.events(case, tuple(readings), epoch)
            if denial.error is not None:
                said += self._alarms.raised(denial, case)
            elif denial.rule in MEASURES_EXPOSURE:
                said += self._doubt_overdue(case.account, now_ns)
        for fact in said:
            state.apply(fact)
        return said

    def _judge(self, case: Case, readings: list[Reading]) -> Denial | None:
        """Return the denial, or None; `readings` gets every check up to the one that decided."""
        try:
            for name, read, passed in self._rows:
                verdict = read(case)
                if verdict is PASS:
                    readings.append(passed)
                    continue
                is_ok, value, limit = verdict
                readings.append(Reading(check=name, is_ok=is_ok, value=value, limit=limit))
                if not is_ok:
                    return Denial.by(self.checks[len(readings) - 1], value, limit)
        except LimitMissingError as missing:
            readings.append(Reading(check=self.checks[len(readings)].name, is_ok=False))
            return Denial("limit_missing", str(missing))
        except Exception as error:  # whatever it is, nothing may pass because of it
            name = self.checks[len(readings)].name
            readings.append(Reading(check=name, is_ok=False))
            return Denial.after(name, error)
        return None

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
        self.state.apply(passed)
        return [passed]

    def _on_book(self, book: BookReported, now_ns: int) -> Sequence[Event]:
        said: list[Event] = []
        account = self.state.accounts.get(book.account)
        if account is not None and account.needs(book):
            adopted = BookAdopted(at_ns=now_ns, book=book)
            self.state.apply(adopted)
            said.append(adopted)
        said += self._preparation.booked(book, now_ns)
        return said

    def _on_prepare(self, event: PrepareAsked, now_ns: int) -> Sequence[Event]:
        self._halted_by = ""  # who starts has seen the halt; a new one brings its own name
        return self._preparation.asked(event, now_ns)

    def _on_halt(self, event: HaltRequested, now_ns: int) -> Sequence[Event]:
        """Note who it was, for the denials to come. It is the guard that denies."""
        self._halted_by = f" by {event.operator or 'nobody named'}: {event.reason or 'no reason'}"
        return NOTHING

    def _on_loss(self, event: GapSeen | LinkChanged, now_ns: int) -> Sequence[Event]:
        self.state.apply(event)
        return self._ask(now_ns)

    def _ask(self, now_ns: int) -> Sequence[Event]:
        wanted = [
            BookWanted(at_ns=now_ns, account=account.id)
            for account in self.state.accounts.values()
            if account.doubt
        ]
        self.wake_at_ns = now_ns + ASK_AGAIN_NS if wanted else None
        return wanted
