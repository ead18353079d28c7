"""What the gate may be told about groups, and about what becomes of an order that is too large."""

import enum
from decimal import Decimal

import msgspec


class OnExcess(enum.StrEnum):
    """What becomes of an order that is larger than a limit of size or exposure lets pass."""

    REJECT = "reject"
    """It is denied."""

    REDUCE = "reduce"
    """The largest quantity that fits every limit is approved, in whole lots; if that is nothing,
    it is denied. An order that must fill at once and whole is never made smaller."""


class GroupLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of one group: a sector, an asset class, a venue, or a strategy of an account.

    The row named `default` is for every group without one of its own. Once a table has any row, a
    group without one is denied, and so is an instrument whose group nobody knows.
    """

    gross_notional_max: Decimal
    """Sum of the worst-case positions in the group, in the account's currency."""

    net_notional_max: Decimal
    """Long less short, or short less long, in the group, once every open order of the side that
    makes it larger has filled; in the account's currency."""

    def __post_init__(self) -> None:
        """Refuse a limit that is negative or not a number.

        Raises:
            ValueError: names the field; msgspec adds the path of the row.
        """
        for name in self.__struct_fields__:
            limit: Decimal = getattr(self, name)
            if not (limit.is_finite() and limit >= 0):
                raise ValueError(f"{name}: found {limit}, wanted a number of 0 or more")
