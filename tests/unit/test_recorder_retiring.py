"""Retention is enforced once a day, and not by a clock that may be wrong by years."""

import asyncio
from pathlib import Path

import pytest

from schemas.base import Event
from schemas.isolation import PartFailed
from services.recorder.config import RecorderConfig, Retention
from services.recorder.policy import DAY_NS
from services.recorder.retiring import APART_NS_MAX, Retiring
from services.repository.config import RepositoryConfig
from tests.unit.test_recorder_retention import Kept

pytestmark = pytest.mark.req("R-06")

POLICY = Retention(orders_days=10, control_days=10, market_days=10)
HOUR_NS = DAY_NS // 24


class Rig:
    """A record of ten days, ours and the wall clock, and what was told.

    Attributes:
        now_ns, wall_ns: the two clocks.
    """

    def __init__(self, folder: Path, day: int) -> None:
        self.kept = Kept(folder, ["X"] * 10, POLICY)
        self.now_ns = self.wall_ns = day * DAY_NS
        self.told: list[str] = []
        self.retiring = Retiring(
            RecorderConfig(retention=POLICY),
            self.kept.key,
            folder,
            folder / "logs" / "events",
            RepositoryConfig(),
            lambda: self.now_ns,
            self._post,
            lambda: self.wall_ns,
        )

    def _post(self, *events: Event) -> None:
        for event in events:
            assert isinstance(event, PartFailed)
            self.told.append(f"{event.alert.code} {event.alert.message}")

    def turn(self, hours: int = 0) -> list[int]:
        """Let time pass and look; return the days whose records are still there."""
        self.now_ns += hours * HOUR_NS
        self.wall_ns += hours * HOUR_NS
        asyncio.run(self.retiring.turn(self.kept.journal))
        return self.kept.days()


def test_a_record_that_goes_on_is_looked_through_at_the_start_and_each_day(tmp_path: Path) -> None:
    rig = Rig(tmp_path, day=12)
    rig.retiring.begin(rig.kept.journal)
    first = rig.turn()
    assert (first[0] > 1, rig.told) == (True, [])
    assert rig.turn(hours=23) == first
    assert rig.turn(hours=1)[0] == first[0] + 1


def test_a_clock_years_ahead_at_the_start_removes_nothing_for_a_day(tmp_path: Path) -> None:
    rig = Rig(tmp_path, day=3_000)
    rig.retiring.begin(rig.kept.journal)
    assert rig.turn() == rig.turn(hours=23) == list(range(1, 11))
    assert rig.told == [
        "SLU-146 the newest record is 2989 days old: is the clock right? Nothing is removed by its"
        " age for a day"
    ]
    assert rig.turn(hours=1) == [10]  # nobody minded: it was off for so long


def test_a_clock_that_was_set_right_since_the_start_is_not_gone_by(tmp_path: Path) -> None:
    rig = Rig(tmp_path, day=3_000)
    rig.wall_ns = 11 * DAY_NS
    assert rig.turn() == list(range(1, 11))
    [said] = rig.told
    assert said.startswith("SLU-146 the clock was moved by ")
    rig.wall_ns = rig.now_ns - APART_NS_MAX
    assert rig.turn(hours=24) == [10]


def test_without_the_look_at_the_start_a_wrong_year_takes_all_but_the_newest(
    tmp_path: Path,
) -> None:
    rig = Rig(tmp_path, day=3_000)
    assert rig.turn() == [10]
