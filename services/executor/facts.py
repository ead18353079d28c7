"""The executor's facts about one order, from what the venue reported of it. Pure."""

from collections.abc import Callable
from typing import Any

from schemas.base import Event, OrderId, SessionId
from schemas.executions import (
    CLOSED,
    CancelRejected,
    ExecutionEvent,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderMarkedUnknown,
    OrderRefused,
    OrderRejected,
    OrderReplaced,
    OrderStatus,
    OrderSubmitted,
    OrderTriggered,
)
from schemas.health import AlertRaised, Severity
from schemas.orders import CancelApproved
from schemas.venue import (
    OrderQueried,
    VenueAccepted,
    VenueCanceled,
    VenueCancelRejected,
    VenueExpired,
    VenueFilled,
    VenueOrderStatus,
    VenueRejected,
    VenueReplaced,
    VenueTriggered,
)
from services.executor.orders import AWAITING, Record

COMPONENT = "executor"
Fact = ExecutionEvent | None
"""None: the report says nothing new."""


def submitted(record: Record, now_ns: int) -> OrderSubmitted:
    """Return that the order was written to the venue."""
    order = record.order
    return OrderSubmitted(
        at_ns=now_ns,
        account=order.account,
        session=order.session,
        instrument=order.instrument,
        order_id=order.order_id,
        order=order,
        epoch=record.epoch,
    )


def refused(record: Record, why: str, now_ns: int) -> OrderRefused:
    """Return that nothing was written; `why` is `<rule>: <detail>`."""
    rule, _, detail = why.partition(": ")
    order = record.order
    return OrderRefused(
        at_ns=now_ns,
        account=order.account,
        session=order.session,
        instrument=order.instrument,
        order_id=order.order_id,
        rule=rule,
        detail=detail,
    )


def marked_unknown(record: Record, reason: str, now_ns: int) -> OrderMarkedUnknown:
    """Return that the venue's answer is missing."""
    order = record.order
    return OrderMarkedUnknown(
        at_ns=now_ns,
        account=order.account,
        session=order.session,
        instrument=order.instrument,
        order_id=order.order_id,
        reason=reason,
    )


def accepted(record: Record, venue_order_id: str, now_ns: int) -> OrderAccepted | None:
    """Return that the venue has it; None if that was known."""
    if record.status not in AWAITING:
        return None
    order = record.order
    return OrderAccepted(
        at_ns=now_ns,
        account=order.account,
        session=order.session,
        instrument=order.instrument,
        order_id=order.order_id,
        venue_order_id=venue_order_id,
    )


def cancel_rejected(
    wish: CancelApproved, record: Record | None, reason: str, now_ns: int
) -> CancelRejected:
    """Return that a cancel came to nothing; its order may be one nobody here has seen."""
    return CancelRejected(
        at_ns=now_ns,
        account=wish.account,
        session=SessionId("") if record is None else record.order.session,
        instrument=wish.instrument,
        order_id=wish.order_id,
        reason=reason,
    )


def _accepted(record: Record, report: VenueAccepted, now_ns: int) -> Fact:
    return accepted(record, report.venue_order_id, now_ns)


def _filled(record: Record, report: VenueFilled, now_ns: int) -> Fact:
    order = record.order
    return OrderFilled(
        at_ns=now_ns,
        account=order.account,
        session=order.session,
        instrument=order.instrument,
        order_id=order.order_id,
        execution_id=report.execution_id,
        side=report.side,
        price=report.price,
        quantity=report.quantity,
        leaves=report.leaves,
        fee=report.fee,
        liquidity=report.liquidity,
        status=OrderStatus.PARTIALLY_FILLED if report.leaves else OrderStatus.FILLED,
        venue_ns=report.venue_ns,
    )


def _canceled(record: Record, report: VenueCanceled, now_ns: int) -> Fact:
    if record.status in CLOSED:
        return None
    named = _named(record)
    return OrderCanceled(at_ns=now_ns, leaves=report.leaves, reason=report.reason, **named)


def _rejected(record: Record, report: VenueRejected, now_ns: int) -> Fact:
    if record.status not in AWAITING:
        return None
    return OrderRejected(at_ns=now_ns, reason=report.reason, **_named(record))


def _expired(record: Record, report: VenueExpired, now_ns: int) -> Fact:
    if record.status in CLOSED:
        return None
    return OrderExpired(at_ns=now_ns, leaves=report.leaves, **_named(record))


def _triggered(record: Record, report: VenueTriggered, now_ns: int) -> Fact:
    return OrderTriggered(at_ns=now_ns, **_named(record))


def _replaced(record: Record, report: VenueReplaced, now_ns: int) -> Fact:
    if record.status in CLOSED:
        return None
    return OrderReplaced(at_ns=now_ns, by=report.by, **_named(record))


def _nothing(record: Record, report: VenueCancelRejected, now_ns: int) -> Fact:
    """A cancel by a halt came too late; only cancels somebody asked for are answered."""
    return None


def resolved(record: Record, report: VenueOrderStatus, now_ns: int) -> Fact:
    """Return what a queried order has become; None while that says nothing new.

    Executions are not in it: the venue's book brings them, and is asked for just before.
    """
    named = _named(record)
    leaves = record.order.quantity - report.filled
    match report.status:
        case _ if record.status in CLOSED:
            return None
        case OrderStatus.ACCEPTED | OrderStatus.PARTIALLY_FILLED:
            return accepted(record, "", now_ns)
        case OrderStatus.CANCELED:
            return OrderCanceled(at_ns=now_ns, leaves=leaves, reason=report.detail, **named)
        case OrderStatus.EXPIRED:
            return OrderExpired(at_ns=now_ns, leaves=leaves, **named)
        case OrderStatus.REJECTED:
            return OrderRejected(at_ns=now_ns, reason=report.detail, **named)
        case OrderStatus.REPLACED:
            return OrderReplaced(at_ns=now_ns, by=OrderId(report.detail), **named)
    return None


def _named(record: Record) -> dict[str, Any]:
    """Return the fields every fact names its order by."""
    order = record.order
    return {
        "account": order.account,
        "session": order.session,
        "instrument": order.instrument,
        "order_id": order.order_id,
    }


FACTS: dict[type[Event], Callable[[Record, Any, int], Fact]] = {
    VenueAccepted: _accepted,
    VenueRejected: _rejected,
    VenueFilled: _filled,
    VenueCanceled: _canceled,
    VenueExpired: _expired,
    VenueTriggered: _triggered,
    VenueReplaced: _replaced,
    VenueCancelRejected: _nothing,
}
"""How each report about one order becomes a fact."""


def question(record: Record, now_ns: int) -> OrderQueried:
    """Return the question what became of an order."""
    return OrderQueried(at_ns=now_ns, order_id=record.order.order_id)


def alert(
    code: str, message: str, now_ns: int, severity: Severity = Severity.WARNING
) -> AlertRaised:
    """Return an alert of this service."""
    return AlertRaised(
        at_ns=now_ns, severity=severity, component=COMPONENT, code=code, message=message
    )
