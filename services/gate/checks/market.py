"""Is there a market that a price can be judged by."""

from decimal import ROUND_UP, Context, Decimal

from schemas.base import NS_PER_MS
from schemas.market import Trading
from services.gate.case import PASS, Case, Verdict
from services.gate.exposure import is_plain

_OPEN = Trading.OPEN
BPS = Decimal(10_000)
_TWICE_BPS = Decimal(20_000)

quotient = Context(prec=9, rounding=ROUND_UP).divide
"""Return a quotient to nine digits, rounded up: over a limit never shows, or passes, as at it."""


def instrument_open(case: Case) -> Verdict:
    """Return whether the venue has not said that the instrument is anything but open."""
    trading = case.lane.market.trading
    return PASS if trading is None or trading is _OPEN else (False, trading, _OPEN)


def market_fresh(case: Case) -> Verdict:
    """Return whether the newest quote came to this process recently enough."""
    market, limit = case.lane.market, case.limits.stale_after_ms
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
    quote, limit = case.quote, case.limits.spread_bps_max
    bid, ask = quote.bid, quote.ask
    spread_bps = quotient((ask - bid) * _TWICE_BPS, ask + bid)
    return (spread_bps <= limit.value, str(spread_bps), limit.text)
