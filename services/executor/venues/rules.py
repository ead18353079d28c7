"""Why the paper exchange says no to an order: one small function a rule, in the order asked."""

from collections.abc import Callable
from decimal import Decimal
from hashlib import blake2b

from schemas.base import OrderId
from schemas.instruments import Instrument
from schemas.orders import Order, OrderType, Side, TimeInForce
from services.executor.venues.outside import is_beyond
from services.executor.venues.resting import STOPS, Shelf

PRICED = (OrderType.LIMIT, OrderType.STOP_LIMIT)

Rule = Callable[[Order, Instrument, Shelf], str]
"""Returns what is wrong with the order, for people; empty when nothing is."""


def _quantity(order: Order, instrument: Instrument, shelf: Shelf) -> str:
    if order.quantity > 0 and not order.quantity % instrument.lot_size:
        return ""
    return f"quantity {order.quantity}: wanted a positive multiple of {instrument.lot_size}"


def _prices(order: Order, instrument: Instrument, shelf: Shelf) -> str:
    for name, price, is_wanted in (
        ("limit_price", order.limit_price, order.order_type in PRICED),
        ("stop_price", order.stop_price, order.order_type in STOPS),
    ):
        if is_wanted is (price is None):
            wanted = "a price" if is_wanted else "none"
            return f"{name} {price}: a {order.order_type} order wants {wanted}"
        if price is not None and price % instrument.tick_size:
            return f"{name} {price}: wanted a multiple of {instrument.tick_size}"
    return ""


def _is_open(order: Order, instrument: Instrument, shelf: Shelf) -> str:
    return "" if shelf.is_open else f"{order.instrument} is not open for trading"


def _post_only(order: Order, instrument: Instrument, shelf: Shelf) -> str:
    if not order.is_post_only:
        return ""
    if order.order_type not in PRICED or order.time_in_force is not TimeInForce.GTC:
        return "post only: wanted a good-till-cancelled order with a limit price"
    return would_take(order, shelf) if order.order_type is OrderType.LIMIT else ""


RULES: tuple[Rule, ...] = (_quantity, _prices, _is_open, _post_only)


def refusal(order: Order, instrument: Instrument, shelf: Shelf) -> str:
    """Return what is wrong with a new order; empty when it may stand."""
    for rule in RULES:
        found = rule(order, instrument, shelf)
        if found:
            return found
    return ""


def would_take(order: Order, shelf: Shelf) -> str:
    """Return why a post-only order may not rest: it would trade at once; empty when it may."""
    is_buy = order.side is Side.BUY
    touch = shelf.outside.touch(Side.SELL if is_buy else Side.BUY)
    if touch is None or is_beyond(touch[0], order.limit_price, is_buy):
        return ""
    return f"post only: would trade at once, against {touch[0]}"


def would_split(order: Order, leaves: Decimal, shown: Decimal, held: Decimal) -> str:
    """Return why a fill-or-kill order cannot be filled whole; empty when it can, or need not be."""
    if order.time_in_force is not TimeInForce.FOK:
        return ""
    if shown < leaves:
        return f"fill or kill: {shown} is displayed"
    if order.is_reduce_only and reducible(order, held) < leaves:
        return f"fill or kill: {leaves} is to be reduced, and the position is {held}"
    return ""


def reducible(order: Order, held: Decimal) -> Decimal:
    """Return how much of a reduce-only order's side can trade before `held` turns over."""
    return max(-held if order.side is Side.BUY else held, Decimal(0))


def is_unlucky(order_id: OrderId, seed: int, rate: float) -> bool:
    """Return whether chance rejects this order: by its id, so that a repeat decides the same."""
    if not rate:
        return False
    digest = blake2b(f"{seed}:{order_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < rate * 2**64
