"""Do the rules of the market let this one instrument trade at this price."""

from decimal import Decimal

from schemas.orders import OrderType, Side, SignalRaised
from services.gate.bands_state import BandPhase
from services.gate.case import PASS, Case, Verdict
from services.gate.check import Check
from services.gate.exposure import ZERO, Lane, is_plain
from services.gate.state import GateState

_BUY, _LIMIT = Side.BUY, OrderType.LIMIT
_STOPPED = frozenset({BandPhase.PAUSED, BandPhase.BLIND})


def price_bands(case: Case) -> Verdict:
    """Return whether the order can only trade within the bands.

    It is judged by its limit price, and without one by the touch. In a limit or straddle state an
    order without a limit price does not pass: it would trade at the band or beyond. The price that
    a stop order waits for is no price that it trades at: the plan forbids bids, offers and trades
    outside the bands, and when it is triggered there will be other bands. A protection with a limit
    price passes too: it must be possible to get out.
    """
    row, signal = case.state.bands.of[case.signal.instrument], case.signal
    phase = row.phase_at(case.now_ns)
    if phase is None:
        return PASS
    if phase in _STOPPED or row.bands is None:
        return (False, phase, BandPhase.NORMAL)
    limits = row.bands.bands_at(case.now_ns)
    assert limits is not None, "bands are known in every other state"
    lower, upper = limits
    text, price = f"{lower}-{upper}", signal.limit_price
    if _waits(case) and (price is None or signal.is_reduce_only):
        return (True, f"waits for {signal.stop_price}", text)
    if price is None and phase is not BandPhase.NORMAL:
        return (False, f"{phase}, no limit price", text)
    if price is None:
        price = case.quote.ask if signal.side is _BUY else case.quote.bid
        return (is_plain(price) and lower <= price <= upper, str(price), text)
    is_within = is_plain(price) and (price <= upper if signal.side is _BUY else price >= lower)
    return (is_within, str(price), text)


def _waits(case: Case) -> bool:
    """Return whether it is a stop order that the market has not reached yet."""
    signal, quote = case.signal, case.quote
    stop = signal.stop_price
    if stop is None or not is_plain(stop):
        return False
    return quote.ask < stop if signal.side is _BUY else quote.bid > stop


def short_sale(case: Case) -> Verdict:
    """Return whether a sell that could end short is above the best bid, where that is demanded.

    What it could end at counts every open sell order as filled, and no open buy.
    """
    signal = case.signal
    if signal.side is _BUY:
        return PASS
    row = case.state.bands.of[signal.instrument]
    if not row.may_be_restricted:
        return PASS
    if is_plain(signal.quantity) and case.reach <= ZERO:
        return PASS
    doubt = row.doubt(case.now_ns, case.quote.ask)
    if not doubt:
        return PASS
    bid = case.quote.bid
    return (_is_above(signal, bid), f"{signal.limit_price}; {doubt}", f"> {bid}")


def _is_above(signal: SignalRaised, bid: Decimal) -> bool:
    """Return whether it is a plain limit order above the bid: a stop's price is not known yet."""
    price = signal.limit_price
    is_limit = signal.order_type is _LIMIT and price is not None
    return is_limit and price is not None and is_plain(price) and price > bid


def _has_no_bands(state: GateState, lane: Lane) -> bool:
    row = state.bands.of[lane.instrument.id]
    return row.bands is None and not row.is_luld_missing


def _may_be_sold_short(state: GateState, lane: Lane) -> bool:
    return not state.bands.of[lane.instrument.id].may_be_restricted


ROWS: tuple[Check, ...] = (
    Check(
        price_bands,
        "PriceBandPublished; else mean of the trades of 5 minutes, closing price, best bid and ask",
        "lower band <= price <= upper band, the price being the limit price or the touch; no pause"
        " (5 minutes, after 15 s in a limit state); a stop order that waits has no price but its"
        " limit price, and none if it is reduce-only",
        "price",
        ("luld_tier",),
        "G-05; Limit Up-Limit Down plan, Amendment 18 (in operation since 24 February 2020)",
        settled=_has_no_bands,
    ),
    Check(
        short_sale,
        "position, open sells; ShortSaleRestrictionChanged; trades, bars, closing price, best bid"
        " and ask",
        "sell quantity <= held - open sells, or limit price > best bid, after a fall of 10 %, and"
        " after a restart, or without the bus, when one may be missed, for the rest of that day and"
        " the next",
        "price",
        ("short_sale_rule",),
        "G-05; SEC Regulation SHO, Rule 201 (17 CFR 242.201), since 28 February 2011",
        settled=_may_be_sold_short,
    ),
)
