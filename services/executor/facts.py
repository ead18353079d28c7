"""The executor's facts about one order, from what the venue reported of it. Pure."""

from typing import Any, NamedTuple, TypeVar

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
    VenueBook,
    VenueCanceled,
    VenueCancelRejected,
    VenueExpired,
    VenueFilled,
    VenueHealth,
    VenueLinkChanged,
    VenueOrderStatus,
    VenueRejected,
    VenueReplaced,
    VenueSettled,
    VenueTriggered,
)
from services.executor.orders import AWAITING, Record

COMPONENT = "executor"
ANSWERED = tuple(status for status in OrderStatus if status not in AWAITING)
ENDED = tuple(status for status in OrderStatus if status in CLOSED)
Fact = ExecutionEvent | None
"""None: the report says nothing new."""

_E = TypeVar("_E", bound=ExecutionEvent)


class _Shape(NamedTuple):
    """How one kind of report becomes a fact."""

    kind: type[ExecutionEvent]
    fields: tuple[str, ...] = ()
    """Carried over from the report as they are."""

    says_nothing_in: tuple[OrderStatus, ...] = ()  # a tuple: enums are slow to hash
    """States of an order in which the report is a repeat, or comes too late."""


_FILL = (
    "execution_id",
    "side",
    "price",
    "quantity",
    "leaves",
    "fee",
    "liquidity",
    "venue_ns",
)
SHAPES: dict[type[Event], _Shape] = {
    VenueAccepted: _Shape(OrderAccepted, ("venue_order_id",), ANSWERED),
    VenueRejected: _Shape(OrderRejected, ("reason",), ANSWERED),
    VenueFilled: _Shape(OrderFilled, _FILL),
    VenueCanceled: _Shape(OrderCanceled, ("leaves", "reason"), ENDED),
    VenueExpired: _Shape(OrderExpired, ("leaves",), ENDED),
    VenueTriggered: _Shape(OrderTriggered),
    VenueReplaced: _Shape(OrderReplaced, ("by",), ENDED),
    # A cancel of ours came too late; only cancels that somebody asked for are answered.
    VenueCancelRejected: _Shape(CancelRejected, (), tuple(OrderStatus)),
}
"""Every report about one order, and the fact that it becomes."""

NEWS = (VenueLinkChanged, VenueBook, VenueOrderStatus, VenueSettled, VenueHealth)
"""What a venue says beside those."""


def reported(record: Record, report: Any, now_ns: int) -> Fact:
    """Return the fact that a report of the venue is; None when it says nothing new."""
    shape = SHAPES[type(report)]
    if record.status in shape.says_nothing_in:
        return None
    fields = {name: getattr(report, name) for name in shape.fields}
    if shape.kind is OrderFilled:  # by what we count: an execution may be told after a later one
        is_whole = record.filled + report.quantity >= record.order.quantity
        fields["status"] = OrderStatus.FILLED if is_whole else OrderStatus.PARTIALLY_FILLED
    return _about(shape.kind, record, now_ns, **fields)


def resolved(record: Record, report: VenueOrderStatus, now_ns: int) -> Fact:
    """Return what a queried order has become; None while that says nothing new.

    Executions are not in it: the venue's book brings them, and is asked for just before.
    """
    leaves = record.order.quantity - report.filled
    match report.status:
        case _ if record.status in CLOSED:
            return None
        case OrderStatus.ACCEPTED | OrderStatus.PARTIALLY_FILLED:
            return accepted(record, "", now_ns)
        case OrderStatus.CANCELED:
            return _about(OrderCanceled, record, now_ns, leaves=leaves, reason=report.detail)
        case OrderStatus.EXPIRED:
            return _about(OrderExpired, record, now_ns, leaves=leaves)
        case OrderStatus.REJECTED:
            return _about(OrderRejected, record, now_ns, reason=report.detail)
        case OrderStatus.REPLACED:
            return _about(OrderReplaced, record, now_ns, by=OrderId(report.detail))
    return None


def submitted(record: Record, now_ns: int) -> OrderSubmitted:
    """Return that the order was written to the venue."""
    return _about(OrderSubmitted, record, now_ns, order=record.order, epoch=record.epoch)


def refused(record: Record, why: str, now_ns: int) -> OrderRefused:
    """Return that nothing was written; `why` is `<rule>: <detail>`."""
    rule, _, detail = why.partition(": ")
    return _about(OrderRefused, record, now_ns, rule=rule, detail=detail)


def gone(record: Record, reason: str, now_ns: int) -> OrderCanceled:
    """Return that an order the venue had is there no more."""
    return _about(OrderCanceled, record, now_ns, leaves=record.leaves, reason=reason)


def marked_unknown(record: Record, reason: str, now_ns: int) -> OrderMarkedUnknown:
    """Return that the venue's answer is missing."""
    return _about(OrderMarkedUnknown, record, now_ns, reason=reason)


def accepted(record: Record, venue_order_id: str, now_ns: int) -> OrderAccepted | None:
    """Return that the venue has it; None if that was known."""
    if record.status in ANSWERED:
        return None
    return _about(OrderAccepted, record, now_ns, venue_order_id=venue_order_id)


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


def question(record: Record, now_ns: int) -> OrderQueried:
    """Return the question what became of an order."""
    return OrderQueried(at_ns=now_ns, order_id=record.order.order_id)


def alert(
    code: str,
    message: str,
    now_ns: int,
    severity: Severity = Severity.WARNING,
    fields: dict[str, str] | None = None,
) -> AlertRaised:
    """Return an alert of this service."""
    return AlertRaised(
        at_ns=now_ns,
        severity=severity,
        component=COMPONENT,
        code=code,
        message=message,
        fields=fields or {},
    )


def _about(kind: type[_E], record: Record, now_ns: int, **fields: Any) -> _E:
    """Return a fact about the order of `record`, named as all facts are."""
    order = record.order
    return kind(
        at_ns=now_ns,
        account=order.account,
        session=order.session,
        instrument=order.instrument,
        order_id=order.order_id,
        **fields,
    )
