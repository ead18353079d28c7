"""What a spot position against a perpetual brings in, as fractions of its notional. Pure.

Long the spot and short the perpetual (or the reverse), the two prices cancel out. What remains is
the basis at which both were traded, which is taken to be gone in the end, and the funding that one
side pays the other meanwhile.
"""

from decimal import Decimal

import msgspec

from schemas.market import QuoteReceived

DAY_H = Decimal(24)
YEAR_DAYS = Decimal(365)
TWO = Decimal(2)


class CarryTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What the carry is computed with."""

    horizon_days: Decimal
    """How long a position is expected to be held."""

    funding_interval_h: Decimal
    """Time between two funding payments, in hours."""

    fee_rate: Decimal
    """Fee of one execution in each leg together, as a fraction of one leg's notional."""

    @property
    def payment_count(self) -> Decimal:
        """How many fundings are paid over the horizon."""
        return self.horizon_days * DAY_H / self.funding_interval_h

    def annual(self, fraction: Decimal) -> Decimal:
        """Return what is earned over the horizon as a rate a year, not compounded."""
        return fraction * YEAR_DAYS / self.horizon_days


def entry_basis(spot: QuoteReceived, perpetual: QuoteReceived, direction: int) -> Decimal:
    """Return the basis at which both legs can be entered now, both crossing the spread.

    `direction` is 1 for long spot and short perpetual, -1 for the reverse.
    """
    if direction > 0:
        return perpetual.bid / spot.ask - 1
    return 1 - perpetual.ask / spot.bid


def exit_basis(spot: QuoteReceived, perpetual: QuoteReceived, direction: int) -> Decimal:
    """Return what is left of the basis if both legs are closed now, both crossing the spread."""
    if direction > 0:
        return perpetual.ask / spot.bid - 1
    return 1 - perpetual.bid / spot.ask


def entry_annual(
    basis: Decimal, funding_rate: Decimal, direction: int, terms: CarryTerms
) -> Decimal:
    """Return the rate a year of entering: basis and funding, less the fees of both ways."""
    funding = funding_rate * terms.payment_count * direction
    return terms.annual(basis + funding - TWO * terms.fee_rate)


def hold_annual(
    basis: Decimal, funding_rate: Decimal, direction: int, terms: CarryTerms
) -> Decimal:
    """Return the rate a year of holding on: what is left of the basis, and funding.

    The fees of the way out are paid sooner or later in any case, so they count for neither.
    """
    return terms.annual(basis + funding_rate * terms.payment_count * direction)
