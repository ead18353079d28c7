"""Results that went by their age stay gone, though the record still has the session (R-06)."""

import os
from pathlib import Path

import pytest

from services.recorder.config import Retention
from services.recorder.journal import Journal
from services.recorder.key_file import ensure_record_key
from services.recorder.policy import DAY_NS
from services.recorder.queries.config import ReportsConfig
from services.recorder.queries.keeper import Keeper
from services.recorder.queries.making import RECORD_FOLDER
from services.recorder.queries.results import results_file
from services.recorder.retention import enforce
from tests.builders import ACCOUNT, SESSION
from tests.report_rig import BEGIN_NS, NOON_NS, Recorded, a_day, created, ended, terms

pytestmark = [pytest.mark.req("R-02", "R-06"), pytest.mark.parametrize("is_open", [False, True])]
POLICY = Retention(results_days=10)


def follow(data_dir: Path, *, is_open: bool) -> None:
    """Follow the record, in a process of its own."""
    keeper = Keeper(data_dir, ReportsConfig(), ACCOUNT)
    keeper.is_wanted = is_open
    assert keeper.feed(0).detail == ""
    keeper.close()


def retire(data_dir: Path, days: int) -> list[str]:
    """Enforce the policy so many days after the day, and return what went."""
    for path in (data_dir / "results").rglob("*"):
        os.utime(path, ns=(NOON_NS, NOON_NS))
    journal = Journal(data_dir / RECORD_FOLDER, file_bytes_max=1 << 20)
    key = ensure_record_key(data_dir / "keys")
    found = enforce(
        journal,
        key,
        data_dir=data_dir,
        events_dir=data_dir / "logs",
        policy=POLICY,
        now_ns=NOON_NS + days * DAY_NS,
    )
    journal.close()
    return [Path(name).name for each in found for name in each.files]


def test_a_restart_does_not_bring_back_what_the_policy_took(tmp_path: Path, is_open: bool) -> None:
    Recorded(tmp_path).add(terms(), created(), *a_day(), ended(BEGIN_NS + DAY_NS))
    follow(tmp_path, is_open=is_open)
    assert retire(tmp_path, 9) == []
    assert retire(tmp_path, 11) == ["events.csv"]
    follow(tmp_path, is_open=is_open)
    assert not results_file(tmp_path, SESSION).exists()


def test_results_that_were_removed_with_their_folder_are_written_again(
    tmp_path: Path, is_open: bool
) -> None:
    Recorded(tmp_path).add(terms(), created(), *a_day(), ended(BEGIN_NS + DAY_NS))
    follow(tmp_path, is_open=is_open)
    file = results_file(tmp_path, SESSION)
    for path in file.parent.iterdir():
        path.unlink()
    file.parent.rmdir()
    follow(tmp_path, is_open=is_open)
    assert file.exists()
