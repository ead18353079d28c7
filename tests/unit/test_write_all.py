"""One loop writes all that is written on: a journal, a log, a checkpoint."""

import errno
import os
from pathlib import Path

import pytest

from schemas.errors import StateError
from services.recorder.appending import append_line
from services.runtime.journal import Journal, write_all
from tests.builders import quote

pytestmark = pytest.mark.req("R-01")


def takes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a disk take nothing and raise nothing; the third time it is asked in vain, give up."""
    asked: list[int] = []

    def none(descriptor: int, data: bytes) -> int:
        asked.append(descriptor)
        assert len(asked) < 3, "it is asked without end"
        return 0

    monkeypatch.setattr(os, "write", none)


def test_a_disk_that_takes_nothing_and_says_nothing_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "gate.jsonl")
    assert list(journal.read()) == []
    with monkeypatch.context() as patch:
        takes_none(patch)
        with pytest.raises(StateError, match=os.strerror(errno.ENOSPC)):
            journal.append([quote()])
        with pytest.raises(StateError, match=os.strerror(errno.ENOSPC)):
            append_line(tmp_path / "lines.jsonl", b"x\n")
    journal.append([quote()])
    journal.close()
    assert list(Journal(tmp_path / "gate.jsonl").read()) == [quote()]
    assert (tmp_path / "lines.jsonl").read_bytes() == b""


def test_a_disk_that_takes_a_little_at_a_time_takes_it_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:3]))
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    write_all(descriptor, b"0123456789")
    os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == b"0123456789"
