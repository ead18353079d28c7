"""Limit up-limit down: between which prices an instrument may trade, by tier and price.

Source: National Market System Plan to Address Extraordinary Market Volatility, sections V to VII
and appendix A. The rule as it was before Amendment 18 is here too, for recordings of that time.
"""

from decimal import ROUND_HALF_UP, Decimal

import msgspec

from schemas.base import NS_PER_S
from services.gate.config_market import LimitTier
from services.gate.exposure import ZERO

MINUTE_NS = 60 * NS_PER_S
CENT = Decimal("0.01")
HIGH, LOW = Decimal(3), Decimal("0.75")
_FRACTIONS = {LimitTier.ONE: Decimal("0.05"), LimitTier.TWO: Decimal("0.10")}
_MIDDLE = Decimal("0.20")
_LOW_FRACTION, _LOW_AMOUNT = Decimal("0.75"), Decimal("0.15")
_ONE, _TWO = Decimal(1), Decimal(2)

OPENING_NS = 15 * MINUTE_NS
"""After the open: until Amendment 18, bands were twice as wide."""

CLOSING_NS = 25 * MINUTE_NS
"""Before the close, also of a half day: bands are twice as wide."""


class BandRule(msgspec.Struct, frozen=True, kw_only=True):
    """One version of the plan: when bands are twice as wide."""

    name: str
    from_ns: int
    """First day it is in force, midnight in New York, in ns since the epoch."""

    is_opening_doubled: bool
    is_closing_doubled_for_all: bool
    """False: not for tier 2 above 3.00."""


RULES = (
    BandRule(
        name="as begun on 8 April 2013",
        from_ns=0,
        is_opening_doubled=True,
        is_closing_doubled_for_all=True,
    ),
    BandRule(
        name="Amendment 18, in operation since 24 February 2020",
        from_ns=1_582_520_400 * NS_PER_S,
        is_opening_doubled=False,
        is_closing_doubled_for_all=False,
    ),
)
"""Versions of the plan, oldest first."""


def rule_at(now_ns: int) -> BandRule:
    """Return the version of the plan that is in force."""
    return next(rule for rule in reversed(RULES) if rule.from_ns <= now_ns)


def is_doubled(
    rule: BandRule, tier: LimitTier, closing: Decimal, since_open_ns: int, to_close_ns: int
) -> bool:
    """Return whether the bands are twice as wide at that time of the day."""
    if since_open_ns < OPENING_NS and rule.is_opening_doubled:
        return True
    is_wide = rule.is_closing_doubled_for_all or tier is LimitTier.ONE or closing <= HIGH
    return to_close_ns <= CLOSING_NS and is_wide


def width(tier: LimitTier, closing: Decimal, reference: Decimal) -> Decimal:
    """Return how far a band is from the reference price, not doubled (appendix A).

    Args:
        tier: one or two.
        closing: closing price of the day before; it alone decides which row is read.
        reference: what the bands are around.
    """
    if closing > HIGH:
        return reference * _FRACTIONS[tier]
    if closing >= LOW:
        return reference * _MIDDLE
    return min(_LOW_AMOUNT, reference * _LOW_FRACTION)


def bands(
    tier: LimitTier, closing: Decimal, reference: Decimal, *, doubled: bool
) -> tuple[Decimal, Decimal]:
    """Return the lower and the upper band, each rounded to the nearest cent."""
    off = width(tier, closing, reference) * (_TWO if doubled else _ONE)
    lower, upper = max(ZERO, reference - off), reference + off
    return lower.quantize(CENT, ROUND_HALF_UP), upper.quantize(CENT, ROUND_HALF_UP)
