"""What is too old goes, the record says so, and what is left verifies (R-06)."""

import os
from pathlib import Path

import msgspec
import pytest

from services.recorder import retention
from services.recorder.audit import Verdict, verify_record
from services.recorder.chain import Message
from services.recorder.config import RecorderConfig, Retention
from services.recorder.journal import NOTE, Journal
from services.recorder.key_file import PUBLIC, ensure_record_key, read_public_keys
from services.recorder.own import TOMBSTONES
from services.recorder.reader import records, segments
from services.recorder.retention import DAY_NS, Removed, enforce
from services.recorder.witness import Witness

pytestmark = pytest.mark.req("R-06")
POLICY = Retention(record_days=10, logs_days=3)


class Kept:
    """A record with one message a day for thirty days, some days a file, signed each day."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder
        self.key = ensure_record_key(folder / "keys")
        self.journal = Journal(folder / "record", file_bytes_max=600)
        self.witness = Witness(folder / "record", self.key, RecorderConfig())
        for day in range(1, 31):
            at_ns = day * DAY_NS
            self.journal.append([Message("X", day, "order.x", at_ns, b"{}", at_ns)])
            self.witness.look(self.journal.head, at_ns)

    def enforce(self, day: int) -> list[Removed]:
        return enforce(
            self.journal,
            self.key,
            data_dir=self.data_dir,
            events_dir=self.data_dir / "logs" / "events",
            policy=POLICY,
            now_ns=day * DAY_NS,
        )

    def verdict(self) -> Verdict:
        folder = self.data_dir / "record"
        self.witness.look(self.journal.head, 99 * DAY_NS, is_last=True)
        return verify_record(folder, read_public_keys(folder / PUBLIC), [])

    def days(self) -> list[int]:
        found = records(self.data_dir / "record")
        return [each.stream_seq for each in found if each.stream == "X"]


def test_whole_files_older_than_the_policy_go_and_the_rest_verifies(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    removed = kept.enforce(30)
    assert removed
    assert kept.days()[0] in range(18, 21)  # a file goes only when all of it is too old
    assert kept.days()[-1] == 30
    verdict = kept.verdict()
    assert (verdict.damage, verdict.removed_n) == (None, removed[-1].last_n)
    told = [msgspec.json.decode(r.data) for r in records(tmp_path / "record") if r.stream != "X"]
    assert [each["last_n"] for each in told] == [each.last_n for each in removed]
    assert told[0]["policy"] == "the record is kept 10 days"
    assert kept.enforce(30) == []
    kept.journal.close()


def test_a_later_pass_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    first, second = kept.enforce(20), kept.enforce(35)
    assert second[0].first_n == first[-1].last_n + 1
    assert kept.verdict().damage is None
    kept.journal.close()
    again = Journal(tmp_path / "record", file_bytes_max=600)
    assert again.head == kept.journal.head
    again.close()
    (tmp_path / "record" / NOTE).unlink()
    again = Journal(tmp_path / "record", file_bytes_max=600)
    assert again.head == kept.journal.head
    again.close()


def test_a_crash_between_tombstone_and_removal_is_finished_by_the_next_pass(
    tmp_path: Path,
) -> None:
    kept = Kept(tmp_path)
    before = {path: path.read_bytes() for path in segments(tmp_path / "record")}
    removed = kept.enforce(30)
    stayed = tmp_path / "record" / removed[-1].files[0]
    stayed.write_bytes(before[stayed])
    assert kept.verdict().damage is None
    assert kept.enforce(30) == []
    assert not stayed.exists()
    assert kept.verdict().damage is None
    kept.journal.close()


def test_a_file_taken_away_by_anybody_else_is_missed(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    segments(tmp_path / "record")[0].unlink()
    damage = kept.verdict().damage
    assert damage is not None
    assert damage.n == 1
    kept.journal.close()


def test_a_tombstone_of_somebody_without_the_key_is_refused(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.enforce(30)
    path = tmp_path / "record" / TOMBSTONES
    path.write_bytes(path.read_bytes().replace(b"10 days", b"11 days"))
    damage = kept.verdict().damage
    assert damage is not None
    kept.journal.close()


def test_without_tombstones_the_rest_would_not_verify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ablation."""
    monkeypatch.setattr(retention, "TOMBSTONES", "elsewhere.jsonl")
    kept = Kept(tmp_path)
    kept.enforce(30)
    assert kept.verdict().damage is not None
    kept.journal.close()


def test_old_logs_go_and_the_record_names_them(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    events = tmp_path / "logs" / "events"
    events.mkdir(parents=True)
    (tmp_path / "log").mkdir()
    old = [events / "gate_events.1970-01-05.jsonl", tmp_path / "log" / "gate.log.1970-01-05"]
    young = [events / "gate_events.jsonl", events / "gate_events.1970-01-29.jsonl"]
    for path in (*old, *young):
        path.write_bytes(b"{}\n")
        day = 5 if path in old else 29
        os.utime(path, ns=(day * DAY_NS, day * DAY_NS))
    [found] = [each for each in kept.enforce(30) if each.kind == "logs"]
    assert set(found.files) == {str(path) for path in old}
    assert [path.exists() for path in (*old, *young)] == [False, False, True, True]
    assert kept.verdict().damage is None
    kept.journal.close()
