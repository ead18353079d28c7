"""What the gate may be told about market rules and about the quality of market data."""

import enum
from decimal import Decimal
from typing import Any

import msgspec

from schemas.base import InstrumentId

DEFAULT = InstrumentId("default")
"""Row that says what an instrument's own row leaves out."""


class ExtendedHours(enum.StrEnum):
    """Which hours beside the regular ones an instrument may be traded in."""

    NONE = "none"
    PRE = "pre"
    POST = "post"
    BOTH = "both"


class LimitTier(enum.StrEnum):
    """What the Limit Up-Limit Down plan takes an instrument for."""

    ONE = "1"
    """S&P 500, Russell 1000, and some exchange-traded products."""

    TWO = "2"
    """All other NMS stocks."""

    NONE = "none"
    """Not under the plan."""


class MarketWide(enum.StrEnum):
    """Whether halts of the whole market hold for an instrument."""

    US = "us"
    """US equities and options: 7, 13 and 20 % (NYSE rule 7.12)."""

    NONE = "none"


class ShortSaleRule(enum.StrEnum):
    """What restricts short sales."""

    RULE_201 = "201"
    """SEC Regulation SHO, Rule 201."""

    NONE = "none"


class LockedMarket(enum.StrEnum):
    """Whether one trades while bid and ask are the same."""

    ALLOW = "allow"
    DENY = "deny"


class MarketRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[gate.market.<instrument>]`: rules of the market an instrument trades in.

    What its own row leaves out, `[gate.market.default]` says. None is "nobody has chosen this":
    where the rule could apply, every signal is denied with the rule `limit_missing`.
    """

    extended_hours: ExtendedHours | None = None
    """none, pre, post or both. Read where the calendar knows of such hours, and only in them."""

    luld_tier: LimitTier | None = None
    """1, 2 or none. Read for equities of US calendars, and wherever it is chosen."""

    market_wide: MarketWide | None = None
    """us or none. Read for equities and options of US calendars."""

    short_sale_rule: ShortSaleRule | None = None
    """201 or none. Read for short sales of equities of US calendars."""

    locked_market: LockedMarket | None = None
    """allow or deny. Read while bid and ask are the same."""

    jump_bps_max: Decimal | None = None
    """Furthest that a quote's middle may be from the last accepted one; 0: they are not watched."""

    jump_quotes_min: int | None = None
    """Quotes in a row, each near the one before, that make a jump the new price; a count."""

    clock_offset_ms_max: int | None = None
    """Furthest that the local clock may be from the venue's, in ms; 0: they are not compared, as
    for recordings, whose venue times are old."""

    def __post_init__(self) -> None:
        """Refuse what no market can be judged by.

        Raises:
            ValueError: names the field.
        """
        jump = self.jump_bps_max
        if jump is not None and not (jump.is_finite() and jump >= 0):
            raise ValueError(f"jump_bps_max: found {jump}, wanted a number of 0 or more")
        if self.jump_quotes_min is not None and self.jump_quotes_min < 1:
            raise ValueError(f"jump_quotes_min: found {self.jump_quotes_min}, wanted 1 or more")
        offset = self.clock_offset_ms_max
        if offset is not None and offset < 0:
            raise ValueError(f"clock_offset_ms_max: found {offset}, wanted 0 or more")


def row_of(rows: dict[InstrumentId, MarketRules], instrument: InstrumentId) -> MarketRules:
    """Return an instrument's rules: its own row, and the default one where that says nothing."""
    default = rows.get(DEFAULT, MarketRules())
    own = rows.get(instrument)
    if own is None:
        return default
    said: dict[str, Any] = {
        name: chosen
        for name in MarketRules.__struct_fields__
        if (chosen := getattr(own, name)) is not None
    }
    return msgspec.structs.replace(default, **said)
