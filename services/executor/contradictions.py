"""Reports that cannot be true together with what we hold. Pure.

Each has its own answer. What a venue can do by rights (a fill that crossed a cancel) costs a
comparison of the books before anything more is sent. An id that stands for two orders locks: then
nobody knows what a cancel cancels, or what was sent twice.
"""

from collections.abc import Sequence
from typing import Any

from schemas.base import Event
from schemas.executions import CLOSED, OrderStatus
from schemas.health import Severity
from schemas.venue import (
    CancelPlaced,
    VenueAccepted,
    VenueCanceled,
    VenueCancelRejected,
    VenueExpired,
    VenueFilled,
    VenueRejected,
)
from services.core import NOTHING
from services.executor.facts import alert
from services.executor.orders import Orders, Record
from services.executor.rounds import Rounds, lock

DUPLICATE, DOUBT = "SLU-133", "SLU-136"
LOOK = "compare both at the venue, cancel there what is one too many, then `sluice unlock`"


class Contradictions:
    """Finds them, and says what follows."""

    def __init__(self, orders: Orders, rounds: Rounds) -> None:
        self._orders = orders
        self._rounds = rounds

    def of_a_stranger(self, report: Any, now_ns: int) -> Sequence[Event]:
        """Answer a report about an order that is none of ours, or closed long ago."""
        if isinstance(report, VenueCancelRejected):  # a cancel said twice, of an order never sent
            return NOTHING
        return self._doubt(f"the venue reports {report.order_id}, unknown here", now_ns)

    def after(
        self,
        record: Record,
        report: Any,
        before: OrderStatus,
        now_ns: int,
        *,
        is_news: bool,
    ) -> Sequence[Event]:
        """Return what follows from a report that was folded in and that contradicts us.

        Args:
            record: its order, as it is now.
            report: the venue's.
            before: what the order was when it came.
            now_ns: the time.
            is_news: whether it said anything new.
        """
        if isinstance(report, VenueFilled):
            if is_news and before in CLOSED:
                return self._doubt(_against(report, before), now_ns)
            return self._held(report, now_ns) if is_news else NOTHING
        if isinstance(report, VenueRejected) and not is_news:
            return self._doubt(_against(report, before), now_ns)
        if isinstance(report, VenueAccepted):
            return self._taken(record, report, before, now_ns)
        if isinstance(report, VenueCanceled | VenueExpired) and before in CLOSED:
            is_untold = record.filled + report.leaves < record.order.quantity
            return self._doubt(_against(report, before), now_ns) if is_untold else NOTHING
        return NOTHING

    def _held(self, fill: VenueFilled, now_ns: int) -> Sequence[Event]:
        """Compare what is held with what the venue says is, where it says so (S-16).

        Reports out of order differ for a moment, so the whole book is asked for before anything
        is concluded; until it has come nothing is sent.
        """
        if fill.position is None or fill.position == self._orders.portfolio.quantity(
            fill.instrument
        ):
            return NOTHING
        self._rounds.is_compared = False
        return (self._rounds.question("", now_ns),)

    def _taken(
        self, record: Record, report: VenueAccepted, before: OrderStatus, now_ns: int
    ) -> Sequence[Event]:
        """Answer an acceptance: of one order under two ids, or of one that we had given up."""
        ours, theirs = record.venue_order_id, report.venue_order_id
        owner = self._orders.venue_ids.get(theirs, report.order_id)
        if ours and theirs and ours != theirs:
            return self._twins(f"{report.order_id} twice, as {ours} and as {theirs}", now_ns)
        if owner != report.order_id:
            return self._twins(f"{owner} and {report.order_id} both as {theirs}", now_ns)
        if before is OrderStatus.REFUSED:  # seen late: it was closed as never sent
            cancel = CancelPlaced(at_ns=now_ns, order_id=report.order_id)
            return [cancel, *self._doubt(_against(report, before), now_ns)]
        return NOTHING

    def _twins(self, what: str, now_ns: int) -> Sequence[Event]:
        """Lock: nobody knows what a cancel of such an order would cancel."""
        self._rounds.is_compared = False
        reason = f"the venue has {what}"
        fields = {"found": what, "wanted": "one id for one order", "next": LOOK}
        twins = alert(DUPLICATE, reason, now_ns, Severity.CRITICAL, fields)
        return [twins, *lock(DUPLICATE, reason, now_ns, fields)]

    def _doubt(self, text: str, now_ns: int) -> Sequence[Event]:
        """Alert, and send nothing until the books were compared again."""
        self._rounds.is_compared = False
        return (alert(DOUBT, text, now_ns), self._rounds.question("", now_ns))


def _against(report: Any, before: OrderStatus) -> str:
    return f"{type(report).__name__} for {report.order_id}, which was {before}"
