"""What a session's share class is worth: the currency that its capital and results are told in."""

from collections.abc import Mapping
from decimal import Decimal

DEFAULT = "USDT"


def unit_of(share_class: str, values: Mapping[str, Decimal]) -> Decimal | None:
    """Return what one unit of a share class is worth, in the currency that `values` are in.

    USDT is the share class of dollars, where their worth is known. It is the default too: of an
    account that knows no dollars it is the account's own currency. None for another one of which
    nobody has said what it is worth.
    """
    known = values.get(share_class)
    if known is None and share_class == DEFAULT:
        return values.get("USD", Decimal(1))
    return known
