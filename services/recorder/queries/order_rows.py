"""The row of one order, as tables and exports have it."""

from typing import Any

from schemas.instruments import venue_of
from services.reports.execution import slippage_bps
from services.reports.orders import OrderRecord

Row = tuple[Any, ...]


def text_of(value: object) -> str:
    """Return a value as text; what is not there is empty."""
    return "" if value is None else str(value)


def first_ns(order: OrderRecord) -> int:
    """Return when an order was first heard of, in ns since the epoch."""
    known = (order.signal_ns, order.decided_ns, order.approved_ns, order.submitted_ns)
    rest = (order.accepted_ns, order.first_fill_ns, order.closed_ns, order.cancel_asked_ns)
    return next((each for each in (*known, *rest) if each), 0)


def _slippage(order: OrderRecord) -> str:
    """Return the slippage, in basis points; empty also where its numbers make none."""
    try:
        return text_of(slippage_bps(order))
    except ArithmeticError:
        return ""


def order_row(order: OrderRecord, strategy: str, day: str) -> Row:
    """Return the row of one order, in the order of the table's columns."""
    return (
        order.order_id,
        day,
        order.account,
        order.session,
        strategy,
        order.instrument,
        venue_of(order.instrument),
        order.signal_id,
        *(text_of(each) for each in (order.side, order.order_type, order.time_in_force)),
        *(text_of(each) for each in (order.status, order.outcome)),
        order.rule,
        order.reason,
        *(str(each) for each in (order.asked, order.quantity, order.filled)),
        text_of(order.average_price),
        str(order.fees),
        *(text_of(each) for each in (order.limit_price, order.stop_price, order.bid, order.ask)),
        _slippage(order),
        order.fill_count,
        "false" if order.is_closed else "true",
        *(order.signal_ns, order.decided_ns, order.submitted_ns, order.accepted_ns),
        *(order.first_fill_ns, order.last_fill_ns, order.closed_ns),
    )
