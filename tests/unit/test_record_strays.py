"""A copy that somebody made beside the record's files is none of them, and stops nobody."""

import shutil
from pathlib import Path

import pytest

from services.recorder.audit import verify_record
from services.recorder.chain import Message
from services.recorder.journal import Journal
from services.recorder.queries.tail import Tail
from services.recorder.reader import records, size_bytes

pytestmark = pytest.mark.req("R-01", "R-04")
FIRST = "chain-000000000001.jsonl"


def messages(*seqs: int) -> list[Message]:
    return [
        Message("ORDERS", seq, "order.sim.paper", seq, b'{"seq":%d}' % seq, seq) for seq in seqs
    ]


@pytest.mark.parametrize(
    "name",
    [
        "chain-000000000001 (1).jsonl",
        "chain-000000000001-copy.jsonl",
        "chain-000000000001_old.jsonl",
        "chain-1.jsonl",
        "chain-.jsonl",
        "chain-000000000001.bak.jsonl",
    ],
)
def test_a_copy_beside_the_files_is_not_read_and_not_written_to(tmp_path: Path, name: str) -> None:
    journal = Journal(tmp_path, file_bytes_max=1)
    for seq in (1, 2, 3):
        journal.append(messages(seq))
    journal.note(3)
    journal.close()
    whole_bytes = size_bytes(tmp_path)
    shutil.copy(tmp_path / FIRST, tmp_path / name)
    assert size_bytes(tmp_path) == whole_bytes
    again = Journal(tmp_path, file_bytes_max=1)
    again.append(messages(4))
    again.close()
    assert [record.n for record in records(tmp_path)] == [1, 2, 3, 4]
    assert [record.n for record in Tail(tmp_path, 1).read()] == [2, 3, 4]
    verdict = verify_record(tmp_path, {}, [])
    assert (verdict.damage, verdict.head) == (None, again.head)
    assert (tmp_path / name).read_bytes() == (tmp_path / FIRST).read_bytes()
