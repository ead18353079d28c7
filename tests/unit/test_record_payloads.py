"""A record whose payload nobody can read is damage, wherever it is come upon."""

from pathlib import Path

import msgspec
import pytest

from schemas.errors import StateError
from services.recorder.audit import verify_record
from services.recorder.chain import Message, read_line
from services.recorder.journal import NOTE, Journal
from services.recorder.queries.tail import Tail
from services.recorder.search import Query, search

pytestmark = pytest.mark.req("R-01", "I13")
FILE = "chain-000000000001.jsonl"


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    """Return a record whose last line claims a restore, in base64 that is none."""
    journal = Journal(tmp_path, file_bytes_max=1 << 20)
    journal.append([Message("RECORD", n, "record.restored", n, b"\xff\x00", n) for n in (1, 2)])
    journal.close()
    (tmp_path / NOTE).unlink(missing_ok=True)
    path = tmp_path / FILE
    first, last = path.read_bytes().splitlines()
    path.write_bytes(first + b"\n" + last.replace(b"/wA=", b"/wA") + b"\n")
    return tmp_path


def test_it_is_no_record(spoilt: Path) -> None:
    first, last = (spoilt / FILE).read_bytes().splitlines()
    assert read_line(first).data == b"\xff\x00"
    with pytest.raises(msgspec.DecodeError, match="its payload is no base64"):
        read_line(last)


def test_verifying_finds_it(spoilt: Path) -> None:
    (spoilt / FILE).write_bytes((spoilt / FILE).read_bytes().splitlines()[1] + b"\n")
    damage = verify_record(spoilt, {}, []).damage
    assert damage is not None
    assert (damage.n, damage.why.split(":")[:2]) == (
        1,
        ["it is no record", " its payload is no base64"],
    )


def test_whoever_follows_or_searches_names_it(spoilt: Path) -> None:
    with pytest.raises(StateError) as caught:
        list(Tail(spoilt, 0).read())
    assert (caught.value.code, caught.value.fields["record"]) == ("SLU-140", "2")
    with pytest.raises(msgspec.DecodeError, match="its payload is no base64"):
        list(search(spoilt, Query(), lambda _count: None))
    with pytest.raises(StateError) as caught:
        Journal(spoilt, file_bytes_max=1 << 20)
    assert (caught.value.code, caught.value.fields["record"]) == ("SLU-140", "2")


def test_a_name_that_is_no_text_is_no_record_too(spoilt: Path) -> None:
    first, _ = (spoilt / FILE).read_bytes().splitlines()
    with pytest.raises(msgspec.DecodeError, match="can't decode byte 0xff"):
        read_line(first.replace(b"record.restored", b"record.\xff"))
