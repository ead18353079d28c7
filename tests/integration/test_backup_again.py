"""A backup may be restored twice, and under another key: no epoch twice, no false damage."""

import time
from pathlib import Path

import msgspec
import pytest

from schemas.errors import UserError
from services.cli import backup_anchors
from services.cli.backup_restore import EPOCH_JUMP
from services.recorder.checkpoints import Restoration, key_of, new_private_pem
from services.recorder.key_file import PRIVATE, PUBLIC, ensure_record_key, read_public_keys
from services.recorder.own import RESTORATIONS
from services.recorder.witness import ANCHORS
from tests.backup_rig import (
    EPOCH,
    backed_up,
    control_state,
    keep,
    make_data_dir,
    proposed,
    record_more,
    restored,
    run,
    verdict_of,
)
from tests.tampering import RECORDS

pytestmark = pytest.mark.req("R-07")
NS_PER_S = 1_000_000_000
NOON_S = 1_795_000_000


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return make_data_dir(tmp_path)


def at(monkeypatch: pytest.MonkeyPatch, now_s: int) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: now_s * NS_PER_S)


@pytest.mark.req("I12")
def test_a_second_restore_of_the_same_backup_never_issues_an_epoch_of_the_first(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The life after the first is lost, with its epochs, before a backup of it was made."""
    backup = backed_up(data_dir, tmp_path / "b.tar.gz")
    at(monkeypatch, NOON_S)
    first = restored(backup, tmp_path / "life-1")
    for epoch in range(first.epoch_floor + 1, first.epoch_floor + 6):
        keep(tmp_path / "life-1", "breaker", proposed(epoch))
    issued = control_state(tmp_path / "life-1").epoch_max
    at(monkeypatch, NOON_S + 60)
    second = restored(backup, tmp_path / "life-2")
    assert (first.epoch_floor, issued) == (NOON_S, NOON_S + 5)
    assert control_state(tmp_path / "life-2").epoch_max == second.epoch_floor == NOON_S + 60


@pytest.mark.req("I12")
def test_a_clock_that_is_wrong_takes_no_epoch_back(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = backed_up(data_dir, tmp_path / "b.tar.gz")
    at(monkeypatch, 1)
    assert restored(backup, tmp_path / "new").epoch_floor == EPOCH + EPOCH_JUMP


@pytest.mark.req("I12")
def test_anchors_of_a_key_that_the_backup_does_not_know_are_said_and_raise_the_epoch(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 records of the first life, signed by its new key; `lost` counts the record's own keys."""
    backup, anchors = backed_up(data_dir, tmp_path / "b.tar.gz"), tmp_path / "anchors"
    at(monkeypatch, 1)
    restored(backup, tmp_path / "life-1", anchors)
    record_more(tmp_path / "life-1", anchors, 500)
    done = restored(backup, tmp_path / "life-2", anchors)
    others_n = RECORDS + 1 + 500
    assert (done.lost_count, done.others_n) == (0, others_n)
    assert done.epoch_floor == EPOCH + EPOCH_JUMP + others_n - RECORDS


def test_an_anchor_that_nobody_signed_counts_for_nothing(data_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "anchors" / "0123456789abcdef"
    folder.mkdir()
    forged = {"n": 1 << 62, "hash": "x", "at_ns": 1, "key": folder.name, "signature": ""}
    (folder / ANCHORS).write_bytes(b"no json\n" + msgspec.json.encode(forged) + b"\n")
    known = read_public_keys(data_dir / "record" / PUBLIC)
    assert backup_anchors.others_n([tmp_path / "anchors"], known) == 0


def test_a_restore_under_a_new_key_is_said_and_verifies_with_the_old_anchors(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backup, anchors = backed_up(data_dir, tmp_path / "b.tar.gz"), str(tmp_path / "anchors")
    place = ("--data-dir", str(tmp_path / "new"), "--anchors", anchors)
    assert run("backup", "restore", str(backup), *place) == 0
    assert "NEW KEY: the record goes on under one" in capsys.readouterr().out
    assert run("audit", "verify", *place) == 0
    assert f"anchored outside up to {RECORDS + 1}" in capsys.readouterr().out


def test_a_restore_under_a_new_key_verifies_where_only_that_key_has_anchors(
    data_dir: Path, tmp_path: Path
) -> None:
    """The old anchors are gone with the old machine: the new key speaks for the old one."""
    backup, anchors = backed_up(data_dir, tmp_path / "b.tar.gz"), tmp_path / "new-anchors"
    done = restored(backup, tmp_path / "new")
    assert (done.is_new_key, done.untold) == (True, "")
    record_more(tmp_path / "new", anchors, 3)
    assert verdict_of(tmp_path / "new", anchors) is None
    path = tmp_path / "new" / "record" / RESTORATIONS
    said = msgspec.json.decode(path.read_bytes(), type=Restoration)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(said, vouched=())) + b"\n")
    damage = verdict_of(tmp_path / "new", anchors)  # without its word, or with a changed one
    assert damage is not None
    assert "which is none of" in damage.why


def test_anchors_that_cannot_be_told_of_a_new_key_are_said(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backup, anchors = backed_up(data_dir, tmp_path / "b.tar.gz"), tmp_path / "anchors"
    key = tmp_path / "other.pem"
    key.write_bytes(new_private_pem())
    (anchors / key_of(key.read_bytes()).fingerprint).write_bytes(b"no folder")
    place = ("--data-dir", str(tmp_path / "new"), "--anchors", str(anchors))
    given = ("--record-key", str(key), "--accept-other-key")
    assert run("backup", "restore", str(backup), *place, *given) == 0
    assert "The anchors do not know it: " in capsys.readouterr().out
    assert (tmp_path / "new" / "keys" / PRIVATE).read_bytes() == key.read_bytes()


def test_a_record_key_that_never_signed_the_record_restores_nothing(
    data_dir: Path, tmp_path: Path
) -> None:
    backup, other = backed_up(data_dir, tmp_path / "b.tar.gz"), tmp_path / "other.pem"
    other.write_bytes(new_private_pem())
    own = ensure_record_key(data_dir / "keys").fingerprint
    with pytest.raises(UserError, match="another key") as caught:
        restored(backup, tmp_path / "new", tmp_path / "anchors", other)
    fields = caught.value.fields
    assert fields["path"] == str(other)
    assert fields["found"] == f"another key, {key_of(other.read_bytes()).fingerprint}"
    assert fields["wanted"] == (
        f"the private key that signed the record (record.pem): {own}; or --accept-other-key"
    )
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "anchors",
        "b.tar.gz",
        "other.pem",
        "var",
    ]
    assert restored(
        backup, tmp_path / "new", tmp_path / "anchors", other, accept_other_key=True
    ).is_new_key


def test_a_rehearsal_under_the_records_own_key_tells_its_anchors_nothing(
    data_dir: Path, tmp_path: Path
) -> None:
    """The system whose key it is may still run: its anchors are about its record."""
    backup, anchors = backed_up(data_dir, tmp_path / "b.tar.gz"), tmp_path / "anchors"
    before = {path: path.read_bytes() for path in anchors.rglob("*.*")}
    done = restored(backup, tmp_path / "new", anchors, data_dir / "keys" / PRIVATE)
    assert (done.is_new_key, done.untold) == (False, "")
    assert {path: path.read_bytes() for path in anchors.rglob("*.*")} == before
    assert verdict_of(data_dir, anchors) is None
