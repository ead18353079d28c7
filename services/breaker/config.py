"""What the breaker service may be told."""

from decimal import Decimal
from typing import Annotated

import msgspec

from schemas.breakers import LevelSetting
from schemas.control import Response
from services.breaker.levels import complaints
from services.breaker.profile import ProfileName, profile_named
from services.calendars.named import NAMES

Positive = Annotated[int, msgspec.Meta(gt=0)]
Levels = tuple[LevelSetting, ...]

HALTING: dict[str, str] = {
    "drawdown_max": "drawdown",
    "daily_loss_max": "daily_loss",
    "daily_loss_amount_max": "daily_loss_amount",
    "order_count_max": "order_rate",
    "error_count_max": "order_errors",
}
"""Field -> breaker: the field is the level that halts. `error_count_max` is for every kind."""

FRACTION_LEVELS = ("drawdown", "daily_loss", "system_memory")
"""Breakers whose levels are fractions, below 1."""

FALLING = ("disk",)
"""Breakers whose value falls into danger."""

ERROR_BREAKERS = ("order_errors", "broker_errors", "data_errors")
FRACTIONS = ("drawdown_max", "daily_loss_max")


class BreakerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of the breakers and the arbiter's patience.

    Raises:
        ValueError: a limit is none that makes sense; it says which, what was found and wanted.
    """

    drawdown_max: Decimal | None = None
    """Fall of the account's equity below its high-water mark that halts everything: a fraction of
    the mark, so 0.10 is -10 %. Instead of the profile's."""

    daily_loss_max: Decimal | None = None
    """Loss since the day's open that halts everything, as a fraction of the equity then."""

    daily_loss_amount_max: Decimal | None = None
    """Loss since the day's open that halts everything, in account currency. No profile has one."""

    order_count_max: Positive | None = None
    """Orders within `order_window_s` that halt everything; a count."""

    error_count_max: Positive | None = None
    """Errors of one kind (orders, broker, data) within `error_window_s` that halt everything."""

    profile: ProfileName = ProfileName.MODERATE
    """Where every level comes from that is not chosen here."""

    levels: dict[str, Levels] = {}
    """All levels of single breakers, by name, in the place of the profile's; `[]`: none at all."""

    order_window_s: Positive = 60
    """Sliding window of the order rate breaker, in seconds."""

    error_window_s: Positive = 60
    """Sliding window of the error and reconciliation breakers, in seconds."""

    day_calendar: str = "24x7"
    """Calendar whose open begins the day of the daily loss breakers; 24x7: midnight UTC."""

    mark_every_ms: Positive = 250
    """Shortest time between two valuations of the account, in milliseconds."""

    publish_every_ms: Positive = 1_000
    """Shortest time between two `AccountMarked` on the bus, in milliseconds."""

    blind_ms_max: Positive = 5_000
    """Longest time the equity may be unknown before leases end, in milliseconds."""

    prepare_ms_max: Positive = 2_000
    """How long gate, executor and strategy may take to answer a start, in milliseconds."""

    store_ms_max: Positive = 3_000
    """How long the control stream may take to answer a read or a write, in milliseconds."""

    recorder_silence_ms_max: Positive = 3_000
    """Longest time without the recorder's health before leases end, in milliseconds."""

    disk_free_bytes_min: Positive = 256 * 1024 * 1024
    """Free space on the data folder's disk below which leases end, in bytes."""

    start_approvals: Annotated[int, msgspec.Meta(ge=1, le=2)] = 1
    """How many different people must ask for a start; a count."""

    approval_window_s: Positive = 300
    """How long a first person's approval waits for the second, in seconds."""

    def __post_init__(self) -> None:
        for name in FRACTIONS:
            fraction = getattr(self, name)
            if fraction is not None and not (fraction.is_finite() and 0 < fraction < 1):
                raise ValueError(f"{name} is {fraction}: wanted a fraction, like 0.10")
        amount = self.daily_loss_amount_max
        if amount is not None and not (amount.is_finite() and amount > 0):
            raise ValueError(f"daily_loss_amount_max is {amount}: wanted an amount above 0")
        if self.day_calendar not in NAMES:
            known = ", ".join(NAMES)
            raise ValueError(f"day_calendar is {self.day_calendar!r}: wanted one of {known}")
        for field, breaker in HALTING.items():
            if getattr(self, field) is not None and breaker in self.levels:
                raise ValueError(
                    f"{field} and levels.{breaker} are both set: wanted one of them; the list says "
                    "every level, the field only the one that halts"
                )

        for name, levels in self.levels.items():
            self._check_levels(name, levels)

    def levels_now(self) -> dict[str, Levels]:
        """Return the levels of every breaker: the profile's, with what was chosen instead."""
        found = dict(profile_named(self.profile).levels)
        for field, breaker in HALTING.items():
            limit = getattr(self, field)
            if limit is None:
                continue
            same = ERROR_BREAKERS if field == "error_count_max" else (breaker,)
            for name in same:
                found[name] = _halting_at(Decimal(limit), found[name])
        return {**found, **self.levels}

    def _check_levels(self, name: str, levels: Levels) -> None:
        known = profile_named(self.profile).levels
        if name not in known:
            raise ValueError(f"levels: {name}: no such breaker: wanted one of {', '.join(known)}")
        below = Decimal(1) if name in FRACTION_LEVELS else None
        wrong = complaints(name, levels, below=below, is_floor=name in FALLING)
        if wrong:
            first = wrong[0]
            raise ValueError(f"levels: {first.path}: {first.found}: wanted {first.wanted}")


def _halting_at(limit: Decimal, levels: Levels) -> Levels:
    """Return the milder levels below the limit, and the one that halts at it."""
    milder = [level for level in levels if level.response is not Response.HALT]
    below = [level for level in milder if level.at < limit]
    return (*below, LevelSetting(at=limit, response=Response.HALT))
