"""The calendars there are, by name, and which of them an instrument trades by."""

from collections.abc import Iterator
from functools import lru_cache
from importlib import resources

from schemas.base import NS_PER_S
from schemas.errors import UserError
from schemas.instruments import AssetClass, Instrument
from services.calendars.calendar import DAY_NS, AllDay, Calendar, Session

ALL_DAY = "24x7"
TABLES = (
    "CMES",
    "FX",
    "XAMS",
    "XASX",
    "XETR",
    "XHKG",
    "XLON",
    "XNYS",
    "XPAR",
    "XSWX",
    "XTKS",
    "XTSE",
)
ALIASES = {"XNAS": "XNYS", "ARCX": "XNYS", "XASE": "XNYS", "BATS": "XNYS"}
"""Markets that keep the days and hours of another one: US equities have one calendar."""

NAMES = tuple(sorted([ALL_DAY, *TABLES, *ALIASES]))

BY_ASSET_CLASS: dict[AssetClass, str] = {
    AssetClass.SPOT: ALL_DAY,
    AssetClass.PERPETUAL: ALL_DAY,
    AssetClass.LENDING: ALL_DAY,
    AssetClass.FX: "FX",
}
"""What an instrument that names no calendar trades by. Equities, options and futures are not here:
their hours are their exchange's, and nobody can guess which that is."""

_WANTED = "one of " + ", ".join(NAMES)
_MINUTE_NS = 60 * NS_PER_S


def calendar_of(instrument: Instrument) -> Calendar | None:
    """Return the calendar an instrument trades by; None when nobody has chosen one.

    Raises:
        UserError: SLU-100 it names a calendar that is not there.
    """
    name = instrument.calendar or BY_ASSET_CLASS.get(instrument.asset_class, "")
    if name and name not in NAMES:
        path = f'[[instruments]] "{instrument.id}": calendar'
        raise UserError("SLU-100", path=path, found=repr(name), wanted=_WANTED)
    return calendar_named(name) if name else None


def market_of(calendar: Calendar) -> str:
    """Return the market whose table it is: `XNYS` for every calendar of US equities."""
    return ALIASES.get(calendar.name, calendar.name)


@lru_cache(maxsize=64)
def calendar_named(name: str) -> Calendar:
    """Return the calendar of that name.

    Raises:
        UserError: SLU-100 there is none; says which there are.
    """
    if name == ALL_DAY:
        return AllDay(name)
    table = ALIASES.get(name, name)
    if table not in TABLES:
        raise UserError("SLU-100", path="calendar", found=repr(name), wanted=_WANTED)
    file = resources.files("services.calendars") / "tables" / f"{table}.txt"
    return parse(name, file.read_text("ascii"))


def parse(name: str, text: str) -> Calendar:
    """Return the calendar that a table describes; see the compiler for the form of its rows."""
    lines = text.splitlines()
    head = dict(line.removeprefix("# ").split(": ", 1) for line in lines if line.startswith("# "))
    first, last = head["covers"].split(" to ")
    sessions = [each for line in lines if not line.startswith("#") for each in _run(line)]
    until_ns = _midnight_ns(last) + DAY_NS
    return Calendar(name, sessions, _midnight_ns(first), until_ns, head["source"])


def _run(line: str) -> Iterator[Session]:
    """Yield the sessions of one row: as many weekdays in a row, with the same times in UTC."""
    date, count, *minutes = line.split()
    midnight_ns = _midnight_ns(date)
    for _ in range(int(count)):
        at_ns = [midnight_ns + int(each) * _MINUTE_NS for each in minutes]
        yield Session(
            pre_open_ns=at_ns[0],
            open_ns=at_ns[1],
            close_ns=at_ns[2],
            post_close_ns=at_ns[3],
            break_ns=(at_ns[4], at_ns[5]) if len(at_ns) > 4 else None,
        )
        is_friday = midnight_ns // DAY_NS % 7 == 1  # 1 January 1970 was a Thursday
        midnight_ns += DAY_NS * (3 if is_friday else 1)


def _midnight_ns(date: str) -> int:
    """Return midnight UTC of a date like 2025-11-28, in ns since the epoch.

    Days are counted as in H. Hinnant, "chrono-compatible low-level date algorithms": the year
    begins in March, so that the leap day is its last.
    """
    year, month, day = map(int, date.split("-"))
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
    return days * DAY_NS
