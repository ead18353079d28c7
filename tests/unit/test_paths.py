"""What cannot be looked at is not taken for what is not there."""

from pathlib import Path

import pytest

from schemas.errors import StateError
from services.runtime.journal import Journal
from services.runtime.paths import is_there

pytestmark = pytest.mark.req("S-14")


def refuse(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let nobody look at what has this name."""
    honest = Path.stat

    def stat(path: Path, *, follow_symlinks: bool = True) -> object:
        if path.name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return honest(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", stat)


def test_files_and_folders_are_there_and_others_are_not(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "gone")
    found = [is_there(each) for each in (tmp_path, file, tmp_path / "no", file / "below", link)]
    assert found == [True, True, False, False, False]


def test_of_what_may_not_be_looked_at_nobody_says_that_it_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "hidden")
    with pytest.raises(PermissionError):
        is_there(tmp_path / "hidden")


def test_a_journal_that_may_not_be_looked_at_is_no_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "executor.jsonl"
    refuse(monkeypatch, path.name)
    with pytest.raises(StateError) as caught:
        Journal(path)
    assert caught.value.code == "SLU-141"
    assert "Permission denied" in str(caught.value)
    monkeypatch.undo()
    assert not path.exists()
