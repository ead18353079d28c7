"""When markets are open: every session, the edges to the ns, and what lies beyond the tables."""

import importlib
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base import InstrumentId
from schemas.errors import UserError
from schemas.instruments import AssetClass
from services.calendars.calendar import DAY_NS, Phase, Session
from services.calendars.named import (
    ALIASES,
    ALL_DAY,
    NAMES,
    TABLES,
    calendar_named,
    calendar_of,
    parse,
)
from tests.builders import S_NS, instrument

NEW_YORK = ZoneInfo("America/New_York")
NYSE = calendar_named("XNYS")


def at(text: str, zone: str = "America/New_York") -> int:
    """Return a local time as ns since the epoch."""
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return round(moment.timestamp()) * S_NS


def first_year(name: str) -> int:
    """Return where a table begins: US equities have daily recordings of long ago."""
    return 1998 if name == "XNYS" else 2010


@pytest.mark.req("G-05", "S-07")
@pytest.mark.parametrize("name", [name for name in TABLES if name != "FX"])
@pytest.mark.filterwarnings("ignore")  # of the package's own use of pandas
def test_every_session_is_the_one_that_exchange_calendars_has(name: str) -> None:
    exchange_calendars = pytest.importorskip("exchange_calendars")
    calendar = calendar_named(name)
    theirs = exchange_calendars.get_calendar(
        name, start=f"{first_year(name)}-01-01", end="2030-12-31"
    )
    pause = ("break_start", "break_end")
    wanted = []
    for label, row in theirs.schedule.iterrows():
        closes = row["close"].value
        if name == "CMES":  # the hour of maintenance, which the package does not know of
            closes = min(closes, at(f"{label.date()} 16:00", "America/Chicago"))
        has_pause = row["break_start"] == row["break_start"]
        rest = tuple(row[each].value for each in pause) if has_pause else None
        wanted.append((row["open"].value, closes, rest))
    assert [(each.open_ns, each.close_ns, each.break_ns) for each in calendar.sessions] == wanted


@pytest.mark.parametrize("name", ["XNYS", "XHKG", "CMES", "FX"])
@pytest.mark.filterwarnings("ignore")  # of the package's own use of pandas
def test_the_compiler_makes_the_tables_that_are_here(name: str) -> None:
    pytest.importorskip("exchange_calendars")
    compiler = importlib.import_module("services.calendars.compiler")
    made = parse(name, compiler.text_of(name))
    assert made.sessions == calendar_named(name).sessions
    assert (made.from_ns, made.until_ns) == (
        calendar_named(name).from_ns,
        calendar_named(name).until_ns,
    )


@given(
    name=st.sampled_from(TABLES),
    now_ns=st.integers(at("1997-12-01 00:00", "UTC"), at("2031-02-01 00:00", "UTC")),
)
def test_every_time_has_the_phase_that_a_walk_through_the_table_finds(
    name: str, now_ns: int
) -> None:
    calendar = calendar_named(name)
    found = [
        each.phase_at(now_ns)
        for each in calendar.sessions
        if each.pre_open_ns <= now_ns < each.post_close_ns
    ]
    wanted = found[0] if found else Phase.CLOSED
    assert calendar.phase_at(now_ns) is (wanted if calendar.knows(now_ns) else Phase.UNKNOWN)
    if calendar.knows(now_ns) and now_ns >= calendar.sessions[0].open_ns:
        opens = [each.open_ns for each in calendar.sessions]
        assert calendar.day_open_ns(now_ns) == max(each for each in opens if each <= now_ns)
        later = [each for each in opens if each > now_ns]
        assert calendar.next_open_ns(now_ns) == min(later, default=calendar.until_ns)


def test_the_table_of_the_new_york_exchange_has_the_pre_and_post_market_of_each_day() -> None:
    for session in NYSE.sessions:
        closes = datetime.fromtimestamp(session.close_ns / S_NS, NEW_YORK)
        end = "17:00" if closes.time() == time(13) else "20:00"
        assert session.pre_open_ns == at(f"{closes.date()} 04:00")
        assert session.post_close_ns == at(f"{closes.date()} {end}")


def test_the_week_of_currencies_is_from_sunday_to_friday_evening_in_new_york() -> None:
    calendar = calendar_named("FX")
    assert [calendar.is_open(at(text)) for text in ("2025-11-21 16:59", "2025-11-21 17:00")] == [
        True,
        False,
    ]
    assert calendar.next_open_ns(at("2025-11-22 12:00")) == at("2025-11-23 17:00")
    days = [date(2010, 1, 1) + timedelta(days=count) for count in range(7_670)]
    wanted = [at(f"{day} 17:00") for day in days if day.weekday() < 5]
    assert [each.close_ns for each in calendar.sessions] == wanted


