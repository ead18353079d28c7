"""The executor: approved orders to the venue, at most once each, and what became of them. Pure.

The life of an order: approved, INTENT kept and fsynced, placed (the port asks `may_send` in the
same step as it writes), OUTCOME kept, submitted; then whatever the venue reports. An order whose
answer is missing is UNKNOWN: it is asked for, and never sent again. An intent that a restart finds
without its outcome is such an order too.

The link to the venue keeps order in both directions, so an answer to a question proves everything
that was sent before the question was.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from schemas.base import NS_PER_MS, NS_PER_S, AccountId, Event, InstrumentId, OrderId
from schemas.control import EpochStarted, HaltRequested, PrepareAsked
from schemas.errors import FieldError
from schemas.executions import (
    CLOSED,
    BookReported,
    IntentRecorded,
    OrderStatus,
    OutcomeRecorded,
)
from schemas.health import GapSeen, LinkChanged
from schemas.instruments import Instrument
from schemas.orders import CancelApproved, Order, OrderApproved
from schemas.reconciliation import FenceRaised, ReconcileAsked, ReconciliationReported
from schemas.repeats import FactsTold
from schemas.restrictions import (
    FlattenAsked,
    FlattenReported,
    RestrictionRequested,
)
from schemas.sessions import PositionsAdopted
from schemas.venue import (
    CancelPlaced,
    OrderPlaced,
    VenueBook,
    VenueCancelRejected,
    VenueFilled,
    VenueLinkChanged,
    VenueOrderStatus,
)
from services.control import ControlGuard
from services.core import NOTHING
from services.executor import facts
from services.executor.alarms import Alarm, Alarms
from services.executor.cancelling import Cancelling
from services.executor.clearing import Clearings, Scopes
from services.executor.config import ExecutorConfig
from services.executor.contradictions import Contradictions
from services.executor.fates import Fates
from services.executor.flatten import Flattener
from services.executor.last_check import LastCheck
from services.executor.money import Money
from services.executor.orders import Orders, Record
from services.executor.reconcile import compare
from services.executor.rounds import Rounds
from services.executor.settling import Settling
from services.executor.teller import Teller
from services.executor.untold import Untold

Handler = Callable[[Any, int], Sequence[Event]]


class ExecutorCore:
    """One account's way to its venue.

    Args:
        config: patience and rhythm.
        account: the only one it sends for.
        instruments: what may be sent.
        initial_cash: before the first execution.
        guard: whether this component may act; read at every send.
        is_linked: whether a venue is there from the start, with an empty book: in `fused`.
    """

    hears: frozenset[type[Event]] = frozenset(
        {
            OrderApproved,
            CancelApproved,
            OutcomeRecorded,
            HaltRequested,
            RestrictionRequested,
            EpochStarted,
            FlattenAsked,
            ReconcileAsked,
            PrepareAsked,
            PositionsAdopted,
            GapSeen,
            LinkChanged,
            *facts.NEWS,
            *facts.SHAPES,
        }
    )
    keeps: frozenset[type[Event]] = Orders.keeps | {
        PositionsAdopted,
        FlattenReported,
        ReconciliationReported,
        FactsTold,
    }
    fsyncs: frozenset[type[Event]] = frozenset({IntentRecorded, OutcomeRecorded, FenceRaised})
    """What must be on the disk before anything is sent or published on the strength of it."""

    def __init__(
        self,
        config: ExecutorConfig,
        account: AccountId,
        instruments: Mapping[InstrumentId, Instrument],
        initial_cash: Decimal,
        guard: ControlGuard,
        is_linked: bool = False,
    ) -> None:
        self.wake_at_ns: int | None = None
        self._config, self._guard, self._account = config, guard, account
        self._alarms = alarms = Alarms()
        kept = config.recent_orders_max, config.closed_orders_max
        self.orders = orders = Orders(instruments, initial_cash, *kept)
        scopes = Scopes(account, orders)
        self.clearings = Clearings(orders, scopes)
        self.rounds = rounds = Rounds(account, orders, guard, self.clearings)
        rounds.is_linked = rounds.is_compared = is_linked
        self._check = LastCheck(account, instruments, orders, guard, rounds)
        self._teller = teller = Teller(config, orders, alarms)
        self._untold = Untold(account, config.retell_after_s, alarms)
        self._money = Money(account, teller, rounds)
        self._fates = Fates(config, orders, rounds, alarms, teller)
        self._contradictions = Contradictions(orders, rounds)
        self.flattener = Flattener(
            config, account, instruments, scopes, orders, rounds, guard, alarms
        )
        self._cancelling = Cancelling(
            config, self.clearings, rounds, self.flattener, guard, alarms, is_linked
        )
        self._settling = Settling(account, instruments, orders, rounds, teller, self.flattener)
        self._wishes: dict[OrderId, CancelApproved] = {}  # cancels not yet answered
        self._hears = self._handlers()
        self._rings = self._deadlines()

    def _handlers(self) -> dict[type[Event], Handler]:
        return {
            **dict.fromkeys(facts.SHAPES, self._on_report),
            **self._money.handlers,
            OrderApproved: self._on_approved,
            CancelApproved: self._on_cancel,
            OutcomeRecorded: self._on_outcome,
            HaltRequested: self._cancelling.halt,
            RestrictionRequested: self._cancelling.restrict,
            EpochStarted: self._on_epoch,
            FlattenAsked: self.flattener.ask,
            ReconcileAsked: self._settling.decide,
            PrepareAsked: self._on_prepare,
            PositionsAdopted: self._on_takeover,
            GapSeen: self._on_gap,
            LinkChanged: self._on_gap,
            VenueLinkChanged: self._on_link,
            VenueBook: self._on_book,
            VenueOrderStatus: self._fates.learn,
        }

    def _deadlines(self) -> dict[Alarm, Callable[[int], Sequence[Event]]]:
        return {
            Alarm.ANSWER: self._fates.are_late,
            Alarm.QUERY: self._fates.ask_again,
            Alarm.CANCEL: self._cancelling.again,
            Alarm.PREPARE: self._prepare_late,
            Alarm.FLATTEN: self.flattener.go_on,
            Alarm.RECONCILE: self._reconcile,
            Alarm.REPORT: self._report_due,
            Alarm.RETELL: self._untold.ring,
        }

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Take one event in; return what follows from it."""
        said = self._hears[type(event)](event, now_ns)
        if said:
            self._untold.note(said, now_ns)
        self.wake_at_ns = self._alarms.next_ns
        return said

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Do what is due."""
        said: list[Event] = []
        for alarm in self._alarms.take_due(now_ns):
            said += self._rings[alarm](now_ns)
        self._untold.note(said, now_ns)
        self.wake_at_ns = self._alarms.next_ns
        return said

    def restore(self, event: Event) -> None:
        """Fold one kept event in."""
        self._untold.restore(event)
        self.wake_at_ns = self._alarms.next_ns
        match event:
            case ReconciliationReported():
                self.rounds.apply(event)
            case FlattenReported():
                self.flattener.apply(event)
            case FactsTold():
                pass
            case PositionsAdopted():
                self.orders.shares.take_over(event, self._account)
            case _:
                self.orders.restore(event)

    def describe(self, now_ns: int) -> BookReported:
        """Return the whole book as it stands."""
        return self.rounds.report("", now_ns)

    def may_send(self, order: Order, now_ns: int) -> str:
        """Return why this order may not be written to the venue now; empty when it may.

        The port asks in the same step as it writes, with nothing between. Text: `<rule>: <detail>`.
        """
        return self._check.may_send(order, now_ns)

    def why_not_ready(self) -> str:
        """Return what keeps it from sending, halts aside; empty when nothing does."""
        if not self.rounds.is_linked:
            return "the venue cannot be reached"
        return "" if self.rounds.is_compared else "our book and the venue's are not known to agree"

    # orders and cancels

    def _on_approved(self, event: OrderApproved, now_ns: int) -> Sequence[Event]:
        order = event.order
        if self.orders.is_used(order.order_id):  # at most once, however often it is approved
            return NOTHING
        record = Record(order, event.epoch, event.gate_token)
        self.orders.add(record, now_ns)
        why = self._check.why_not(record, now_ns)
        if why:
            return self._teller.say(facts.refused(record, why, now_ns), now_ns)
        intent = IntentRecorded(
            at_ns=now_ns, order=order, epoch=event.epoch, gate_token=event.gate_token
        )
        self._teller.say(intent, now_ns)
        return (intent, OrderPlaced(at_ns=now_ns, order=order))

    def _on_outcome(self, event: OutcomeRecorded, now_ns: int) -> Sequence[Event]:
        record = self.orders.open.get(event.order_id)
        if record is None:
            return NOTHING
        self._teller.say(event, now_ns)
        if not event.is_sent:
            return self._teller.say(facts.refused(record, event.detail, now_ns), now_ns)
        if record.status is OrderStatus.SUBMITTED:
            self._fates.wait_for(event.order_id, now_ns)
        return (facts.submitted(record, now_ns),)

    def _on_cancel(self, event: CancelApproved, now_ns: int) -> Sequence[Event]:
        """Pass a cancel on: always, and to the venue it is repeated when the link returns (I9)."""
        record = self.orders.records.get(event.order_id)
        if record is not None and record.status in CLOSED:
            return (facts.cancel_rejected(event, record, f"it is {record.status}", now_ns),)
        self._wishes[event.order_id] = event
        return (CancelPlaced(at_ns=now_ns, order_id=event.order_id),)

    # reports of the venue

    def _on_report(self, report: Any, now_ns: int) -> Sequence[Event]:
        order_id: OrderId = report.order_id
        record = self.orders.records.get(order_id)
        wish = self._wishes.get(order_id)
        if isinstance(report, VenueCancelRejected) and wish is not None:
            del self._wishes[order_id]
            return (facts.cancel_rejected(wish, record, report.reason, now_ns),)
        if record is None:
            return self._contradictions.of_a_stranger(report, now_ns)
        before = record.status
        self._fates.answered(order_id)
        if untold := self._fates.of_untold(record, report, now_ns):
            return untold
        said = [*self._told(record, report, now_ns), *self._fates.after(record, report, now_ns)]
        if wish is not None and record.status in CLOSED:
            del self._wishes[order_id]
        wrong = self._contradictions.after(record, report, before, now_ns, is_news=bool(said))
        return [*said, *wrong] if wrong else said

    def _told(self, record: Record, report: Any, now_ns: int) -> Sequence[Event]:
        fact = facts.reported(record, report, now_ns)
        said = NOTHING if fact is None else self._teller.say(fact, now_ns)
        if said and isinstance(report, VenueFilled):
            self.flattener.filled(record, now_ns)
        return said

    def _on_book(self, book: VenueBook, now_ns: int) -> Sequence[Event]:
        """Fold missed executions, learn fates, then compare; look again before concluding."""
        said = self._money.settle_all(book.settlements, now_ns)
        for fill in book.executions:
            record = self.orders.records.get(fill.order_id)
            if record is not None:  # else it is a difference, found below
                self._fates.answered(fill.order_id)
                said += self._told(record, fill, now_ns)
        said += self._fates.learn_from(book, now_ns)
        if self.rounds.deserves_second_look(book.request_id) and (unknown := self.orders.unknown()):
            said += [facts.question(record, now_ns) for record in unknown]
            return [*said, self.rounds.question(book.request_id, now_ns, is_thorough=False)]
        if self.orders.unknown():
            self._fates.ask_later(now_ns)
        differences = compare(self.orders, book, self._config).differences
        is_whole = self.rounds.has_every_execution(book.request_id)
        if not is_whole and self.rounds.is_news(differences):
            name = book.request_id
            return [*said, self.rounds.question(name, now_ns, is_thorough=False, since_ns=0)]
        was_compared = self.rounds.is_compared
        said += self.rounds.conclude(differences, now_ns)
        self._settling.hear(book)
        said += self._cancelling.compared(book, now_ns)
        said += self._answered_by(book, now_ns)
        if was_compared is not self.rounds.is_compared:
            self._teller.changed(now_ns)
        return said

    def _answered_by(self, book: VenueBook, now_ns: int) -> list[Event]:
        """Return what waited for this answer: a start, a halt, a restriction, a flatten."""
        said: list[Event] = []
        preparing = self.rounds.preparing
        if preparing is not None and book.request_id == preparing.start_id:
            said += self.rounds.answer(now_ns)
            self._alarms.disarm(Alarm.PREPARE)
        said += self._cancelling.heard(book, now_ns)
        return [*said, *self.flattener.hear(book, now_ns)]

    def _on_link(self, event: VenueLinkChanged, now_ns: int) -> Sequence[Event]:
        self.rounds.turn(is_linked=event.is_up)
        self._teller.changed(now_ns)
        said = self._fates.turn(now_ns)
        if not event.is_up:
            self._alarms.disarm(Alarm.RECONCILE)
            return [*said, facts.alert("SLU-130", f"venue link lost: {event.detail}", now_ns)]
        known = self.orders.records
        for order_id in [each for each in self._wishes if each in known]:
            if known[order_id].status in CLOSED:  # by an answer that came with a book, or a query
                del self._wishes[order_id]
        said += [CancelPlaced(at_ns=now_ns, order_id=order_id) for order_id in self._wishes]
        said += [*self._reconcile(now_ns), *self._prepare(now_ns)]
        return [*said, *self._cancelling.again(now_ns)]

    # starts, halts and restrictions

    def _on_prepare(self, event: PrepareAsked, now_ns: int) -> Sequence[Event]:
        """Ask for the venue's book: now, or once a link that is on its way back is there."""
        self.rounds.preparing = event
        self._alarms.arm(Alarm.PREPARE, now_ns + self._config.prepare_timeout_ms * NS_PER_MS)
        return self._prepare(now_ns)

    def _prepare(self, now_ns: int) -> Sequence[Event]:
        asked = self.rounds.preparing
        if asked is None or not self.rounds.is_linked:
            return NOTHING
        return (self.rounds.question(asked.start_id, now_ns),)

    def _on_epoch(self, event: EpochStarted, now_ns: int) -> Sequence[Event]:
        """Keep the token of a new gate before anything is sent for it (I5)."""
        if event.gate_token <= self.orders.gate_token_max:
            return NOTHING
        raised = FenceRaised(at_ns=now_ns, gate_token=event.gate_token, epoch=event.epoch)
        self.orders.apply(raised)
        return (raised,)

    def _on_gap(self, event: GapSeen | LinkChanged, now_ns: int) -> Sequence[Event]:
        """Tell the whole book: somebody may have missed a part of it; the record, facts too."""
        again = NOTHING
        if isinstance(event, LinkChanged):
            again = self._untold.turn(now_ns, is_up=event.is_up)
            if not event.is_up:
                return NOTHING
        return [*self._report_due(now_ns), *again]

    def _on_takeover(self, event: PositionsAdopted, now_ns: int) -> Sequence[Event]:
        """Count for a session of this account what it took over."""
        self.orders.shares.take_over(event, self._account)
        return NOTHING

    # what is due

    def _prepare_late(self, now_ns: int) -> Sequence[Event]:
        if self.rounds.preparing is None:
            return NOTHING
        found = "no answer in time" if self.rounds.is_linked else "the link to it is down"
        wanted = "its book: check `sluice status` and the venue's log"
        error = FieldError(path=f"{facts.COMPONENT}.venue", found=found, wanted=wanted)
        return self.rounds.answer(now_ns, error)

    def _reconcile(self, now_ns: int) -> Sequence[Event]:
        """Ask for the venue's book, and again after the configured time."""
        if self._config.reconcile_every_s:
            due_ns = now_ns + self._config.reconcile_every_s * NS_PER_S
            self._alarms.arm(Alarm.RECONCILE, due_ns)
        return (self.rounds.question("", now_ns),)

    def _report_due(self, now_ns: int) -> Sequence[Event]:
        self._teller.reported_ns = now_ns
        return (self.rounds.report("", now_ns),)
