"""What a venue does to a holding without anybody trading: expiry, exercise, funding."""

import enum
from decimal import Decimal

from schemas.base import AccountId, Event, InstrumentId


class SettlementKind(enum.StrEnum):
    """Why a holding was settled."""

    EXPIRY = "expiry"
    """A future or an option came to its end, at the price it is worth then."""

    FUNDING = "funding"
    """Longs of a perpetual paid shorts, or the other way round."""


class PositionSettled(Event, frozen=True, kw_only=True):
    """The venue settled all that an account holds of one instrument.

    Told by the unit: everybody who keeps a part of the holding applies it to that part.
    """

    account: AccountId
    instrument: InstrumentId
    settlement_id: str
    """The venue's own; what makes a settlement distinct."""

    kind: SettlementKind
    closes_at: Decimal | None = None
    """Price at which every unit held was closed; None: the holding stays."""

    payment: Decimal = Decimal(0)
    """What one unit held long received, its multiplier counted in, in the instrument's currency;
    negative: paid. Of one held short the reverse."""

    reason: str = ""
    """For people: how the price or the payment came about."""
