"""Days on paper count with the settings that come with the system: hours of sessions add (S-05)."""

import tomllib
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from schemas.base import InstrumentId, SessionId
from schemas.measures import PaperDayNoted
from schemas.results import PaperDay, StrategyTerms
from services.cli.config_layers import DEFAULTS_FILE
from services.prerequisites.checks import counted
from services.prerequisites.config import LiveConfig
from services.strategy.config import StrategyConfig
from tests.builders import ACCOUNT, S_NS
from tests.strategy_rig import OWN, every
from tests.unit.test_strategy_measured import MeasuredRig, book

pytestmark = pytest.mark.req("S-05")
VERSION = "0123456789abcdef"
NS_PER_H = 3_600 * S_NS
DAY = "2026-11-27"
SHIPPED = tomllib.loads(DEFAULTS_FILE.read_text())
LIVE = msgspec.convert(SHIPPED["live"], LiveConfig)


def hour(number: int, version: str = VERSION, **fields: Any) -> PaperDay:
    """Return what a session of one hour was; the next one begins when it ends."""
    terms = StrategyTerms(
        strategy="idle",
        strategy_version=version,
        parameters={},
        instruments=(InstrumentId("sim:ALPHA"),),
    )
    whole: dict[str, Any] = {
        "session": SessionId(f"idle-{number}"),
        "from_ns": number * NS_PER_H,
        "to_ns": (number + 1) * NS_PER_H,
        "up_ns": NS_PER_H,
        "reconciled_count": 1,
    }
    return PaperDay(terms=terms, account=ACCOUNT, day=DAY, **whole | fields)


def hours(count: int) -> list[PaperDay]:
    return [hour(number) for number in range(count)]


def days(rows: Sequence[PaperDay]) -> set[str]:
    return counted(rows, VERSION, LIVE)


def test_six_whole_hours_make_a_day_that_counts_and_five_do_not() -> None:
    assert (days(hours(6)), days(hours(5))) == ({DAY}, set())


def test_one_difference_in_any_of_its_sessions_spoils_the_day() -> None:
    assert days([*hours(9), hour(9, difference_count=1)]) == set()


@pytest.mark.parametrize(
    "change",
    [
        {"version": "old"},
        {"day": "2026-11-26"},
        {"reconciled_count": 0},
        {"from_ns": 0, "to_ns": NS_PER_H},
    ],
)
def test_an_hour_of_other_code_of_another_day_unreconciled_or_at_the_same_time_adds_nothing(
    change: dict[str, Any],
) -> None:
    assert days([*hours(5), hour(5)]) == {DAY}
    other = hour(5, change.get("version", VERSION))
    fields = {name: value for name, value in change.items() if name != "version"}
    assert days([*hours(5), msgspec.structs.replace(other, **fields)]) == set()


def test_a_difference_of_other_code_spoils_no_day() -> None:
    assert days([*hours(6), hour(6, "old", difference_count=1)]) == {DAY}


def test_sessions_that_overlap_in_part_count_the_time_between_them_once() -> None:
    half_ns = NS_PER_H // 2
    late = [hour(0), *(hour(n, from_ns=n * NS_PER_H - half_ns) for n in range(1, 6))]
    assert days(late) == {DAY}  # the last ends when the sixth hour does
    early = [hour(n, from_ns=n * half_ns, to_ns=n * half_ns + NS_PER_H) for n in range(6)]
    assert days(early) == set()  # six sessions in three and a half hours


class Desk(MeasuredRig):
    """A service as it comes: a session is over after an hour, and a person starts the next."""

    def __init__(self) -> None:
        shipped = msgspec.convert(SHIPPED["strategy"], StrategyConfig)
        super().__init__("idle", msgspec.structs.replace(shipped, classes=OWN))
        self.tell(book(self))

    def run(self, count: int) -> list[PaperDay]:
        """Run so many sessions, one after the other; return what the repository has of them."""
        for number in range(count):
            if number:
                self.now_ns += 60 * S_NS
                self.start("idle")
            self.pass_time(NS_PER_H)
        noted = {each.day.id: each.day for each in every(PaperDayNoted, self.said)}
        return [*noted.values()]


@pytest.mark.parametrize(("count", "is_enough"), [(6, False), (7, True)])
def test_with_the_settings_that_come_with_it_seven_sessions_make_a_day(
    count: int, is_enough: bool
) -> None:
    rows = Desk().run(count)
    assert len(rows) == count
    version = rows[0].terms.strategy_version
    assert counted(rows, version, LIVE) == ({"1970-01-01"} if is_enough else set())