@pytest.mark.req("G-05", "S-07")
@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        ("2025-11-26", "09:30", "16:00"),
        ("2025-11-28", "09:30", "13:00"),  # the day after Thanksgiving
        ("2025-07-03", "09:30", "13:00"),
        ("2025-12-24", "09:30", "13:00"),
        ("2025-03-07", "09:30", "16:00"),  # the Friday before the clocks change, and the Monday
        ("2025-03-10", "09:30", "16:00"),
        ("2025-10-31", "09:30", "16:00"),
        ("2025-11-03", "09:30", "16:00"),
    ],
)
def test_a_day_is_open_from_the_ns_of_its_open_to_the_last_before_its_close(
    day: str, opens: str, closes: str
) -> None:
    first, end = at(f"{day} {opens}"), at(f"{day} {closes}")
    assert [NYSE.phase_at(each) for each in (first - 1, first, end - 1, end)] == [
        Phase.PRE,
        Phase.OPEN,
        Phase.OPEN,
        Phase.POST,
    ]
    pre, post = at(f"{day} 04:00"), at(f"{day} {'17:00' if closes == '13:00' else '20:00'}")
    assert [NYSE.phase_at(each) for each in (pre - 1, pre, post - 1, post)] == [
        Phase.CLOSED,
        Phase.PRE,
        Phase.POST,
        Phase.CLOSED,
    ]


@pytest.mark.parametrize(
    "day", ["2025-11-27", "2025-12-25", "2026-01-01", "2025-01-09", "2025-11-22", "2025-11-23"]
)
def test_a_holiday_and_a_weekend_are_closed_all_day(day: str) -> None:
    hours = [at(f"{day} {hour:02}:00") for hour in range(24)]
    assert {NYSE.phase_at(each) for each in hours} == {Phase.CLOSED}


def test_the_clocks_of_two_cities_change_on_different_days() -> None:
    london = calendar_named("XLON")
    summer = at("2025-03-20 13:30", "UTC")  # New York has changed, London has not
    assert (NYSE.day_open_ns(summer), london.day_open_ns(summer)) == (
        summer,
        at("2025-03-20 08:00", "UTC"),
    )
    assert NYSE.next_open_ns(summer - 1) == summer
    autumn = at("2025-10-29 13:30", "UTC")  # London has changed back, New York has not
    assert (NYSE.day_open_ns(autumn), london.day_open_ns(autumn)) == (
        autumn,
        at("2025-10-29 08:00", "UTC"),
    )


def test_the_pause_at_noon_is_not_trading_time() -> None:
    tokyo = calendar_named("XTKS")
    begins, ends = at("2025-11-25 11:30", "Asia/Tokyo"), at("2025-11-25 12:30", "Asia/Tokyo")
    assert [tokyo.is_open(each) for each in (begins - 1, begins, ends - 1, ends)] == [
        True,
        False,
        False,
        True,
    ]
    assert tokyo.day_open_ns(ends) == at("2025-11-25 09:00", "Asia/Tokyo")


@pytest.mark.req("O-07")
@pytest.mark.parametrize(
    ("begins", "ends", "hours"),
    [
        ("2025-11-25 08:00", "2025-11-25 20:00", 5.5),  # 9:00 to 15:30, an hour's pause
        ("2025-11-25 11:00", "2025-11-25 12:45", 0.75),
        ("2025-11-25 11:30", "2025-11-25 12:30", 0),
        ("2025-11-21 15:00", "2025-11-25 10:00", 1.5),  # a weekend and a holiday on Monday
        ("2025-11-25 10:00", "2025-11-25 09:00", 0),
    ],
)
def test_the_regular_time_in_a_stretch_is_that_of_its_days(
    begins: str, ends: str, hours: float
) -> None:
    stretch = at(begins, "Asia/Tokyo"), at(ends, "Asia/Tokyo")
    assert calendar_named("XTKS").open_ns_between(*stretch) == round(hours * 3_600) * S_NS
    length_ns = max(0, stretch[1] - stretch[0])
    assert calendar_named(ALL_DAY).open_ns_between(*stretch) == length_ns


def test_futures_in_chicago_do_not_trade_in_the_hour_of_maintenance() -> None:
    chicago = calendar_named("CMES")
    begins, ends = (at(f"2025-11-19 {hour}:00", "America/Chicago") for hour in (16, 17))
    assert [chicago.is_open(each) for each in (begins - 1, begins, ends - 1, ends)] == [
        True,
        False,
        False,
        True,
    ]


def test_the_open_of_the_day_is_that_of_the_newest_trading_day() -> None:
    monday = at("2025-11-24 09:30")
    assert NYSE.day_open_ns(monday) == monday
    assert NYSE.day_open_ns(monday - 1) == at("2025-11-21 09:30")
    assert NYSE.day_open_ns(at("2025-11-29 12:00")) == at("2025-11-28 09:30")
    assert NYSE.next_open_ns(monday) == at("2025-11-25 09:30")
    assert NYSE.next_open_ns(at("2025-11-26 20:00")) == at("2025-11-28 09:30")


