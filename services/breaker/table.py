"""The one table of circuit breakers: the service is made from it, and so is the manual.

`sluice explain breaker`, `sluice breaker list` and ops/runbooks/breaker-tripped.md are drawn from
it. The manual halt is no row: it has no input but a person's word.
"""

from collections.abc import Callable, Sequence

import msgspec

from schemas.breakers import LevelSetting
from services.breaker import counting, daily_loss, drawdown, gauges, stale
from services.breaker.breaker import About, Breaker
from services.breaker.config import BreakerConfig
from services.breaker.daily_loss import DailyLoss, TradingDay
from services.breaker.drawdown import Drawdown
from services.breaker.stale import OpenSince, StaleData
from services.breaker.valuation import Valuation

Levels = Sequence[LevelSetting]


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What breakers are made from."""

    config: BreakerConfig
    valuation: Valuation
    day: TradingDay
    open_since: OpenSince
    has_recorder: bool = True
    """False in one process, whose journal is the record: nobody reports there."""


class Row(msgspec.Struct, frozen=True):
    """One breaker: what is said of it, and how it is made."""

    about: About
    make: Callable[[Parts, Levels], Breaker]


def _counting(
    about: About, read: dict[type, counting.Reader], window_s: Callable[[BreakerConfig], int]
) -> Row:
    return Row(
        about,
        lambda parts, levels: counting.Counting(about, levels, window_s(parts.config), read),
    )


def _gauge(make: Callable[[About, Levels], Breaker], about: About) -> Row:
    return Row(about, lambda parts, levels: make(about, levels))


BREAKERS: tuple[Row, ...] = (
    Row(drawdown.ABOUT, lambda parts, levels: Drawdown(parts.valuation, levels)),
    Row(
        daily_loss.ABOUT_SHARE,
        lambda parts, levels: DailyLoss(daily_loss.ABOUT_SHARE, parts.day, levels),
    ),
    Row(
        daily_loss.ABOUT_AMOUNT,
        lambda parts, levels: DailyLoss(daily_loss.ABOUT_AMOUNT, parts.day, levels),
    ),
    _counting(counting.ABOUT_ORDER_RATE, counting.ORDER_RATE, lambda c: c.order_window_s),
    _counting(counting.ABOUT_ORDER_ERRORS, counting.ORDER_ERRORS, lambda c: c.error_window_s),
    _counting(counting.ABOUT_BROKER_ERRORS, counting.BROKER_ERRORS, lambda c: c.error_window_s),
    _counting(counting.ABOUT_DATA_ERRORS, counting.DATA_ERRORS, lambda c: c.error_window_s),
    _counting(counting.ABOUT_MISMATCHES, counting.MISMATCHES, lambda c: c.error_window_s),
    Row(stale.ABOUT, lambda parts, levels: StaleData(parts.valuation, levels, parts.open_since)),
    Row(
        gauges.ABOUT_RECORDER,
        lambda parts, levels: gauges.RecorderStalled(
            gauges.ABOUT_RECORDER, levels if parts.has_recorder else ()
        ),
    ),
    _gauge(gauges.Disk, gauges.ABOUT_DISK),
    _gauge(gauges.Memory, gauges.ABOUT_MEMORY),
    _gauge(gauges.SystemMemory, gauges.ABOUT_SYSTEM_MEMORY),
    _gauge(gauges.Lag, gauges.ABOUT_LAG),
)
"""In the order in which they are shown."""

ABOUT: dict[str, About] = {row.about.name: row.about for row in BREAKERS}
"""What is said of each, by name."""
