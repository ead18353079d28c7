"""An export from some day on has every order of it, whatever of its life is in the record."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from schemas.orders import SignalDecided, SignalRaised
from schemas.wire import encode
from services.recorder.queries.exporting import Wanted, exported
from services.recorder.queries.making import RECORD_FOLDER, chain_records
from tests.builders import SESSION
from tests.report_rig import BEGIN_NS, DAY_NS, NOON_NS, Life, Recorded, created, ended, terms

pytestmark = pytest.mark.req("R-02", "R-05")


def rows(data_dir: Path, kind: str, from_ns: int) -> list[tuple[object, object]]:
    found = exported(chain_records(data_dir / RECORD_FOLDER), Wanted(kind, from_ns))
    return [(row[0], row[1]) for row in found]


@pytest.mark.parametrize(
    ("missing", "at"),
    [
        ((), "2026-11-25T12:00:00.000000000Z"),
        ((SignalRaised,), "2026-11-25T12:00:00.000001000Z"),
        ((SignalRaised, SignalDecided), "2026-11-25T12:00:00.000005000Z"),
    ],
)
def test_an_order_without_a_signal_belongs_to_when_it_was_first_heard_of(
    tmp_path: Path, missing: tuple[type, ...], at: str
) -> None:
    life = Life()
    told = [event for event in life.opened() if not isinstance(event, missing)]
    Recorded(tmp_path).add(terms(), created(), *told, life.filled("100", "10"))
    whole = rows(tmp_path, "orders", 0)
    assert whole == [(at, life.order_id)]
    assert rows(tmp_path, "orders", BEGIN_NS) == whole
    assert rows(tmp_path, "orders", BEGIN_NS + DAY_NS) == []


def test_a_session_whose_beginning_is_not_in_the_record_belongs_to_its_change(
    tmp_path: Path,
) -> None:
    Recorded(tmp_path).add(terms(), ended(NOON_NS))
    assert rows(tmp_path, "sessions", BEGIN_NS) == [("2026-11-25T12:00:00.000000000Z", SESSION)]


@pytest.mark.parametrize("at_ns", [10**30, 2**63, -1])
def test_an_execution_at_a_time_that_is_none_is_exported_without_it(
    tmp_path: Path, at_ns: int
) -> None:
    fill = Life().filled("100", "10")
    recorded = Recorded(tmp_path)
    recorded.add(terms(), created())
    recorded.add_bytes([("exec.sim.paper", NOON_NS, encode(replace(fill, at_ns=at_ns)))])
    assert rows(tmp_path, "fills", 0) == [("", 3)]
