"""When it was: LEAN writes wall-clock times of each market's own zone."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from schemas.base import NS_PER_MS
from schemas.errors import UserError
from services.feed.lean_names import RESOLUTIONS_NS, LeanFile
from services.feed.lines import unreadable

HALF_HOUR_MS = 1_800_000
HALF_HOURS = 48
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = {
    ("equity", "usa"): "America/New_York",
    ("option", "usa"): "America/New_York",
    # FXCM wrote its files in Eastern Standard Time the whole year, without daylight saving.
    ("forex", "fxcm"): "Etc/GMT+5",
}
"""By asset and market. Everything else that has no row is in UTC (`UTC_ASSETS`) or unknown."""

UTC_ASSETS = ("future", "forex", "crypto", "cryptofuture")
"""Futures too: the opening of New York's session stands at 13:30 in October, at 14:30 in winter."""

SESSION_HOURS = ((9, 30), (16, 0))
"""When a daily bar of a US equity or option opens and closes, in New York. A half day closes
earlier; nobody is told its bar before 16:00, which is late and never too early."""

Span = tuple[int, int]
"""Begin and end of a bar, in ns since the epoch."""


def zone_of(file: LeanFile) -> ZoneInfo:
    """Return the zone that the times in `file` are written in.

    Raises:
        UserError: nobody knows the market's zone, or this machine has no table of zones.
    """
    name = ZONES.get((file.asset, file.market), "UTC" if file.asset in UTC_ASSETS else "")
    if not name:
        wanted = "equity or option of usa, or another asset class"
        raise unreadable(file.path, f"{file.asset} of {file.market}", wanted)
    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError as error:
        raise UserError(
            "SLU-102", path=name, found="no table of time zones", wanted="the tzdata package"
        ) from error


def times_of_day(file: LeanFile) -> Callable[[bytes], int]:
    """Return what turns ms since midnight of the file's day into ns since the epoch.

    On the two days a year on which clocks are changed, the wall-clock time is what counts.

    Raises:
        UserError: the file's name holds no such day.
    """
    zone = zone_of(file)
    try:
        midnight = datetime.strptime(file.day, "%Y%m%d").replace(tzinfo=zone)
    except ValueError as error:
        raise unreadable(file.path, file.day, "a day, yyyymmdd, in the file's name") from error
    # adding to a time with a zone moves its wall clock, as the file means it
    starts = [
        _ns(midnight + timedelta(milliseconds=HALF_HOUR_MS * each)) for each in range(HALF_HOURS)
    ]

    def at(text: bytes) -> int:
        half_hours, left_ms = divmod(int(text), HALF_HOUR_MS)
        return starts[half_hours] + left_ms * NS_PER_MS

    return at


def spans(file: LeanFile) -> Callable[[bytes], Span]:
    """Return what turns the time column of a bar into its begin and end."""
    if file.day:
        return _spans_in_day(file)
    zone = zone_of(file)
    has_session = file.resolution == "daily" and file.asset in ("equity", "option")

    @lru_cache(maxsize=64)
    def span(text: bytes) -> Span:
        begin = datetime.strptime(text.decode(), "%Y%m%d %H:%M").replace(tzinfo=zone)
        if has_session:
            (open_hour, open_minute), (close_hour, close_minute) = SESSION_HOURS
            end = begin.replace(hour=close_hour, minute=close_minute)
            return _ns(begin.replace(hour=open_hour, minute=open_minute)), _ns(end)
        if file.resolution == "daily":
            return _ns(begin), _ns(begin + timedelta(days=1))
        return _ns(begin), _ns(begin) + RESOLUTIONS_NS[file.resolution]

    return span


def utc_ns(text: bytes) -> int:
    """Return `20201229 08:00:00`, which is in UTC, in ns since the epoch."""
    return _ns(datetime.strptime(text.decode(), "%Y%m%d %H:%M:%S").replace(tzinfo=UTC))


def _spans_in_day(file: LeanFile) -> Callable[[bytes], Span]:
    at = times_of_day(file)
    length_ns = RESOLUTIONS_NS[file.resolution]

    def span(text: bytes) -> Span:
        begin_ns = at(text)
        return begin_ns, begin_ns + length_ns

    return span


def _ns(moment: datetime) -> int:
    """Return it in ns since the epoch, in whole numbers throughout."""
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000_000
