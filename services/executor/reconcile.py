"""Our book against the venue's: what differs, what is missing, what a halt must cancel. Pure."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from schemas.base import InstrumentId, OrderId
from schemas.executions import OrderStatus
from schemas.orders import Side
from schemas.venue import VenueBook, VenueFilled, VenueOpenOrder
from services.executor.orders import Orders, Record

ZERO = Decimal(0)


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue's book says about ours, once its executions are folded in."""

    differences: dict[str, str]
    """Both sides by what differs; empty when the books agree."""

    missing: tuple[Record, ...]
    """Ours that should rest there and do not: their fate must be asked."""

    found: tuple[tuple[Record, VenueOpenOrder], ...]
    """Ours of unknown fate that rest there."""


def compare(orders: Orders, book: VenueBook) -> Comparison:
    """Return how the venue's book differs from ours.

    The link keeps order: whatever the venue did before this answer is folded in already. What was
    sent after the question is still `submitted` here and proves nothing.
    """
    there = {each.order_id: each for each in book.open_orders}
    resting = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)
    return Comparison(
        differences={
            **_amount("cash", orders.portfolio.cash, book.cash),
            **_amount("fees", orders.portfolio.fees, book.fees),
            **_positions(orders, book.positions),
            **_open_orders(orders, book.open_orders),
            **_executions(orders, book.executions),
        },
        missing=tuple(
            record
            for order_id, record in orders.open.items()
            if order_id not in there and record.status in (*resting, OrderStatus.UNKNOWN)
        ),
        found=tuple(
            (record, there[order_id])
            for order_id, record in orders.open.items()
            if order_id in there and record.status is OrderStatus.UNKNOWN
        ),
    )


def exposing(
    open_orders: Iterable[VenueOpenOrder],
    held: Mapping[InstrumentId, Decimal],
    reducing: Iterable[OrderId],
) -> list[OrderId]:
    """Return which open orders could make a position larger, all open ones filled or not.

    Orders against a position stay while together, oldest first, they do not exceed it; those in
    `reducing` always stay, the venue holds them to the position.
    """
    allowed = {instrument: abs(quantity) for instrument, quantity in held.items()}
    staying = frozenset(reducing)
    chosen: list[OrderId] = []
    for each in open_orders:
        quantity = held.get(each.instrument, ZERO)
        is_against = quantity < 0 if each.side is Side.BUY else quantity > 0
        if each.order_id in staying:
            continue
        if is_against and each.leaves <= allowed[each.instrument]:
            allowed[each.instrument] -= each.leaves
        else:
            chosen.append(each.order_id)
    return chosen


def as_resting(records: Iterable[Record]) -> list[VenueOpenOrder]:
    """Return our own view of what may rest at the venue, orders of unknown fate included."""
    return [
        VenueOpenOrder(
            order_id=record.order.order_id,
            venue_order_id="",
            instrument=record.order.instrument,
            side=record.order.side,
            leaves=record.leaves,
        )
        for record in records
    ]


def _amount(name: str, ours: Decimal, theirs: Decimal) -> dict[str, str]:
    return {} if ours == theirs else {name: f"ours {ours}, venue's {theirs}"}


def _positions(orders: Orders, theirs: Mapping[InstrumentId, Decimal]) -> dict[str, str]:
    found: dict[str, str] = {}
    for instrument in dict.fromkeys([*orders.portfolio.positions, *theirs]):
        ours = orders.portfolio.quantity(instrument)
        found |= _amount(f"position {instrument}", ours, theirs.get(instrument, ZERO))
    return found


def _executions(orders: Orders, theirs: Iterable[VenueFilled]) -> dict[str, str]:
    return {
        f"execution {fill.execution_id}": f"ours none, venue's {fill.side} {fill.quantity}"
        for fill in theirs
        if fill.order_id not in orders.records
    }


def _open_orders(orders: Orders, theirs: Iterable[VenueOpenOrder]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in theirs:
        name = f"order {each.order_id}"
        record = orders.records.get(each.order_id)
        if record is None:
            found[name] = f"ours none, venue's {each.side} {each.leaves} {each.instrument}"
        elif each.order_id not in orders.open:
            found[name] = f"ours {record.status}, venue's open with {each.leaves} left"
        else:
            found |= _amount(name, record.leaves, each.leaves)
    return found
