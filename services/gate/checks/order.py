"""Is this one order what somebody would send on purpose."""

from decimal import ROUND_DOWN, Context, Decimal

from schemas.orders import OrderType, Side
from services.gate.case import PASS, Case, Verdict
from services.gate.check import ACCESS, Check
from services.gate.checks.market import BPS, quotient
from services.gate.exposure import ZERO, is_plain
from services.gate.kinds import REPLACING
from services.gate.measured import Found, at_most

_BUY, _MARKET, _LIMIT = Side.BUY, OrderType.MARKET, OrderType.LIMIT


quotient_down = Context(prec=28, rounding=ROUND_DOWN).divide
"""Return a quotient rounded down: what fits into a limit still fits when it is multiplied again."""


def quantity_valid(case: Case) -> Verdict:
    """Return whether the quantity is a positive multiple of the instrument's lot."""
    quantity, instrument = case.signal.quantity, case.lane.instrument
    if is_plain(quantity) and not quantity % instrument.lot_size:
        return PASS
    return (False, str(quantity), str(instrument.lot_size))


@at_most(lambda case: case.limits.order_quantity_max)
def order_quantity(case: Case) -> Found:
    """Return the order's quantity."""
    return case.signal.quantity


def price_valid(case: Case) -> Verdict:
    """Return whether the order has the prices its type wants, and each is a multiple of the tick.

    A stop order is held at the venue: once triggered it trades without passing here again, so
    it is measured as if it filled at once.
    """
    signal, tick = case.signal, case.lane.instrument.tick_size
    limit, stop, kind = signal.limit_price, signal.stop_price, signal.order_type
    if kind is _MARKET:
        is_valid = limit is None and stop is None
    elif kind is _LIMIT:
        is_valid = _fits(limit, tick) and stop is None
    elif kind is OrderType.STOP:
        is_valid = limit is None and _fits(stop, tick)
    else:
        is_valid = _fits(limit, tick) and _fits(stop, tick)
    if is_valid:
        return PASS
    return (False, f"{kind} with limit {limit}, stop {stop}", str(tick))


def _fits(price: Decimal | None, tick: Decimal) -> bool:
    return price is not None and is_plain(price) and not price % tick


@at_most(lambda case: case.limits.price_collar_bps)
def price_collar(case: Case) -> Found:
    """Return how far the order's price is beyond what it would trade at now, in bps.

    Beyond is above the ask for a buy, below the bid for a sell; beyond its own stop price for a
    stop-limit order. Market and stop orders trade at the touch, and are 0 beyond it.
    """
    signal = case.signal
    price = signal.limit_price
    if price is None:
        return 0
    is_buy = signal.side is _BUY
    touch = signal.stop_price or (case.quote.ask if is_buy else case.quote.bid)
    beyond = price - touch if is_buy else touch - price
    return quotient(beyond * BPS, touch) if beyond > ZERO else 0


@at_most(lambda case: case.limits.order_notional_max)
def order_notional(case: Case) -> Found:
    """Return what the order counts for."""
    return case.notional


def replaces_own(case: Case) -> Verdict:
    """Return whether the order to be replaced is open, and the session's own in the instrument.

    Old and new both count until the venue has put one in the place of the other.
    """
    replaces = case.signal.replaces
    if replaces is None:
        return PASS
    old = case.account.orders.get(replaces)
    is_own = (
        old is not None
        and old.order.session == case.signal.session
        and old.order.instrument == case.signal.instrument
    )
    return (is_own, replaces, "")


ROWS: tuple[Check, ...] = (
    Check(
        quantity_valid,
        "signal.quantity",
        "quantity > 0, a multiple of the lot size",
        "units; limit is the lot",
        (),
        ACCESS,
    ),
    Check(
        order_quantity,
        "signal.quantity",
        "quantity <= order_quantity_max",
        "units",
        ("order_quantity_max",),
        ACCESS,
        room=lambda case: case.limits.order_quantity_max.value,
    ),
    Check(
        price_valid,
        "signal.order_type, limit_price, stop_price",
        "prices as the type wants them, > 0, multiples of the tick size",
        "price; limit is the tick",
        (),
        ACCESS,
    ),
    Check(
        price_collar,
        "signal.limit_price; the touch, or the order's own stop price",
        "distance beyond the touch <= price_collar_bps",
        "bps",
        ("price_collar_bps",),
        ACCESS,
    ),
    Check(
        order_notional,
        "signal.quantity; dearest of ask, limit and stop price",
        "quantity x multiplier x price x currency value <= order_notional_max",
        "account currency",
        ("order_notional_max", "currency_values"),
        ACCESS,
        room=lambda case: quotient_down(case.limits.order_notional_max.value, case.worth),
    ),
    Check(
        replaces_own,
        "signal.replaces, open orders",
        "an open order of the same session and instrument",
        "",
        (),
        "G-11",
        about=REPLACING,
    ),
)
