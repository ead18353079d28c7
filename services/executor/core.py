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
from schemas.control import HaltRequested, PrepareAsked
from schemas.errors import FieldError
from schemas.executions import (
    CLOSED,
    BookReported,
    IntentRecorded,
    OrderStatus,
    OutcomeRecorded,
)
from schemas.health import GapSeen, LinkChanged, Severity
from schemas.instruments import Instrument
from schemas.orders import CancelApproved, Order, OrderApproved
from schemas.venue import (
    CancelPlaced,
    OrderPlaced,
    VenueBook,
    VenueCancelRejected,
    VenueFilled,
    VenueLinkChanged,
    VenueOrderStatus,
    VenueRejected,
)
from services.control import ControlGuard
from services.core import NOTHING
from services.executor import facts
from services.executor.alarms import Alarm, Alarms
from services.executor.config import ExecutorConfig
from services.executor.last_check import LastCheck
from services.executor.orders import Orders, Record
from services.executor.reconcile import compare
from services.executor.rounds import Rounds

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
            PrepareAsked,
            GapSeen,
            LinkChanged,
            VenueLinkChanged,
            VenueBook,
            VenueOrderStatus,
            *facts.FACTS,
        }
    )
    keeps: frozenset[type[Event]] = Orders.keeps
    fsyncs: frozenset[type[Event]] = frozenset({IntentRecorded, OutcomeRecorded})
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
        self.orders = Orders(instruments, initial_cash, config.recent_orders_max)
        self.rounds = Rounds(account, self.orders, guard)
        self.rounds.is_linked = self.rounds.is_compared = is_linked
        self._check = LastCheck(account, instruments, self.orders, guard, self.rounds)
        self._config = config
        self._alarms = Alarms()
        self._waiting: dict[OrderId, int] = {}  # deadline of the answer, oldest first
        self._wishes: dict[OrderId, CancelApproved] = {}  # cancels not yet answered
        self._reported_ns = 0
        self._hears: dict[type[Event], Handler] = {
            **dict.fromkeys(facts.FACTS, self._on_report),
            OrderApproved: self._on_approved,
            CancelApproved: self._on_cancel,
            OutcomeRecorded: self._on_outcome,
            HaltRequested: self._on_halt,
            PrepareAsked: self._on_prepare,
            GapSeen: self._on_gap,
            LinkChanged: self._on_gap,
            VenueLinkChanged: self._on_link,
            VenueBook: self._on_book,
            VenueOrderStatus: self._on_status,
        }
        self._rings: dict[Alarm, Callable[[int], Sequence[Event]]] = {
            Alarm.ANSWER: self._answers_late,
            Alarm.QUERY: self._ask_again,
            Alarm.CANCEL: self._cancel_again,
            Alarm.PREPARE: self._prepare_late,
            Alarm.RECONCILE: self._reconcile,
            Alarm.REPORT: self._report_due,
        }

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Take one event in; return what follows from it."""
        said = self._hears[type(event)](event, now_ns)
        self.wake_at_ns = self._alarms.next_ns
        return said

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Do what is due."""
        said: list[Event] = []
        for alarm in self._alarms.take_due(now_ns):
            said += self._rings[alarm](now_ns)
        self.wake_at_ns = self._alarms.next_ns
        return said

    def restore(self, event: Event) -> None:
        """Fold one kept event in. An intent is of unknown fate until its outcome follows."""
        self.orders.apply(event)
        if isinstance(event, IntentRecorded):
            record = self.orders.records[event.order.order_id]
            record.status = OrderStatus.UNKNOWN
            record.detail = "stopped between the intent to send it and the outcome"

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
        if order.order_id in self.orders.records:  # at most once, however often it is approved
            return NOTHING
        record = Record(order, event.epoch, event.gate_token)
        self.orders.add(record, now_ns)
        why = self._check.why_not(record, now_ns)
        if why:
            return self._say(facts.refused(record, why, now_ns), now_ns)
        self._changed(now_ns)
        intent = IntentRecorded(at_ns=now_ns, order=order, epoch=event.epoch)
        return (intent, OrderPlaced(at_ns=now_ns, order=order))

    def _on_outcome(self, event: OutcomeRecorded, now_ns: int) -> Sequence[Event]:
        record = self.orders.open.get(event.order_id)
        if record is None:
            return NOTHING
        self.orders.apply(event)
        self._changed(now_ns)
        if not event.is_sent:
            return self._say(facts.refused(record, event.detail, now_ns), now_ns)
        if record.status is OrderStatus.SUBMITTED:
            self._waiting[event.order_id] = now_ns + self._config.answer_timeout_ms * NS_PER_MS
            if Alarm.ANSWER not in self._alarms:
                self._alarms.arm(Alarm.ANSWER, self._waiting[event.order_id])
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
            return self._contradicted(f"the venue reports {order_id}, unknown here", now_ns)
        before = record.status
        self._answered(order_id)
        fact = facts.FACTS[type(report)](record, report, now_ns)
        said = NOTHING if fact is None else self._say(fact, now_ns)
        if wish is not None and record.status in CLOSED:
            del self._wishes[order_id]
        if _is_absurd(before, report, is_news=bool(said)):
            text = f"{type(report).__name__} for {order_id}, which was {before}"
            return (*said, *self._contradicted(text, now_ns))
        return said

    def _answered(self, order_id: OrderId) -> None:
        if self._waiting.pop(order_id, None) is not None and not self._waiting:
            self._alarms.disarm(Alarm.ANSWER)

    def _on_status(self, report: VenueOrderStatus, now_ns: int) -> Sequence[Event]:
        record = self.orders.open.get(report.order_id)
        if record is None or record.status is not OrderStatus.UNKNOWN:
            return NOTHING
        if report.status is None:
            return self._never_seen(record, now_ns)
        if report.filled != record.filled:  # executions first, however old
            return (self.rounds.question("", now_ns, is_thorough=False, since_ns=0),)
        fact = facts.resolved(record, report, now_ns)
        return NOTHING if fact is None else self._say(fact, now_ns)

    def _never_seen(self, record: Record, now_ns: int) -> Sequence[Event]:
        """Close what the venue never saw, once it is too late for it to be seen or taken."""
        grace_ns = self._config.answer_timeout_ms * NS_PER_MS
        if now_ns < record.order.expires_at_ns + grace_ns:
            return NOTHING
        why = "never sent: the venue has never seen it, and its deadline has passed"
        return self._say(facts.refused(record, why, now_ns), now_ns)

    def _on_book(self, book: VenueBook, now_ns: int) -> Sequence[Event]:
        """Fold missed executions, learn fates, then compare; ask once more where fates are open."""
        said: list[Event] = []
        for fill in book.executions:
            if fill.order_id in self.orders.records:  # else it is a difference, found below
                said += self._on_report(fill, now_ns)
        found = compare(self.orders, book)
        for record, there in found.found:
            accepted = facts.accepted(record, there.venue_order_id, now_ns)
            said += self._say(accepted, now_ns) if accepted is not None else NOTHING
        said += self._mark_unknown(
            [each for each in found.missing if each.status is not OrderStatus.UNKNOWN],
            "it does not rest at the venue, and nothing was heard of its end",
            now_ns,
        )
        unknown = self.orders.unknown()
        if self.rounds.deserves_second_look(book.request_id) and unknown:
            said += [facts.question(record, now_ns) for record in unknown]
            again = self.rounds.question(book.request_id, now_ns, is_thorough=False)
            return [*said, again]
        if unknown and Alarm.QUERY not in self._alarms:  # none is left: the link was down
            self._query_later(now_ns)
        was_compared = self.rounds.is_compared
        said += self.rounds.conclude(book, compare(self.orders, book), now_ns)
        if self.rounds.preparing is None:
            self._alarms.disarm(Alarm.PREPARE)
        if self.rounds.halting is None:
            self._alarms.disarm(Alarm.CANCEL)
        if was_compared is not self.rounds.is_compared:
            self._changed(now_ns)
        return said

    def _on_link(self, event: VenueLinkChanged, now_ns: int) -> Sequence[Event]:
        self.rounds.turn(is_linked=event.is_up)
        self._waiting.clear()
        self._alarms.disarm(Alarm.ANSWER)
        self._changed(now_ns)
        unanswered = [each for each in self.orders.open.values() if each.is_unanswered]
        said = self._mark_unknown(unanswered, "its answer was lost with a link or process", now_ns)
        if not event.is_up:
            self._alarms.disarm(Alarm.RECONCILE)
            return [*said, facts.alert("SLU-130", f"venue link lost: {event.detail}", now_ns)]
        said += [CancelPlaced(at_ns=now_ns, order_id=order_id) for order_id in self._wishes]
        return [*said, *self._reconcile(now_ns), *self._cancel_again(now_ns)]

    # starts and halts

    def _on_prepare(self, event: PrepareAsked, now_ns: int) -> Sequence[Event]:
        self.rounds.preparing = event
        if not self.rounds.is_linked:
            return self._prepare_late(now_ns)
        self._alarms.arm(Alarm.PREPARE, now_ns + self._config.prepare_timeout_ms * NS_PER_MS)
        return (self.rounds.question(event.start_id, now_ns),)

    def _on_halt(self, event: HaltRequested, now_ns: int) -> Sequence[Event]:
        self.rounds.begin_halt()
        return self._cancel_again(now_ns)

    def _on_gap(self, event: GapSeen | LinkChanged, now_ns: int) -> Sequence[Event]:
        """Tell the whole book: somebody may have missed a part of it."""
        if isinstance(event, LinkChanged) and not event.is_up:
            return NOTHING
        return self._report_due(now_ns)

    # what is due

    def _answers_late(self, now_ns: int) -> Sequence[Event]:
        late = [order_id for order_id, due_ns in self._waiting.items() if due_ns <= now_ns]
        for order_id in late:
            del self._waiting[order_id]
        if self._waiting:
            self._alarms.arm(Alarm.ANSWER, next(iter(self._waiting.values())))
        records = [self.orders.records[order_id] for order_id in late]
        said = self._mark_unknown(records, "the venue has not answered", now_ns)
        return [*said, *self._ask_again(now_ns)]

    def _ask_again(self, now_ns: int) -> Sequence[Event]:
        """Ask what became of the orders of unknown fate: executions first, then each order."""
        unknown = self.orders.unknown()
        if not unknown or not self.rounds.is_linked:
            return NOTHING
        self._query_later(now_ns)
        book = self.rounds.question("", now_ns, is_thorough=False)
        return [book, *(facts.question(record, now_ns) for record in unknown)]

    def _cancel_again(self, now_ns: int) -> Sequence[Event]:
        """Cancel what a halt may not leave, and look; repeated until the venue shows none."""
        if self.rounds.halting is None or not self.rounds.is_linked:
            return NOTHING
        self._alarms.arm(Alarm.CANCEL, now_ns + self._config.cancel_every_ms * NS_PER_MS)
        chosen = self.rounds.to_cancel()
        cancels = [CancelPlaced(at_ns=now_ns, order_id=order_id) for order_id in chosen]
        look = self.rounds.question(self.rounds.halting.request_id, now_ns, is_thorough=False)
        return [*cancels, look]

    def _prepare_late(self, now_ns: int) -> Sequence[Event]:
        if self.rounds.preparing is None:
            return NOTHING
        found = "no answer in time" if self.rounds.is_linked else "the link to it is down"
        wanted = "its book: check `sluice status` and the venue's log"
        error = FieldError(path=f"{facts.COMPONENT}.venue", found=found, wanted=wanted)
        return self.rounds.answer((error,), now_ns)

    def _reconcile(self, now_ns: int) -> Sequence[Event]:
        """Ask for the venue's book, and again after the configured time."""
        if self._config.reconcile_every_s:
            due_ns = now_ns + self._config.reconcile_every_s * NS_PER_S
            self._alarms.arm(Alarm.RECONCILE, due_ns)
        return (self.rounds.question("", now_ns),)

    def _report_due(self, now_ns: int) -> Sequence[Event]:
        self._reported_ns = now_ns
        return (self.rounds.report("", now_ns),)

    # saying

    def _say(self, fact: Event, now_ns: int) -> Sequence[Event]:
        """Fold a fact by the same code as a restart does; nothing is said of a repeat."""
        if not self.orders.apply(fact):
            return NOTHING
        self._changed(now_ns)
        return (fact,)

    def _mark_unknown(self, records: list[Record], reason: str, now_ns: int) -> list[Event]:
        if not records:
            return []
        said: list[Event] = []
        for record in records:
            said += self._say(facts.marked_unknown(record, reason, now_ns), now_ns)
        ids = ", ".join(record.order.order_id for record in records)
        return [*said, facts.alert("SLU-132", f"{reason}: {ids}", now_ns)]

    def _query_later(self, now_ns: int) -> None:
        self._alarms.arm(Alarm.QUERY, now_ns + self._config.query_every_ms * NS_PER_MS)

    def _contradicted(self, text: str, now_ns: int) -> Sequence[Event]:
        """Alert, and send nothing until the books were compared again."""
        self.rounds.is_compared = False
        alert = facts.alert("SLU-131", text, now_ns, Severity.CRITICAL)
        return (alert, self.rounds.question("", now_ns))

    def _changed(self, now_ns: int) -> None:
        every_ns = self._config.report_every_ms * NS_PER_MS
        if every_ns and Alarm.REPORT not in self._alarms:
            self._alarms.arm(Alarm.REPORT, max(now_ns + 1, self._reported_ns + every_ns))


def _is_absurd(before: OrderStatus, report: Event, *, is_news: bool) -> bool:
    """Return whether a report contradicts what we held: ours is wrong, or an id went out twice."""
    if isinstance(report, VenueFilled):
        return is_news and before in CLOSED
    return isinstance(report, VenueRejected) and not is_news
