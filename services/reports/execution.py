"""What an execution was worth against the market that it met (X-05). Pure.

Signs: a cost is positive, a gain negative; a price improvement is positive where it helped.
Slippage and shortfall follow Perold 1988, The Implementation Shortfall: the paper portfolio trades
at the middle of the market when the order was decided, without cost and in full.
"""

from decimal import Decimal

import msgspec

from schemas.orders import Side
from services.reports.orders import OrderRecord

BPS = Decimal(10_000)
TENTH = Decimal("0.0001")
"""Basis points are rounded to four digits: more say nothing."""


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One order's execution, measured. None: what it needs was not recorded.

    Amounts are in the instrument's currency.
    """

    arrival: Decimal | None
    """Middle of the market that the gate approved it against."""

    spread_bps: Decimal | None
    """Between the bid and the ask at that moment."""

    average_price: Decimal | None
    slippage_bps: Decimal | None
    slippage: Decimal | None
    """Average price against the arrival, over what was filled."""

    improvement: Decimal | None
    """Average price against the other side of the market at arrival: the ask of a buy."""

    effective_spread_bps: Decimal | None
    """Twice the distance of the average price from the arrival."""

    impact_bps: Decimal | None
    """How far the market had moved the order's way some time after its last execution."""

    opportunity: Decimal | None
    """What it cost that a part was not filled, at the price known after the order's end."""

    shortfall: Decimal | None
    """Slippage, fees and opportunity together."""

    shortfall_bps: Decimal | None
    """Of what the whole order was worth at arrival."""

    decide_us: int | None
    """Signal to decision; all latencies in microseconds."""

    send_us: int | None
    """Decision to the write to the venue."""

    accept_us: int | None
    """The write to the venue's word that it has the order."""

    fill_us: int | None
    """The write to the first execution."""

    whole_us: int | None
    """Signal to the last execution."""


def measure(
    order: OrderRecord,
    multiplier: Decimal | None,
    *,
    price_after: Decimal | None,
    price_at_end: Decimal | None,
) -> Execution:
    """Return what the order's execution was worth.

    Args:
        order: as it stands.
        multiplier: of its instrument; None is not known, and then no amount is.
        price_after: of the market some time after the last execution.
        price_at_end: of the market at or after the end of the order.
    """
    arrival, average, sign = order.arrival, order.average_price, _sign(order)
    slippage = opportunity = improvement = None
    if arrival is not None and multiplier is not None and sign is not None:
        slippage = sign * (order.value - arrival * order.filled) * multiplier
        opportunity = _opportunity(order, arrival, price_at_end, sign * multiplier)
    touch = order.ask if order.side is Side.BUY else order.bid
    if touch is not None and average is not None and multiplier is not None and sign is not None:
        improvement = sign * (touch * order.filled - order.value) * multiplier
    shortfall = None
    if slippage is not None and opportunity is not None:
        shortfall = slippage + order.fees + opportunity
    whole = None
    if arrival is not None and multiplier is not None:
        whole = arrival * order.quantity * multiplier
    return Execution(
        arrival=arrival,
        spread_bps=_spread_bps(order),
        average_price=average,
        slippage_bps=slippage_bps(order),
        slippage=slippage if order.filled else None,
        improvement=improvement,
        effective_spread_bps=_twice(slippage_bps(order)),
        impact_bps=_moved_bps(sign, arrival, price_after) if order.filled else None,
        opportunity=opportunity,
        shortfall=shortfall,
        shortfall_bps=_of(shortfall, whole),
        decide_us=_us(order.signal_ns, order.decided_ns),
        send_us=_us(order.decided_ns, order.submitted_ns),
        accept_us=_us(order.submitted_ns, order.accepted_ns),
        fill_us=_us(order.submitted_ns, order.first_fill_ns),
        whole_us=_us(order.signal_ns, order.last_fill_ns),
    )


def slippage_bps(order: OrderRecord) -> Decimal | None:
    """Return the average price against the arrival, in basis points; None: one is not known."""
    return _moved_bps(_sign(order), order.arrival, order.average_price)


def _opportunity(
    order: OrderRecord, arrival: Decimal, price_at_end: Decimal | None, signed: Decimal
) -> Decimal | None:
    unfilled = order.quantity - order.filled
    if not unfilled:
        return Decimal(0)
    if not order.is_closed or price_at_end is None:
        return None
    return signed * (price_at_end - arrival) * unfilled


def _spread_bps(order: OrderRecord) -> Decimal | None:
    if order.bid is None or order.ask is None:
        return None
    return _of(order.ask - order.bid, order.arrival)


def _sign(order: OrderRecord) -> Decimal | None:
    if order.side is None:
        return None
    return Decimal(1 if order.side is Side.BUY else -1)


def _moved_bps(
    sign: Decimal | None, before: Decimal | None, after: Decimal | None
) -> Decimal | None:
    if sign is None or before is None or after is None:
        return None
    return _of(sign * (after - before), before)


def _of(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    if part is None or not whole:
        return None
    return (part / whole * BPS).quantize(TENTH)


def _twice(value: Decimal | None) -> Decimal | None:
    return None if value is None else abs(value) * 2


def _us(from_ns: int, until_ns: int) -> int | None:
    return (until_ns - from_ns) // 1_000 if from_ns and until_ns else None
