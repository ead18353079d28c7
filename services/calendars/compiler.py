"""Make the tables of this package anew: `python -m services.calendars.compiler`.

Needs the package exchange-calendars (the extra `dev`); the running system needs only the tables.
A table is text, so that a change of it can be read. A row is a run of weekdays with the same times:
its first date, how many, and minutes from that date's midnight UTC: pre-market open, open, close,
post-market close, and the begin and end of the pause in the middle of the day where there is one.
"""

import argparse
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import exchange_calendars

from services.calendars.named import TABLES

FIRST, LAST = date(2010, 1, 1), date(2030, 12, 31)
FIRSTS = {"XNYS": date(1998, 1, 1)}
"""Where a table begins that goes back further: daily recordings of US equities do."""

NEW_YORK, CHICAGO = ZoneInfo("America/New_York"), ZoneInfo("America/Chicago")
ROW_HELP = "date, weekdays, minutes UTC: pre-market open, open, close, post-market close, pause"

Day = tuple[date, tuple[datetime, ...]]
"""A session's date; pre-market open, open, close, post-market close, and the pause if any."""


def days_of(name: str) -> Iterator[Day]:
    """Yield every session of one calendar."""
    if name == "FX":
        yield from _fx_days()
        return
    schedule = exchange_calendars.get_calendar(
        name, start=FIRSTS.get(name, FIRST).isoformat(), end=LAST.isoformat()
    ).schedule
    for label, row in schedule.iterrows():
        day: date = label.date()
        opens, closes = _utc(row["open"]), _utc(row["close"])
        pause = () if row["break_start"] != row["break_start"] else _pause(row)
        yield day, (*_extended(name, day, opens, closes), *pause)


def text_of(name: str) -> str:
    """Return the table of one calendar."""
    made_from = f"exchange-calendars {version('exchange-calendars')}"
    source = "17:00 to 17:00 in New York, Monday to Friday" if name == "FX" else made_from
    covers = f"{FIRSTS.get(name, FIRST)} to {LAST}"
    lines = [f"# source: {source}", f"# covers: {covers}", f"# rows: {ROW_HELP}"]
    return "\n".join([*lines, *_rows(list(days_of(name)))]) + "\n"


def main() -> None:
    """Write all tables into a folder, this package's own if none is named."""
    parser = argparse.ArgumentParser(description="Make the tables of trading calendars anew.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent / "tables")
    folder: Path = parser.parse_args().folder
    for name in TABLES:
        (folder / f"{name}.txt").write_text(text_of(name), "ascii")


def _extended(name: str, day: date, opens: datetime, closes: datetime) -> tuple[datetime, ...]:
    """Return pre-market open, open, close and post-market close.

    US equities: 4:00 to 20:00 in New York, to 17:00 on half days (NYSE Arca rule 7.34-E, Nasdaq
    equity 1). CME: the hour of maintenance from 16:00 in Chicago is not traded in; the source has
    days from 17:00 to 17:00.
    """
    if name == "XNYS":
        is_half = closes.astimezone(NEW_YORK).time() < time(16)
        post_close = _at(day, time(17 if is_half else 20), NEW_YORK)
        return _at(day, time(4), NEW_YORK), opens, closes, post_close
    if name == "CMES":
        closes = min(closes, _at(day, time(16), CHICAGO))
    return opens, opens, closes, closes


def _fx_days() -> Iterator[Day]:
    """Yield weekdays from 17:00 in New York on the day before: there are no holidays."""
    for offset in range((LAST - FIRST).days + 1):
        day = FIRST + timedelta(days=offset)
        if day.weekday() < 5:
            opens = _at(day - timedelta(days=1), time(17), NEW_YORK)
            closes = _at(day, time(17), NEW_YORK)
            yield day, (opens, opens, closes, closes)


def _pause(row: Any) -> tuple[datetime, datetime]:
    return _utc(row["break_start"]), _utc(row["break_end"])


def _utc(stamp: Any) -> datetime:
    moment: datetime = stamp.to_pydatetime()
    assert moment.tzinfo is not None, moment
    return moment.astimezone(UTC)


def _at(day: date, clock: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, clock, zone).astimezone(UTC)


def _rows(days: Sequence[Day]) -> Iterator[str]:
    begin, count, minutes = days[0][0], 0, ""
    expected = begin
    for day, times in days:
        midnight = datetime.combine(day, time(), UTC)
        offsets = [(each - midnight).total_seconds() / 60 for each in times]
        assert all(each.is_integer() for each in offsets), (day, times)
        text = " ".join(str(int(each)) for each in offsets)
        assert day.weekday() < 5, day
        if text != minutes or day != expected:
            if count:
                yield f"{begin} {count} {minutes}"
            begin, count, minutes = day, 0, text
        count += 1
        expected = day + timedelta(days=3 if day.weekday() == 4 else 1)
    yield f"{begin} {count} {minutes}"


if __name__ == "__main__":
    main()
