"""Our book against the venue's: what differs, and what is missing. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from hashlib import blake2b

import msgspec

from schemas.base import InstrumentId, OrderId
from schemas.executions import OrderStatus
from schemas.reconciliation import Difference, DifferenceKind
from schemas.venue import VenueBook, VenueFilled, VenueOpenOrder
from services.executor.config import ExecutorConfig
from services.executor.orders import Orders, Record

ZERO = Decimal(0)
NONE = "none"
RESTING = (OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED)


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue's book says about ours, once its executions are folded in."""

    differences: tuple[Difference, ...]
    """What the books do not agree on; empty when they agree."""

    missing: tuple[Record, ...]
    """Ours that should rest there and do not: their fate must be asked."""

    found: tuple[tuple[Record, VenueOpenOrder], ...]
    """Ours of unknown fate that rest there."""


def compare(orders: Orders, book: VenueBook, config: ExecutorConfig) -> Comparison:
    """Return how the venue's book differs from ours.

    The link keeps order: whatever the venue did before this answer is folded in already. What was
    sent after the question is still `submitted` here and proves nothing.
    """
    there = {each.order_id: each for each in book.open_orders}
    return Comparison(
        differences=(
            *_money(orders, book, config.cash_tolerance),
            *_positions(orders, book.positions, config.quantity_tolerance),
            *_open_orders(orders, book.open_orders, config.quantity_tolerance),
            *_executions(orders, book.executions),
            *_duplicates(book.open_orders),
        ),
        missing=tuple(
            record
            for order_id, record in orders.open.items()
            if order_id not in there and record.status in (*RESTING, OrderStatus.UNKNOWN)
        ),
        found=tuple(
            (record, there[order_id])
            for order_id, record in orders.open.items()
            if order_id in there and record.status is OrderStatus.UNKNOWN
        ),
    )


def difference(
    kind: DifferenceKind, what: str, ours: object, theirs: object, *, is_over: bool = True
) -> Difference:
    """Return a difference, its id made from what differs and from both sides."""
    both = (str(ours), str(theirs))
    digest = blake2b("\0".join((kind, what, *both)).encode(), digest_size=4).hexdigest()
    return Difference(
        id=digest, kind=kind, what=what, ours=both[0], theirs=both[1], is_over_tolerance=is_over
    )


def _money(orders: Orders, book: VenueBook, tolerance: Decimal) -> Iterator[Difference]:
    folio = orders.portfolio
    yield from _amount(DifferenceKind.CASH, "cash", folio.cash, book.cash, tolerance)
    yield from _amount(DifferenceKind.FEES, "fees", folio.fees, book.fees, tolerance)


def _positions(
    orders: Orders, theirs: Mapping[InstrumentId, Decimal], tolerance: Decimal
) -> Iterator[Difference]:
    for instrument in dict.fromkeys([*orders.portfolio.positions, *theirs]):
        ours = orders.portfolio.quantity(instrument)
        there = theirs.get(instrument, ZERO)
        yield from _amount(DifferenceKind.POSITION, instrument, ours, there, tolerance)


def _amount(
    kind: DifferenceKind, what: str, ours: Decimal, theirs: Decimal, tolerance: Decimal
) -> Iterator[Difference]:
    if ours != theirs:
        yield difference(kind, what, ours, theirs, is_over=abs(ours - theirs) > tolerance)


def _executions(orders: Orders, theirs: Iterable[VenueFilled]) -> Iterator[Difference]:
    for fill in theirs:
        if not orders.portfolio.has_seen(fill.execution_id):
            what = f"{fill.side} {fill.quantity} {fill.instrument} at {fill.price}"
            yield difference(DifferenceKind.EXECUTION, fill.execution_id, NONE, what)


def _open_orders(
    orders: Orders, theirs: Iterable[VenueOpenOrder], tolerance: Decimal
) -> Iterator[Difference]:
    for each in theirs:
        record = orders.records.get(each.order_id)
        if not orders.is_used(each.order_id):
            there = f"{each.side} {each.leaves} {each.instrument}"
            yield difference(DifferenceKind.ORDER, each.order_id, NONE, there)
        elif record is None or each.order_id not in orders.open:
            ours = "closed long ago" if record is None else record.status
            there = f"open with {each.leaves} left"
            yield difference(DifferenceKind.ORDER, each.order_id, ours, there)
        else:
            kind = DifferenceKind.ORDER
            yield from _amount(kind, each.order_id, record.leaves, each.leaves, tolerance)


def _duplicates(theirs: Iterable[VenueOpenOrder]) -> Iterator[Difference]:
    """Find ids that stand for two orders at the venue: then nobody knows what a cancel cancels."""
    ours: dict[OrderId, str] = {}
    given: dict[str, OrderId] = {}
    for each in theirs:
        if each.order_id in ours:
            there = f"{ours[each.order_id]} and {each.venue_order_id}"
            yield difference(DifferenceKind.DUPLICATE, each.order_id, "one order", there)
        elif each.venue_order_id and each.venue_order_id in given:
            there = f"{given[each.venue_order_id]} and {each.order_id}"
            yield difference(DifferenceKind.DUPLICATE, each.venue_order_id, "one order", there)
        ours[each.order_id] = each.venue_order_id
        given[each.venue_order_id] = each.order_id
