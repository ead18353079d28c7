"""Do the rules of the market let this one instrument trade at this price."""

from decimal import Decimal

from schemas.orders import OrderType, Side, SignalRaised
from services.gate.bands_state import BandPhase
from services.gate.case import PASS, Case, Verdict
from services.gate.check import Check
from services.gate.exposure import Lane, is_plain
from services.gate.state import GateState

_BUY, _LIMIT = Side.BUY, OrderType.LIMIT
_STOPPED = frozenset({BandPhase.PAUSED, BandPhase.BLIND})


def price_bands(case: Case) -> Verdict:
    """Return whether the order can only trade within the bands.

    It is judged by the furthest price it could trade at: the dearest of touch, limit and stop price
    of a buy, the cheapest of a sell. In a limit or straddle state an order without a limit price
    does not pass: it would trade at the band or beyond.
    """
    row = case.state.bands.of[case.signal.instrument]
    phase = row.phase_at(case.now_ns)
    if phase is None:
        return PASS
    if phase in _STOPPED or row.bands is None:
        return (False, phase, BandPhase.NORMAL)
    limits = row.bands.bands_at(case.now_ns)
    assert limits is not None, "bands are known in every other state"
    lower, upper = limits
    text = f"{lower}-{upper}"
    if phase is not BandPhase.NORMAL and case.signal.limit_price is None:
        return (False, f"{phase}, no limit price", text)
    price = _furthest(case)
    is_within = is_plain(price) and lower <= price <= upper
    if case.signal.limit_price is not None and is_plain(price):
        is_within = price <= upper if case.signal.side is _BUY else price >= lower
    return (is_within, str(price), text)


def _furthest(case: Case) -> Decimal:
    """Return the furthest price that the order could trade at; one that is no number as it is."""
    signal, quote = case.signal, case.quote
    is_buy = signal.side is _BUY
    said = [each for each in (signal.limit_price, signal.stop_price) if each is not None]
    prices = said or [quote.ask if is_buy else quote.bid]
    odd = next((each for each in prices if not is_plain(each)), None)
    if odd is not None:
        return odd
    return max(prices) if is_buy else min(prices)


def short_sale(case: Case) -> Verdict:
    """Return whether a sell that could end short is above the best bid, where that is demanded.

    What it could end at counts every open sell order as filled, and no open buy.
    """
    signal = case.signal
    if signal.side is _BUY:
        return PASS
    row = case.state.bands.of[signal.instrument]
    lane = case.lane
    if not row.may_be_restricted:
        return PASS
    if is_plain(signal.quantity) and signal.quantity <= lane.position - lane.sells:
        return PASS
    doubt = row.doubt(case.now_ns)
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
        "lower band <= price <= upper band; no pause (5 minutes, after 15 s in a limit state)",
        "price",
        ("luld_tier",),
        "G-05; Limit Up-Limit Down plan, Amendment 18 (in operation since 24 February 2020)",
        settled=_has_no_bands,
    ),
    Check(
        short_sale,
        "position, open sells; ShortSaleRestrictionChanged; trades, closing price, best bid",
        "sell quantity <= held - open sells, or limit price > best bid, after a fall of 10 %",
        "price",
        ("short_sale_rule",),
        "G-05; SEC Regulation SHO, Rule 201 (17 CFR 242.201), since 28 February 2011",
        settled=_may_be_sold_short,
    ),
)
