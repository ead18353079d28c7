"""What is too old goes, the record says so, and what is left verifies (R-06)."""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from schemas.errors import StateError
from services.cli.__main__ import run
from services.recorder import retention
from services.recorder.audit import Verdict, verify_record
from services.recorder.chain import Message, read_line
from services.recorder.config import RecorderConfig, Retention
from services.recorder.journal import NOTE, Journal
from services.recorder.key_file import PUBLIC, ensure_record_key, read_public_keys
from services.recorder.own import TOMBSTONES, read_tombstones
from services.recorder.policy import DAY_NS, chain_days, rules
from services.recorder.reader import lines, records, segments
from services.recorder.retention import Removed, enforce
from services.recorder.witness import Witness

pytestmark = pytest.mark.req("R-06")
POLICY = Retention(record_days=10, logs_days=3)


def day_of(number: int, per_day: int) -> int:
    """Return the day of a message, from 1."""
    return (number - 1) // per_day + 1


class Kept:
    """A record with one message a day for thirty days, a file each day, signed each day."""

    def __init__(
        self,
        folder: Path,
        streams: Sequence[str] = ("X",) * 30,
        policy: Retention = POLICY,
        *,
        per_day: int = 1,
        file_bytes_max: int = 600,
        subject: str = "order.x",
    ) -> None:
        self.data_dir = folder
        self.key = ensure_record_key(folder / "keys")
        self.policy = policy
        self.journal = Journal(folder / "record", file_bytes_max=file_bytes_max)
        self.witness = Witness(folder / "record", self.key, RecorderConfig())
        for number, stream in enumerate(streams, start=1):
            self.add(stream, number, day_of(number, per_day), subject)

    def add(self, stream: str, number: int, day: int, subject: str = "order.x") -> None:
        at_ns = day * DAY_NS + number
        self.journal.append([Message(stream, number, subject, at_ns, b"{}", at_ns)])
        self.witness.look(self.journal.head, at_ns)

    def enforce(self, day: int) -> list[Removed]:
        return enforce(
            self.journal,
            self.key,
            data_dir=self.data_dir,
            events_dir=self.data_dir / "logs" / "events",
            policy=self.policy,
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
    assert kept.days() == [*range(20, 31)]
    verdict = kept.verdict()
    assert (verdict.damage, verdict.removed_n) == (None, removed[-1].last_n)
    told = [msgspec.json.decode(r.data) for r in records(tmp_path / "record") if r.stream != "X"]
    assert [each["last_n"] for each in told] == [each.last_n for each in removed]
    assert told[0]["policy"] == "the record is kept 10 days"
    assert kept.enforce(30) == []
    kept.journal.close()


MIXED = Retention(orders_days=20, control_days=5, market_days=2)


NAMES = {"o": "ORDERS", "f": "FILLS", "c": "CONTROL", "a": "AUDIT", "m": "MARKET"}


def mixed(folder: Path, streams: str, *, per_day: int = 1) -> Kept:
    """A record of some messages a day; which stream each came by says its letter."""
    return Kept(folder, [NAMES[letter] for letter in streams], MIXED, per_day=per_day)


@pytest.mark.parametrize(
    ("streams", "first_left", "policy"),
    [
        ("m" * 50, 47, "the record is kept 2 days"),
        ("c" * 50, 41, "the record is kept 5 days"),
        (
            "af" * 25,
            11,
            "a file of the record goes when all in it may; days kept: control 5, orders 20",
        ),
        (
            "mc" * 25,
            41,
            "a file of the record goes when all in it may; days kept: control 5, market 2",
        ),
        (
            "o" + "m" * 49,
            47,
            "a file of the record goes when all in it may; days kept: market 2, orders 20",
        ),
    ],
)
def test_each_kind_has_an_age_and_the_longest_in_a_file_governs_it(
    tmp_path: Path, streams: str, first_left: int, policy: str
) -> None:
    kept = mixed(tmp_path, streams, per_day=2)
    files = [[r.n for r in map(read_line, lines(p))] for p in segments(tmp_path / "record")]
    removed = kept.enforce(26)
    days = {"m": 2, "a": 5, "c": 5, "o": 20, "f": 20}
    stays = [any(day_of(n, 2) + days[streams[n - 1]] >= 26 for n in numbers) for numbers in files]
    left = files[stays.index(True)]
    assert (removed[0].policy, removed[-1].last_n + 1) == (policy, left[0])
    assert first_left in left
    kept.journal.close()


def test_an_order_holds_back_what_lies_behind_its_file(tmp_path: Path) -> None:
    kept = mixed(tmp_path, "m" * 4 + "o" + "m" * 25)
    first_file_of_order = next(
        path for path in segments(tmp_path / "record") if path.read_bytes().count(b'"ORDERS"')
    )
    kept.enforce(24)
    assert segments(tmp_path / "record")[0] == first_file_of_order
    kept.enforce(26)
    assert not first_file_of_order.exists()
    kept.journal.close()


@pytest.mark.parametrize("chain_market", [False, True])
def test_the_policy_says_in_words_what_is_kept_longer_than_asked_for(chain_market: bool) -> None:
    config = RecorderConfig(retention=Retention(), chain_market=chain_market)
    found = {each.kind: (each.days, each.kept_days, each.why) for each in rules(config)}
    market = {
        "market": (
            30,
            2_557,
            "it lies in one chain with orders, kept 2557 days: a file goes when all that is in it "
            "may; recorder.chain_market = false keeps prices in their stream alone",
        )
    }
    assert found == {
        "orders": (2_557, 2_557, ""),
        "control": (2_557, 2_557, ""),
        **(market if chain_market else {}),
        "market stream": (1, 1, ""),
        "logs": (30, 30, ""),
        "reports": (2_557, 2_557, ""),
        "results": (2_557, 2_557, ""),
        "sessions": (2_557, 2_557, ""),
    }


def test_a_quiet_record_goes_day_by_day_however_large_a_file_may_be(tmp_path: Path) -> None:
    kept = Kept(tmp_path, file_bytes_max=1 << 28)
    assert kept.enforce(30)[-1].last_n == 19
    assert kept.days() == [*range(20, 31)]
    assert kept.verdict().damage is None
    kept.journal.close()


def test_what_was_received_on_one_day_is_in_one_file_even_after_a_restart(tmp_path: Path) -> None:
    kept = Kept(tmp_path, ("X",) * 4, per_day=2, file_bytes_max=1 << 28)
    kept.journal.note(4)
    kept.journal.close()
    kept.journal = Journal(tmp_path / "record", file_bytes_max=1 << 28)
    for number, day in ((5, 2), (6, 3), (7, 3)):
        kept.add("X", number, day)
    kept.journal.close()
    files = [[r.n for r in map(read_line, lines(p))] for p in segments(tmp_path / "record")]
    assert files == [[1, 2], [3, 4, 5], [6, 7]]


def test_the_newest_terms_stay_until_there_are_newer_ones(tmp_path: Path) -> None:
    kept = Kept(tmp_path, ("AUDIT",) * 3, subject="report.terms")
    for number in range(4, 31):
        kept.add("AUDIT", number, number)
    kept.enforce(30)
    assert [r.n for r in records(tmp_path / "record")][:2] == [3, 4]
    kept.add("AUDIT", 31, 31, "report.terms")
    kept.enforce(31)
    assert next(records(tmp_path / "record")).n == 21
    kept.journal.close()


def test_without_a_look_at_the_terms_all_of_them_would_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ablation."""
    monkeypatch.setattr(retention, "_has_terms", lambda path: False)
    kept = Kept(tmp_path, ("AUDIT",) * 3, subject="report.terms")
    for number in range(4, 31):
        kept.add("AUDIT", number, number)
    kept.enforce(30)
    assert "report.terms" not in {r.subject for r in records(tmp_path / "record")}
    kept.journal.close()


def test_one_age_for_the_whole_chain_is_still_understood() -> None:
    assert {*chain_days(Retention(record_days=10)).values()} == {10}


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


def test_the_command_shows_each_kind_and_says_which_is_kept_longer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = {"chain_market": True, "retention": {"orders_days": 100, "control_days": 50}}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_bytes(msgspec.json.encode({"recorder": recorder}))
    place = ("--data-dir", str(tmp_path))
    assert run(["audit", "retention", *place, "--json"]) == 0
    found = {each["kind"]: each for each in msgspec.json.decode(capsys.readouterr().out)}
    assert [(k, v["days"], v["kept_days"], bool(v["why"])) for k, v in found.items()] == [
        ("orders", 100, 100, False),
        ("control", 50, 100, True),
        ("market", 30, 100, True),
        ("market stream", 1, 1, False),
        ("logs", 30, 30, False),
        ("reports", 2_557, 2_557, False),
        ("results", 2_557, 2_557, False),
        ("sessions", 2_557, 2_557, False),
    ]
    assert run(["audit", "retention", *place]) == 0
    assert (
        "control is kept longer than asked for: it lies in one chain with orders, kept 100 days"
        in capsys.readouterr().out
    )


def test_a_tombstone_that_a_full_disk_cut_off_is_gone_before_the_next_one(tmp_path: Path) -> None:
    kept = Kept(tmp_path, ["X"] * 20, POLICY)
    kept.enforce(20)
    path = tmp_path / "record" / TOMBSTONES
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:50])
    kept.enforce(21)
    assert path.read_bytes().startswith(whole)
    goes_on = [each.first_n for each in read_tombstones(tmp_path / "record")]
    assert goes_on == sorted(goes_on)
    assert len(goes_on) > whole.count(b"\n")
    assert kept.verdict().damage is None


def test_a_line_that_is_no_tombstone_is_said_with_its_file(tmp_path: Path) -> None:
    (tmp_path / TOMBSTONES).write_bytes(b'{"first_n":1,{"first_n":1}\n')
    with pytest.raises(StateError, match=r"SLU-140.*tombstones\.jsonl"):
        read_tombstones(tmp_path)
