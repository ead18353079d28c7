"""A store that followed another record than the one that lies there is made anew."""

import shutil
from pathlib import Path

import pytest

from schemas.reports import QueryRequest
from services.recorder.queries.config import ReportsConfig
from services.recorder.queries.keeper import Keeper
from services.recorder.queries.making import RECORD_FOLDER
from tests.builders import ACCOUNT
from tests.report_rig import Life, Recorded, created, terms

pytestmark = pytest.mark.req("R-01", "R-04", "R-07")
OLD = "old"


def put_back(data_dir: Path, *names: str) -> None:
    """Put the older copy of the record in its place, and record on."""
    shutil.rmtree(data_dir / RECORD_FOLDER)
    shutil.copytree(data_dir / OLD, data_dir / RECORD_FOLDER)
    recorded = Recorded(data_dir)
    recorded._seq = 7
    for name in names:
        recorded.add(*Life(name).opened())


@pytest.fixture
def followed(tmp_path: Path) -> Keeper:
    """Return a store of two orders, of which an older copy of the record has the first."""
    recorded = Recorded(tmp_path)
    recorded.add(terms(), created(), *Life("kept").opened())
    shutil.copytree(tmp_path / RECORD_FOLDER, tmp_path / OLD)
    recorded.add(*Life("lost").opened())
    keeper = Keeper(tmp_path, ReportsConfig(), ACCOUNT)
    keeper.is_wanted = True
    assert keeper.feed(0).recorded_count == 12
    return keeper


def orders(keeper: Keeper) -> set[object]:
    return {row[0] for row in keeper.ask(QueryRequest(named="open_orders")).rows}


def ids(*names: str) -> set[object]:
    return {Life(name).order_id for name in names}


@pytest.mark.parametrize("later", [(), ("new1",), ("new1", "new2", "new3")])
def test_a_store_that_is_opened_again_holds_what_the_record_does(
    tmp_path: Path, followed: Keeper, later: tuple[str, ...]
) -> None:
    assert orders(followed) == ids("kept", "lost")
    followed.close()
    put_back(tmp_path, *later)
    keeper = Keeper(tmp_path, ReportsConfig(), ACCOUNT)
    keeper.is_wanted = True
    assert keeper.feed(1).detail.startswith("SLU-145 a report or the query store failed")
    mark = keeper.feed(2)
    assert (mark.detail, mark.recorded_count) == ("", 7 + 5 * len(later))
    assert orders(keeper) == ids("kept", *later)
    keeper.close()


def test_a_store_that_is_open_is_made_anew_with_the_next_record(
    tmp_path: Path, followed: Keeper
) -> None:
    put_back(tmp_path, "new1", "new2", "new3")
    told = [followed.feed(number).detail for number in range(3)]
    assert any(each.startswith("SLU-145") for each in told)
    assert (told[-1], orders(followed)) == ("", ids("kept", "new1", "new2", "new3"))
    followed.close()


def test_whoever_asks_without_a_running_system_is_answered_from_the_record(
    tmp_path: Path, followed: Keeper
) -> None:
    followed.close()
    put_back(tmp_path, "new1", "new2", "new3")
    keeper = Keeper(tmp_path, ReportsConfig(), ACCOUNT)
    assert keeper.follow_all() == 22
    assert orders(keeper) == ids("kept", "new1", "new2", "new3")
    keeper.close()


@pytest.mark.parametrize("is_known", [False, True])
def test_a_record_with_a_broken_link_is_read_as_it_lies(tmp_path: Path, is_known: bool) -> None:
    """Made anew, the store would meet the same again, for ever: nobody would be answered."""
    recorded = Recorded(tmp_path)
    recorded.add(terms(), created(), *Life("one").opened(), *Life("two").opened())
    if is_known:
        keeper = Keeper(tmp_path, ReportsConfig(), ACCOUNT)
        assert keeper.follow_all() == 12
        keeper.close()
    [path] = (tmp_path / RECORD_FOLDER).glob("chain-*.jsonl")
    found = path.read_bytes().split(b"\n")
    found[-2] = found[-2].replace(b'"stream":"AUDIT"', b'"stream":"OTHER"')
    found[5] = found[5].replace(b'"stream":"AUDIT"', b'"stream":"OTHER"')
    path.write_bytes(b"\n".join(found))

    keeper = Keeper(tmp_path, ReportsConfig(), ACCOUNT)
    keeper.is_wanted = True
    told = [keeper.feed(number) for number in range(3)]
    assert [each.recorded_count for each in told] == [0 if is_known else 12, 12, 12]
    assert [each.detail for each in told[1:]] == ["", ""]
    assert orders(keeper) == ids("one", "two")
    assert keeper.follow_all() == 12
    keeper.close()
