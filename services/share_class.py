"""What a session's share class is worth: the currency that its capital and results are told in."""

from collections.abc import Mapping
from decimal import Decimal


def unit_of(share_class: str, values: Mapping[str, Decimal]) -> Decimal | None:
    """Return what one unit of a share class is worth, in the currency that `values` are in.

    USDT is the share class of dollars: where nobody has said what it is worth, it is one of them.
    None where that is not known.
    """
    known = values.get(share_class)
    return values.get("USD") if known is None and share_class == "USDT" else known
