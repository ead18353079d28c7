"""Is there a market that a price can be judged by."""

from decimal import ROUND_UP, Context, Decimal

from schemas.base import NS_PER_MS
from schemas.market import Trading
from services.gate.case import PASS, Case, Verdict
from services.gate.exposure import is_plain

_SHOWN = Context(prec=9, rounding=ROUND_UP)
BPS = 10_000


def basis_points(part: Decimal, whole: Decimal) -> Decimal:
    """Return `part` of `whole` in basis points, to nine digits.

    Rounded away from zero, so that what is over a limit never shows, or passes, as the limit.
    """
    return _SHOWN.divide(part * BPS, whole)


def instrument_open(case: Case) -> Verdict:
    """Return whether the venue has not said that the instrument is anything but open."""
    trading = case.lane.market.trading
    return PASS if trading is None or trading is Trading.OPEN else (False, trading, Trading.OPEN)


def market_fresh(case: Case) -> Verdict:
    """Return whether the newest quote came to this process recently enough."""
    market, limit = case.lane.market, case.lane.limits.stale_after_ms
    if market.quote is None:
        return (False, "no quote yet", limit.text)
    age_ms = -((market.received_ns - case.now_ns) // NS_PER_MS)  # rounded up
    return (age_ms <= limit.value, str(age_ms), limit.text)


def market_sane(case: Case) -> Verdict:
    """Return whether both sides are quoted, are numbers, and do not cross."""
    quote = case.quote
    is_sane = is_plain(quote.bid) and is_plain(quote.ask) and quote.bid <= quote.ask
    return PASS if is_sane else (False, f"{quote.bid}/{quote.ask}", "")


def market_spread(case: Case) -> Verdict:
    """Return whether bid and ask are close enough for the touch to mean something."""
    bid, ask, limit = case.quote.bid, case.quote.ask, case.lane.limits.spread_bps_max
    spread_bps = basis_points((ask - bid) * 2, ask + bid)
    return (spread_bps <= limit.value, str(spread_bps), limit.text)