def test_the_session_of_a_time_runs_from_pre_market_to_post_market() -> None:
    day = Session(
        open_ns=at("2025-11-28 09:30"),
        close_ns=at("2025-11-28 13:00"),
        pre_open_ns=at("2025-11-28 04:00"),
        post_close_ns=at("2025-11-28 17:00"),
    )
    inside = (at("2025-11-28 04:00"), at("2025-11-28 12:00"), at("2025-11-28 17:00") - 1)
    assert [NYSE.session_at(each) for each in inside] == [day] * 3
    assert NYSE.session_at(at("2025-11-28 17:00")) is None
    following = NYSE.session_after(day)
    assert following is not None
    assert following.open_ns == at("2025-12-01 09:30")
    assert NYSE.session_before(following) == day
    assert NYSE.session_before(NYSE.sessions[0]) is None


@pytest.mark.req("S-07")
@pytest.mark.parametrize("name", TABLES)
def test_what_lies_beyond_the_table_is_not_known_and_not_open(name: str) -> None:
    calendar = calendar_named(name)
    begin, end = at(f"{first_year(name)}-01-01 00:00", "UTC"), at("2031-01-01 00:00", "UTC")
    assert [calendar.knows(each) for each in (begin - 1, begin, end - 1, end)] == [
        False,
        True,
        True,
        False,
    ]
    for outside in (0, begin - 1, end, end + 365 * DAY_NS):
        assert calendar.phase_at(outside) is Phase.UNKNOWN
        assert not calendar.is_open(outside)
        with pytest.raises(UserError, match="SLU-180"):
            calendar.day_open_ns(outside)
        with pytest.raises(UserError, match="SLU-180"):
            calendar.next_open_ns(outside)
    last = calendar.sessions[-1]
    assert calendar.next_open_ns(last.open_ns) == end
    assert calendar.session_after(last) is None


@pytest.mark.parametrize("name", TABLES)
def test_sessions_are_in_order_and_each_has_a_length(name: str) -> None:
    sessions = calendar_named(name).sessions
    assert all(a.post_close_ns <= b.pre_open_ns for a, b in pairwise(sessions))
    assert all(
        each.pre_open_ns <= each.open_ns < each.close_ns <= each.post_close_ns for each in sessions
    )
    years = {datetime.fromtimestamp(each.close_ns / S_NS, UTC).year for each in sessions}
    assert years == set(range(first_year(name), 2031))


def test_a_market_that_never_closes_begins_its_days_at_midnight() -> None:
    calendar = calendar_named(ALL_DAY)
    now_ns = at("2025-11-22 15:00", "UTC")
    midnight = at("2025-11-22 00:00", "UTC")
    assert calendar.is_open(now_ns)
    assert calendar.day_open_ns(now_ns) == calendar.day_open_ns(midnight) == midnight
    assert calendar.next_open_ns(now_ns) == midnight + DAY_NS
    assert calendar.session_at(now_ns) == Session(
        open_ns=midnight,
        close_ns=midnight + DAY_NS,
        pre_open_ns=midnight,
        post_close_ns=midnight + DAY_NS,
    )


def test_an_alias_keeps_its_own_name_and_the_days_of_the_other() -> None:
    for alias, table in ALIASES.items():
        assert calendar_named(alias).name == alias
        assert calendar_named(alias).sessions == calendar_named(table).sessions


def test_a_calendar_that_is_not_there_is_refused_with_the_list_of_all() -> None:
    with pytest.raises(UserError) as refused:
        calendar_named("XNSY")
    assert refused.value.fields == {
        "path": "calendar",
        "found": "'XNSY'",
        "wanted": "one of " + ", ".join(NAMES),
    }


@pytest.mark.parametrize(
    ("asset_class", "own", "wanted"),
    [
        (AssetClass.SPOT, "", ALL_DAY),
        (AssetClass.PERPETUAL, "", ALL_DAY),
        (AssetClass.LENDING, "", ALL_DAY),
        (AssetClass.FX, "", "FX"),
        (AssetClass.EQUITY, "", None),
        (AssetClass.OPTION, "", None),
        (AssetClass.FUTURE, "", None),
        (AssetClass.EQUITY, "XLON", "XLON"),
        (AssetClass.SPOT, "XNYS", "XNYS"),
    ],
)
def test_an_instrument_trades_by_its_own_calendar_or_its_asset_classes(
    asset_class: AssetClass, own: str, wanted: str | None
) -> None:
    found = calendar_of(instrument(InstrumentId("x:Y"), asset_class=asset_class, calendar=own))
    assert (found.name if found else None) == wanted
