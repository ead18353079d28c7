"""A session of a name that no file can have keeps the events of no other from its file."""

from pathlib import Path

import pytest

from schemas.base import SessionId
from schemas.wire import encode
from services.recorder.queries.config import ReportsConfig
from services.recorder.queries.keeper import Keeper
from tests.builders import ACCOUNT, SESSION
from tests.report_rig import NOON_NS, Recorded, created, ended, terms

pytestmark = pytest.mark.req("R-02", "R-04")


@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize("name", ["nothing\0more", "x" * 256, "é" * 128, "..", "a/b"])
def test_results_of_the_others_are_written(tmp_path: Path, name: str, is_open: bool) -> None:
    recorded = Recorded(tmp_path)
    recorded.add(terms())
    for session in (SessionId(name), SESSION):
        events = created(NOON_NS, session), ended(NOON_NS + 1, session)
        recorded.add_bytes([("session.x.told", each.at_ns, encode(each)) for each in events])
    keeper = Keeper(tmp_path, ReportsConfig(), ACCOUNT)
    keeper.is_wanted = is_open
    assert [keeper.feed(0).detail for _ in range(2)] == ["", ""]
    keeper.close()
    found = [path.relative_to(tmp_path) for path in (tmp_path / "results").rglob("*.csv")]
    assert found == [Path("results") / SESSION / "events.csv"]
