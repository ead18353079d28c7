"""Orders whose answer is missing, chased to a definite end: never by sending again. Pure.

The ends there are: the venue has it, or had it, and says what became of it; or the venue has not
seen it and, by its own clock, no longer would take it. What it takes all the same is seen late: it
is cancelled at once, and the books are compared. So they are where the venue has ended an order and
counts another quantity as filled than it shows executions of, as when it has taken one back.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from schemas.base import NS_PER_MS, Event, OrderId
from schemas.executions import CLOSED, OrderStatus
from schemas.venue import (
    VenueBook,
    VenueCanceled,
    VenueExpired,
    VenueFilled,
    VenueMessage,
    VenueOrderStatus,
    VenueReplaced,
)
from services.core import NOTHING
from services.executor import facts
from services.executor.alarms import Alarm, Alarms
from services.executor.config import ExecutorConfig
from services.executor.contradictions import DOUBT
from services.executor.orders import Orders, Record
from services.executor.reconcile import compare
from services.executor.rounds import Rounds
from services.executor.teller import Teller

UNTOLD = "it has ended, and executions of it are still to be told"
GONE = "the venue had it, knows it no more, and shows it nowhere"
NEVER_SEEN = "never sent: the venue has never seen it, and its deadline has passed"
UNSHOWN = (None, OrderStatus.UNKNOWN)
"""Of an order that the venue has never seen, or had, and has forgotten what became of it."""


class _Dispute(msgspec.Struct):
    """The venue counts another quantity of an order as filled than we know executions of."""

    request_id: str
    """Of the question for every execution that there is."""

    theirs: Decimal
    ours: Decimal
    since_ns: int
    """When it was heard of first."""

    is_shown: bool = False
    """Whether it was answered, and they did not come to what the venue counts."""


class Fates:
    """Waits for the venue's answer to each order, and asks where none comes."""

    def __init__(
        self,
        config: ExecutorConfig,
        orders: Orders,
        rounds: Rounds,
        alarms: Alarms,
        teller: Teller,
    ) -> None:
        self._config = config
        self._answer_ns = config.answer_timeout_ms * NS_PER_MS
        self._query_ns = config.query_every_ms * NS_PER_MS
        self._orders = orders
        self._rounds = rounds
        self._alarms = alarms
        self._teller = teller
        self._waiting: dict[OrderId, int] = {}  # deadline of the answer, oldest first
        self._disputes: dict[OrderId, _Dispute] = {}

    def wait_for(self, order_id: OrderId, now_ns: int) -> None:
        """Expect the venue's answer to an order that was just written."""
        self._waiting[order_id] = now_ns + self._answer_ns
        if Alarm.ANSWER not in self._alarms:
            self._alarms.arm(Alarm.ANSWER, self._waiting[order_id])

    def answered(self, order_id: OrderId) -> None:
        """Stop waiting: the venue has said something about it."""
        if self._waiting.pop(order_id, None) is not None and not self._waiting:
            self._alarms.disarm(Alarm.ANSWER)

    def of_untold(self, record: Record, report: VenueMessage, now_ns: int) -> Sequence[Event]:
        """Keep an order open whose end speaks of executions that were not told yet; ask for them.

        They are positions already: until they are told the order counts at its worst case (I8).
        """
        if record.status in CLOSED:
            return NOTHING
        if not isinstance(report, VenueCanceled | VenueExpired | VenueReplaced):
            return NOTHING
        if report.leaves is None or record.filled + report.leaves >= record.order.quantity:
            return NOTHING
        return [*self._teller.mark_unknown([record], UNTOLD, now_ns), *self.ask_again(now_ns)]

    def after(self, record: Record, report: VenueMessage, now_ns: int) -> Sequence[Event]:
        """Ask for the executions that are missing of an order whose last one was told.

        Until they are told it stays open, and counts at its worst case (I8).
        """
        is_last = isinstance(report, VenueFilled) and not report.leaves
        if not is_last or record.status is not OrderStatus.PARTIALLY_FILLED:
            return NOTHING
        return (self._rounds.question("", now_ns, is_thorough=False, since_ns=0),)

    def learn_from(self, book: VenueBook, now_ns: int) -> list[Event]:
        """Learn from the venue's book what rests there, and what should and does not."""
        for order_id, dispute in list(self._disputes.items()):
            dispute.is_shown |= dispute.request_id == book.request_id
            if order_id not in self._orders.open:
                del self._disputes[order_id]
        said: list[Event] = []
        found = compare(self._orders, book, self._config)
        for record, there in found.found:
            accepted = facts.accepted(record, there.venue_order_id, now_ns)
            said += self._teller.say(accepted, now_ns) if accepted is not None else NOTHING
        gone = [each for each in found.missing if each.status is not OrderStatus.UNKNOWN]
        reason = "it does not rest at the venue, and nothing was heard of its end"
        return [*said, *self._teller.mark_unknown(gone, reason, now_ns)]

    def turn(self, now_ns: int) -> list[Event]:
        """Begin with a new connection, or with none: answers that are missing are lost."""
        self._waiting.clear()
        self._disputes.clear()
        self._alarms.disarm(Alarm.ANSWER)
        unanswered = [each for each in self._orders.open.values() if each.is_unanswered]
        reason = "its answer was lost with a link or process"
        return self._teller.mark_unknown(unanswered, reason, now_ns)

    def are_late(self, now_ns: int) -> Sequence[Event]:
        """Mark the orders whose answer is overdue, and ask for them."""
        late = [order_id for order_id, due_ns in self._waiting.items() if due_ns <= now_ns]
        for order_id in late:
            del self._waiting[order_id]
        if self._waiting:
            self._alarms.arm(Alarm.ANSWER, next(iter(self._waiting.values())))
        records = [self._orders.records[order_id] for order_id in late]
        said = self._teller.mark_unknown(records, "the venue has not answered", now_ns)
        return [*said, *self.ask_again(now_ns)]

    def ask_again(self, now_ns: int) -> Sequence[Event]:
        """Ask what became of the orders of unknown fate: executions first, then each order."""
        unknown = self._orders.unknown()
        if not unknown or not self._rounds.is_linked:
            return NOTHING
        self._alarms.arm(Alarm.QUERY, now_ns + self._query_ns)
        book = self._rounds.question("", now_ns, is_thorough=False)
        return [book, *(facts.question(record, now_ns) for record in unknown)]

    def ask_later(self, now_ns: int) -> None:
        """Ask after the usual time, if nothing is due already: the link may have been down."""
        if Alarm.QUERY not in self._alarms:
            self._alarms.arm(Alarm.QUERY, now_ns + self._query_ns)

    def learn(self, report: VenueOrderStatus, now_ns: int) -> Sequence[Event]:
        """Take the venue's word on one order of unknown fate."""
        record = self._orders.open.get(report.order_id)
        if record is None or record.status is not OrderStatus.UNKNOWN:
            return NOTHING
        if report.status in UNSHOWN:
            return self._not_there(record, report, now_ns)
        if report.filled != record.filled or report.status is OrderStatus.FILLED:
            return self._disputed(record, report, now_ns)
        fact = facts.resolved(record, report, now_ns)
        return NOTHING if fact is None else self._teller.say(fact, now_ns)

    def _disputed(self, record: Record, report: VenueOrderStatus, now_ns: int) -> Sequence[Event]:
        """Ask for executions first, however old; close what has ended and shows no others.

        That is once they all were shown, and it is too late for one to come after, by the order's
        deadline and by when the venue counted otherwise first: a venue may count before it shows.
        Nothing of it is on its way then, and the position that is left tells what became of it.
        What is filled by less than was ordered ends so too: the venue has made it smaller.
        """
        order_id, theirs, ours = report.order_id, report.filled, record.filled
        question = self._rounds.question("", now_ns, is_thorough=False, since_ns=0)
        known = self._disputes.get(order_id)
        if known is None or (known.theirs, known.ours) != (theirs, ours):
            self._disputes[order_id] = _Dispute(question.request_id, theirs, ours, now_ns)
            return (question,)
        is_over = report.status in CLOSED and self._is_too_late(record, report, now_ns)
        if not (known.is_shown and is_over and now_ns >= known.since_ns + self._answer_ns):
            return (question,)
        del self._disputes[order_id]
        reason = f"it is {report.status} at the venue, which counts {theirs} as filled and "
        return self._give_up(record, f"{reason}shows executions of {ours}", now_ns)

    def _is_too_late(self, record: Record, report: VenueOrderStatus, now_ns: int) -> bool:
        """Return whether it is by both clocks: the venue's decides, and it may be behind ours."""
        return min(now_ns, report.at_ns) >= record.order.expires_at_ns + self._answer_ns

    def _not_there(self, record: Record, report: VenueOrderStatus, now_ns: int) -> Sequence[Event]:
        """Close what the venue never saw, once it is too late for it to be seen or taken.

        What it has had was sent, and may have traded before it was forgotten: the books come first.
        """
        if not self._is_too_late(record, report, now_ns):
            return NOTHING
        if record.is_seen or report.status is not None:
            return self._give_up(record, GONE, now_ns)
        return self._teller.say(facts.refused(record, NEVER_SEEN, now_ns), now_ns)

    def _give_up(self, record: Record, reason: str, now_ns: int) -> Sequence[Event]:
        """Close an order that is there no more, and compare the books before anything is sent."""
        said = self._teller.say(facts.gone(record, reason, now_ns), now_ns)
        self._rounds.is_compared = False
        doubt = facts.alert(DOUBT, f"{record.order.order_id}: {reason}", now_ns)
        return [*said, doubt, self._rounds.question("", now_ns, since_ns=0)]
