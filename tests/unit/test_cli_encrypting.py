"""Exports are encrypted as they are written: whole or not at all, readable by one alone."""

import contextlib
import errno
import gc
import io
import os
import sys
from pathlib import Path
from typing import Any

import pyrage
import pytest

from schemas.errors import StateError, UserError
from services.cli.backup_archive import write_backup
from services.cli.encrypting import reading, writing
from tests.report_rig import Recorded, terms

pytestmark = pytest.mark.req("R-06")
SECRET = b"order 17: sold 500 ALPHA\n" * 20_000


def identity(folder: Path) -> tuple[Path, str]:
    """Return a file with a fresh identity, and its recipient."""
    made = pyrage.x25519.Identity.generate()
    path = folder / "identity.txt"
    path.write_text(f"# public key: {made.to_public()}\n{made}\n")
    return path, str(made.to_public())


def test_what_was_encrypted_can_be_read_by_its_owner_and_is_nowhere_in_the_clear(
    tmp_path: Path,
) -> None:
    key, recipient = identity(tmp_path)
    path = tmp_path / "orders.csv.age"
    with writing(path, encrypt_to=recipient) as file:
        for at in range(0, len(SECRET), 1_000):
            file.write(SECRET[at : at + 1_000])
    assert all(b"sold 500" not in each.read_bytes() for each in tmp_path.iterdir())
    with reading(path, identity_file=key) as plain:
        assert plain.read() == SECRET
    assert path.stat().st_mode & 0o777 == 0o600


def test_another_identity_reads_nothing(tmp_path: Path) -> None:
    _, recipient = identity(tmp_path)
    path = tmp_path / "orders.age"
    with writing(path, encrypt_to=recipient) as file:
        file.write(SECRET)
    other, _ = identity(tmp_path)
    with (
        pytest.raises(UserError, match="encrypted to this identity"),
        reading(path, identity_file=other) as plain,
    ):
        assert plain.read() == b""
    with (
        pytest.raises(UserError, match="--identity"),
        reading(path, identity_file=None) as plain,
    ):
        pass


def test_a_file_cut_off_is_an_error_and_not_a_shorter_one(tmp_path: Path) -> None:
    key, recipient = identity(tmp_path)
    path = tmp_path / "orders.age"
    with writing(path, encrypt_to=recipient) as file:
        file.write(SECRET)
    path.write_bytes(path.read_bytes()[:-70_000])
    with (
        pytest.raises(UserError, match="whole and unchanged"),
        reading(path, identity_file=key) as plain,
    ):
        plain.read()


def write_half(path: Path, recipient: str | None) -> None:
    with writing(path, encrypt_to=recipient) as file:
        file.write(SECRET)
        raise ValueError("broken")


@pytest.mark.parametrize("is_encrypted", [True, False])
def test_an_export_that_fails_leaves_what_was_there(tmp_path: Path, is_encrypted: bool) -> None:
    _, recipient = identity(tmp_path)
    path = tmp_path / "orders.csv"
    path.write_bytes(b"older")
    with pytest.raises(ValueError, match="broken"):
        write_half(path, recipient if is_encrypted else None)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["identity.txt", "orders.csv"]
    assert path.read_bytes() == b"older"


def test_what_is_no_recipient_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="age1"),
        writing(tmp_path / "sub" / "file", encrypt_to="ssh-rsa AAA"),
    ):
        pass
    assert not (tmp_path / "sub").exists()


def test_a_disk_that_takes_no_more_is_an_error_and_not_a_shorter_file(tmp_path: Path) -> None:
    _, recipient = identity(tmp_path)
    target = tmp_path / "nowhere"
    target.write_bytes(b"")
    with (
        pytest.raises(UserError, match="SLU-102"),
        writing(target / "file", encrypt_to=recipient) as file,
    ):
        file.write(SECRET)


@pytest.mark.parametrize("is_encrypted", [True, False])
@pytest.mark.parametrize("has_links", [True, False])
def test_a_name_that_is_taken_stays_whose_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_encrypted: bool, has_links: bool
) -> None:
    if not has_links:  # as on a stick, or a share
        monkeypatch.setattr(os, "link", refused)
    _, recipient = identity(tmp_path)
    to = recipient if is_encrypted else None
    path = tmp_path / "backup"
    with writing(path, encrypt_to=to, is_replacing=False) as file:
        file.write(SECRET)
    first = path.read_bytes()
    with (
        pytest.raises(UserError, match="a file that is there already"),
        writing(path, encrypt_to=to, is_replacing=False) as file,
    ):
        raise AssertionError("it was begun")
    late = tmp_path / "late"
    with pytest.raises(UserError, match="a file that is there already"):
        write_while_another_takes_the_name(late, to)
    names = sorted(each.name for each in tmp_path.iterdir())
    assert names == ["backup", "identity.txt", "late"]
    assert (path.read_bytes(), late.read_bytes()) == (first, b"of another one")


def write_while_another_takes_the_name(path: Path, recipient: str | None) -> None:
    with writing(path, encrypt_to=recipient, is_replacing=False) as file:
        file.write(SECRET)
        path.write_bytes(b"of another one")


def refused(*_: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.mark.req("R-07", "O-01")
def test_a_backup_that_a_full_disk_ends_is_told_without_a_traceback_of_what_it_still_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            if self.tell() > 1_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    Recorded(tmp_path).add(terms())
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_bytes(os.urandom(1 << 20))
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    with contextlib.suppress(StateError):
        write_backup(tmp_path, Full(), keys_dir=None, is_running=False)
        pytest.fail("it was written")
    gc.collect()
    assert told == []
